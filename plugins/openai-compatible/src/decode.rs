//! A response as it arrives: status first, then bytes cut anywhere, then the end.

use nephron_sdk::Error;
use nephron_sdk::connector::{Decode, Event};
use nephron_sdk::types::OtherError;

use crate::chunk::{self, Fault, Reader};
use crate::sse::{Framer, MAX_BYTES, SseEvent, TooLong};

/// Decodes one response, streamed or whole.
#[derive(Debug)]
pub struct Decoder {
    body: Body,
    reader: Reader,
}

#[derive(Debug)]
enum Body {
    /// The headers do not say what it is: white space so far.
    Undecided(Vec<u8>),
    Whole(Vec<u8>),
    Streamed(Framer),
    /// The stream said `[DONE]`; whatever follows is no part of the answer.
    Done,
    Failed(Failure),
}

/// Why there is no answer. Said again if the host goes on asking, and never in the server's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Status(u16),
    Reported { retryable: bool },
    Malformed,
    EndedEarly,
    TooLong,
}

impl Decode for Decoder {
    fn new(status: u16, headers: Vec<(String, String)>) -> Self {
        let content_type = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map(|(_, value)| {
                value
                    .split(';')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_ascii_lowercase()
            });
        let body = match (status, content_type.as_deref()) {
            (200..=299, Some("text/event-stream")) => Body::Streamed(Framer::default()),
            (200..=299, Some("application/json")) => Body::Whole(Vec::new()),
            (200..=299, _) => Body::Undecided(Vec::new()),
            _ => Body::Failed(Failure::Status(status)),
        };
        Self {
            body,
            reader: Reader::default(),
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        self.take(chunk, &mut events)
            .map_err(|failure| self.fail(failure))?;
        Ok(events)
    }

    fn finish(mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        self.end(&mut events)
            .map_err(|failure| self.fail(failure))?;
        Ok(events)
    }
}

impl Decoder {
    fn take(&mut self, chunk: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        match &mut self.body {
            Body::Failed(failure) => Err(*failure),
            Body::Done => Ok(()),
            Body::Whole(bytes) => append(bytes, chunk),
            Body::Streamed(framer) => {
                let mut complete = Vec::new();
                let framed = framer.push(chunk, &mut complete);
                self.read_all(complete, events)?;
                framed.map_err(Failure::from)
            }
            Body::Undecided(bytes) => {
                append(bytes, chunk)?;
                let first = bytes
                    .iter()
                    .find(|byte| !byte.is_ascii_whitespace())
                    .copied();
                let bytes = std::mem::take(bytes);
                self.body = match first {
                    None => Body::Undecided(bytes),
                    Some(b'{') => Body::Whole(bytes),
                    Some(_) => {
                        self.body = Body::Streamed(Framer::default());
                        return self.take(&bytes, events);
                    }
                };
                Ok(())
            }
        }
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        match std::mem::replace(&mut self.body, Body::Done) {
            Body::Failed(failure) => Err(failure),
            Body::Done => Ok(()),
            Body::Undecided(_) => Err(Failure::EndedEarly),
            Body::Whole(bytes) if bytes.is_empty() => Err(Failure::EndedEarly),
            Body::Whole(bytes) => {
                self.reader.read(&bytes, events)?;
                if !self.reader.is_begun {
                    return Err(Failure::Malformed);
                }
                self.reader.end(events);
                Ok(())
            }
            Body::Streamed(framer) => {
                let mut complete = Vec::new();
                framer.finish(&mut complete);
                self.read_all(complete, events)?;
                // A server that gave its reason to stop has said everything, though it leaves out `[DONE]`.
                if !self.reader.is_stopped {
                    return Err(Failure::EndedEarly);
                }
                self.reader.end(events);
                Ok(())
            }
        }
    }

    fn read_all(
        &mut self,
        complete: Vec<SseEvent>,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        for SseEvent { data, is_error } in complete {
            if data.trim_ascii() == b"[DONE]" {
                self.reader.end(events);
                self.body = Body::Done;
                return Ok(());
            }
            match self.reader.read(&data, events) {
                // llama.cpp writes the error object itself, others whatever they like.
                Ok(()) | Err(Fault::Malformed) if is_error => {
                    let error = serde_json::from_slice(&data).unwrap_or_default();
                    return Err(Failure::Reported {
                        retryable: chunk::is_retryable(&error),
                    });
                }
                read => read?,
            }
        }
        Ok(())
    }

    fn fail(&mut self, failure: Failure) -> Error {
        self.body = Body::Failed(failure);
        failure.into()
    }
}

fn append(bytes: &mut Vec<u8>, chunk: &[u8]) -> Result<(), Failure> {
    if bytes.len() + chunk.len() > MAX_BYTES {
        return Err(Failure::TooLong);
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}

/// Whether another attempt may help: rate limits and failures of the server.
pub(crate) fn is_retryable_status(status: u64) -> bool {
    matches!(status, 429 | 500..=599)
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed => Self::Malformed,
            Fault::Reported { retryable } => Self::Reported { retryable },
        }
    }
}

impl From<TooLong> for Failure {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let other = |code: &str, detail: String, retryable| {
            Self::Other(OtherError {
                code: format!("dev.nephron.upstream.{code}"),
                detail: Some(detail),
                retryable,
            })
        };
        match failure {
            Failure::Status(status) => {
                let retryable = is_retryable_status(status.into());
                other(
                    "status",
                    format!("the server answered with status {status}"),
                    retryable,
                )
            }
            Failure::Reported { retryable } => other(
                "reported",
                "the server reported a failure inside its answer".to_owned(),
                retryable,
            ),
            Failure::Malformed => other(
                "malformed",
                "the answer is no chat completion".to_owned(),
                false,
            ),
            Failure::EndedEarly => other("ended-early", "the answer broke off".to_owned(), true),
            Failure::TooLong => Self::LimitExceeded(format!(
                "the answer holds an event or a body over {MAX_BYTES} bytes"
            )),
        }
    }
}
