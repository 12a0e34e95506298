//! How a delivery ends at the broker.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use lapin::{Acker, Channel, message::Delivery as RawDelivery, options::BasicNackOptions, protocol::BasicProperties};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    acks::Acks,
    departures::Departures,
    limit::{CALL, bounded},
    parcel::{Parcel, now},
    publisher::Outbox,
    session::Session,
};
use crate::{
    message::{Disposition, Lane, Message, Reason, Try},
    metrics::labels::SettledAs,
    queue::{QueueError, Settled, Settlement, Settling},
};

/// Longest wait in the late lane, which has no delay levels: the delivery is held for it.
const LONGEST_HOLD: Duration = Duration::from_secs(30);
/// First and longest pause before a delivery whose result could not be stored goes back: each return counts against
/// the delivery limit, so a broker in trouble must not use them up within seconds.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A subscription's channel: it stays open until the last of its deliveries is settled.
pub(super) struct Subscription {
    pub(super) channel: Channel,
    pub(super) session: Arc<Session>,
    pub(super) lane: Lane,
    pub(super) outbox: Arc<Outbox>,
    pub(super) acks: Acks,
    pub(super) departures: Departures,
}

/// What a delivery is settled with.
#[derive(Clone)]
pub(super) struct Receipt {
    tag: u64,
    acker: Acker,
}

impl Receipt {
    /// That of a delivery, which does without it.
    pub(super) fn of(delivery: &RawDelivery) -> Self {
        Self { tag: delivery.delivery_tag, acker: delivery.acker.clone() }
    }
}

/// The right to settle one delivery. Dropped with it, the message goes back.
pub(super) struct RabbitSettlement {
    receipt: Receipt,
    returns: u32,
    subscription: Arc<Subscription>,
    settled: bool,
    /// While a suspect is held, no other one is tried.
    alone: Option<OwnedSemaphorePermit>,
}

impl RabbitSettlement {
    /// In the order in which deliveries came.
    pub(super) fn new(receipt: Receipt, returns: u32, subscription: Arc<Subscription>) -> Self {
        subscription.acks.received(receipt.tag);
        Self { receipt, returns, subscription, settled: false, alone: None }
    }

    /// The same, with a suspect's permit.
    pub(super) fn alone(self, permit: Option<OwnedSemaphorePermit>) -> Self {
        let mut held = self;
        held.alone = permit;
        held
    }

    fn outbox(&self) -> &Arc<Outbox> {
        &self.subscription.outbox
    }

    /// Forgets the delivery. Where the channel is gone the message comes back.
    fn ack(&mut self, counted_as: SettledAs) -> Settling {
        self.settled = true;
        if self.receipt.acker.usable() {
            return self.subscription.acks.ack(self.receipt.tag, counted_as);
        }
        self.outbox().metrics.acks_lost.inc();
        Settling::from(Settled::WillReturn)
    }

    /// Stores a copy or a result, then forgets the delivery; on failure gives it back after a pause. `Ok` means stored:
    /// what no longer is ours to settle is not stored either, since it is in somebody else's hands already.
    async fn replace(&mut self, parcel: impl Fn() -> Parcel, counted_as: SettledAs) -> Result<Settling, QueueError> {
        if !self.is_live() {
            self.settled = true;
            self.outbox().metrics.acks_lost.inc();
            return Err(QueueError::Unreachable("the delivery was lost with its channel".into()));
        }
        self.subscription.departures.next().await;
        let stored = self.outbox().store_patiently(parcel, || self.is_live()).await;
        if let Err(error) = stored {
            self.give_back(PAUSE.0.saturating_mul(1 << self.returns.min(5)).min(PAUSE.1));
            return Err(error);
        }
        Ok(self.ack(counted_as))
    }

    async fn retry(&mut self, message: &Message, after: Duration) -> Result<Settled, QueueError> {
        let lane = self.subscription.lane;
        let mut next = message.clone();
        next.envelope.attempt = next.envelope.attempt.saturating_add(1);
        if lane.delays().is_empty() {
            tokio::time::sleep(after.min(LONGEST_HOLD)).await;
        }
        let reserve = self.outbox().reserve;
        let parcel = || Parcel::to_delay(lane, &next, after).unwrap_or_else(|| Parcel::to_lane(lane, &next, reserve));
        Ok(self.replace(parcel, SettledAs::Retry).await?.settled().await)
    }

