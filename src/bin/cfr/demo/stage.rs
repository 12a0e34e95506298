//! The stage of the demo: simulators, a queue in a temporary directory, an ingress, and a worker that comes later.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use cognigy_fallback_router::{
    app::{self, Running},
    config::{self, Role, Sources},
    dead_letters::{self, Filter, Operator, Order, Progress},
    operator,
    secret::Secret,
    shutdown::Shutdown,
    signature::{Scheme, request_headers},
    simulators::{CXONE_ACCESS_KEY_ID, CXONE_ACCESS_KEY_SECRET, ReceivedCallback, RouterAccess, Simulators},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    PATIENCE,
    channel::Channel,
    finished::{Fields, FinishedTriggers},
};
use crate::{
    sign::curl,
    simulated::{self, Environment, variables},
};

pub(super) struct Stage {
    pub(super) simulators: Simulators,
    secret: Secret,
    environment: Environment,
    ingress: Running,
    worker: Option<Running>,
    shutdown: Shutdown,
    client: reqwest::Client,
    finished: FinishedTriggers,
    directory: TempDir,
    console: SocketAddr,
    serving: JoinHandle<bool>,
}

/// What the ingress answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Stage {
    /// Everything but the worker.
    pub(super) async fn build(finished: FinishedTriggers, channel: Option<Channel>) -> anyhow::Result<Self> {
        let simulators = Simulators::start().await?;
        let directory = tempfile::tempdir().context("there is no temporary directory for the queue")?;
        let secret = simulated::secret();
        let mut environment = simulated::environment(&simulators, &secret, directory.path());
        environment.extend(variables([
            ("CFR__INGRESS__LISTEN", "127.0.0.1:0"),
            ("CFR__ADMIN__LISTEN", "127.0.0.1:0"),
            ("CFR__CONSOLE__LISTEN", "127.0.0.1:0"),
            ("CFR__CONSOLE__WRITE", "true"),
        ]));
        if let Some(channel) = channel {
            environment.extend(channel_environment(&simulators, channel));
        }
        let shutdown = Shutdown::default();
        let ingress = start(&environment, Role::Ingress, &shutdown).await?;
        let client = simulated::client(Duration::from_secs(10))?;
        let secret = Secret::new(secret);
        let worker = None;
        let (console, serving) = show(&environment, &ingress, &shutdown).await?;
        Ok(Self {
            simulators,
            secret,
            environment,
            ingress,
            worker,
            shutdown,
            client,
            finished,
            directory,
            console,
            serving,
        })
    }

    /// Lets the worker come.
    pub(super) async fn start_worker(&mut self) -> anyhow::Result<()> {
        self.worker = Some(start(&self.environment, Role::Worker, &self.shutdown).await?);
        Ok(())
    }

    pub(super) fn webhook_url(&self) -> String {
        format!("{}/webhook/cognigy/fallback", self.ingress_url())
    }

    /// What a flow needs to ask this router; it holds turns for `wait`.
    pub(super) fn router_access(&self, wait: Duration) -> anyhow::Result<RouterAccess> {
        RouterAccess::new(&self.ingress_url(), "default", self.secret.clone(), wait)
    }

    fn ingress_url(&self) -> String {
        format!("http://{}", self.ingress.webhook.map(|address| address.to_string()).unwrap_or_default())
    }

    pub(super) fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.worker.as_ref().unwrap_or(&self.ingress).admin)
    }

    pub(super) fn console_url(&self) -> String {
        format!("http://{}/console", self.console)
    }

    pub(super) fn queue_place(&self) -> String {
        self.directory.path().display().to_string()
    }

    /// The command that posts this trigger, signed.
    pub(super) fn curl(&self, body: &str) -> String {
        curl(&self.webhook_url(), &self.headers(body, &self.secret), body)
    }

    pub(super) fn sample_curl(&self) -> String {
        self.curl(
            r#"{"conversationId":"my-own","userId":"me","lastMessage":"Where is my order?","confidenceScore":0.2}"#,
        )
    }

    fn headers(&self, body: &str, secret: &Secret) -> Vec<(&'static str, String)> {
        // The secret was made here and is never blank.
        request_headers(Scheme::HexBody, secret, "", SystemTime::now().into(), body.as_bytes()).unwrap_or_default()
    }

    /// Posts a trigger, signed with the right secret or a wrong one.
    pub(super) async fn post(&self, body: &Value, honest: bool) -> anyhow::Result<Answer> {
        let body = body.to_string();
        let wrong = Secret::new("not the secret of this profile, just guessing");
        let headers = self.headers(&body, if honest { &self.secret } else { &wrong });
        let mut request = self.client.post(self.webhook_url()).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let body = serde_json::from_slice(&response.bytes().await?)?;
        Ok(Answer { status, body })
    }

    /// The callback of a trigger, as the simulated Cognigy acknowledged it.
    pub(super) async fn callback(&self, trigger_id: &str) -> anyhow::Result<ReceivedCallback> {
        let received = self.simulators.cognigy.received(trigger_id);
        tokio::time::timeout(PATIENCE, received).await.context("no callback came")
    }

    /// The log line of a finished trigger; it follows its callback.
    pub(super) async fn finished(&self, trigger_id: &str) -> anyhow::Result<Fields> {
        let line = async {
            loop {
                if let Some(fields) = self.finished.of(trigger_id) {
                    return fields;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, line).await.context("the trigger did not finish")
    }

    /// The dead letter of a trigger: its reason.
    pub(super) async fn dead_letter(&self, trigger_id: &str) -> anyhow::Result<&'static str> {
        let letter = async {
            loop {
                let letters = self.ingress.queue.dead_letters(100).await?;
                let of_id = |letter: &&cognigy_fallback_router::message::DeadLetter| {
                    letter.message.envelope.trigger_id.to_string() == trigger_id
                };
                if let Some(letter) = letters.iter().find(of_id) {
                    return anyhow::Ok(letter.reason.as_str());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, letter).await.context("no dead letter came")?
    }

    /// Replays the dead letter of a trigger, as `cfr dead-letters replay ID` does.
    pub(super) async fn replay(&self, trigger_id: &str) -> anyhow::Result<()> {
        let sources = Sources { file: None, environment: self.environment.clone() };
        let config = config::load_unchecked(&sources)?;
        let queue = operator::open_queue(&config).await?;
        let filter = Filter { ids: vec![trigger_id.parse()?], ..Filter::default() };
        let order =
            Order { filter, limit: 1, pause: None, stop: self.shutdown.drain.clone(), progress: Progress::default() };
        let done = dead_letters::replay(&*queue, &order, &config.deadlines(), &Operator("demo".to_owned())).await;
        queue.close().await;
        anyhow::ensure!(done.ids.len() == 1, "it was not replayed: {done:?}");
        Ok(())
    }

    /// Ends everything.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.shutdown.drain.cancel();
        if let Some(worker) = self.worker {
            worker.ended().await?;
        }
        self.ingress.ended().await?;
        self.serving.await?;
        self.simulators.stop().await;
        Ok(())
    }
}

async fn start(environment: &Environment, role: Role, shutdown: &Shutdown) -> anyhow::Result<Running> {
    let sources = Sources { file: None, environment: environment.clone() };
    let loaded = config::load(&sources, role)?;
    app::start(&loaded.config, role, shutdown.clone()).await
}

/// Serves the operators' page.
async fn show(
    environment: &Environment,
    ingress: &Running,
    shutdown: &Shutdown,
) -> anyhow::Result<(SocketAddr, JoinHandle<bool>)> {
    let sources = Sources { file: None, environment: environment.clone() };
    let config = config::load(&sources, Role::Console)?.config;
    let console = app::show(&config, &ingress.queue, shutdown.drain.clone())?;
    let (address, serving) = app::serve_console(&config, console, shutdown.clone()).await?;
    Ok((address, tokio::spawn(serving)))
}

/// What a conversation of a channel needs beside them.
fn channel_environment(simulators: &Simulators, channel: Channel) -> Environment {
    variables([
        ("CFR__PROFILES__DEFAULT__CALLBACK__URL", simulators.endpoint.url()),
        ("CXONE_ACCESS_KEY_ID", CXONE_ACCESS_KEY_ID),
        ("CXONE_ACCESS_KEY_SECRET", CXONE_ACCESS_KEY_SECRET),
        ("CFR__PROFILES__DEFAULT__CALLBACK__MODE", channel.mode()),
        ("CFR__PROFILES__DEFAULT__HISTORY__PROVIDER", "cxone_digital"),
        ("CFR__PROFILES__DEFAULT__HISTORY__CXONE_DIGITAL__ENVIRONMENT_URL", simulators.cxone.url()),
        ("CFR__PROFILES__DEFAULT__HISTORY__CXONE_DIGITAL__EGRESS__ALLOW_HTTP", "true"),
        ("CFR__PROFILES__DEFAULT__HISTORY__CXONE_DIGITAL__EGRESS__ALLOW_PRIVATE_CIDRS", "[\"127.0.0.0/8\"]"),
    ])
}
