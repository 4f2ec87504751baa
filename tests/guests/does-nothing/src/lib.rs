//! A decider that permits everything at once.

use nephron_sdk::decider::{Decider, Decision, Effect, Query};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Permits.
pub struct DoesNothing;

impl Plugin for DoesNothing {
    type Settings = NoSettings;
    const NAME: &str = "does-nothing";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for DoesNothing {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        Ok(Decision {
            effect: Effect::Permit,
            reasons: Vec::new(),
            obligations: Vec::new(),
        })
    }
}

nephron_sdk::export!(decider: DoesNothing);
