//! Publishing with confirms: a writer has a channel to itself, and many messages on their way on it.
//!
//! What lapin does decides the form. A publish of it comes back only when its bytes were written: one after the other
//! would cost each message a write and two changes of thread, so a writer begins all that wait before it waits for any.
//! And a message that the broker returns is told to whichever publish of the channel ends next, not to its own: so ends
//! are judged together, and where one of them brings a returned message, nothing that was on its way then counts as
//! stored.

use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use deadpool::managed::PoolError;
use futures_util::{Stream, StreamExt, stream::FuturesUnordered};
use lapin::{Channel, Confirmation, options::BasicPublishOptions};
use tokio::{
    sync::{mpsc, oneshot},
    task::unconstrained,
    time::{error::Elapsed, timeout_at},
};

use super::{
    channels::{Lease, Pool},
    limit::Fault,
    parcel::Parcel,
    pulse::Pulse,
};
use crate::{
    metrics::{Metrics, labels::Published},
    queue::QueueError,
};

/// Most messages that one channel has unconfirmed.
const MOST_ON_THEIR_WAY: usize = 256;

/// A parcel to be sent, and whoever waits for it.
pub(super) struct Waiting {
    pub(super) parcel: Parcel,
    pub(super) since: Instant,
    /// Nobody has to listen: a publish that was begun ends by itself.
    pub(super) answer: oneshot::Sender<Result<(), QueueError>>,
}

/// How one publish ended.
struct Ended {
    published: Published,
    result: Result<(), QueueError>,
    since: Instant,
    answer: oneshot::Sender<Result<(), QueueError>>,
}

/// What writers share.
pub(super) struct Writer {
    pub(super) pool: Pool,
    pub(super) pulse: Arc<Pulse>,
    pub(super) confirm_timeout: Duration,
    pub(super) metrics: Arc<Metrics>,
}

impl Writer {
    /// Runs until nobody can send any more.
    pub(super) async fn run(self: Arc<Self>, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(first) = waiting.recv().await {
            match self.lease().await {
                Ok(lease) => self.write(lease, first, &mut waiting).await,
                Err(error) => refuse(&error, first, &mut waiting),
            }
        }
    }

    /// A channel: the pool limits the wait for a free one, here the opening of a new one is limited as well.
    async fn lease(&self) -> Result<Lease, QueueError> {
        let leased = tokio::time::timeout(self.confirm_timeout, self.pool.get()).await;
        match leased {
            Ok(Ok(object)) => Ok(Lease::new(object)),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Timeout(_))) => Err(QueueError::Refused { reason: "no free channel", retry_after: None }),
            Ok(Err(error)) => Err(QueueError::Unreachable(error.to_string())),
            Err(_) => Err(QueueError::Unreachable("no channel was opened in time".into())),
        }
    }

    /// Writes what comes, until nothing is on its way any more, or the channel cannot be trusted any more.
    async fn write(self: &Arc<Self>, lease: Lease, first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) {
        let mut flights = FuturesUnordered::new();
        let mut next = Some(first);
        let mut doubted = false;
        loop {
            if let Some(waiting) = next.take() {
                flights.push(unconstrained(Arc::clone(self).fly(lease.channel(), waiting)));
            }
            tokio::select! {
                biased;
                more = waiting.recv(), if flights.len() < MOST_ON_THEIR_WAY => match more {
                    Some(more) => next = Some(more),
                    None => break,
                },
                mut ended = ended(&mut flights) => {
                    doubted = doubt(&mut ended, !flights.is_empty());
                    let trusted = !doubted && ended.iter().all(|ended| ended.published != Published::Timeout);
                    self.tell(ended);
                    if !trusted {
                        doubted = true;
                        break;
                    }
                    if flights.is_empty() { return lease.done() }
                }
            }
        }
        // What is still on its way ends by itself, and the channel after it; the next message gets another one.
        let writer = Arc::clone(self);
        tokio::spawn(async move {
            while !flights.is_empty() {
                let mut ended = ended(&mut flights).await;
                doubted |= doubt(&mut ended, !flights.is_empty());
                if doubted {
                    ended.iter_mut().for_each(Ended::doubt);
                }
                writer.tell(ended);
            }
            drop(lease);
        });
    }

    /// The way of one message to its confirm.
    async fn fly(self: Arc<Self>, channel: Arc<Channel>, waiting: Waiting) -> Ended {
        let Waiting { parcel: Parcel { exchange, key, properties, body }, since, answer } = waiting;
        let until = (since + self.confirm_timeout).into();
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let confirmed = timeout_at(until, async {
            channel.basic_publish(exchange.into(), key, options, &body, properties).await?.await
        });
        let (published, result) = self.ending(confirmed.await);
        Ended { published, result, since, answer }
    }

    /// `Ack` without a returned message is the one answer that means *stored*. A negative one does not mean *not
    /// stored*: after a change of leader, or when one of several queues refused, it can be there all the same.
    fn ending(&self, answer: Result<lapin::Result<Confirmation>, Elapsed>) -> (Published, Result<(), QueueError>) {
        match answer {
            Ok(Ok(Confirmation::Ack(None))) => (Published::Confirmed, Ok(())),
            Ok(Ok(Confirmation::Ack(Some(_)))) => {
                self.pulse.doubt_topology();
                (Published::Returned, Err(QueueError::Refused { reason: "unroutable", retry_after: None }))
            }
            // A refusal can bring the returned message of another one, too.
            Ok(Ok(Confirmation::Nack(Some(_)))) => {
                self.pulse.doubt_topology();
                unknown(Published::Returned, "the broker did not take it, and returned another one beside it")
            }
            Ok(Ok(Confirmation::Nack(None))) => unknown(Published::Nacked, "the broker did not take it"),
            Ok(Ok(Confirmation::NotRequested)) => unknown(Published::Timeout, "the channel does not confirm"),
            Ok(Err(error)) => {
                let fault = Fault::Refused(error);
                if fault.is_missing() {
                    self.pulse.doubt_topology();
                }
                unknown(Published::Timeout, &fault.to_string())
            }
            Err(_) => unknown(Published::Timeout, "no confirm in time"),
        }
    }

    fn tell(&self, ended: Vec<Ended>) {
        for Ended { published, result, since, answer } in ended {
            self.metrics.publish_duration.get(published).observe(since.elapsed().as_secs_f64());
            if matches!(result, Err(QueueError::Unknown(_))) {
                self.metrics.publishes_unknown.inc();
            }
            let _ = answer.send(result);
        }
    }
}

