//! How many tokens a profile may use: what stops a loop, or a customer who writes for ever, from costing without end.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;

use super::{LlmError, Spent};

/// `[profiles.NAME.llm.budget]`: limits of one worker process. What is under way when a limit is reached is finished, so
/// that it can be passed by as many calls as a worker has slots.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
pub struct BudgetConfig {
    /// Tokens in a window, prompts and answers together.
    #[serde(default)]
    #[schemars(extend("x-unit" = "tokens"))]
    pub tokens: Option<u64>,
    /// Length of a window; the first begins with the first call.
    #[serde(default = "hour", with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub window: Duration,
    /// Tokens of one trigger over all its calls: past it, it is neither tried nor asked again.
    #[serde(default)]
    #[schemars(extend("x-unit" = "tokens"))]
    pub per_trigger: Option<u64>,
}

fn hour() -> Duration {
    Duration::from_secs(3600)
}

/// The state of a budget.
pub(super) struct Budget {
    config: BudgetConfig,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    ends: Option<Instant>,
    used: u64,
    told: bool,
}

impl Budget {
    pub(super) fn new(config: BudgetConfig) -> Self {
        Self { config, window: Mutex::default() }
    }

    /// Asks whether one more call may be made for a trigger that has `spent` so much.
    pub(super) fn admit(&self, spent: &Spent) -> Result<(), LlmError> {
        if self.config.per_trigger.is_some_and(|most| spent.charged >= most) {
            return Err(LlmError::BudgetExhausted);
        }
        let Some(most) = self.config.tokens else { return Ok(()) };
        let now = Instant::now();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.ends.is_none_or(|ends| now >= ends) {
            *window = Window { ends: Some(now + self.config.window), ..Window::default() };
        }
        if window.used < most {
            return Ok(());
        }
        if !std::mem::replace(&mut window.told, true) {
            tracing::warn!(
                event = "llm_budget_exhausted",
                used = window.used,
                "no model is asked until the window ends"
            );
        }
        Err(LlmError::BudgetExhausted)
    }

    /// Takes tokens from the window.
    pub(super) fn charge(&self, tokens: u64) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.used = window.used.saturating_add(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_window_takes_its_tokens_and_the_next_one_begins_anew() {
        let window = Duration::from_secs(60);
        let budget = Budget::new(BudgetConfig { tokens: Some(100), window, per_trigger: None });
        let spent = Spent::default();
        assert_eq!(budget.admit(&spent), Ok(()));
        budget.charge(99);
        assert_eq!(budget.admit(&spent), Ok(()));
        budget.charge(1);
        assert_eq!(budget.admit(&spent), Err(LlmError::BudgetExhausted));
        tokio::time::advance(window).await;
        assert_eq!(budget.admit(&spent), Ok(()));
    }

    #[test]
    fn a_trigger_has_a_budget_of_its_own() {
        let budget = Budget::new(BudgetConfig { tokens: None, window: hour(), per_trigger: Some(10) });
        let spent = |charged| Spent { charged, ..Spent::default() };
        assert_eq!(budget.admit(&spent(9)), Ok(()));
        assert_eq!(budget.admit(&spent(10)), Err(LlmError::BudgetExhausted));
    }
}
