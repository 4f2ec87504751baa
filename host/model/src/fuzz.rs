//! What holds for any text at all. Each function is a target of `cargo fuzz` (`tests/fuzz`), and panics where its property does
//! not hold; the tests replay the corpus.

#![expect(
    clippy::missing_panics_doc,
    reason = "each panics where its property does not hold, and is there for that"
)]

#[path = "../../../tests/fuzz/bytes.rs"]
pub mod bytes;

use std::fmt::Display;
use std::str::FromStr;

use crate::{Digest, EventId, Fingerprint, Kind, Purpose, TenantId, Timestamp, unhex};

/// Names, ids, digests and times: each is read from the text that it prints, and all but times from no other.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    printed::<Digest>(text);
    printed::<EventId>(text);
    printed::<Fingerprint>(text);
    printed::<Kind>(text);
    printed::<Purpose>(text);
    printed::<TenantId>(text);
    if let Some(bytes) = unhex(text) {
        assert_eq!(Digest(bytes).hex(), text);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse().ok(), Some(time));
        assert!(time.to_string().starts_with(&time.day()));
    }
    // A tenant's folder lies in the folder of tenants.
    if let Ok(tenant) = text.parse::<TenantId>() {
        let mut parts = std::path::Path::new(tenant.as_str()).components();
        let is_name = matches!(parts.next(), Some(std::path::Component::Normal(_)));
        assert!(is_name && parts.next().is_none());
    }
}

fn printed<T: Display + FromStr>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text, "another text is read");
    }
}

#[cfg(test)]
mod tests {
    use super::bytes::replay;

    #[test]
    fn the_corpus_holds_what_names_must() {
        replay("names", super::names);
    }
}
