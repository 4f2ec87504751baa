//! A detector whose span starts inside the first scalar that takes more than one byte of UTF-8, and ends with it.
//!
//! A request that has no such scalar in the first text of its first message gets no span: send it `é`.

use nephron_sdk::detector::{Detector, Message, Part, RequestInfo, Span};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Cuts a scalar in two.
pub struct SpansInsideAScalar;

impl Plugin for SpansInsideAScalar {
    type Settings = NoSettings;
    const NAME: &str = "spans-inside-a-scalar";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Detector for SpansInsideAScalar {
    fn detect(&self, _: RequestInfo, messages: Vec<Message>) -> Result<Vec<Span>, Error> {
        let text = match messages.first().and_then(|message| message.parts.first()) {
            Some(Part::Text(text)) => text.as_str(),
            Some(Part::Json(_) | Part::Blob(_)) | None => "",
        };
        text.char_indices()
            .find(|(_, scalar)| scalar.len_utf8() > 1)
            .map(|(at, scalar)| {
                Ok(Span {
                    message: 0,
                    part: 0,
                    start: offset(at.saturating_add(1))?,
                    end: offset(at.saturating_add(scalar.len_utf8()))?,
                    kind: "name".to_owned(),
                    confidence: 1.0,
                    rule: None,
                })
            })
            .into_iter()
            .collect()
    }
}

fn offset(length: usize) -> Result<u32, Error> {
    u32::try_from(length)
        .map_err(|_| Error::LimitExceeded("more text than an offset can name".to_owned()))
}

nephron_sdk::export!(detector: SpansInsideAScalar);
