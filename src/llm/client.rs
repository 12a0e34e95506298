//! Asking: model by model, try by try.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Completion, CompletionRequest, Config, LlmError, Spent,
    asked::Call,
    body::{Bodies, Shape},
    breakers::Breakers,
    cost::Costs,
    failure::Failure,
    gateway::{Gateway, Words},
    hedge::Hedging,
    models::{Admission, Hold, Model, NotNow},
    stopwatch::Stopwatch,
};
use crate::{
    metrics::{
        Metrics,
        labels::{RetryCause, Upstream},
    },
    retry::RetryPolicy,
};

/// A gateway that asks for a longer pause is left for the next model.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where there is a next model, nobody stands in line for longer.
const LONGEST_IN_LINE: Duration = Duration::from_secs(5);

/// Asks the models of one profile.
pub struct LlmClient {
    pub(super) gateway: Gateway,
    pub(super) bodies: Bodies,
    pub(super) models: Vec<Model>,
    pub(super) hedging: Option<Hedging>,
    retries: RetryPolicy,
    pub(super) metrics: Arc<Metrics>,
}

/// Why a model gave no completion.
enum NoAnswer {
    /// It will not for this call.
    GivenUp(LlmError),
    /// It is held off, and was not given up yet.
    Held(Hold),
    /// No other model shall be asked, either.
    Final(LlmError),
}

impl LlmClient {
    /// Builds the client. `schema` is the decision schema, for [`super::ResponseFormat::JsonSchema`].
    ///
    /// # Errors
    /// When the base URL or a header is missing or unusable, or the HTTP client cannot be built.
    pub fn new(config: &Config, schema: &Value, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let breakers = Breakers::new(Arc::clone(&metrics));
        Self::sharing(config, schema, &breakers, metrics)
    }

    /// Builds a client as [`LlmClient::new`] does, that learns from the calls of all others with these `breakers`
    /// whether a model is well.
    ///
    /// # Errors
    /// As [`LlmClient::new`].
    pub fn sharing(
        config: &Config,
        schema: &Value,
        breakers: &Breakers,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        ensure!(!config.models.is_empty(), "no model is named");
        let gateway = Gateway::new(config, Arc::clone(&metrics))?;
        let model = |name: &String| {
            let (tokens, shared) = (metrics.llm_tokens.of(name), breakers.of(config, gateway.url(), name));
            let costs = costs(config, name, &metrics);
            Model::new(name, config.response_format, costs, tokens, shared, config.adaptive)
        };
        Ok(Self {
            bodies: Bodies::new(config, schema)?,
            models: config.models.iter().map(model).collect(),
            gateway,
            hedging: config.hedge.map(Hedging::new),
            retries: RetryPolicy {
                base: Duration::from_secs(1),
                cap: Duration::from_secs(16),
                attempts: config.attempts.max(1),
            },
            metrics,
        })
    }

    /// Asks for a completion, with retries and fall-back models, never beyond `until` and never with a wait after the
    /// last try. `spent` is added to on every path, also when the future is dropped.
    ///
    /// A model that keeps failing is held off for all callers; while all are, a caller waits for the first to come back
    /// if that is near enough.
    ///
    /// # Errors
    /// [`LlmError`], of the last model that was asked.
    pub async fn complete(
        &self,
        request: CompletionRequest<'_>,
        until: Instant,
        spent: &mut Spent,
    ) -> Result<Completion, LlmError> {
        let mut tries: Vec<u32> = vec![0; self.models.len()];
        let mut last = None;
        loop {
            let mut sooner: Option<Hold> = None;
            for (place, model) in self.models.iter().enumerate() {
                if tries[place] >= self.retries.attempts {
                    continue;
                }
                match self.ask(model, request, until, &mut tries[place], spent).await {
                    Ok((Words { content, truncated }, by)) => {
                        let fallback = place > 0 || !std::ptr::eq(by, model);
                        return Ok(Completion { content, truncated, model: by.name.clone(), fallback });
                    }
                    Err(NoAnswer::Final(error)) => return Err(error),
                    Err(NoAnswer::GivenUp(error)) => {
                        tries[place] = self.retries.attempts;
                        last = Some(error);
                    }
                    Err(NoAnswer::Held(hold)) => sooner = Some(hold.or_sooner(sooner)),
                }
            }
            let Some(hold) = sooner else { return Err(last.unwrap_or(LlmError::Unavailable)) };
            let why = hold.why.clone();
            let waited = Stopwatch::start(&mut spent.waited);
            let reopened = hold.wait(until).await;
            drop(waited);
            if !reopened {
                return Err(last.unwrap_or(why));
            }
        }
    }

