//! The strings of a JSON text that are values, each with the way back to the bytes as they were given.

/// One string, no key.
pub(crate) struct JsonString {
    pub(crate) text: String,
    /// For each byte of `text`, and for its end, the byte of the JSON text where its character begins.
    offsets: Vec<usize>,
}

impl JsonString {
    /// The bytes of the JSON text that hold `start..end` of the string.
    pub(crate) fn outside(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        Some((*self.offsets.get(start)?, *self.offsets.get(end)?))
    }
}

/// The strings of `json`, in order. Nothing when it does not read as JSON.
pub(crate) fn strings(json: &str) -> Option<Vec<JsonString>> {
    let mut strings = Vec::new();
    let mut at = 0;
    while let Some(quote) = json.get(at..)?.find('"') {
        let start = at + quote;
        let raw = string_at(json.get(start..)?)?;
        at = start + raw.len();
        let is_key = json.get(at..)?.trim_start().starts_with(':');
        if !is_key {
            strings.push(unescaped(raw, start)?);
        }
    }
    Some(strings)
}

/// The string with which `json` begins, its quotes included.
fn string_at(json: &str) -> Option<&str> {
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    json.get(..end + 2)
}

fn unescaped(raw: &str, start: usize) -> Option<JsonString> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    let mut string = JsonString {
        text: String::new(),
        offsets: Vec::new(),
    };
    let mut at = 0;
    while let Some(c) = inner.get(at..)?.chars().next() {
        let (c, length) = match c {
            '\\' => escape(inner.get(at..)?)?,
            c => (c, c.len_utf8()),
        };
        string.text.push(c);
        let offset = start + 1 + at;
        string
            .offsets
            .extend(std::iter::repeat_n(offset, c.len_utf8()));
        at += length;
    }
    string.offsets.push(start + 1 + at);
    Some(string)
}

/// The character of an escape, and the escape's bytes.
fn escape(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| u16::from_str_radix(text.get(at..at + 4)?, 16).ok();
    Some(match text.get(1..)?.chars().next()? {
        'n' => ('\n', 2),
        'r' => ('\r', 2),
        't' => ('\t', 2),
        'b' => ('\u{8}', 2),
        'f' => ('\u{c}', 2),
        'u' => {
            let first = unit(2)?;
            let pair = text.get(6..8) == Some("\\u");
            let units = [first, if pair { unit(8).unwrap_or(0) } else { 0 }];
            match char::decode_utf16(units).next()? {
                Ok(c) if c.len_utf16() == 2 => (c, 12),
                Ok(c) => (c, 6),
                Err(_) => ('\u{fffd}', 6),
            }
        }
        c @ ('"' | '\\' | '/') => (c, 2),
        _ => return None,
    })
}
