//! A decider that traps at once: it panics, which is the instruction `unreachable` on Wasm.
//!
//! With the setting `target` only where it is asked about that; it permits anything else.

use nephron_sdk::decider::{Decider, Decision, Effect, Query};
use nephron_sdk::{Error, Plugin, Problem};

/// Settings of [`Traps`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    target: Option<String>,
}

/// Gives up.
pub struct Traps {
    target: Option<String>,
}

impl Plugin for Traps {
    type Settings = Settings;
    const NAME: &str = "traps";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(Settings { target }: Settings) -> Result<Self, Vec<Problem>> {
        Ok(Self { target })
    }
}

impl Decider for Traps {
    #[expect(clippy::panic, reason = "that is what it is for")]
    fn decide(&self, query: Query) -> Result<Decision, Error> {
        if let Some(target) = &self.target
            && *target != query.target
        {
            return Ok(Decision {
                effect: Effect::Permit,
                obligations: Vec::new(),
                reasons: Vec::new(),
            });
        }
        panic!("it gives up")
    }
}

nephron_sdk::export!(decider: Traps);
