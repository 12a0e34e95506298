//! Who hears what another process of the machine tells.

use std::time::Duration;

use bytes::Bytes;
use cognigy_fallback_router::{
    message::Lane,
    queue::notice::{Notice, Topic},
};
use tokio::time::timeout;

use super::Embedded;
use crate::queue::exercise::{Backend, PATIENCE, WIDE, ack, consumer, message, next, publish};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_listens_and_then_stores_a_trigger_hears_what_is_told_of_it_however_soon() {
    let place = Embedded::start().await;
    let worker = place.open(WIDE).await;
    let mut work = consumer(&worker, Lane::Work, 4).await;
    publish(&worker, Lane::Work, &[message(0)]).await;
    ack(next(&mut work).await).await;
    // Each is new to the worker, and gone before the next one.
    for number in 1..6 {
        let ingress = place.open(WIDE).await;
        let mut outcomes = ingress.notices().subscribe(&[Topic::Outcome]);
        publish(&ingress, Lane::Work, &[message(number)]).await;
        let taken = next(&mut work).await;
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        worker.notices().publish(Notice { topic: Topic::Outcome, body: body.clone() });
        ack(taken).await;
        let heard = timeout(PATIENCE, outcomes.next()).await.expect("it is told").unwrap();
        assert_eq!(heard.body, body);
        ingress.close().await;
    }
    worker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_thought_dead_is_told_again() {
    let place = Embedded::start().await;
    let (worker, ingress) = (place.open(WIDE).await, place.open(WIDE).await);
    let mut outcomes = ingress.notices().subscribe(&[Topic::Outcome]);
    let mut told = 0_u32;
    // Tells numbers until one of them is heard.
    let mut hear = async || {
        let heard = timeout(PATIENCE, async {
            let from = told;
            loop {
                told += 1;
                let body = Bytes::copy_from_slice(&told.to_be_bytes());
                worker.notices().publish(Notice { topic: Topic::Outcome, body });
                if let Ok(notice) = timeout(Duration::from_millis(50), outcomes.next()).await
                    && notice.unwrap().body[..] > from.to_be_bytes()[..]
                {
                    return;
                }
            }
        });
        heard.await.expect("it is told");
    };
    hear().await;
    assert_eq!(place.sqlite().execute("DELETE FROM listener", []).unwrap(), 1);
    // Who takes work looks who listens.
    publish(&worker, Lane::Work, &[message(1)]).await;
    ack(next(&mut consumer(&worker, Lane::Work, 1).await).await).await;
    hear().await;
}
