//! How a question of the host becomes a Cedar request. README.md has the table.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use nephron_sdk::decider::{Attribute, Query, Value};
use nephron_sdk::types::{Instant, Sensitivity};
use serde_json::Value as Json;

/// Entity type of the principal.
pub(crate) const CALLER: &str = "Caller";

/// The types that requests are made of, parsed once.
pub(crate) struct EntityTypes {
    caller: EntityTypeName,
    role: EntityTypeName,
    action: EntityTypeName,
    target: EntityTypeName,
    purpose: EntityTypeName,
}

impl EntityTypes {
    pub(crate) fn parse() -> Option<Self> {
        Some(Self {
            caller: CALLER.parse().ok()?,
            role: "Role".parse().ok()?,
            action: "Action".parse().ok()?,
            target: "Target".parse().ok()?,
            purpose: "Purpose".parse().ok()?,
        })
    }
}

/// Why a query has no Cedar form. Carries nothing of the query.
#[derive(Clone, Copy)]
pub(crate) enum Unexpressed {
    /// Two facts, or two attributes of the caller, have one name.
    RepeatedName,
    /// The request came after the year 9999.
    Time,
    /// Cedar refused a value.
    Refused,
}

/// The request, and `known` with the caller added.
pub(crate) fn build(
    query: Query,
    types: &EntityTypes,
    known: &Entities,
) -> Result<(Request, Entities), Unexpressed> {
    let info = query.info;
    let uid = |kind: &EntityTypeName, id: &str| {
        EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
    };
    let principal = uid(&types.caller, &info.caller.id);
    let roles: HashSet<EntityUid> = info
        .caller
        .roles
        .iter()
        .map(|role| uid(&types.role, role))
        .collect();
    let attributes: HashMap<String, RestrictedExpression> =
        expressions(info.caller.attributes)?.into_iter().collect();
    let caller =
        Entity::new(principal.clone(), attributes, roles).map_err(|_| Unexpressed::Refused)?;
    let entities = known
        .clone()
        .upsert_entities([caller], None)
        .map_err(|_| Unexpressed::Refused)?;

    let received = date_time(info.received_at).ok_or(Unexpressed::Time)?;
    let text = RestrictedExpression::new_string;
    let context = [
        ("point", text(query.point)),
        (
            "purpose",
            RestrictedExpression::new_entity_uid(uid(&types.purpose, &info.purpose)),
        ),
        ("tenant", text(info.tenant)),
        (
            "sensitivity",
            text(sensitivity(info.sensitivity).to_owned()),
        ),
        ("received", RestrictedExpression::new_datetime(received)),
        ("attributes", record(info.attributes)?),
        ("facts", record(query.facts)?),
    ];
    let context = Context::from_pairs(context.map(|(name, value)| (name.to_owned(), value)))
        .map_err(|_| Unexpressed::Refused)?;
    let (action, target) = (
        uid(&types.action, &query.action),
        uid(&types.target, &query.target),
    );
    let request =
        Request::new(principal, action, target, context, None).map_err(|_| Unexpressed::Refused)?;
    Ok((request, entities))
}

fn record(attributes: Vec<Attribute>) -> Result<RestrictedExpression, Unexpressed> {
    RestrictedExpression::new_record(expressions(attributes)?).map_err(|_| Unexpressed::Refused)
}

fn expressions(
    attributes: Vec<Attribute>,
) -> Result<Vec<(String, RestrictedExpression)>, Unexpressed> {
    let names: BTreeSet<&str> = attributes
        .iter()
        .map(|attribute| attribute.name.as_str())
        .collect();
    if names.len() != attributes.len() {
        return Err(Unexpressed::RepeatedName);
    }
    Ok(attributes
        .into_iter()
        .map(|attribute| (attribute.name, expression(attribute.value)))
        .collect())
}

fn expression(value: Value) -> RestrictedExpression {
    match value {
        Value::Text(text) => RestrictedExpression::new_string(text),
        Value::Number(number) => RestrictedExpression::new_long(number),
        Value::Boolean(claim) => RestrictedExpression::new_bool(claim),
        Value::Texts(texts) => {
            RestrictedExpression::new_set(texts.into_iter().map(RestrictedExpression::new_string))
        }
        // What Cedar has no value for (null, fractions, deep nesting) stays a text under its name: a policy that asks
        // for it then fails to evaluate, where a missing fact would pass by a `has`.
        Value::Json(text) => serde_json::from_str(&text)
            .ok()
            .and_then(|json| from_json(&json, 0))
            .unwrap_or_else(|| RestrictedExpression::new_string(text)),
    }
}

/// Nesting of JSON that is followed.
const MAX_DEPTH: usize = 16;

fn from_json(json: &Json, depth: usize) -> Option<RestrictedExpression> {
    if depth > MAX_DEPTH {
        return None;
    }
    match json {
        Json::Null => None,
        Json::Bool(claim) => Some(RestrictedExpression::new_bool(*claim)),
        Json::Number(number) => number.as_i64().map(RestrictedExpression::new_long),
        Json::String(text) => Some(RestrictedExpression::new_string(text.clone())),
        Json::Array(items) => {
            let items: Option<Vec<_>> = items
                .iter()
                .map(|item| from_json(item, depth + 1))
                .collect();
            items.map(RestrictedExpression::new_set)
        }
        Json::Object(members) => {
            let members: Option<Vec<_>> = members
                .iter()
                .map(|(name, json)| Some((name.clone(), from_json(json, depth + 1)?)))
                .collect();
            RestrictedExpression::new_record(members?).ok()
        }
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

/// ISO 8601 in UTC with milliseconds, as Cedar's `datetime` takes it; `None` after the year 9999.
fn date_time(at: Instant) -> Option<String> {
    /// 10000-01-01T00:00:00Z.
    const YEAR_10000: u64 = 253_402_300_800;
    let since_epoch = Duration::new(at.seconds, at.nanoseconds.min(999_999_999));
    (at.seconds < YEAR_10000)
        .then(|| humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since_epoch).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_8601_up_to_the_year_9999() {
        let at = |seconds, nanoseconds| {
            date_time(Instant {
                seconds,
                nanoseconds,
            })
        };
        // `date -u -d @…`
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_795_305_802, "2026-11-22T00:03:22.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(at(seconds, 0).as_deref(), Some(expected));
        }
        assert_eq!(
            at(0, 5_999_999).as_deref(),
            Some("1970-01-01T00:00:00.005Z")
        );
        assert_eq!(at(253_402_300_800, 0), None);
        assert_eq!(at(u64::MAX, u32::MAX), None);
    }
}
