//! The parts of a run: accepting alone, deciding what was accepted, then both at a steady rate.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use cognigy_fallback_router::{secret::Secret, simulators::Simulators};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use super::{
    Arguments,
    children::{Process, Used},
    load::{Sender, Sent},
    report::{Accepted, Decided, Timed},
};
use crate::{
    bar::bar,
    simulated::{self, Environment, variables},
};

/// Most turns that come along with a trigger.
const INLINE_TURNS: u32 = 50;
/// Most triggers that are sent at a steady rate: a hundredth of them is enough to tell the slowest hundredth.
const MOST_TIMED: u32 = 2_000;
/// How often the callbacks are counted.
const COUNTED: Duration = Duration::from_millis(20);

pub(super) struct Stage<'a> {
    arguments: &'a Arguments,
    pub(super) simulators: Simulators,
    environment: Environment,
    pub(super) sender: Sender,
    pub(super) ingress: Process,
    pub(super) workers: Vec<Process>,
    pub(super) accepted: u64,
    _directory: TempDir,
}

impl<'a> Stage<'a> {
    /// Everything but the workers.
    pub(super) async fn build(arguments: &'a Arguments) -> anyhow::Result<Self> {
        let simulators = Simulators::start().await?;
        simulators.llm.set_latency(Duration::from_millis(arguments.latency_ms));
        if let Some((one_in, slow_ms)) = arguments.slow_one_in.zip(arguments.slow_ms) {
            simulators.llm.set_slow(one_in, Duration::from_millis(slow_ms));
        }
        simulators.cxone.set_turns(arguments.turns as usize);
        let directory = tempfile::tempdir().context("there is no temporary directory for the queue")?;
        let secret = simulated::secret();
        let client = simulated::client(Duration::from_secs(30))?;
        let mut environment = environment(arguments, &simulators, &secret, &directory);
        let [webhook, admin] = free_addresses()?;
        environment.insert("CFR__INGRESS__LISTEN".to_owned(), webhook.to_string());
        let ingress = Process::start("ingress", &environment, admin, &client).await?;
        Process::listens(webhook).await?;
        let url = |name: String| format!("http://{webhook}/webhook/cognigy/fallback/{name}");
        let urls = profiles(arguments).map(url).collect();
        let history = arguments.history_bytes.map(|bytes| Arc::new(history(bytes)));
        let message = words(arguments.message_bytes);
        let sender = Sender { client, urls, secret: Secret::new(secret), message, history };
        let workers = Vec::new();
        Ok(Self { arguments, simulators, environment, sender, ingress, workers, accepted: 0, _directory: directory })
    }

    /// The ingress alone: the queue fills.
    pub(super) async fn accept(&mut self) -> anyhow::Result<Accepted> {
        let before = self.ingress.used();
        let bar = bar("accepting", self.arguments.triggers.into());
        let sent = self.sender.closed(self.arguments.triggers, self.arguments.connections, &bar).await?;
        self.accepted += sent.answered.len() as u64;
        Ok(Accepted { used: since(before, self.ingress.used()), sent })
    }

    /// The workers decide what was accepted.
    pub(super) async fn decide(&mut self) -> anyhow::Result<Decided> {
        self.simulators.llm.set_rate(self.arguments.gateway_limit);
        let bar = bar("deciding", self.arguments.triggers.into());
        let begun = Instant::now();
        for _ in 0..self.arguments.workers {
            let [admin, _] = free_addresses()?;
            let worker = Process::start("worker", &self.environment, admin, &self.sender.client).await?;
            self.workers.push(worker);
        }
        let first = self.first_callback(begun).await;
        self.all_callbacks(&bar).await;
        let took = self.last_callback().map_or_else(|| first.elapsed(), |last| last.saturating_duration_since(first));
        let (calls, refused) = (self.simulators.llm.calls(), self.simulators.llm.refused());
        Ok(Decided { triggers: self.accepted, took, calls, refused, used: self.workers_used(), unhurt: self.unhurt() })
    }

    /// Both, at a steady rate: how long from the request to the callback.
    pub(super) async fn time(&mut self) -> anyhow::Result<Timed> {
        let count = self.arguments.triggers.min(MOST_TIMED);
        let bar = bar("timing", count.into());
        let Sent { at, answered, .. } = self.sender.open(count, self.arguments.rate, &bar).await?;
        self.accepted += answered.len() as u64;
        self.all_callbacks(&bar).await;
        let arrived = self.simulators.cognigy.latest(at.len() as u64);
        let took = arrived.iter().filter_map(|callback| Some(callback.arrived.duration_since(*at.get(&callback.id)?)));
        let model = Duration::from_millis(self.arguments.latency_ms);
        Ok(Timed { overheads: took.map(|took| took.saturating_sub(model)).collect() })
    }

