//! `cfr check-config`: whether a process would start with these settings.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum;
use cognigy_fallback_router::{
    app,
    config::{self, DEFAULTS, Loaded, PROFILE_DEFAULTS, Role, Sources, Unusable},
};
use serde_json::json;

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
    /// For a machine that has none of the deployment's secrets and certificates: take those as given.
    #[arg(long)]
    offline: bool,
    /// One JSON object instead of sentences.
    #[arg(long)]
    json: bool,
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
    let sources = Sources::of_process(file);
    let checked = checked(&sources, role, arguments.offline, arguments.cases.as_deref());
    let Checked { problems, warnings, profiles, cases } = checked;
    let refused = arguments.deny_warnings && !warnings.is_empty();
    let usable = problems.is_empty() && !refused;
    if arguments.json {
        let report = json!({
            "role": role.as_str(), "usable": usable, "problems": problems, "warnings": warnings, "profiles": profiles,
            "cases": cases,
        });
        say(&report.to_string());
    } else {
        warnings.iter().for_each(|warning| say(&format!("doubtful: {warning}")));
        if !problems.is_empty() {
            say_problem(&Unusable(problems).to_string());
        } else if usable {
            if cases > 0 {
                say(&format!("{cases} test cases end as they did"));
            }
            say(&format!("the settings can be used by {} (profiles: {})", role.as_str(), profiles.join(", ")));
        } else {
            say_problem("doubtful settings are not wanted here: change them, or leave out --deny-warnings");
        }
    }
    if usable { ExitCode::SUCCESS } else { ExitCode::from(app::EX_CONFIG) }
}

/// What came out.
#[derive(Default)]
struct Checked {
    problems: Vec<String>,
    warnings: Vec<String>,
    profiles: Vec<String>,
    /// Test cases that end as they did.
    cases: usize,
}

fn checked(sources: &Sources, role: Role, offline: bool, cases: Option<&Path>) -> Checked {
    let loaded = if offline { config::load_offline(sources, role) } else { config::load(sources, role) };
    let Loaded { config, warnings, .. } = match loaded {
        Ok(loaded) => loaded,
        Err(Unusable(problems)) => return Checked { problems, ..Checked::default() },
    };
    // Templates, patterns, URLs: whatever the parts themselves find when they are built.
    let tried = app::try_parts(&config, role).and_then(|()| app::replay_cases(&config, cases));
    let problems = tried.as_ref().err().map(|error| format!("{error:#}")).into_iter().collect();
    Checked { problems, warnings, profiles: config.profiles.into_keys().collect(), cases: tried.unwrap_or_default() }
}
