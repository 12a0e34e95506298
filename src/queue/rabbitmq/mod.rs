//! RabbitMQ through lapin: the topology of three lanes, a pool of confirm channels, own reconnecting sessions.
//!
//! [`topology`] says what there is at the broker, [`headers`] how a message looks on the wire. One connection publishes
//! (`publisher`, each `writer` on one of the `channels`) and is asked every second how the broker is (`pulse`); another one consumes
//! (`pump`, `consumer`, `settlement`), because under an alarm the broker stops reading from connections that publish,
//! acks and all. What costs the broker less together goes together: `acks`, and the `departures` of results. Each is a `session`, made again by its `supervisor`.

mod acks;
mod admission;
mod bulletin;
mod channels;
mod config;
mod consumer;
mod declare;
mod departures;
mod drift;
mod endpoint;
#[cfg(fuzzing)]
pub mod fuzz;
mod headers;
mod hello;
mod inspect;
mod limit;
mod listening;
mod management;
mod notices;
mod parcel;
mod policy;
mod presence;
mod publisher;
mod pulse;
mod pump;
mod session;
mod settlement;
mod skew;
mod supervisor;
mod suspects;
mod topology;
mod wire;
mod writer;

use std::{
    collections::BTreeSet,
    num::NonZeroU16,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use lapin::Connection;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    channels::Pool,
    endpoint::Endpoint,
    management::{Findings, Management},
    notices::RabbitNotices,
    presence::Presence,
    publisher::{Outbox, RabbitPublisher},
    pulse::Pulse,
    pump::Pump,
    session::{Link, Session},
    skew::Skew,
    supervisor::{Supervisor, Tenant},
    suspects::Suspects,
    writer::Writer,
};
pub use self::{config::Config, wire::Headers};
use super::{Consumer, DeadDelivery, Depths, Flaw, Inspection, Limits, Publisher, Queue, QueueError, notice::Notices};
use crate::{
    message::{DeadLetter, Lane},
    metrics::Metrics,
    time::EpochMs,
    trigger::TriggerId,
};

/// Starts the sessions in the background; does not wait for the first connection ([`Queue::ready`] does).
/// Has to be called within a tokio runtime.
///
/// # Errors
/// `Unusable` when no URI can be parsed.
pub fn connect(config: &Config, limits: Limits, metrics: Arc<Metrics>) -> Result<Arc<dyn Queue>, QueueError> {
    let endpoints = endpoint::parse(config)?;
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if somebody else was faster, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let management = Management::new(config, &endpoints)?;
    let presence = Arc::new(Presence::new(Arc::clone(&metrics)));
    let pulse = Arc::new(Pulse::new(config.declare, limits.soft_limit, Arc::clone(&presence)));
    let links =
        Links { endpoints, connect_timeout: config.connect_timeout, metrics, closing: CancellationToken::new() };
    let (link, kept) = links.start(Arc::clone(&pulse));
    let pool = channels::pool(link.clone(), config.channels, config.channel_timeout)?;
    let metrics = Arc::clone(&links.metrics);
    let writer = Arc::new(Writer {
        pool: pool.clone(),
        pulse: Arc::clone(&pulse),
        confirm_timeout: config.confirm_timeout,
        metrics: Arc::clone(&metrics),
    });
    let writers = publisher::writers(&writer, config.channels);
    let channel_timeout = config.channel_timeout;
    let outbox = Arc::new(Outbox { link, writers, pulse, channel_timeout, reserve: limits.reserve, metrics });
    let _close_on_drop = links.closing.clone().drop_guard();
    let kept = Mutex::new(Kept { supervisors: vec![kept], consuming: None });
    Ok(Arc::new_cyclic(|queue: &Weak<RabbitQueue>| {
        let queue = queue.clone();
        let consuming = Arc::new(move || Some(queue.upgrade()?.consuming()));
        let notices = Arc::new(RabbitNotices::start(&outbox, consuming, &links.closing));
        let looking = tokio::sync::Mutex::default();
        RabbitQueue { links, pool, outbox, presence, kept, notices, management, looking, _close_on_drop }
    }))
}

/// What every link needs.
struct Links {
    endpoints: Vec<Endpoint>,
    connect_timeout: Duration,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
}

impl Links {
    fn start<T: Tenant>(&self, tenant: Arc<T>) -> (Link, JoinHandle<()>) {
        let supervisor = Supervisor {
            endpoints: self.endpoints.clone(),
            connect_timeout: self.connect_timeout,
            tenant,
            metrics: Arc::clone(&self.metrics),
            closing: self.closing.clone(),
        };
        supervisor.start()
    }
}

struct RabbitQueue {
    links: Links,
    pool: Pool,
    outbox: Arc<Outbox>,
    presence: Arc<Presence>,
    kept: Mutex<Kept>,
    notices: Arc<RabbitNotices>,
    management: Option<Management>,
    /// Held while somebody looks at the dead letters or counts them: two at once would each see a part of them.
    looking: tokio::sync::Mutex<()>,
    _close_on_drop: DropGuard,
}

