//! Notices: heard by whoever listens, and in nobody's way.

use bytes::Bytes;
use cognigy_fallback_router::queue::notice::{Notice, NoticeReader, Topic};

use super::*;

/// Tells numbered heartbeats on `queue` until each of `readers` heard one; what each heard.
async fn heard(queue: &Arc<dyn Queue>, readers: &mut [NoticeReader]) -> Vec<u32> {
    let notices = queue.notices();
    let mut heard = vec![None; readers.len()];
    let all = timeout(PATIENCE, async {
        for number in 0_u32.. {
            let body = Bytes::copy_from_slice(&number.to_be_bytes());
            notices.publish(Notice { topic: Topic::Heartbeat, body });
            for (reader, heard) in readers.iter_mut().zip(&mut heard).filter(|(_, heard)| heard.is_none()) {
                let next = timeout(Duration::from_millis(50), reader.next()).await;
                if let Ok(notice) = next {
                    *heard = Some(u32::from_be_bytes(notice.unwrap().body[..].try_into().unwrap()));
                }
            }
            if heard.iter().all(Option::is_some) {
                return;
            }
        }
    });
    assert!(all.await.is_ok(), "heard: {heard:?}");
    heard.into_iter().flatten().collect()
}

/// The numbers that a reader hears, up to and with `last`.
async fn up_to(reader: &mut NoticeReader, last: u32) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        let notice = timeout(PATIENCE, reader.next()).await.expect("the last one").unwrap();
        assert_eq!(notice.topic, Topic::Heartbeat);
        numbers.push(u32::from_be_bytes(notice.body[..].try_into().unwrap()));
    }
    numbers
}

pub(crate) async fn a_notice_is_heard_once_on_every_connection_by_those_who_listen_to_its_topic(
    backend: &impl Backend,
) {
    let (teller, other) = (backend.open(WIDE).await, backend.open(WIDE).await);
    let mut readers = [&teller, &other, &other].map(|queue| queue.notices().subscribe(&[Topic::Heartbeat]));
    let mut stories = other.notices().subscribe(&[Topic::Story]);
    heard(&teller, &mut readers).await;
    // From here on everybody listens, so everybody hears the same.
    let notices = teller.notices();
    for number in 1_000_u32..1_020 {
        notices.publish(Notice { topic: Topic::Outcome, body: Bytes::from_static(b"of another topic") });
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        notices.publish(Notice { topic: Topic::Heartbeat, body });
    }
    for reader in &mut readers {
        let numbers = up_to(reader, 1_019).await;
        let (before, after): (Vec<_>, Vec<_>) = numbers.into_iter().partition(|number| *number < 1_000);
        assert_eq!(after, (1_000..1_020).collect::<Vec<_>>());
        assert!(before.is_sorted_by(|a, b| a < b), "{before:?}");
    }
    assert!(timeout(MOMENT, stories.next()).await.is_err(), "nobody told a story");
    other.close().await;
    teller.close().await;
    assert!(timeout(PATIENCE, stories.next()).await.unwrap().is_none(), "the queue is closed");
}

pub(crate) async fn notices_that_nobody_reads_hold_up_nothing(backend: &impl Backend) {
    let (teller, deaf) = (backend.open(WIDE).await, backend.open(WIDE).await);
    let mut readers = [deaf.notices().subscribe(&[Topic::Heartbeat])];
    let _unread = deaf.notices().subscribe(&[Topic::Outcome]);
    heard(&teller, &mut readers).await;
    let body = Bytes::from(vec![b'x'; 16 * 1024]);
    for _ in 0..3_000 {
        teller.notices().publish(Notice { topic: Topic::Outcome, body: body.clone() });
    }
    publish(&teller, Lane::Work, &messages(20)).await;
    let mut work = consumer(&deaf, Lane::Work, 4).await;
    assert_eq!(drain(&mut work, 20).await.len(), 20);
    heard(&teller, &mut readers).await;
    // One who stopped listening may begin again.
    drop((_unread, readers));
    heard(&teller, &mut [deaf.notices().subscribe(&[Topic::Heartbeat])]).await;
}

pub(crate) async fn what_was_told_before_is_not_heard_later(backend: &impl Backend) {
    let teller = backend.open(WIDE).await;
    teller.notices().publish(Notice { topic: Topic::Heartbeat, body: Bytes::from(u32::MAX.to_be_bytes().to_vec()) });
    let late = backend.open(WIDE).await;
    let mut readers = [teller.notices().subscribe(&[Topic::Heartbeat]), late.notices().subscribe(&[Topic::Heartbeat])];
    assert!(!heard(&teller, &mut readers).await.contains(&u32::MAX));
}
