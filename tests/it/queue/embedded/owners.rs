//! Processes that die or freeze while they hold messages. The other process is this test program, started again.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use cognigy_fallback_router::{
    message::{Disposition, Lane},
    queue::Depths,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Embedded, connect};
use crate::queue::exercise::{Backend, WIDE, ack, consumer, depths, drain, messages, next, nothing, publish};

/// Tells this program that it is the other process, and where the queue is.
const DIRECTORY: &str = "CFR_TEST_OTHER_PROCESS";
const SAYS: &str = "the other process says ";

/// Another process that takes two deliveries of the work lane, holds them, and settles them when it is told.
struct OtherProcess {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl OtherProcess {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "queue::embedded::owners::the_other_process"])
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, says }
    }

    /// Waits for what it says next; it says so within its own time limits, or ends.
    fn hear(&mut self) -> String {
        self.says
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once(SAYS).map(|(_, said)| said.to_owned()))
            .expect("the other process ended")
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let queue = connect(&PathBuf::from(directory), WIDE).await.unwrap();
    let mut work = consumer(&queue, Lane::Work, 4).await;
    let (first, second) = (next(&mut work).await, next(&mut work).await);
    say("holding");
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).unwrap();
    say(&format!("{:?}", first.settle(Disposition::Ack).await));
    while second.is_live() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    say("not live");
    say(&format!("{:?}", second.hand_over(Lane::Outcome, &messages(1)[0]).await));
    std::io::stdin().read_line(&mut told).unwrap();
}

#[expect(clippy::print_stdout, reason = "it is read by the test that started this process")]
fn say(what: &str) {
    // On a line of its own: the test harness prints beside us.
    println!("\n{SAYS}{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_held_goes_to_another_at_once() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(4)).await;
    let mut other = OtherProcess::start(&place.directory());
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
    let mut other = OtherProcess::start(&place.directory());
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
    let mut other = OtherProcess::start(&place.directory());
    assert_eq!(other.hear(), "holding");
    other.signal(Signal::SIGSTOP);
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
    assert_eq!(other.hear(), "Ok(WillReturn)");
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
    assert_eq!(lost.settle(Disposition::Ack).await, Ok(cognigy_fallback_router::queue::Settled::WillReturn));
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
    publish(&queue, Lane::Work, &messages(20)).await;
    let mut work = consumer(&other, Lane::Work, 1).await;
    assert_eq!(drain(&mut work, 20).await.len(), 20);
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