    /// Asks one model until it answers, refuses for good, has had its tries, is held off, or time is over. Also says who
    /// has answered: it may be the one that was asked beside it.
    async fn ask<'a>(
        &'a self,
        model: &'a Model,
        request: CompletionRequest<'_>,
        until: Instant,
        tries: &mut u32,
        spent: &mut Spent,
    ) -> Result<(Words, &'a Model), NoAnswer> {
        let mut made: Option<(Shape, Bytes)> = None;
        loop {
            self.gateway.afford(spent).map_err(NoAnswer::Final)?;
            if spent.calls >= request.most_calls {
                return Err(NoAnswer::Final(LlmError::CallsExhausted));
            }
            let admission = self.admission(model, until, spent).await?;
            let shape = model.shape();
            // Made once and sent again in every try, unless the shape changes.
            let body = match made.take() {
                Some((made_for, body)) if made_for == shape => body,
                _ => self
                    .bodies
                    .serialize(&model.name, request, shape)
                    .map_err(|_| NoAnswer::Final(LlmError::Unavailable))?,
            };
            made = Some((shape, body.clone()));
            match self.call(Call { admission, body }, request, until, spent).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.recover(failure, model, shape, tries, until, spent).await?,
            }
        }
    }

    async fn admission<'a>(
        &self,
        model: &'a Model,
        until: Instant,
        spent: &mut Spent,
    ) -> Result<Admission<'a>, NoAnswer> {
        let waited = Stopwatch::start(&mut spent.waited);
        let is_last = self.models.last().is_some_and(|last| std::ptr::eq(last, model));
        let limit = if is_last { until } else { until.min(Instant::now() + LONGEST_IN_LINE) };
        let admitted = model.admit(limit).await;
        drop(waited);
        admitted.map_err(|not_now| match not_now {
            NotNow::Held(hold) => NoAnswer::Held(hold),
            NotNow::Busy => NoAnswer::GivenUp(LlmError::RateLimited),
        })
    }

    /// Does what makes another try of the same model worth it.
    async fn recover(
        &self,
        failure: Failure,
        model: &Model,
        sent: Shape,
        tries: &mut u32,
        until: Instant,
        spent: &mut Spent,
    ) -> Result<(), NoAnswer> {
        match failure {
            Failure::OutOfTime { .. } => Err(NoAnswer::Final(LlmError::OutOfTime)),
            Failure::ContentRefused => Err(NoAnswer::Final(LlmError::ContentRefused)),
            Failure::Denied(error) | Failure::Rejected(error) => Err(NoAnswer::GivenUp(error)),
            // Uses up no try, and ends: each part can give way once, the response format twice.
            Failure::Parameter { refused, status } => match sent.without(refused) {
                Some(next) => {
                    model.reshape(sent, next);
                    Ok(())
                }
                // Another call has reshaped it meanwhile.
                None if model.shape() != sent => Ok(()),
                None => Err(NoAnswer::GivenUp(LlmError::Rejected(status))),
            },
            Failure::Transient { cause, asked, error } => {
                *tries += 1;
                let _waiting = Stopwatch::start(&mut spent.waited);
                self.pause(model, cause, asked, *tries, until).await.ok_or(NoAnswer::GivenUp(error))
            }
        }
    }

    /// Waits before the next try of the same model; `None` when there shall be none.
    async fn pause(
        &self,
        model: &Model,
        cause: RetryCause,
        asked: Option<Duration>,
        tries: u32,
        until: Instant,
    ) -> Option<()> {
        let wait = self.retries.delay(tries, asked, rand::random())?;
        if wait > LONGEST_WAIT || Instant::now() + wait >= until {
            return None;
        }
        if !model.may_repeat(cause) {
            self.metrics.llm_retries_withheld.inc();
            return None;
        }
        sleep(wait).await;
        self.metrics.upstream_retries.get(Upstream::Llm, cause).inc();
        Some(())
    }
}

fn costs(config: &Config, model: &str, metrics: &Metrics) -> Costs {
    Costs::new(config.prices.get(model).copied(), metrics.llm_cost.of(model))
}
