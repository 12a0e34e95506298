//! The accept loop of every listener: a cap on connections, deadlines for silent and half-sent ones, a graceful end.
//!
//! `axum::serve` has none of these limits; a stranger could hold its sockets for ever.

mod patience;
mod tls;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use self::patience::{Patience, Patient};
pub use self::tls::{Tls, TlsFiles};
use crate::shutdown::Shutdown;

/// What a listener puts up with.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
pub struct Limits {
    /// Connections open at once; more wait in the kernel's backlog.
    #[schemars(extend("x-unit" = "connections"))]
    pub connections: usize,
    /// From the connection to its first byte, and from there to the end of the header.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub header_timeout: Duration,
    /// Between two requests on one connection.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub idle_timeout: Duration,
    /// How long it goes on accepting after the stop signal, so that load balancers notice first.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub drain_delay: Duration,
    /// How long requests in flight may take after that.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub drain_timeout: Duration,
}

/// Answers requests until the shutdown has run its course. Returns true when every request in flight was finished.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: Shutdown) -> bool {
    serve_tls(listener, None, router, limits, shutdown).await
}

/// Does the same as [`serve`], over TLS where there is an identity. The handshake counts as a part of the first header.
pub async fn serve_tls(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> bool {
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let server = Server { router, tls, limits, closed: CancellationToken::new() };
    let _closed = server.closed.clone().drop_guard();
    let closing = async {
        shutdown.drain.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(limits.drain_delay) => {}
            () = shutdown.abort.cancelled() => {}
        }
    };
    tokio::pin!(closing);
    loop {
        // The permit comes first: past the cap, connections wait in the backlog and cost nothing here.
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        tokio::select! {
            biased;
            () = &mut closing => break,
            Some((accepted, permit)) = accepted => match accepted {
                Ok((stream, _)) => server.connection(stream, permit, graceful.watcher()),
                Err(problem) => pause_after(&problem).await,
            },
        }
    }
    drop(listener);
    server.closed.cancel();
    tokio::select! {
        finished = timeout(limits.drain_timeout, graceful.shutdown()) => finished.is_ok(),
        () = shutdown.abort.cancelled() => false,
    }
}

/// Out of file descriptors is the usual cause, and trying again at once would only burn the processor.
async fn pause_after(problem: &std::io::Error) {
    tracing::warn!(error = %problem, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// What every connection needs.
struct Server {
    router: Router,
    tls: Option<Tls>,
    limits: Limits,
    /// No more connections are taken; who is still shaking hands need not go on.
    closed: CancellationToken,
}

impl Server {
    fn connection(&self, stream: TcpStream, permit: OwnedSemaphorePermit, watcher: Watcher) {
        let _ = stream.set_nodelay(true);
        let patience = Arc::new(Patience::new(self.limits.header_timeout, self.limits.idle_timeout));
        let stream = Patient::new(stream, Arc::clone(&patience));
        let (router, tls, closed) = (self.router.clone(), self.tls.clone(), self.closed.clone());
        let Some(Tls(acceptor)) = tls else {
            tokio::spawn(async move {
                let _permit = permit;
                answer(stream, router, patience, watcher).await;
            });
            return;
        };
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                shaken = acceptor.accept(stream) => {
                    if let Ok(stream) = shaken {
                        answer(stream, router, patience, watcher).await;
                    }
                }
                () = closed.cancelled() => {}
            }
        });
    }
}

/// Answers the requests of one connection. What goes wrong on it is the peer's affair.
async fn answer<S>(stream: S, router: Router, patience: Arc<Patience>, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = patience.answering();
        let mut router = router.clone();
        async move {
            let response = router.call(request.map(Body::new)).await;
            drop(answering);
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    // The header deadline is ours (`Patient`): hyper's own would end idle connections at the same limit.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let _ = watcher.watch(connection).await;
}
