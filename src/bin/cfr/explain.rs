//! `cfr explain`: what happened to a trigger.

use std::{path::PathBuf, time::SystemTime};

use cognigy_fallback_router::{
    dead_letters::{self, Filter, MOST, shown},
    operator::explain,
    trigger::TriggerId,
};
use serde_json::json;

use crate::{operate::operate, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The trigger's id, as the 202 answer gave it.
    id: TriggerId,
    /// One JSON object instead of lines; what the customer wrote is masked.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    let id = arguments.id;
    operate(file, async |desk| {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        let letters = dead_letters::list(&*desk.queue, &filter).await?;
        if arguments.json {
            let now = SystemTime::now().into();
            let letters: Vec<_> = letters.iter().map(|letter| shown::whole(letter, now, false)).collect();
            say(&json!({ "id": id, "deadLetters": letters }).to_string());
            return Ok(());
        }
        for letter in &letters {
            say(&explain::timeline(letter).join("\n"));
        }
        if letters.is_empty() {
            let all = desk.queue.depths().await?.dead;
            let looked_at = MOST.min(usize::try_from(all).unwrap_or(MOST));
            say(&explain::unknown(id, looked_at, all).join("\n"));
        }
        Ok(())
    })
}
