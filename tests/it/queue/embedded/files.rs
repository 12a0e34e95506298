//! Files and directories that are not as they should be.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use cognigy_fallback_router::{
    message::{Lane, Reason},
    queue::{Depths, QueueError},
};
use rusqlite::Connection;
use tokio::time::timeout;

use super::{Embedded, connect};
use crate::queue::exercise::{
    Backend, PATIENCE, WIDE, consumer, depths, drain, message, messages, next, nothing, publish, until,
};

/// Why the queue in that directory cannot be used.
async fn refusal(directory: &Path) -> String {
    match connect(directory, WIDE).await {
        Err(QueueError::Unusable(why)) => why,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it was opened"),
    }
}

/// The refusal of a file with this content, which must stay as it is.
async fn refusal_of(content: &[u8]) -> String {
    let place = Embedded::start().await;
    fs::create_dir(place.directory()).unwrap();
    fs::write(place.file(), content).unwrap();
    let why = refusal(&place.directory()).await;
    assert!(why.contains(place.file().to_str().unwrap()), "it names the file: {why}");
    assert_eq!(fs::read(place.file()).unwrap(), content, "the file was changed");
    why
}

#[tokio::test]
async fn a_file_that_is_no_queue_is_refused_and_left_as_it_is() {
    for content in [&b"short"[..], &[0; 100], &[b'x'; 10_000], b"SQLite format 3\0"] {
        let why = refusal_of(content).await;
        assert!(why.contains("is not a queue file; move it away"), "{why}");
    }
}

#[tokio::test]
async fn the_file_of_another_program_is_refused_and_left_as_it_is() {
    let other = tempfile::NamedTempFile::new().unwrap();
    Connection::open(other.path()).unwrap().execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 3").unwrap();
    let why = refusal_of(&fs::read(other.path()).unwrap()).await;
    assert!(why.contains("another program"), "{why}");
}

#[tokio::test]
async fn the_file_of_a_newer_version_is_refused() {
    let place = Embedded::start().await;
    place.open(WIDE).await.close().await;
    place.sqlite().execute_batch("PRAGMA user_version = 99").unwrap();
    let why = refusal(&place.directory()).await;
    assert!(why.contains("newer version") && why.contains("schema 99"), "{why}");
}

