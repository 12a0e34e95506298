//! `cfr dead-letters` and `cfr explain`: the real command on a running installation's queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Output},
    sync::Arc,
};

use cognigy_fallback_router::{
    app::{self, Running},
    config::{self, Role, Sources},
    message::{Lane, Message},
    metrics::Metrics,
    queue::{Depths, Queue},
    shutdown::Shutdown,
    trigger::TriggerId,
};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    queue::exercise::{consumer, dead::bury, depths, drain, now},
    support::{
        app::{CALLBACK, COMPLETIONS, World, accepted, assert_signed, client, run, trigger},
        broker,
        stub::Reply,
    },
};

/// A queue of its own, as the services' environment names it.
pub(crate) struct Place {
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) world: World,
    folder: TempDir,
    _node: Option<broker::Shared>,
}

impl Place {
    pub(crate) async fn embedded() -> Self {
        let (world, folder) = (World::start().await, TempDir::new().unwrap());
        let mut environment = world.environment();
        environment.insert("CFR__QUEUE__BACKEND".into(), "embedded".into());
        let directory = folder.path().join("queue").to_str().unwrap().to_owned();
        environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".into(), directory);
        environment.insert("USER".into(), "olga".into());
        Self { environment, world, folder, _node: None }
    }

    pub(crate) async fn broker() -> Self {
        let mut place = Self::embedded().await;
        let node = broker::shared().await;
        place.environment.insert("CFR__QUEUE__BACKEND".into(), "rabbitmq".into());
        place.environment.insert("AMQP_URL".into(), node.vhost().await.url);
        place._node = Some(node);
        place
    }

    /// The same, while no other test uses the node.
    pub(crate) async fn broker_alone() -> (Self, broker::Alone) {
        let mut place = Self::embedded().await;
        let node = broker::alone().await;
        place.environment.insert("CFR__QUEUE__BACKEND".into(), "rabbitmq".into());
        place.environment.insert("AMQP_URL".into(), node.vhost().await.url);
        (place, node)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfr"));
        command.args(arguments).env_clear().envs(&self.environment).current_dir(self.folder.path());
        command
    }

    /// Runs `cfr` to its end.
    pub(crate) async fn cfr(&self, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Said::of(&output)
    }

    /// Runs `cfr` to its end on a terminal of its own; everything that it shows there.
    pub(crate) async fn on_a_terminal(&self, arguments: &[&str]) -> String {
        let mut line = Command::new("script");
        let words = [&[env!("CARGO_BIN_EXE_cfr")], arguments].concat().join(" ");
        line.args(["--quiet", "--return", "--command", &words, "/dev/null"]);
        line.env_clear().envs(&self.environment).env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
        line.current_dir(self.folder.path());
        let output = tokio::task::spawn_blocking(move || line.output().unwrap()).await.unwrap();
        Said::of(&output).well()
    }

    pub(crate) async fn queue(&self) -> Arc<dyn Queue> {
        let sources = Sources { file: None, environment: self.environment.clone() };
        let config = config::load_unchecked(&sources).unwrap();
        let queue = app::connect(&config, &Arc::new(Metrics::new("test").unwrap())).await.unwrap();
        queue.ready().await.unwrap();
        queue
    }

    pub(crate) async fn serve(&self) -> (Running, Shutdown) {
        let shutdown = Shutdown::default();
        let running = run(&self.environment, Role::Serve, shutdown.clone()).await;
        running.queue.ready().await.unwrap();
        (running, shutdown)
    }
}

pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It succeeded; what it said.
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self.out
    }

    /// The lines of the audit log.
    fn audit(&self) -> Vec<Value> {
        let lines = self.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "audit").collect()
    }
}

fn dead(count: u64) -> Depths {
    Depths { dead: count, ..Depths::default() }
}

