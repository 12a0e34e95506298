//! The programs under test, as processes that can be killed, frozen and started again.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
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
use tokio::net::{TcpListener, TcpStream};

use crate::{outside::Outside, proxy::Proxy, settings::settings, support::broker};

/// Settings of one kind of process.
pub(crate) type Environment = BTreeMap<String, String>;

/// A deployment: ingresses, workers, and a queue.
pub(crate) struct Deployment {
    pub(crate) environment: Environment,
    /// What ingresses, and what workers, have otherwise.
    pub(crate) ingress_environment: Environment,
    pub(crate) worker_environment: Environment,
    llm_url: String,
    ingresses: Vec<Process>,
    pub(crate) workers: Vec<Process>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) node: Option<broker::Alone>,
    pub(crate) vhost: Option<broker::Vhost>,
    _directory: TempDir,
}

/// A place for a process, which may run or not.
pub(crate) struct Process {
    /// Of the webhook or the admin listener.
    pub(crate) address: SocketAddr,
    child: Option<Child>,
}

/// Which queue a row runs on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum On {
    RabbitMq,
    Embedded,
}

impl Deployment {
    /// One ingress and some workers.
    pub(crate) async fn start(on: On, outside: &Outside, workers: usize, changes: &[(&str, &str)]) -> Self {
        let mut deployment = Self::prepare(on, outside, changes).await;
        deployment.add_ingress().await;
        deployment.add_workers(workers).await;
        deployment
    }

    /// The queue alone.
    pub(crate) async fn prepare(on: On, outside: &Outside, changes: &[(&str, &str)]) -> Self {
        Self::prepare_in(TempDir::new().unwrap(), on, outside, changes).await
    }

    /// The same with the embedded queue's file below `directory`.
    pub(crate) async fn prepare_in(directory: TempDir, on: On, outside: &Outside, changes: &[(&str, &str)]) -> Self {
        let mut environment = settings(outside);
        environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let limits = Limits { soft_limit: 1_000_000, reserve: Duration::from_secs(2) };
        let metrics = Arc::new(Metrics::new("faults").unwrap());
        let (queue, node, vhost) = match on {
            On::RabbitMq => {
                let node = broker::alone().await;
                let vhost = node.vhost().await;
                environment.insert("AMQP_URL".to_owned(), vhost.url.clone());
                (queue::rabbitmq::connect(&vhost.config(), limits, metrics).unwrap(), Some(node), Some(vhost))
            }
            On::Embedded => {
                let place = directory.path().join("queue");
                environment.insert("CFR__QUEUE__BACKEND".to_owned(), "embedded".to_owned());
                let text = place.to_str().unwrap().to_owned();
                environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".to_owned(), text);
                let config = queue::embedded::Config { directory: place };
                (queue::embedded::connect(&config, limits, metrics).await.unwrap(), None, None)
            }
        };
        queue.ready().await.unwrap();
        Self::over(queue, environment, outside, directory, (node, vhost))
    }

    /// The queue alone, at a broker that the row has brought.
    pub(crate) async fn prepare_at(vhost: broker::Vhost, outside: &Outside, changes: &[(&str, &str)]) -> Self {
        let mut environment = settings(outside);
        environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        environment.insert("AMQP_URL".to_owned(), vhost.url.clone());
        let queue = at(&vhost).await;
        Self::over(queue, environment, outside, TempDir::new().unwrap(), (None, Some(vhost)))
    }

    /// From now on everything is at that broker.
    pub(crate) async fn move_to(&mut self, vhost: broker::Vhost) {
        self.queue.close().await;
        self.environment.insert("AMQP_URL".to_owned(), vhost.url.clone());
        self.queue = at(&vhost).await;
        self.vhost = Some(vhost);
    }

    fn over(
        queue: Arc<dyn Queue>,
        environment: Environment,
        outside: &Outside,
        directory: TempDir,
        (node, vhost): (Option<broker::Alone>, Option<broker::Vhost>),
    ) -> Self {
        Self {
            environment,
            ingress_environment: Environment::new(),
            worker_environment: Environment::new(),
            llm_url: outside.llm_url.clone(),
            ingresses: Vec::new(),
            workers: Vec::new(),
            queue,
            node,
            vhost,
            _directory: directory,
        }
    }

    pub(crate) fn node(&self) -> &broker::Node {
        self.node.as_ref().unwrap()
    }

    pub(crate) fn webhooks(&self) -> Vec<SocketAddr> {
        self.ingresses.iter().map(|ingress| ingress.address).collect()
    }

