//! A decider of a language that cannot do without WASI: it permits, and its reasons tell what clock, randomness and
//! environment it saw.

use nephron_sdk::decider::{Decider, Decision, Effect, Query, Reason};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

mod wasi {
    wit_bindgen::generate!({ path: "wit", world: "needs-wasi", generate_all });
}

use wasi::wasi::{cli::environment, clocks::wall_clock, random::random};

/// Looks around.
pub struct NeedsWasi;

impl Plugin for NeedsWasi {
    type Settings = NoSettings;
    const NAME: &str = "needs-wasi";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for NeedsWasi {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        let reason = |code: String| Reason {
            code,
            text: None,
            policy: None,
        };
        Ok(Decision {
            effect: Effect::Permit,
            reasons: vec![
                reason(format!("clock-{}", wall_clock::now().seconds)),
                reason(format!(
                    "environment-{}",
                    environment::get_environment().len()
                )),
                reason(format!("random-{}", random::get_random_u64())),
            ],
            obligations: Vec::new(),
        })
    }
}

nephron_sdk::export!(decider: NeedsWasi);