/// An outcome that nobody wanted, seen, explained and replayed: posted again under its id, byte for byte.
async fn the_life_of_a_dead_letter(place: Place) {
    let (running, shutdown) = place.serve().await;
    place.world.sink.next(CALLBACK, Reply::status(410));
    let id = accepted(&client(), &running, &trigger()).await.to_string();
    depths(&running.queue, dead(1)).await;

    let listed = place.cfr(&["dead-letters", "list", "--json"]).await.well();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["reason"]), (&json!(id), &json!("callback_rejected")), "{listed}");
    assert_eq!((&listed[0]["lane"], &listed[0]["profile"]), (&json!("outcome"), &json!("default")));
    let table = place.cfr(&["dead-letters", "list"]).await.well();
    let conversation = trigger()["conversationId"].as_str().unwrap().to_owned();
    assert!(table.contains(&id) && !table.contains(&conversation), "{table}");

    let masked = place.cfr(&["dead-letters", "show", &id]).await;
    assert!(masked.audit().is_empty());
    let masked = masked.well();
    for hidden in [conversation.as_str(), "user-external-9876", "I can help you", "business", "webchat"] {
        assert!(!masked.contains(hidden), "{hidden} is shown in {masked}");
    }
    assert!(masked.contains("<masked: ") && masked.contains("password_reset"), "{masked}");
    let revealed = place.cfr(&["dead-letters", "show", &id, "--reveal"]).await;
    let audit = revealed.audit();
    assert_eq!(audit.len(), 1, "{}", revealed.err);
    assert_eq!((&audit[0]["event"], &audit[0]["operator"]), (&json!("dead_letters_revealed"), &json!("olga")));
    let revealed = revealed.well();
    assert!(revealed.contains("I can help you") && revealed.contains(&conversation), "{revealed}");

    let explained = place.cfr(&["explain", &id]).await.well();
    let parts = ["accepted", "work attempt 1: success", "(1 calls, 340 + 85 tokens)", "callback tries since then: 1"];
    for part in parts.into_iter().chain(["callback try 1: rejected"]) {
        assert!(explained.contains(part), "{part} is missing in {explained}");
    }

    assert!(place.cfr(&["dead-letters", "replay", "--dry-run"]).await.well().contains("1 would be replayed"));
    assert!(place.cfr(&["dead-letters", "replay", "--reason", "poison"]).await.well().starts_with("0 replayed"));
    depths(&running.queue, dead(1)).await;
    let fits = place.cfr(&["dead-letters", "replay", "--dry-run", "--json"]).await.well();
    assert_eq!(serde_json::from_str::<Value>(&fits).unwrap()[0]["id"], json!(id));
    let replayed = place.cfr(&["dead-letters", "replay", &id, "--json"]).await;
    assert_eq!(replayed.audit()[0]["ids"], id.as_str(), "{}", replayed.err);
    assert!(
        replayed.err.lines().all(|line| line.starts_with('{')),
        "no bar where there is no terminal: {}",
        replayed.err
    );
    let replayed: Value = serde_json::from_str(&replayed.well()).unwrap();
    assert_eq!((&replayed["replayed"], &replayed["failure"]), (&json!([id]), &Value::Null), "{replayed}");
    let id: TriggerId = id.parse().unwrap();
    let callbacks = place.world.callbacks_of(id, 2).await;
    assert_eq!(callbacks[0].body, callbacks[1].body);
    assert_signed(&callbacks[1]);
    depths(&running.queue, Depths::default()).await;
    assert_eq!(place.world.llm.requests().len(), 1, "the model was not asked again");

    let unknown = place.cfr(&["explain", &id.to_string()]).await.well();
    assert!(unknown.contains("is not among the dead letters") && unknown.contains("grep"), "{unknown}");
    assert_eq!(place.cfr(&["dead-letters", "replay", &id.to_string()]).await.code, Some(1));
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_seen_explained_and_replayed_on_the_embedded_queue() {
    the_life_of_a_dead_letter(Place::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_seen_explained_and_replayed_on_rabbitmq() {
    the_life_of_a_dead_letter(Place::broker().await).await;
}

/// A trigger whose worker did not know its profile is decided anew, in time by its new deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_trigger_is_decided_anew_and_is_not_late() {
    let place = Place::embedded().await;
    let queue = place.queue().await;
    let mut message = old_trigger();
    let dead_letter = cognigy_fallback_router::message::Disposition::DeadLetter {
        reason: cognigy_fallback_router::message::Reason::Unreadable,
    };
    for profile in ["default", "unheard-of"] {
        message.envelope.profile = profile.into();
        queue.publisher().publish(Lane::Late, &message).await.unwrap();
        let delivery = consumer(&queue, Lane::Late, 1).await.next().await.unwrap().unwrap();
        delivery.settle(dead_letter.clone()).await.unwrap();
    }
    depths(&queue, dead(2)).await;
    let refused = place.cfr(&["dead-letters", "replay"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.out.starts_with("1 replayed") && refused.out.contains("no such profile"), "{}", refused.out);
    queue.close().await;
    let (running, shutdown) = place.serve().await;
    let outcome = place.world.callback_of(message.envelope.trigger_id).await.json();
    assert_eq!((&outcome["status"], &outcome["meta"]["late"]), (&json!("success"), &Value::Null), "{outcome}");
    assert_eq!(place.world.llm.requests_to(COMPLETIONS).len(), 1);
    depths(&running.queue, dead(1)).await;
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
}

/// A trigger that was accepted an hour ago.
fn old_trigger() -> Message {
    let mut message = crate::queue::exercise::message(1);
    message.envelope.stored_at = None;
    message.envelope.callback = None;
    message.envelope.accepted_at = now().minus(std::time::Duration::from_secs(3_600));
    message.envelope.deadline = message.envelope.accepted_at.plus(std::time::Duration::from_secs(30));
    message.body = trigger().to_string().into();
    message
}

/// Killed midway and run again: each dead letter is in the outcome lane, as often as the backend promises.
async fn a_killed_replay(place: Place, most_doubles: usize) {
    const COUNT: u32 = 60;
    let queue = place.queue().await;
    let sent: BTreeSet<_> = bury(&queue, COUNT).await.into_iter().map(|message| message.envelope.trigger_id).collect();
    let mut first = place.command(&["dead-letters", "replay", "--rate", "50"]).spawn().unwrap();
    while queue.depths().await.unwrap().outcome < 10 {
        tokio::task::yield_now().await;
    }
    kill(nix::unistd::Pid::from_raw(i32::try_from(first.id()).unwrap()), Signal::SIGKILL).unwrap();
    first.wait().unwrap();
    let moved = queue.depths().await.unwrap().outcome;
    assert!(moved < u64::from(COUNT), "it was killed too late to prove anything");
    // What it held is back once its death was noticed.
    while queue.depths().await.unwrap().dead < u64::from(COUNT) - moved {
        tokio::task::yield_now().await;
    }
    place.cfr(&["dead-letters", "replay"]).await.well();
    let there = queue.depths().await.unwrap();
    assert_eq!(there.dead, 0);
    let total = usize::try_from(there.outcome).unwrap();
    assert!(total <= sent.len() + most_doubles, "{total} of {} are there", sent.len());
    let seen = drain(&mut consumer(&queue, Lane::Outcome, 16).await, total).await;
    assert_eq!(seen.into_keys().collect::<BTreeSet<_>>(), sent);
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replay_that_is_run_again_loses_and_doubles_none_on_the_embedded_queue() {
    a_killed_replay(Place::embedded().await, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replay_that_is_run_again_loses_none_on_rabbitmq() {
    a_killed_replay(Place::broker().await, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purging_wants_a_yes_and_looking_fifty_times_loses_none() {
    for place in [Place::embedded().await, Place::broker().await] {
        let queue = place.queue().await;
        let sent = bury(&queue, 3).await;
        let id = sent[1].envelope.trigger_id.to_string();
        for _ in 0..25 {
            place.cfr(&["dead-letters", "list"]).await.well();
            place.cfr(&["dead-letters", "show", &id]).await.well();
        }
        let refused = place.cfr(&["dead-letters", "purge"]).await;
        assert!(refused.code == Some(1) && refused.err.contains("--yes"), "{}", refused.err);
        depths(&queue, dead(3)).await;
        let purged = place.cfr(&["dead-letters", "purge", "--yes", &id]).await;
        assert_eq!(purged.audit()[0]["event"], "dead_letters_purged");
        assert!(purged.well().starts_with("1 purged"));
        depths(&queue, dead(2)).await;
        queue.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_queue_is_an_error_that_says_what_to_do_and_makes_nothing() {
    let mut place = Place::embedded().await;
    let said = place.cfr(&["dead-letters", "list"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("holds no queue") && said.err.contains("queue.embedded.directory"), "{}", said.err);
    assert!(!place.folder.path().join("queue").exists());
    place.environment.insert("CFR__QUEUE__BACKEND".into(), "rabbitmq".into());
    place.environment.insert("AMQP_URL".into(), "amqp://guest:guest@127.0.0.1:1/%2f".into());
    let said = place.cfr(&["dead-letters", "list"]).await;
    assert!(said.code == Some(1) && said.err.contains("AMQP_URL"), "{}", said.err);
}

/// The waits of single tries, on a receiver that takes nothing until the outcome is too old.
async fn tries_and_waits_are_told(mut place: Place) {
    place.environment.insert("CFR__PROFILES__DEFAULT__CALLBACK__MAX_AGE".into(), "4s".into());
    let (running, shutdown) = place.serve().await;
    place.world.sink.always(CALLBACK, Reply::status(503));
    let id = accepted(&client(), &running, &trigger()).await.to_string();
    depths(&running.queue, dead(1)).await;
    let explained = place.cfr(&["explain", &id]).await.well();
    for part in
        ["callback try 1: unavailable, then a wait of 1.0 s", "callback try 2: unavailable\n", "callback_expired"]
    {
        assert!(explained.contains(part), "{part} is missing in {explained}");
    }
    place.world.sink.always(CALLBACK, Reply::status(410));
    place.cfr(&["dead-letters", "replay", &id]).await.well();
    place.world.callbacks_of(id.parse().unwrap(), 3).await;
    depths(&running.queue, dead(1)).await;
    let explained = place.cfr(&["explain", &id]).await.well();
    for part in ["callback try 2: unavailable\n", "replayed into the outcome lane", "callback try 1: rejected"] {
        assert!(explained.contains(part), "{part} is missing in {explained}");
    }
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_tells_each_try_and_its_wait_on_the_embedded_queue() {
    tries_and_waits_are_told(Place::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_tells_each_try_and_its_wait_on_rabbitmq() {
    tries_and_waits_are_told(Place::broker().await).await;
}