    /// A proxy in front of the broker, and the URL that leads through it.
    pub(crate) async fn broker_proxy(&self) -> (Proxy, String) {
        let url = &self.vhost.as_ref().unwrap().url;
        let (before, rest) = url.split_once("127.0.0.1:").unwrap();
        let (port, vhost) = rest.split_once('/').unwrap();
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))).await;
        let url = format!("{before}{}/{vhost}", proxy.address);
        (proxy, url)
    }

    pub(crate) async fn add_ingress(&mut self) {
        self.ingresses.push(Process { address: free_address().await, child: None });
        self.start_ingress(self.ingresses.len() - 1).await;
    }

    pub(crate) async fn add_workers(&mut self, count: usize) {
        for _ in 0..count {
            self.workers.push(Process { address: free_address().await, child: None });
            self.start_worker(self.workers.len() - 1);
        }
    }

    /// Starts an ingress and waits until its port is open.
    pub(crate) async fn start_ingress(&mut self, number: usize) {
        let ingress = &mut self.ingresses[number];
        let mut environment = self.environment.clone();
        environment.extend(self.ingress_environment.clone());
        environment.insert("CFR__INGRESS__LISTEN".to_owned(), ingress.address.to_string());
        ingress.child = Some(spawn(&program("ingress", env!("CARGO_BIN_EXE_ingress")), &environment));
        while TcpStream::connect(ingress.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn start_worker(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        let mut environment = self.environment.clone();
        environment.insert("LLM_GATEWAY_BASE_URL".to_owned(), format!("{}/{number}", self.llm_url));
        environment.insert("CFR__ADMIN__LISTEN".to_owned(), worker.address.to_string());
        environment.extend(self.worker_environment.clone());
        worker.child = Some(spawn(&program("worker", env!("CARGO_BIN_EXE_worker")), &environment));
    }

    pub(crate) fn kill_ingress(&mut self, number: usize) {
        end(self.ingresses[number].child.take(), Signal::SIGKILL);
    }

    pub(crate) fn kill_worker(&mut self, number: usize) {
        end(self.workers[number].child.take(), Signal::SIGKILL);
    }

    /// Kills an ingress and starts it again.
    pub(crate) async fn renew_ingress(&mut self, number: usize) {
        self.kill_ingress(number);
        self.start_ingress(number).await;
    }

    /// Kills a worker and starts it again.
    pub(crate) fn renew_worker(&mut self, number: usize) {
        self.kill_worker(number);
        self.start_worker(number);
    }

    /// Stops a worker in good order.
    pub(crate) fn stop_worker(&mut self, number: usize) {
        end(self.workers[number].child.take(), Signal::SIGTERM);
    }

    pub(crate) fn signal_worker(&self, number: usize, signal: Signal) {
        kill(pid(self.workers[number].child.as_ref().unwrap()), signal).unwrap();
    }

    /// Of what runs now, ingresses first.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let running = self.ingresses.iter().chain(&self.workers);
        running.filter_map(|process| Some(process.child.as_ref()?.id())).collect()
    }

    /// `cfr` with this deployment's settings.
    pub(crate) fn cfr(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program("cfr", env!("CARGO_BIN_EXE_cfr")));
        let mut environment = self.environment.clone();
        environment.insert("LLM_GATEWAY_BASE_URL".to_owned(), format!("{}/0", self.llm_url));
        command.env_clear().envs(environment).envs(mutant()).current_dir(std::env::temp_dir()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        for process in self.ingresses.iter_mut().chain(&mut self.workers) {
            end(process.child.take(), Signal::SIGKILL);
        }
    }
}

async fn at(vhost: &broker::Vhost) -> Arc<dyn Queue> {
    let limits = Limits { soft_limit: 1_000_000, reserve: Duration::from_secs(2) };
    let queue = queue::rabbitmq::connect(&vhost.config(), limits, Arc::new(Metrics::new("faults").unwrap())).unwrap();
    queue.ready().await.unwrap();
    queue
}

/// Which fault is built in, if any: see `mutants/`.
#[expect(clippy::disallowed_methods, reason = "a test program has no settings")]
fn mutant() -> Option<(&'static str, String)> {
    std::env::var("CFR_MUTANT").ok().map(|mutant| ("CFR_MUTANT", mutant))
}

/// `PROGRAMS=<directory>` takes them from there instead of from this build.
fn program(name: &str, built: &str) -> PathBuf {
    let elsewhere = std::env::var_os("PROGRAMS").and_then(|directory| std::path::absolute(directory).ok());
    elsewhere.map_or_else(|| built.into(), |directory| directory.join(name))
}

/// `LOGS=<directory>` keeps what the processes say.
fn spawn(program: &Path, environment: &Environment) -> Child {
    let mut command = Command::new(program);
    command.env_clear().envs(environment).envs(mutant()).current_dir(std::env::temp_dir()).stdin(Stdio::null());
    match std::env::var_os("LOGS").map(PathBuf::from) {
        Some(directory) => {
            let name = format!("{}-{:08x}.log", program.file_name().unwrap().display(), rand::random::<u32>());
            let file = std::fs::File::create(directory.join(name)).unwrap();
            command.stdout(file.try_clone().unwrap()).stderr(file).env("CFR__LOG__LEVEL", "info");
        }
        None => _ = command.stdout(Stdio::null()).stderr(Stdio::null()),
    }
    command.spawn().unwrap()
}

/// Waits for its end as well. What it still has to do may need the sink and the gateway, which run here: the wait must not
/// hold up the runtime's thread, or whatever task is next on it.
fn end(child: Option<Child>, signal: Signal) {
    let Some(mut child) = child else { return };
    let _ = kill(pid(&child), signal);
    let _ = tokio::task::block_in_place(|| child.wait());
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
