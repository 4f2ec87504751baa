//! A decider that builds a reason of one gibibyte, or of as many bytes as its setting `bytes` says.
//!
//! The default does not fit in a guest's memory, so that it ends out of memory; a size that fits must be stopped on the
//! way out. `tests/made/claims-a-gigabyte` is the one that claims the length without having the memory.

use nephron_sdk::decider::{Decider, Decision, Effect, Query, Reason};
use nephron_sdk::{Error, Plugin, Problem};

/// Settings of [`ReturnsAGigabyte`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Length of the reason's text, in bytes.
    #[serde(default = "one_gibibyte")]
    bytes: u32,
}

/// Permits, at length.
pub struct ReturnsAGigabyte {
    bytes: usize,
}

impl Plugin for ReturnsAGigabyte {
    type Settings = Settings;
    const NAME: &str = "returns-a-gigabyte";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        match usize::try_from(settings.bytes) {
            Ok(bytes) => Ok(Self { bytes }),
            Err(_) => Err(vec![Problem::at(
                "bytes",
                "is more than an address can name",
            )]),
        }
    }
}

impl Decider for ReturnsAGigabyte {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        Ok(Decision {
            effect: Effect::Permit,
            reasons: vec![Reason {
                code: "verbose".to_owned(),
                text: Some("a".repeat(self.bytes)),
                policy: None,
            }],
            obligations: Vec::new(),
        })
    }
}

fn one_gibibyte() -> u32 {
    1 << 30
}

nephron_sdk::export!(decider: ReturnsAGigabyte);
