//! Stage 1: bytes → [`Received`]. Size, shape and nothing more; the text is marked as PHI from here on.

use nephron_engine::Messages;
use nephron_model::{Caller, Clock, Phi, Purpose, Sensitivity, TenantId, Timestamp};

use crate::config::RequestLimits;
use crate::wire::blob::Blob;
use crate::wire::fields::{Fields, ID_RULE, UnknownFields, is_structural, wrong};
use crate::wire::json::Json;
use crate::wire::known::Known;
use crate::wire::shape::{Builder, Shape};

/// A request that has the right shape. Nothing is known yet about who sent it.
pub struct Received<C = Call> {
    pub(crate) at: Timestamp,
    pub(crate) bytes: usize,
    pub(crate) conversation: Option<String>,
    /// What the application knows of the patient, to be found in the texts.
    pub(crate) known: Known,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) call: C,
}

/// What is asked of a model.
pub struct Call {
    pub(crate) model: String,
    /// Every string that is searched, as detectors see it.
    pub(crate) messages: Phi<Messages>,
    /// Where those strings belong.
    pub(crate) shape: Shape,
    /// What came with them and cannot be searched, in the order of the parts that stand for it.
    pub(crate) blobs: Vec<Blob>,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) temperature: Option<f64>,
    /// Whether the answer's text is to be JSON.
    pub(crate) wants_json: bool,
    /// How many texts are to be embedded, if that is what is asked; else the model is to answer.
    pub(crate) embeddings: Option<usize>,
}

/// Who a local request says it is from.
pub struct Statement {
    pub(crate) tenant: TenantId,
    pub(crate) caller: Caller,
    pub(crate) purpose: Purpose,
}

/// A request that is refused for its shape. Names a place, never the text there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// More bytes than the limit.
    #[error("the request has more bytes than the limit of {limit} (`limits.request`)")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// No JSON that can be read.
    #[error("line {line}, column {column}: {what}")]
    Shape {
        /// Line, counted from 1.
        line: usize,
        /// Column in bytes, counted from 1.
        column: usize,
        /// What is wrong, without quoting.
        what: &'static str,
    },
    /// A field holds what it may not.
    #[error("`{field}` must be {rule}")]
    Field {
        /// The field, by its path: names of fields that are known here, and indexes.
        field: String,
        /// Its rule.
        rule: &'static str,
    },
    /// A field that nobody here knows. Its name is the client's own text, and is not repeated.
    #[error(
        "{object} has a field that is not known here, so that it cannot be searched for identifiers; leave it out"
    )]
    UnknownField {
        /// The object that holds it.
        object: String,
    },
}

/// Roles of one caller.
const MOST_ROLES: usize = 32;

/// Reads one local request: one JSON object, described in `docs/formats/request.md`. Of its strings only `content` goes
/// further than this host and its deciders: it is searched for identifiers. The others are structural, short and held
/// to a form; connectors are not told them, and only the caller's id, roles and purpose stand in the log.
///
/// # Errors
/// [`Malformed`].
pub fn receive(
    body: &[u8],
    limits: &RequestLimits,
    clock: &dyn Clock,
) -> Result<(Received, Statement), Malformed> {
    check_size(body, limits)?;
    let mut fields = Fields::of(Json::read(body)?, "", UnknownFields::Refuse)?;
    let statement = Statement {
        tenant: parsed(
            &mut fields,
            "tenant",
            "a tenant: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter",
        )?,
        caller: caller(&mut fields)?,
        purpose: parsed(
            &mut fields,
            "purpose",
            "a PurposeOfUse code of HL7 v3: 1 to 16 of `A-Z`, such as `TREAT`",
        )?,
    };
    let conversation =
        fields.text_that("conversation", ID_RULE, |text| is_structural(text, 200))?;
    let sensitivity = match fields.text("sensitivity")?.as_deref() {
        None | Some("phi") => Sensitivity::Phi,
        Some("public") => Sensitivity::Public,
        Some("internal") => Sensitivity::Internal,
        Some("pii") => Sensitivity::Pii,
        Some(_) => {
            return Err(wrong("sensitivity", "`public`, `internal`, `pii` or `phi`"));
        }
    };
    let known = Known::of_member(&mut fields)?;
    let model = model(&mut fields)?;
    let max_tokens = fields.count("max-tokens")?;
    let temperature = fields.number("temperature", "from 0 to 2", 0.0..=2.0)?;
    let mut builder = Builder::default();
    for (index, message) in messages(&mut fields, limits)?.into_iter().enumerate() {
        let path = format!("messages[{index}]");
        let mut message = Fields::of(message, &path, UnknownFields::Refuse)?;
        const ROLES: &str = "`system`, `user` or `assistant`";
        let role = message.text_that("role", ROLES, |role| {
            ["system", "user", "assistant"].contains(&role)
        })?;
        let role = role.ok_or_else(|| wrong(&message.at("role"), ROLES))?;
        let content = message.text("content")?;
        let content = content.ok_or_else(|| wrong(&message.at("content"), "a string"))?;
        message.finish(&[])?;
        builder.text(&role, content);
    }
    fields.finish(&[])?;
    let call = builder.call(model, max_tokens, temperature, false);
    let received = Received {
        at: clock.now(),
        bytes: body.len(),
        conversation,
        known,
        sensitivity,
        call,
    };
    Ok((received, statement))
}

