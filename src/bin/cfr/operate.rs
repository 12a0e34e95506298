//! What the verbs share that work on a running installation's queue.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use cognigy_fallback_router::{
    config::{self, Config, Sources},
    dead_letters::Operator,
    operator,
    queue::Queue,
    shutdown::Shutdown,
    telemetry,
};
use tokio_util::sync::CancellationToken;

/// An operator at work.
pub(crate) struct Desk {
    pub(crate) config: Config,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) operator: Operator,
    /// Cancelled by Ctrl-C: what is in hand is finished, the rest waits as before.
    pub(crate) stop: CancellationToken,
}

/// Connects to the queue with the services' settings, does `work`, and leaves the queue as others expect it.
pub(crate) fn operate(
    file: Option<PathBuf>,
    work: impl AsyncFnOnce(&Desk) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let sources = Sources::of_process(file);
    let config = config::load_unchecked(&sources)?;
    listen(&config)?;
    let user = sources.environment.get("USER").map_or("unknown", String::as_str);
    let operator = Operator(user.to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = Shutdown::on_signals().context("the signal handlers cannot be installed")?.drain;
        let queue = operator::open_queue(&config).await?;
        let desk = Desk { config, queue, operator, stop };
        let done = work(&desk).await;
        desk.queue.close().await;
        done
    })
}

/// On standard error only the audit lines, and what cannot be told otherwise.
pub(crate) fn listen(config: &Config) -> anyhow::Result<()> {
    let log = telemetry::Config { level: "error,audit=info".to_owned(), ..config.log.clone() };
    telemetry::init(&log).map_err(anyhow::Error::msg)
}
