//! An HTTP server on port 0 that answers by script and records what it was asked.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header::CONTENT_LENGTH};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Request, Response, body::Frame, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// One scripted answer.
#[derive(Clone)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    delay: Duration,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The whole answer is sent.
    Whole,
    /// The body breaks off in the middle.
    Half,
    /// The connection is closed instead of an answer.
    Close,
    /// Nothing comes.
    Hang,
    /// Status and headers come, then nothing.
    HangInBody,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap();
        Self { status, headers: HeaderMap::new(), body: Bytes::new(), delay: Duration::ZERO, end: End::Whole }
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::status(200).header("content-type", "application/json").body(body.to_string())
    }

    /// An answer that is no JSON, as proxies give.
    pub(crate) fn html() -> Self {
        Self::status(200).header("content-type", "text/html").body("<html><body>upstream error</body></html>")
    }

    /// The connection is closed without an answer.
    pub(crate) fn close() -> Self {
        Self { end: End::Close, ..Self::status(200) }
    }

    pub(crate) fn hang() -> Self {
        Self { end: End::Hang, ..Self::status(200) }
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer begins after this time.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Only the first half of the body comes, then the connection breaks.
    pub(crate) fn half(mut self) -> Self {
        self.end = End::Half;
        self
    }

    /// Only the head comes; the body never does.
    pub(crate) fn hang_in_body(mut self) -> Self {
        self.end = End::HangInBody;
        self
    }
}

/// One request as it came.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The client's end of the connection.
    pub(crate) peer: SocketAddr,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The decoded query parameters.
    pub(crate) fn query(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(self.uri.query().unwrap_or("").as_bytes()).into_owned().collect()
    }
}

type Compute = dyn Fn(&Recorded) -> Reply + Send + Sync;

#[derive(Default)]
struct Scripts {
    next: HashMap<String, VecDeque<Reply>>,
    always: HashMap<String, Reply>,
    computed: HashMap<String, Arc<Compute>>,
    recorded: Vec<Recorded>,
}

#[derive(Default)]
struct State {
    scripts: Mutex<Scripts>,
    arrived: Notify,
}

/// The server; it stops when dropped.
pub(crate) struct Stub {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// `http://127.0.0.1:<port><path>`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Queues the next answer of a path; when the queue is empty, that of [`Stub::always`], else 404.
    pub(crate) fn next(&self, path: &str, reply: Reply) -> &Self {
        self.state.scripts.lock().unwrap().next.entry(path.to_owned()).or_default().push_back(reply);
        self
    }

    /// The answer of a path once its queue is empty.
    pub(crate) fn always(&self, path: &str, reply: Reply) -> &Self {
        self.state.scripts.lock().unwrap().always.insert(path.to_owned(), reply);
        self
    }

    /// What answers a path when its queue is empty, by what it is asked.
    pub(crate) fn computed(&self, path: &str, compute: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> &Self {
        self.state.scripts.lock().unwrap().computed.insert(path.to_owned(), Arc::new(compute));
        self
    }

    /// Every request so far, in order.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.scripts.lock().unwrap().recorded.clone()
    }

    /// The requests to one path so far.
    pub(crate) fn requests_to(&self, path: &str) -> Vec<Recorded> {
        self.requests().into_iter().filter(|request| request.uri.path() == path).collect()
    }

    /// Waits until `count` requests have come.
    pub(crate) async fn received(&self, count: usize) -> Vec<Recorded> {
        loop {
            let arrived = self.state.arrived.notified();
            let so_far = self.requests();
            if so_far.len() >= count {
                return so_far;
            }
            arrived.await;
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Dropping the set with this future ends the open connections, too.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, peer)) = listener.accept().await {
        connections.spawn(serve(stream, peer, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, state: Arc<State>) {
    let answer = service_fn(move |request| answer(request, peer, Arc::clone(&state)));
    // An error is what `close` and `half` ask for.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    state: Arc<State>,
) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = parts.uri.path().to_owned();
    let reply = {
        let mut scripts = state.scripts.lock().unwrap();
        let request = Recorded { method: parts.method, uri: parts.uri, headers: parts.headers, body, peer };
        let computed = scripts.computed.get(&path).map(|compute| compute(&request));
        scripts.recorded.push(request);
        let queued = scripts.next.get_mut(&path).and_then(VecDeque::pop_front);
        queued.or(computed).or_else(|| scripts.always.get(&path).cloned()).unwrap_or_else(|| Reply::status(404))
    };
    state.arrived.notify_waiters();
    play(reply).await
}

async fn play(reply: Reply) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, io::Error> {
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    let length = HeaderValue::from(reply.body.len());
    let body = match reply.end {
        End::Close => return Err(io::Error::other("closed as scripted")),
        End::Hang => std::future::pending().await,
        End::Whole => http_body_util::Full::new(reply.body).map_err(|never| match never {}).boxed_unsync(),
        End::Half => {
            let frames = [
                Ok(Frame::data(reply.body.slice(..reply.body.len() / 2))),
                Err(io::Error::other("broken off as scripted")),
            ];
            // Without a pause the server would drop what it has not flushed yet: the head, too.
            let frames = stream::iter(frames).then(async |frame| {
                tokio::task::yield_now().await;
                frame
            });
            StreamBody::new(frames).boxed_unsync()
        }
        End::HangInBody => StreamBody::new(stream::pending::<io::Result<Frame<Bytes>>>()).boxed_unsync(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    if reply.end != End::Whole {
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    Ok(response)
}
