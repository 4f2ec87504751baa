//! Stage 1: bytes → [`Received`]. Size, shape and nothing more; the text is marked as PHI from here on.

use nephron_engine::Messages;
use nephron_engine::contract::{Message, Part};
use nephron_model::{Caller, Clock, Phi, Purpose, Sensitivity, TenantId, Timestamp};
use serde::Deserialize;

use crate::config::RequestLimits;

/// A request that has the right shape. Nothing is known yet about who sent it.
pub struct Received {
    pub(crate) at: Timestamp,
    pub(crate) bytes: usize,
    pub(crate) tenant: TenantId,
    pub(crate) caller: Caller,
    pub(crate) purpose: Purpose,
    pub(crate) conversation: Option<String>,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) call: Call,
}

/// What is asked of a model.
pub(crate) struct Call {
    pub(crate) model: String,
    pub(crate) messages: Phi<Messages>,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) temperature: Option<f64>,
}

/// The wire form: one JSON object, described in `docs/formats/request.md`. Of its strings only `content` goes further
/// than this host and its deciders: it is scanned for identifiers. The others are structural, short and held to a form;
/// connectors are not told them, and only the caller's id, roles and purpose stand in the log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Wire {
    tenant: TenantId,
    caller: Caller,
    purpose: Purpose,
    conversation: Option<String>,
    #[serde(default = "phi")]
    sensitivity: Sensitivity,
    model: String,
    messages: Vec<WireMessage>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
}

const fn phi() -> Sensitivity {
    Sensitivity::Phi
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMessage {
    role: Role,
    content: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    User,
    Assistant,
}

/// A request that is refused for its shape. Names a place, never the text there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// More bytes than the limit.
    #[error("the request has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes received.
        size: usize,
        /// Bytes allowed (`limits.request`).
        limit: usize,
    },
    /// Not JSON, or not a request.
    #[error(
        "line {line}, column {column}: {what}; docs/formats/request.md has the form of a request"
    )]
    Shape {
        /// Line, counted from 1.
        line: usize,
        /// Column in bytes, counted from 1.
        column: usize,
        /// What is wrong, without quoting.
        what: &'static str,
    },
    /// A structural field holds what it may not.
    #[error("`{field}` must be {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its rule.
        rule: &'static str,
    },
}

/// Roles of one caller.
const MOST_ROLES: usize = 32;

/// Reads one request.
///
/// # Errors
/// [`Malformed`].
pub fn receive(
    body: &[u8],
    limits: &RequestLimits,
    clock: &dyn Clock,
) -> Result<Received, Malformed> {
    if body.len() > limits.bytes {
        return Err(Malformed::TooLarge {
            size: body.len(),
            limit: limits.bytes,
        });
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|error| Malformed::Shape {
        line: error.line(),
        column: error.column(),
        // Serde's own text quotes what it found, which may be PHI (I9).
        what: match error.classify() {
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "not JSON",
            serde_json::error::Category::Eof => "the JSON ends too early",
            serde_json::error::Category::Data => {
                "a field is missing, unknown, or of the wrong type"
            }
        },
    })?;
    let field = |holds: bool, field, rule| {
        if holds {
            Ok(())
        } else {
            Err(Malformed::Field { field, rule })
        }
    };
    let structural = |text: &str, most: usize| {
        (1..=most).contains(&text.len())
            && text.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'/' | b'-' | b'@')
            })
    };
    field(
        structural(&wire.model, 100),
        "model",
        "1 to 100 of letters, digits and `._:/-@`",
    )?;
    field(
        structural(&wire.caller.id, 200),
        "caller.id",
        "1 to 200 of letters, digits and `._:/-@`",
    )?;
    let roles = wire.caller.roles.iter().all(|role| structural(role, 64));
    field(
        roles && (1..=MOST_ROLES).contains(&wire.caller.roles.len()),
        "caller.roles",
        "1 to 32 names of letters, digits and `._:/-@`",
    )?;
    let conversation = wire
        .conversation
        .as_deref()
        .is_none_or(|name| structural(name, 200));
    field(
        conversation,
        "conversation",
        "1 to 200 of letters, digits and `._:/-@`",
    )?;
    field(
        !wire.messages.is_empty(),
        "messages",
        "at least one message",
    )?;
    field(
        wire.messages.len() <= limits.messages,
        "messages",
        "no more than `limits.messages`",
    )?;
    field(
        wire.temperature.is_none_or(|t| (0.0..=2.0).contains(&t)),
        "temperature",
        "from 0 to 2",
    )?;

    let messages = wire.messages.into_iter().map(|message| Message {
        role: match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
        .to_owned(),
        name: None,
        parts: vec![Part::Text(message.content)],
    });
    Ok(Received {
        at: clock.now(),
        bytes: body.len(),
        tenant: wire.tenant,
        caller: wire.caller,
        purpose: wire.purpose,
        conversation: wire.conversation,
        sensitivity: wire.sensitivity,
        call: Call {
            model: wire.model,
            messages: Phi::new(Messages(messages.collect())),
            max_tokens: wire.max_tokens,
            temperature: wire.temperature,
        },
    })
}

#[cfg(test)]
mod tests {
    use nephron_model::FixedClock;

    use super::*;

    fn received(body: &str) -> Result<Received, Malformed> {
        receive(
            body.as_bytes(),
            &RequestLimits {
                bytes: 2000,
                messages: 2,
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
            Err(Malformed::TooLarge {
                size: 2001,
                limit: 2000
            })
        ));
        let none = REQUEST.replace(r#"{"role":"user","content":"Zebulon Quackenbush"}"#, "");
        assert!(matches!(
            received(&none),
            Err(Malformed::Field {
                field: "messages",
                ..
            })
        ));
    }
}
