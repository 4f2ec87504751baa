//! A detector whose two spans share a byte: bytes 0 to 2 and 1 to 3 of the first text, as different kinds.
//!
//! The first text must have at least three bytes of ASCII, so that overlapping is all that is wrong.

use nephron_sdk::detector::{Detector, Message, RequestInfo, Span};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Points twice at one byte.
pub struct SpansOverlapping;

impl Plugin for SpansOverlapping {
    type Settings = NoSettings;
    const NAME: &str = "spans-overlapping";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Detector for SpansOverlapping {
    fn detect(&self, _: RequestInfo, _: Vec<Message>) -> Result<Vec<Span>, Error> {
        let span = |start, end, kind: &str| Span {
            message: 0,
            part: 0,
            start,
            end,
            kind: kind.to_owned(),
            confidence: 1.0,
            rule: None,
        };
        Ok(vec![span(0, 2, "name"), span(1, 3, "mrn")])
    }
}

nephron_sdk::export!(detector: SpansOverlapping);
