//! The queue's contract as behaviours that every backend shows. A backend's file calls [`conformance!`], which makes one
//! test of each.
//!
//! What may take a moment (a return, a count, a delay) is waited for as a fact, up to [`PATIENCE`]; nothing here relies
//! on being faster than that.

pub(crate) mod dead;
pub(crate) mod endings;
pub(crate) mod flow;
pub(crate) mod lasting;
pub(crate) mod limits;
pub(crate) mod notices;

use std::{
    collections::HashMap,
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cognigy_fallback_router::{
    message::{Disposition, ENVELOPE_VERSION, Envelope, Lane, Message, Tries},
    queue::{Consumer, Delivery, Depths, Limits, Queue, Settled},
    time::EpochMs,
    trigger::TriggerId,
};
use tokio::time::timeout;
use uuid::Uuid;

/// How long a fact may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long the absence of something is watched.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);
/// Limits that no behaviour meets by accident.
pub(crate) const WIDE: Limits = Limits { soft_limit: 100_000, reserve: Duration::from_secs(2) };

/// A private place for one test: a directory, a virtual host.
pub(crate) trait Backend: Sized {
    /// An empty place.
    async fn start() -> Self;

    /// Connects to it. Further calls connect again, as another process or a restarted one would.
    async fn open(&self, limits: Limits) -> Arc<dyn Queue>;
}

/// One test of each behaviour for a backend.
macro_rules! conformance {
    ($backend:ty: $($group:ident { $($behaviour:ident),+ $(,)? })+) => { $($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            use $crate::queue::exercise::Backend as _;
            $crate::queue::exercise::$group::$behaviour(&<$backend>::start().await).await;
        }
    )+)+ };
    ($backend:ty) => {
        $crate::queue::exercise::conformance! { $backend:
            flow {
                what_is_published_is_delivered_and_gone_after_the_ack,
                every_field_and_byte_comes_back_in_order,
                an_empty_body_and_one_of_64_kib_pass,
                lanes_do_not_mix,
                a_waiting_consumer_gets_what_is_published_later,
                a_dropped_next_loses_nothing,
                two_consumers_share_a_lane_without_doubles,
                two_connections_share_a_lane_without_doubles,
                two_thousand_messages_from_64_publishers_arrive_once_each,
            }
            endings {
                a_dropped_delivery_comes_back_as_it_was,
                a_retry_comes_back_with_one_more_attempt_and_not_too_early,
                a_hand_over_moves_the_message_to_its_new_lane,
                a_dead_letter_is_seen_and_not_consumed,
                looking_at_dead_letters_loses_none,
                no_more_than_the_oldest_dead_letters_asked_for_are_shown,
            }
            dead {
                taking_and_dropping_dead_letters_loses_none,
                handing_over_a_dead_letter_moves_exactly_that_one,
                purging_a_dead_letter_forgets_exactly_that_one,
                two_takers_never_hold_the_same_dead_letter,
                a_taker_that_goes_in_the_middle_returns_the_rest,
                no_more_dead_letters_than_asked_for_are_taken_and_the_oldest_first,
            }
            limits {
                unsettled_deliveries_never_exceed_the_slots,
                work_that_always_comes_back_ends_in_the_late_lane,
                late_messages_that_always_come_back_become_dead_letters,
                expired_work_never_gets_lost,
                new_triggers_are_refused_over_the_soft_limit_and_welcome_again_below_it,
            }
            notices {
                a_notice_is_heard_once_on_every_connection_by_those_who_listen_to_its_topic,
                notices_that_nobody_reads_hold_up_nothing,
                what_was_told_before_is_not_heard_later,
            }
            lasting {
                stop_gives_back_what_was_prefetched_and_lets_the_rest_be_settled,
                depths_count_what_waits,
                after_close_next_says_none,
                closing_gives_back_what_was_not_settled,
                every_lane_survives_a_restart,
                a_delayed_message_survives_a_restart,
                a_closed_queue_takes_no_messages,
            }
        }
    };
}
pub(crate) use conformance;

