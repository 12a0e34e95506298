//! `cfr queues`: makes the queues with an account that may, so that the services' accounts need not.

use std::path::PathBuf;

use clap::Subcommand;
use cognigy_fallback_router::{
    config::{self, Sources},
    operator,
};

use crate::{operate::listen, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Declare exchanges, queues and bindings, or make the embedded queue's files; what is there stays as it is.
    Declare,
}

pub(crate) fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    let Verb::Declare = arguments.verb;
    let config = config::load_unchecked(&Sources::of_process(file))?;
    listen(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let inspection = operator::declare_queues(&config).await?;
        say(&format!("{}: everything is declared", inspection.version));
        Ok(())
    })
}
