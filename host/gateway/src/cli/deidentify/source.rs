//! Files as the pieces in which they are searched: a line of JSON Lines, a message of HL7 version 2, a stretch of a text or of
//! JSON. No more of a file is in memory than a few of them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::scan::JsonScan;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Anything else
    Text,
    /// One JSON value
    Json,
    /// JSON Lines, one value a line
    Jsonl,
    /// A FHIR resource or bundle as JSON
    Fhir,
    /// FHIR resources, one a line
    Ndjson,
    /// HL7 version 2 messages
    Hl7,
}

impl Format {
    /// By the name of the file, then by how it begins.
    fn guess(name: &str, head: &[u8]) -> Self {
        let ending = Path::new(name)
            .extension()
            .and_then(|ending| ending.to_str());
        match ending.map(str::to_lowercase).as_deref() {
            Some("jsonl") => return Self::Jsonl,
            Some("ndjson") => return Self::Ndjson,
            Some("json") => return Self::Json,
            Some("fhir") => return Self::Fhir,
            Some("hl7") => return Self::Hl7,
            Some(_) | None => {}
        }
        let head = head.trim_ascii_start();
        let head = head.strip_prefix(b"\x0b").unwrap_or(head);
        let is_hl7 = [b"MSH|".as_slice(), b"FHS|", b"BHS|"];
        if is_hl7.iter().any(|segment| head.starts_with(segment)) {
            return Self::Hl7;
        }
        if !head.starts_with(b"{") && !head.starts_with(b"[{") {
            return Self::Text;
        }
        // The first line is a whole value, and another follows.
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok();
        let goes_on = lines.any(|line| line.trim_ascii_start().starts_with(b"{"));
        match (
            is_whole && goes_on,
            head.windows(14).any(|word| word == b"\"resourceType\""),
        ) {
            (true, true) => Self::Ndjson,
            (true, false) => Self::Jsonl,
            (false, true) => Self::Fhir,
            (false, false) => Self::Json,
        }
    }

    /// Whether it is read as JSON.
    pub(super) const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl | Self::Fhir | Self::Ndjson)
    }
}

/// A piece of a file.
pub(super) struct Piece {
    /// Which file, in the order in which they were named.
    pub(super) file: usize,
    /// Which piece of it, from 1.
    pub(super) number: u64,
    /// Where in the file it begins, in bytes.
    pub(super) offset: u64,
    pub(super) text: String,
    pub(super) is_json: bool,
}

/// Bytes after which a text is cut where it may be: of four times as many, all of them about people, a detector runs out of fuel.
const PIECE: usize = 64 << 10;

/// Bytes of the largest piece.
const MOST: usize = 16 << 20;

/// One file, or standard input.
pub(super) struct Source {
    file: usize,
    name: String,
    reader: BufReader<Box<dyn Read>>,
    format: Format,
    /// What was read and is in no piece yet.
    held: Vec<u8>,
    json: JsonScan,
    is_at_end: bool,
    number: u64,
    offset: u64,
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(file: usize, path: &Path, format: Option<Format>) -> anyhow::Result<Self> {
        let (name, reader) = crate::cli::open(path)?;
        let mut reader = BufReader::with_capacity(PIECE, reader);
        let head = reader
            .fill_buf()
            .with_context(|| format!("`{name}` cannot be read"))?;
        let is_utf16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
        anyhow::ensure!(
            !is_utf16,
            "`{name}` is UTF-16; convert it with `iconv -f utf-16 -t utf-8`"
        );
        let format = format.unwrap_or_else(|| Format::guess(&name, head));
        Ok(Self {
            file,
            name,
            reader,
            format,
            held: Vec::new(),
            json: JsonScan::default(),
            is_at_end: false,
            number: 0,
            offset: 0,
        })
    }

    /// What messages call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The next piece, until there is none.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Piece>> {
        let end = loop {
            if let Some(end) = self.cut()? {
                break end;
            }
            anyhow::ensure!(
                self.held.len() < MOST,
                "`{}`: from byte {} on, 16 MiB stand together that cannot be cut; split the file there, or name its format with --format",
                self.name,
                self.offset
            );
            self.is_at_end |= self.fill()? == 0;
        };
        if end == 0 {
            return Ok(None);
        }
        let rest = self.held.split_off(end);
        let bytes = std::mem::replace(&mut self.held, rest);
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = self.offset + count(error.utf8_error().valid_up_to());
            anyhow::anyhow!(
                "`{}` is not UTF-8 text: byte {at} begins no character; convert it with `iconv`",
                self.name
            )
        })?;
        self.number += 1;
        let piece = Piece {
            file: self.file,
            number: self.number,
            offset: self.offset,
            text,
            is_json: self.format.is_json(),
        };
        self.offset += count(end);
        Ok(Some(piece))
    }

    fn fill(&mut self) -> anyhow::Result<usize> {
        let read = self.reader.fill_buf();
        let bytes = read.with_context(|| format!("`{}` cannot be read", self.name))?;
        let length = bytes.len();
        self.held.extend_from_slice(bytes);
        self.reader.consume(length);
        Ok(length)
    }

    /// How many bytes of what is held are the next piece; nothing if more has to be read first.
    fn cut(&mut self) -> anyhow::Result<Option<usize>> {
        let held = self.held.as_slice();
        let whole = || (self.is_at_end).then_some(held.len());
        Ok(match self.format {
            Format::Text => match held.len() {
                0..PIECE => whole(),
                _ => Some(end_of_text(held)),
            },
            Format::Hl7 => end_of_message(held).or_else(whole),
            Format::Json | Format::Fhir | Format::Jsonl | Format::Ndjson => {
                let by_line = matches!(self.format, Format::Jsonl | Format::Ndjson);
                let end = self.json.end(held, by_line, PIECE).map_err(|at| {
                    let at = self.offset + count(at);
                    anyhow::anyhow!(
                        "`{}` is not JSON: byte {at} closes what was not opened",
                        self.name
                    )
                })?;
                if end.is_none() && self.is_at_end {
                    anyhow::ensure!(
                        self.json.is_whole(),
                        "`{}` is not JSON: it ends inside a string, an object or a list",
                        self.name
                    );
                }
                end.or_else(whole)
            }
        })
    }
}

