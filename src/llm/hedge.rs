//! A second call beside one that takes long: the first good answer of the two counts, the other call is given up.

use std::{
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::Spent;

/// So many calls earn a hedge: of a hundred five may be asked twice.
const CALLS_FOR_ONE: u32 = 20;

/// Most hedges that can be saved up.
const SAVED: u32 = 10;

/// `[profiles.NAME.llm.hedge]`: a second call beside one that takes long. At most one in twenty calls is asked twice; never
/// where the model's breaker is not closed, its gateway is asked more slowly, or the trigger has had its calls.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HedgeConfig {
    /// How long a call may take before there is a second one; not set: as long as 95 of its model's last 256 answers took
    /// at most, once there are 50.
    #[serde(default, with = "humantime_serde")]
    #[schemars(with = "Option<crate::time::DurationText>")]
    pub after: Option<Duration>,
    /// Which model is asked.
    #[serde(default)]
    pub to: HedgeTo,
}

/// Whom a second call goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HedgeTo {
    /// The model that takes long: helps where single calls are slow by chance.
    #[default]
    Same,
    /// The next one of the list: helps where a model is slow as such.
    Next,
}

/// The hedges of one profile.
pub(super) struct Hedging {
    pub(super) config: HedgeConfig,
    /// Calls that no hedge was taken for yet.
    calls: Mutex<u32>,
}

impl Hedging {
    pub(super) fn new(config: HedgeConfig) -> Self {
        Self { config, calls: Mutex::new(0) }
    }

    /// Notes a call that is no hedge.
    pub(super) fn earn(&self) {
        let mut calls = self.lock();
        *calls = (*calls + 1).min(SAVED * CALLS_FOR_ONE);
    }

    /// Takes one hedge; false when there is none.
    pub(super) fn take(&self) -> bool {
        let mut calls = self.lock();
        let enough = *calls >= CALLS_FOR_ONE;
        if enough {
            *calls -= CALLS_FOR_ONE;
        }
        enough
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of two calls an answer is of, and whether the other one was given up for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Winner {
    /// The first; there was no other.
    Alone,
    /// The first.
    First { given_up: bool },
    /// The second.
    Second { given_up: bool },
}

/// Waits for `first`, and from `after` on also for what `second` makes, if anything. A failure of one leaves the other
/// going on; the failure that is told is that of `first`. One that `settles` the matter ends both.
pub(super) async fn hedged<T, E, S>(
    first: impl Future<Output = Result<T, E>>,
    after: Duration,
    second: impl FnOnce() -> Option<S>,
    settles: impl Fn(&E) -> bool,
) -> (Result<T, E>, Winner)
where
    S: Future<Output = Result<T, E>>,
{
    let mut first = pin!(first);
    tokio::select! {
        biased;
        result = &mut first => return (result, Winner::Alone),
        () = sleep(after) => {}
    }
    let Some(second) = second() else { return (first.await, Winner::Alone) };
    let mut second = pin!(second);
    tokio::select! {
        biased;
        result = &mut first => match result {
            Err(error) if !settles(&error) => match second.await {
                Ok(answer) => (Ok(answer), Winner::Second { given_up: false }),
                Err(_) => (Err(error), Winner::First { given_up: false }),
            },
            result => (result, Winner::First { given_up: true }),
        },
        result = &mut second => match result {
            Err(error) if !settles(&error) => (first.await, Winner::First { given_up: false }),
            result => (result, Winner::Second { given_up: true }),
        },
    }
}

/// What two calls cost, added up when this is dropped, however that comes about. Their time counts once.
pub(super) struct Both<'a> {
    sum: &'a mut Spent,
    pub(super) first: Spent,
    pub(super) second: Spent,
    begun: Instant,
}

impl<'a> Both<'a> {
    pub(super) fn adding_to(sum: &'a mut Spent) -> Self {
        Self { sum, first: Spent::default(), second: Spent::default(), begun: Instant::now() }
    }
}

impl Drop for Both<'_> {
    fn drop(&mut self) {
        for part in [self.first, self.second] {
            self.sum.calls += part.calls;
            self.sum.charged = self.sum.charged.saturating_add(part.charged);
            if let Some(usage) = part.usage {
                *self.sum.usage.get_or_insert_default() += usage;
            }
            if let Some(cost) = part.cost_usd {
                *self.sum.cost_usd.get_or_insert_default() += cost;
            }
        }
        self.sum.upstream += self.begun.elapsed();
    }
}

#[cfg(test)]
mod tests {
    use super::{super::latency::Latencies, *};

    const MS: Duration = Duration::from_millis(1);

    /// A model of which one answer in 25 takes 8 s and the others 400 to 800 ms, the same in every run.
    fn takes(call: u64) -> Duration {
        // The multiplier of a common linear congruential generator; the upper bits are disorderly enough.
        let chance = call.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33;
        if chance.is_multiple_of(25) { 8_000 * MS } else { MS * (400 + u32::try_from(chance % 401).unwrap()) }
    }

