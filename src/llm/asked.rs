//! One call of a model, and perhaps a second one beside it.

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::{
    CompletionRequest, HedgeTo, LlmClient, Spent,
    failure::Failure,
    gateway::Words,
    hedge::{Both, Hedging, Winner, hedged},
    models::{Admission, Model},
};
use crate::metrics::labels::Hedge;

/// A call that may be made now.
pub(super) struct Call<'a> {
    pub(super) admission: Admission<'a>,
    pub(super) body: Bytes,
}

impl LlmClient {
    /// Makes a call, and where the profile hedges and it takes long, another one. Says who has answered. A failure is that
    /// of the first.
    pub(super) async fn call<'a>(
        &'a self,
        first: Call<'a>,
        request: CompletionRequest<'_>,
        until: Instant,
        spent: &mut Spent,
    ) -> Result<(Words, &'a Model), Failure> {
        let Call { admission, body } = first;
        let model = admission.model;
        let Some((hedging, after)) = self.hedges(model) else {
            return self.make(Call { admission, body }, until, spent).await.map(|words| (words, model));
        };
        let (before, begun) = (*spent, Instant::now());
        let mut beside = None;
        let mut both = Both::adding_to(spent);
        let (result, winner) = {
            let (first_spent, mut second_spent) = (&mut both.first, Some(&mut both.second));
            let second = || {
                let call = self.second(hedging, model, &body, request, &before);
                let Some(call) = call else {
                    self.metrics.llm_hedges.get(Hedge::Withheld).inc();
                    return None;
                };
                beside = Some(call.admission.model);
                Some(self.make(call, until, second_spent.take()?))
            };
            let first_call = self.make(Call { admission, body: body.clone() }, until, first_spent);
            hedged(first_call, after, second, settles).await
        };
        match winner {
            Winner::Alone => {}
            Winner::First { given_up } => {
                self.metrics.llm_hedges.get(Hedge::Lost).inc();
                if given_up {
                    self.gateway.given_up(body.len(), &mut both.second);
                }
            }
            Winner::Second { given_up } => {
                self.metrics.llm_hedges.get(Hedge::Won).inc();
                if given_up {
                    model.overtaken(begun.elapsed());
                    self.gateway.given_up(body.len(), &mut both.first);
                }
            }
        }
        let by = match winner {
            Winner::Second { .. } => beside.unwrap_or(model),
            Winner::Alone | Winner::First { .. } => model,
        };
        result.map(|words| (words, by))
    }

    async fn make(&self, call: Call<'_>, until: Instant, spent: &mut Spent) -> Result<Words, Failure> {
        let Call { admission, body } = call;
        let result = self.gateway.post(body, admission.model, until, spent).await;
        admission.end(&result);
        result
    }

    /// Whether, and after what time, a call of this model gets another one beside it.
    fn hedges(&self, model: &Model) -> Option<(&Hedging, Duration)> {
        let hedging = self.hedging.as_ref()?;
        hedging.earn();
        Some((hedging, hedging.config.after.or_else(|| model.p95())?))
    }

    /// The call beside one of `model` with this body, if there may be one: the trigger and its profile can afford it, the
    /// models are well, and not too many calls were asked twice.
    fn second<'a>(
        &'a self,
        hedging: &Hedging,
        model: &'a Model,
        body: &Bytes,
        request: CompletionRequest<'_>,
        before: &Spent,
    ) -> Option<Call<'a>> {
        let affordable = before.calls + 2 <= request.most_calls && self.gateway.afford(before).is_ok();
        if !affordable || !model.is_well() {
            return None;
        }
        let other = match hedging.config.to {
            HedgeTo::Same => model,
            HedgeTo::Next => self.models.iter().skip_while(|known| !std::ptr::eq(*known, model)).nth(1)?,
        };
        if !other.is_well() || !hedging.take() {
            return None;
        }
        let admission = other.admit_beside()?;
        let body = match hedging.config.to {
            HedgeTo::Same => body.clone(),
            HedgeTo::Next => self.bodies.serialize(&other.name, request, other.shape()).ok()?,
        };
        Some(Call { admission, body })
    }
}

/// Failures after which no other answer is wanted.
fn settles(failure: &Failure) -> bool {
    matches!(failure, Failure::ContentRefused | Failure::OutOfTime { .. })
}
