//! A decider that calls itself without end, each call waiting for the next, so that it cannot become a loop.

use std::hint::black_box;

use nephron_sdk::decider::{Decider, Decision, Effect, Query};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Digs down.
pub struct Recurses;

impl Plugin for Recurses {
    type Settings = NoSettings;
    const NAME: &str = "recurses";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for Recurses {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        // The answer depends on the depth, so that the calls cannot be left out.
        let effect = if depth_below(1) == 0 {
            Effect::Permit
        } else {
            Effect::Deny
        };
        Ok(Decision {
            effect,
            reasons: Vec::new(),
            obligations: Vec::new(),
        })
    }
}

/// Calls itself until `depth` wraps round to zero, and then uses what comes back.
#[inline(never)]
fn depth_below(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    let below = depth_below(black_box(depth.wrapping_add(1)));
    black_box(below ^ depth).rotate_left(1)
}

nephron_sdk::export!(decider: Recurses);
