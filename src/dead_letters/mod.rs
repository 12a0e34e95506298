//! Dead letters, filtered: counted, replayed, purged. Each is held while it is looked at and let go one by one, so a
//! command that is killed midway has done some and lost none; run again, it does the rest.

mod audit;
mod masked;
pub mod shown;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

pub use self::audit::Operator;
use crate::{
    message::{DeadLetter, ENVELOPE_VERSION, Envelope, Lane, Message, Reason},
    queue::{DeadDelivery, Queue, QueueError, Settled},
    time::EpochMs,
    trigger::TriggerId,
};

/// At most so many dead letters are looked through: those that a filter passes over are held meanwhile.
pub const MOST: usize = 10_000;
/// Held at once, while replaying.
const BATCH: usize = 100;
/// So many times, so far apart, it is doubted that there are none: whoever looks at them holds them for a moment.
const DOUBTS: (u32, Duration) = (4, Duration::from_millis(250));

/// Which dead letters are meant: all that fit every given part.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those of these triggers.
    pub ids: Vec<TriggerId>,
    /// Those with this reason.
    pub reason: Option<Reason>,
    /// Those of this bot.
    pub profile: Option<String>,
    /// Those accepted no longer ago than this moment.
    pub accepted_after: Option<EpochMs>,
}

impl Filter {
    /// True if this dead letter is meant.
    #[must_use]
    pub fn fits(&self, reason: Reason, envelope: &Envelope) -> bool {
        (self.ids.is_empty() || self.ids.contains(&envelope.trigger_id))
            && self.reason.is_none_or(|wanted| wanted == reason)
            && self.profile.as_ref().is_none_or(|wanted| *wanted == envelope.profile)
            && self.accepted_after.is_none_or(|moment| envelope.accepted_at >= moment)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (!self.ids.is_empty()).then(|| format!("ids={}", self.ids.len())),
            self.reason.map(|reason| format!("reason={}", reason.as_str())),
            self.profile.as_ref().map(|profile| format!("profile={profile}")),
            self.accepted_after.map(|moment| format!("accepted_after_ms={}", moment.0)),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "all" } else { "" })?;
        f.write_str(&parts.join(" "))
    }
}

/// What is to be done, and to how many.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which dead letters are meant.
    pub filter: Filter,
    /// No more than these, the oldest first.
    pub limit: usize,
    /// The pause between two.
    pub pause: Option<Duration>,
    /// Ends the work after the dead letter in hand.
    pub stop: CancellationToken,
    /// Tells those who watch how far it is.
    pub progress: Progress,
}

/// How many dead letters were dealt with so far. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicUsize>);

impl Progress {
    /// So many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// By profile, how long a replayed trigger has until its answer is worthless.
pub type Deadlines = BTreeMap<String, Duration>;

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// To these, in this order.
    pub ids: Vec<TriggerId>,
    /// These fit but cannot be replayed, and why.
    pub refused: Vec<(TriggerId, &'static str)>,
    /// The copy of these is stored, but the dead letter may still be there: replayed again it is posted again, under
    /// the same id.
    pub doubled: Vec<TriggerId>,
    /// Why the work ended early; what was not done waits among the dead letters.
    pub failure: Option<QueueError>,
}

/// The dead letters that fit, as they are; nothing changes.
///
/// # Errors
/// When the queue cannot be asked.
pub async fn list(queue: &dyn Queue, filter: &Filter) -> Result<Vec<DeadLetter>, QueueError> {
    let mut letters = queue.dead_letters(MOST).await?;
    letters.retain(|letter| filter.fits(letter.reason, &letter.message.envelope));
    Ok(letters)
}

/// Sends dead letters on their way again ([`Message::replayed`]). Those of profiles that `deadlines` does not name are
/// refused.
pub async fn replay(queue: &dyn Queue, order: &Order, deadlines: &Deadlines, operator: &Operator) -> Done {
    let done = Walk { queue, order, deed: Deed::Replay { deadlines } }.run().await;
    operator.did("dead_letters_replayed", &order.filter.to_string(), &done.ids);
    done
}

/// Forgets dead letters for good.
pub async fn purge(queue: &dyn Queue, order: &Order, operator: &Operator) -> Done {
    let done = Walk { queue, order, deed: Deed::Purge }.run().await;
    operator.did("dead_letters_purged", &order.filter.to_string(), &done.ids);
    done
}

enum Deed<'a> {
    Replay { deadlines: &'a Deadlines },
    Purge,
}

struct Walk<'a> {
    queue: &'a dyn Queue,
    order: &'a Order,
    deed: Deed<'a>,
}