    /// Ends processes and simulators.
    pub(super) async fn end(self) {
        drop((self.workers, self.ingress));
        self.simulators.stop().await;
    }

    async fn first_callback(&self, since: Instant) -> Instant {
        while self.simulators.cognigy.received_in_all() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        self.simulators.cognigy.callbacks().first().map_or(since, |callback| callback.arrived)
    }

    pub(super) async fn all_callbacks(&self, bar: &ProgressBar) {
        while self.simulators.cognigy.received_in_all() < self.accepted {
            bar.set_position(self.simulators.cognigy.received_in_all());
            sleep(COUNTED).await;
        }
    }

    fn last_callback(&self) -> Option<Instant> {
        self.simulators.cognigy.latest(1).pop().map(|callback| callback.arrived)
    }

    /// Outcomes that are decisions of the model, and how many were looked at: of very many the last ones.
    fn unhurt(&self) -> [usize; 2] {
        let callbacks = self.simulators.cognigy.callbacks();
        [callbacks.iter().filter(|callback| callback.outcome()["status"] == "success").count(), callbacks.len()]
    }

    fn workers_used(&self) -> Used {
        let each: Vec<_> = self.workers.iter().map(Process::used).collect();
        Used {
            cpu_s: each.iter().map(|used| used.cpu_s).sum(),
            peak_mib: each.iter().filter_map(|used| used.peak_mib).reduce(f64::max),
        }
    }
}

/// The names of the profiles.
fn profiles(arguments: &Arguments) -> impl Iterator<Item = String> {
    let further = (2..=arguments.profiles).map(|number| format!("p{number}"));
    std::iter::once("default".to_owned()).chain(further)
}

/// Text of so many bytes.
fn words(bytes: u32) -> String {
    "where is my order, I need help ".chars().cycle().take(bytes as usize).collect()
}

/// A conversation of so many bytes.
fn history(bytes: u32) -> Value {
    let (text, roles) = (words(bytes / INLINE_TURNS), ["user", "assistant"]);
    roles.iter().cycle().take(INLINE_TURNS as usize).map(|role| json!({"role": role, "text": text})).collect()
}

fn since(before: Used, now: Used) -> Used {
    Used { cpu_s: now.cpu_s.zip(before.cpu_s).map(|(now, before)| now - before), peak_mib: now.peak_mib }
}

/// Two addresses of this machine that nobody uses just now.
fn free_addresses() -> anyhow::Result<[SocketAddr; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (listen()?, listen()?);
    Ok([one.local_addr()?, other.local_addr()?])
}

fn environment(arguments: &Arguments, simulators: &Simulators, secret: &str, directory: &TempDir) -> Environment {
    let slots = arguments.slots.to_string();
    let mut environment = simulated::environment(simulators, secret, directory.path());
    let adaptive = arguments.gateway_limit.is_some().to_string();
    for name in profiles(arguments).map(|name| name.to_uppercase()) {
        environment.extend(simulated::profile(&name, simulators, secret));
        // Nothing here is late: what is measured is how much, not how soon.
        environment.insert(format!("CFR__PROFILES__{name}__DEADLINE"), "300s".to_owned());
        environment.insert(format!("CFR__PROFILES__{name}__LLM__ADAPTIVE"), adaptive.clone());
        if arguments.hedge {
            environment.insert(format!("CFR__PROFILES__{name}__LLM__HEDGE__TO"), "same".to_owned());
        }
    }
    environment.extend(variables([
        ("CFR__LOG__LEVEL", "error"),
        ("CFR__QUEUE__SOFT_LIMIT", "1000000"),
        ("CFR__WORKER__SLOTS__WORK", &slots),
        ("CFR__WORKER__SLOTS__OUTCOME", &slots),
        ("CFR__CONSOLE__ENABLED", "false"),
    ]));
    if let Some(url) = &arguments.amqp_url {
        environment.extend(variables([("CFR__QUEUE__BACKEND", "rabbitmq"), ("AMQP_URL", url)]));
    }
    environment
}
