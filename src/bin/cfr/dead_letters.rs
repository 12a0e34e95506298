//! `cfr dead-letters`: what waits for an operator, and what becomes of it.

mod report;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::ensure;
use clap::Subcommand;
use cognigy_fallback_router::{
    dead_letters::{self, Filter, MOST, Order, Progress, shown},
    message::Reason,
    time::EpochMs,
    trigger::TriggerId,
};
use serde_json::Value;

use self::report::{during, told};
use crate::{
    bar::bar,
    operate::{Desk, operate},
    say,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List them, the oldest first.
    List {
        #[command(flatten)]
        which: Which,
        /// One JSON array instead of a table.
        #[arg(long)]
        json: bool,
        /// Show conversation ids instead of their hashes; noted in the audit log.
        #[arg(long)]
        reveal: bool,
    },
    /// Show the headers and the masked body of one.
    Show {
        id: TriggerId,
        /// One JSON object on one line.
        #[arg(long)]
        json: bool,
        /// Show what the customer and the model wrote; noted in the audit log.
        #[arg(long)]
        reveal: bool,
    },
    /// Send them on their way again: outcomes are posted again, triggers decided anew, all under their old ids.
    Replay {
        #[command(flatten)]
        which: Which,
        /// Only say which ones.
        #[arg(long)]
        dry_run: bool,
        /// No more than this many a second.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        rate: Option<u32>,
        /// One JSON object with what was done; with --dry-run an array of those that fit.
        #[arg(long)]
        json: bool,
    },
    /// Forget them for good.
    Purge {
        #[command(flatten)]
        which: Which,
        /// Really.
        #[arg(long)]
        yes: bool,
        /// One JSON object with what was done; without --yes an array of those that fit.
        #[arg(long)]
        json: bool,
    },
}

/// Which dead letters are meant.
#[derive(clap::Args)]
struct Which {
    /// Only those of these triggers.
    ids: Vec<TriggerId>,
    /// Only those that died of this: callback_rejected, callback_expired, callback_unknown, poison, …
    #[arg(long, value_parser = reason)]
    reason: Option<Reason>,
    /// Only those of this profile.
    #[arg(long)]
    profile: Option<String>,
    /// Only those accepted within this time: 90s, 15m, 2h, 1d.
    #[arg(long, value_parser = duration)]
    since: Option<Duration>,
    /// No more than this many, the oldest first.
    #[arg(long, default_value_t = MOST)]
    limit: usize,
}

fn reason(name: &str) -> Result<Reason, String> {
    let names = || Reason::ALL.map(Reason::as_str).join(", ");
    Reason::from_name(name).ok_or_else(|| format!("there is no such reason; one of {} would be right", names()))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())
}

impl Which {
    fn filter(&self) -> Filter {
        let now = EpochMs::from(SystemTime::now());
        let accepted_after = self.since.map(|since| now.minus(since));
        Filter { ids: self.ids.clone(), reason: self.reason, profile: self.profile.clone(), accepted_after }
    }
}

pub(crate) fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    operate(file, async |desk| match &arguments.verb {
        Verb::List { which, json, reveal } => list(desk, which, *json, *reveal).await,
        Verb::Show { id, json, reveal } => show(desk, *id, *json, *reveal).await,
        Verb::Replay { which, dry_run: true, json, .. } => would(desk, which, "be replayed", *json).await.map(drop),
        Verb::Replay { which, rate, json, .. } => replay(desk, which, *rate, *json).await,
        Verb::Purge { which, yes: false, json } => {
            let count = would(desk, which, "be purged", *json).await?;
            ensure!(count == 0, "nothing was purged; add --yes if you mean it");
            Ok(())
        }
        Verb::Purge { which, json, .. } => purge(desk, which, *json).await,
    })
}

