//! A decider that writes a million diagnostics of 4 KiB each before it answers.

use nephron_sdk::decider::{Attribute, Decider, Decision, Effect, Query, Value};
use nephron_sdk::diagnostics::{Level, log};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Calls made before it answers.
const CALLS: u32 = 1_000_000;

/// Bytes in the value of each call.
const VALUE: usize = 4096;

/// Talks.
pub struct FloodsHostCalls;

impl Plugin for FloodsHostCalls {
    type Settings = NoSettings;
    const NAME: &str = "floods-host-calls";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for FloodsHostCalls {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        let attributes = [Attribute {
            name: "noise".to_owned(),
            value: Value::Text("n".repeat(VALUE)),
        }];
        for _ in 0..CALLS {
            log(Level::Info, "flood", &attributes);
        }
        Ok(Decision {
            effect: Effect::Permit,
            reasons: Vec::new(),
            obligations: Vec::new(),
        })
    }
}

nephron_sdk::export!(decider: FloodsHostCalls);
