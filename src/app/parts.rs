//! The parts of each profile, from its settings.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;

use crate::{
    callback,
    config::{self, Config, Role},
    console,
    decision::DecisionSchema,
    egress::Egress,
    history,
    http_server::Tls,
    ingress,
    llm::{Breakers, LlmClient},
    metrics::Metrics,
    pipeline::{self, Confidential, HistoryLimits, Pipeline, Replayer},
    prompt::{Prompt, TemplateSet, cases},
    queue::Queue,
    redaction::RedactionRules,
    safe_answer::SafeAnswers,
    signature::Verifier,
    trigger::TriggerBody,
    worker,
};

/// Builds the parts of a role without starting any, to find what the settings alone do not show.
///
/// # Errors
/// As [`start`], for everything but ports and the queue.
pub fn try_parts(config: &Config, role: Role) -> anyhow::Result<()> {
    if role.accepts() {
        ingress_tls(config, role)?;
        ingress_profiles(config)?;
    }
    if role.works() {
        worker_profiles(config, &Arc::new(Metrics::new(role.as_str())?))?;
    }
    Ok(())
}

/// The prompt that a profile makes of a trigger with the history it brings.
///
/// # Errors
/// For an unknown profile, or templates or patterns that cannot be used.
pub fn preview(config: &Config, profile: &str, body: &TriggerBody) -> anyhow::Result<Prompt> {
    let profile = config.profiles.get(profile).with_context(|| format!("there is no profile \"{profile}\""))?;
    let templates = TemplateSet::load(config.templates.directory.as_deref(), &profile.template)?;
    let redaction = RedactionRules::new(&profile.redaction)?;
    Ok(pipeline::preview(&templates, &redaction, &profile.intents, history_limits(profile), body)?)
}

/// Replays the test cases of every profile's template set, and those in `further`, that are of the profile.
/// Returns how many there were.
///
/// # Errors
/// For files that cannot be read, and with a line for each case that ends otherwise now.
pub fn replay_cases(config: &Config, further: Option<&Path>) -> anyhow::Result<usize> {
    let (mut count, mut broken) = (0, Vec::new());
    for (name, profile) in &config.profiles {
        let own = config.templates.directory.as_ref().map(|root| root.join(&profile.template).join(cases::FOLDER));
        let mut found = Vec::new();
        for folder in own.iter().map(PathBuf::as_path).chain(further) {
            found.extend(cases::read(folder).map_err(anyhow::Error::msg)?);
        }
        found.retain(|(_, case)| case.profile == *name);
        if found.is_empty() {
            continue;
        }
        count += found.len();
        let replayer = replayer(config, profile).with_context(|| format!("profiles.{name}"))?;
        broken.extend(found.iter().filter_map(|(file, case)| {
            replayer.replay(case).err().map(|problem| format!("profiles.{name}: case {file}: {problem}"))
        }));
    }
    anyhow::ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(count)
}

fn replayer(config: &Config, profile: &config::Profile) -> anyhow::Result<Replayer> {
    let templates = TemplateSet::load(config.templates.directory.as_deref(), &profile.template)?;
    Ok(Replayer {
        redaction: RedactionRules::new(&profile.redaction)?,
        intents: profile.intents.clone(),
        history_limits: history_limits(profile),
        schema: DecisionSchema::compile(templates.schema(), profile.decision_rules())?,
        templates,
    })
}

/// What the operators' page is made of. Its playground asks models by clients of its own, which know no history but
/// what a trigger brings, and count nothing of what workers count.
pub(super) fn console(config: &Config, queue: Arc<dyn Queue>) -> anyhow::Result<console::Parts> {
    let metrics = Arc::new(Metrics::new("console")?);
    let breakers = Breakers::new(Arc::clone(&metrics));
    let bot = |(name, profile): (&String, &config::Profile)| {
        let mut profile = profile.clone();
        profile.history.provider = history::Provider::Inline;
        let bot = console::Bot {
            replayer: replayer(config, &profile).with_context(|| format!("profiles.{name}"))?,
            pipeline: build_pipeline(config, &profile, &breakers, &metrics).map_err(|error| format!("{error:#}")),
            callback: callback::Preview::of(&profile.callback),
            deadline: profile.deadline,
        };
        Ok((name.clone(), bot))
    };
    Ok(console::Parts {
        queue,
        deadlines: config.deadlines(),
        bots: config.profiles.iter().map(bot).collect::<anyhow::Result<_>>()?,
        templates: config.templates.directory.clone(),
        redaction: RedactionRules::new(&crate::redaction::Config::default())?,
    })
}

