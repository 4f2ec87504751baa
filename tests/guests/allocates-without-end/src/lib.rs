//! A decider that takes memory until the host gives no more: it keeps and touches one mebibyte after another.

use std::hint::black_box;

use nephron_sdk::decider::{Decider, Decision, Query};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Bytes taken at each turn.
const BLOCK: usize = 1 << 20;

/// Hoards memory.
pub struct AllocatesWithoutEnd;

impl Plugin for AllocatesWithoutEnd {
    type Settings = NoSettings;
    const NAME: &str = "allocates-without-end";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for AllocatesWithoutEnd {
    fn decide(&self, _: Query) -> Result<Decision, Error> {
        let mut hoard = Vec::new();
        loop {
            // A value other than zero has each page written, so that the host must really find it.
            hoard.push(black_box(vec![1_u8; BLOCK]));
        }
    }
}

nephron_sdk::export!(decider: AllocatesWithoutEnd);