/// Refuses a body that is larger than the operator allows.
pub(crate) const fn check_size(body: &[u8], limits: &RequestLimits) -> Result<(), Malformed> {
    if body.len() > limits.bytes {
        return Err(Malformed::TooLarge {
            limit: limits.bytes,
        });
    }
    Ok(())
}

/// The model that is asked, by the caller's word for it.
pub(crate) fn model(fields: &mut Fields) -> Result<String, Malformed> {
    const RULE: &str = "the name of a model: 1 to 100 of letters, digits and `._:/-@`";
    let model = fields.text_that("model", RULE, |text| is_structural(text, 100))?;
    model.ok_or_else(|| wrong(&fields.at("model"), RULE))
}

/// The messages, at least one and no more than the operator allows.
pub(crate) fn messages(
    fields: &mut Fields,
    limits: &RequestLimits,
) -> Result<Vec<Json>, Malformed> {
    let messages = fields.list("messages")?.unwrap_or_default();
    if messages.is_empty() {
        return Err(wrong("messages", "a list of at least one message"));
    }
    if messages.len() > limits.messages {
        return Err(wrong("messages", "no more than `limits.messages`"));
    }
    Ok(messages)
}

fn parsed<T: std::str::FromStr>(
    fields: &mut Fields,
    name: &'static str,
    rule: &'static str,
) -> Result<T, Malformed> {
    let text = fields.text(name)?;
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| wrong(name, rule))
}

fn caller(fields: &mut Fields) -> Result<Caller, Malformed> {
    const NAMES: &str = "1 to 32 names of letters, digits and `._:/-@`";
    let caller = fields.object("caller")?;
    let mut caller = caller.ok_or_else(|| wrong("caller", "an object of `id` and `roles`"))?;
    let id = caller.text_that("id", ID_RULE, |text| is_structural(text, 200))?;
    let id = id.ok_or_else(|| wrong("caller.id", ID_RULE))?;
    let roles = caller.list("roles")?.unwrap_or_default();
    let roles: Option<Vec<String>> = roles
        .into_iter()
        .map(|role| role.into_text().filter(|role| is_structural(role, 64)))
        .collect();
    let roles = roles.filter(|roles| (1..=MOST_ROLES).contains(&roles.len()));
    let roles = roles.ok_or_else(|| wrong("caller.roles", NAMES))?;
    caller.finish(&[])?;
    Ok(Caller { id, roles })
}

#[cfg(test)]
mod tests {
    use nephron_model::FixedClock;

    use super::*;

    fn received(body: &str) -> Result<(Received, Statement), Malformed> {
        receive(
            body.as_bytes(),
            &RequestLimits {
                bytes: 2000,
                messages: 2,
                unknown_fields: UnknownFields::Refuse,
            },
            &FixedClock::at(0),
        )
    }

    const REQUEST: &str = r#"{"tenant":"st-marys","caller":{"id":"dr.okafor","roles":["physician"]},"purpose":"TREAT",
        "model":"clinical-summary","messages":[{"role":"user","content":"Zebulon Quackenbush"}]}"#;

    #[test]
    fn i9_what_is_wrong_is_said_without_quoting_it() {
        assert!(received(REQUEST).is_ok());
        for (from, to) in [
            ("\"TREAT\"", "\"Zebulon Quackenbush\""),
            ("\"clinical-summary\"", "\"Zebulon Quackenbush\""),
            ("\"dr.okafor\"", "\"Zebulon Quackenbush\""),
            ("\"physician\"", "\"Zebulon Quackenbush\""),
            ("\"role\":\"user\"", "\"role\":\"Zebulon Quackenbush\""),
            ("\"model\"", "\"Zebulon Quackenbush\":1,\"model\""),
            ("}]}", "}]"),
            ("Quackenbush\"", "Quackenbush"),
        ] {
            let error = received(&REQUEST.replacen(from, to, 1)).err().unwrap();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("Quackenbush"), "{shown}");
        }
    }

    #[test]
    fn a_request_has_its_limits() {
        assert!(matches!(
            received(&" ".repeat(2001)),
            Err(Malformed::TooLarge { limit: 2000 })
        ));
        let none = REQUEST.replace(r#"{"role":"user","content":"Zebulon Quackenbush"}"#, "");
        assert_eq!(
            received(&none).err().unwrap().to_string(),
            "`messages` must be a list of at least one message"
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (from, to, place) in [
            ("\"purpose\":\"TREAT\",", "", "`purpose`"),
            ("\"TREAT\"", "7", "`purpose`"),
            (
                "\"role\":\"user\"",
                "\"role\":\"nurse\"",
                "`messages[0].role`",
            ),
            ("\"content\"", "\"contents\"", "`messages[0].content`"),
            ("\"role\"", "\"x\":1,\"role\"", "`messages[0]` has a field"),
            ("\"physician\"", "7", "`caller.roles`"),
            ("\"model\"", "\"x\":1,\"model\"", "the body has a field"),
        ] {
            let error = received(&REQUEST.replacen(from, to, 1)).err().unwrap();
            let shown = error.to_string();
            assert!(shown.contains(place), "{place}: {shown}");
        }
    }
}
