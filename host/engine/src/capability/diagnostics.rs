//! `nephron:plugin/diagnostics`: what a plugin says about itself, scrubbed and capped.

use crate::bindings::v0_1::diagnostics::{Attribute, Host, Level};
use crate::bindings::v0_1::types::Value;
use crate::capability::Guest;

/// Attributes of one event that are looked at.
const MOST_ATTRIBUTES: usize = 16;

impl Host for Guest {
    /// A plugin has seen PHI, so none of its text is let through (I9): an event's name and its attributes' names only
    /// in the form of an identifier, numbers and booleans as they are, text as its length.
    fn log(
        &mut self,
        level: Level,
        event: String,
        attributes: Vec<Attribute>,
    ) -> wasmtime::Result<()> {
        self.budget.spend()?;
        let event = identifier(&event);
        let attributes = attributes
            .iter()
            .take(MOST_ATTRIBUTES)
            .map(scrubbed)
            .collect::<Vec<_>>()
            .join(" ");
        match level {
            Level::Trace => tracing::trace!(target: "plugin", event, attributes),
            Level::Debug => tracing::debug!(target: "plugin", event, attributes),
            Level::Info => tracing::info!(target: "plugin", event, attributes),
            Level::Warn => tracing::warn!(target: "plugin", event, attributes),
            // `error` wakes someone, and a guest may not.
            Level::Error => {
                tracing::warn!(target: "plugin", event, attributes, guest_level = "error")
            }
        }
        Ok(())
    }
}

fn scrubbed(attribute: &Attribute) -> String {
    let name = identifier(&attribute.name);
    match &attribute.value {
        Value::Number(number) => format!("{name}={number}"),
        Value::Boolean(boolean) => format!("{name}={boolean}"),
        Value::Text(text) | Value::Json(text) => format!("{name}=<{} bytes>", text.len()),
        Value::Texts(texts) => format!("{name}=<{} texts>", texts.len()),
    }
}

/// Only what looks like a name chosen at build time: up to 40 of `a-z`, `-`, `_` and `.`. Digits are left out, because
/// a medical record number is an identifier in that form.
fn identifier(text: &str) -> &str {
    let holds = text.len() <= 40
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'_' | b'.'));
    if holds { text } else { "<withheld>" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_text_of_a_guest_is_withheld() {
        let attribute = |name: &str, value| Attribute {
            name: name.to_owned(),
            value,
        };
        for (attribute, shown) in [
            (attribute("spans", Value::Number(3)), "spans=3"),
            (
                attribute("note", Value::Text("Zebulon Quackenbush".to_owned())),
                "note=<19 bytes>",
            ),
            (
                attribute("Zebulon Quackenbush", Value::Boolean(true)),
                "<withheld>=true",
            ),
            (
                attribute("mrn-5583920", Value::Boolean(true)),
                "<withheld>=true",
            ),
        ] {
            assert_eq!(scrubbed(&attribute), shown);
        }
    }
}
