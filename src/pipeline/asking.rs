//! Asking the model until its answer is a decision, as often as the profile allows.

use tokio::time::Instant;

use super::{NoDecision, Pipeline, Run};
use crate::{
    decision::{Decision, Invalid, UNKNOWN_INTENT},
    llm::{ChatMessage, Completion, CompletionRequest, LlmError},
    metrics::labels::{Stage, StageFailure, Validation},
    outcome::{Degraded, Status},
    prompt::Prompt,
    story::{Answer, cut},
};

/// Bytes of a former answer that a re-ask repeats.
const FORMER_ANSWER: usize = 4 * 1024;

impl Pipeline {
    /// `most_calls` is the one limit over models, tries and re-asks.
    pub(super) async fn ask(
        &self,
        prompt: Prompt,
        until: Instant,
        most_calls: u32,
        run: &mut Run<'_>,
    ) -> Result<Decision, NoDecision> {
        let mut messages = vec![
            ChatMessage { role: "system", content: prompt.system },
            ChatMessage { role: "user", content: prompt.user },
        ];
        if let Some(told) = &mut run.told {
            (told.system, told.user) = (cut(&messages[0].content), cut(&messages[1].content));
        }
        let mut max_tokens_factor = 1;
        for asked in 0..=self.reasks {
            if asked == 1 {
                run.degraded.push(Degraded::Reasked);
            }
            let request = CompletionRequest { messages: &messages, max_tokens_factor, most_calls };
            let completion = self.complete(request, until, run).await?;
            let validated = self.validate(&completion, asked > 0, run);
            if let Some(told) = &mut run.told {
                told.answers.push(answer(&completion, validated.as_ref().err()));
            }
            match validated {
                Ok(decision) => return self.withhold(decision, &messages[0].content, run),
                Err(invalid) if asked == self.reasks => {
                    return Err(NoDecision { status: Status::SchemaValidationFailed, error: invalid.code });
                }
                // Cut off at the limit: nothing is wrong with the question, it only needs more room.
                Err(_) if completion.truncated => max_tokens_factor = 2,
                Err(invalid) => {
                    messages.truncate(2);
                    messages.extend(re_ask(&completion.content, &invalid));
                }
            }
        }
        // Not reached: the last round returns.
        Err(NoDecision { status: Status::InternalError, error: "not_asked" })
    }

    /// Keeps back a decision that gives something away. Asking again would help the one who wants to know.
    fn withhold(&self, decision: Decision, system: &str, run: &Run<'_>) -> Result<Decision, NoDecision> {
        match self.confidential.given_away(&decision, system, &run.block_id) {
            None => Ok(decision),
            Some(error) => {
                tracing::warn!(event = "answer_withheld", error, "an answer gave away what it must not");
                Err(NoDecision { status: Status::ContentRefused, error })
            }
        }
    }

    async fn complete(
        &self,
        request: CompletionRequest<'_>,
        until: Instant,
        run: &mut Run<'_>,
    ) -> Result<Completion, NoDecision> {
        let started = Instant::now();
        let result = self.llm.complete(request, until, &mut run.spent).await;
        run.stages.llm += self.observe(Stage::Llm, started);
        match result {
            Ok(completion) => {
                run.model = Some(completion.model.clone());
                if completion.fallback && !run.degraded.contains(&Degraded::FallbackModel) {
                    run.degraded.push(Degraded::FallbackModel);
                }
                Ok(completion)
            }
            Err(error) => {
                self.metrics.stage_failures.get(Stage::Llm, failure(&error)).inc();
                // An answer like the others, only without anything to validate.
                if error == LlmError::ContentRefused {
                    self.validations.get(Validation::Refused).inc();
                }
                // Nobody was asked: that is the deadline's doing, not the model's.
                if error == LlmError::OutOfTime && run.spent.calls == 0 {
                    return Err(NoDecision { status: Status::Expired, error: "deadline_passed" });
                }
                Err(error.into())
            }
        }
    }

    fn validate(&self, completion: &Completion, again: bool, run: &mut Run<'_>) -> Result<Decision, Invalid> {
        let started = Instant::now();
        let result = self.schema.parse(&completion.content);
        run.stages.decision += self.observe(Stage::Decision, started);
        let label = match &result {
            Ok(decision) if decision.classified_intent == UNKNOWN_INTENT => Validation::UnknownTarget,
            Ok(_) if again => Validation::Reasked,
            Ok(_) => Validation::Valid,
            Err(_) if completion.truncated => Validation::Truncated,
            Err(_) if completion.content.trim().is_empty() => Validation::Empty,
            Err(invalid) if invalid.code == "invalid_json" => Validation::InvalidJson,
            Err(_) => Validation::SchemaViolation,
        };
        self.validations.get(label).inc();
        if result.is_err() {
            self.metrics.stage_failures.get(Stage::Decision, StageFailure::Malformed).inc();
        }
        result
    }
}

fn answer(completion: &Completion, invalid: Option<&Invalid>) -> Answer {
    Answer {
        text: completion.content.clone(),
        model: completion.model.clone(),
        truncated: completion.truncated,
        invalid: invalid.map(|invalid| (invalid.code.to_owned(), invalid.rules.clone())),
    }
}

/// The former answer and what is wrong with it. Prompt and history stay before it, so that the model still knows what
/// it is about.
fn re_ask(answer: &str, invalid: &Invalid) -> [ChatMessage; 2] {
    let mut end = answer.len().min(FORMER_ANSWER);
    while !answer.is_char_boundary(end) {
        end -= 1;
    }
    let rules = invalid.rules.iter().map(|rule| format!("- {rule}\n")).collect::<String>();
    let content = format!(
        "Your answer cannot be used:\n{rules}Answer again with exactly one JSON object that matches the schema, and nothing else."
    );
    [ChatMessage { role: "assistant", content: answer[..end].to_owned() }, ChatMessage { role: "user", content }]
}

fn failure(error: &LlmError) -> StageFailure {
    match error {
        LlmError::OutOfTime => StageFailure::Timeout,
        LlmError::RateLimited | LlmError::Unavailable => StageFailure::Unavailable,
        LlmError::BudgetExhausted
        | LlmError::CallsExhausted
        | LlmError::QuotaExhausted
        | LlmError::Unauthorized
        | LlmError::Rejected(_)
        | LlmError::ContentRefused => StageFailure::Rejected,
    }
}