#[tokio::test]
async fn the_file_of_an_older_version_is_brought_up_to_date_with_what_is_in_it() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(3)).await;
    queue.close().await;
    // The first version knew no dead letters in an operator's hands.
    place
        .sqlite()
        .execute_batch(
            "DROP TABLE held; DROP TABLE notice; DROP TABLE listener; DROP TABLE consumer; PRAGMA user_version = 1",
        )
        .unwrap();
    let queue = place.open(WIDE).await;
    drain(&mut consumer(&queue, Lane::Work, 4).await, 3).await;
    assert!(queue.take_dead_letters(1).await.unwrap().is_empty());
    queue.close().await;
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_a_way_out() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(200)).await;
    queue.close().await;
    let mut content = fs::read(place.file()).unwrap();
    let middle = content.len() / 2;
    content[middle..middle + 8192].fill(0xaa);
    fs::write(place.file(), &content).unwrap();
    let why = refusal(&place.directory()).await;
    assert!(why.contains("damaged") && why.contains(".recover"), "{why}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_or_written_is_refused_with_what_to_do() {
    let place = Embedded::start().await;
    fs::write(place.directory(), "a file where the directory should be").unwrap();
    let why = refusal(&place.directory()).await;
    assert!(why.contains("write access") && why.contains(place.directory().to_str().unwrap()), "{why}");

    let place = Embedded::start().await;
    fs::create_dir_all(place.file()).unwrap();
    let why = refusal(&place.directory()).await;
    assert!(why.contains("write access"), "{why}");

    let place = Embedded::start().await;
    fs::create_dir(place.directory()).unwrap();
    fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write everywhere, so that there is nothing to refuse.
    if fs::write(place.directory().join("probe"), "").is_err() {
        let why = refusal(&place.directory()).await;
        assert!(why.contains("write access"), "{why}");
    }
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_made() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(1)).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.directory()), 0o700);
    for file in fs::read_dir(place.directory()).unwrap().flatten().filter(|file| file.path().is_file()) {
        assert_eq!(mode(&file.path()), 0o600, "{}", file.path().display());
    }
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_make_the_same_queue_at_once() {
    let place = Embedded::start().await;
    let directory = place.directory();
    let opening = (0..8).map(|_| {
        let directory = directory.clone();
        tokio::spawn(async move { connect(&directory, WIDE).await.unwrap() })
    });
    let mut queues = Vec::new();
    for open in opening.collect::<Vec<_>>() {
        queues.push(open.await.unwrap());
    }
    for queue in &queues {
        publish(queue, Lane::Work, &messages(1)).await;
    }
    drain(&mut consumer(&queues[0], Lane::Work, 4).await, 8).await;
    for queue in queues {
        queue.close().await;
    }
    let left: Vec<_> = fs::read_dir(directory.join("owners")).unwrap().flatten().map(|file| file.file_name()).collect();
    assert_eq!(left, ["opening"], "lock files are removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_removed_in_use_is_noticed_before_more_is_promised() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    let mut work = consumer(&queue, Lane::Work, 1).await;
    fs::remove_file(place.file()).unwrap();
    let noticed = timeout(PATIENCE, work.next()).await.expect("an answer");
    assert!(matches!(noticed, Err(QueueError::Unusable(why)) if why.contains("removed or replaced")));
    assert!(matches!(queue.publisher().admit(), Err(QueueError::Unreachable(_))));
    assert!(matches!(queue.publisher().publish(Lane::Work, &message(1)).await, Err(QueueError::Unusable(_))));
    assert!(!queue.is_connected());
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_program_holds_the_file_nothing_is_promised_and_then_all_goes_on() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    let publisher = queue.publisher();
    let sqlite = place.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    let blocked = timeout(PATIENCE, publisher.publish(Lane::Work, &message(1))).await.expect("an answer in time");
    assert!(matches!(blocked, Err(QueueError::Unknown(_) | QueueError::Refused { .. })), "{blocked:?}");
    until(|| matches!(publisher.admit(), Err(QueueError::Refused { reason: "blocked", .. }))).await;
    assert!(!queue.is_connected());
    sqlite.execute_batch("ROLLBACK").unwrap();
    until(|| publisher.admit().is_ok()).await;
    publish(&queue, Lane::Work, &messages(1)).await;
    let mut work = consumer(&queue, Lane::Work, 4).await;
    drain(&mut work, 1).await;
    // What was answered "unknown" to a caller who left was not stored after all.
    nothing(&mut work).await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_is_left_to_the_operator() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(3)).await;
    place.sqlite().execute("UPDATE message SET headers = 'nonsense' WHERE id = 2", []).unwrap();
    drain(&mut consumer(&queue, Lane::Work, 8).await, 2).await;
    depths(&queue, Depths { dead: 1, ..Depths::default() }).await;
    let dead = queue.dead_letters(10).await.unwrap();
    assert_eq!(dead[0].reason, Reason::Unreadable);
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_without_its_message_does_not_stop_the_lane() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(3)).await;
    place.sqlite().execute("DELETE FROM message WHERE id = 1", []).unwrap();
    drain(&mut consumer(&queue, Lane::Work, 1).await, 2).await;
    depths(&queue, Depths::default()).await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_outlives_its_consumer_and_its_queue_handle() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(2)).await;
    let mut work = consumer(&queue, Lane::Work, 2).await;
    let held = next(&mut work).await;
    drop(work);
    crate::queue::exercise::ack(held).await;
    depths(&queue, Depths { work: 1, ..Depths::default() }).await;
    let mut work = consumer(&queue, Lane::Work, 2).await;
    let held = next(&mut work).await;
    assert_eq!(held.returns, 0, "it was prefetched but never handed out");
    drop((work, queue));
    drop(held);
    // Nobody closed it: the writer gives back what it held and leaves by itself.
    let again = place.open(WIDE).await;
    let delivery = next(&mut consumer(&again, Lane::Work, 2).await).await;
    assert_eq!(delivery.returns, 1);
    again.close().await;
}
