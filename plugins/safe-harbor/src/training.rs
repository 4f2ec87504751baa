//! What `cargo xtask train` needs of the detector: the candidates of a text with the buckets of their features.
//! No part of what plugins use.

use crate::SafeHarbor;
use crate::reader::{BUCKETS, Reader, Tag};
use crate::tagger::UNIT;
use crate::token::Document;

/// How many pairs of weights a model has.
pub const SIZE: usize = BUCKETS;
/// The number that a weight of 1 is in a model file.
pub const SCALE: i32 = UNIT;

/// One candidate.
#[derive(Debug)]
pub struct Example {
    /// Its tag: 0 outside, 1 name, 2 place; none when the labels do not say.
    pub tag: Option<u8>,
    /// The buckets of its features.
    pub features: Vec<u32>,
}

/// The candidates of `text`. `tag` says what the bytes of a word are labelled; `forget` is asked at each whether the tag
/// of the word before it is withheld, so that the model does not come to lean on it. Some words, other ones for each
/// `unlisted`, are taken for words that no list has.
pub fn examples(
    detector: &SafeHarbor,
    text: &str,
    tag: impl Fn(usize, usize) -> Option<u8>,
    mut forget: impl FnMut() -> bool,
    unlisted: u32,
) -> Vec<Example> {
    let plain = crate::plain::Plain::of(text);
    let lower = plain.text.to_ascii_lowercase();
    let mut document = Document::new(&plain.text, &lower, &detector.lexicon);
    document.unlist(|token| {
        token.letters > 4 && (token.hash.number() ^ unlisted).wrapping_mul(0x9e37_79b1) >> 24 < 18
    });
    let reader = Reader::new(&document, &detector.rules(&document));
    let mut examples = Vec::new();
    let mut before = Tag::Outside;
    for (at, token) in document.tokens().iter().enumerate() {
        let (start, end) = plain.outside(token.start, token.end);
        let own = tag(start, end);
        let own_tag = match own {
            Some(1) => Tag::Name,
            Some(2) => Tag::Place,
            _ => Tag::Outside,
        };
        if reader.is_candidate(at, before) {
            let shown = if forget() { Tag::Outside } else { before };
            let mut features = Vec::with_capacity(40);
            reader.features(at, shown, &mut features);
            examples.push(Example { tag: own, features });
        }
        let joins = matches!(
            token.shape,
            crate::token::Shape::Mark('-' | '.' | '\'' | '’')
        );
        if !joins {
            before = own_tag;
        }
    }
    examples
}

/// The words of one of the lists of `words/`.
#[must_use]
pub fn words(list: &str) -> Vec<String> {
    let mut words = Vec::new();
    crate::vocabulary::each(list, |word| words.push(word.to_owned()));
    words
}
