//! A detector whose one span stands where the request has no text, in the way that its setting `place` says.

use nephron_sdk::detector::{Detector, Message, Part, RequestInfo, Span};
use nephron_sdk::{Error, Plugin, Problem};

/// In which way the span is out of range.
#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It ends one byte behind the first text of the first message.
    #[default]
    End,
    /// It starts behind its end.
    Reversed,
    /// Its part is one more than the first message has.
    Part,
    /// Its message is one more than there are.
    Message,
    /// Its offsets are the greatest that can be written.
    Farthest,
}

/// Settings of [`SpansOutOfRange`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    #[serde(default)]
    place: Place,
}

/// Points outside.
pub struct SpansOutOfRange {
    place: Place,
}

impl Plugin for SpansOutOfRange {
    type Settings = Settings;
    const NAME: &str = "spans-out-of-range";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        Ok(Self {
            place: settings.place,
        })
    }
}

impl Detector for SpansOutOfRange {
    fn detect(&self, _: RequestInfo, messages: Vec<Message>) -> Result<Vec<Span>, Error> {
        let parts = messages.first().map_or(&[][..], |message| &message.parts);
        let length = match parts.first() {
            Some(Part::Text(text)) => text.len(),
            Some(Part::Json(_) | Part::Blob(_)) | None => 0,
        };
        let (message, part, start, end) = match self.place {
            Place::End => (0, 0, 0, offset(length.saturating_add(1))?),
            Place::Reversed => (0, 0, 2, 1),
            Place::Part => (0, offset(parts.len())?, 0, 1),
            Place::Message => (offset(messages.len())?, 0, 0, 1),
            Place::Farthest => (0, 0, u32::MAX - 1, u32::MAX),
        };
        Ok(vec![Span {
            message,
            part,
            start,
            end,
            kind: "name".to_owned(),
            confidence: 1.0,
            rule: None,
        }])
    }
}

fn offset(length: usize) -> Result<u32, Error> {
    u32::try_from(length)
        .map_err(|_| Error::LimitExceeded("more text than an offset can name".to_owned()))
}

nephron_sdk::export!(detector: SpansOutOfRange);
