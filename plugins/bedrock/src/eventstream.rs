//! The binary framing `application/vnd.amazon.eventstream` (Smithy, "Amazon Event Stream Specification"): a length of the
//! whole and one of the headers, a CRC-32 of these, headers, payload, a CRC-32 of all before it; numbers are big-endian.

use nephron_sdk::answer::{Failure, Frames, MAX_BYTES};

/// One message that is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamMessage {
    /// Headers that are text, in order.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Takes bytes, gives messages.
#[derive(Debug, Default)]
pub struct EventStream(Vec<u8>);

/// Lengths and their CRC.
const PRELUDE: usize = 12;
const CRC: usize = 4;

impl StreamMessage {
    /// The header of that name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }
}

impl Frames for EventStream {
    const MEDIA_TYPE: &'static str = "application/vnd.amazon.eventstream";
    type Frame = StreamMessage;

    fn push(&mut self, bytes: &[u8], frames: &mut Vec<StreamMessage>) -> Result<(), Failure> {
        self.0.extend_from_slice(bytes);
        let mut rest = self.0.as_slice();
        while let Some((prelude, _)) = rest.split_first_chunk::<PRELUDE>() {
            let (total, headers) = lengths(prelude)?;
            let Some((message, after)) = rest.split_at_checked(total) else {
                break;
            };
            frames.push(read(message, headers)?);
            rest = after;
        }
        self.0 = rest.to_vec();
        Ok(())
    }

    fn finish(self, _: &mut Vec<StreamMessage>) -> Result<(), Failure> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Failure::EndedEarly)
        }
    }
}

/// The length of the message and of its headers. Checked before anything is waited for.
fn lengths(prelude: &[u8; PRELUDE]) -> Result<(usize, usize), Failure> {
    let (lengths, crc) = prelude.split_at(8);
    if crc32fast::hash(lengths).to_be_bytes() != *crc {
        return Err(Failure::Malformed);
    }
    let mut lengths = Cursor(lengths);
    let (total, headers) = (lengths.number()?, lengths.number()?);
    if total > MAX_BYTES {
        return Err(Failure::TooLong);
    }
    match total.checked_sub(PRELUDE + CRC) {
        Some(room) if headers <= room => Ok((total, headers)),
        _ => Err(Failure::Malformed),
    }
}

fn read(message: &[u8], headers: usize) -> Result<StreamMessage, Failure> {
    let (message, crc) = message
        .split_last_chunk::<CRC>()
        .ok_or(Failure::Malformed)?;
    if crc32fast::hash(message).to_be_bytes() != *crc {
        return Err(Failure::Malformed);
    }
    let mut message = Cursor(message);
    message.take(PRELUDE)?;
    let headers = read_headers(message.take(headers)?)?;
    Ok(StreamMessage {
        headers,
        payload: message.0.to_vec(),
    })
}

fn read_headers(bytes: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map_err(|_| Failure::Malformed)?;
        Ok::<_, Failure>(text.to_owned())
    };
    let mut bytes = Cursor(bytes);
    let mut headers = Vec::new();
    while !bytes.0.is_empty() {
        let length = bytes.byte()?;
        let name = text(bytes.take(length.into())?)?;
        match bytes.byte()? {
            7 => {
                let length = bytes.short()?;
                headers.push((name, text(bytes.take(length)?)?));
            }
            // Booleans, integers of four sizes, bytes, a time, a UUID.
            0 | 1 => {}
            2 => drop(bytes.take(1)?),
            3 => drop(bytes.take(2)?),
            4 => drop(bytes.take(4)?),
            5 | 8 => drop(bytes.take(8)?),
            6 => {
                let length = bytes.short()?;
                bytes.take(length)?;
            }
            9 => drop(bytes.take(16)?),
            _ => return Err(Failure::Malformed),
        }
    }
    Ok(headers)
}

/// Bytes that are yet to be read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Failure::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Failure> {
        let taken = self.take(1)?;
        taken.first().copied().ok_or(Failure::Malformed)
    }

    fn short(&mut self) -> Result<usize, Failure> {
        Ok(usize::from(self.byte()?) << 8 | usize::from(self.byte()?))
    }

    fn number(&mut self) -> Result<usize, Failure> {
        Ok(self.short()? << 16 | self.short()?)
    }
}
