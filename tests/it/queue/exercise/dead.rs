//! Dead letters that are taken: held by one, replayed, purged, or back among the others.

use std::{collections::BTreeSet, sync::Arc};

use cognigy_fallback_router::{
    message::{Disposition, Lane, Message, Reason},
    queue::{DeadDelivery, Depths, Queue, Settled},
    trigger::TriggerId,
};
use tokio::time::timeout;

use super::{Backend, PATIENCE, WIDE, assert_same, consumer, depths, messages, next, nothing, publish};

pub(crate) async fn taking_and_dropping_dead_letters_loses_none(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = bury(&queue, 3).await;
    for _ in 0..50 {
        drop(take(&queue, 3).await);
    }
    depths(&queue, dead(3)).await;
    let mut held = take(&queue, 3).await;
    held.sort_by_key(|held| held.message().envelope.trigger_id);
    for (held, sent) in held.iter().zip(&sent) {
        assert_eq!(held.reason, Reason::CallbackExpired);
        assert_same(held.message(), sent);
    }
    drop(held);
    nothing(&mut consumer(&queue, Lane::Outcome, 4).await).await;
    queue.close().await;
}

pub(crate) async fn handing_over_a_dead_letter_moves_exactly_that_one(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    bury(&queue, 3).await;
    let mut held = take(&queue, 3).await;
    let chosen = held.remove(1);
    let mut message = chosen.message().clone();
    message.envelope.replay += 1;
    message.envelope.reason = None;
    assert_eq!(chosen.hand_over(Lane::Outcome, &message).await, Ok(Settled::Done));
    drop(held);
    let mut outcome = consumer(&queue, Lane::Outcome, 4).await;
    let delivery = next(&mut outcome).await;
    assert_eq!((&delivery.message.envelope, &delivery.message.body), (&message.envelope, &message.body));
    super::ack(delivery).await;
    nothing(&mut outcome).await;
    depths(&queue, dead(2)).await;
    let left = ids(&take(&queue, 2).await);
    assert!(!left.contains(&message.envelope.trigger_id));
    queue.close().await;
}

pub(crate) async fn purging_a_dead_letter_forgets_exactly_that_one(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = bury(&queue, 3).await;
    let mut held = take(&queue, 3).await;
    assert_eq!(held.remove(0).purge().await, Ok(Settled::Done));
    drop(held);
    depths(&queue, dead(2)).await;
    let mut left = queue.dead_letters(10).await.unwrap();
    left.sort_by_key(|letter| letter.message.envelope.trigger_id);
    for (left, sent) in left.iter().zip(&sent[1..]) {
        assert_same(&left.message, sent);
    }
    queue.close().await;
}

pub(crate) async fn two_takers_never_hold_the_same_dead_letter(backend: &impl Backend) {
    let (one, other) = (backend.open(WIDE).await, backend.open(WIDE).await);
    let sent = bury(&one, 40).await;
    let mut first = Vec::new();
    let mut second = Vec::new();
    for _ in 0..4 {
        let (a, b) = tokio::join!(one.take_dead_letters(5), other.take_dead_letters(5));
        first.extend(a.unwrap());
        second.extend(b.unwrap());
    }
    let (first_ids, second_ids) = (ids(&first), ids(&second));
    assert!(first_ids.is_disjoint(&second_ids));
    let all: BTreeSet<_> = first_ids.union(&second_ids).copied().collect();
    assert_eq!(all, sent.iter().map(|message| message.envelope.trigger_id).collect());
    assert!(one.take_dead_letters(5).await.unwrap().is_empty(), "all of them are held");
    drop((first, second));
    depths(&one, dead(40)).await;
    one.close().await;
    other.close().await;
}

pub(crate) async fn a_taker_that_goes_in_the_middle_returns_the_rest(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    bury(&queue, 10).await;
    let taker = backend.open(WIDE).await;
    let mut held = take(&taker, 10).await;
    for chosen in held.drain(..4) {
        let message = chosen.message().clone();
        assert_eq!(chosen.hand_over(Lane::Outcome, &message).await, Ok(Settled::Done));
    }
    taker.close().await;
    drop(taker);
    depths(&queue, Depths { outcome: 4, dead: 6, ..Depths::default() }).await;
    let lost = held.remove(0);
    let message = lost.message().clone();
    assert_ne!(lost.hand_over(Lane::Outcome, &message).await, Ok(Settled::Done), "it is not held any more");
    depths(&queue, Depths { outcome: 4, dead: 6, ..Depths::default() }).await;
    queue.close().await;
}

pub(crate) async fn no_more_dead_letters_than_asked_for_are_taken_and_the_oldest_first(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = bury(&queue, 5).await;
    assert!(queue.take_dead_letters(0).await.unwrap().is_empty());
    let first = take(&queue, 2).await;
    let rest = take(&queue, 3).await;
    for (held, sent) in first.iter().chain(&rest).zip(&sent) {
        assert_same(held.message(), sent);
    }
    drop((first, rest));
    depths(&queue, dead(5)).await;
    queue.close().await;
}

fn dead(count: u64) -> Depths {
    Depths { dead: count, ..Depths::default() }
}

fn ids(held: &[DeadDelivery]) -> BTreeSet<TriggerId> {
    held.iter().map(|held| held.message().envelope.trigger_id).collect()
}

/// Takes until that many are held: what was given back may take a moment to be there again.
async fn take(queue: &Arc<dyn Queue>, count: usize) -> Vec<DeadDelivery> {
    timeout(PATIENCE, async {
        loop {
            let held = queue.take_dead_letters(count).await.unwrap();
            if held.len() == count {
                return held;
            }
            drop(held);
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the dead letters")
}

/// Publishes and dead-letters that many.
pub(crate) async fn bury(queue: &Arc<dyn Queue>, count: u32) -> Vec<Message> {
    let sent = messages(count);
    publish(queue, Lane::Outcome, &sent).await;
    let mut outcome = consumer(queue, Lane::Outcome, 1).await;
    for _ in 0..count {
        let dead_letter = Disposition::DeadLetter { reason: Reason::CallbackExpired };
        assert_eq!(next(&mut outcome).await.settle(dead_letter).await, Ok(Settled::Done));
    }
    outcome.stop().await;
    depths(queue, dead(count.into())).await;
    sent
}
