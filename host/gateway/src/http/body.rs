//! The body of a reply, and what is held until its last byte is written.
//!
//! The HTTP library takes a body apart from the request that it answers, and keeps what a client does not read. So what a
//! request holds goes with each part of its answer, down to the bytes that wait to be written: whoever reads slowly holds a
//! place of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Bytes, Frame, SizeHint};
use nephron_model::Phi;
use tokio::sync::mpsc;

use super::Ticket;
use crate::egress::Leaving;
use crate::reply::Piece;
use crate::serve::{Asking, Unread};
use crate::wire::Stream;

/// The body of a reply.
pub(crate) struct Body {
    /// What is there of it.
    rest: Bytes,
    ticket: Option<Arc<Ticket>>,
    asking: Option<Arc<Asking>>,
    /// Says that `rest` waits, while it is not empty.
    unread: Option<Unread>,
    /// Where more comes from. Dropped after the ticket: whoever sends the pieces then knows by it that the client has left, and
    /// is not still there without reading.
    more: Option<Streamed>,
}

/// Pieces as they come, written as server-sent events.
pub(super) struct Streamed {
    stream: Stream,
    /// `None` after the last.
    pieces: Option<mpsc::Receiver<Piece>>,
}

/// A part of a body, until it is written or given up.
struct Part {
    bytes: Bytes,
    _ticket: Option<Arc<Ticket>>,
    _unread: Option<Unread>,
}

/// Bytes that are handed to the HTTP library at once: what of a long answer is taken shows that its client reads.
const AT_ONCE: usize = 16 << 10;

impl Body {
    pub(super) fn empty() -> Self {
        Self::of(Bytes::new(), None)
    }

    pub(super) fn fixed(text: &'static str) -> Self {
        Self::of(Bytes::from_static(text.as_bytes()), None)
    }

    /// It is overwritten once it was written.
    pub(super) fn whole(text: Phi<String>) -> Self {
        Self::of(Bytes::from_owner(Leaving(text)), None)
    }

    /// What comes first is there.
    pub(super) fn streamed(first: Phi<String>, more: Streamed) -> Self {
        Self::of(Bytes::from_owner(Leaving(first)), Some(more))
    }

    const fn of(rest: Bytes, more: Option<Streamed>) -> Self {
        Self {
            rest,
            more,
            ticket: None,
            asking: None,
            unread: None,
        }
    }

    /// The same, which holds a ticket.
    pub(crate) fn held_by(self, ticket: Arc<Ticket>) -> Self {
        Self {
            ticket: Some(ticket),
            ..self
        }
    }

    /// The same, on the connection that it goes out by.
    pub(crate) fn asked_by(self, asking: Arc<Asking>) -> Self {
        let mut body = Self {
            asking: Some(asking),
            ..self
        };
        body.wait();
        body
    }

    /// Begins anew to wait for what is there to be taken.
    fn wait(&mut self) {
        let asking = self.asking.as_ref().filter(|_| !self.rest.is_empty());
        self.unread = asking.map(Asking::wait);
    }
}

impl Streamed {
    pub(super) const fn new(stream: Stream, pieces: mpsc::Receiver<Piece>) -> Self {
        Self {
            stream,
            pieces: Some(pieces),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Phi<String>>> {
        let Some(pieces) = &mut self.pieces else {
            return Poll::Ready(None);
        };
        let piece = ready!(pieces.poll_recv(cx));
        let (text, is_last) = self.stream.write(piece.as_ref());
        if is_last {
            self.pieces = None;
        }
        Poll::Ready(Some(text))
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            let Some(more) = &mut this.more else {
                return Poll::Ready(None);
            };
            match ready!(more.poll_next(cx)) {
                Some(text) => this.rest = Bytes::from_owner(Leaving(text)),
                None => this.more = None,
            }
        }
        let bytes = this.rest.split_to(this.rest.len().min(AT_ONCE));
        this.wait();
        let part = Bytes::from_owner(Part {
            bytes,
            _ticket: this.ticket.clone(),
            _unread: this.asking.as_ref().map(Asking::wait),
        });
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        let has_more = self.more.as_ref().is_some_and(|more| more.pieces.is_some());
        self.rest.is_empty() && !has_more
    }

    fn size_hint(&self) -> SizeHint {
        match self.more {
            None => SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX)),
            Some(_) => SizeHint::default(),
        }
    }
}
