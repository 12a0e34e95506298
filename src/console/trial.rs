//! What the playground does: renders a trigger by edited templates, and asks the models. Nothing is ever sent back.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::{sync::Semaphore, time::timeout};
use uuid::Uuid;

use super::{Bot, Console};
use crate::{
    callback,
    pipeline::{self, Decided},
    prompt::{Prompt, TemplateSet},
    time::EpochMs,
    trigger::{Trigger, TriggerBody, TriggerId},
};

/// Runs a minute, each of which may cost money.
pub(super) const RUNS: std::num::NonZeroU32 = std::num::NonZeroU32::new(20).unwrap();

/// Templates being compiled and rendered at once. One that never ends keeps its place, but not the page.
const RENDERING: usize = 2;

/// How long rendering may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Largest template and largest trigger, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// What holds trials back.
pub(super) struct Trials {
    runs: DefaultDirectRateLimiter,
    rendering: Arc<Semaphore>,
}

impl Default for Trials {
    fn default() -> Self {
        Self { runs: RateLimiter::direct(Quota::per_minute(RUNS)), rendering: Arc::new(Semaphore::new(RENDERING)) }
    }
}

/// What is to be tried.
#[derive(Clone, Default)]
pub(super) struct Attempt {
    pub(super) profile: String,
    pub(super) system: String,
    pub(super) user: String,
    pub(super) trigger: String,
}

/// A prompt, and what a run of it needs.
pub(super) struct Rendered {
    pub(super) prompt: Prompt,
    templates: TemplateSet,
    body: TriggerBody,
}

/// What came of a run.
pub(super) struct Ran {
    pub(super) decided: Decided,
    pub(super) mode: callback::Mode,
    /// The body of its callback, where that is more than the outcome.
    pub(super) wrapped: Option<serde_json::Value>,
}

/// Renders the prompt.
///
/// # Errors
/// A sentence a line.
pub(super) async fn render(console: &Arc<Console>, attempt: &Attempt) -> Result<Rendered, Vec<String>> {
    let too_large = [&attempt.system, &attempt.user, &attempt.trigger].into_iter().any(|text| text.len() > MAX_BYTES);
    if too_large {
        return Err(vec!["a template or the trigger is larger than 64 KiB".to_owned()]);
    }
    let busy = || vec!["the playground is busy; a template may take long to render".to_owned()];
    let permit = Arc::clone(&console.trials.rendering).try_acquire_owned().map_err(|_| busy())?;
    let (console, attempt) = (Arc::clone(console), attempt.clone());
    let rendering = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        render_now(bot(&console, &attempt.profile)?, &attempt)
    });
    match timeout(PATIENCE, rendering).await {
        Ok(Ok(rendered)) => rendered,
        Ok(Err(_)) => Err(vec!["rendering failed in an unforeseen way".to_owned()]),
        Err(_) => Err(vec!["the template does not end within 5 seconds".to_owned()]),
    }
}

fn bot<'c>(console: &'c Console, profile: &str) -> Result<&'c Bot, Vec<String>> {
    console.parts.bots.get(profile).ok_or_else(|| vec!["there is no such profile".to_owned()])
}

fn render_now(bot: &Bot, attempt: &Attempt) -> Result<Rendered, Vec<String>> {
    let replayer = &bot.replayer;
    let problems = |problems: Vec<crate::trigger::Problem>| {
        problems.iter().map(|problem| format!("trigger {}: {}", problem.pointer, problem.message)).collect::<Vec<_>>()
    };
    let body = TriggerBody::parse(attempt.trigger.as_bytes()).map_err(problems)?;
    let sentence = |error: crate::prompt::TemplateError| vec![error.problem];
    // Browsers end lines of a form with CR and LF.
    let (system, user) = (attempt.system.replace("\r\n", "\n"), attempt.user.replace("\r\n", "\n"));
    let templates = replayer.templates.edited(&system, &user).map_err(sentence)?;
    let prompt = pipeline::preview(&templates, &replayer.redaction, &replayer.intents, replayer.history_limits, &body);
    Ok(Rendered { prompt: prompt.map_err(sentence)?, templates, body })
}

/// Asks the models of the profile, as a worker would.
///
/// # Errors
/// A sentence a line.
pub(super) async fn run(console: &Arc<Console>, profile: &str, rendered: &Rendered) -> Result<Ran, Vec<String>> {
    let bot = bot(console, profile)?;
    let pipeline = bot.pipeline.as_ref().map_err(|why| vec![why.clone()])?;
    console.trials.runs.check().map_err(|_| vec![format!("more than {RUNS} runs within a minute; wait a little")])?;
    let now = EpochMs::from(SystemTime::now());
    let trigger = Trigger {
        id: TriggerId(Uuid::now_v7()),
        profile: profile.to_owned(),
        accepted_at: now,
        deadline: now.plus(bot.deadline),
        body: rendered.body.clone(),
    };
    let decided = pipeline.run_told(Some(&rendered.templates), &trigger, now, 1).await;
    let wrapped = bot.callback.wrapped(&trigger.body, &decided.outcome, SystemTime::now().into());
    Ok(Ran { decided, mode: bot.callback.mode(), wrapped })
}