impl Walk<'_> {
    async fn run(&self) -> Done {
        let mut done = Done::default();
        done.failure = self.walk(&mut done).await.err();
        done
    }

    /// Goes through the dead letters that are there now, once: what is replayed may soon be among them again.
    async fn walk(&self, done: &mut Done) -> Result<(), QueueError> {
        let there = self.there().await?;
        let (mut passed_over, mut seen, mut sent) = (Vec::new(), 0, HashSet::new());
        while seen < there && passed_over.len() < MOST {
            let taken = self.queue.take_dead_letters(BATCH.min(there - seen)).await?;
            if taken.is_empty() {
                return Ok(());
            }
            for letter in taken {
                if done.ids.len() + done.doubled.len() >= self.order.limit || self.order.stop.is_cancelled() {
                    return Ok(());
                }
                let envelope = &letter.message().envelope;
                // What died again at once can lie before what was there: it is held until the end, and counts for nothing.
                let again = sent.contains(&(envelope.trigger_id, envelope.replay));
                seen += usize::from(!again);
                if again || !self.order.filter.fits(letter.reason, envelope) {
                    passed_over.push(letter);
                    continue;
                }
                sent.insert((envelope.trigger_id, envelope.replay + 1));
                if let Some(kept) = self.act(letter, done).await? {
                    passed_over.push(kept);
                }
            }
        }
        Ok(())
    }

    /// How many wait.
    async fn there(&self) -> Result<usize, QueueError> {
        for _ in 0..DOUBTS.0 {
            let dead = self.queue.depths().await?.dead;
            if dead > 0 {
                return Ok(usize::try_from(dead).unwrap_or(usize::MAX));
            }
            tokio::time::sleep(DOUBTS.1).await;
        }
        Ok(0)
    }

    /// Does it to one; gives back what cannot be replayed.
    async fn act(&self, letter: DeadDelivery, done: &mut Done) -> Result<Option<DeadDelivery>, QueueError> {
        let id = letter.message().envelope.trigger_id;
        let settled = match &self.deed {
            Deed::Purge => letter.purge().await?,
            Deed::Replay { deadlines } => match next(letter.message(), deadlines) {
                Ok((lane, message)) => letter.hand_over(lane, &message).await?,
                Err(why) => {
                    done.refused.push((id, why));
                    return Ok(Some(letter));
                }
            },
        };
        match settled {
            Settled::Done => done.ids.push(id),
            Settled::WillReturn => done.doubled.push(id),
        }
        self.order.progress.0.fetch_add(1, Ordering::Relaxed);
        if let Some(pause) = self.order.pause {
            tokio::select! {
                () = self.order.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(None)
    }
}

/// What a dead letter becomes, or why it cannot.
fn next(message: &Message, deadlines: &Deadlines) -> Result<(Lane, Message), &'static str> {
    let envelope = &message.envelope;
    if envelope.version == 0 || envelope.trigger_id.0.is_nil() {
        return Err("its headers cannot be read; look at it with `show`, then purge it");
    }
    if envelope.version != ENVELOPE_VERSION {
        return Err("another version of this program wrote it; replay it with that one");
    }
    let Some(deadline) = deadlines.get(&envelope.profile) else {
        return Err("these settings have no such profile; give the services' settings, or add the profile first");
    };
    Ok(message.replayed(SystemTime::now().into(), *deadline))
}
