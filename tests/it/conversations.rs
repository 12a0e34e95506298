//! Whole conversations between a customer, the simulated Cognigy and CXone, and the real ingress and worker: what is not
//! understood, the trigger, the history, the model, the way back, and the flow's next turn.

mod endpoint;

use std::{collections::BTreeMap, time::Duration};

use cognigy_fallback_router::{
    app::Running,
    config::Role,
    secret::Secret,
    shutdown::Shutdown,
    simulators::{
        CALLBACK_SECRET, CXONE_ACCESS_KEY_ID, CXONE_ACCESS_KEY_SECRET, CXONE_CLIENT_ID, CXONE_CLIENT_SECRET,
        EndpointAnswer, LLM_API_KEY, Line, RouterAccess, SimulatedChannel, Simulators, Speaker,
    },
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::app::{WEBHOOK_SECRET, run};

const AMPLE: Duration = Duration::from_secs(60);
const MISSED: &str = "My password link is dead";
const PROFILE: &str = "CFR__PROFILES__DEFAULT__";

struct Stage {
    simulators: Simulators,
    running: Running,
    shutdown: Shutdown,
    _directory: TempDir,
}

/// Settings for the simulated world; callbacks go the way of `mode`.
fn environment(simulators: &Simulators, mode: &str, directory: &TempDir) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("COGNIGY_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("COGNIGY_CALLBACK_SECRET", CALLBACK_SECRET),
        ("COGNIGY_CALLBACK_URL", simulators.endpoint.url()),
        ("CXONE_CLIENT_ID", CXONE_CLIENT_ID),
        ("CXONE_CLIENT_SECRET", CXONE_CLIENT_SECRET),
        ("CXONE_ACCESS_KEY_ID", CXONE_ACCESS_KEY_ID),
        ("CXONE_ACCESS_KEY_SECRET", CXONE_ACCESS_KEY_SECRET),
        ("LLM_GATEWAY_BASE_URL", simulators.llm.url()),
        ("LLM_GATEWAY_API_KEY", LLM_API_KEY),
        ("CFR__INGRESS__LISTEN", "127.0.0.1:0"),
        ("CFR__INGRESS__LIMITS__DRAIN_DELAY", "0s"),
        ("CFR__ADMIN__LISTEN", "127.0.0.1:0"),
        ("CFR__QUEUE__BACKEND", "embedded"),
        ("CFR__QUEUE__EMBEDDED__DIRECTORY", directory.path().to_str().unwrap()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let own = [
        ("CALLBACK__MODE", mode),
        ("CALLBACK__EGRESS__ALLOW_HTTP", "true"),
        ("CALLBACK__EGRESS__ALLOW_PRIVATE_CIDRS", "[\"127.0.0.0/8\"]"),
        ("HISTORY__PROVIDER", "cxone_digital"),
        ("HISTORY__CXONE_DIGITAL__ENVIRONMENT_URL", simulators.cxone.url()),
        ("HISTORY__CXONE_DIGITAL__EGRESS__ALLOW_HTTP", "true"),
        ("HISTORY__CXONE_DIGITAL__EGRESS__ALLOW_PRIVATE_CIDRS", "[\"127.0.0.0/8\"]"),
    ];
    environment.extend(own.map(|(key, value)| (format!("{PROFILE}{key}"), value.to_owned())));
    environment
}

impl Stage {
    async fn start(mode: &str, changes: &[(&str, &str)]) -> Self {
        Self::holding(mode, changes, Duration::from_secs(15)).await
    }

    /// The same, with a flow that holds its turns for so long.
    async fn holding(mode: &str, changes: &[(&str, &str)], wait: Duration) -> Self {
        let (simulators, directory) = (Simulators::start().await.unwrap(), TempDir::new().unwrap());
        let mut environment = environment(&simulators, mode, &directory);
        environment.extend(changes.iter().map(|(key, value)| (format!("{PROFILE}{key}"), (*value).to_owned())));
        let shutdown = Shutdown::default();
        let running = run(&environment, Role::Serve, shutdown.clone()).await;
        let ingress = format!("http://{}", running.webhook.unwrap());
        let router = RouterAccess::new(&ingress, "default", Secret::new(WEBHOOK_SECRET), wait).unwrap();
        simulators.endpoint.connect(router);
        Self { simulators, running, shutdown, _directory: directory }
    }

    fn open(&self, channel: SimulatedChannel) -> String {
        self.simulators.endpoint.open(channel)
    }

    async fn say(&self, session: &str, text: &str) {
        timeout(AMPLE, self.simulators.endpoint.say(session, text)).await.unwrap().unwrap();
    }

    /// Everything the bot has said, once that is `count` lines.
    async fn bot_said(&self, session: &str, count: usize) -> Vec<String> {
        let lines = timeout(AMPLE, self.simulators.endpoint.said(session, count)).await;
        let lines =
            lines.unwrap_or_else(|_| panic!("the bot said only {:?}", bot(&self.simulators.endpoint.lines(session))));
        bot(&lines)
    }

    /// What the model was asked last, as text.
    fn asked(&self) -> String {
        self.simulators.llm.requests().last().unwrap().to_string()
    }

    async fn stop(self) {
        self.shutdown.drain.cancel();
        assert!(self.running.ended().await.unwrap());
        self.simulators.stop().await;
    }
}

fn bot(lines: &[Line]) -> Vec<String> {
    lines.iter().filter(|line| line.speaker == Speaker::Bot).map(|line| line.text.clone()).collect()
}

fn contains(said: &[String], part: &str) -> usize {
    said.iter().filter(|line| line.contains(part)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webchat_gets_its_answer_injected_and_goes_on() {
    let stage = Stage::start("cognigy-inject", &[]).await;
    let session = stage.open(SimulatedChannel::Webchat);
    stage.say(&session, "Hello").await;
    stage.say(&session, MISSED).await;
    let said = stage.bot_said(&session, 3).await;
    assert_eq!(
        (contains(&said, "I am the assistant"), contains(&said, "One moment"), contains(&said, "password")),
        (1, 1, 1)
    );
    assert_eq!(stage.simulators.endpoint.turns(&session), 3, "two of the customer's, one of the result's");
    assert!(!stage.simulators.endpoint.handed_over(&session));
    // The history came from CXone: what the bot had said before was in the prompt.
    assert!(stage.asked().contains("I am the assistant"), "{}", stage.asked());
    assert!(stage.simulators.cxone.case_lists_given() > 0);
    stage.say(&session, "Thank you").await;
    assert_eq!(stage.bot_said(&session, 4).await[3], "You are welcome.");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voice_call_brings_its_history_along_and_gets_its_answer_injected() {
    let stage = Stage::start("cognigy-inject", &[]).await;
    let session = stage.open(SimulatedChannel::Voice);
    stage.say(&session, "Hello").await;
    stage.say(&session, MISSED).await;
    let said = stage.bot_said(&session, 3).await;
    assert_eq!(contains(&said, "password"), 1, "{said:?}");
    assert!(stage.asked().contains("I am the assistant"));
    assert_eq!(stage.simulators.cxone.case_lists_given(), 0, "CXone is not asked for what the trigger brings");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cxone_text_bot_holds_its_turn_for_the_answer() {
    let stage = Stage::start("none", &[]).await;
    let session = stage.open(SimulatedChannel::CxoneText);
    stage.say(&session, "Hello").await;
    stage.say(&session, MISSED).await;
    let said = bot(&stage.simulators.endpoint.lines(&session));
    assert_eq!((said.len(), contains(&said, "password")), (2, 1), "it is there when the turn ends: {said:?}");
    assert!(stage.asked().contains("I am the assistant"));
    assert!(stage.simulators.endpoint.injected().is_empty());
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cxone_text_bot_whose_answer_takes_too_long_asks_for_it_in_the_next_turn() {
    let stage = Stage::holding("none", &[], Duration::from_secs(1)).await;
    let session = stage.open(SimulatedChannel::CxoneText);
    // The gateway wants to be left alone for a second, so the answer comes after the turn.
    stage.say(&session, &format!("sim:rate-limit {MISSED}")).await;
    assert_eq!(bot(&stage.simulators.endpoint.lines(&session)), ["One moment, please."]);
    for turn in 2.. {
        stage.say(&session, "And?").await;
        let said = bot(&stage.simulators.endpoint.lines(&session));
        assert_eq!(said.len(), turn);
        if contains(&said, "password") == 1 {
            break;
        }
        assert_eq!(said.last().unwrap(), "One moment, please.");
    }
    assert_eq!(stage.simulators.llm.calls(), 2, "one 429, one answer: asking for an outcome asks no model");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_who_wants_a_human_and_one_whose_model_is_away_are_handed_over() {
    let stage = Stage::start("cognigy-inject", &[]).await;
    for text in ["I want a human", "sim:refusal My thing is broken"] {
        let session = stage.open(SimulatedChannel::Webchat);
        stage.say(&session, text).await;
        stage.bot_said(&session, 2).await;
        assert!(stage.simulators.endpoint.handed_over(&session), "{text}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notified_answer_is_shown_past_the_flow() {
    let stage = Stage::start("cognigy-notify", &[]).await;
    let session = stage.open(SimulatedChannel::Webchat);
    stage.say(&session, MISSED).await;
    let said = stage.bot_said(&session, 2).await;
    assert_eq!(contains(&said, "password"), 1, "{said:?}");
    assert_eq!(stage.simulators.endpoint.turns(&session), 1);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rerouted_message_runs_the_intent_that_was_found() {
    let changes = [
        ("CALLBACK__COGNIGY__REROUTE", "true"),
        ("CALLBACK__COGNIGY__REROUTE_NAMES__PASSWORD_RESET", "Reset Password"),
    ];
    let stage = Stage::start("cognigy-inject", &changes).await;
    let session = stage.open(SimulatedChannel::Webchat);
    stage.say(&session, MISSED).await;
    let said = stage.bot_said(&session, 2).await;
    assert_eq!(contains(&said, "(the flow's own answer to Reset Password)"), 1, "{said:?}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_away_is_tried_again_and_the_answer_shown_once() {
    let stage = Stage::start("cognigy-inject", &[]).await;
    let session = stage.open(SimulatedChannel::Webchat);
    stage.simulators.endpoint.answer_next(1, EndpointAnswer::Refuse(503));
    stage.say(&session, MISSED).await;
    let said = stage.bot_said(&session, 2).await;
    assert_eq!(contains(&said, "password"), 1);
    assert_eq!((stage.simulators.endpoint.refused(), stage.simulators.endpoint.injected().len()), (1, 1));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_perhaps_taken_is_not_injected_again() {
    let stage = Stage::start("cognigy-inject", &[]).await;
    let session = stage.open(SimulatedChannel::Webchat);
    stage.simulators.endpoint.answer_next(1, EndpointAnswer::TakeAndSay(500));
    stage.say(&session, MISSED).await;
    stage.bot_said(&session, 2).await;
    let letter = async {
        loop {
            match stage.running.queue.dead_letters(10).await.unwrap().first() {
                Some(letter) => return letter.reason.as_str(),
                None => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(timeout(AMPLE, letter).await.unwrap(), "callback_unknown");
    assert_eq!(stage.simulators.endpoint.injected().len(), 1);
    assert_eq!(stage.simulators.llm.calls(), 1);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_for_a_session_that_has_ended_reaches_nobody_and_harms_nobody() {
    let stage = Stage::start("cognigy-inject", &[]).await;
    let (ended, other) = (stage.open(SimulatedChannel::Webchat), stage.open(SimulatedChannel::Webchat));
    stage.simulators.endpoint.set_session_life(Duration::ZERO);
    stage.say(&ended, MISSED).await;
    // The new session by that name knows nothing of the old one's lines.
    let said = loop {
        // In this order: lines that were read before the new session came are those of the old one.
        let came = stage.simulators.endpoint.unread() == 1;
        let lines = stage.simulators.endpoint.lines(&ended);
        if came && !lines.is_empty() {
            break lines;
        }
        tokio::task::yield_now().await;
    };
    assert!(said.iter().all(|line| line.speaker == Speaker::Bot), "{said:?}");
    assert!(stage.simulators.endpoint.lines(&other).is_empty());
    stage.stop().await;
}
