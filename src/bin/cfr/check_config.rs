//! `cfr check-config`: whether a process would start with these settings.

use std::{path::PathBuf, process::ExitCode};

use clap::ValueEnum;
use cognigy_fallback_router::{
    app,
    config::{self, DEFAULTS, Loaded, PROFILE_DEFAULTS, Role, Sources},
};

use crate::{say, say_problem};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The process that the settings are for.
    #[arg(long, value_enum, default_value = "serve")]
    role: RoleName,
    /// Print every setting with its default and meaning, and check nothing.
    #[arg(long)]
    reference: bool,
    /// Fail on doubtful settings, too.
    #[arg(long)]
    deny_warnings: bool,
    /// Replay the test cases in this folder, too; those in the template sets' folders `cases` are always replayed.
    #[arg(long)]
    cases: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    Ingress,
    Worker,
    Serve,
}

impl RoleName {
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Ingress => Role::Ingress,
            Self::Worker => Role::Worker,
            Self::Serve => Role::Serve,
        }
    }
}

pub(crate) fn run(file: Option<PathBuf>, arguments: &Arguments) -> ExitCode {
    if arguments.reference {
        say(&format!("{DEFAULTS}\n{PROFILE_DEFAULTS}"));
        return ExitCode::SUCCESS;
    }
    let role = arguments.role.role();
    let Loaded { config, warnings } = match config::load(&Sources::of_process(file), role) {
        Ok(loaded) => loaded,
        Err(unusable) => return refuse(&unusable.to_string()),
    };
    for warning in &warnings {
        say(&format!("doubtful: {warning}"));
    }
    // Templates, patterns, URLs: whatever the parts themselves find when they are built.
    if let Err(error) = app::try_parts(&config, role) {
        return refuse(&format!("{error:#}"));
    }
    match app::replay_cases(&config, arguments.cases.as_deref()) {
        Ok(0) => {}
        Ok(count) => say(&format!("{count} test cases end as they did")),
        Err(error) => return refuse(&format!("{error:#}")),
    }
    if arguments.deny_warnings && !warnings.is_empty() {
        return ExitCode::from(app::EX_CONFIG);
    }
    let profiles = config.profiles.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    say(&format!("the settings can be used by {} (profiles: {profiles})", role.as_str()));
    ExitCode::SUCCESS
}

fn refuse(problem: &str) -> ExitCode {
    say_problem(problem);
    ExitCode::from(app::EX_CONFIG)
}
