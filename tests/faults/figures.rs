//! The figures of a row, and how they are told.

use std::{collections::BTreeMap, fmt, time::Duration};

/// What was counted, and the most of it that the row allows.
#[derive(Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) seen: usize,
    most: usize,
}

impl Counted {
    /// Fails if there is more than is allowed.
    pub(crate) fn new(seen: usize, most: usize, what: &str) -> Self {
        assert!(seen <= most, "{seen} {what}, {most} allowed");
        Self { seen, most }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, most } = self;
        write!(f, "{seen} (≤ {most})")
    }
}

/// The figures of a row that kept the promise.
pub(crate) struct Figures {
    pub(crate) accepted: usize,
    pub(crate) delivered: usize,
    pub(crate) duplicates: Counted,
    pub(crate) second_outcomes: Counted,
    pub(crate) dead: Counted,
    pub(crate) calls: Counted,
    /// From the end of the (last) fault until the first trigger that was accepted after it was delivered.
    pub(crate) recovery: Option<Duration>,
    /// Where the rest goes on while something is broken: the longest time in which nothing was delivered.
    pub(crate) silence: Option<Duration>,
    pub(crate) statuses: BTreeMap<String, usize>,
    pub(crate) note: String,
}

impl Figures {
    /// Of publishes that went no further than the queue.
    pub(crate) fn of_a_queue(stored: usize) -> Self {
        let none = Counted { seen: 0, most: 0 };
        Self {
            accepted: stored,
            delivered: stored,
            duplicates: none,
            second_outcomes: none,
            dead: none,
            calls: none,
            recovery: None,
            silence: None,
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
        let (recovery, note) = (self.recovered().join(", "), self.explained());
        format!(
            "| {row} | {accepted} | {delivered} | 0 | {duplicates} | {second_outcomes} | {dead} | {calls} | {recovery} | {note} |"
        )
    }

    fn recovered(&self) -> Vec<String> {
        let told = |what: &str, span: Option<Duration>| Some(format!("{what}{:.1} s", span?.as_secs_f64()));
        [told("", self.recovery), told("silence ", self.silence)].into_iter().flatten().collect()
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
        for recovered in self.recovered() {
            write!(f, "recovered in {recovered}, ")?;
        }
        write!(f, "{}", self.explained())
    }
}
