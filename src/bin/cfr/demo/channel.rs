//! One whole conversation of a channel: a customer, the simulated Cognigy's flow, the router, and the way back.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cognigy_fallback_router::{
    shutdown::Shutdown,
    simulators::{Line, SimulatedChannel, Speaker},
};
use serde_json::Value;

use super::{PATIENCE, finished::FinishedTriggers, stage::Stage, stay};
use crate::say;

/// The channels, as they are named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Channel {
    /// Results are injected; the history is a digital case of CXone.
    Webchat,
    /// Results are injected; the history comes with the trigger.
    Voice,
    /// Nothing can be pushed: the flow holds its turn; the history is a digital case of CXone.
    CxoneText,
}

impl Channel {
    fn simulated(self) -> SimulatedChannel {
        match self {
            Self::Webchat => SimulatedChannel::Webchat,
            Self::Voice => SimulatedChannel::Voice,
            Self::CxoneText => SimulatedChannel::CxoneText,
        }
    }

    /// `callback.mode`.
    pub(super) fn mode(self) -> &'static str {
        match self {
            Self::Webchat | Self::Voice => "cognigy-inject",
            Self::CxoneText => "none",
        }
    }
}

/// How long the flow holds a turn; an Extension's node has 20 s.
const HOLD: Duration = Duration::from_secs(15);

/// What the customer says, and how many lines of the bot's answer it where results are injected: a routed message has
/// two, because the flow does not wait.
const TURNS: [(&str, usize); 4] =
    [("Hello", 1), ("My password link is dead", 2), ("Thank you", 1), ("I want to talk to a human", 2)];

pub(super) async fn play(channel: Channel, once: bool, finished: FinishedTriggers) -> anyhow::Result<()> {
    let signals = Shutdown::on_signals().context("the signal handlers cannot be installed")?;
    let mut stage = Stage::build(finished, Some(channel)).await?;
    stage.start_worker().await?;
    stage.simulators.endpoint.connect(stage.router_access(HOLD)?);
    say(&format!("ingress   {}   (queue: {})", stage.webhook_url(), stage.queue_place()));
    say(&format!("channel   {}   (callback.mode: {})\n", channel.simulated().endpoint_type(), channel.mode()));
    let played = tokio::select! {
        played = conversation(&stage, channel) => played,
        () = signals.drain.cancelled() => Ok(()),
    };
    if let Err(problem) = &played {
        say(&format!("   NOT AS IT SHOULD BE: {problem:#}"));
    }
    if !once {
        stay(&stage, &signals).await;
    }
    stage.clear().await?;
    played
}

async fn conversation(stage: &Stage, channel: Channel) -> anyhow::Result<()> {
    let endpoint = &stage.simulators.endpoint;
    let session = endpoint.open(channel.simulated());
    let (mut shown, mut answers) = (0, 0);
    for (text, lines) in TURNS {
        endpoint.say(&session, text).await?;
        // A held turn ends with its answer.
        answers += if channel.mode() == "none" { 1 } else { lines };
        let said = tokio::time::timeout(PATIENCE, endpoint.said(&session, answers)).await.context("no answer came")?;
        said[shown..].iter().for_each(tell);
        shown = said.len();
    }
    facts(stage, channel, &session)
}

fn tell(line: &Line) {
    let speaker = if line.speaker == Speaker::Customer { "customer" } else { "bot" };
    say(&format!("   {speaker:<9} {}", line.text));
}

/// Tells what went on behind the conversation, and whether it is as it should be.
fn facts(stage: &Stage, channel: Channel, session: &str) -> anyhow::Result<()> {
    let simulators = &stage.simulators;
    let (lists, calls) = (simulators.cxone.case_lists_given(), simulators.llm.calls());
    let injected = simulators.endpoint.injected();
    say(&format!("\n   history   lists of messages from CXone's digital case: {lists}; calls of the model: {calls}"));
    if let Some(body) = injected.first() {
        let body: Value = serde_json::from_slice(body)?;
        let pretty = serde_json::to_string_pretty(&body)?.replace('\n', "\n             ");
        say(&format!("   injected  results: {}; the first one:\n             {pretty}", injected.len()));
    }
    say(&format!("   flow      {} turns", simulators.endpoint.turns(session)));
    let asked = simulators.llm.requests().first().map(Value::to_string).unwrap_or_default();
    ensure!(calls == 2, "the model was called {calls} times, not twice");
    ensure!(asked.contains("I am the assistant"), "the history did not reach the model");
    ensure!((lists > 0) == (channel != Channel::Voice), "the history came from somewhere else");
    ensure!(injected.len() == if channel.mode() == "none" { 0 } else { 2 }, "the way back was another");
    ensure!(simulators.endpoint.handed_over(session), "the customer who wants a human was not handed over");
    say("   ok: understood, routed, answered, and the flow's next turn; then handed over to a human");
    Ok(())
}
