//! Processes that are killed in the middle of their work, again and again.

use std::collections::HashSet;

use cognigy_fallback_router::{message::Lane, queue::Depths};
use nix::sys::signal::Signal;

use super::{
    Embedded,
    other_process::{OtherProcess, Part},
};
use crate::queue::exercise::{Backend, WIDE, consumer, depths, drain, messages, publish};

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_killed_workers_is_handed_over_exactly_once() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    let sent = messages(1_000);
    publish(&queue, Lane::Work, &sent).await;
    for killed_after in [30, 150, 60] {
        let mut worker = OtherProcess::start(&place.directory(), Part::HandsOver);
        for _ in 0..killed_after {
            worker.hear();
        }
        worker.signal(Signal::SIGKILL);
    }
    let _last = OtherProcess::start(&place.directory(), Part::HandsOver);
    depths(&queue, Depths { outcome: 1_000, ..Depths::default() }).await;
    let seen = drain(&mut consumer(&queue, Lane::Outcome, 64).await, 1_000).await;
    assert!(sent.iter().all(|message| seen.get(&message.envelope.trigger_id) == Some(&1)));
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_killed_publisher_was_promised_is_there() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    let mut promised = HashSet::new();
    for killed_after in [1, 40, 200] {
        let mut publisher = OtherProcess::start(&place.directory(), Part::Publishes);
        promised.extend((0..killed_after).map(|_| publisher.hear()));
        publisher.signal(Signal::SIGKILL);
        // What it was promised but could no longer say is there as well, and more than was said.
        promised.extend(publisher.last_words());
    }
    let count = usize::try_from(queue.depths().await.unwrap().work).unwrap();
    let seen = drain(&mut consumer(&queue, Lane::Work, 64).await, count).await;
    let stored: HashSet<String> = seen.keys().map(ToString::to_string).collect();
    assert!(promised.is_subset(&stored), "{} of {} are lost", promised.difference(&stored).count(), promised.len());
    queue.close().await;
}
