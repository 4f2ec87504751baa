//! `nephron:plugin/diagnostics`: that a plugin said something about itself, and how much.

use crate::bindings::v0_1::diagnostics::{Attribute, Host, Level};
use crate::bindings::v0_1::types::{Error, Value};
use crate::capability::Guest;

/// What a guest said, whole. Only [`Engine::rehearse`](crate::Engine::rehearse) gives it.
#[derive(Clone, Debug)]
pub struct Said {
    /// How grave it is.
    pub level: Level,
    /// Its name for what happened.
    pub event: String,
    /// What goes with it.
    pub attributes: Vec<Attribute>,
}

/// What is kept of one call, in bytes: a candidate is rehearsed by the host that serves, too.
const MOST_SAID: usize = 1 << 20;

/// Everything that is kept of one call.
#[derive(Debug, Default)]
pub(crate) struct Saying {
    pub(crate) said: Vec<Said>,
    /// The text of the error that it answered with, if it did; code and text of one of its own kind.
    pub(crate) error: Option<String>,
    bytes: usize,
}

impl Saying {
    /// Takes the plugin's own error in.
    pub(crate) fn hear(&mut self, error: &Error) {
        let code = match error {
            Error::Other(other) => other.code.as_str(),
            Error::InvalidInput(_)
            | Error::Unsupported(_)
            | Error::LimitExceeded(_)
            | Error::Unavailable(_)
            | Error::Internal(_) => error.code(),
        };
        self.error = Some(format!("{code}: {}", error.text()));
    }
}

impl Host for Guest {
    /// A plugin has seen PHI, and a name or a number that it chooses while it runs can carry some (I9): what is let
    /// through is how grave it is and how much it said.
    fn log(
        &mut self,
        level: Level,
        event: String,
        attributes: Vec<Attribute>,
    ) -> wasmtime::Result<()> {
        self.budget.spend()?;
        let bytes = event.len() + attributes.iter().map(size).sum::<usize>();
        if let Some(saying) = &mut self.saying {
            saying.bytes += bytes + size_of::<Said>() + attributes.len() * size_of::<Attribute>();
            if saying.bytes <= MOST_SAID {
                saying.said.push(Said {
                    level,
                    event,
                    attributes,
                });
            }
            return Ok(());
        }
        let attributes = attributes.len();
        match level {
            Level::Trace => tracing::trace!(target: "nephron::plugin", bytes, attributes),
            Level::Debug => tracing::debug!(target: "nephron::plugin", bytes, attributes),
            Level::Info => tracing::info!(target: "nephron::plugin", bytes, attributes),
            // `error` wakes someone, and a guest may not.
            Level::Warn | Level::Error => {
                tracing::warn!(target: "nephron::plugin", bytes, attributes)
            }
        }
        Ok(())
    }
}

/// Bytes of name and value.
fn size(attribute: &Attribute) -> usize {
    let value = match &attribute.value {
        Value::Number(_) => 8,
        Value::Boolean(_) => 1,
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Texts(texts) => texts.iter().map(String::len).sum(),
    };
    attribute.name.len() + value
}
