//! A decider that permits under an obligation that no host knows, which is a deny.

use nephron_sdk::decider::{Decider, Decision, Effect, Obligation, Query};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Permits, on a condition of its own.
pub struct UnknownObligation;

impl Plugin for UnknownObligation {
    type Settings = NoSettings;
    const NAME: &str = "unknown-obligation";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for UnknownObligation {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        Ok(Decision {
            effect: Effect::Permit,
            reasons: Vec::new(),
            obligations: vec![Obligation {
                id: "x-unheard-of".to_owned(),
                arguments: Vec::new(),
            }],
        })
    }
}

nephron_sdk::export!(decider: UnknownObligation);
