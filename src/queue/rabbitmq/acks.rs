//! Acks, gathered for a moment while there are many: for each that comes alone the broker writes to its log, looks for what to
//! deliver next, and sends it alone. Told of ten at once it does that once, which halves what a delivery costs it, and more
//! where they end in another order than they came.
//!
//! One ack may stand for all before it. It does so here only up to the first delivery that is still open.

use std::{
    collections::BTreeSet,
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use lapin::{Channel, options::BasicAckOptions};
use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::{Instant, timeout_at},
};

use super::{
    departures::Departures,
    limit::{CALL, bounded},
};
use crate::{
    metrics::{Metrics, labels::SettledAs},
    queue::{Settled, Settling},
};

/// How long an ack waits for others at most. A process that dies meanwhile leaves one more delivery that comes back.
const GATHERED: Duration = Duration::from_millis(10);
/// One in so many of the deliveries that may be open: no more than these wait to be told of, as the broker sends nothing in
/// their place.
const PART: usize = 8;

/// Tells the broker of the deliveries of one channel that they are done with.
pub(super) struct Acks {
    waiting: mpsc::Sender<Ack>,
    /// How many go without waiting for more.
    most: usize,
    departures: Departures,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
}

/// What the sender of acks and those who settle share.
#[derive(Default)]
struct Shared {
    /// Tags of the deliveries that were received, and of whose end the broker was not told.
    open: Mutex<BTreeSet<u64>>,
    enough: Notify,
}

struct Ack {
    tag: u64,
    leaves: Instant,
    counted_as: SettledAs,
    answer: oneshot::Sender<Settled>,
}

impl Acks {
    /// For a channel on which at most `held` deliveries are open, each of which has its end told as soon as possible.
    /// Has to be called within a tokio runtime.
    pub(super) fn at_once(channel: Channel, held: usize, metrics: &Arc<Metrics>) -> Self {
        Self::start(channel, held, (1, Duration::ZERO), metrics)
    }

    /// For a channel on which at most `prefetch` deliveries are open. Has to be called within a tokio runtime.
    pub(super) fn gathered(channel: Channel, prefetch: NonZeroU16, metrics: &Arc<Metrics>) -> Self {
        let prefetch = usize::from(prefetch.get());
        let gathered = match prefetch / PART {
            0 | 1 => (1, Duration::ZERO),
            most => (most, GATHERED),
        };
        Self::start(channel, prefetch, gathered, metrics)
    }

    /// What waits is still told of when this was dropped.
    fn start(channel: Channel, held: usize, (most, apart): (usize, Duration), metrics: &Arc<Metrics>) -> Self {
        let (sender, waiting) = mpsc::channel(held.max(1));
        let shared = Arc::default();
        tokio::spawn(run(channel, waiting, Arc::clone(&shared), Arc::clone(metrics)));
        let departures = Departures::every(apart);
        Self { waiting: sender, most, departures, shared, metrics: Arc::clone(metrics) }
    }

    /// Takes note of a delivery. In the order in which they came: whoever is not noted yet comes after all that are.
    pub(super) fn received(&self, tag: u64) {
        self.shared.open().insert(tag);
    }

    /// Takes note of a delivery that the broker was told of otherwise.
    pub(super) fn returned(&self, tag: u64) {
        self.shared.open().remove(&tag);
    }

    /// Has the broker told that a delivery is done with.
    pub(super) fn ack(&self, tag: u64, counted_as: SettledAs) -> Settling {
        let (answer, told) = oneshot::channel();
        let leaves = self.departures.after(Instant::now());
        match self.waiting.try_send(Ack { tag, leaves, counted_as, answer }) {
            Ok(()) => {}
            // No more can wait than are open, and the other end stays as long as this one.
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                self.metrics.acks_lost.inc();
                return Settling::from(Settled::WillReturn);
            }
        }
        if self.waiting.max_capacity() - self.waiting.capacity() >= self.most {
            self.shared.enough.notify_one();
        }
        Settling::from(told)
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(channel: Channel, mut waiting: mpsc::Receiver<Ack>, shared: Arc<Shared>, metrics: Arc<Metrics>) {
    while let Some(first) = waiting.recv().await {
        if first.leaves > Instant::now() {
            let _ = timeout_at(first.leaves, shared.enough.notified()).await;
        }
        let mut acks = vec![first];
        while let Ok(ack) = waiting.try_recv() {
            acks.push(ack);
        }
        let frames = frames(&mut shared.open(), acks.iter().map(|ack| ack.tag));
        let told = tell(&channel, frames).await;
        for Ack { counted_as, answer, .. } in acks {
            match told {
                true => metrics.settled.get(counted_as).inc(),
                false => metrics.acks_lost.inc(),
            }
            // Not everybody waits for it.
            let _ = answer.send(if told { Settled::Done } else { Settled::WillReturn });
        }
    }
}

/// Writes the frames. False where one could not be written: then the channel is gone, and the deliveries come back.
async fn tell(channel: &Channel, frames: Vec<Frame>) -> bool {
    let writing = frames.into_iter().map(|Frame { tag, multiple }| {
        let ack = channel.basic_ack(tag, BasicAckOptions { multiple });
        bounded("basic.ack", CALL, ack)
    });
    join_all(writing).await.iter().all(Result::is_ok)
}

/// A `basic.ack`.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    tag: u64,
    /// It stands for every delivery up to this one.
    multiple: bool,
}

