//! `cfr doctor`: what is wrong with a deployment.

use std::path::PathBuf;

use anyhow::ensure;
use cognigy_fallback_router::{
    config::{self, Sources},
    operator::doctor::{self, Examination, Verdict},
};
use serde_json::{Value, json};

use crate::{check_config::RoleName, operate::listen, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The process that this machine and its settings are for.
    #[arg(long, value_enum, default_value = "serve")]
    role: RoleName,
    /// Where the gateway lists no models, ask the first one for one token.
    #[arg(long)]
    spend: bool,
    /// One JSON array instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    let sources = Sources::of_process(file);
    if let Ok(config) = config::load_unchecked(&sources) {
        listen(&config)?;
    }
    let examination = Examination { role: arguments.role.role(), spend: arguments.spend };
    let mut failed = 0;
    let mut findings = Vec::new();
    let examined = doctor::examine(&sources, examination, |finding| {
        failed += usize::from(finding.verdict == Verdict::Fail);
        if arguments.json {
            findings.push(json!({
                "verdict": finding.verdict.as_str(), "subject": finding.subject, "sentence": finding.sentence,
            }));
        } else {
            say(&finding.to_string());
        }
    });
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(examined);
    if arguments.json {
        say(&Value::from(findings).to_string());
    }
    ensure!(failed == 0, "{failed} checks failed");
    Ok(())
}
