//! Processes that die or freeze while they hold messages.

use cognigy_fallback_router::{
    message::{Disposition, Lane},
    queue::{Depths, Settled},
};
use nix::sys::signal::Signal;

use super::{
    Embedded,
    other_process::{OtherProcess, Part},
};
use crate::queue::exercise::{Backend, WIDE, ack, consumer, depths, drain, messages, next, nothing, publish, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_held_goes_to_another_at_once() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(4)).await;
    let mut other = OtherProcess::start(&place.directory(), Part::Holds);
    assert_eq!(other.hear(), "holding");
    let mut work = consumer(&queue, Lane::Work, 8).await;
    nothing(&mut work).await;
    other.signal(Signal::SIGKILL);
    for _ in 0..4 {
        let delivery = next(&mut work).await;
        assert_eq!(delivery.returns, 1);
        ack(delivery).await;
    }
    depths(&queue, Depths::default()).await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_held_is_there_when_the_next_one_starts() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(4)).await;
    queue.close().await;
    let mut other = OtherProcess::start(&place.directory(), Part::Holds);
    assert_eq!(other.hear(), "holding");
    other.signal(Signal::SIGKILL);
    let queue = place.open(WIDE).await;
    assert_eq!(drain(&mut consumer(&queue, Lane::Work, 8).await, 4).await.len(), 4);
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_process_held_goes_to_another_and_it_cannot_settle_it_any_more() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(4)).await;
    let mut other = OtherProcess::start(&place.directory(), Part::Holds);
    assert_eq!(other.hear(), "holding");
    other.signal(Signal::SIGSTOP);
    // Frozen in the midst of a write it has the database's lock as well: that is not what is looked at here.
    while place.sqlite().execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err() {
        other.signal(Signal::SIGCONT);
        other.signal(Signal::SIGSTOP);
    }
    let mut work = consumer(&queue, Lane::Work, 8).await;
    nothing(&mut work).await;
    // As if the other one had been silent for more than thirty seconds.
    let silenced = "UPDATE owner SET beat = beat - 60000 WHERE id = (SELECT owner FROM leased)";
    assert_eq!(place.sqlite().execute(silenced, []).unwrap(), 1);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(&mut work).await);
    }
    assert!(held.iter().all(|delivery| delivery.returns == 1 && delivery.is_live()));
    other.signal(Signal::SIGCONT);
    other.tell("settle");
    assert_eq!(other.hear(), "Ok(WillReturn)");
    assert_eq!(other.hear(), "not live");
    let handed_over = other.hear();
    assert!(handed_over.starts_with("Err(Unreachable"), "its result is not stored, and it says so: {handed_over}");
    for delivery in held {
        ack(delivery).await;
    }
    depths(&queue, Depths::default()).await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_frozen_works_on() {
    let place = Embedded::start().await;
    let (queue, other) = (place.open(WIDE).await, place.open(WIDE).await);
    publish(&queue, Lane::Work, &messages(1)).await;
    let mut theirs = consumer(&other, Lane::Work, 1).await;
    let lost = next(&mut theirs).await;
    place.sqlite().execute("UPDATE owner SET beat = beat - 60000 WHERE id = (SELECT owner FROM leased)", []).unwrap();
    let mut ours = consumer(&queue, Lane::Work, 1).await;
    ack(next(&mut ours).await).await;
    ours.stop().await;
    assert_eq!(lost.settle(Disposition::Ack).await, Ok(Settled::WillReturn));
    publish(&queue, Lane::Work, &messages(1)).await;
    let held = next(&mut theirs).await;
    assert!(held.is_live());
    ack(held).await;
    other.close().await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_lock_file_is_taken_away_makes_a_new_one() {
    let place = Embedded::start().await;
    let (queue, other) = (place.open(WIDE).await, place.open(WIDE).await);
    for lock in std::fs::read_dir(place.directory().join("owners")).unwrap().flatten() {
        std::fs::remove_file(lock.path()).unwrap();
    }
    // Until they beat again, each thinks the other dead: deliveries go back and forth, and none is lost.
    publish(&queue, Lane::Work, &messages(20)).await;
    let mut work = consumer(&other, Lane::Work, 1).await;
    let mut settled = 0;
    while settled < 20 {
        settled += u32::from(next(&mut work).await.settle(Disposition::Ack).await == Ok(Settled::Done));
    }
    nothing(&mut work).await;
    let locks = || std::fs::read_dir(place.directory().join("owners")).unwrap().flatten();
    until(|| locks().filter(|lock| lock.path().extension().is_some()).count() == 2).await;
    other.close().await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_came_back_often_is_tried_alone() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(3)).await;
    let mut work = consumer(&queue, Lane::Work, 8).await;
    for _ in 0..3 {
        let held = [next(&mut work).await, next(&mut work).await, next(&mut work).await];
        drop(held);
    }
    publish(&queue, Lane::Work, &messages(1)).await;
    let (suspect, fresh) = (next(&mut work).await, next(&mut work).await);
    assert_eq!((suspect.returns, fresh.returns), (3, 0));
    nothing(&mut work).await;
    ack(suspect).await;
    let suspect = next(&mut work).await;
    nothing(&mut work).await;
    ack(suspect).await;
    ack(next(&mut work).await).await;
    ack(fresh).await;
    depths(&queue, Depths::default()).await;
    queue.close().await;
}
