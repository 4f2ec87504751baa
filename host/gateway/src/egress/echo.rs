//! A credential that comes back. No plugin and no caller may learn the operator's, and a server that repeats what it was
//! sent would tell both. That is a server's carelessness, an error that quotes its request: one with a will to tell could
//! write the secret in other letters, or tell it elsewhere.

use memchr::memmem;
use nephron_model::Phi;

/// Bytes that a secret has at least to be looked for: a shorter one would be found by chance.
const SHORTEST: usize = 8;

/// Looks for one secret in what arrives, in whichever pieces.
pub(super) struct Watch {
    secret: Phi<Vec<u8>>,
    /// The last bytes that arrived, one fewer than the secret has.
    last: Phi<Vec<u8>>,
}

impl Watch {
    /// For a secret as the operator configured it; none for one that is too short to be told from other text.
    pub(super) fn new(secret: &Phi<String>) -> Option<Self> {
        let secret = secret.expose().as_bytes();
        (secret.len() >= SHORTEST).then(|| Self {
            secret: Phi::new(secret.to_vec()),
            last: Phi::new(Vec::new()),
        })
    }

    /// Whether the secret stands in a text of its own, such as a header's.
    pub(super) fn is_in(&self, text: &str) -> bool {
        memmem::find(text.as_bytes(), self.secret.expose()).is_some()
    }

    /// Whether the secret ends in `bytes`, which arrived behind those of the call before.
    pub(super) fn ends_in(&mut self, bytes: &[u8]) -> bool {
        let secret = self.secret.expose();
        let last = self.last.expose_mut();
        last.extend_from_slice(bytes);
        let found = memmem::find(last, secret).is_some();
        let kept = last.len().min(secret.len() - 1);
        last.drain(..last.len() - kept);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(secret: &str) -> Option<Watch> {
        Watch::new(&Phi::new(secret.to_owned()))
    }

    #[test]
    fn a_secret_is_found_wherever_it_is_cut() {
        let text = b"Incorrect API key provided: sk-invented-0123. Ask for another.";
        for size in 1..=text.len() {
            let mut watch = watch("sk-invented-0123").unwrap();
            let seen: Vec<bool> = text
                .chunks(size)
                .map(|piece| watch.ends_in(piece))
                .collect();
            let found: Vec<usize> = (0..seen.len()).filter(|piece| seen[*piece]).collect();
            // Its last byte is the 44th.
            assert_eq!(found, [43 / size], "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_like_it_is_not_it_and_a_short_one_is_not_looked_for() {
        let mut watch_it = watch("sk-invented-0123").unwrap();
        assert!(!watch_it.ends_in(b"sk-invented-012"));
        assert!(!watch_it.ends_in(b"4 sk-invented-0124"));
        assert!(!watch_it.is_in("sk-***0123") && watch_it.is_in("key sk-invented-0123"));
        assert!(watch("s3cret").is_none());
    }
}
