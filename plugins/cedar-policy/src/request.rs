//! How a question of the host becomes a Cedar request. README.md has the table.
//!
//! Values are made here as Cedar's evaluator holds them. Its public constructors take expressions, which would be
//! evaluated to the same values in every call.

use std::sync::Arc;

use cedar_policy_core::ast::{
    Context, Eid, Entity, EntityType, EntityUID, EntityUIDEntry, Name, PartialValue, Request,
    Value as CedarValue, ValueKind,
};
use cedar_policy_core::extensions::Extensions;
use nephron_sdk::decider::{Attribute, Query, Value};
use nephron_sdk::types::Sensitivity;
use serde_json::Value as Json;

use crate::time;

/// Entity type of the principal.
pub(crate) const CALLER: &str = "Caller";

/// What requests are made of, parsed once.
pub(crate) struct Types {
    pub(crate) caller: EntityType,
    role: EntityType,
    action: EntityType,
    target: EntityType,
    purpose: EntityType,
    datetime: Name,
}

impl Types {
    pub(crate) fn parse() -> Option<Self> {
        Some(Self {
            caller: CALLER.parse().ok()?,
            role: "Role".parse().ok()?,
            action: "Action".parse().ok()?,
            target: "Target".parse().ok()?,
            purpose: "Purpose".parse().ok()?,
            datetime: Name::parse_unqualified_name("datetime").ok()?,
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
    pub(crate) caller: Caller,
    pub(crate) action: Arc<EntityUID>,
    pub(crate) target: Arc<EntityUID>,
    pub(crate) purpose: Arc<EntityUID>,
    context: Context,
}

impl Asked {
    /// As the evaluator takes it.
    pub(crate) fn request(&self) -> Request {
        let known = |uid: &Arc<EntityUID>| EntityUIDEntry::Known {
            euid: Arc::clone(uid),
            loc: None,
        };
        Request::new_unchecked(
            known(&self.caller.uid),
            known(&self.action),
            known(&self.target),
            Some(self.context.clone()),
        )
    }
}

/// The principal, before its place in the hierarchy is known.
pub(crate) struct Caller {
    pub(crate) uid: Arc<EntityUID>,
    pub(crate) roles: Vec<EntityUID>,
    attributes: CedarValue,
}

impl Caller {
    /// The entity, child of `parents`.
    pub(crate) fn with_parents(&self, parents: impl Iterator<Item = EntityUID>) -> Entity {
        let attributes = match self.attributes.value_kind() {
            ValueKind::Record(record) => Some(record.iter()),
            ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::ExtensionValue(_) => None,
        };
        let attributes = attributes.into_iter().flatten();
        Entity::new_with_attr_partial_value(
            self.uid.as_ref().clone(),
            attributes.map(|(name, value)| (name.clone(), PartialValue::Value(value.clone()))),
            [].into(),
            parents.collect(),
            [],
        )
    }
}

/// Puts a question in Cedar's terms, without `received` unless it `needs_time`.
pub(crate) fn build(query: Query, types: &Types, needs_time: bool) -> Result<Asked, Unexpressed> {
    let info = query.info;
    let uid = |kind: &EntityType, id: String| {
        EntityUID::from_components(kind.clone(), Eid::new(id), None)
    };
    let roles = info.caller.roles.into_iter();
    let caller = Caller {
        uid: Arc::new(uid(&types.caller, info.caller.id)),
        roles: roles.map(|role| uid(&types.role, role)).collect(),
        attributes: record(info.caller.attributes)?,
    };
    let received = time::iso_8601(info.received_at).ok_or(Unexpressed::Time)?;
    let received = needs_time
        .then(|| datetime(&types.datetime, received))
        .transpose()?;
    let purpose = Arc::new(uid(&types.purpose, info.purpose));
    let context = [
        ("point", CedarValue::from(query.point)),
        ("purpose", CedarValue::from(Arc::clone(&purpose))),
        ("tenant", CedarValue::from(info.tenant)),
        (
            "sensitivity",
            CedarValue::from(sensitivity(info.sensitivity)),
        ),
        ("attributes", record(info.attributes)?),
        ("facts", record(query.facts)?),
    ];
    let received = received.map(|received| ("received", received));
    let context = CedarValue::record(context.into_iter().chain(received), None);
    let ValueKind::Record(context) = context.value else {
        return Err(Unexpressed::Refused);
    };
    Ok(Asked {
        caller,
        action: Arc::new(uid(&types.action, query.action)),
        target: Arc::new(uid(&types.target, query.target)),
        purpose,
        context: Context::Value(context),
    })
}

fn datetime(name: &Name, text: String) -> Result<CedarValue, Unexpressed> {
    let made = Extensions::all_available()
        .func(name)
        .map_err(|_| Unexpressed::Refused)?
        .call(&[CedarValue::from(text)])
        .map_err(|_| Unexpressed::Refused)?;
    CedarValue::try_from(made).map_err(|_| Unexpressed::Refused)
}

fn record(attributes: Vec<Attribute>) -> Result<CedarValue, Unexpressed> {
    let given = attributes.len();
    let pairs = attributes
        .into_iter()
        .map(|attribute| (attribute.name, value(attribute.value)));
    let record = CedarValue::record(pairs, None);
    let all = matches!(record.value_kind(), ValueKind::Record(members) if members.len() == given);
    all.then_some(record).ok_or(Unexpressed::RepeatedName)
}

fn value(value: Value) -> CedarValue {
    match value {
        Value::Text(text) => CedarValue::from(text),
        Value::Number(number) => CedarValue::from(number),
        Value::Boolean(claim) => CedarValue::from(claim),
        Value::Texts(texts) => CedarValue::from(texts),
        // What Cedar has no value for (null, fractions, deep nesting) stays a text under its name: a policy that asks
        // for it then fails to evaluate, where a missing fact would pass by a `has`.
        Value::Json(text) => serde_json::from_str(&text)
            .ok()
            .and_then(|json| from_json(json, 0))
            .unwrap_or_else(|| CedarValue::from(text)),
    }
}

/// Nesting of JSON that is followed.
const MAX_DEPTH: usize = 16;

fn from_json(json: Json, depth: usize) -> Option<CedarValue> {
    if depth > MAX_DEPTH {
        return None;
    }
    match json {
        Json::Null => None,
        Json::Bool(claim) => Some(CedarValue::from(claim)),
        Json::Number(number) => number.as_i64().map(CedarValue::from),
        Json::String(text) => Some(CedarValue::from(text)),
        Json::Array(items) => {
            let items = items.into_iter().map(|item| from_json(item, depth + 1));
            let items: Option<Vec<CedarValue>> = items.collect();
            items.map(CedarValue::from)
        }
        Json::Object(members) => {
            let members = members
                .into_iter()
                .map(|(name, json)| Some((name, from_json(json, depth + 1)?)));
            let members: Option<Vec<(String, CedarValue)>> = members.collect();
            members.map(|members| CedarValue::record(members, None))
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
