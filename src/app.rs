//! Assembly: from settings to running services.

use std::{collections::HashMap, net::SocketAddr, process::ExitCode, sync::Arc, time::SystemTime};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    admin::{self, Duty, Health},
    callback,
    config::{self, Backend, Config, Loaded, Role, Sources},
    decision::DecisionSchema,
    egress::Egress,
    history, http_server,
    ingress::{self, Ingress},
    llm::LlmClient,
    metrics::Metrics,
    pipeline::{self, Confidential, HistoryLimits, Pipeline},
    prompt::{Prompt, TemplateSet},
    queue::{self, Limits, Queue},
    redaction::RedactionRules,
    safe_answer::SafeAnswers,
    shutdown::Shutdown,
    signature::Verifier,
    telemetry,
    time::EpochMs,
    trigger::TriggerBody,
    worker::{self, Worker},
};

/// Exit code for settings that cannot be used (`EX_CONFIG` of sysexits.h).
pub const EX_CONFIG: u8 = 78;

/// A started application. Its services end with the shutdown it was started with.
pub struct Running {
    /// Where triggers are taken, in roles that take them.
    pub webhook: Option<SocketAddr>,
    /// Where metrics and health are.
    pub admin: SocketAddr,
    /// The queue, for looking into it.
    pub queue: Arc<dyn Queue>,
    services: JoinHandle<anyhow::Result<bool>>,
}

impl Running {
    /// Waits for the end. True when everything in flight was finished.
    ///
    /// # Errors
    /// When a service could not go on.
    pub async fn ended(self) -> anyhow::Result<bool> {
        self.services.await.context("the services panicked")?
    }
}

/// The whole life of a process: settings, services, the stop signal, the exit code.
#[must_use]
pub fn main(role: Role, sources: &Sources) -> ExitCode {
    let Loaded { config, warnings } = match config::load(sources, role) {
        Ok(loaded) => loaded,
        Err(unusable) => return refuse(&unusable.to_string()),
    };
    if let Err(problem) = telemetry::init(&config.log) {
        return refuse(&problem);
    }
    for warning in warnings {
        tracing::warn!(event = "doubtful_setting", "{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("the runtime cannot be started: {error}")),
    };
    runtime.block_on(async {
        match live(&config, role).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => {
                tracing::warn!(event = "drain_incomplete", "what was in flight goes back to the queue");
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!(event = "failed", error = format!("{error:#}"), "the process cannot go on");
                ExitCode::FAILURE
            }
        }
    })
}

#[expect(clippy::print_stderr, reason = "there is no log before there are settings")]
fn refuse(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(EX_CONFIG)
}

async fn live(config: &Config, role: Role) -> anyhow::Result<bool> {
    let shutdown = Shutdown::on_signals().context("the signal handlers cannot be installed")?;
    let running = start(config, role, shutdown).await?;
    let webhook = running.webhook.map(|address| address.to_string());
    tracing::info!(event = "started", role = role.as_str(), webhook, admin = %running.admin, "started");
    running.ended().await
}

/// Starts the services of a role. Everything that settings can get wrong is found before a port is bound.
///
/// # Errors
/// When a part cannot be built or a port not be bound.
pub async fn start(config: &Config, role: Role, shutdown: Shutdown) -> anyhow::Result<Running> {
    // Fails only when one is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let metrics = Arc::new(Metrics::new(role.as_str()).context("metrics")?);
    let ingress_profiles = if role.accepts() { Some(ingress_profiles(config)?) } else { None };
    let worker_profiles = if role.works() { Some(worker_profiles(config, &metrics)?) } else { None };
    let queue = connect(config, &metrics).await?;

    let admin = bind(config.admin.listen).await?;
    let admin_address = admin.local_addr()?;
    let duty = if role.works() { Duty::Worker } else { Duty::Ingress };
    let health = Health::new(duty, Arc::clone(&queue), shutdown.drain.clone(), Arc::clone(&metrics));
    let health = Arc::new(health);
    let mut services = Services::new(Arc::clone(&queue), shutdown.clone());
    services.admin(admin, Arc::clone(&health));

    let mut webhook = None;
    if let Some(profiles) = ingress_profiles {
        let listener = bind(config.ingress.listen).await?;
        webhook = Some(listener.local_addr()?);
        let since = EpochMs::from(SystemTime::now()).minus(config.ingress.known_for);
        let accepted = queue.accepted_since(since).await.unwrap_or_default();
        let ingress = Ingress::new(&config.ingress, profiles, queue.publisher(), accepted, Arc::clone(&metrics));
        services.ingress(listener, config, ingress);
    }
    if let Some(profiles) = worker_profiles {
        services.worker(config, Worker::new(profiles, metrics));
    }
    services.readiness(health);
    Ok(Running { webhook, admin: admin_address, queue, services: tokio::spawn(services.ended()) })
}

