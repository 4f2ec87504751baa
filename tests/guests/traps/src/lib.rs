//! A decider that traps at once: it aborts, which is the instruction `unreachable` on Wasm.

use nephron_sdk::decider::{Decider, Decision, Query};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Gives up.
pub struct Traps;

impl Plugin for Traps {
    type Settings = NoSettings;
    const NAME: &str = "traps";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for Traps {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        std::process::abort()
    }
}

nephron_sdk::export!(decider: Traps);
