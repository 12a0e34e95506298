//! What went in and what came out, and whether that keeps the promise.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    figures::{Counted, Figures},
    outside::{Arrival, Outside},
    processes::Deployment,
    rows::setting,
};

/// Longest wait, in seconds, for what was accepted to come out. Nothing waits that long unless it is lost.
pub(crate) const PATIENCE: u64 = 300;

/// Ids that were answered 202, and when first.
#[derive(Clone, Default)]
pub(crate) struct Accepted(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Accepted {
    pub(crate) fn add(&self, id: String) {
        self.0.lock().unwrap().entry(id).or_insert_with(Instant::now);
    }

    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The longest time from an answer of 202 to the delivery of its outcome.
    pub(crate) fn slowest(&self, outside: &Outside) -> Duration {
        let arrivals = outside.arrivals();
        let accepted = self.0.lock().unwrap();
        let delivered = |id: &String| first_delivery(arrivals.get(id)?);
        accepted
            .iter()
            .filter_map(|(id, at)| Some(delivered(id)?.saturating_duration_since(*at)))
            .max()
            .unwrap_or_default()
    }

    pub(crate) fn join(&self, others: &Self) {
        let others: Vec<_> = others.0.lock().unwrap().clone().into_iter().collect();
        self.0.lock().unwrap().extend(others);
    }
}

/// What a row allows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// Acknowledged posts of a trigger beyond the first.
    pub(crate) duplicates: usize,
    /// Decided outcomes of a trigger beyond the first (other bodies).
    pub(crate) second_outcomes: usize,
    /// Dead letters.
    pub(crate) dead: usize,
    /// Model calls beyond one for each accepted trigger.
    pub(crate) extra_calls: usize,
    /// What [`Deployment::doubts`] said of a worker that is gone since.
    pub(crate) doubts: usize,
}

impl Bounds {
    /// The same number of repeats of every kind: deliveries that were in flight when something broke.
    pub(crate) fn repeats(most: usize) -> Self {
        Self { duplicates: most, second_outcomes: most, extra_calls: most, ..Self::default() }
    }
}

/// Waits until every accepted trigger is at the sink or among the dead letters and the queue is idle, then checks.
pub(crate) async fn settle(accepted: &Accepted, outside: &Outside, deployment: &Deployment, bounds: Bounds) -> Figures {
    let queue = &deployment.queue;
    let (began, patience) = (Instant::now(), Duration::from_secs(setting("PATIENCE", PATIENCE)));
    let mut idle_since = None;
    loop {
        let missing = accepted.ids().difference(&outside.acknowledged()).count();
        let depths = queue.depths().await;
        let dead = depths.as_ref().map_or(0, |depths| depths.dead as usize);
        let idle = depths.is_ok_and(|d| d.work + d.late + d.outcome + d.delayed == 0) && missing <= dead;
        // Deliveries in hand do not count as ready: the queue has to stay empty for a while.
        match (idle, idle_since) {
            (false, _) => idle_since = None,
            (true, None) => idle_since = Some(Instant::now()),
            (true, Some(since)) if since.elapsed() > Duration::from_secs(2) => break,
            (true, Some(_)) => {}
        }
        assert!(
            began.elapsed() < patience,
            "after {patience:?} {missing} accepted triggers are neither at the sink nor dead: {:?}; {}",
            queue.depths().await,
            deployment.told_by_workers().await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    check(accepted, outside, deployment, bounds).await
}

async fn check(accepted: &Accepted, outside: &Outside, deployment: &Deployment, bounds: Bounds) -> Figures {
    let arrivals = outside.arrivals();
    let (ids, delivered) = (accepted.ids(), outside.acknowledged());
    let letters = deployment.queue.dead_letters(100_000).await.unwrap();
    let dead: BTreeSet<String> = letters.iter().map(|letter| letter.message.envelope.trigger_id.to_string()).collect();
    let lost: Vec<_> = ids.iter().filter(|id| !delivered.contains(*id) && !dead.contains(*id)).collect();
    assert!(lost.is_empty(), "{} lost, e.g. {:?}", lost.len(), &lost[..lost.len().min(3)]);
    let strays = arrivals.keys().filter(|id| !ids.contains(*id)).count();
    assert!(strays == 0, "{strays} arrived that nobody was promised");

    let (mut duplicates, mut second_outcomes, mut statuses) = (0, 0, BTreeMap::new());
    for arrivals in arrivals.values() {
        let acknowledged = arrivals.iter().filter(|arrival| arrival.acknowledged).count();
        duplicates += acknowledged.saturating_sub(1);
        let bodies: BTreeSet<_> = arrivals.iter().map(|arrival| arrival.body_hash).collect();
        second_outcomes += bodies.len() - 1;
        if let Some(arrival) = arrivals.first() {
            *statuses.entry(arrival.status.clone()).or_insert(0) += 1;
        }
    }
    let (calls, late) = (outside.calls(), outside.late_calls());
    assert!(late == 0, "{late} model calls were made after the deadline");
    // On a busy machine a limit can pass where nothing was broken; the workers count that.
    let sink_is_well = arrivals.values().flatten().all(|arrival| arrival.acknowledged);
    let doubts = bounds.doubts + deployment.doubts(sink_is_well).await;
    // A dead letter whose storing was not confirmed is posted again: it can be both.
    Counted::new(delivered.intersection(&dead).count(), doubts, "delivered and dead letters");
    let most_dead = if bounds.dead == 0 { 0 } else { bounds.dead + doubts };
    let most_calls = delivered.len().max(ids.len()) + bounds.extra_calls + doubts;
    Figures {
        accepted: ids.len(),
        delivered: ids.intersection(&delivered).count(),
        duplicates: Counted::new(duplicates, bounds.duplicates + doubts, "duplicates"),
        second_outcomes: Counted::new(second_outcomes, bounds.second_outcomes + doubts, "second outcomes"),
        dead: Counted::new(letters.len(), most_dead, "dead letters"),
        calls: Counted::new(calls, most_calls, "model calls"),
        recovery: outside.healed_at().and_then(|healed| recovery(accepted, &arrivals, healed)),
        silence: outside.broken_at().and_then(|broken| silence(accepted, &arrivals, broken)),
        statuses,
        note: String::new(),
    }
}

/// Where nothing was accepted after the fault: until the last one that was accepted before it was delivered.
fn recovery(accepted: &Accepted, arrivals: &HashMap<String, Vec<Arrival>>, healed: Instant) -> Option<Duration> {
    let first = |id: &String| first_delivery(arrivals.get(id)?);
    let accepted = accepted.0.lock().unwrap();
    let after = accepted.iter().filter(|(_, at)| **at >= healed).filter_map(|(id, _)| first(id)).min();
    let until = after.or_else(|| accepted.keys().filter_map(first).max())?;
    Some(until.saturating_duration_since(healed))
}

/// The longest time in which nothing was delivered, from the first fault until nothing more was accepted.
fn silence(accepted: &Accepted, arrivals: &HashMap<String, Vec<Arrival>>, broken: Instant) -> Option<Duration> {
    let until = accepted.0.lock().unwrap().values().max().copied()?;
    let mut deliveries: Vec<_> = arrivals.values().filter_map(|arrivals| first_delivery(arrivals)).collect();
    deliveries.sort_unstable();
    let within = deliveries.windows(2).filter(|pair| pair[1] >= broken && pair[0] <= until);
    within.map(|pair| pair[1] - pair[0]).max()
}

fn first_delivery(arrivals: &[Arrival]) -> Option<Instant> {
    arrivals.iter().filter(|arrival| arrival.acknowledged).map(|arrival| arrival.at).min()
}
