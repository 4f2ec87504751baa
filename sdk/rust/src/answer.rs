//! An HTTP API's answer as it arrives, whole or streamed: what its connectors share. A connector brings a [`Reader`], and
//! [`Decoder`] does the rest.

use crate::Error;
use crate::connector::{Decode, Event};
use crate::types::OtherError;

/// The most bytes that one frame of a stream, or one plain response, may have.
pub const MAX_BYTES: usize = 12 << 20;

/// Cuts a stream into frames, over bytes that are cut anywhere.
pub trait Frames: Default + 'static {
    /// The media type by which a response says that it is such a stream.
    const MEDIA_TYPE: &'static str;
    /// One frame that is complete.
    type Frame;

    /// Takes the next bytes and appends the frames that they complete, also those before a failure.
    ///
    /// # Errors
    /// [`Failure`] when the bytes are no such stream, or a frame has more than [`MAX_BYTES`].
    fn push(&mut self, bytes: &[u8], frames: &mut Vec<Self::Frame>) -> Result<(), Failure>;

    /// The bytes have ended.
    ///
    /// # Errors
    /// [`Failure`] when they ended within a frame that needs its rest.
    fn finish(self, frames: &mut Vec<Self::Frame>) -> Result<(), Failure>;
}

/// Makes events of what one API answers.
pub trait Reader: Default + 'static {
    /// How it streams.
    type Frames: Frames;

    /// Reads a whole answer.
    ///
    /// # Errors
    /// [`Failure`].
    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), Failure>;

    /// Reads one frame of a streamed answer.
    ///
    /// # Errors
    /// [`Failure`].
    fn frame(
        &mut self,
        frame: <Self::Frames as Frames>::Frame,
        events: &mut Vec<Event>,
    ) -> Result<Flow, Failure>;

    /// The stream has ended without a last word: what was kept until then.
    ///
    /// # Errors
    /// [`Failure::EndedEarly`] when the answer is not complete.
    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure>;
}

/// Whether more of an answer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More is to come.
    GoesOn,
    /// The answer is complete; whatever follows is no part of it.
    IsOver,
}

/// Why there is no answer. Said again if the host goes on asking, and never in the server's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A status other than 2xx.
    Status(u16),
    /// The server reports a failure inside an answer.
    Reported {
        /// Whether another attempt may help: overload, rate limits and failures of the server itself.
        retryable: bool,
    },
    /// Not of this API's shape.
    Malformed,
    /// It broke off.
    EndedEarly,
    /// A frame or a body of more than [`MAX_BYTES`].
    TooLong,
}

/// Decodes one response, streamed or whole: by its content type, and by its first byte where that says nothing.
#[derive(Debug)]
pub struct Decoder<R: Reader> {
    body: Body<R::Frames>,
    reader: R,
}

#[derive(Debug)]
enum Body<F> {
    /// The headers do not say what it is: white space so far.
    Undecided(Vec<u8>),
    Whole(Vec<u8>),
    Streamed(F),
    Over,
    Failed(Failure),
}

impl<R: Reader> Decode for Decoder<R> {
    fn new(status: u16, headers: Vec<(String, String)>) -> Self {
        let content_type = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map(|(_, value)| value.split(';').next().unwrap_or_default().trim());
        let is = |media_type| content_type.is_some_and(|it| it.eq_ignore_ascii_case(media_type));
        let body = match status {
            200..=299 if is(R::Frames::MEDIA_TYPE) => Body::Streamed(R::Frames::default()),
            200..=299 if is("application/json") => Body::Whole(Vec::new()),
            200..=299 => Body::Undecided(Vec::new()),
            _ => Body::Failed(Failure::Status(status)),
        };
        Self {
            body,
            reader: R::default(),
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

impl<R: Reader> Decoder<R> {
    fn take(&mut self, chunk: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        match &mut self.body {
            Body::Failed(failure) => Err(*failure),
            Body::Over => Ok(()),
            Body::Whole(bytes) => append(bytes, chunk),
            Body::Streamed(frames) => {
                let mut complete = Vec::new();
                let framed = frames.push(chunk, &mut complete);
                match self.read_all(complete, events)? {
                    Flow::GoesOn => framed,
                    Flow::IsOver => Ok(()),
                }
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
                        self.body = Body::Streamed(R::Frames::default());
                        return self.take(&bytes, events);
                    }
                };
                Ok(())
            }
        }
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        match std::mem::replace(&mut self.body, Body::Over) {
            Body::Failed(failure) => Err(failure),
            Body::Over => Ok(()),
            Body::Undecided(_) => Err(Failure::EndedEarly),
            Body::Whole(bytes) if bytes.is_empty() => Err(Failure::EndedEarly),
            Body::Whole(bytes) => self.reader.whole(&bytes, events),
            Body::Streamed(frames) => {
                let mut complete = Vec::new();
                let framed = frames.finish(&mut complete);
                match self.read_all(complete, events)? {
                    Flow::GoesOn => framed.and_then(|()| self.reader.end(events)),
                    Flow::IsOver => Ok(()),
                }
            }
        }
    }

    fn read_all(
        &mut self,
        complete: Vec<<R::Frames as Frames>::Frame>,
        events: &mut Vec<Event>,
    ) -> Result<Flow, Failure> {
        for frame in complete {
            if self.reader.frame(frame, events)? == Flow::IsOver {
                self.body = Body::Over;
                return Ok(Flow::IsOver);
            }
        }
        Ok(Flow::GoesOn)
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

impl Failure {
    /// Whether a status says that another attempt may help: rate limits and failures of the server.
    #[must_use]
    pub const fn is_retryable_status(status: u64) -> bool {
        matches!(status, 429 | 500..=599)
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
                let retryable = Failure::is_retryable_status(status.into());
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
                "the answer is not of this API's shape".to_owned(),
                false,
            ),
            Failure::EndedEarly => other("ended-early", "the answer broke off".to_owned(), true),
            Failure::TooLong => Self::LimitExceeded(format!(
                "the answer holds an event or a body over {MAX_BYTES} bytes"
            )),
        }
    }
}
