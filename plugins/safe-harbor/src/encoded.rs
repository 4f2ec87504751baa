//! Texts inside the text: runs of base64 (RFC 4648, both alphabets) that decode to something readable.

/// A run and what it says.
pub(crate) struct Inner {
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
    /// What it decodes to.
    pub(crate) text: String,
}

/// Shorter runs are words.
const LEAST: usize = 20;

/// The runs of base64 in `text` that hold readable text.
#[must_use]
pub(crate) fn inner(text: &str) -> Vec<Inner> {
    let mut inner = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    while start < bytes.len() {
        let length = bytes
            .iter()
            .skip(start)
            .take_while(|byte| sextet(**byte).is_some())
            .count();
        if length >= LEAST
            && let Some(run) = bytes.get(start..start + length)
            && let Some(decoded) = decode(run)
        {
            let padding = bytes
                .iter()
                .skip(start + length)
                .take(2)
                .take_while(|byte| **byte == b'=')
                .count();
            inner.push(Inner {
                start,
                end: start + length + padding,
                text: decoded,
            });
        }
        start += length.max(1);
    }
    inner
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

fn decode(run: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(run.len() / 4 * 3 + 3);
    for group in run.chunks(4) {
        let bits = group
            .iter()
            .try_fold(0, |bits, byte| Some(bits << 6 | sextet(*byte)?))?;
        let [_, a, b, c] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        decoded.extend([a, b, c].iter().take(group.len().saturating_sub(1)));
    }
    let text = String::from_utf8(decoded).ok()?;
    // Words and hashes decode as well, but not to what people write.
    text.chars()
        .all(|c| !c.is_control() || c.is_whitespace())
        .then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readable_text_is_decoded() {
        let text = "x UGF0aWVudDogVGVzc2EgTWFybG93ZQ== and cC5tYXJsb3dlQGxldHRlcmJveC5leGFtcGxl, \
            Pneumonoultramicroscopicsilicovolcanoconiosis, 2c26b46b68ffc68ff99b453c1d304134";
        let read: Vec<_> = inner(text)
            .into_iter()
            .map(|one| (text.get(one.start..one.end).unwrap(), one.text))
            .collect();
        assert_eq!(
            read,
            [
                (
                    "UGF0aWVudDogVGVzc2EgTWFybG93ZQ==",
                    "Patient: Tessa Marlowe".to_owned()
                ),
                (
                    "cC5tYXJsb3dlQGxldHRlcmJveC5leGFtcGxl",
                    "p.marlowe@letterbox.example".to_owned()
                ),
            ]
        );
    }
}
