//! Values out of a fuzzer's bytes: the same bytes always give the same values, and where they end, zeros follow.
//!
//! Each crate that has properties includes this file, so that none depends on another for it.

/// What is left of the bytes.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// Of all of it.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Whether only zeros follow.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        let wide = usize::from(self.byte());
        match end {
            ..=0x100 => wide % end.max(1),
            _ => (wide << 8 | usize::from(self.byte())) % end,
        }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// As many bytes as the next one says, or what is left.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte());
        let (piece, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        piece
    }

    /// A piece that is read as UTF-8, with a sign for what is none.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.piece()).into_owned()
    }

    /// One of these words, or one that the bytes spell.
    pub fn word(&mut self, known: &[&str]) -> String {
        let place = usize::from(self.byte());
        match known.get(place) {
            Some(word) => (*word).to_owned(),
            None => self.text(),
        }
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Puts every file of a target's corpus to its property.
#[cfg(test)]
pub(crate) fn replay(target: &str, property: fn(&[u8])) {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    let files = std::fs::read_dir(corpus.join(target)).expect("the corpus is there");
    let mut replayed = 0;
    for file in files {
        let file = file.expect("a file").path();
        // Where a property does not hold, this line is the last and names the file.
        eprintln!("{}", file.display());
        property(&std::fs::read(&file).expect("a file"));
        replayed += 1;
    }
    assert!(replayed > 0, "the corpus of `{target}` is empty");
}
