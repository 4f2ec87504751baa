//! Stands between a connection's bytes and the HTTP library, and lets no head through that [`Framing`] refuses.
//!
//! The library takes a length beside chunks, drops the length and serves the request, so that a service cannot see that both
//! were there; what it does refuse, it refuses without a body. So a refused head is replaced by one that says
//! `connection: close` and the same path, and [`Pulse`] knows that it was. Whoever answers has the fault from there, and the
//! refusal stands behind the answers to what came before it, in its API's shape.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use zeroize::Zeroizing;

use super::framing::{Fault, Framing, Rest, Taken, target};
use super::pulse::{Pulse, Times};

/// A connection whose heads are looked at.
pub(super) struct Screened<S> {
    inner: S,
    framing: Framing,
    /// A part of a head that is not whole yet.
    held: Vec<u8>,
    /// What was taken and goes to the library next, from `given` on.
    ready: Vec<u8>,
    given: usize,
    times: Times,
    /// For the head under way.
    late: Option<Pin<Box<Sleep>>>,
    /// Whether nothing that comes is read any more.
    is_over: bool,
    /// Until when what still comes is read and thrown away, once this side has ended.
    lingering: Option<Pin<Box<Sleep>>>,
    pulse: Arc<Pulse>,
}

impl<S> Screened<S> {
    pub(super) const fn new(inner: S, times: Times, pulse: Arc<Pulse>) -> Self {
        Self {
            inner,
            framing: Framing::new(),
            held: Vec::new(),
            ready: Vec::new(),
            given: 0,
            times,
            late: None,
            is_over: false,
            lingering: None,
            pulse,
        }
    }

    /// Gives what is ready, if anything is.
    fn give(&mut self, out: &mut ReadBuf<'_>) -> bool {
        let left = self.ready.get(self.given..).unwrap_or_default();
        let count = left.len().min(out.remaining());
        let Some(part) = left.get(..count).filter(|part| !part.is_empty()) else {
            return false;
        };
        out.put_slice(part);
        self.given += count;
        if self.given == self.ready.len() {
            (self.ready, self.given) = (Vec::new(), 0);
        }
        true
    }

