//! Server-sent events of the SDK, which this connector reads by.

use super::bytes::Bytes;
use nephron_sdk::answer::{Failure, Frames as _};
use nephron_sdk::sse::{ServerSentEvents, SseEvent};

/// Server-sent events: however the bytes are cut, the events are those that the standard's own steps give, line by line.
pub fn framing(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let cuts = bytes.piece();
    let body = bytes.rest();
    let read = read_by_lines(body);
    assert_eq!(framed(&[body]).as_ref(), Ok(&read));
    let mut pieces = Vec::new();
    let mut rest = body;
    for cut in cuts {
        let (piece, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    assert_eq!(framed(&pieces), Ok(read));
}

fn framed(pieces: &[&[u8]]) -> Result<Vec<SseEvent>, Failure> {
    let mut framer = ServerSentEvents::default();
    let mut events = Vec::new();
    for piece in pieces {
        framer.push(piece, &mut events)?;
    }
    framer.finish(&mut events)?;
    Ok(events)
}

/// WHATWG HTML, "event stream interpretation", with what servers do beside it: an event that no blank line ends counts too, and
/// a line `error:` is data of an error.
fn read_by_lines(body: &[u8]) -> Vec<SseEvent> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut before = 0;
    for byte in body {
        match (before, byte) {
            (b'\r', b'\n') => {}
            (_, b'\n' | b'\r') => lines.push(Vec::new()),
            _ => lines
                .last_mut()
                .into_iter()
                .for_each(|line| line.push(*byte)),
        }
        before = *byte;
    }
    lines.push(Vec::new());
    let mut events = Vec::new();
    let (mut data, mut is_error) = (Vec::new(), false);
    for line in &lines {
        if line.is_empty() {
            let data: Vec<&[u8]> = std::mem::take(&mut data);
            let event = SseEvent {
                data: data.join(&b'\n'),
                is_error: std::mem::take(&mut is_error),
            };
            events.extend((!data.is_empty()).then_some(event));
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next(), parts.next().unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            Some(b"data") => data.push(value),
            Some(b"error") => {
                data.push(value);
                is_error = true;
            }
            Some(b"event") => is_error = value == b"error",
            Some(_) | None => {}
        }
    }
    events
}
