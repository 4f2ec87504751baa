use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

/// A key of the tests.
pub(crate) struct TestKey(Ed25519KeyPair);

impl TestKey {
    pub(crate) fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }
}

impl Signer for TestKey {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        Ok(self.0.sign(message).as_ref().try_into().unwrap())
    }
}

fn key(name: &str, seed: u8) -> VerifierKey {
    VerifierKey::new(name, TestKey::new(seed).public_key()).unwrap()
}

/// The key and note in the documentation of Go's `golang.org/x/mod/sumdb/note`.
#[test]
fn the_example_of_gos_note_package_opens() {
    let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        .parse()
        .unwrap();
    let text = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    let note = format!(
        "{text}\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    );
    assert_eq!(key.open(&note), Ok(text));
    assert_eq!(
        key.open(&note.replace("answer", "Answer")),
        Err(NoteError::BadSignature)
    );
}

#[test]
fn a_note_opens_with_the_key_that_signed_it_and_with_no_other() {
    let (mine, text) = (key("nephron/a/1", 1), "a\nb\n");
    let note = sign("nephron/a/1", text, &TestKey::new(1)).unwrap();
    assert_eq!(mine.open(&note), Ok(text));
    assert_eq!(key("nephron/a/1", 2).open(&note), Err(NoteError::Unsigned));
    assert_eq!(key("nephron/b/1", 1).open(&note), Err(NoteError::Unsigned));
    // Others may have signed too, before and after.
    let other = sign("witness.example/w", text, &TestKey::new(3)).unwrap();
    let (_, line) = other.rsplit_once("\n\n").unwrap();
    assert_eq!(mine.open(&format!("{note}{line}")), Ok(text));
    assert_eq!(mine.open(&other), Err(NoteError::Unsigned));
}

#[test]
fn only_a_note_is_one() {
    let note = sign("n", "a\n", &TestKey::new(1)).unwrap();
    for altered in [
        note.trim_end().to_owned(),
        note.replace("\n\n", "\n"),
        note.replace('\u{2014}', "-"),
        note.replace(" n ", "  "),
        note.replace(" n ", " n+ "),
        note.replace("a\n", "a\r\n"),
        format!("{note}\n"),
        format!("{note}trailing"),
        "a\n\n\u{2014} n AAAA\n".to_owned(),
        String::new(),
    ] {
        assert_ne!(altered, note);
        assert_eq!(
            key("n", 1).open(&altered),
            Err(NoteError::Malformed),
            "{altered:?}"
        );
    }
}

#[test]
fn a_key_parses_from_what_it_prints_alone() {
    let key = key("nephron/st-marys/0011223344556677", 1);
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key));
    for altered in [
        text.replace("st-marys", "general"),
        text.to_uppercase(),
        text.replace("+A", "+B"),
        format!("{text} "),
        text.replace('+', "-"),
    ] {
        assert_eq!(altered.parse::<VerifierKey>(), Err(InvalidVerifierKey));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text: String, tail: String) {
        let note = format!("{text}\n\n\u{2014} {tail}\n");
        prop_assert!(key("n", 1).open(&note).is_err());
        prop_assert!(text.parse::<VerifierKey>().is_err());
    }
}