/// Builds the parts of a role without starting any, to find what the settings alone do not show.
///
/// # Errors
/// As [`start`], for everything but ports and the queue.
pub fn try_parts(config: &Config, role: Role) -> anyhow::Result<()> {
    if role.accepts() {
        ingress_profiles(config)?;
    }
    if role.works() {
        worker_profiles(config, &Arc::new(Metrics::new(role.as_str())?))?;
    }
    Ok(())
}

/// The prompt that a profile makes of a trigger with the history it brings.
///
/// # Errors
/// For an unknown profile, or templates or patterns that cannot be used.
pub fn preview(config: &Config, profile: &str, body: &TriggerBody) -> anyhow::Result<Prompt> {
    let profile = config.profiles.get(profile).with_context(|| format!("there is no profile \"{profile}\""))?;
    let templates = TemplateSet::load(config.templates.directory.as_deref(), &profile.template)?;
    let redaction = RedactionRules::new(&profile.redaction)?;
    Ok(pipeline::preview(&templates, &redaction, &profile.intents, history_limits(profile), body)?)
}

fn history_limits(profile: &config::Profile) -> HistoryLimits {
    HistoryLimits {
        max_turns: profile.history.max_turns,
        max_characters: profile.history.max_characters,
        timeout: profile.history.timeout,
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

async fn connect(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<dyn Queue>> {
    let limits = Limits { soft_limit: config.queue.soft_limit, reserve: config.worker.reserve };
    let metrics = Arc::clone(metrics);
    let queue = match config.queue.backend {
        Backend::Rabbitmq => queue::rabbitmq::connect(&config.queue.rabbitmq, limits, metrics),
        Backend::Embedded => queue::embedded::connect(&config.queue.embedded, limits, metrics).await,
    };
    Ok(queue?)
}

fn ingress_profiles(config: &Config) -> anyhow::Result<HashMap<String, ingress::Profile>> {
    let profile = |(name, profile): (&String, &config::Profile)| {
        let verifier = Verifier::new(profile.webhook.scheme, &profile.webhook.secrets)
            .with_context(|| format!("profiles.{name}.webhook.secrets"))?;
        let egress = Egress::new(&profile.callback.egress, profile.callback.url.as_deref())
            .with_context(|| format!("profiles.{name}.callback"))?;
        let (threshold, deadline) = (profile.threshold, profile.deadline);
        let rate = profile.webhook.rate.map(ingress::Rate::new);
        Ok((name.clone(), ingress::Profile { verifier, threshold, deadline, egress, rate }))
    };
    config.profiles.iter().map(profile).collect()
}

fn worker_profiles(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<HashMap<String, worker::Profile>> {
    let build = |(name, profile): (&String, &config::Profile)| {
        let built = worker_profile(config, profile, metrics).with_context(|| format!("profiles.{name}"))?;
        Ok((name.clone(), built))
    };
    let profiles: HashMap<_, _> = config.profiles.iter().map(build).collect::<anyhow::Result<_>>()?;
    metrics.templates_loaded.set(i64::try_from(profiles.len()).unwrap_or(i64::MAX));
    Ok(profiles)
}

fn worker_profile(
    config: &Config,
    profile: &config::Profile,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<worker::Profile> {
    let pipeline = build_pipeline(config, profile, metrics)?;
    let callback = callback::connect(&profile.callback, metrics).context("callback")?;
    Ok(worker::Profile { pipeline, callback, callback_max_age: profile.callback.max_age })
}

fn build_pipeline(config: &Config, profile: &config::Profile, metrics: &Arc<Metrics>) -> anyhow::Result<Pipeline> {
    let templates = TemplateSet::load(config.templates.directory.as_deref(), &profile.template)?;
    Ok(Pipeline {
        history: history::connect(&profile.history, metrics).context("history")?,
        history_limits: history_limits(profile),
        redaction: RedactionRules::new(&profile.redaction).context("redaction")?,
        intents: profile.intents.clone(),
        llm: LlmClient::new(&profile.llm, templates.schema(), Arc::clone(metrics)).context("llm")?,
        reasks: profile.llm.reasks,
        schema: DecisionSchema::compile(templates.schema(), profile.decision_rules())?,
        confidential: Confidential::new(profile.secrets())?,
        safe_answers: SafeAnswers::new(profile.safe_answers.clone(), &profile.language).context("safe_answers")?,
        reserve: config.worker.reserve,
        templates,
        metrics: Arc::clone(metrics),
    })
}

/// The services of one process, and how they end: the worker and the ingress first, the queue, then the admin listener.
struct Services {
    queue: Arc<dyn Queue>,
    shutdown: Shutdown,
    admin_end: Shutdown,
    working: tokio::task::JoinSet<anyhow::Result<bool>>,
    admin: Option<JoinHandle<bool>>,
}

impl Services {
    fn new(queue: Arc<dyn Queue>, shutdown: Shutdown) -> Self {
        let admin_end = Shutdown::default();
        Self { queue, shutdown, admin_end, working: tokio::task::JoinSet::new(), admin: None }
    }

    fn admin(&mut self, listener: TcpListener, health: Arc<Health>) {
        let router = admin::router(health);
        self.admin = Some(tokio::spawn(http_server::serve(listener, router, admin::LIMITS, self.admin_end.clone())));
    }

    fn ingress(&mut self, listener: TcpListener, config: &Config, ingress: Ingress) {
        let router = ingress::router(Arc::new(ingress));
        let serving = http_server::serve(listener, router, config.ingress.limits, self.shutdown.clone());
        self.working.spawn(async { Ok(serving.await) });
    }

    fn worker(&mut self, config: &Config, worker: Worker) {
        let (queue, config, shutdown) = (Arc::clone(&self.queue), config.worker.clone(), self.shutdown.clone());
        self.working.spawn(async move { Ok(worker::run(Arc::new(worker), queue, &config, shutdown).await?) });
    }

    /// Marks the start as done once the queue is; a queue that never will be usable ends the process.
    fn readiness(&mut self, health: Arc<Health>) {
        let (queue, draining) = (Arc::clone(&self.queue), self.shutdown.drain.clone());
        self.working.spawn(async move {
            tokio::select! {
                () = draining.cancelled() => {}
                ready = queue.ready() => {
                    ready?;
                    health.started();
                }
            }
            Ok(true)
        });
    }

    async fn ended(mut self) -> anyhow::Result<bool> {
        let mut finished = true;
        let mut failure = None;
        while let Some(ended) = self.working.join_next().await {
            match ended.map_err(anyhow::Error::from).and_then(|result| result) {
                Ok(all) => finished &= all,
                Err(error) => {
                    failure.get_or_insert(error);
                    self.shutdown.drain.cancel();
                }
            }
        }
        self.queue.close().await;
        self.admin_end.drain.cancel();
        if let Some(admin) = self.admin {
            let _ = admin.await;
        }
        failure.map_or(Ok(finished), Err)
    }
}
