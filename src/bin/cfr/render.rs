//! `cfr render`: the prompt of a trigger, for those who write templates.

use std::path::PathBuf;

use anyhow::Context as _;
use cognigy_fallback_router::{
    app,
    config::{self, Sources},
    trigger::TriggerBody,
};

use crate::say;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A file with the trigger's JSON; its `history` stands in for the fetched conversation.
    #[arg(long)]
    trigger: PathBuf,
    /// The profile whose templates, intents and redaction are used.
    #[arg(long, default_value = "default")]
    profile: String,
    /// One JSON object with `system` and `user` instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    let config = config::load_unchecked(&Sources::of_process(file))?;
    let bytes =
        std::fs::read(&arguments.trigger).with_context(|| format!("{} cannot be read", arguments.trigger.display()))?;
    let body = TriggerBody::parse(&bytes).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|p| format!("  {} {}", p.pointer, p.message)).collect();
        anyhow::anyhow!("{} is not a trigger:\n{}", arguments.trigger.display(), lines.join("\n"))
    })?;
    let prompt = app::preview(&config, &arguments.profile, &body)?;
    if arguments.json {
        say(&serde_json::json!({"system": prompt.system, "user": prompt.user}).to_string());
    } else {
        say(&format!("--- system ---\n{}\n--- user ---\n{}", prompt.system, prompt.user));
    }
    Ok(())
}
