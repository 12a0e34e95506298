//! Assembly: from settings to running services.

mod parts;
mod reload;
mod services;
mod supervised;

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    parts::{ingress_profiles, ingress_tls, profiles_sharing},
    reload::{Doors, Reloader},
    services::Services,
};
use crate::{
    admin::{Duty, Health},
    config::{self, Backend, Config, Loaded, Role, Sources},
    console::{self, Console},
    http_server::{self, Tls},
    ingress::{self, Answers, Ingress},
    llm::Breakers,
    metrics::Metrics,
    otlp::Traces,
    queue::{self, Limits, Queue},
    shutdown::Shutdown,
    telemetry,
    time::EpochMs,
    worker::{Teller, Worker},
};

pub use self::parts::{preview, replay_cases, try_parts, worker_profiles};

/// Exit code for settings that cannot be used (`EX_CONFIG` of sysexits.h).
pub const EX_CONFIG: u8 = 78;

/// A started application. Its services end with the shutdown it was started with.
pub struct Running {
    /// Where triggers are taken, in roles that take them.
    pub webhook: Option<SocketAddr>,
    /// Where the operators' page is, in roles that have it.
    pub console: Option<SocketAddr>,
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

/// Keeps memory in small pages. With huge ones, which the allocator asks for, a process takes half as much again and is no
/// faster: a limit set by what is seen when it is idle would end it later.
fn use_small_pages() {
    // A kernel that cannot does nothing worse than before.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}

/// The whole life of a process: settings, services, the stop signal, the exit code.
#[must_use]
pub fn main(role: Role, sources: &Sources) -> ExitCode {
    use_small_pages();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("the runtime cannot be started: {error}")),
    };
    runtime.block_on(async {
        // Before anything else: SIGHUP ends a process that does not listen for it. The others may, until it runs.
        let hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return refuse(&format!("the signal handlers cannot be installed: {error}")),
        };
        let loaded = match config::load(sources, role) {
            Ok(loaded) => loaded,
            Err(unusable) => return refuse(&unusable.to_string()),
        };
        if let Err(problem) = telemetry::init(&loaded.config.log) {
            return refuse(&problem);
        }
        for warning in &loaded.warnings {
            tracing::warn!(event = "doubtful_setting", "{warning}");
        }
        end(live(loaded, sources, role, hangup).await)
    })
}

