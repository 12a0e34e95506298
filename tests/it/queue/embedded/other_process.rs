//! Another process on the same queue: this test program, started again with a part to play.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use cognigy_fallback_router::{
    message::{Disposition, Lane},
    queue::Queue,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use tokio::time::timeout;

use super::connect;
use crate::queue::exercise::{PATIENCE, WIDE, consumer, message, messages, next, publish};

/// Tell this program where the queue is, and what to do with it.
const DIRECTORY: &str = "CFR_TEST_DIRECTORY";
const PART: &str = "CFR_TEST_PART";
const SAYS: &str = "the other process says ";

/// What it does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// Takes two deliveries of the work lane, says `holding`, and tries to settle them when it is told.
    Holds,
    /// Hands all work over to the outcome lane, and says each trigger.
    HandsOver,
    /// Publishes work without end, and says each trigger once it is confirmed.
    Publishes,
}

/// It is killed at the latest when this is dropped.
pub(super) struct OtherProcess {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl OtherProcess {
    pub(super) fn start(directory: &Path, part: Part) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "queue::embedded::other_process::the_other_process"])
            .env(DIRECTORY, directory)
            .env(PART, format!("{part:?}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, says }
    }

    /// Waits for what it says next. It has its own time limits: it says something, or it ends.
    pub(super) fn hear(&mut self) -> String {
        self.hear_on().next().expect("the other process ended")
    }

    /// What else it said before it ended.
    pub(super) fn last_words(&mut self) -> Vec<String> {
        self.hear_on().collect()
    }

    fn hear_on(&mut self) -> impl Iterator<Item = String> {
        let lines = self.says.by_ref().map_while(Result::ok);
        lines.filter_map(|line| line.split_once(SAYS).and_then(|(_, said)| said.strip_suffix('.')).map(str::to_owned))
    }

    pub(super) fn tell(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let queue = connect(&PathBuf::from(directory), WIDE).await.unwrap();
    match std::env::var_os(PART).unwrap().to_str().unwrap() {
        "Holds" => hold(&queue).await,
        "HandsOver" => hand_over(&queue).await,
        _ => publish_on(&queue).await,
    }
}

#[expect(clippy::print_stdout, reason = "it is read by the test that started this process")]
fn say(what: &str) {
    // On a line of its own, as the test harness prints beside us; the full stop tells a whole line from a cut one.
    println!("\n{SAYS}{what}.");
}

async fn hold(queue: &Arc<dyn Queue>) {
    let mut work = consumer(queue, Lane::Work, 4).await;
    let (first, second) = (next(&mut work).await, next(&mut work).await);
    say("holding");
    let mut told = String::new();
    std::io::stdin().read_line(&mut told).unwrap();
    say(&format!("{:?}", first.settle(Disposition::Ack).await));
    let over = timeout(PATIENCE, async {
        while second.is_live() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    say(if over.await.is_ok() { "not live" } else { "still live" });
    say(&format!("{:?}", second.hand_over(Lane::Outcome, &message(1)).await));
    std::io::stdin().read_line(&mut told).unwrap();
}

async fn hand_over(queue: &Arc<dyn Queue>) {
    let mut work = consumer(queue, Lane::Work, 16).await;
    loop {
        let delivery = next(&mut work).await;
        tokio::spawn(async move {
            let outcome = delivery.message.clone();
            let id = outcome.envelope.trigger_id.to_string();
            delivery.hand_over(Lane::Outcome, &outcome).await.unwrap();
            say(&id);
        });
    }
}

async fn publish_on(queue: &Arc<dyn Queue>) {
    loop {
        let sent = messages(1);
        publish(queue, Lane::Work, &sent).await;
        say(&sent[0].envelope.trigger_id.to_string());
    }
}
