//! What a plugin said of itself, as its author is shown it.

use std::io::{self, Write};

use nephron_engine::Said;
use nephron_engine::contract::{Attribute, Level, Value};
use serde::Serialize;

use crate::cli::style::{self, Look};
use crate::cli::text::visible;

#[derive(Serialize)]
pub(super) struct Diagnostic {
    level: &'static str,
    event: String,
    attributes: serde_json::Map<String, serde_json::Value>,
}

impl Diagnostic {
    /// All that was said, in its order.
    pub(super) fn all(said: &[Said]) -> Vec<Self> {
        said.iter().map(Self::of).collect()
    }

    /// One line.
    pub(super) fn write(&self, look: Look, out: &mut impl Write) -> io::Result<()> {
        let quiet = look.style(style::QUIET);
        let attributes = serde_json::to_string(&self.attributes)?;
        let (level, event, attributes) = (self.level, visible(&self.event), visible(&attributes));
        writeln!(out, "{quiet}{level:<5}{quiet:#} {event} {attributes}")
    }

    fn of(said: &Said) -> Self {
        let attribute = |Attribute { name, value }: &Attribute| {
            let value = match value {
                Value::Text(text) | Value::Json(text) => text.clone().into(),
                Value::Number(number) => (*number).into(),
                Value::Boolean(truth) => (*truth).into(),
                Value::Texts(texts) => texts.clone().into(),
            };
            (name.clone(), value)
        };
        Self {
            level: match said.level {
                Level::Trace => "trace",
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warn => "warn",
                Level::Error => "error",
            },
            event: said.event.clone(),
            attributes: said.attributes.iter().map(attribute).collect(),
        }
    }
}