/// Behind the last empty line, the last line, or the last blank of a long text.
fn end_of_text(held: &[u8]) -> usize {
    let long = held.get(..PIECE).unwrap_or(held);
    let after = |end: &[u8]| {
        let place = long.windows(end.len()).rposition(|window| window == end);
        place.map(|at| at + end.len())
    };
    let mut end = [b"\n\n".as_slice(), b"\n\r\n", b"\n", b"\r", b" "]
        .into_iter()
        .find_map(after)
        .unwrap_or(long.len());
    // No character is cut.
    while end > 1 && held.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    end
}

/// Before the segment that begins the next message; of a long one, behind a segment.
fn end_of_message(held: &[u8]) -> Option<usize> {
    let begins = held.windows(5).skip(1).position(|window| match window {
        [b'\r' | b'\n', segment @ ..] => segment == b"MSH|",
        _ => false,
    });
    if let Some(at) = begins {
        return Some(at + 2);
    }
    let long = held.get(..PIECE)?;
    let segment = long.iter().rposition(|byte| matches!(byte, b'\r' | b'\n'));
    Some(segment.map_or(long.len(), |at| at + 1))
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The bytes of all files together; of standard input nothing is known.
pub(super) fn size_of(paths: &[PathBuf]) -> u64 {
    let sizes = paths.iter().filter_map(|path| std::fs::metadata(path).ok());
    sizes.map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(name: &str, bytes: &[u8]) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        let mut source = Source::open(0, &path, None)?;
        let mut pieces = Vec::new();
        while let Some(piece) = source.next()? {
            pieces.push(piece.text);
        }
        Ok(pieces)
    }

    #[test]
    fn a_format_is_known_by_its_name_or_by_how_it_begins() {
        for (name, head, format) in [
            ("a.jsonl", "", Format::Jsonl),
            ("a.NDJSON", "", Format::Ndjson),
            ("a.txt", "Patient: …", Format::Text),
            ("-", "\u{b}MSH|^~\\&|A\rPID|1", Format::Hl7),
            ("-", "{\"text\":1}\n{\"text\":2}\n", Format::Jsonl),
            (
                "-",
                "{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Patient\"}",
                Format::Ndjson,
            ),
            ("-", "{\n \"resourceType\": \"Bundle\"", Format::Fhir),
            ("-", "{\"a\":1}", Format::Json),
            ("-", "[NAME_7KQ2M] {", Format::Text),
        ] {
            assert_eq!(
                Format::guess(name, head.as_bytes()),
                format,
                "{name} {head}"
            );
        }
    }

    #[test]
    fn pieces_together_are_the_file_whatever_its_size() {
        let text = "Ünal was seen.\n\n".repeat(40_000);
        let json = format!("[{}]", vec!["{\"a\":\"b, c]\\\"\"}"; 40_000].join(","));
        let lines = "{\"a\":\n1}\n{\"b\":2}\n".to_owned();
        let messages = "MSH|^~\\&|A\rPID|1\rMSH|^~\\&|B\rPID|2\r".to_owned();
        let word = "x".repeat(600_000);
        for (name, whole, least) in [
            ("a.txt", text, 2),
            ("a.json", json, 2),
            ("a.jsonl", lines, 2),
            ("a.hl7", messages, 2),
            ("b.txt", word, 3),
        ] {
            let pieces = pieces(name, whole.as_bytes()).unwrap();
            assert_eq!(pieces.concat(), whole, "{name}");
            assert!(pieces.len() >= least, "{name}: {}", pieces.len());
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        for (name, bytes, told) in [
            ("a.txt", b"ab\xffc".as_slice(), "byte 2 begins no character"),
            ("a.txt", b"\xff\xfea\0", "UTF-16"),
            ("a.json", b"{\"a\":[1}}", "byte 7 closes"),
            ("a.json", b"{\"a\":[1]", "ends inside"),
            ("a.jsonl", b"{\"a\":\"", "ends inside"),
        ] {
            let error = pieces(name, bytes).err().unwrap().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
