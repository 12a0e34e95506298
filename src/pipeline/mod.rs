//! From a trigger to its outcome: the stages in order, one deadline for all of them, and the ladder of degradation.
//!
//! [`Pipeline::run`] cannot fail. Without a history it goes on without; without a usable answer it asks again; without
//! a model or time it gives the safe answer. It knows nothing of queues, attempts or HTTP servers.

mod asking;
mod confidential;
mod replaying;
mod run;
mod shown;
mod stages;
mod unheard;

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use self::run::{Limits, NoDecision, Run, share};
pub use self::{
    confidential::Confidential,
    replaying::{Replayer, became},
    shown::{preview, redact},
    stages::Stages,
    unheard::Unheard,
};
use crate::{
    conversation::Conversation,
    customer_text,
    decision::{Decision, DecisionSchema},
    history::HistoryProvider,
    llm::LlmClient,
    metrics::{
        DecisionCounters, Metrics, NamedCounters,
        labels::{Stage, StageFailure, Validation},
    },
    outcome::{Attempts, Degraded, Meta, Outcome, Status},
    prompt::{Intent, Prompt, PromptInput, TemplateSet},
    redaction::{RedactionRules, Redactor},
    safe_answer::SafeAnswers,
    story::Told,
    time::{EpochMs, work_until},
    trigger::{Trigger, TriggerBody, TriggerId},
};

/// How much of the conversation a prompt holds, and how long fetching it may take.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct HistoryLimits {
    /// Newest turns to keep.
    pub max_turns: usize,
    /// Characters to keep, from the newest turn on.
    pub max_characters: usize,
    /// Limit for fetching it.
    pub timeout: Duration,
}

/// Everything that decides the triggers of one profile.
pub struct Pipeline {
    /// Where the conversation comes from.
    pub history: Arc<dyn HistoryProvider>,
    /// How much of it is used.
    pub history_limits: HistoryLimits,
    /// What is masked before a model sees it.
    pub redaction: RedactionRules,
    /// The prompt.
    pub templates: TemplateSet,
    /// What the model may choose from; empty: anything.
    pub intents: Vec<Intent>,
    /// The model.
    pub llm: LlmClient,
    /// How often it is asked again after an invalid answer.
    pub reasks: u32,
    /// How many calls a trigger may cost when it comes for the first time.
    pub calls_per_trigger: u32,
    /// What its answer must be.
    pub schema: DecisionSchema,
    /// What an answer must not give away.
    pub confidential: Confidential,
    /// Where its decisions are counted.
    pub decisions: DecisionCounters,
    /// Where the model's answers are counted.
    pub validations: NamedCounters<Validation>,
    /// What is said when there is no decision.
    pub safe_answers: SafeAnswers,
    /// How long before the deadline work ends.
    pub reserve: Duration,
    /// Where stages are counted.
    pub metrics: Arc<Metrics>,
}

/// An outcome, and how it came about.
pub struct Decided {
    /// The outcome.
    pub outcome: Outcome,
    /// How long each stage took, for the log.
    pub stages: Stages,
    /// What was asked and answered, redacted, if that was [wanted](Pipeline::run_told).
    pub told: Option<Told>,
}

impl Pipeline {
    /// Decides a trigger. `now` is the time of the call, `attempt` the number of this delivery, which the outcome's meta
    /// tells and the number of calls depends on.
    pub async fn run(&self, trigger: &Trigger, now: EpochMs, attempt: u32) -> Decided {
        self.run_with(Run::new(&self.templates), trigger, now, attempt).await
    }

    /// Does the same and [tells](Decided::told) how it went. With `templates` given, asks by those.
    pub async fn run_told(
        &self,
        templates: Option<&TemplateSet>,
        trigger: &Trigger,
        now: EpochMs,
        attempt: u32,
    ) -> Decided {
        let run = Run { told: Some(Told::default()), ..Run::new(templates.unwrap_or(&self.templates)) };
        self.run_with(run, trigger, now, attempt).await
    }

    async fn run_with(&self, mut run: Run<'_>, trigger: &Trigger, now: EpochMs, attempt: u32) -> Decided {
        let started = Instant::now();
        let until = started + work_until(trigger.accepted_at, trigger.deadline, self.reserve).since(now);
        let mut redactor = Redactor::new(&self.redaction);
        let body = shown::trigger(&trigger.body, &mut redactor);
        let mut result = if customer_text::is_masked(&customer_text::clean(&trigger.body.last_message)) {
            // The flow has taken something out of it that only a human can ask for again; a model would guess.
            Err(NoDecision { status: Status::ContentRefused, error: "masked_input" })
        } else if started < until {
            let limits = Limits { until, most_calls: share(self.calls_per_trigger, attempt) };
            self.decide(trigger, &body, &mut redactor, limits, &mut run).await
        } else {
            Err(NoDecision { status: Status::Expired, error: "deadline_passed" })
        };
        if redactor.redacted() {
            run.degraded.push(Degraded::Redacted);
        }
        if let Ok(decision) = &mut result {
            decision.extracted_parameters.values_mut().for_each(|value| self.restore(&redactor, value));
        }
        run.stages.total = started.elapsed();
        let ended_at = now.plus(run.stages.total);
        let meta = self.meta(trigger, &run, ended_at, attempt);
        self.metrics.overhead.observe(run.stages.overhead(run.spent.upstream + run.spent.waited).as_secs_f64());
        let counter = match &result {
            Ok(decision) => self.decisions.intent(&decision.classified_intent),
            Err(_) => self.decisions.handover(),
        };
        counter.inc();
        let outcome = match result {
            Ok(decision) => Outcome::decided(trigger, body.metadata, decision, meta),
            Err(NoDecision { status, error }) => {
                let answer = self.safe_answers.pick(trigger.body.language.as_deref()).to_owned();
                let conversation_id = trigger.body.conversation_id.clone();
                Outcome::safe(trigger.id, conversation_id, body.metadata, status, error, answer, meta)
            }
        };
        let told = run.told.take().map(|told| shown::told(told, &mut redactor));
        Decided { outcome, stages: run.stages, told }
    }

