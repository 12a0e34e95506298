//! What is wrong with a deployment: one finding a line, each with what to do. It changes nothing and asks no model,
//! unless it is told that it may spend.

mod history;
mod queue;
mod upstreams;

use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::{
    app,
    config::{self, Config, Loaded, Role, Sources},
    metrics::Metrics,
    signature::{Scheme, weak},
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but somebody should look.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How the check ended.
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: String,
    /// What was found, and what to do about it.
    pub sentence: String,
}

impl Finding {
    fn new(verdict: Verdict, subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { verdict, subject: subject.into(), sentence: sentence.into() }
    }

    fn ok(subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, subject, sentence)
    }

    fn warn(subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::new(Verdict::Warn, subject, sentence)
    }

    fn fail(subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, subject, sentence)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict.as_str();
        write!(f, "{verdict:<4}  {:<10}  {}", self.subject, self.sentence)
    }
}

/// What to examine.
#[derive(Clone, Copy, Debug)]
pub struct Examination {
    /// For which process.
    pub role: Role,
    /// A call that costs a token may be made where nothing else tells whether a model answers.
    pub spend: bool,
}

/// Examines everything, and tells each finding as it comes.
pub async fn examine(sources: &Sources, examination: Examination, mut tell: impl FnMut(Finding)) {
    let Some(config) = settings(sources, examination.role, &mut tell) else { return };
    queue::examine(&config, examination.role, &mut tell).await;
    let Ok(metrics) = Metrics::new("cfr").map(Arc::new) else { return };
    for (name, profile) in &config.profiles {
        if examination.role.works() {
            history::examine(name, profile, &metrics, &mut tell).await;
            upstreams::model(name, profile, examination.spend, &metrics, &mut tell).await;
        }
        upstreams::callback(name, profile, &mut tell).await;
    }
}

/// The settings' own findings; the settings, if they can be read at all.
fn settings(sources: &Sources, role: Role, tell: &mut impl FnMut(Finding)) -> Option<Config> {
    const SUBJECT: &str = "settings";
    let config = match config::load(sources, role) {
        Ok(Loaded { config, warnings, .. }) => {
            warnings.into_iter().for_each(|warning| tell(Finding::warn(SUBJECT, warning)));
            match app::try_parts(&config, role) {
                Ok(()) => tell(Finding::ok(SUBJECT, format!("can be used by {}", role.as_str()))),
                Err(error) => tell(Finding::fail(SUBJECT, format!("{error:#}"))),
            }
            config
        }
        Err(config::Unusable(problems)) => {
            let told: BTreeSet<_> = problems.into_iter().collect();
            told.into_iter().for_each(|problem| tell(Finding::fail(SUBJECT, problem)));
            config::load_unchecked(sources).ok()?
        }
    };
    for (name, profile) in &config.profiles {
        // Keyed as scheme `standard` is, with fewer bytes than its text has where that is base64.
        if profile.callback.secrets.iter().any(|secret| weak(Scheme::Standard, secret)) {
            let sentence = format!(
                "profiles.{name}.callback.secrets: a secret is shorter than 32 bytes and may be guessed; 32 random bytes \
                 (`openssl rand -hex 32`) would be right"
            );
            tell(Finding::warn(SUBJECT, sentence));
        }
    }
    Some(config)
}
