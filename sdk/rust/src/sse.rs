//! Server-sent events (WHATWG HTML, "event stream interpretation"), framed over bytes that are cut anywhere.

use crate::answer::{Failure, Frames, MAX_BYTES};

/// One event that is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The lines of `data`, joined by line feeds.
    pub data: Vec<u8>,
    /// Whether it is named `error`, or came on a line `error:` as llama.cpp writes.
    pub is_error: bool,
}

/// Takes bytes, gives events. Lines end in LF, CR LF or CR.
#[derive(Debug, Default)]
pub struct ServerSentEvents {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    /// The last byte was a CR, so an LF that follows belongs to it.
    after_cr: bool,
    /// Past the first line, before which a byte order mark may stand.
    begun: bool,
}

impl Frames for ServerSentEvents {
    const MEDIA_TYPE: &'static str = "text/event-stream";
    type Frame = SseEvent;

    fn push(&mut self, mut bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), Failure> {
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (piece, rest) = bytes.split_at(end);
            let belongs_to_cr = self.after_cr && piece.is_empty() && rest.first() == Some(&b'\n');
            self.after_cr = rest.first() == Some(&b'\r');
            if !belongs_to_cr {
                self.extend_line(piece)?;
                self.end_line(events);
            }
            bytes = rest.split_first().map_or(&[], |(_, rest)| rest);
        }
        if !bytes.is_empty() {
            self.after_cr = false;
        }
        self.extend_line(bytes)
    }

    /// An event that no blank line closed counts too, since many servers end so.
    fn finish(mut self, events: &mut Vec<SseEvent>) -> Result<(), Failure> {
        self.end_line(events);
        self.dispatch(events);
        Ok(())
    }
}

impl ServerSentEvents {
    fn extend_line(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.line.len() + piece.len() + self.event.data.len() > MAX_BYTES {
            return Err(Failure::TooLong);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<SseEvent>) {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(events);
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.add_data(value),
            b"error" => {
                self.event.is_error = true;
                self.add_data(value);
            }
            b"event" => self.event.is_error = value == b"error",
            // Comments (an empty field name), `id`, `retry` and what nobody knows.
            _ => {}
        }
    }

    fn add_data(&mut self, value: &[u8]) {
        if std::mem::replace(&mut self.has_data, true) {
            self.event.data.push(b'\n');
        }
        self.event.data.extend_from_slice(value);
    }

    fn dispatch(&mut self, events: &mut Vec<SseEvent>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            events.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(pieces: &[&[u8]]) -> Result<Vec<(String, bool)>, Failure> {
        let mut framer = ServerSentEvents::default();
        let mut events = Vec::new();
        for piece in pieces {
            framer.push(piece, &mut events)?;
        }
        framer.finish(&mut events)?;
        Ok(events
            .into_iter()
            .map(|event| (String::from_utf8(event.data).unwrap(), event.is_error))
            .collect())
    }

    #[test]
    fn lines_end_in_any_of_three_ways_wherever_they_are_cut() {
        for text in [
            "data: a\ndata: b\n\ndata:c\n\n",
            "data: a\r\ndata: b\r\n\r\ndata:c\r\n\r\n",
            "data: a\rdata: b\r\rdata:c\r\r",
        ] {
            for cut in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(cut);
                let expected = vec![("a\nb".to_owned(), false), ("c".to_owned(), false)];
                assert_eq!(framed(&[a, b]), Ok(expected), "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn fields_are_told_apart() {
        for (text, expected) in [
            ("\u{feff}data: x\n\n", vec![("x", false)]),
            (": keep alive\n\n\n: again\ndata: x\n\n", vec![("x", false)]),
            (
                "id: 1\nretry: 5\nevent: message\ndata: x\nother: y\n\n",
                vec![("x", false)],
            ),
            ("data\n\ndata:\n\n", vec![("", false), ("", false)]),
            ("data:  x\n\n", vec![(" x", false)]),
            (
                "event: error\ndata: x\n\ndata: y\n\n",
                vec![("x", true), ("y", false)],
            ),
            ("error: {\"code\":500}\n\n", vec![("{\"code\":500}", true)]),
            ("event: ping\n\n", vec![]),
            ("data: [DONE]", vec![("[DONE]", false)]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(data, error)| (data.to_owned(), error))
                .collect();
            assert_eq!(framed(&[text.as_bytes()]), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn an_event_over_the_limit_is_refused_in_one_line_or_many() {
        let line = vec![b'x'; MAX_BYTES + 1];
        assert_eq!(framed(&[&line]), Err(Failure::TooLong));
        let mut framer = ServerSentEvents::default();
        let mut events = Vec::new();
        let line = [b"data: ".as_slice(), &[b'x'; 1 << 20], b"\n"].concat();
        let refused = (0..=MAX_BYTES >> 20).find_map(|_| framer.push(&line, &mut events).err());
        assert_eq!((refused, events.len()), (Some(Failure::TooLong), 0));
    }
}