    /// Looks at the bytes that came behind the first `before` of `out`, and leaves there what is good.
    fn screen(&mut self, out: &mut ReadBuf<'_>, before: usize) {
        let fresh = out.filled().get(before..).unwrap_or_default();
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(fresh);
            out.set_filled(before);
            let taken = self.framing.take(&held);
            let rest = held.split_off(taken.good.min(held.len()));
            (self.ready, self.given) = (held, 0);
            self.keep(taken, &rest);
            return;
        }
        let taken = self.framing.take(fresh);
        if taken.rest == Rest::Nothing {
            return self.keep(taken, &[]);
        }
        let rest = fresh.get(taken.good..).unwrap_or_default().to_vec();
        out.set_filled(before + taken.good);
        self.keep(taken, &rest);
    }

    fn keep(&mut self, taken: Taken, rest: &[u8]) {
        self.is_over |= self.framing.is_lost();
        match taken.rest {
            Rest::Nothing => self.wait_for_none(),
            Rest::Part => {
                self.held = rest.to_vec();
                self.pulse.head(true);
                let late = || Box::pin(sleep_until(Instant::now() + self.times.head));
                if taken.good > 0 {
                    self.late = None;
                }
                self.late.get_or_insert_with(late);
            }
            Rest::Bad(fault) => self.refuse(fault, rest),
        }
    }

    fn wait_for_none(&mut self) {
        if self.late.take().is_some() {
            self.pulse.head(false);
        }
    }

    /// Puts in the place of `head` what the library can read.
    fn refuse(&mut self, fault: Fault, head: &[u8]) {
        self.pulse.spoil(self.framing.heads(), fault);
        self.is_over = true;
        let target = target(head).filter(|target| target.starts_with('/'));
        let target = target.unwrap_or("/");
        let substitute = format!("POST {target} HTTP/1.1\r\nconnection: close\r\n\r\n");
        self.ready.extend_from_slice(substitute.as_bytes());
        self.held = Vec::new();
        self.wait_for_none();
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let late = self.late.as_mut();
        late.is_some_and(|late| late.as_mut().poll(cx).is_ready())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Screened<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.give(out) {
                return Poll::Ready(Ok(()));
            }
            if this.is_over {
                // The answer that is due is written without this, and ends the connection.
                return Poll::Pending;
            }
            if this.framing.is_http_2() {
                return Pin::new(&mut this.inner).poll_read(cx, out);
            }
            let before = out.filled().len();
            match Pin::new(&mut this.inner).poll_read(cx, out)? {
                Poll::Ready(()) if out.filled().len() == before => return Poll::Ready(Ok(())),
                Poll::Ready(()) => this.screen(out, before),
                Poll::Pending if this.is_late(cx) => {
                    let head = std::mem::take(&mut this.held);
                    this.refuse(Fault::Late, &head);
                }
                Poll::Pending => return Poll::Pending,
            }
            if out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Screened<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    /// Ends this side. If the client is in the middle of something, what it sends is read and thrown away for a while.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if this.framing.is_between() && !this.is_over {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = this.times.linger;
        let until = || Box::pin(sleep_until(Instant::now() + linger));
        let lingering = this.lingering.get_or_insert_with(until);
        let mut waste = Zeroizing::new([0; 4096]);
        while lingering.as_mut().poll(cx).is_pending() {
            let mut waste = ReadBuf::new(waste.as_mut_slice());
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut waste)) {
                Ok(()) if !waste.filled().is_empty() => {}
                // It has gone.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const HEAD: Duration = Duration::from_millis(50);
    const LINGER: Duration = Duration::from_millis(200);

    fn screened() -> (DuplexStream, Screened<DuplexStream>, Arc<Pulse>) {
        let (client, server) = duplex(64 << 10);
        let pulse = Pulse::new();
        let times = Times {
            head: HEAD,
            body: HEAD,
            idle: HEAD,
            linger: LINGER,
        };
        let screened = Screened::new(server, times, Arc::clone(&pulse));
        (client, screened, pulse)
    }

    /// The next bytes that the library is given.
    async fn given(screened: &mut Screened<DuplexStream>, count: usize) -> String {
        let mut bytes = vec![0; count];
        screened.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_refused_head_is_replaced_behind_what_came_before_it() {
        let (mut client, mut screened, pulse) = screened();
        let good = "POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        let bad = "POST /v1/messages HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        for text in [good, bad] {
            let (head, tail) = text.as_bytes().split_at(20);
            client.write_all(head).await.unwrap();
            client.write_all(tail).await.unwrap();
        }
        let substitute = "POST /v1/messages HTTP/1.1\r\nconnection: close\r\n\r\n";
        let expected = format!("{good}{substitute}");
        assert_eq!(given(&mut screened, expected.len()).await, expected);
        let (_first, fault) = pulse.begin();
        assert_eq!(fault, None);
        let (_second, fault) = pulse.begin();
        assert_eq!(fault, Some(Fault::LengthAndCoding));
        let more = tokio::time::timeout(HEAD, screened.read_u8()).await;
        assert!(more.is_err(), "something of the body was let through");
    }

    #[tokio::test]
    async fn a_head_that_is_not_whole_in_time_is_refused() {
        let (mut client, mut screened, pulse) = screened();
        let began = Instant::now();
        client.write_all(b"POST /a HTTP/1.1\r\nx: ").await.unwrap();
        let substitute = "POST /a HTTP/1.1\r\nconnection: close\r\n\r\n";
        assert_eq!(given(&mut screened, substitute.len()).await, substitute);
        assert!(began.elapsed() >= HEAD);
        assert_eq!(pulse.begin().1, Some(Fault::Late));
    }

    #[tokio::test]
    async fn what_a_client_still_sends_is_read_for_a_while() {
        let (mut client, mut screened, _) = screened();
        let head = "POST / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        given(&mut screened, head.len()).await;
        let began = Instant::now();
        let ending = tokio::spawn(async move { screened.shutdown().await });
        // This side is ended, and more is read than is buffered on the way.
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        client.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        ending.await.unwrap().unwrap();
        assert!(began.elapsed() >= LINGER);
    }

    #[tokio::test]
    async fn between_two_requests_nothing_is_waited_for() {
        let (mut client, mut screened, _) = screened();
        let whole = "GET / HTTP/1.1\r\n\r\n";
        client.write_all(whole.as_bytes()).await.unwrap();
        given(&mut screened, whole.len()).await;
        let ended = tokio::time::timeout(Duration::ZERO, screened.shutdown());
        ended.await.unwrap().unwrap();
    }
}