    /// The 99th percentile of 4,000 triggers, and how many calls they took.
    async fn run(hedging: Option<&Hedging>) -> (Duration, u64) {
        let (mut latencies, mut times, mut calls) = (Latencies::default(), Vec::new(), 0);
        for _ in 0..4_000 {
            calls += 1;
            let (begun, first_takes) = (Instant::now(), takes(calls));
            let first = async {
                sleep(first_takes).await;
                Ok::<_, ()>(())
            };
            let after = hedging.and_then(|hedging| {
                hedging.earn();
                latencies.p95()
            });
            let winner = match (hedging, after) {
                (Some(hedging), Some(after)) => {
                    let second = || {
                        hedging.take().then(|| {
                            calls += 1;
                            let time = takes(calls);
                            async move {
                                sleep(time).await;
                                Ok(())
                            }
                        })
                    };
                    hedged(first, after, second, |()| false).await.1
                }
                _ => (first.await, Winner::Alone).1,
            };
            let took = begun.elapsed();
            times.push(took);
            match winner {
                Winner::Second { .. } => latencies.at_least(took),
                _ => drop(latencies.note(took, false)),
            }
        }
        times.sort_unstable();
        (times[times.len() * 99 / 100], calls)
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_bimodal_model_the_slowest_of_a_hundred_is_cut_off_for_few_further_calls() {
        let (without, calls) = run(None).await;
        let hedging = Hedging::new(HedgeConfig { after: None, to: HedgeTo::Same });
        let (with, hedged_calls) = run(Some(&hedging)).await;
        let told = format!("p99 {with:?} instead of {without:?}, {hedged_calls} calls instead of {calls}");
        assert!(with.as_secs_f64() <= 0.6 * without.as_secs_f64(), "{told}");
        assert!(hedged_calls * 100 <= calls * 105, "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_good_answer_wins_and_a_failure_leaves_the_other_going_on() {
        let after = |time: u32, result: Result<&'static str, &'static str>| async move {
            sleep(MS * time).await;
            result
        };
        let race = async |first, second: Option<_>| {
            let begun = Instant::now();
            let (result, winner) = hedged(first, 100 * MS, || second, |error| *error == "final").await;
            (result, winner, begun.elapsed().as_millis())
        };
        let none = || None.or_else(|| Some(after(0, Ok("x")))).filter(|_| false);
        assert_eq!(race(after(50, Ok("1")), Some(after(1, Ok("2")))).await, (Ok("1"), Winner::Alone, 50));
        assert_eq!(race(after(500, Ok("1")), none()).await, (Ok("1"), Winner::Alone, 500));
        let second = Winner::Second { given_up: true };
        assert_eq!(race(after(500, Ok("1")), Some(after(50, Ok("2")))).await, (Ok("2"), second, 150));
        let first = Winner::First { given_up: true };
        assert_eq!(race(after(120, Ok("1")), Some(after(50, Ok("2")))).await, (Ok("1"), first, 120));
        let second = Winner::Second { given_up: false };
        assert_eq!(race(after(120, Err("1")), Some(after(50, Ok("2")))).await, (Ok("2"), second, 150));
        let first = Winner::First { given_up: false };
        assert_eq!(race(after(120, Err("1")), Some(after(50, Err("2")))).await, (Err("1"), first, 150));
        assert_eq!(race(after(300, Ok("1")), Some(after(50, Err("2")))).await, (Ok("1"), first, 300));
        let settled = Winner::First { given_up: true };
        assert_eq!(race(after(120, Err("final")), Some(after(50, Ok("2")))).await, (Err("final"), settled, 120));
    }

    #[test]
    fn one_call_in_twenty_earns_a_hedge_and_few_are_saved() {
        let hedging = Hedging::new(HedgeConfig { after: None, to: HedgeTo::Same });
        assert!(!hedging.take(), "nothing is given in advance");
        (0..20).for_each(|_| hedging.earn());
        assert!(hedging.take() && !hedging.take());
        (0..10_000).for_each(|_| hedging.earn());
        assert_eq!((0..100).filter(|_| hedging.take()).count(), 10);
    }

    #[test]
    fn both_calls_are_added_up_and_their_time_once() {
        let mut spent = Spent { calls: 1, ..Spent::default() };
        let mut both = Both::adding_to(&mut spent);
        (both.first.calls, both.second.calls, both.first.charged) = (1, 1, 7);
        (both.first.upstream, both.second.upstream) = (Duration::from_secs(9), Duration::from_secs(9));
        drop(both);
        assert_eq!((spent.calls, spent.charged), (3, 7));
        assert!(spent.upstream < Duration::from_secs(9));
    }
}
