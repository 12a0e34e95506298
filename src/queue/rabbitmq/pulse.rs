//! What is asked of the broker every second on the publishing connection: does it block us, how much work waits, is
//! anything caught for which no queue was bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use lapin::{Channel, Connection, options::BasicPublishOptions, protocol::BasicProperties};
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    admission::Admission,
    declare,
    limit::{CALL, Fault, bounded},
    presence::Presence,
    session::Session,
    supervisor::Tenant,
    topology,
};
use crate::{message::Lane, queue::QueueError};

const BEAT: Duration = Duration::from_secs(1);
/// A healthy broker answers in milliseconds.
const ANSWER: Duration = Duration::from_secs(2);
/// Beats without an answer after which the connection counts as dead. lapin's heartbeat would find out later.
const SILENT_BEATS: u32 = 2;

/// The tenant of the publishing connection.
pub(super) struct Pulse {
    declare: bool,
    pub(super) admission: Admission,
    presence: Arc<Presence>,
    doubted: Notify,
    /// A queue or an exchange was missing when somebody needed it.
    missed: AtomicBool,
    /// Tells that what was missing is there again.
    remade: watch::Sender<()>,
    /// Messages without a queue, when last looked at.
    unrouted: AtomicU64,
}

impl Pulse {
    pub(super) fn new(declare: bool, soft_limit: u64, presence: Arc<Presence>) -> Self {
        Self {
            declare,
            admission: Admission::new(soft_limit),
            presence,
            doubted: Notify::new(),
            missed: AtomicBool::new(false),
            remade: watch::Sender::new(()),
            unrouted: AtomicU64::new(0),
        }
    }

    /// Asks for a look at the topology.
    pub(super) fn doubt_topology(&self) {
        self.doubted.notify_one();
    }

    /// Asks for it as well: a queue was deleted under its consumer, or is missing.
    pub(super) fn miss_queue(&self) {
        self.missed.store(true, Ordering::Release);
        self.doubt_topology();
    }

    /// Changes when queues that somebody missed are there again: other consumers may have lost theirs without a word.
    pub(super) fn remade(&self) -> watch::Receiver<()> {
        self.remade.subscribe()
    }

    /// Makes sure that the topology is there, and tells if a part of it was missing.
    async fn heal(&self, connection: &Connection) -> Result<(), QueueError> {
        let missed = self.missed.swap(false, Ordering::AcqRel);
        let healed = declare::ensure(connection, self.declare).await;
        match &healed {
            Ok(()) if missed => self.remade.send_replace(()),
            Ok(()) => {}
            Err(_) => _ = self.missed.fetch_or(missed, Ordering::AcqRel),
        }
        healed
    }

    async fn beat(&self, session: &Session, channel: &mut Option<Channel>) -> Result<(), Fault> {
        if session.blocked() {
            // lapin writes nothing now; `connection.unblocked` comes by itself.
            return Ok(());
        }
        let open = match channel.take() {
            Some(open) if open.status().connected() => open,
            _ => bounded("channel.open", CALL, session.connection.create_channel()).await?,
        };
        canary(&open).await?;
        let depth = declare::depth(&open, topology::lane_queue(Lane::Work)).await?;
        self.admission.read(depth, Instant::now());
        let unrouted = declare::depth(&open, topology::UNROUTED).await?;
        if unrouted > self.unrouted.swap(unrouted, Ordering::Relaxed) {
            // They are safe, but a binding is missing, and more would follow.
            self.doubt_topology();
        }
        *channel = Some(open);
        Ok(())
    }
}

/// `connection.blocked` comes only in answer to a publish: an empty message draws it out.
async fn canary(channel: &Channel) -> Result<(), Fault> {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let sent = channel.basic_publish(topology::PROBE.into(), "".into(), options, &[], properties);
    bounded("basic.publish", ANSWER, sent).await.map(drop)
}

#[async_trait]
impl Tenant for Pulse {
    fn purpose(&self) -> &'static str {
        "publish"
    }

    async fn move_in(&self, connection: &Connection) -> Result<(), QueueError> {
        self.heal(connection).await
    }

    async fn live_in(&self, session: &Session) -> QueueError {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut channel, mut silent) = (None, 0);
        loop {
            let mut doubted = tokio::select! {
                _ = beats.tick() => false,
                () = self.doubted.notified() => true,
            };
            if !doubted {
                match self.beat(session, &mut channel).await {
                    Ok(()) => silent = 0,
                    // Blocked between the canary and the question.
                    Err(Fault::Late(_)) if session.blocked() => {}
                    Err(Fault::Late(_)) => silent += 1,
                    // The channel was closed: most likely an exchange or queue is missing.
                    Err(Fault::Refused(_)) => {
                        self.missed.store(true, Ordering::Release);
                        doubted = true;
                    }
                }
            }
            if silent >= SILENT_BEATS {
                return QueueError::Unreachable("the broker does not answer".into());
            }
            if doubted && let Err(error) = self.heal(&session.connection).await {
                return error;
            }
        }
    }

    fn connected(&self, connected: bool) {
        self.presence.publishing(connected);
    }
}
