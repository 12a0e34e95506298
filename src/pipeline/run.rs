//! One run of the pipeline: what it may take, what it gathers on its way, and how it ends without a decision.

use tokio::time::Instant;

use super::Stages;
use crate::{
    llm::{LlmError, Spent},
    outcome::{Degraded, Status},
    prompt::TemplateSet,
    story::Told,
};

/// Why there is a safe answer instead of a decision.
pub(super) struct NoDecision {
    pub(super) status: Status,
    pub(super) error: &'static str,
}

/// What a run may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// No stage begins, or goes on, after this.
    pub(super) until: Instant,
    /// Calls of the model.
    pub(super) most_calls: u32,
}

/// The calls of try number `attempt` (from 1), when the first one has `most`: half of them each time, because what an
/// earlier try has paid nobody remembers when its worker died. So all tries together cost less than twice `most`, and
/// one for each try beyond.
pub(super) fn share(most: u32, attempt: u32) -> u32 {
    most.checked_shr(attempt.saturating_sub(1)).unwrap_or(0).max(1)
}

/// What a run gathers on its way, whichever way it ends.
pub(super) struct Run<'t> {
    pub(super) templates: &'t TemplateSet,
    pub(super) told: Option<Told>,
    pub(super) degraded: Vec<Degraded>,
    pub(super) spent: Spent,
    pub(super) model: Option<String>,
    /// Marks the data block of the prompt.
    pub(super) block_id: String,
    pub(super) stages: Stages,
}

impl<'t> Run<'t> {
    pub(super) fn new(templates: &'t TemplateSet) -> Self {
        Self {
            templates,
            told: None,
            degraded: Vec::new(),
            spent: Spent::default(),
            model: None,
            block_id: String::new(),
            stages: Stages::default(),
        }
    }
}

impl From<LlmError> for NoDecision {
    fn from(error: LlmError) -> Self {
        let status = match error {
            LlmError::ContentRefused => Status::ContentRefused,
            _ => Status::LlmUnavailable,
        };
        Self { status, error: error.code() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tries_of_a_trigger_together_cost_less_than_twice_the_limit_and_one_for_each_try() {
        assert_eq!((1..=6).map(|attempt| share(8, attempt)).collect::<Vec<_>>(), [8, 4, 2, 1, 1, 1]);
        for most in 1..=100 {
            let tries = 3 + crate::message::Lane::Work.delivery_limit();
            let calls: u32 = (1..=tries).map(|attempt| share(most, attempt)).sum();
            assert!(calls < 2 * most + tries, "{calls} of {most}");
        }
        assert_eq!(share(100, u32::MAX), 1);
    }
}
