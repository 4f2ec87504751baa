//! A decider that never answers: it counts for ever, in code that no optimiser may leave out.

use std::hint::black_box;

use nephron_sdk::decider::{Decider, Decision, Query};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Counts for ever.
pub struct LoopsForever;

impl Plugin for LoopsForever {
    type Settings = NoSettings;
    const NAME: &str = "loops-forever";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for LoopsForever {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        let mut count = 0_u64;
        loop {
            count = black_box(count.wrapping_add(1));
        }
    }
}

nephron_sdk::export!(decider: LoopsForever);
