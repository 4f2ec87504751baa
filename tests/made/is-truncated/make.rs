//! The first half of a component that was whole: its header is right, and its core module breaks off.

use crate::world::{self, PERMITS};

/// The first half.
#[must_use]
pub fn component() -> Vec<u8> {
    let mut bytes = world::component("is-truncated", "access-policy", 1, "", PERMITS);
    bytes.truncate(bytes.len() / 2);
    bytes
}
