//! Circuit breakers in the metrics: one upstream may have several, one for each of its models.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::labels::{Circuit, CircuitChange, Label as _, Upstream};

/// `cfr_circuit_breaker_state`, 0 or 1: of the states of an upstream's breakers the worst one (open, then half open) is 1.
/// The series of an upstream exist from the moment its first breaker is made, which is at the start.
pub struct Circuits {
    states: IntGaugeVec,
    changes: IntCounterVec,
    /// Breakers in each state, by upstream.
    counted: Mutex<Vec<(Upstream, [usize; 3])>>,
}

impl Circuits {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let states = IntGaugeVec::new(
            Opts::new(
                "cfr_circuit_breaker_state",
                "1 for the state of an upstream's circuit breaker; of several (one for each model) the worst",
            ),
            &[Upstream::NAME, Circuit::NAME],
        )?;
        let changes = IntCounterVec::new(
            Opts::new("cfr_circuit_breaker_transitions_total", "Circuit breakers that changed their state, by what to"),
            &[Upstream::NAME, CircuitChange::NAME],
        )?;
        registry.register(Box::new(states.clone()))?;
        registry.register(Box::new(changes.clone()))?;
        Ok(Self { states, changes, counted: Mutex::default() })
    }

    /// Counts a breaker that was made, closed.
    pub fn added(&self, upstream: Upstream) {
        for to in CircuitChange::ALL {
            self.changes.with_label_values(&[upstream.as_str(), to.as_str()]);
        }
        self.count(upstream, |counts| counts[place(Circuit::Closed)] += 1);
    }

    /// Counts a breaker that changed its state.
    pub fn changed(&self, upstream: Upstream, before: Circuit, now: Circuit) {
        let to = match now {
            Circuit::Closed => Some(CircuitChange::Closed),
            Circuit::Open => Some(CircuitChange::Open),
            Circuit::HalfOpen => None,
        };
        if let Some(to) = to {
            self.changes.with_label_values(&[upstream.as_str(), to.as_str()]).inc();
        }
        self.count(upstream, |counts| {
            counts[place(before)] = counts[place(before)].saturating_sub(1);
            counts[place(now)] += 1;
        });
    }

    /// Counts a breaker that is gone, and was in this state.
    pub fn removed(&self, upstream: Upstream, last: Circuit) {
        self.count(upstream, |counts| counts[place(last)] = counts[place(last)].saturating_sub(1));
    }

    /// How many breakers of each upstream are closed, open and half open.
    #[must_use]
    pub fn counts(&self) -> Vec<(Upstream, [usize; 3])> {
        let all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let order = [Circuit::Closed, Circuit::Open, Circuit::HalfOpen];
        all.iter().map(|(upstream, counts)| (*upstream, order.map(|state| counts[place(state)]))).collect()
    }

    fn count(&self, upstream: Upstream, change: impl FnOnce(&mut [usize; 3])) {
        let mut all = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(known, _)| *known == upstream).unwrap_or_else(|| {
            all.push((upstream, [0; 3]));
            all.len() - 1
        });
        let counts = &mut all[at].1;
        change(counts);
        let worst = [Circuit::Open, Circuit::HalfOpen].into_iter().find(|state| counts[place(*state)] > 0);
        for state in Circuit::ALL {
            let shown = *state == worst.unwrap_or(Circuit::Closed);
            self.states.with_label_values(&[upstream.as_str(), state.as_str()]).set(i64::from(shown));
        }
    }
}

fn place(state: Circuit) -> usize {
    Circuit::ALL.iter().position(|known| *known == state).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(circuits: &Circuits) -> [i64; 3] {
        [Circuit::Closed, Circuit::HalfOpen, Circuit::Open]
            .map(|state| circuits.states.with_label_values(&["llm", state.as_str()]).get())
    }

    #[test]
    fn the_worst_of_several_breakers_is_shown() {
        let circuits = Circuits::register(&Registry::new()).unwrap();
        circuits.added(Upstream::Llm);
        circuits.added(Upstream::Llm);
        assert_eq!(shown(&circuits), [1, 0, 0]);
        circuits.changed(Upstream::Llm, Circuit::Closed, Circuit::Open);
        assert_eq!(shown(&circuits), [0, 0, 1]);
        assert_eq!(circuits.counts(), [(Upstream::Llm, [1, 1, 0])]);
        circuits.changed(Upstream::Llm, Circuit::Open, Circuit::HalfOpen);
        assert_eq!(shown(&circuits), [0, 1, 0]);
        circuits.changed(Upstream::Llm, Circuit::HalfOpen, Circuit::Closed);
        assert_eq!(shown(&circuits), [1, 0, 0]);
        circuits.changed(Upstream::Llm, Circuit::Closed, Circuit::Open);
        circuits.removed(Upstream::Llm, Circuit::Open);
        assert_eq!(shown(&circuits), [1, 0, 0]);
        assert_eq!(circuits.changes.with_label_values(&["llm", "open"]).get(), 2);
    }
}