impl Ended {
    /// Takes back what another message's return makes uncertain.
    fn doubt(&mut self) {
        if matches!(self.published, Published::Confirmed | Published::Returned) {
            (self.published, self.result) =
                unknown(Published::Returned, "a message on its way beside it was unroutable");
        }
    }
}

/// Waits until a flight ends, and takes every one that has ended by then. lapin ends them in one thread, so whoever got
/// the returned message of one of them ended before it, and is taken with it or was taken before.
async fn ended(flights: &mut (impl Stream<Item = Ended> + Unpin)) -> Vec<Ended> {
    let mut ended = Vec::new();
    poll_fn(|context| {
        while let Poll::Ready(Some(one)) = flights.poll_next_unpin(context) {
            ended.push(one);
        }
        if ended.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    ended
}

/// Whether these, which ended together, and those that are still on their way are uncertain, unless one was alone: they
/// are if one of them brought a returned message; or was given up, because what would have been told to it then nobody
/// hears.
fn doubt(ended: &mut [Ended], others: bool) -> bool {
    let lost = |ended: &Ended| matches!(ended.published, Published::Returned | Published::Timeout);
    let doubted = ended.iter().any(lost) && (others || ended.len() > 1);
    if doubted {
        ended.iter_mut().for_each(Ended::doubt);
    }
    doubted
}

/// There is no channel for all that wait.
fn refuse(error: &QueueError, first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) {
    // Nobody hears of a refusal that has gone away meanwhile.
    let _ = first.answer.send(Err(error.clone()));
    while let Ok(waiting) = waiting.try_recv() {
        let _ = waiting.answer.send(Err(error.clone()));
    }
}

fn unknown(ended: Published, why: &str) -> (Published, Result<(), QueueError>) {
    (ended, Err(QueueError::Unknown(why.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_returned_message_or_one_that_was_given_up_nothing_counts_as_stored() {
        use Published::{Confirmed, Nacked, Returned, Timeout};
        let doubted = |together: &[Published], others| {
            let ended = |published: &Published| Ended {
                published: *published,
                result: Ok(()),
                since: Instant::now(),
                answer: oneshot::channel().0,
            };
            let mut ended: Vec<_> = together.iter().map(ended).collect();
            let doubted = doubt(&mut ended, others);
            (doubted, ended.iter().filter(|ended| ended.published == Confirmed && ended.result.is_ok()).count())
        };
        for (together, others, expected) in [
            (&[Confirmed, Confirmed][..], true, (false, 2)),
            (&[Confirmed, Nacked], true, (false, 1)),
            (&[Returned], false, (false, 0)),
            (&[Returned], true, (true, 0)),
            (&[Confirmed, Returned, Confirmed], false, (true, 0)),
            (&[Timeout], false, (false, 0)),
            (&[Timeout], true, (true, 0)),
            (&[Confirmed, Timeout], false, (true, 0)),
        ] {
            assert_eq!(doubted(together, others), expected, "{together:?} {others}");
        }
    }
}
