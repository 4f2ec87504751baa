//! A decider that finds two faults in any settings, and permits everything should a host call it all the same.

use nephron_sdk::decider::{Decider, Decision, Effect, Query};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Cannot be configured.
pub struct FailsToConfigure;

impl Plugin for FailsToConfigure {
    type Settings = NoSettings;
    const NAME: &str = "fails-to-configure";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Err(vec![
            Problem::at("policies[0]", "names no action; add one"),
            Problem {
                key: None,
                message: "no settings will do; choose another plugin".to_owned(),
            },
        ])
    }
}

impl Decider for FailsToConfigure {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        Ok(Decision {
            effect: Effect::Permit,
            reasons: Vec::new(),
            obligations: Vec::new(),
        })
    }
}

nephron_sdk::export!(decider: FailsToConfigure);
