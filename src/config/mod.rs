//! Settings: compiled-in defaults, one TOML file over them, then the environment. Nothing else reads the environment.

mod check;
mod check_history;
mod environment;
mod layers;
pub mod manual;
mod prints;
mod profile;
mod secrets;
mod unreadable;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use config::{Map, Value};
use serde::Deserialize;

use self::layers::{deserialised, merged};
pub use self::{
    prints::{Print, Prints, files_print},
    profile::{Profile, Webhook},
};
use crate::{admin, console, ingress, otlp, queue, telemetry, worker};

/// The defaults of everything but the profiles; also the manual of these keys.
pub const DEFAULTS: &str = include_str!("default.toml");
/// The defaults of every profile; also the manual of these keys.
pub const PROFILE_DEFAULTS: &str = include_str!("profile.toml");

/// All settings.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// `[ingress]`
    pub ingress: ingress::Config,
    /// `[admin]`
    pub admin: admin::Config,
    /// `[console]`
    pub console: console::Config,
    /// `[queue]`
    pub queue: QueueConfig,
    /// `[worker]`
    pub worker: worker::Config,
    /// `[templates]`
    pub templates: TemplatesConfig,
    /// `[log]`
    pub log: telemetry::Config,
    /// `[traces]`
    pub traces: otlp::Config,
    /// `[reload]`
    pub reload: ReloadConfig,
    /// `[profiles.NAME]`
    pub profiles: BTreeMap<String, Profile>,
}

impl Config {
    /// How long a replayed trigger of each profile has until its answer is worthless.
    #[must_use]
    pub fn deadlines(&self) -> BTreeMap<String, Duration> {
        self.profiles.iter().map(|(name, profile)| (name.clone(), profile.deadline)).collect()
    }
}

/// `[queue]`
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct QueueConfig {
    /// Which backend.
    pub backend: Backend,
    /// Ready triggers over which new ones are refused.
    #[schemars(extend("x-unit" = "triggers"))]
    pub soft_limit: u64,
    /// `[queue.rabbitmq]`
    pub rabbitmq: queue::rabbitmq::Config,
    /// `[queue.embedded]`
    pub embedded: queue::embedded::Config,
}

/// The queue backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A RabbitMQ broker or cluster.
    Rabbitmq,
    /// A directory of one machine.
    Embedded,
}

impl Backend {
    /// The name in the settings, and in traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rabbitmq => "rabbitmq",
            Self::Embedded => "embedded",
        }
    }
}

/// `[templates]`
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct TemplatesConfig {
    /// Where the template sets are; without it only the compiled-in set `default`.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

/// `[reload]`
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct ReloadConfig {
    /// Time between two looks at the settings' files; `0s`: only SIGHUP makes the process read them again.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub interval: Duration,
}

/// What a process does, and so which settings it cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts triggers.
    Ingress,
    /// Decides and delivers.
    Worker,
    /// Both, in one process.
    Serve,
    /// Neither: shows operators how the others fare.
    Console,
}

impl Role {
    /// The name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Worker => "worker",
            Self::Serve => "serve",
            Self::Console => "console",
        }
    }

    /// True for a process that answers webhooks.
    #[must_use]
    pub fn accepts(self) -> bool {
        matches!(self, Self::Ingress | Self::Serve)
    }

    /// True for a process that has the operators' page.
    #[must_use]
    pub fn shows(self) -> bool {
        matches!(self, Self::Console | Self::Serve)
    }

    /// True for a process that decides and delivers.
    #[must_use]
    pub fn works(self) -> bool {
        matches!(self, Self::Worker | Self::Serve)
    }
}

/// Where settings come from; tests give their own.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The TOML file, if there is one.
    pub file: Option<PathBuf>,
    /// The environment's variables.
    pub environment: BTreeMap<String, String>,
}

/// Settings, and what is doubtful about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Sentences for the log at start.
    pub warnings: Vec<String>,
    /// What they were made from, to tell later what has changed.
    pub prints: Prints,
}

/// Everything that is wrong with the settings, a sentence each.
#[derive(Debug, thiserror::Error)]
#[error("the settings cannot be used:\n{}", .0.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
pub struct Unusable(pub Vec<String>);

impl Sources {
    /// The process's own: `file`, else the variable `CFR_CONFIG`; the environment over a `.env` file where present.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        // A missing .env file is the normal case; variables that are set win over it.
        let mut environment: BTreeMap<String, String> =
            dotenvy::dotenv_iter().into_iter().flatten().flatten().collect();
        environment.extend(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        let file = file.or_else(|| environment.get("CFR_CONFIG").map(PathBuf::from));
        Self { file, environment }
    }
}

/// Reads, merges and checks the settings for a role.
///
/// # Errors
/// [`Unusable`], with every problem that can be told apart.
pub fn load(sources: &Sources, role: Role) -> Result<Loaded, Unusable> {
    load_from(sources, role, |_| ())
}

/// Does the same on a machine that has none of the deployment's secrets and certificates: what only files and variables
/// of the deployment can hold is taken as given.
///
/// # Errors
/// As [`load`].
pub fn load_offline(sources: &Sources, role: Role) -> Result<Loaded, Unusable> {
    load_from(sources, role, secrets::assume)
}

fn load_from(sources: &Sources, role: Role, assume: impl FnOnce(&mut Map<String, Value>)) -> Result<Loaded, Unusable> {
    let files = files_print(sources);
    let mut problems = Vec::new();
    let mut tree = merged(sources, &mut problems).map_err(|problem| Unusable(vec![problem]))?;
    assume(&mut tree);
    let prints = Prints { files, ..prints::of_tree(&tree) };
    secrets::resolve(&mut tree, &mut problems);
    let config = deserialised(&tree, &mut problems);
    let mut warnings = Vec::new();
    if let Some(config) = &config {
        check::check(config, role, &mut problems, &mut warnings);
    }
    match config {
        Some(mut config) if problems.is_empty() => {
            config.profiles.values_mut().for_each(Profile::complete);
            Ok(Loaded { config, warnings, prints })
        }
        _ => Err(Unusable(problems)),
    }
}

/// Reads and merges the settings without asking whether a role could run on them: for looking at templates.
///
/// # Errors
/// [`Unusable`] for what cannot be read at all.
pub fn load_unchecked(sources: &Sources) -> Result<Config, Unusable> {
    let mut problems = Vec::new();
    let mut tree = merged(sources, &mut problems).map_err(|problem| Unusable(vec![problem]))?;
    secrets::resolve(&mut tree, &mut problems);
    let config = deserialised(&tree, &mut problems);
    config.filter(|_| problems.is_empty()).ok_or(Unusable(problems))
}
