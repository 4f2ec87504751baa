//! The workspace's only source of randomness: the kernel's generator.
//!
//! Nothing here can be seeded. Whoever needs something to be repeatable takes a value, not a generator.

use nephron_model::{Clock, EventId};
use zeroize::Zeroizing;

/// The kernel gave no random bytes. Whatever needed them must not happen.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the kernel's random generator cannot be read; check that `getrandom(2)` is not filtered")]
pub struct RandomError;

/// `N` random bytes that are no secret: salts, ids, tokens. Keys are drawn inside this crate and never leave it.
///
/// # Errors
/// [`RandomError`] when the kernel refuses.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the kernel's generator"
)]
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut drawn = [0; N];
    getrandom::fill(&mut drawn).map_err(|_| RandomError)?;
    Ok(drawn)
}

/// A new event id: the clock's milliseconds and 80 random bits.
///
/// # Errors
/// [`RandomError`] when the kernel refuses.
pub fn event_id(clock: &dyn Clock) -> Result<EventId, RandomError> {
    Ok(EventId::new(clock.now(), bytes()?))
}

/// 32 random bytes that will be a key.
#[expect(
    clippy::disallowed_methods,
    reason = "drawn in place, so that no copy of the key is left on the stack"
)]
pub(crate) fn key_bytes() -> Result<Box<Zeroizing<[u8; 32]>>, RandomError> {
    let mut drawn = Box::new(Zeroizing::new([0; 32]));
    getrandom::fill(drawn.as_mut_slice()).map_err(|_| RandomError)?;
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nephron_model::FixedClock;

    use super::*;

    #[test]
    fn event_ids_of_one_moment_differ_and_carry_its_time() {
        let clock = FixedClock::at(1_795_305_802);
        let ids: BTreeSet<_> = (0..100).map(|_| event_id(&clock).unwrap()).collect();
        assert_eq!(ids.len(), 100);
        let low = EventId::new(clock.now(), [0; 10]);
        let high = EventId::new(clock.now(), [255; 10]);
        assert!(ids.iter().all(|id| (low..=high).contains(id)));
    }

    #[test]
    fn bytes_are_not_all_alike() {
        assert_ne!(bytes::<32>(), bytes::<32>());
    }
}
