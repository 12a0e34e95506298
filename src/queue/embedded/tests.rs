//! What cannot be had from outside: a disk with no room left, and one that gets some again.

use std::{collections::HashSet, time::SystemTime};

use uuid::Uuid;

use super::*;
use crate::{
    message::{Disposition, Envelope, Message},
    queue::Settled,
};

const LIMITS: Limits = Limits { soft_limit: 10_000, reserve: Duration::from_secs(2) };

/// A queue whose file may grow by so many pages.
fn open_with_room(directory: &Path, pages: u32) -> EmbeddedQueue {
    let file = directory.join(FILE);
    let opened = open_files(directory, &file).unwrap();
    let used: u32 = opened.writing.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    opened.writing.query_row(&format!("PRAGMA max_page_count = {}", used + pages), [], |_| Ok(())).unwrap();
    EmbeddedQueue::start(directory.into(), file, opened, LIMITS, Arc::new(Metrics::new("test").unwrap())).unwrap()
}

fn message() -> Message {
    let accepted_at = SystemTime::now().into();
    let id = TriggerId(Uuid::now_v7());
    let envelope = Envelope {
        trigger_id: id,
        accepted_at,
        deadline: accepted_at.plus(Duration::from_secs(300)),
        attempt: 1,
        reason: None,
        ..headers::unreadable()
    };
    Message { envelope, body: vec![0; 4_000].into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_it_cannot_keep_and_the_queue_goes_on_when_there_is_room() {
    let directory = tempfile::TempDir::new().unwrap();
    let queue = open_with_room(directory.path(), 40);
    let publisher = queue.publisher();
    let mut kept = HashSet::new();
    let refusal = loop {
        let message = message();
        match publisher.publish(Lane::Work, &message).await {
            Ok(()) => kept.insert(message.envelope.trigger_id),
            Err(error) => break error,
        };
    };
    assert!(matches!(refusal, QueueError::Refused { reason: "disk full", retry_after: Some(_) }), "{refusal}");
    assert!(kept.len() > 10, "only {} fit", kept.len());
    assert!(matches!(publisher.admit(), Err(QueueError::Refused { reason: "blocked", .. })));
    assert!(!queue.is_connected());

    let mut work = queue.consumer(Lane::Work, NonZeroU16::MIN).await.unwrap();
    while !kept.is_empty() {
        let delivery = timeout(CLOSING, work.next()).await.unwrap().unwrap().unwrap();
        assert!(kept.remove(&delivery.message.envelope.trigger_id), "it was refused, or comes twice");
        assert_eq!(delivery.settle(Disposition::Ack).await, Ok(Settled::Done));
    }
    assert!(queue.is_connected());
    assert_eq!(publisher.admit(), Ok(()));
    publisher.publish(Lane::Work, &message()).await.unwrap();
    queue.close().await;
}
