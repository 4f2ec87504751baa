//! A core module where a component is wanted: it has every export of a decider, and no component around them.

use crate::world::{PERMITS, module};

/// The module's bytes.
#[must_use]
pub fn component() -> Vec<u8> {
    module("is-a-core-module", 1, "", PERMITS)
}