/// Now, on the wall clock.
pub(crate) fn now() -> EpochMs {
    SystemTime::now().into()
}

/// A message with every header set, numbered so that it can be told from others.
pub(crate) fn message(number: u32) -> Message {
    let accepted_at = now();
    Message {
        envelope: Envelope {
            version: ENVELOPE_VERSION,
            trigger_id: TriggerId(Uuid::now_v7()),
            profile: "default".into(),
            conversation_id: format!("conversation {number} \u{e4}\u{1f600}"),
            user_id: "user".into(),
            session_id: Some("session".into()),
            language: Some("de-AT".into()),
            accepted_at,
            deadline: accepted_at.plus(Duration::from_secs(300)),
            stored_at: Some(EpochMs(accepted_at.0 + 1)),
            attempt: 1,
            not_before: None,
            callback: Some("https://example.com/callback?a=b".into()),
            reason: None,
            replay: 0,
            tries: Tries::from_text("1700000000000 work 1 panic 1000"),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        },
        body: Bytes::from(format!("{{\"number\":{number}}}")),
    }
}

/// Messages 0, 1, … of that count.
pub(crate) fn messages(count: u32) -> Vec<Message> {
    (0..count).map(message).collect()
}

/// Publishes one after the other.
pub(crate) async fn publish(queue: &Arc<dyn Queue>, lane: Lane, messages: &[Message]) {
    let publisher = queue.publisher();
    for message in messages {
        publisher.publish(lane, message).await.unwrap();
    }
}

/// A consumer with so many slots.
pub(crate) async fn consumer(queue: &Arc<dyn Queue>, lane: Lane, slots: u16) -> Box<dyn Consumer> {
    queue.consumer(lane, NonZeroU16::new(slots).unwrap()).await.unwrap()
}

/// The next delivery, which must come.
pub(crate) async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    timeout(PATIENCE, consumer.next()).await.expect("a delivery").unwrap().expect("an open queue")
}

/// Nothing comes for a while.
pub(crate) async fn nothing(consumer: &mut Box<dyn Consumer>) {
    let next = timeout(MOMENT, consumer.next()).await;
    assert!(next.is_err(), "nothing should come, but {:?} did", next.map(|next| next.map(|d| d.map(|d| d.returns))));
}

/// Acknowledges, which must succeed.
pub(crate) async fn ack(delivery: Delivery) {
    assert_eq!(delivery.settle(Disposition::Ack).await, Ok(Settled::Done));
}

/// Takes and acknowledges that many; how often each trigger came.
pub(crate) async fn drain(consumer: &mut Box<dyn Consumer>, count: usize) -> HashMap<TriggerId, u32> {
    let mut seen = HashMap::new();
    for _ in 0..count {
        let delivery = next(consumer).await;
        *seen.entry(delivery.message.envelope.trigger_id).or_default() += 1;
        ack(delivery).await;
    }
    seen
}

/// Waits for a fact.
pub(crate) async fn until(fact: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it never came true");
}

/// Waits until the queue's counts are as told.
pub(crate) async fn depths(queue: &Arc<dyn Queue>, expected: Depths) {
    let mut last = Depths::default();
    let reached = timeout(PATIENCE, async {
        loop {
            last = queue.depths().await.unwrap();
            if last == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let reached = reached.await.is_ok();
    assert!(reached, "depths are {last:?}, should be {expected:?}");
}

/// The same content: every header but those that the queue itself changes, and every byte.
pub(crate) fn assert_same(found: &Message, sent: &Message) {
    let same = |envelope: &Envelope| Envelope { attempt: 0, not_before: None, reason: None, ..envelope.clone() };
    assert_eq!(same(&found.envelope), same(&sent.envelope));
    assert_eq!(found.body, sent.body);
}
