//! Notices over the fanout exchange `fr.notice`: published on a channel of their own that waits for no confirm, heard
//! through an exclusive queue that goes with its connection (`listening`).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lapin::{Channel, options::BasicPublishOptions, protocol::BasicProperties, types::ShortString};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    bulletin,
    limit::{Fault, bounded},
    listening::{FindLink, Listening},
    publisher::Outbox,
    topology,
};
use crate::{
    metrics::labels::{Label as _, NoticeEnd, Topic},
    queue::notice::{self, Hub, Notice, NoticeReader, Notices},
};

/// Limit of handing a notice to the client; it is done at once unless the connection hangs.
const HANDING: Duration = Duration::from_secs(1);
/// Shortest time between two messages: what comes meanwhile goes with the next one. Nobody who waits for a model notices it,
/// and a message costs the broker as much as a trigger does.
const PACE: Duration = Duration::from_millis(20);
/// After the broker refused notices, they are dropped for this long.
const REFUSED: Duration = Duration::from_secs(10);

/// Notices of one application.
pub(super) struct RabbitNotices {
    pub(super) hub: Arc<Hub>,
    outgoing: mpsc::Sender<Notice>,
    listening: Listening,
    /// True while a task listens at the broker.
    listens: Arc<Mutex<bool>>,
}

impl RabbitNotices {
    /// Begins to publish in the background, on the outbox's connection. The first reader makes it listen, on the
    /// connection that `consuming` finds: the other one is not read from while the broker blocks it.
    pub(super) fn start(outbox: &Arc<Outbox>, consuming: FindLink, closing: &CancellationToken) -> Self {
        let hub = Arc::new(Hub::new(Arc::clone(&outbox.metrics)));
        let (outgoing, waiting) = mpsc::channel(notice::BUFFERED);
        let instance = ShortString::from(uuid::Uuid::now_v7().to_string());
        let sender = Sender {
            hub: Arc::clone(&hub),
            outbox: Arc::clone(outbox),
            instance: instance.clone(),
            open: None,
            not_before: Instant::now(),
        };
        tokio::spawn(sender.run(waiting, closing.clone()));
        let listening = Listening {
            hub: Arc::clone(&hub),
            instance,
            publishing: outbox.link.clone(),
            consuming,
            closing: closing.clone(),
        };
        Self { hub, outgoing, listening, listens: Arc::default() }
    }
}

impl Notices for RabbitNotices {
    fn publish(&self, notice: Notice) {
        // Who listens in this process needs no broker; its echo is passed over.
        self.hub.spread(&notice);
        if notice.body.len() > notice::LONGEST_NOTICE {
            return self.hub.count(NoticeEnd::Dropped);
        }
        if self.outgoing.try_send(notice).is_err() {
            self.hub.count(NoticeEnd::Dropped);
        }
    }

    fn subscribe(&self, topics: &[Topic]) -> NoticeReader {
        let reader = self.hub.subscribe(topics);
        let mut listens = self.listens.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *listens, true) {
            tokio::spawn(self.listening.clone().run(Arc::clone(&self.listens)));
        }
        reader
    }

    fn is_heard(&self, topic: Topic) -> Option<bool> {
        self.hub.hears(topic).then_some(true)
    }
}

/// Publishes what comes, or drops it.
struct Sender {
    hub: Arc<Hub>,
    outbox: Arc<Outbox>,
    instance: ShortString,
    /// The channel, and the generation of its session.
    open: Option<(u64, Channel)>,
    not_before: Instant,
}

impl Sender {
    async fn run(mut self, mut waiting: mpsc::Receiver<Notice>, closing: CancellationToken) {
        let mut paced = Instant::now();
        loop {
            let notice = tokio::select! {
                () = closing.cancelled() => return,
                notice = waiting.recv() => notice,
            };
            let Some(notice) = notice else { return };
            // The first one of a quiet time goes at once.
            tokio::time::sleep_until(paced.into()).await;
            let notices = gathered(notice, &mut waiting);
            let sent = Instant::now() >= self.not_before && self.send(&notices).await;
            paced = Instant::now() + PACE;
            let end = if sent { NoticeEnd::Sent } else { NoticeEnd::Dropped };
            notices.iter().for_each(|_| self.hub.count(end));
        }
    }

    async fn send(&mut self, notices: &[Notice]) -> bool {
        let Ok(session) = self.outbox.link.now() else { return false };
        if session.blocked() {
            return false;
        }
        let channel = match self.open.take() {
            Some((generation, open)) if generation == session.generation => {
                if !open.status().connected() {
                    self.refused(&"the broker closed the channel");
                    return false;
                }
                open
            }
            _ => match bounded("channel.open", HANDING, session.connection.create_channel()).await {
                Ok(open) => open,
                Err(fault) => {
                    self.refused(&fault);
                    return false;
                }
            },
        };
        let handed = self.hand(&channel, notices).await;
        match &handed {
            Ok(()) => self.open = Some((session.generation, channel)),
            Err(fault) => self.refused(fault),
        }
        handed.is_ok()
    }

    async fn hand(&self, channel: &Channel, notices: &[Notice]) -> Result<(), Fault> {
        let (kind, body) = match notices {
            [notice] => (notice.topic.as_str(), notice.body.clone()),
            notices => (bulletin::BULLETIN, bulletin::write(notices)),
        };
        let properties = BasicProperties::default().with_type(kind.into()).with_app_id(self.instance.clone());
        let options = BasicPublishOptions::default();
        let handed = channel.basic_publish(topology::NOTICE.into(), "".into(), options, &body, properties);
        bounded("basic.publish", HANDING, handed).await.map(drop)
    }

    /// No exchange, no right to write to it, or a connection that hangs: none of it is worth a try for each notice.
    fn refused(&mut self, why: &dyn std::fmt::Display) {
        self.not_before = Instant::now() + REFUSED;
        self.outbox.pulse.doubt_topology();
        tracing::warn!(exchange = topology::NOTICE, %why, "notices cannot be published; they are dropped for a while");
    }
}

/// A notice and those that wait behind it, as many as fit into one message.
fn gathered(first: Notice, waiting: &mut mpsc::Receiver<Notice>) -> Vec<Notice> {
    let mut bytes = first.body.len();
    let mut notices = vec![first];
    while bytes < notice::LONGEST_NOTICE
        && let Ok(next) = waiting.try_recv()
    {
        bytes += next.body.len();
        notices.push(next);
    }
    notices
}
