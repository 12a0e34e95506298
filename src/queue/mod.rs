//! The queue's contract: three lanes, durable confirmation, deliveries that are settled once.
//!
//! Two implementations stand beside this file: [`rabbitmq`] and [`embedded`]. `tests/it/queue.rs` exercises both.
//! What a backend owes:
//!
//! * A publish that returned `Ok` survives the death of every process, and is delivered at least once.
//! * A delivery that is dropped unsettled, or whose process dies, comes back to some consumer of its lane.
//! * After [`Lane::delivery_limit`] returns, work goes to the late lane, everything else to the dead letters.
//! * Work whose time ran out in the queue (`Envelope::deadline` less the reserve) may be moved to the late lane by the
//!   backend with `Reason::Expired`; the worker checks again on receipt.

pub mod embedded;
pub mod notice;
pub mod rabbitmq;

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::notice::Notices;
use crate::{
    message::{DeadLetter, Disposition, Lane, Message, Reason},
    time::EpochMs,
    trigger::TriggerId,
};

/// Why a queue operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Certainly not stored: full, blocked or not permitted. Try again after this time.
    #[error("the queue refuses: {reason}")]
    Refused {
        /// What it refuses for: `full`, `blocked`, `no free channel`.
        reason: &'static str,
        /// When a new try is worth it, where the backend can tell.
        retry_after: Option<Duration>,
    },
    /// Certainly not stored: there is no connection.
    #[error("the queue is not reachable: {0}")]
    Unreachable(String),
    /// It may be stored or not: no confirmation came in time, or a negative one.
    #[error("the queue did not confirm in time: {0}")]
    Unknown(String),
    /// The queue is there but unusable (wrong version, topology, foreign or corrupted file): needs an operator.
    #[error("the queue is unusable: {0}")]
    Unusable(String),
}

/// What both backends are told.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Ready work over which new triggers are refused.
    pub soft_limit: u64,
    /// How long before its deadline work ends (see [`crate::time::work_until`]).
    pub reserve: Duration,
}

/// Stores messages.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Stores a message at the end of a lane; returns `Ok` only when broker or disk has it.
    ///
    /// # Errors
    /// [`QueueError`]: of these only `Unknown` leaves open whether it is stored.
    async fn publish(&self, lane: Lane, message: &Message) -> Result<(), QueueError>;

    /// Says at once whether new triggers are welcome: refuses when the work lane is over its soft limit, the broker
    /// blocks, or there is no connection. Only the ingress asks; work in progress is always welcome.
    ///
    /// # Errors
    /// `Refused` or `Unreachable`.
    fn admit(&self) -> Result<(), QueueError>;
}

/// Receives the messages of one lane, at most as many unsettled ones as it has slots.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery; waits through reconnects. `None` after [`Consumer::stop`], or when the queue was closed.
    /// Cancel-safe: dropping the future loses no delivery.
    ///
    /// # Errors
    /// `Unusable` only: everything that heals by itself is waited for.
    async fn next(&mut self) -> Result<Option<Delivery>, QueueError>;

    /// Takes no more; deliveries that were prefetched but not handed out go back. Those handed out can still be settled.
    async fn stop(&mut self);
}

/// Whether the queue took note of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It did.
    Done,
    /// The delivery no longer belongs to us (channel lost, lease over): the message comes back to some consumer.
    WillReturn,
}

/// How a settlement that is on its way will end. It goes on where nobody waits for it.
pub struct Settling(Ending);

enum Ending {
    Known(Settled),
    Told(oneshot::Receiver<Settled>),
}

impl Settling {
    /// Waits until the queue was told.
    pub async fn settled(self) -> Settled {
        match self.0 {
            Ending::Known(settled) => settled,
            Ending::Told(told) => told.await.unwrap_or(Settled::WillReturn),
        }
    }
}

impl From<Settled> for Settling {
    fn from(settled: Settled) -> Self {
        Self(Ending::Known(settled))
    }
}

impl From<oneshot::Receiver<Settled>> for Settling {
    fn from(told: oneshot::Receiver<Settled>) -> Self {
        Self(Ending::Told(told))
    }
}

/// The backend's half of a [`Delivery`].
#[async_trait]
pub trait Settlement: Send {
    /// Carries out the disposition.
    async fn settle(self: Box<Self>, disposition: Disposition, message: &Message) -> Result<Settled, QueueError>;

    /// Stores `message` in `lane`, then forgets the delivery; in one transaction where the backend can. `Ok` says that
    /// `message` is stored, also where the delivery itself comes back.
    async fn hand_over(self: Box<Self>, lane: Lane, message: &Message) -> Result<Settling, QueueError>;

    /// False once a settlement could only give [`Settled::WillReturn`].
    fn is_live(&self) -> bool;
}

/// A message and the handle that settles it, once. Dropped unsettled, it comes back.
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// How often it was delivered before without being settled (crashes, drains).
    pub returns: u32,
    settlement: Box<dyn Settlement>,
}

impl Delivery {
    /// Joins a message with the backend's handle.
    #[must_use]
    pub fn new(message: Message, returns: u32, settlement: Box<dyn Settlement>) -> Self {
        Self { message, returns, settlement }
    }

    /// Ends the delivery. For `Retry` and `DeadLetter` the copy is confirmed before this one is forgotten.
    ///
    /// # Errors
    /// When the copy could not be stored or the connection was lost; the message then comes back.
    pub async fn settle(self, disposition: Disposition) -> Result<Settled, QueueError> {
        self.settlement.settle(disposition, &self.message).await
    }

