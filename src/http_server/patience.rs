//! How long a connection may keep us waiting, depending on what we wait for.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// What a connection is doing.
mod phase {
    /// Nothing has come yet.
    pub(super) const FRESH: u8 = 0;
    /// A request's header is coming in.
    pub(super) const RECEIVING: u8 = 1;
    /// The application has the request; its own limits apply, to the body too.
    pub(super) const ANSWERING: u8 = 2;
    /// Between requests.
    pub(super) const IDLE: u8 = 3;
}

/// The state that the connection's bytes and its requests share.
pub(super) struct Patience {
    phase: AtomicU8,
    header: Duration,
    idle: Duration,
}

impl Patience {
    pub(super) fn new(header: Duration, idle: Duration) -> Self {
        Self { phase: AtomicU8::new(phase::FRESH), header, idle }
    }

    /// Marks the connection as busy with a request until the guard is dropped.
    pub(super) fn answering(self: &Arc<Self>) -> Answering {
        self.phase.store(phase::ANSWERING, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }
}

/// A request is being answered.
pub(super) struct Answering(Arc<Patience>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.phase.store(phase::IDLE, Ordering::Relaxed);
    }
}

/// A stream whose reads and writes fail once patience is over.
pub(super) struct Patient {
    stream: TcpStream,
    patience: Arc<Patience>,
    waiting_in: u8,
    deadline: Pin<Box<Sleep>>,
    writing: bool,
}

impl Patient {
    pub(super) fn new(stream: TcpStream, patience: Arc<Patience>) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + patience.header));
        Self { stream, patience, waiting_in: phase::FRESH, deadline, writing: false }
    }

    /// Fails when what we now wait for has taken too long. A change of phase starts the limit anew.
    fn check(&mut self, phase: u8, limit: Duration, cx: &mut Context<'_>) -> io::Result<()> {
        if self.waiting_in != phase {
            self.waiting_in = phase;
            self.deadline.as_mut().reset(Instant::now() + limit);
        }
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

/// A write that the peer does not take: not one of the shared phases.
const WRITING: u8 = 255;

impl AsyncRead for Patient {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                let phase = this.patience.phase.load(Ordering::Relaxed);
                if buf.filled().len() > before && (phase == phase::FRESH || phase == phase::IDLE) {
                    this.patience.phase.store(phase::RECEIVING, Ordering::Relaxed);
                    this.waiting_in = phase;
                }
                // A header that trickles in byte by byte never makes this stream pending for long; the limit counts
                // from its first byte, so look at it after every read.
                if this.patience.phase.load(Ordering::Relaxed) == phase::RECEIVING
                    && let Err(late) = this.check(phase::RECEIVING, this.patience.header, cx)
                {
                    return Poll::Ready(Err(late));
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                let phase = this.patience.phase.load(Ordering::Relaxed);
                let limit = match phase {
                    phase::ANSWERING => {
                        this.waiting_in = phase;
                        return Poll::Pending;
                    }
                    phase::IDLE => this.patience.idle,
                    _ => this.patience.header,
                };
                match this.check(phase, limit, cx) {
                    Ok(()) => Poll::Pending,
                    Err(late) => Poll::Ready(Err(late)),
                }
            }
        }
    }
}

impl Patient {
    fn written<T>(&mut self, poll: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.writing = false;
            return poll;
        }
        if !self.writing {
            self.writing = true;
            self.waiting_in = phase::ANSWERING;
        }
        match self.check(WRITING, self.patience.header, cx) {
            Ok(()) => Poll::Pending,
            Err(late) => Poll::Ready(Err(late)),
        }
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(poll, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(poll, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
