//! `cfr config`: what can be set, for people and for editors.

use anyhow::Error;
use clap::Subcommand;
use cognigy_fallback_router::config::manual;

use crate::say;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Every setting with its variable, default, unit and meaning, as a Markdown page.
    Reference,
    /// A JSON Schema of the settings file.
    Schema,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.verb {
        Verb::Reference => say(manual::reference().map_err(Error::msg)?.trim_end()),
        Verb::Schema => say(&serde_json::to_string_pretty(&manual::schema().map_err(Error::msg)?)?),
    }
    Ok(())
}
