//! What went in and what came out, and whether that keeps the promise.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use cognigy_fallback_router::queue::Queue;

use crate::outside::Outside;

/// Ids that were answered 202.
#[derive(Clone, Default)]
pub(crate) struct Accepted(Arc<Mutex<BTreeSet<String>>>);

impl Accepted {
    pub(crate) fn add(&self, id: String) {
        self.0.lock().unwrap().insert(id);
    }

    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().clone()
    }
}

/// One arrival at the sink.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) body_hash: u64,
    pub(crate) status: String,
    pub(crate) acknowledged: bool,
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

/// The figures of a row that kept the promise.
pub(crate) struct Figures {
    accepted: usize,
    delivered: usize,
    duplicates: usize,
    dead: usize,
    calls: usize,
    statuses: BTreeMap<String, usize>,
    pub(crate) note: String,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, delivered, duplicates, dead, calls, statuses, note } = self;
        let statuses: Vec<_> = statuses.iter().map(|(status, count)| format!("{status} {count}")).collect();
        write!(
            f,
            "accepted {accepted}, delivered {delivered}, lost 0, duplicates {duplicates}, dead {dead}, model calls {calls} ({}){}{note}",
            statuses.join(", "),
            if note.is_empty() { "" } else { "; " }
        )
    }
}

/// Waits until every accepted trigger is at the sink or among the dead letters and the queue is idle, then checks.
pub(crate) async fn settle(accepted: &Accepted, outside: &Outside, queue: &Arc<dyn Queue>, bounds: Bounds) -> Figures {
    let began = std::time::Instant::now();
    let mut idle_since = None;
    loop {
        let missing = accepted.ids().difference(&outside.acknowledged()).count();
        let depths = queue.depths().await;
        let dead = depths.as_ref().map_or(0, |depths| depths.dead as usize);
        let idle = depths.is_ok_and(|d| d.work + d.late + d.outcome + d.delayed == 0) && missing <= dead;
        // Deliveries in hand do not count as ready: the queue has to stay empty for a while.
        match (idle, idle_since) {
            (false, _) => idle_since = None,
            (true, None) => idle_since = Some(std::time::Instant::now()),
            (true, Some(since)) if since.elapsed() > Duration::from_secs(2) => break,
            (true, Some(_)) => {}
        }
        assert!(
            began.elapsed() < Duration::from_secs(240),
            "after four minutes {missing} accepted triggers are neither at the sink nor dead: {:?}",
            queue.depths().await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    check(accepted, outside, queue, bounds).await
}

async fn check(accepted: &Accepted, outside: &Outside, queue: &Arc<dyn Queue>, bounds: Bounds) -> Figures {
    let accepted = accepted.ids();
    let delivered = outside.acknowledged();
    let letters = queue.dead_letters(100_000).await.unwrap();
    let dead: BTreeSet<String> = letters.iter().map(|letter| letter.message.envelope.trigger_id.to_string()).collect();
    let lost: Vec<_> = accepted.iter().filter(|id| !delivered.contains(*id) && !dead.contains(*id)).collect();
    assert!(lost.is_empty(), "{} lost, e.g. {:?}", lost.len(), &lost[..lost.len().min(3)]);

    let (mut duplicates, mut second_outcomes, mut statuses) = (0, 0, BTreeMap::new());
    for arrivals in outside.arrivals().values() {
        let acknowledged = arrivals.iter().filter(|arrival| arrival.acknowledged).count();
        duplicates += acknowledged.saturating_sub(1);
        let bodies: BTreeSet<_> = arrivals.iter().map(|arrival| arrival.body_hash).collect();
        second_outcomes += bodies.len() - 1;
        if let Some(arrival) = arrivals.first() {
            *statuses.entry(arrival.status.clone()).or_insert(0) += 1;
        }
    }
    let calls = outside.calls();
    assert!(duplicates <= bounds.duplicates, "{duplicates} duplicates, {} allowed", bounds.duplicates);
    assert!(
        second_outcomes <= bounds.second_outcomes,
        "{second_outcomes} second outcomes, {} allowed",
        bounds.second_outcomes
    );
    assert!(dead.len() <= bounds.dead, "{} dead letters, {} allowed", dead.len(), bounds.dead);
    let most = delivered.len().max(accepted.len()) + bounds.extra_calls;
    assert!(calls <= most, "{calls} model calls, {most} allowed");
    Figures {
        accepted: accepted.len(),
        delivered: accepted.intersection(&delivered).count(),
        duplicates,
        dead: dead.len(),
        calls,
        statuses,
        note: String::new(),
    }
}
