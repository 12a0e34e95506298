//! The services of one process, and the order in which they end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use super::supervised;
use crate::{
    admin::{self, Health},
    config::Config,
    console::Console,
    http_server::{self, Tls},
    ingress::{self, Ingress},
    otlp::Traces,
    queue::Queue,
    shutdown::Shutdown,
    worker::{self, Worker},
};

/// How long the first requests wait in the listener's backlog for the queue's first connection, which usually stands
/// within a fraction of this. After it they are answered 503, as in any other outage.
const FIRST_CONNECTION: Duration = Duration::from_secs(2);

/// The services of one process, and how they end: the worker and the ingress first, the queue, then the admin listener.
pub(super) struct Services {
    queue: Arc<dyn Queue>,
    shutdown: Shutdown,
    traces: Traces,
    admin_end: Shutdown,
    working: tokio::task::JoinSet<anyhow::Result<bool>>,
    admin: Option<JoinHandle<bool>>,
    pages: tokio::task::JoinSet<bool>,
}

impl Services {
    pub(super) fn new(queue: Arc<dyn Queue>, shutdown: Shutdown, traces: Traces) -> Self {
        let admin_end = Shutdown::default();
        Self {
            queue,
            shutdown,
            traces,
            admin_end,
            working: tokio::task::JoinSet::new(),
            admin: None,
            pages: tokio::task::JoinSet::new(),
        }
    }

    pub(super) fn admin(&mut self, listener: TcpListener, health: Arc<Health>, interface: Option<String>) {
        let router = admin::router(health, interface);
        self.admin = Some(tokio::spawn(http_server::serve(listener, router, admin::LIMITS, self.admin_end.clone())));
    }

    pub(super) fn ingress(&mut self, listener: TcpListener, tls: Option<Tls>, config: &Config, ingress: Arc<Ingress>) {
        let router = ingress::router(ingress);
        let (limits, shutdown, queue) = (config.ingress.limits, self.shutdown.clone(), Arc::clone(&self.queue));
        self.working.spawn(async move {
            tokio::select! {
                _ = timeout(FIRST_CONNECTION, queue.ready()) => {}
                () = shutdown.drain.cancelled() => {}
            }
            Ok(http_server::serve_tls(listener, tls, router, limits, shutdown).await)
        });
    }

    pub(super) fn worker(&mut self, config: &Config, worker: Arc<Worker>) {
        let (queue, config, shutdown) = (Arc::clone(&self.queue), config.worker.clone(), self.shutdown.clone());
        self.working.spawn(async move { Ok(worker::run(worker, queue, &config, shutdown).await?) });
    }

    /// The operators' page. A port that is taken keeps no trigger from being decided, so it is only warned of.
    pub(super) async fn console(
        &mut self,
        config: &Config,
        console: Arc<Console>,
    ) -> anyhow::Result<Option<SocketAddr>> {
        match super::serve_console(config, console, self.admin_end.clone()).await {
            Ok((address, serving)) => {
                self.pages.spawn(serving);
                Ok(Some(address))
            }
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => {
                tracing::warn!(event = "no_console", error = format!("{error:#}"), "the operators' page is not served");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Marks the start as done once the queue is; a queue that never will be usable ends the process.
    pub(super) fn readiness(&mut self, health: Arc<Health>) {
        let (queue, draining) = (Arc::clone(&self.queue), self.shutdown.drain.clone());
        self.working.spawn(async move {
            tokio::select! {
                () = draining.cancelled() => {}
                ready = queue.ready() => {
                    ready?;
                    health.started();
                    supervised::tell_ready();
                }
            }
            Ok(true)
        });
    }

    pub(super) async fn ended(mut self) -> anyhow::Result<bool> {
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
        self.traces.close().await;
        self.admin_end.drain.cancel();
        if let Some(admin) = self.admin {
            let _ = admin.await;
        }
        while self.pages.join_next().await.is_some() {}
        failure.map_or(Ok(finished), Err)
    }
}
