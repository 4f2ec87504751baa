//! A decider whose `configure` never returns, so that a swap to it must be given up.

use std::hint::black_box;

use nephron_sdk::decider::{Decider, Decision, Effect, Query};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Counts for ever while it is configured.
pub struct LoopsInConfigure;

impl Plugin for LoopsInConfigure {
    type Settings = NoSettings;
    const NAME: &str = "loops-in-configure";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        let mut count = 0_u64;
        loop {
            count = black_box(count.wrapping_add(1));
        }
    }
}

impl Decider for LoopsInConfigure {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        Ok(Decision {
            effect: Effect::Permit,
            reasons: Vec::new(),
            obligations: Vec::new(),
        })
    }
}

nephron_sdk::export!(decider: LoopsInConfigure);
