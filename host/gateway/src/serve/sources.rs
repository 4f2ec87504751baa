//! How many connections one source has: an address of IPv4, or 64 bits of one of IPv6.
//!
//! Whoever holds connections and asks nothing that needs a credential would else hold all of them, and nobody else were served.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host_log::network;

/// The connections of all sources.
pub(super) struct Sources {
    held: Arc<Held>,
    most: usize,
}

/// By source; who has none does not stand here.
#[derive(Default)]
struct Held(Mutex<BTreeMap<IpAddr, usize>>);

/// One connection, given back when this is dropped.
pub(super) struct Share {
    held: Arc<Held>,
    source: IpAddr,
}

impl Sources {
    pub(super) fn new(most: usize) -> Self {
        Self {
            held: Arc::default(),
            most,
        }
    }

    /// A share for a connection from there, unless it has as many as it may.
    pub(super) fn take(&self, address: IpAddr) -> Option<Share> {
        let source = network(address);
        let mut held = self.held.lock();
        let own = held.get(&source).copied().unwrap_or_default();
        if own >= self.most {
            return None;
        }
        held.insert(source, own + 1);
        Some(Share {
            held: Arc::clone(&self.held),
            source,
        })
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        match held.get_mut(&self.source) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(held.remove(&self.source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_share() {
        let sources = Sources::new(2);
        let take = |address: &str| sources.take(address.parse().unwrap());
        let first = take("192.0.2.1").unwrap();
        // The same, as a socket of IPv6 says it.
        let second = take("::ffff:192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        let other = take("::ffff:192.0.2.2").unwrap();
        let six = [take("2001:db8::1"), take("2001:db8::2")].map(Option::unwrap);
        assert!(take("2001:db8::3").is_none());
        let elsewhere = take("2001:db8:0:1::1").unwrap();
        drop(first);
        let again = take("192.0.2.1").unwrap();
        drop((second, other, six, elsewhere, again));
        assert!(sources.held.lock().is_empty());
    }
}