fn history_limits(profile: &config::Profile) -> HistoryLimits {
    HistoryLimits {
        max_turns: profile.history.max_turns,
        max_characters: profile.history.max_characters,
        timeout: profile.history.timeout,
    }
}

pub(super) fn ingress_tls(config: &Config, role: Role) -> anyhow::Result<Option<Tls>> {
    let files = config.ingress.tls.as_ref().filter(|_| role.accepts());
    files.map(Tls::read).transpose().context("ingress.tls")
}

pub(super) fn ingress_profiles(config: &Config) -> anyhow::Result<HashMap<String, ingress::Profile>> {
    config.profiles.iter().map(|(name, profile)| Ok((name.clone(), ingress_profile(name, profile)?))).collect()
}

pub(super) fn ingress_profile(name: &str, profile: &config::Profile) -> anyhow::Result<ingress::Profile> {
    let verifier = Verifier::new(profile.webhook.scheme, &profile.webhook.secrets)
        .with_context(|| format!("profiles.{name}.webhook.secrets"))?;
    let egress = Egress::new(&profile.callback.egress, profile.callback.url.as_deref())
        .with_context(|| format!("profiles.{name}.callback"))?;
    let (threshold, deadline) = (profile.threshold, profile.deadline);
    let rate = profile.webhook.rate.map(ingress::Rate::new);
    let demands = callback::Demands::of(&profile.callback);
    let (supersede, poll) = (profile.supersede, profile.poll);
    Ok(ingress::Profile { verifier, threshold, deadline, egress, rate, supersede, poll, demands })
}

/// What a worker knows of each profile, by name.
///
/// # Errors
/// When a part of a profile cannot be built.
pub fn worker_profiles(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<HashMap<String, worker::Profile>> {
    profiles_sharing(config, &Breakers::new(Arc::clone(metrics)), metrics)
}

pub(super) fn profiles_sharing(
    config: &Config,
    breakers: &Breakers,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<HashMap<String, worker::Profile>> {
    let build = |(name, profile): (&String, &config::Profile)| {
        let built = worker_profile(config, profile, breakers, metrics).with_context(|| format!("profiles.{name}"))?;
        Ok((name.clone(), built))
    };
    let profiles: HashMap<_, _> = config.profiles.iter().map(build).collect::<anyhow::Result<_>>()?;
    count_templates(config, metrics);
    Ok(profiles)
}

pub(super) fn count_templates(config: &Config, metrics: &Metrics) {
    let sets: BTreeSet<_> = config.profiles.values().map(|profile| &profile.template).collect();
    metrics.templates_loaded.set(i64::try_from(sets.len()).unwrap_or(i64::MAX));
}

pub(super) fn worker_profile(
    config: &Config,
    profile: &config::Profile,
    breakers: &Breakers,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<worker::Profile> {
    let pipeline = build_pipeline(config, profile, breakers, metrics)?;
    let callback = callback::connect(&profile.callback, metrics).context("callback")?;
    Ok(worker::Profile {
        pipeline,
        callback,
        callback_max_age: profile.callback.max_age,
        poll: profile.poll,
        supersede: profile.supersede,
    })
}

fn build_pipeline(
    config: &Config,
    profile: &config::Profile,
    breakers: &Breakers,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Pipeline> {
    let templates = TemplateSet::load(config.templates.directory.as_deref(), &profile.template)?;
    let intents: Vec<_> = profile.intents.iter().map(|intent| intent.name.clone()).collect();
    Ok(Pipeline {
        decisions: metrics.decisions(&intents),
        validations: metrics.validations.of(&profile.template),
        history: history::connect(&profile.history, metrics).context("history")?,
        history_limits: history_limits(profile),
        redaction: RedactionRules::new(&profile.redaction).context("redaction")?,
        intents: profile.intents.clone(),
        llm: LlmClient::sharing(&profile.llm, templates.schema(), breakers, Arc::clone(metrics)).context("llm")?,
        reasks: profile.llm.reasks,
        calls_per_trigger: profile.llm.calls_per_trigger,
        schema: DecisionSchema::compile(templates.schema(), profile.decision_rules())?,
        confidential: Confidential::new(profile.secrets())?,
        safe_answers: SafeAnswers::new(profile.safe_answers.clone(), &profile.language).context("safe_answers")?,
        reserve: config.worker.reserve,
        templates,
        metrics: Arc::clone(metrics),
    })
}
