//! A credential that comes back. No plugin and no caller may learn the operator's, and a server that repeats what it was
//! sent would tell both. That is a server's carelessness, an error that quotes its request: one with a will to tell could
//! write the secret in other letters, or tell it elsewhere.

use hyper::body::Bytes;
use memchr::memmem;
use nephron_model::Phi;

/// Bytes that a secret has at least to be looked for: a shorter one, or a word that stands for none, would be found by chance.
const SHORTEST: usize = 16;

/// The secret came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Echoed;

/// Looks for secrets in what arrives, in whichever pieces.
#[derive(Default)]
pub(super) struct Watch {
    secrets: Vec<Phi<Vec<u8>>>,
    /// What arrived and may be the beginning of a secret: it goes on with what comes next.
    held: Phi<Vec<u8>>,
}

impl Watch {
    /// For a secret as the operator configured it, each of its words, and both as JSON may have them.
    pub(super) fn add(&mut self, secret: &Phi<String>) {
        for word in secret
            .expose()
            .split(' ')
            .filter(|word| word.len() >= SHORTEST)
        {
            let forms = [
                word.to_owned(),
                word.replace('/', "\\/"),
                word.replace('+', "\\u002b"),
                word.replace('+', "\\u002B"),
            ];
            for form in forms.map(|form| Phi::new(form.into_bytes())) {
                let is_known = self
                    .secrets
                    .iter()
                    .any(|known| known.expose() == form.expose());
                if !is_known {
                    self.secrets.push(form);
                }
            }
        }
    }

    /// Whether a secret stands in a text of its own, such as a header's.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.secrets
            .iter()
            .any(|secret| memmem::find(text.as_bytes(), secret.expose()).is_some())
    }

    /// What may be passed on once `bytes` arrived.
    ///
    /// # Errors
    /// [`Echoed`]: nothing from here on.
    pub(super) fn pass(&mut self, bytes: Bytes) -> Result<Bytes, Echoed> {
        if self.secrets.is_empty() {
            return Ok(bytes);
        }
        let held = self.held.expose_mut();
        let bytes = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(&bytes);
            Bytes::from(std::mem::take(held))
        };
        let mut kept = 0;
        for secret in &self.secrets {
            if memmem::find(&bytes, secret.expose()).is_some() {
                return Err(Echoed);
            }
            kept = kept.max(begun(&bytes, secret.expose()));
        }
        let passed = bytes.len() - kept;
        held.extend_from_slice(&bytes.slice(passed..));
        Ok(bytes.slice(..passed))
    }

    /// What was held when nothing comes any more.
    pub(super) fn rest(&mut self) -> Bytes {
        Bytes::from(std::mem::take(self.held.expose_mut()))
    }
}

/// How many bytes at the end of `bytes` are a beginning of `secret`, and not all of it.
fn begun(bytes: &[u8], secret: &[u8]) -> usize {
    let most = bytes.len().min(secret.len() - 1);
    let is_begun = |length: &usize| secret.starts_with(bytes.split_at(bytes.len() - length).1);
    (1..=most).rev().find(is_begun).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sk-invented/0123+4567";

    fn watch(secret: &str) -> Watch {
        let mut watch = Watch::default();
        watch.add(&Phi::new(secret.to_owned()));
        watch
    }

    /// What was passed on of a text that comes in pieces of a size, and whether it was cut off.
    fn passed(text: &str, size: usize) -> (String, bool) {
        let mut watch = watch(SECRET);
        let mut all = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            match watch.pass(Bytes::copy_from_slice(piece)) {
                Ok(passed) => all.extend_from_slice(&passed),
                Err(Echoed) => return (String::from_utf8(all).unwrap(), true),
            }
        }
        all.extend_from_slice(&watch.rest());
        (String::from_utf8(all).unwrap(), false)
    }

    #[test]
    fn no_byte_of_a_secret_is_passed_on_wherever_it_is_cut() {
        for form in [
            SECRET,
            "sk-invented\\/0123+4567",
            "sk-invented/0123\\u002b4567",
        ] {
            let text = format!("Incorrect key: {form}. Ask for another.");
            for size in 1..=text.len() {
                let (all, is_cut_off) = passed(&text, size);
                assert!(is_cut_off, "in pieces of {size}");
                assert!("Incorrect key: ".starts_with(&all), "{all}");
            }
        }
    }

    #[test]
    fn what_is_like_it_arrives_whole_and_a_short_one_is_not_looked_for() {
        let text = "sk-invented/0123+4566 sk-sk-invented/0123 sk-invented/0123+456";
        for size in 1..=text.len() {
            assert_eq!(passed(text, size), (text.to_owned(), false));
        }
        let of_two = watch(&format!("Bearer {SECRET}"));
        assert!(of_two.is_in(&format!("key={SECRET}")) && !of_two.is_in("Bearer of-another"));
        assert!(watch("not-needed").secrets.is_empty());
    }
}
