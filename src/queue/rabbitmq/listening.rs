//! Hearing notices: an exclusive, auto-deleted classic queue bound to `fr.notice`, made again with each session. The one
//! kind of queue that is no quorum queue: it holds what is worthless without the process that reads it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use tokio_util::sync::CancellationToken;

use super::{
    bulletin,
    limit::{CALL, FAREWELL, Fault, bounded, consume},
    session::{Link, Session},
    topology,
};
use crate::{
    metrics::labels::{Label as _, Topic},
    queue::{
        QueueError,
        notice::{Hub, Notice},
    },
};

/// First and longest wait before the next try to listen.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How often to look whether anybody in this process still listens.
const LOOK: Duration = Duration::from_secs(10);
/// Notices on their way to us at once, and how many of them one acknowledgement covers at most.
const PREFETCH: u16 = 256;
const COVERED: u64 = 32;

/// Finds the consuming link, making its connection if there is none yet.
pub(super) type FindLink = Arc<dyn Fn() -> Option<Link> + Send + Sync>;

/// What listening takes.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) hub: Arc<Hub>,
    /// Our own notices carry it; the broker's echo of them is passed over.
    pub(super) instance: ShortString,
    /// Once this link is up, the exchange is declared.
    pub(super) publishing: Link,
    pub(super) consuming: FindLink,
    pub(super) closing: CancellationToken,
}

impl Listening {
    /// Listens until nobody in this process does, or the queue is closed.
    pub(super) async fn run(self, listens: Arc<Mutex<bool>>) {
        let mut wait = BACK_OFF.0;
        loop {
            let ended = tokio::select! {
                () = self.closing.cancelled() => return,
                ended = self.listen(&mut wait) => ended,
            };
            if let Err(error) = ended {
                // Once for each series of failures: a user without the rights fails for as long as it lives.
                if wait == BACK_OFF.0 {
                    tracing::warn!(exchange = topology::NOTICE, %error, "cannot listen to notices");
                }
            }
            {
                let mut listens = listens.lock().unwrap_or_else(PoisonError::into_inner);
                if !self.hub.is_heard() {
                    *listens = false;
                    return;
                }
            }
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = tokio::time::sleep(wait.mul_f64(0.5 + 0.5 * rand::random::<f64>())) => {}
            }
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    /// Returns `Ok` when a queue that was listened to is gone, or nobody listens any more.
    async fn listen(&self, wait: &mut Duration) -> Result<(), QueueError> {
        let Some(session) = self.session().await? else { return Ok(()) };
        let (channel, queue, stream) = subscribe(&session).await.map_err(|fault| fault.into_error(topology::NOTICE))?;
        *wait = BACK_OFF.0;
        tokio::select! {
            () = session.lost.cancelled() => {}
            () = self.hear(&channel, &queue, stream) => {
                let _ = bounded("channel.close", FAREWELL, channel.close(200, "bye".into())).await;
            }
        }
        Ok(())
    }

    async fn session(&self) -> Result<Option<Arc<Session>>, QueueError> {
        if self.publishing.clone().session().await?.is_none() {
            return Ok(None);
        }
        match (self.consuming)() {
            Some(mut link) => link.session().await,
            None => Ok(None),
        }
    }

    async fn hear(&self, channel: &Channel, queue: &ShortString, mut stream: lapin::Consumer) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                delivery = stream.next() => match delivery {
                    Some(Ok(delivery)) => self.receive(delivery).await,
                    _ => return,
                },
                // An exchange that was deleted, and is there again, has forgotten us without a word.
                _ = look.tick() => if !self.hub.is_heard() || bind(channel, queue).await.is_err() { return },
            }
        }
    }

    async fn receive(&self, delivery: Delivery) {
        let Delivery { properties, data, acker, delivery_tag, .. } = delivery;
        let kind = properties.kind().as_ref().map_or("", ShortString::as_str);
        if properties.app_id().as_ref() != Some(&self.instance) {
            told(kind, data.into()).iter().for_each(|notice| self.hub.spread(notice));
        }
        if delivery_tag % COVERED == 0 {
            let _ = bounded("basic.ack", FAREWELL, acker.ack(BasicAckOptions { multiple: true })).await;
        }
    }
}

/// The notices of a message of that type; another version may know more.
fn told(kind: &str, body: Bytes) -> Vec<Notice> {
    if kind == bulletin::BULLETIN {
        return bulletin::read(body);
    }
    let topic = Topic::ALL.iter().copied().find(|topic| topic.as_str() == kind);
    topic.map(|topic| Notice { topic, body }).into_iter().collect()
}

async fn subscribe(session: &Session) -> Result<(Channel, ShortString, lapin::Consumer), Fault> {
    let channel = bounded("channel.open", CALL, session.connection.create_channel()).await?;
    bounded("basic.qos", CALL, channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
    let queue = ShortString::from(format!("{}.{}", topology::NOTICE, uuid::Uuid::now_v7()));
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.clone(), options, topology::notice_arguments());
    bounded("queue.declare", CALL, declared).await?;
    bind(&channel, &queue).await?;
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let stream = consume(&channel, queue.clone(), "notices".into(), options).await?;
    Ok((channel, queue, stream))
}

async fn bind(channel: &Channel, queue: &ShortString) -> Result<(), Fault> {
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(queue.clone(), topology::NOTICE.into(), "".into(), options, none);
    bounded("queue.bind", CALL, bound).await
}