async fn list(desk: &Desk, which: &Which, json: bool, reveal: bool) -> anyhow::Result<()> {
    let filter = which.filter();
    let mut letters = dead_letters::list(&*desk.queue, &filter).await?;
    letters.truncate(which.limit);
    let now = SystemTime::now().into();
    let lines: Vec<_> = letters.iter().map(|letter| shown::line(letter, now, reveal)).collect();
    if json {
        say(&Value::from(lines).to_string());
    } else {
        table(&lines);
        let all = desk.queue.depths().await?.dead;
        say(&format!("{} shown, {all} dead letters in all", letters.len()));
    }
    if reveal {
        let ids: Vec<_> = letters.iter().map(|letter| letter.message.envelope.trigger_id).collect();
        shown::note_reveal(&desk.operator, &filter.to_string(), &ids);
    }
    Ok(())
}

fn table(lines: &[Value]) {
    if lines.is_empty() {
        return;
    }
    let row = |cells: [&str; 7]| {
        let [id, age, profile, reason, lane, attempts, conversation] = cells;
        say(&format!("{id:<36}  {age:>8}  {profile:<12}  {reason:<17}  {lane:<7}  {attempts:>8}  {conversation}"));
    };
    row(["id", "age", "profile", "reason", "lane", "attempts", "conversation"]);
    for line in lines {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let age = shown::span(Duration::from_secs(line["age_s"].as_u64().unwrap_or_default()));
        let attempts = line["attempts"].to_string();
        row([text("id"), &age, text("profile"), text("reason"), text("lane"), &attempts, text("conversation")]);
    }
}

async fn show(desk: &Desk, id: TriggerId, json: bool, reveal: bool) -> anyhow::Result<()> {
    let filter = Filter { ids: vec![id], ..Filter::default() };
    let letters = dead_letters::list(&*desk.queue, &filter).await?;
    ensure!(
        !letters.is_empty(),
        "no dead letter has this id; `cfr dead-letters list` shows them, `cfr explain {id}` helps on"
    );
    for letter in &letters {
        let whole = shown::whole(letter, SystemTime::now().into(), reveal);
        say(&if json { whole.to_string() } else { serde_json::to_string_pretty(&whole)? });
    }
    if reveal {
        shown::note_reveal(&desk.operator, &filter.to_string(), &[id]);
    }
    Ok(())
}

/// Says which ones fit; how many.
async fn would(desk: &Desk, which: &Which, what: &str, json: bool) -> anyhow::Result<usize> {
    let mut letters = dead_letters::list(&*desk.queue, &which.filter()).await?;
    letters.truncate(which.limit);
    let now = SystemTime::now().into();
    let lines: Vec<_> = letters.iter().map(|letter| shown::line(letter, now, false)).collect();
    if json {
        say(&Value::from(lines).to_string());
    } else {
        table(&lines);
        say(&format!("{} would {what}", letters.len()));
    }
    Ok(letters.len())
}

async fn replay(desk: &Desk, which: &Which, rate: Option<u32>, json: bool) -> anyhow::Result<()> {
    let order = order(desk, which, rate.map(|rate| Duration::from_secs(1) / rate));
    let there = desk.queue.depths().await?.dead;
    let (bar, progress) = (bar("replaying", there.min(which.limit as u64)), order.progress.clone());
    let deadlines = desk.config.deadlines();
    let replaying = dead_letters::replay(&*desk.queue, &order, &deadlines, &desk.operator);
    let done = during(bar, &progress, replaying).await;
    told(&done, &which.ids, "replayed", json)
}

async fn purge(desk: &Desk, which: &Which, json: bool) -> anyhow::Result<()> {
    let done = dead_letters::purge(&*desk.queue, &order(desk, which, None), &desk.operator).await;
    told(&done, &which.ids, "purged", json)
}

fn order(desk: &Desk, which: &Which, pause: Option<Duration>) -> Order {
    Order { filter: which.filter(), limit: which.limit, pause, stop: desk.stop.clone(), progress: Progress::default() }
}