/// Frames that ack exactly these of the `open` tags, and takes them out: one for all that are before the first of the rest,
/// and one for each of the others.
fn frames(open: &mut BTreeSet<u64>, tags: impl Iterator<Item = u64>) -> Vec<Frame> {
    let mut tags: Vec<u64> = tags.filter(|tag| open.remove(tag)).collect();
    tags.sort_unstable();
    let together = open.first().map_or(tags.len(), |first| tags.partition_point(|tag| tag < first));
    let multiple = together > 1;
    let one_by_one = if multiple { together - 1 } else { 0 };
    let frame = |tag| Frame { tag, multiple: multiple && tag == tags[one_by_one] };
    tags[one_by_one..].iter().copied().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

    use super::*;

    #[test]
    fn one_ack_stands_for_all_before_the_first_that_is_open() {
        let frames = |open: &[u64], tags: &[u64]| {
            let mut open = open.iter().copied().collect();
            let frames = super::frames(&mut open, tags.iter().copied());
            let frames: Vec<_> = frames.into_iter().map(|Frame { tag, multiple }| (tag, multiple)).collect();
            (frames, open.into_iter().collect::<Vec<_>>())
        };
        for (open, tags, expected, left) in [
            (&[1, 2, 3][..], &[1, 2, 3][..], &[(3, true)][..], &[][..]),
            (&[1, 2, 3], &[3, 1, 2], &[(3, true)], &[]),
            (&[7], &[7], &[(7, false)], &[]),
            (&[1, 2, 3, 4], &[4, 1, 2], &[(2, true), (4, false)], &[3]),
            (&[1, 2, 3], &[2, 3], &[(2, false), (3, false)], &[1]),
            (&[1, 2, 3], &[1, 3], &[(1, false), (3, false)], &[2]),
            // 4 was told of before, or went back.
            (&[3, 5, 6], &[3, 5], &[(5, true)], &[6]),
            (&[1], &[], &[], &[1]),
            (&[1, 2], &[2, 2], &[(2, false)], &[1]),
        ] {
            assert_eq!(frames(open, tags), (expected.to_vec(), left.to_vec()), "{open:?} {tags:?}");
        }
    }

    /// A broker in small: what it holds unacknowledged. An ack of what it does not hold would close the channel.
    #[test]
    fn whatever_the_order_exactly_what_is_done_with_is_acked() {
        let mut random = StdRng::seed_from_u64(20_261_130);
        for _ in 0..200 {
            let (mut held, mut open, mut next) = (BTreeSet::new(), BTreeSet::new(), 1);
            for _ in 0..50 {
                for _ in 0..random.random_range(0..12) {
                    held.insert(next);
                    open.insert(next);
                    next += 1;
                }
                let mut tags: Vec<u64> = open.iter().copied().filter(|_| random.random_bool(0.6)).collect();
                tags.shuffle(&mut random);
                // Some go back instead.
                for tag in tags.split_off(tags.len() - tags.len() / 10) {
                    assert!(held.remove(&tag) && open.remove(&tag));
                }
                let expected: BTreeSet<u64> = held.iter().copied().filter(|tag| !tags.contains(tag)).collect();
                for Frame { tag, multiple } in frames(&mut open, tags.into_iter()) {
                    assert!(held.contains(&tag), "an ack of {tag}, which is not held");
                    held.retain(|&one| if multiple { one > tag } else { one != tag });
                }
                assert_eq!(held, expected);
                assert_eq!(held, open);
            }
        }
    }
}
