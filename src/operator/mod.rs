//! What `cfr` does for the operator of a running installation: tell what happened to a trigger, and say what is wrong
//! with a deployment. What the console does too stands in [`crate::dead_letters`].

pub mod doctor;
pub mod explain;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;

use crate::{
    app,
    config::{Backend, Config},
    metrics::Metrics,
    queue::{Inspection, Queue, QueueError},
};

/// How long a queue may take to be there, beside its own limit for connecting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to the queue that the services use. Unlike them it makes nothing: a mistyped directory or virtual host
/// shall not become an empty queue in which nothing is wrong.
///
/// # Errors
/// When there is no such queue, or it cannot be reached; says what to do.
pub async fn open_queue(config: &Config) -> anyhow::Result<Arc<dyn Queue>> {
    // Fails only when one is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut config = config.clone();
    config.queue.rabbitmq.declare = false;
    let hint = match config.queue.backend {
        Backend::Embedded => {
            exists(&config.queue.embedded.directory)?;
            "give `cfr` the settings and the account that the services run with"
        }
        Backend::Rabbitmq => {
            "check that the broker runs, and that `queue.rabbitmq.urls` (AMQP_URL) is what the services use"
        }
    };
    let queue = app::connect(&config, &Arc::new(Metrics::new("cfr")?)).await.context(hint)?;
    let limit = config.queue.rabbitmq.connect_timeout + PATIENCE;
    let ready = tokio::time::timeout(limit, queue.ready()).await;
    match ready {
        Ok(ready) => ready.context(hint)?,
        // What it waited for stands in the error of any question.
        Err(_) => queue.depths().await.map(drop).context(hint)?,
    }
    Ok(queue)
}

/// Makes everything that the services need at their queue, also where their own accounts may not. What is there already
/// and as it should be stays untouched.
///
/// # Errors
/// When the queue cannot be reached, or something there was declared otherwise; says what to do.
pub async fn declare_queues(config: &Config) -> anyhow::Result<Inspection> {
    // Fails only when one is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut config = config.clone();
    config.queue.rabbitmq.declare = true;
    let queue = app::connect(&config, &Arc::new(Metrics::new("cfr")?)).await.context(REACHABLE)?;
    let limit = config.queue.rabbitmq.connect_timeout + PATIENCE;
    let ready = match tokio::time::timeout(limit, queue.ready()).await {
        Ok(ready) => ready,
        // What it waited for stands in the error of any question.
        Err(_) => queue.depths().await.map(drop),
    };
    let declared = ready.map_err(|error| {
        let hint = if matches!(error, QueueError::Unusable(_)) { DECLARABLE } else { REACHABLE };
        anyhow::Error::new(error).context(hint)
    });
    let inspection = match declared {
        Ok(()) => queue.inspect().await.context(REACHABLE),
        Err(error) => Err(error),
    };
    queue.close().await;
    inspection
}

const REACHABLE: &str =
    "check that the broker runs, and `queue.rabbitmq.urls` (AMQP_URL) or `queue.embedded.directory`";
const DECLARABLE: &str = "empty and delete the queue that is named, or use an account that may configure";

fn exists(directory: &Path) -> anyhow::Result<()> {
    let file = directory.join(crate::queue::embedded::FILE);
    anyhow::ensure!(
        file.exists(),
        "{} holds no queue; set `queue.embedded.directory` to the services' one (it is relative to where they start)",
        directory.display()
    );
    Ok(())
}
