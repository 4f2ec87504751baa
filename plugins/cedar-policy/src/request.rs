//! How a question of the host becomes a Cedar request. README.md has the table.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{
    Context, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use nephron_sdk::decider::{Attribute, Query, Value};
use nephron_sdk::types::Sensitivity;
use serde_json::Value as Json;

use crate::time;

/// Entity type of the principal.
pub(crate) const CALLER: &str = "Caller";

/// What requests are made of, parsed once.
pub(crate) struct Types {
    caller: EntityTypeName,
    role: EntityTypeName,
    action: EntityTypeName,
    target: EntityTypeName,
    purpose: EntityTypeName,
}

impl Types {
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

/// A question of the host in Cedar's terms.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) caller: Caller,
    /// Action, target and purpose: what the request names besides the caller and its roles.
    pub(crate) named: [EntityUid; 3],
}

/// The principal, before its place in the hierarchy is known.
pub(crate) struct Caller {
    pub(crate) roles: Vec<EntityUid>,
    uid: EntityUid,
    attributes: HashMap<String, RestrictedExpression>,
}

impl Caller {
    /// The entity, child of `parents`.
    pub(crate) fn with_parents(self, parents: HashSet<EntityUid>) -> Result<Entity, Unexpressed> {
        Entity::new(self.uid, self.attributes, parents).map_err(|_| Unexpressed::Refused)
    }
}

/// Puts a question in Cedar's terms, without `received` unless it `needs_time`.
pub(crate) fn build(query: Query, types: &Types, needs_time: bool) -> Result<Asked, Unexpressed> {
    let info = query.info;
    let uid = |kind: &EntityTypeName, id: &str| {
        EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
    };
    let principal = uid(&types.caller, &info.caller.id);
    let action = uid(&types.action, &query.action);
    let target = uid(&types.target, &query.target);
    let purpose = uid(&types.purpose, &info.purpose);
    let roles = info.caller.roles.iter();
    let caller = Caller {
        roles: roles.map(|role| uid(&types.role, role)).collect(),
        uid: principal.clone(),
        attributes: expressions(info.caller.attributes)?.into_iter().collect(),
    };

    let received = time::iso_8601(info.received_at).ok_or(Unexpressed::Time)?;
    let text = RestrictedExpression::new_string;
    let context = [
        ("point", text(query.point)),
        (
            "purpose",
            RestrictedExpression::new_entity_uid(purpose.clone()),
        ),
        ("tenant", text(info.tenant)),
        (
            "sensitivity",
            text(sensitivity(info.sensitivity).to_owned()),
        ),
        ("attributes", record(info.attributes)?),
        ("facts", record(query.facts)?),
    ];
    let received = needs_time.then(|| ("received", RestrictedExpression::new_datetime(received)));
    let context = context.into_iter().chain(received);
    let context = Context::from_pairs(context.map(|(name, value)| (name.to_owned(), value)))
        .map_err(|_| Unexpressed::Refused)?;
    let request = Request::new(principal, action.clone(), target.clone(), context, None)
        .map_err(|_| Unexpressed::Refused)?;
    Ok(Asked {
        request,
        caller,
        named: [action, target, purpose],
    })
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
