//! `cfr demo`: the real ingress and worker on the embedded queue, between simulated neighbours on loopback ports.

mod channel;
mod finished;
mod scenes;
mod stage;

use std::time::Duration;

use anyhow::Context as _;
use cognigy_fallback_router::{shutdown::Shutdown, simulators::CallbackAnswer};

use self::{channel::Channel, finished::FinishedTriggers, scenes::SCENES, stage::Stage};
use crate::say;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// End by itself: exit code 0 only if each trigger ended as it should.
    #[arg(long)]
    once: bool,
    /// Play one whole conversation of this channel instead, with the simulated Cognigy's flow and sessions.
    #[arg(long, value_enum)]
    channel: Option<Channel>,
}

/// How long a callback may take before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let finished = FinishedTriggers::listen()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.channel {
        None => runtime.block_on(play(arguments.once, finished)),
        Some(channel) => runtime.block_on(channel::play(channel, arguments.once, finished)),
    }
}

async fn play(once: bool, finished: FinishedTriggers) -> anyhow::Result<()> {
    let signals = Shutdown::on_signals().context("the signal handlers cannot be installed")?;
    let mut stage = Stage::build(finished, None).await?;
    say(&format!("ingress   {}   (queue: {})", stage.webhook_url(), stage.queue_place()));
    let mut failed = 0;
    for (number, scene) in SCENES.iter().enumerate() {
        say(&format!("\n{}  {}", number + 1, scene.title));
        let played = tokio::select! {
            played = scene.play(&mut stage) => played,
            () = signals.drain.cancelled() => break,
        };
        match played {
            Ok(()) => say("   ok"),
            Err(problem) => {
                failed += 1;
                say(&format!("   NOT AS IT SHOULD BE: {problem:#}"));
            }
        }
    }
    if !once {
        leave_dead_letters(&stage).await?;
        stay(&stage, &signals).await;
    }
    stage.clear().await?;
    anyhow::ensure!(failed == 0, "{failed} of {} did not end as they should", SCENES.len());
    say(&format!("\nall {} ended as they should", SCENES.len()));
    Ok(())
}

/// Leaves something to do in the console.
async fn leave_dead_letters(stage: &Stage) -> anyhow::Result<()> {
    const LEFT: [&str; 3] =
        ["Can I change my delivery date?", "My invoice is wrong", "Please call me back about my contract"];
    stage.simulators.cognigy.answer_next(LEFT.len(), CallbackAnswer::Status(410));
    for message in LEFT {
        let answer = stage.post(&scenes::trigger(message), true).await?;
        let id = answer.body["triggerId"].as_str().context("a trigger was not accepted")?;
        stage.dead_letter(id).await?;
    }
    say(&format!("\n{} more outcomes wait among the dead letters: replay them in the console.", LEFT.len()));
    Ok(())
}

async fn stay(stage: &Stage, signals: &Shutdown) {
    say("\nIt stays up until Ctrl-C. Post a trigger of your own:\n");
    say(&stage.sample_curl());
    say(&format!("\nconsole   {}\nmetrics   {}", stage.console_url(), stage.metrics_url()));
    signals.drain.cancelled().await;
}
