//! Consuming one lane, through reconnects, closed channels and cancelled consumers.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    message::Delivery as RawDelivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
};
use tokio::{
    sync::mpsc::{self, OwnedPermit},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    acks::Acks,
    consumer::RabbitConsumer,
    departures::Departures,
    headers,
    limit::{CALL, FAREWELL, Fault, bounded, consume},
    parcel::now,
    presence::Presence,
    publisher::Outbox,
    session::{Link, Session, whereabouts},
    settlement::{RabbitSettlement, Receipt, Subscription},
    skew::Skew,
    suspects::{Suspects, Verdict},
    topology,
};
use crate::{
    message::{Lane, Message},
    metrics::labels::Reconnect,
    queue::{Delivery, QueueError},
};

/// First and longest wait before the next try to subscribe.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A consumer that is handed nothing for the first of these times, and holds nothing, is made anew, then after twice that
/// time, up to the last. A broker can lose sight of one: where a quorum queue is deleted, and declared again before the
/// channel of its consumer has heard of that, RabbitMQ 3.10 consumes for it by itself, tells nobody, and drops what comes. It
/// comes back when that channel closes.
const IDLE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// The first of these times after a queue was made again.
const REMADE: Duration = Duration::from_millis(500);

/// Results of so long leave together while there are many.
const TOGETHER: Duration = Duration::from_millis(5);

/// What goes to the application.
pub(super) type Handed = Result<Delivery, QueueError>;
type Subscribed = (Arc<Subscription>, lapin::Consumer);

/// Subscribes, again and again, and hands deliveries out one at a time. A task of its own, so that nothing of it is
/// lost when the application drops a `next()`.
pub(super) struct Pump {
    pub(super) lane: Lane,
    pub(super) slots: NonZeroU16,
    pub(super) link: Link,
    pub(super) outbox: Arc<Outbox>,
    pub(super) presence: Arc<Presence>,
    pub(super) skew: Skew,
    pub(super) suspects: Suspects,
}

impl Pump {
    /// Begins to consume in the background.
    pub(super) fn start(self, closing: &CancellationToken) -> RabbitConsumer {
        let (hand, handed) = mpsc::channel(1);
        let stop = closing.child_token();
        let metrics = Arc::clone(&self.outbox.metrics);
        let counted = self.presence.consumer();
        let stopped = stop.clone();
        let pump = tokio::spawn(async move {
            let _counted = counted;
            self.run(hand, stopped).await;
        });
        RabbitConsumer { handed, pump: Some(pump), metrics, _stop_on_drop: stop.clone().drop_guard(), stop }
    }

    async fn run(mut self, hand: mpsc::Sender<Handed>, stop: CancellationToken) {
        let (mut wait, mut proved) = (Duration::ZERO, false);
        loop {
            let subscribed = tokio::select! {
                () = stop.cancelled() => return,
                subscribed = self.subscribed(wait, proved, &hand) => subscribed,
            };
            let Some(subscribed) = subscribed else { return };
            let session = Arc::clone(&subscribed.0.session);
            if !self.consume(subscribed, &hand, &stop).await {
                return;
            }
            self.note_end(&session);
            (wait, proved) = (BACK_OFF.0, true);
        }
    }