    /// Puts back what was masked. It is a customer's text that no check has seen: a value that it makes one which no model
    /// could have answered keeps its placeholders.
    fn restore(&self, redactor: &Redactor<'_>, value: &mut Value) {
        let mut restored = value.clone();
        redactor.restore_value(&mut restored);
        if self.schema.is_clean_parameter(&restored) {
            *value = restored;
        }
    }

    async fn decide(
        &self,
        trigger: &Trigger,
        body: &TriggerBody,
        redactor: &mut Redactor<'_>,
        limits: Limits,
        run: &mut Run<'_>,
    ) -> Result<Decision, NoDecision> {
        let conversation = self.conversation(trigger, redactor, limits.until, run).await;
        if let Some(told) = &mut run.told {
            told.trigger = shown::request(body, &conversation);
        }
        let prompt = self.prompt(body, &conversation, trigger.id, run)?;
        self.ask(prompt, limits.until, limits.most_calls, run).await
    }

    /// The conversation, as far as it can be had: what the trigger brings, else what the provider gives in time.
    async fn conversation(
        &self,
        trigger: &Trigger,
        redactor: &mut Redactor<'_>,
        until: Instant,
        run: &mut Run<'_>,
    ) -> Conversation {
        let started = Instant::now();
        let fetched = if trigger.body.history.is_empty() {
            let until = until.min(started + self.history_limits.timeout);
            match tokio::time::timeout_at(until, self.history.fetch(trigger, until)).await {
                Ok(Ok(conversation)) => Ok(conversation),
                Ok(Err(error)) => Err(stages::failure(&error)),
                Err(_) => Err(StageFailure::Timeout),
            }
        } else {
            Ok(Conversation { turns: trigger.body.history.clone(), ..Conversation::default() })
        };
        run.stages.history = self.observe(Stage::History, started);
        let conversation = fetched.unwrap_or_else(|failure| {
            self.metrics.stage_failures.get(Stage::History, failure).inc();
            run.degraded.push(Degraded::NoHistory);
            Conversation::default()
        });
        let conversation = shown::conversation(conversation, self.history_limits, redactor);
        for (flag, degraded) in
            [(conversation.partial, Degraded::PartialHistory), (conversation.truncated, Degraded::TruncatedHistory)]
        {
            if flag {
                run.degraded.push(degraded);
            }
        }
        conversation
    }

    fn prompt(
        &self,
        body: &TriggerBody,
        conversation: &Conversation,
        id: TriggerId,
        run: &mut Run<'_>,
    ) -> Result<Prompt, NoDecision> {
        let started = Instant::now();
        run.block_id = shown::block_id();
        let input = PromptInput { trigger: body, conversation, intents: &self.intents, block_id: &run.block_id };
        let prompt = run.templates.render(&input);
        run.stages.prompt = self.observe(Stage::Prompt, started);
        prompt.map_err(|problem| {
            self.metrics.stage_failures.get(Stage::Prompt, StageFailure::Internal).inc();
            tracing::error!(event = "prompt_failed", trigger_id = %id, error = %problem, "a prompt could not be rendered");
            NoDecision { status: Status::InternalError, error: "prompt_failed" }
        })
    }

    fn meta(&self, trigger: &Trigger, run: &Run<'_>, ended_at: EpochMs, attempt: u32) -> Meta {
        if run.spent.calls > 0 {
            self.metrics.llm_attempts.observe(f64::from(run.spent.calls));
        }
        Meta {
            profile: trigger.profile.clone(),
            model: run.model.clone(),
            template: Some(run.templates.id().to_owned()),
            degraded: run.degraded.clone(),
            attempts: Attempts { llm: run.spent.calls, work: attempt },
            usage: run.spent.usage,
            cost_usd: run.spent.cost_usd,
            duration_ms: u64::try_from(ended_at.since(trigger.accepted_at).as_millis()).unwrap_or(u64::MAX),
            late: ended_at > trigger.deadline,
        }
    }

    fn observe(&self, stage: Stage, started: Instant) -> Duration {
        let took = started.elapsed();
        self.metrics.stage_duration.get(stage).observe(took.as_secs_f64());
        took
    }
}
