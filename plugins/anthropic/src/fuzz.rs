//! A target of `cargo fuzz` (`tests/fuzz`); the test replays its corpus.

#[path = "../../../tests/fuzz/bytes.rs"]
pub mod bytes;
#[path = "../../../tests/fuzz/cut.rs"]
mod cut;

/// However a response is cut, it gives the same events, or the same failure.
pub fn anthropic(data: &[u8]) {
    cut::any_cut::<crate::Decoder>(data, "text/event-stream");
}

#[cfg(test)]
mod tests {
    use super::bytes::replay;

    #[test]
    fn the_corpus_holds_what_decoders_must() {
        replay("anthropic", super::anthropic);
    }
}
