//! How the value of the rule becomes a decision. README.md has the table.

use std::collections::BTreeMap;

use nephron_sdk::decider::{Attribute, Decision, Effect, Obligation, Reason, Value};
use serde::Deserialize;
use serde_json::Value as Json;

/// A decision as a rule may write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    effect: Option<String>,
    allow: Option<bool>,
    #[serde(default)]
    reasons: Vec<Because>,
    #[serde(default)]
    obligations: Vec<Owed>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Because {
    Words(String),
    Reason(Full),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    code: String,
    text: Option<String>,
    policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Owed {
    Id(String),
    Full(Duty),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Duty {
    id: String,
    #[serde(default)]
    arguments: BTreeMap<String, Json>,
}

/// The decision that `value` is; `indeterminate` where it is none.
pub(crate) fn read(value: &regorus::Value) -> Decision {
    let said = match value {
        regorus::Value::Undefined => return plain(Effect::NotApplicable, Vec::new()),
        regorus::Value::Bool(true) => return plain(Effect::Permit, Vec::new()),
        regorus::Value::Bool(false) => return plain(Effect::Deny, vec![code("not-allowed")]),
        regorus::Value::String(word) => effect(word).map(|effect| plain(effect, Vec::new())),
        regorus::Value::Object(_) => serde_json::to_value(value).ok().and_then(of_object),
        regorus::Value::Null
        | regorus::Value::Number(_)
        | regorus::Value::Array(_)
        | regorus::Value::Set(_) => None,
    };
    said.unwrap_or_else(|| indeterminate("unreadable-decision"))
}

/// No decision, for the reason `why`.
pub(crate) fn indeterminate(why: &str) -> Decision {
    plain(Effect::Indeterminate, vec![code(why)])
}

fn of_object(object: Json) -> Option<Decision> {
    let said: Said = serde_json::from_value(object).ok()?;
    let effect = match (said.effect, said.allow) {
        (Some(word), None) => effect(&word)?,
        (None, Some(true)) => Effect::Permit,
        (None, Some(false)) => Effect::Deny,
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let obligations = said.obligations.into_iter().map(Owed::obligation);
    Some(Decision {
        effect,
        reasons: said.reasons.into_iter().map(Because::reason).collect(),
        // Whoever is refused owes nothing.
        obligations: obligations
            .filter(|_| matches!(effect, Effect::Permit))
            .collect(),
    })
}

fn effect(word: &str) -> Option<Effect> {
    Some(match word {
        "permit" => Effect::Permit,
        "deny" => Effect::Deny,
        "not-applicable" => Effect::NotApplicable,
        "indeterminate" => Effect::Indeterminate,
        _ => return None,
    })
}

impl Because {
    fn reason(self) -> Reason {
        match self {
            Self::Words(words) if is_code(&words) => code(&words),
            Self::Words(words) => Reason {
                text: Some(words),
                ..code("message")
            },
            Self::Reason(Full { code, text, policy }) => Reason { code, text, policy },
        }
    }
}

impl Owed {
    fn obligation(self) -> Obligation {
        let (id, arguments) = match self {
            Self::Id(id) => (id, BTreeMap::new()),
            Self::Full(Duty { id, arguments }) => (id, arguments),
        };
        let attribute = |(name, json)| Attribute {
            name,
            value: value(json),
        };
        Obligation {
            id,
            arguments: arguments.into_iter().map(attribute).collect(),
        }
    }
}

fn value(json: Json) -> Value {
    match json {
        Json::String(text) => Value::Text(text),
        Json::Bool(claim) => Value::Boolean(claim),
        Json::Array(items) if items.iter().all(Json::is_string) => {
            let texts = items.into_iter().filter_map(|item| match item {
                Json::String(text) => Some(text),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                    None
                }
            });
            Value::Texts(texts.collect())
        }
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Json(number.to_string()), Value::Number),
        Json::Null | Json::Array(_) | Json::Object(_) => Value::Json(json.to_string()),
    }
}

const fn plain(effect: Effect, reasons: Vec<Reason>) -> Decision {
    Decision {
        effect,
        reasons,
        obligations: Vec::new(),
    }
}

fn code(code: &str) -> Reason {
    Reason {
        code: code.to_owned(),
        text: None,
        policy: None,
    }
}

fn is_code(words: &str) -> bool {
    let is_of_code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&words.len()) && words.bytes().all(is_of_code)
}
