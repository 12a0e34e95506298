//! `cfr bench`: what this machine can do, from the signed request to the signed callback.
//!
//! Ingress and worker are processes of their own, so that their time and memory are theirs alone; the load and the
//! simulated neighbours are this process. All of it shares the machine: as a sizing it errs on the safe side.

mod children;
mod load;
mod report;
mod soak;
mod stage;

use std::time::Duration;

use anyhow::Context as _;
use cognigy_fallback_router::shutdown::Shutdown;

use self::stage::Stage;
use crate::say;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Triggers to send in each part.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    triggers: u32,
    /// A RabbitMQ to use instead of the embedded queue. Its queues must be empty and unused: what is in them is taken.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    amqp_url: Option<String>,
    /// Requests under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Slots of the worker.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    slots: u16,
    /// Worker processes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    workers: u32,
    /// Milliseconds that the simulated model takes.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    latency_ms: u64,
    /// One in so many calls of the simulated model takes --slow-ms instead.
    #[arg(long, requires = "slow_ms", value_parser = clap::value_parser!(u32).range(2..=1_000))]
    slow_one_in: Option<u32>,
    /// Milliseconds that those calls take.
    #[arg(long, requires = "slow_one_in", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    slow_ms: Option<u64>,
    /// Ask once more beside a call that takes long (llm.hedge).
    #[arg(long)]
    hedge: bool,
    /// Triggers a second while the time from request to callback is measured.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Calls a second that the simulated gateway takes, the others get 429; the workers find it out (llm.adaptive).
    #[arg(long)]
    gateway_limit: Option<f64>,
    /// Bytes of a customer's message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    message_bytes: u32,
    /// Bytes of a conversation that comes along with each trigger, in 50 turns; without it the conversation is fetched.
    #[arg(long, value_parser = clap::value_parser!(u32).range(50..=50_000))]
    history_bytes: Option<u32>,
    /// Turns of a conversation that is fetched.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    turns: u32,
    /// Profiles that the triggers are for, in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=200))]
    profiles: u32,
    /// Seconds of a steady load afterwards, at seven tenths of what was decided a second: memory and open files are
    /// watched, and the run fails where they grow. Raise --limit-s with it.
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    soak_s: Option<u64>,
    /// Seconds after which the whole run ends with an error.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit_s: u64,
    /// The figures as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = Shutdown::on_signals().context("the signal handlers cannot be installed")?.drain;
        let limit = Duration::from_secs(arguments.limit_s);
        let measured = tokio::select! {
            measured = tokio::time::timeout(limit, measure(arguments)) => measured,
            () = stop.cancelled() => anyhow::bail!("stopped"),
        };
        let figures =
            measured.with_context(|| format!("not done after {} s: fewer --triggers", arguments.limit_s))??;
        say(&if arguments.json { figures.as_json() } else { figures.in_words() });
        match figures.growth() {
            Some(what) => anyhow::bail!("under a steady load {what}"),
            None => Ok(()),
        }
    })
}

async fn measure(arguments: &Arguments) -> anyhow::Result<report::Figures> {
    let mut stage = Stage::build(arguments).await?;
    let accepted = stage.accept().await?;
    let decided = stage.decide().await?;
    let timed = if arguments.gateway_limit.is_none() { Some(stage.time().await?) } else { None };
    let soaked = match arguments.soak_s {
        Some(seconds) => Some(stage.soak(Duration::from_secs(seconds), 0.7 * decided.rate()).await?),
        None => None,
    };
    stage.end().await;
    Ok(report::Figures::new(arguments, accepted, decided, timed, soaked))
}