    /// Stores what this delivery became in another lane, then ends it. `Ok` says that `message` is stored, also where
    /// the delivery itself [comes back](Settled::WillReturn).
    ///
    /// # Errors
    /// When `message` was not confirmed; the delivery then comes back. After `Unknown` it may exist twice.
    pub async fn hand_over(self, lane: Lane, message: &Message) -> Result<Settled, QueueError> {
        Ok(self.store(lane, message).await?.settled().await)
    }

    /// The same, for whoever has something to do once `message` is stored, and waits for the delivery's end afterwards.
    ///
    /// # Errors
    /// As [`Self::hand_over`].
    pub async fn store(self, lane: Lane, message: &Message) -> Result<Settling, QueueError> {
        self.settlement.hand_over(lane, message).await
    }

    /// False when settling cannot succeed any more; ask before doing what cannot be undone.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.settlement.is_live()
    }
}

/// How many dead letters one call takes at most: each is held with its body.
pub const DEAD_LETTERS_HELD: usize = 1_000;

/// A dead letter that is held: nobody else can take it, and dropped it waits among the others again. Unlike a
/// [`Delivery`] it can end in two ways only; taking it and giving it back counts against no limit that looking reaches.
pub struct DeadDelivery {
    /// Why it is a dead letter.
    pub reason: Reason,
    delivery: Delivery,
}

impl DeadDelivery {
    /// Holds a delivery from where the dead letters are.
    #[must_use]
    pub fn new(reason: Reason, delivery: Delivery) -> Self {
        Self { reason, delivery }
    }

    /// The message, as it died.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.delivery.message
    }

    /// Stores `message`, which it becomes, in `lane`, then forgets the dead letter: a process that is killed between
    /// the two leaves both (on the embedded queue there is no between).
    ///
    /// # Errors
    /// As [`Delivery::hand_over`]; the dead letter then waits again.
    pub async fn hand_over(self, lane: Lane, message: &Message) -> Result<Settled, QueueError> {
        self.delivery.hand_over(lane, message).await
    }

    /// Forgets the dead letter for good.
    ///
    /// # Errors
    /// When the queue could not be told; the dead letter then waits again.
    pub async fn purge(self) -> Result<Settled, QueueError> {
        self.delivery.settle(Disposition::Ack).await
    }
}

/// Ready messages by place; what consumers hold is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Ready in the work lane.
    pub work: u64,
    /// Ready in the late lane.
    pub late: u64,
    /// Ready in the outcome lane.
    pub outcome: u64,
    /// Waiting for a delay to pass, all lanes.
    pub delayed: u64,
    /// Dead letters, unrouted ones included.
    pub dead: u64,
}

/// What an operator should know of a queue.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// What it is, and its version.
    pub version: String,
    /// A sentence for each part that is missing or not as declared.
    pub drifted: Vec<String>,
    /// Consumers by lane, in the order of [`Lane::ALL`], where the backend can tell.
    pub consumers: Option<[u64; 3]>,
    /// True while it takes no messages.
    pub blocked: bool,
    /// Why, where the backend can tell: the names of its alarms.
    pub alarms: Vec<String>,
    /// What else is not as it should be.
    pub flaws: Vec<Flaw>,
    /// A sentence for each part that could not be looked at.
    pub unseen: Vec<String>,
}

/// Something about a queue that an operator should change.
#[derive(Clone, Debug)]
pub struct Flaw {
    /// What was looked at, in a word.
    pub subject: &'static str,
    /// True where messages may be lost or stay behind; else it only will matter.
    pub grave: bool,
    /// What is wrong, and what to do.
    pub sentence: String,
}

/// A connection to a queue, as the application sees it.
#[async_trait]
pub trait Queue: Send + Sync {
    /// The publisher; all callers share it.
    fn publisher(&self) -> Arc<dyn Publisher>;

    /// Where notices are told and heard.
    fn notices(&self) -> Arc<dyn Notices>;

    /// A new consumer of `lane` with at most `slots` unsettled deliveries.
    ///
    /// # Errors
    /// `Unusable` when the queue is there but cannot serve.
    async fn consumer(&self, lane: Lane, slots: NonZeroU16) -> Result<Box<dyn Consumer>, QueueError>;

    /// True while publishing and (if any consumer was made) consuming work.
    fn is_connected(&self) -> bool;

    /// Resolves when the first connection stands and everything is declared.
    ///
    /// # Errors
    /// `Unusable` when it never will.
    async fn ready(&self) -> Result<(), QueueError>;

    /// Counts what waits.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn depths(&self) -> Result<Depths, QueueError>;

    /// The oldest `limit` dead letters, without taking them.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError>;

    /// Takes the oldest dead letters, `limit` of them but no more than [`DEAD_LETTERS_HELD`]; those that are held
    /// already are passed over. None is lost: what is dropped, or held by a process that dies, waits again (on RabbitMQ
    /// perhaps in another order).
    ///
    /// # Errors
    /// When none can be taken.
    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadDelivery>, QueueError>;

    /// Looks at the queue itself, as an operator would. Changes nothing.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn inspect(&self) -> Result<Inspection, QueueError>;

    /// Triggers accepted since `since`, as far as the backend remembers over a restart.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn accepted_since(&self, since: EpochMs) -> Result<Vec<(TriggerId, EpochMs)>, QueueError>;

    /// Closes the connections; unsettled deliveries go back.
    async fn close(&self);
}