fn end(result: anyhow::Result<bool>) -> ExitCode {
    match result {
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
}

/// What a running process can be told.
pub struct Signals {
    /// SIGTERM or SIGINT.
    pub shutdown: Shutdown,
    /// SIGHUP: read the settings again.
    pub hangup: Signal,
}

#[expect(clippy::print_stderr, reason = "there is no log before there are settings")]
fn refuse(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(EX_CONFIG)
}

async fn live(loaded: Loaded, sources: &Sources, role: Role, hangup: Signal) -> anyhow::Result<bool> {
    let shutdown = Shutdown::on_signals().context("the signal handlers cannot be installed")?;
    let signals = Signals { shutdown: shutdown.clone(), hangup };
    let running = start_reloading(loaded, sources, role, signals).await?;
    let webhook = running.webhook.map(|address| address.to_string());
    supervised::tell_when_stopping(shutdown);
    tracing::info!(event = "started", role = role.as_str(), webhook, admin = %running.admin, "started");
    running.ended().await
}

/// Starts the services of a role. Everything that settings can get wrong is found before a port is bound.
///
/// # Errors
/// When a part cannot be built or a port not be bound.
pub async fn start(config: &Config, role: Role, shutdown: Shutdown) -> anyhow::Result<Running> {
    assemble(config, role, shutdown).await.map(|(running, _)| running)
}

/// Starts the services of a role, and from then on reads the settings again on SIGHUP and when their files change.
///
/// # Errors
/// As [`start`].
pub async fn start_reloading(
    loaded: Loaded,
    sources: &Sources,
    role: Role,
    signals: Signals,
) -> anyhow::Result<Running> {
    let Loaded { config, prints, .. } = loaded;
    let Signals { shutdown, hangup } = signals;
    let (running, doors) = assemble(&config, role, shutdown.clone()).await?;
    let reloader = Reloader { sources: sources.clone(), role, doors, prints: Mutex::new(prints) };
    tokio::spawn(Arc::new(reloader).watch(hangup, shutdown.drain, config.reload.interval));
    Ok(running)
}

async fn assemble(config: &Config, role: Role, shutdown: Shutdown) -> anyhow::Result<(Running, Doors)> {
    // Fails only when one is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let metrics = Arc::new(Metrics::new(role.as_str()).context("metrics")?);
    reload::note_success(&metrics);
    // First: a broker is dialled while the profiles are built.
    let queue = connect(config, &metrics).await?;
    let breakers = Breakers::new(Arc::clone(&metrics));
    let mut doors = Doors { ingress: None, worker: None, breakers, metrics: Arc::clone(&metrics) };
    let ingress_profiles = if role.accepts() { Some(ingress_profiles(config)?) } else { None };
    let worker_profiles = if role.works() { Some(profiles_sharing(config, &doors.breakers, &metrics)?) } else { None };
    let tls = ingress_tls(config, role)?;
    let traces = Traces::connect(&config.traces, role.as_str(), config.queue.backend.as_str()).context("traces")?;

    let admin = bind(config.admin.listen).await?;
    let admin_address = admin.local_addr()?;
    let duty = if role.works() { Duty::Worker } else { Duty::Ingress };
    let health = Health::new(duty, Arc::clone(&queue), shutdown.drain.clone(), Arc::clone(&metrics));
    let health = Arc::new(health);
    let mut services = Services::new(Arc::clone(&queue), shutdown.clone(), traces.clone());
    let interface = role.accepts().then(|| ingress::document().to_json()).transpose()?;
    services.admin(admin, Arc::clone(&health), interface);

    let mut webhook = None;
    if let Some(profiles) = ingress_profiles {
        let listener = bind(config.ingress.listen).await?;
        webhook = Some(listener.local_addr()?);
        let since = EpochMs::from(SystemTime::now()).minus(config.ingress.known_for);
        let accepted = queue.accepted_since(since).await.unwrap_or_default();
        let ingress = Ingress::new(&config.ingress, profiles, queue.publisher(), accepted, Arc::clone(&metrics));
        let answers = Answers::new(config.ingress.answers, shutdown.drain.clone(), Arc::clone(&metrics));
        let ingress = ingress.with_notices(queue.notices()).with_answers(answers).traced(traces.tracer());
        let ingress = Arc::new(ingress);
        doors.ingress = Some(Arc::clone(&ingress));
        services.ingress(listener, tls, config, ingress);
    }
    if let Some(profiles) = worker_profiles {
        let teller = Teller::new(queue.notices(), config.console.stories);
        let worker = Worker::new(profiles, metrics).with_notices(queue.notices()).telling(teller);
        let worker = Arc::new(worker.traced(traces.tracer()));
        doors.worker = Some(Arc::clone(&worker));
        services.worker(config, worker);
    }
    let console = if role.shows() && config.console.enabled {
        services.console(config, show(config, &queue, shutdown.drain.clone())?).await?
    } else {
        None
    };
    services.readiness(health);
    let services = tokio::spawn(services.ended());
    Ok((Running { webhook, console, admin: admin_address, queue, services }, doors))
}

/// The operators' page of a queue, before anything was heard.
///
/// # Errors
/// When the parts of a profile cannot be built.
pub fn show(config: &Config, queue: &Arc<dyn Queue>, stop: CancellationToken) -> anyhow::Result<Arc<Console>> {
    let parts = parts::console(config, Arc::clone(queue))?;
    let console = Arc::new(Console::new(&config.console, parts, stop));
    tokio::spawn(Arc::clone(&console).listen());
    Ok(console)
}

/// Serves the operators' page alone, until the shutdown.
///
/// # Errors
/// When its port cannot be bound, or a file of its identity not be read.
pub async fn serve_console(
    config: &Config,
    console: Arc<Console>,
    shutdown: Shutdown,
) -> anyhow::Result<(SocketAddr, impl Future<Output = bool> + use<>)> {
    let tls = config.console.tls.as_ref().map(Tls::read).transpose().context("console.tls")?;
    let listener = bind(config.console.listen).await?;
    let address = listener.local_addr()?;
    let router = console::router(console);
    Ok((address, http_server::serve_tls(listener, tls, router, console::LIMITS, shutdown)))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Connects to the queue of these settings, in the background where it is a broker.
///
/// # Errors
/// When the settings or the files of the queue cannot be used.
pub async fn connect(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<dyn Queue>> {
    let limits = Limits { soft_limit: config.queue.soft_limit, reserve: config.worker.reserve };
    let metrics = Arc::clone(metrics);
    let queue = match config.queue.backend {
        Backend::Rabbitmq => queue::rabbitmq::connect(&config.queue.rabbitmq, limits, metrics),
        Backend::Embedded => queue::embedded::connect(&config.queue.embedded, limits, metrics).await,
    };
    Ok(queue?)
}
