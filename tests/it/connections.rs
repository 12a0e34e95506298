//! What a listener puts up with: silence, half requests, too many connections, a stop in the middle.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use cognigy_fallback_router::{
    http_server::{self, Limits},
    shutdown::Shutdown,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<bool>,
    /// A request to `/slow` has begun.
    begun: Arc<Notify>,
    /// Lets it end.
    finish: Arc<Notify>,
}

async fn server(change: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = Limits {
        connections: 64,
        header_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(100),
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(60),
    };
    change(&mut limits);
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at_begin, at_end) = (Arc::clone(&begun), Arc::clone(&finish));
    let slow = async move || {
        at_begin.notify_one();
        at_end.notified().await;
        "slow"
    };
    let router = Router::new().route("/", get(async || "hello")).route("/slow", get(slow));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::default();
    let serving = tokio::spawn(http_server::serve(listener, router, limits, shutdown.clone()));
    Server { address, shutdown, serving, begun, finish }
}

/// Everything until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is a way of closing, too.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn answer(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = server(|_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_half_sent_header_is_closed() {
    let server = server(|_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
    assert!(!rest(&mut stream).await.contains("200"));
}

#[tokio::test]
async fn a_header_that_trickles_in_is_closed_though_bytes_keep_coming() {
    let server = server(|_| {}).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let trickle = tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(10));
        while writing.write_all(b"x-filler: y\r\n").await.is_ok() {
            every.tick().await;
        }
    });
    let mut bytes = Vec::new();
    let _ = reading.read_to_end(&mut bytes).await;
    drop(reading);
    trickle.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_answer() {
    let server = server(|_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert!(answer(&mut stream, "/").await.contains("hello"));
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_connection_in_use_outlives_the_limits_of_waiting() {
    let server = server(|limits| limits.header_timeout = Duration::from_millis(20)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let slow = tokio::spawn(async move { answer(&mut stream, "/slow").await });
    server.begun.notified().await;
    // Ten times the limit of another connection pass: that one is closed meanwhile.
    for _ in 0..10 {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        rest(&mut silent).await;
    }
    server.finish.notify_one();
    assert!(slow.await.unwrap().contains("slow"));
}

#[tokio::test]
async fn past_the_cap_a_connection_waits_until_another_ends() {
    let server = server(|limits| {
        limits.connections = 1;
        limits.header_timeout = Duration::from_secs(60);
        limits.idle_timeout = Duration::from_secs(60);
    })
    .await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    assert!(answer(&mut first, "/").await.contains("hello"));
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut byte = [0];
    let waiting = tokio::time::timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(waiting.is_err(), "the second connection was served beside the first");
    drop(first);
    second.read_exact(&mut byte).await.unwrap();
}

#[tokio::test]
async fn a_stop_finishes_the_request_in_flight_and_takes_no_more() {
    let server = server(|limits| limits.idle_timeout = Duration::from_secs(60)).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    assert!(answer(&mut idle, "/").await.contains("hello"));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let slow = tokio::spawn(async move { answer(&mut stream, "/slow").await });
    server.begun.notified().await;
    server.shutdown.drain.cancel();
    assert_eq!(rest(&mut idle).await, "", "an idle connection does not hold up the stop");
    server.finish.notify_one();
    assert!(slow.await.unwrap().contains("slow"));
    assert!(server.serving.await.unwrap(), "everything in flight was finished");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_second_signal_ends_the_stop_at_once() {
    let server = server(|_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let slow = tokio::spawn(async move { answer(&mut stream, "/slow").await });
    server.begun.notified().await;
    server.shutdown.drain.cancel();
    server.shutdown.abort.cancel();
    assert!(!server.serving.await.unwrap(), "it says that something was left unfinished");
    slow.abort();
}