/// What was started and has to be ended.
struct Kept {
    supervisors: Vec<JoinHandle<()>>,
    /// The consuming link, made with the first consumer.
    consuming: Option<Link>,
}

/// The tenant of the consuming connection: its consumers look after themselves.
struct Consuming;

#[async_trait]
impl Tenant for Consuming {
    fn purpose(&self) -> &'static str {
        "consume"
    }

    async fn move_in(&self, _: &Connection) -> Result<(), QueueError> {
        Ok(())
    }

    async fn live_in(&self, _: &Session) -> QueueError {
        std::future::pending().await
    }

    fn connected(&self, _: bool) {}
}

impl RabbitQueue {
    fn consuming(&self) -> Link {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = &kept.consuming {
            return link.clone();
        }
        let (link, supervisor) = self.links.start(Arc::new(Consuming));
        kept.supervisors.push(supervisor);
        kept.consuming = Some(link.clone());
        link
    }

    /// A session of the connection that consumes: under an alarm, acks and questions on the other one would hang.
    async fn consuming_session(&self) -> Result<Arc<Session>, QueueError> {
        let mut link = self.consuming();
        let session = tokio::time::timeout(self.links.connect_timeout + limit::CALL, link.session()).await;
        let session = session.unwrap_or_else(|_| link.now().map(Some))?;
        session.ok_or_else(|| QueueError::Unreachable("closed".into()))
    }

    /// The versions of the nodes, and a flaw for each that does not answer or has another one.
    async fn greet_all(&self) -> (String, Vec<Flaw>) {
        let (mut versions, mut flaws) = (BTreeSet::new(), Vec::new());
        let flaw = |grave, sentence| Flaw { subject: "nodes", grave, sentence };
        for endpoint in &self.links.endpoints {
            match hello::greet(endpoint, self.links.connect_timeout).await {
                Ok(version) => _ = versions.insert(version),
                Err(error) => flaws.push(flaw(false, format!("a node does not answer: {error}"))),
            }
        }
        let versions = Vec::from_iter(versions).join(" and ");
        if versions.contains(' ') {
            flaws.push(flaw(false, format!("its nodes have different versions: {versions}; finish the upgrade")));
        }
        (versions, flaws)
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::new(RabbitPublisher(Arc::clone(&self.outbox)))
    }

    fn notices(&self) -> Arc<dyn Notices> {
        Arc::clone(&self.notices) as Arc<dyn Notices>
    }

    async fn consumer(&self, lane: Lane, slots: NonZeroU16) -> Result<Box<dyn Consumer>, QueueError> {
        let (outbox, presence) = (Arc::clone(&self.outbox), Arc::clone(&self.presence));
        let (skew, suspects) = (Skew::new(Arc::clone(&self.links.metrics)), Suspects::default());
        let pump = Pump { lane, slots, link: self.consuming(), outbox, presence, skew, suspects };
        Ok(Box::new(pump.start(&self.links.closing)))
    }

    fn is_connected(&self) -> bool {
        self.presence.is_complete()
    }

    async fn ready(&self) -> Result<(), QueueError> {
        match self.outbox.link.clone().session().await? {
            Some(_) => Ok(()),
            None => Err(QueueError::Unreachable("closed".into())),
        }
    }

    async fn depths(&self) -> Result<Depths, QueueError> {
        // What somebody looks at does not count as waiting, though it does wait.
        let _alone = self.looking.lock().await;
        inspect::depths(&*self.outbox.link.now()?).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let _alone = self.looking.lock().await;
        inspect::dead_letters(&*self.outbox.link.now()?, limit).await
    }

    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadDelivery>, QueueError> {
        let session = self.consuming_session().await?;
        let _alone = self.looking.lock().await;
        inspect::take_dead_letters(session, Arc::clone(&self.outbox), limit).await
    }

    async fn inspect(&self) -> Result<Inspection, QueueError> {
        let publishing = self.outbox.link.now()?;
        // The canary goes every second, and `blocked` is the broker's answer to it.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let blocked = publishing.blocked();
        let session = self.consuming_session().await?;
        let (versions, mut flaws) = self.greet_all().await;
        let told = match &self.management {
            Some(management) => management.examine().await,
            None => Findings::none(),
        };
        flaws.extend(told.flaws);
        Ok(Inspection {
            version: format!("RabbitMQ {versions}"),
            drifted: drift::drift(&session).await?,
            consumers: Some(drift::consumers(&session).await?),
            blocked,
            alarms: told.alarms,
            flaws,
            unseen: told.unseen,
        })
    }

    async fn accepted_since(&self, _: EpochMs) -> Result<Vec<(TriggerId, EpochMs)>, QueueError> {
        // The broker keeps no such list: a replica that restarts may queue a known trigger again, under the same id.
        Ok(Vec::new())
    }

    async fn close(&self) {
        self.pool.close();
        self.links.closing.cancel();
        self.notices.hub.close();
        let supervisors = std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner).supervisors);
        for supervisor in supervisors {
            // Each says goodbye within its own limit; this only guards against their sum.
            let _ = tokio::time::timeout(limit::CALL, supervisor).await;
        }
    }
}
