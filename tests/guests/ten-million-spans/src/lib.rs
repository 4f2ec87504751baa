//! A detector that returns ten million empty spans, or as many as its setting `count` says.
//!
//! Ten million take 840 MB (44 bytes a span, and 40 more on the way out), so that the default ends out of memory; some
//! 600,000 fit in 64 MiB and must be stopped on the way out. `tests/made/claims-ten-million-spans` is the one that claims
//! the number without having the memory.

use nephron_sdk::detector::{Detector, Message, RequestInfo, Span};
use nephron_sdk::{Error, Plugin, Problem};

/// Settings of [`TenMillionSpans`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Number of spans.
    #[serde(default = "ten_million")]
    count: u32,
}

/// Sees identifiers everywhere.
pub struct TenMillionSpans {
    count: u32,
}

impl Plugin for TenMillionSpans {
    type Settings = Settings;
    const NAME: &str = "ten-million-spans";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        Ok(Self {
            count: settings.count,
        })
    }
}

impl Detector for TenMillionSpans {
    fn detect(&self, _: RequestInfo, _: Vec<Message>) -> Result<Vec<Span>, Error> {
        // The range knows its length, so that the list is allocated once, at its full size.
        Ok((0..self.count)
            .map(|_| Span {
                message: 0,
                part: 0,
                start: 0,
                end: 0,
                kind: String::new(),
                confidence: 1.0,
                rule: None,
            })
            .collect())
    }
}

fn ten_million() -> u32 {
    10_000_000
}

nephron_sdk::export!(detector: TenMillionSpans);
