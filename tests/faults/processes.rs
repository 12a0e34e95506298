//! The programs under test, as processes that can be killed, frozen and started again.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use cognigy_fallback_router::{
    metrics::Metrics,
    queue::{self, Limits, Queue},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    outside::Outside,
    support::{
        app::{CALLBACK_SECRET, WEBHOOK_SECRET},
        broker,
    },
};

/// A deployment: one ingress, some workers, and a queue.
pub(crate) struct Deployment {
    environment: BTreeMap<String, String>,
    pub(crate) webhook: SocketAddr,
    ingress: Option<Child>,
    workers: Vec<Option<Child>>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) node: Option<broker::Alone>,
    _directory: TempDir,
}

/// Which queue a row runs on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum On {
    RabbitMq,
    Embedded,
}

impl Deployment {
    pub(crate) async fn start(on: On, outside: &Outside, workers: usize, changes: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let webhook = free_address().await;
        let mut environment = settings(outside, webhook);
        environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let limits = Limits { soft_limit: 1_000_000, reserve: Duration::from_secs(2) };
        let metrics = Arc::new(Metrics::new("faults").unwrap());
        let (queue, node) = match on {
            On::RabbitMq => {
                let node = broker::alone().await;
                let vhost = node.vhost().await;
                environment.insert("AMQP_URL".to_owned(), vhost.url.clone());
                (queue::rabbitmq::connect(&vhost.config(), limits, metrics).unwrap(), Some(node))
            }
            On::Embedded => {
                let place = directory.path().join("queue");
                environment.insert("CFR__QUEUE__BACKEND".to_owned(), "embedded".to_owned());
                let directory = place.to_str().unwrap().to_owned();
                environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".to_owned(), directory);
                let config = queue::embedded::Config { directory: place };
                (queue::embedded::connect(&config, limits, metrics).await.unwrap(), None)
            }
        };
        queue.ready().await.unwrap();
        let mut deployment =
            Self { environment, webhook, ingress: None, workers: Vec::new(), queue, node, _directory: directory };
        deployment.start_ingress().await;
        deployment.workers.resize_with(workers, || None);
        for number in 0..workers {
            deployment.start_worker(number);
        }
        deployment
    }

    pub(crate) fn node(&self) -> &broker::Node {
        self.node.as_ref().unwrap()
    }

    /// Starts the ingress and waits until its port is open.
    pub(crate) async fn start_ingress(&mut self) {
        self.ingress = Some(spawn(env!("CARGO_BIN_EXE_ingress"), &self.environment));
        while tokio::net::TcpStream::connect(self.webhook).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn start_worker(&mut self, number: usize) {
        self.workers[number] = Some(spawn(env!("CARGO_BIN_EXE_worker"), &self.environment));
    }

    /// One more worker.
    pub(crate) fn add_worker(&mut self) {
        self.workers.push(None);
        self.start_worker(self.workers.len() - 1);
    }

    pub(crate) fn kill_ingress(&mut self) {
        end(self.ingress.take(), Signal::SIGKILL);
    }

    pub(crate) fn kill_worker(&mut self, number: usize) {
        end(self.workers[number].take(), Signal::SIGKILL);
    }

    /// Stops a worker in good order.
    pub(crate) fn stop_worker(&mut self, number: usize) {
        end(self.workers[number].take(), Signal::SIGTERM);
    }

    pub(crate) fn signal_worker(&self, number: usize, signal: Signal) {
        kill(pid(self.workers[number].as_ref().unwrap()), signal).unwrap();
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        end(self.ingress.take(), Signal::SIGKILL);
        for worker in &mut self.workers {
            end(worker.take(), Signal::SIGKILL);
        }
    }
}

fn spawn(program: &str, environment: &BTreeMap<String, String>) -> Child {
    let folder = std::env::temp_dir();
    Command::new(program)
        .env_clear()
        .envs(environment)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn end(child: Option<Child>, signal: Signal) {
    let Some(mut child) = child else { return };
    let _ = kill(pid(&child), signal);
    let _ = child.wait();
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn settings(outside: &Outside, webhook: SocketAddr) -> BTreeMap<String, String> {
    [
        ("COGNIGY_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ("COGNIGY_CALLBACK_SECRET", CALLBACK_SECRET.to_owned()),
        ("COGNIGY_CALLBACK_URL", outside.sink_url.clone()),
        ("LLM_GATEWAY_BASE_URL", outside.llm_url.clone()),
        ("LLM_GATEWAY_API_KEY", "key".to_owned()),
        ("CFR__PROFILES__DEFAULT__HISTORY__PROVIDER", "inline".to_owned()),
        ("CFR__PROFILES__DEFAULT__DEADLINE", "300s".to_owned()),
        ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_PRIVATE_CIDRS", "[\"127.0.0.0/8\"]".to_owned()),
        ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_HTTP", "true".to_owned()),
        ("CFR__INGRESS__LISTEN", webhook.to_string()),
        ("CFR__INGRESS__LIMITS__DRAIN_DELAY", "0s".to_owned()),
        ("CFR__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("CFR__QUEUE__SOFT_LIMIT", "1000000".to_owned()),
        ("CFR__LOG__LEVEL", "error".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
