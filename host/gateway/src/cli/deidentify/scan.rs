//! JSON (RFC 8259) read for its places alone: where it may be cut, and where its numbers and keys stand. Strings are the
//! detectors' to read.

/// How far JSON was looked at, to find where it may be cut.
#[derive(Default)]
pub(super) struct JsonScan {
    /// Bytes of what is held that were looked at.
    seen: usize,
    /// What is open: `{` or `[`.
    open: Vec<u8>,
    is_in_string: bool,
    is_escaped: bool,
}

impl JsonScan {
    /// Where in `held` the next piece ends: behind a line that ends outside of any value, or behind a comma once the piece is
    /// long. `held` begins with what this piece was looked for in before.
    ///
    /// # Errors
    /// The place of a bracket that closes what was not opened.
    pub(super) fn end(
        &mut self,
        held: &[u8],
        by_line: bool,
        long: usize,
    ) -> Result<Option<usize>, usize> {
        for (at, byte) in held.iter().copied().enumerate().skip(self.seen) {
            self.seen = at + 1;
            if self.is_in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.is_in_string = false,
                    _ => {}
                }
                continue;
            }
            let is_end = match byte {
                b'"' => {
                    self.is_in_string = true;
                    false
                }
                b'{' | b'[' => {
                    self.open.push(byte);
                    false
                }
                b'}' | b']' => {
                    let opened = if byte == b'}' { b'{' } else { b'[' };
                    if self.open.pop() != Some(opened) {
                        return Err(at);
                    }
                    false
                }
                b'\n' => by_line && self.open.is_empty(),
                b',' => at + 1 >= long,
                _ => false,
            };
            if is_end {
                self.seen = 0;
                return Ok(Some(at + 1));
            }
        }
        Ok(None)
    }

    /// Whether everything that was opened is closed.
    pub(super) const fn is_whole(&self) -> bool {
        self.open.is_empty() && !self.is_in_string
    }
}

/// A number, or a key that could be somebody's: what detectors do not read in JSON.
pub(super) struct Scalar<'j> {
    /// Bytes, the end exclusive; of a key without its quotes.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The key before it, of a number.
    pub(super) cue: &'j str,
    pub(super) is_key: bool,
}

/// The numbers of two digits or more, and the keys with a blank, an `@` or a number in them, in order.
pub(super) fn scalars(json: &str) -> Vec<Scalar<'_>> {
    let bytes = json.as_bytes();
    let mut scalars = Vec::new();
    let mut cue = "";
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'"' => {
                let start = at + 1;
                let end = end_of_string(bytes, start);
                at = end + 1;
                let after = bytes.get(at..).unwrap_or_default().trim_ascii_start();
                if after.starts_with(b":") {
                    cue = json.get(start..end).unwrap_or_default();
                    if is_telling(cue) {
                        scalars.push(Scalar {
                            start,
                            end,
                            cue: "",
                            is_key: true,
                        });
                    }
                }
            }
            b'-' | b'0'..=b'9' => {
                let rest = bytes.get(at..).unwrap_or_default();
                let is_part =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let length = rest.iter().take_while(|byte| is_part(byte)).count();
                let digits = rest
                    .iter()
                    .take(length)
                    .filter(|byte| byte.is_ascii_digit())
                    .count();
                if digits >= 2 {
                    scalars.push(Scalar {
                        start: at,
                        end: at + length,
                        cue,
                        is_key: false,
                    });
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    scalars
}

/// The place of the quote that ends the string which begins at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether a key is more than a name of a field.
fn is_telling(key: &str) -> bool {
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    key.contains([' ', '@', ',']) || digits >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_telling_keys_are_found_with_their_cues() {
        let json = r#"{"mrn": 483920, "Alma T": [7, -12.5e3, "12345"], "a\"b": {"age": 93}}"#;
        let found: Vec<_> = scalars(json)
            .iter()
            .map(|scalar| {
                (
                    scalar.cue,
                    json.get(scalar.start..scalar.end).unwrap(),
                    scalar.is_key,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("mrn", "483920", false),
                ("", "Alma T", true),
                ("Alma T", "-12.5e3", false),
                ("age", "93", false),
            ]
        );
    }
}
