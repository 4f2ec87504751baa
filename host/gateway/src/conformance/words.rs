//! The records of the contract as cases write them.

use nephron_engine::contract::{
    Attribute, BlobRef, Caller, Instant, Message, Part, RequestInfo, Sensitivity, Value,
};
use serde::Deserialize;
use serde_json::Map;

/// What a plugin is told about the request, where a case says other than usual.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CaseInfo {
    id: Option<String>,
    tenant: Option<String>,
    /// RFC 3339, in UTC.
    received_at: Option<String>,
    caller: CaseCaller,
    purpose: Option<String>,
    sensitivity: Option<Sensitivity>,
    attributes: Map<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CaseCaller {
    id: Option<String>,
    roles: Vec<String>,
    attributes: Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseMessage {
    #[serde(default = "user")]
    role: String,
    name: Option<String>,
    parts: Vec<CasePart>,
}

fn user() -> String {
    "user".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum CasePart {
    Text(String),
    Json(serde_json::Value),
    Blob(CaseBlob),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseBlob {
    media_type: String,
    length: u64,
    sha256: String,
}

/// 2026-11-22T07:23:22Z.
const RECEIVED: u64 = 1_795_305_802;

impl CaseInfo {
    pub(super) fn read(self) -> Result<RequestInfo, String> {
        let received_at = match &self.received_at {
            None => Instant {
                seconds: RECEIVED,
                nanoseconds: 0,
            },
            Some(text) => instant(text)?,
        };
        Ok(RequestInfo {
            id: self
                .id
                .unwrap_or_else(|| "01M8BF3PTSBP1N1625HSJKEHCE".to_owned()),
            tenant: self.tenant.unwrap_or_else(|| "st-marys".to_owned()),
            received_at,
            caller: Caller {
                id: self.caller.id.unwrap_or_else(|| "caller-17".to_owned()),
                roles: self.caller.roles,
                attributes: attributes(self.caller.attributes),
            },
            purpose: self.purpose.unwrap_or_else(|| "TREAT".to_owned()),
            sensitivity: self.sensitivity.unwrap_or(Sensitivity::Phi),
            attributes: attributes(self.attributes),
        })
    }
}

fn instant(text: &str) -> Result<Instant, String> {
    let fault =
        || format!("the case itself is faulty: `{text}` is no time such as 2026-11-26T08:00:00Z");
    let time = humantime::parse_rfc3339(text).map_err(|_| fault())?;
    let since = time
        .duration_since(std::time::UNIX_EPOCH)
        .map_err(|_| fault())?;
    Ok(Instant {
        seconds: since.as_secs(),
        nanoseconds: since.subsec_nanos(),
    })
}

/// Attributes from an object: texts, whole numbers, truth values and lists of texts as such, anything else as JSON text.
pub(super) fn attributes(object: Map<String, serde_json::Value>) -> Vec<Attribute> {
    let attribute = |(name, value)| Attribute {
        name,
        value: value_of(&value),
    };
    object.into_iter().map(attribute).collect()
}

fn value_of(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Bool(truth) => Value::Boolean(*truth),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Json(value.to_string()), Value::Number),
        serde_json::Value::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            let texts: Option<Vec<String>> = texts.collect();
            texts.map_or_else(|| Value::Json(value.to_string()), Value::Texts)
        }
        serde_json::Value::Null | serde_json::Value::Object(_) => Value::Json(value.to_string()),
    }
}

/// Attributes as an object again, by the same rule.
pub(super) fn object(attributes: &[Attribute]) -> Map<String, serde_json::Value> {
    let pair = |attribute: &Attribute| {
        let value = match &attribute.value {
            Value::Text(text) => text.clone().into(),
            Value::Number(number) => (*number).into(),
            Value::Boolean(truth) => (*truth).into(),
            Value::Texts(texts) => texts.clone().into(),
            Value::Json(json) => serde_json::from_str(json).unwrap_or_else(|_| json.clone().into()),
        };
        (attribute.name.clone(), value)
    };
    attributes.iter().map(pair).collect()
}

pub(super) fn messages(messages: Vec<CaseMessage>) -> Vec<Message> {
    let part = |part| match part {
        CasePart::Text(text) => Part::Text(text),
        CasePart::Json(json) => Part::Json(json.to_string()),
        CasePart::Blob(blob) => Part::Blob(BlobRef {
            media_type: blob.media_type,
            length: blob.length,
            sha256: blob.sha256,
        }),
    };
    let message = |message: CaseMessage| Message {
        role: message.role,
        name: message.name,
        parts: message.parts.into_iter().map(part).collect(),
    };
    messages.into_iter().map(message).collect()
}

/// The text of a part, if it has one.
pub(super) fn text_of(messages: &[Message], message: u32, part: u32) -> Option<&str> {
    let index = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
    match messages.get(index(message))?.parts.get(index(part))? {
        Part::Text(text) | Part::Json(text) => Some(text),
        Part::Blob(_) => None,
    }
}
