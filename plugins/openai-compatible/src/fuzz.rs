//! Targets of `cargo fuzz` (`tests/fuzz`), which panic where a property does not hold; the tests replay the corpus.

#![expect(
    clippy::missing_panics_doc,
    reason = "each panics where its property does not hold, and is there for that"
)]

#[path = "../../../tests/fuzz/bytes.rs"]
pub mod bytes;
#[path = "../../../tests/fuzz/cut.rs"]
mod cut;
mod framing;

pub use framing::framing;

/// However a response is cut, it gives the same events, or the same failure.
pub fn openai(data: &[u8]) {
    cut::any_cut::<crate::Decoder>(data, "text/event-stream");
}

#[cfg(test)]
mod tests {
    use super::bytes::replay;

    #[test]
    fn the_corpus_holds_what_decoders_must() {
        replay("openai", super::openai);
    }

    #[test]
    fn the_corpus_holds_what_framing_must() {
        replay("framing", super::framing);
    }
}