    /// Tries until there is a subscription; `None` when the queue or the consumer was closed. What an operator must
    /// heal is handed out, and tried again; but not once the consumer was `proved` to be right: then it is the broker
    /// that is not itself (users and rights may come from elsewhere), and is waited for.
    async fn subscribed(
        &mut self,
        mut wait: Duration,
        proved: bool,
        hand: &mpsc::Sender<Handed>,
    ) -> Option<Subscribed> {
        loop {
            tokio::time::sleep(wait.mul_f64(0.5 + 0.5 * rand::random::<f64>())).await;
            wait = (wait * 2).clamp(BACK_OFF.0, BACK_OFF.1);
            let error = match self.session().await {
                Ok(session) => match self.subscribe(&session?).await {
                    Ok(subscribed) => return Some(subscribed),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if !proved && matches!(error, QueueError::Unusable(_)) {
                hand.send(Err(error)).await.ok()?;
            }
        }
    }

    fn note_end(&self, session: &Session) {
        if !session.lost.is_cancelled() {
            self.outbox.metrics.queue_reconnects.get(Reconnect::Channel).inc();
            self.outbox.pulse.doubt_topology();
        }
    }

    /// A session to consume on, once there is one to publish on as well: without it nothing could be handed over, and
    /// the queues may not be declared yet.
    async fn session(&mut self) -> Result<Option<Arc<Session>>, QueueError> {
        if self.outbox.link.clone().session().await?.is_none() {
            return Ok(None);
        }
        self.link.session().await
    }

    async fn subscribe(&self, session: &Arc<Session>) -> Result<Subscribed, QueueError> {
        let queue = topology::lane_queue(self.lane);
        match self.try_to_subscribe(session, queue).await {
            Ok(subscribed) => Ok(subscribed),
            Err(fault) => {
                tracing::warn!(queue, error = %fault, "cannot consume");
                if fault.is_missing() {
                    self.outbox.pulse.miss_queue();
                }
                Err(fault.into_error(queue))
            }
        }
    }

    async fn try_to_subscribe(&self, session: &Arc<Session>, queue: &str) -> Result<Subscribed, Fault> {
        let channel = bounded("channel.open", CALL, session.connection.create_channel()).await?;
        // Before consuming: without a bound lapin takes the whole queue into memory.
        bounded("basic.qos", CALL, channel.basic_qos(self.slots.get(), BasicQosOptions::default())).await?;
        let tag = format!("{} {}", self.lane.as_str(), whereabouts());
        let stream = consume(&channel, queue.into(), tag.into(), BasicConsumeOptions::default()).await?;
        let (session, outbox) = (Arc::clone(session), Arc::clone(&self.outbox));
        let departures = Departures::every(TOGETHER);
        let acks = Acks::gathered(channel.clone(), self.slots, &outbox.metrics);
        Ok((Arc::new(Subscription { channel, session, lane: self.lane, outbox, acks, departures }), stream))
    }

    /// Hands out deliveries until the subscription ends; `false` when no more are wanted.
    async fn consume(
        &self,
        (mut subscription, mut stream): Subscribed,
        hand: &mpsc::Sender<Handed>,
        stop: &CancellationToken,
    ) -> bool {
        let _counted = self.presence.consuming();
        let queue = topology::lane_queue(self.lane);
        tracing::info!(queue, slots = self.slots, generation = subscription.session.generation, "consuming");
        let (mut idle, mut remade) = (IDLE.0, self.outbox.pulse.remade());
        loop {
            let room = tokio::select! {
                room = self.room(hand) => room,
                () = subscription.session.lost.cancelled() => return true,
                () = stop.cancelled() => None,
            };
            let Some(room) = room else { return self.unsubscribe(&subscription, stream).await };
            let delivery = tokio::select! {
                biased;
                () = subscription.session.lost.cancelled() => return true,
                () = stop.cancelled() => return self.unsubscribe(&subscription, stream).await,
                delivery = stream.next() => delivery,
                Ok(()) = remade.changed() => {
                    idle = REMADE;
                    continue;
                }
                () = tokio::time::sleep(idle) => {
                    // Whoever is working on a delivery holds the subscription as well.
                    if Arc::strong_count(&subscription) == 1 {
                        let Ok(next) = self.subscribe(&subscription.session).await else { return true };
                        let old = std::mem::replace(&mut subscription, next.0);
                        self.unsubscribe(&old, std::mem::replace(&mut stream, next.1)).await;
                        idle = (idle * 2).min(IDLE.1);
                    }
                    continue;
                }
            };
            idle = IDLE.0;
            match delivery {
                Some(Ok(delivery)) => self.receive(delivery, &subscription, room, stop),
                Some(Err(error)) => {
                    tracing::warn!(queue, %error, "the consumer's channel was closed");
                    return true;
                }
                None => {
                    tracing::warn!(queue, "the broker cancelled the consumer");
                    self.outbox.pulse.miss_queue();
                    return true;
                }
            }
        }
    }

    /// Resolves once there is room for a delivery and its result can be stored; `None` when nobody wants one any more.
    /// Until then it stays in lapin's buffer, where it costs none of its returns. Outcomes are taken all the same:
    /// they are posted, not stored.
    async fn room(&self, hand: &mpsc::Sender<Handed>) -> Option<OwnedPermit<Handed>> {
        let room = hand.clone().reserve_owned().await.ok()?;
        if self.lane != Lane::Outcome {
            self.outbox.usable().await;
        }
        Some(room)
    }

    /// Ends the subscription; what was prefetched goes back, while begun deliveries keep their channel.
    async fn unsubscribe(&self, subscription: &Arc<Subscription>, mut stream: lapin::Consumer) -> bool {
        let cancelled = subscription.channel.basic_cancel(stream.tag(), BasicCancelOptions::default());
        let _ = bounded("basic.cancel", FAREWELL, cancelled).await;
        while let Ok(Some(Ok(delivery))) = timeout(FAREWELL, stream.next()).await {
            drop(RabbitSettlement::new(Receipt::of(&delivery), 0, Arc::clone(subscription)));
        }
        false
    }

    fn receive(
        &self,
        delivery: RawDelivery,
        subscription: &Arc<Subscription>,
        room: OwnedPermit<Handed>,
        stop: &CancellationToken,
    ) {
        let receipt = Receipt::of(&delivery);
        let RawDelivery { properties, data, redelivered, .. } = delivery;
        let returns = headers::returns(&properties, redelivered);
        if returns == 0 && self.lane == Lane::Work {
            self.skew.look(&properties, now());
        }
        let settlement = RabbitSettlement::new(receipt, returns, Arc::clone(subscription));
        let body = Bytes::from(data);
        let queue = topology::lane_queue(self.lane);
        let envelope = match headers::decode(&properties, queue) {
            Ok(envelope) => envelope,
            Err(unreadable) => {
                tracing::warn!(
                    queue,
                    header = unreadable.0,
                    "a message without readable headers goes to the dead letters"
                );
                tokio::spawn(async move { settlement.park(&properties, body).await });
                return;
            }
        };
        let message = Message { envelope, body };
        let rest = message.envelope.not_before.map(|moment| moment.since(now())).unwrap_or_default();
        if rest > Duration::ZERO && !self.lane.delays().is_empty() {
            tokio::spawn(async move { settlement.wait_on(&message, rest).await });
            return;
        }
        match self.suspects.judge(self.lane, returns) {
            Verdict::Try(None) => _ = room.send(Ok(Delivery::new(message, returns, Box::new(settlement)))),
            Verdict::Try(alone) => {
                let delivery = Delivery::new(message, returns, Box::new(settlement.alone(alone)));
                tokio::spawn(try_alone(self.suspects.clone(), delivery, room.release(), stop.clone()));
            }
            Verdict::Apart(wait, leaving) => {
                tokio::spawn(async move {
                    settlement.put_apart(message, wait).await;
                    drop(leaving);
                });
            }
            Verdict::Poison => _ = tokio::spawn(async move { settlement.give_up(message).await }),
        }
    }
}

/// Hands a suspect out once the others are apart. Its room is free until then, so that they can be looked at; at a stop it
/// goes back.
async fn try_alone(suspects: Suspects, delivery: Delivery, hand: mpsc::Sender<Handed>, stop: CancellationToken) {
    let trying = async {
        suspects.are_apart().await;
        hand.reserve_owned().await
    };
    let room = tokio::select! {
        () = stop.cancelled() => return,
        room = trying => room,
    };
    if let Ok(room) = room {
        room.send(Ok(delivery));
    }
}
