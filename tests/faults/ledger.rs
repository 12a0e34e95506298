//! What went in and what came out, and whether that keeps the promise.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
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
}

impl Bounds {
    /// The same number of repeats of every kind: deliveries that were in flight when something broke.
    pub(crate) fn repeats(most: usize) -> Self {
        Self { duplicates: most, second_outcomes: most, extra_calls: most, dead: 0 }
    }
}

/// The figures of a row that kept the promise.
pub(crate) struct Figures {
    pub(crate) accepted: usize,
    pub(crate) delivered: usize,
    pub(crate) duplicates: usize,
    pub(crate) second_outcomes: usize,
    pub(crate) dead: usize,
    pub(crate) calls: usize,
    /// From the end of the (last) fault until the first trigger that was accepted after it was delivered.
    pub(crate) recovery: Option<Duration>,
    pub(crate) statuses: BTreeMap<String, usize>,
    pub(crate) note: String,
}

impl Figures {
    /// Of publishes that went no further than the queue.
    pub(crate) fn of_a_queue(stored: usize) -> Self {
        Self {
            accepted: stored,
            delivered: stored,
            duplicates: 0,
            second_outcomes: 0,
            dead: 0,
            calls: 0,
            recovery: None,
            statuses: BTreeMap::new(),
            note: String::new(),
        }
    }

    pub(crate) fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// One line of the table in `RESULTS.md`.
    pub(crate) fn table_line(&self, row: &str) -> String {
        let Self { accepted, delivered, duplicates, second_outcomes, dead, calls, .. } = self;
        let recovery = self.recovery.map_or_else(String::new, |span| format!("{:.1} s", span.as_secs_f64()));
        let note = self.explained();
        format!(
            "| {row} | {accepted} | {delivered} | 0 | {duplicates} | {second_outcomes} | {dead} | {calls} | {recovery} | {note} |"
        )
    }

    fn explained(&self) -> String {
        let statuses: Vec<_> = self.statuses.iter().map(|(status, count)| format!("{status} {count}")).collect();
        let parts = [statuses.join(", "), self.note.clone()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, delivered, duplicates, second_outcomes, dead, calls, .. } = self;
        write!(f, "accepted {accepted}, delivered {delivered}, lost 0, duplicates {duplicates}, ")?;
        write!(f, "second outcomes {second_outcomes}, dead {dead}, model calls {calls}, ")?;
        if let Some(recovery) = self.recovery {
            write!(f, "recovered in {:.1} s, ", recovery.as_secs_f64())?;
        }
        write!(f, "{}", self.explained())
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
    let both = delivered.intersection(&dead).count();
    assert!(both == 0, "{both} are delivered and dead letters");
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
    let doubts = deployment.doubts(sink_is_well).await;
    let most = delivered.len().max(ids.len()) + bounds.extra_calls;
    for (what, seen, most) in [
        ("duplicates", duplicates, bounds.duplicates + doubts),
        ("second outcomes", second_outcomes, bounds.second_outcomes + doubts),
        ("dead letters", letters.len(), bounds.dead),
        ("model calls", calls, most + doubts),
    ] {
        assert!(seen <= most, "{seen} {what}, {most} allowed");
    }
    Figures {
        accepted: ids.len(),
        delivered: ids.intersection(&delivered).count(),
        duplicates,
        second_outcomes,
        dead: letters.len(),
        calls,
        recovery: outside.healed_at().and_then(|healed| recovery(accepted, &arrivals, healed)),
        statuses,
        note: String::new(),
    }
}

/// Where nothing was accepted after the fault: until the last one that was accepted before it was delivered.
fn recovery(accepted: &Accepted, arrivals: &HashMap<String, Vec<Arrival>>, healed: Instant) -> Option<Duration> {
    let first = |id: &String| arrivals.get(id)?.iter().filter(|arrival| arrival.acknowledged).map(|one| one.at).min();
    let accepted = accepted.0.lock().unwrap();
    let after = accepted.iter().filter(|(_, at)| **at >= healed).filter_map(|(id, _)| first(id)).min();
    let until = after.or_else(|| accepted.keys().filter_map(first).max())?;
    Some(until.saturating_duration_since(healed))
}
