//! A decision nobody asked for, made while the plugin is configured.
//!
//! Cedar makes its tables of names and its regular expressions when they are first used. The host freezes the memory
//! that `configure` leaves behind, so what is first used here is made once, and not again in every call.

use cedar_policy::{Context, RestrictedExpression};
use nephron_sdk::decider::{Attribute, Query, RequestInfo, Value};
use nephron_sdk::types::{Caller, Instant, Sensitivity};

use crate::CedarPolicy;

/// Decides an invented question with every kind of value in it. The answer means nothing and is dropped.
pub(crate) fn decide_once(policy: &CedarPolicy) {
    let mut facts = Vec::new();
    for (name, value) in [
        ("text", Value::Text("rehearsal".to_owned())),
        ("number", Value::Number(0)),
        ("boolean", Value::Boolean(false)),
        ("texts", Value::Texts(vec!["rehearsal".to_owned()])),
        ("json", Value::Json(r#"{"rehearsal":[0]}"#.to_owned())),
    ] {
        facts.push(Attribute {
            name: name.to_owned(),
            value,
        });
    }
    let query = Query {
        info: RequestInfo {
            id: String::new(),
            tenant: String::new(),
            received_at: Instant {
                seconds: 0,
                nanoseconds: 0,
            },
            caller: Caller {
                id: String::new(),
                roles: vec!["rehearsal".to_owned()],
                attributes: facts.clone(),
            },
            purpose: String::new(),
            sensitivity: Sensitivity::Public,
            attributes: facts.clone(),
        },
        point: String::new(),
        action: String::new(),
        target: String::new(),
        facts,
    };
    drop(policy.judged(query));
    // What policies may write though this request need not hold it. Each is refused or not by Cedar, and either way is ready.
    for value in [
        RestrictedExpression::new_datetime("1970-01-01T00:00:00.000Z"),
        RestrictedExpression::new_decimal("0.0"),
        RestrictedExpression::new_duration("1ms"),
        RestrictedExpression::new_ip("127.0.0.1/8"),
    ] {
        drop(Context::from_pairs([("value".to_owned(), value)]));
    }
}
