//! How a question of the host becomes the `input` document. README.md has the table.

use std::time::{Duration, SystemTime};

use nephron_sdk::decider::{Attribute, Caller, Query, RequestInfo, Value};
use nephron_sdk::types::{Instant, Sensitivity};
use serde_json::{Map, Value as Json, json};

/// A question in Rego's terms.
pub(crate) struct Asked {
    pub(crate) input: regorus::Value,
    /// Nanoseconds since the Unix epoch.
    pub(crate) received: i64,
}

/// Why a question has no document. Carries nothing of it.
#[derive(Clone, Copy)]
pub(crate) enum Unexpressed {
    /// Two facts, or two attributes, have one name.
    RepeatedName,
    /// The request came after the year 2262.
    Time,
}

impl Unexpressed {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::RepeatedName => "repeated-fact-name",
            Self::Time => "time-out-of-range",
        }
    }
}

/// Makes the document.
pub(crate) fn document(query: Query) -> Result<Asked, Unexpressed> {
    let info = query.info;
    let (received, written) = moment(info.received_at).ok_or(Unexpressed::Time)?;
    let input = json!({
        "point": query.point,
        "action": query.action,
        "target": query.target,
        "facts": record(query.facts)?,
        "caller": {
            "id": info.caller.id,
            "roles": info.caller.roles,
            "attributes": record(info.caller.attributes)?,
        },
        "purpose": info.purpose,
        "tenant": info.tenant,
        "sensitivity": sensitivity(info.sensitivity),
        "received": written,
        "attributes": record(info.attributes)?,
    });
    Ok(Asked {
        input: input.into(),
        received,
    })
}

/// A question that nobody asked.
pub(crate) fn rehearsed() -> Query {
    Query {
        info: RequestInfo {
            id: String::new(),
            tenant: String::new(),
            received_at: Instant {
                seconds: 0,
                nanoseconds: 0,
            },
            caller: Caller {
                id: String::new(),
                roles: Vec::new(),
                attributes: Vec::new(),
            },
            purpose: String::new(),
            sensitivity: Sensitivity::Phi,
            attributes: Vec::new(),
        },
        point: "ingress".to_owned(),
        action: String::new(),
        target: String::new(),
        facts: Vec::new(),
    }
}

fn moment(at: Instant) -> Option<(i64, String)> {
    let since = Duration::new(at.seconds, at.nanoseconds.min(999_999_999));
    let nanoseconds = i64::try_from(since.as_nanos()).ok()?;
    let written = humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since);
    Some((nanoseconds, written.to_string()))
}

fn record(attributes: Vec<Attribute>) -> Result<Map<String, Json>, Unexpressed> {
    let given = attributes.len();
    let pairs = attributes
        .into_iter()
        .map(|attribute| (attribute.name, value(attribute.value)));
    let record: Map<String, Json> = pairs.collect();
    (record.len() == given)
        .then_some(record)
        .ok_or(Unexpressed::RepeatedName)
}

fn value(value: Value) -> Json {
    match value {
        Value::Text(text) => text.into(),
        Value::Number(number) => number.into(),
        Value::Boolean(claim) => claim.into(),
        Value::Texts(texts) => texts.into(),
        // What is no JSON after all stays a text under its name: it must not look as if it were missing.
        Value::Json(text) => serde_json::from_str(&text).unwrap_or(Json::String(text)),
    }
}

const fn sensitivity(sensitivity: Sensitivity) -> &'static str {
    match sensitivity {
        Sensitivity::Public => "public",
        Sensitivity::Internal => "internal",
        Sensitivity::Pii => "pii",
        Sensitivity::Phi => "phi",
    }
}