    async fn dead_letter(&mut self, message: &Message, reason: Reason) -> Result<Settled, QueueError> {
        let settling = self.replace(|| Parcel::to_dead_letters(message, reason), SettledAs::DeadLetter).await?;
        self.outbox().metrics.dead_letters.get(reason).inc();
        Ok(settling.settled().await)
    }

    /// Sends it on, unchanged, to wait for the rest of its time.
    pub(super) async fn wait_on(mut self, message: &Message, rest: Duration) {
        let (lane, reserve) = (self.subscription.lane, self.outbox().reserve);
        let parcel =
            || Parcel::to_delay(lane, message, rest).unwrap_or_else(|| Parcel::to_lane(lane, message, reserve));
        let _ = self.replace(parcel, SettledAs::Retry).await;
    }

    /// Puts a suspect where nobody holds it, until `wait` is over; its returns go with it.
    pub(super) async fn put_apart(mut self, mut message: Message, wait: Duration) {
        let (lane, reserve, returns) = (self.subscription.lane, self.outbox().reserve, self.returns);
        let number = message.envelope.attempt;
        message.envelope.tries.note(Try { at: now(), lane, number, ended: "put_apart".into(), wait });
        let parcel = || {
            let parcel = Parcel::to_delay(lane, &message, wait);
            parcel.unwrap_or_else(|| Parcel::to_lane(lane, &message, reserve)).with_returns(returns)
        };
        let _ = self.replace(parcel, SettledAs::Retry).await;
    }

    /// Hands a message that came back too often to the late lane.
    pub(super) async fn give_up(mut self, mut message: Message) {
        message.envelope.reason = Some(Reason::Poison);
        let reserve = self.outbox().reserve;
        let _ = self.replace(|| Parcel::to_lane(Lane::Late, &message, reserve), SettledAs::Ack).await;
    }

    /// Puts a message whose headers cannot be read where an operator sees it.
    pub(super) async fn park(mut self, properties: &BasicProperties, body: Bytes) {
        let parcel = || Parcel::unreadable(properties, body.clone());
        if self.replace(parcel, SettledAs::DeadLetter).await.is_ok() {
            self.outbox().metrics.dead_letters.get(Reason::Unreadable).inc();
        }
    }

    /// Returns the message to its lane after `pause`, in the background.
    fn give_back(&mut self, pause: Duration) {
        self.settled = true;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (receipt, subscription) = (self.receipt.clone(), Arc::clone(&self.subscription));
        runtime.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = subscription.session.lost.cancelled() => return,
            }
            let options = BasicNackOptions { requeue: true, ..Default::default() };
            if let Ok(true) = bounded("basic.nack", CALL, receipt.acker.nack(options)).await {
                subscription.acks.returned(receipt.tag);
                subscription.outbox.metrics.settled.get(SettledAs::Requeue).inc();
            }
        });
    }
}

#[async_trait]
impl Settlement for RabbitSettlement {
    async fn settle(mut self: Box<Self>, disposition: Disposition, message: &Message) -> Result<Settled, QueueError> {
        match disposition {
            Disposition::Ack => Ok(self.ack(SettledAs::Ack).settled().await),
            Disposition::Retry { after } => self.retry(message, after).await,
            Disposition::DeadLetter { reason } => self.dead_letter(message, reason).await,
        }
    }

    async fn hand_over(mut self: Box<Self>, lane: Lane, message: &Message) -> Result<Settling, QueueError> {
        let reserve = self.outbox().reserve;
        self.replace(|| Parcel::to_lane(lane, message, reserve), SettledAs::Ack).await
    }

    fn is_live(&self) -> bool {
        self.receipt.acker.usable() && self.subscription.session.is_current()
    }
}

impl Drop for RabbitSettlement {
    fn drop(&mut self) {
        if !self.settled {
            self.give_back(Duration::ZERO);
        }
    }
}
