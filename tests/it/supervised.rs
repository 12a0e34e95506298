//! A supervisor is told when a process is ready and when it stops, and the simulators run on their own.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::support::{
    app::{World, client},
    broker,
};

/// A process that ends with its owner.
struct Process(Child);

impl Process {
    fn stop(&self) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGTERM).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the supervisor hears next.
async fn heard(socket: &UnixDatagram) -> String {
    let socket = socket.try_clone().unwrap();
    let hear = move || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    tokio::task::spawn_blocking(hear).await.unwrap()
}

#[tokio::test]
async fn a_supervisor_is_told_when_the_process_is_ready_and_when_it_stops() {
    let (world, directory) = (World::start().await, TempDir::new().unwrap());
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let process = Command::new(env!("CARGO_BIN_EXE_cfr"))
        .arg("serve")
        .env_clear()
        .envs(world.environment())
        .env("CFR__QUEUE__BACKEND", "embedded")
        .env("CFR__QUEUE__EMBEDDED__DIRECTORY", directory.path().join("queue"))
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let process = Process(process.unwrap());
    assert_eq!(heard(&socket).await, "READY=1\n");
    process.stop();
    assert_eq!(heard(&socket).await, "STOPPING=1\n");
}

/// The client of RabbitMQ speaks of errors when its connections are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_start_and_stop_on_rabbitmq_is_no_error_in_the_log() {
    let (world, directory, node) = (World::start().await, TempDir::new().unwrap(), broker::shared().await);
    let vhost = node.vhost().await;
    for role in ["ingress", "worker"] {
        let (path, log) = (directory.path().join(role), directory.path().join("log"));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_cfr"))
            .arg(role)
            .env_clear()
            .envs(world.environment())
            .env("AMQP_URL", &vhost.url)
            .env("NOTIFY_SOCKET", &path)
            .stderr(File::create(&log).unwrap())
            .spawn();
        let mut process = Process(process.unwrap());
        assert_eq!(heard(&socket).await, "READY=1\n");
        // What is not connected yet is broken off.
        while std::fs::read_to_string(&log).unwrap().matches("connected to the queue").count() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        process.stop();
        assert!(process.0.wait().unwrap().success());
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("\"event\":\"started\"") && !log.contains("ERROR"), "{log}");
    }
    let log = node.log().await;
    let of_ours: Vec<_> = log.lines().filter(|line| line.contains(&format!("vhost: '{}'", vhost.name))).collect();
    assert!(of_ours.is_empty(), "the broker has nothing to say of their connections: {of_ours:?}");
}

#[tokio::test]
async fn simulated_neighbours_run_on_their_own_and_tell_of_every_callback() {
    let process = Command::new(env!("CARGO_BIN_EXE_cfr"))
        .args(["simulate", "--cxone", "0", "--llm", "0", "--cognigy", "0"])
        .env_clear()
        .stdout(Stdio::piped())
        .spawn();
    let mut process = Process(process.unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut urls = Vec::new();
    for name in ["CXone", "archive", "model", "callbacks"] {
        let line = lines.next().unwrap();
        assert!(line.starts_with(name), "{line}");
        urls.push(line.split_whitespace().nth(1).unwrap().to_owned());
    }
    let client = client();
    for url in &urls {
        let health = reqwest::Url::parse(url).unwrap().join("/healthz").unwrap();
        assert_eq!(client.get(health).send().await.unwrap().status().as_u16(), 200, "{url}");
    }
    let refused = client.post(format!("{}/v1/chat/completions", urls[2])).body("{}").send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 401);
    let forged =
        client.post(&urls[3]).header("webhook-id", "t-1").body(r#"{"status":"success"}"#).send().await.unwrap();
    assert_eq!(forged.status().as_u16(), 401);
    let told = tokio::task::spawn_blocking(move || lines.next().unwrap()).await.unwrap();
    assert_eq!(told, "callback   t-1  success  answered 401  wrong signature");
}
