//! Metrics by a name that stands in the settings (a model, a template set, an intent): the one kind of label that is not a
//! closed enum. Only names that an operator wrote come here, and of those only so many; the rest is `other`.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use prometheus::{Counter, CounterVec, IntCounter, IntCounterVec, Opts, Registry};

use super::labels::Label;

/// Stands for every name past the limit.
pub(super) const OTHER: &str = "other";

/// Models and template sets that have series of their own, in the life of a process: a reload may bring new ones.
pub(super) const MOST_NAMES: usize = 16;

/// Intents that have series of their own.
pub(super) const MOST_TARGETS: usize = 64;

/// The names that have series of their own.
pub(super) struct Names {
    most: usize,
    seen: Mutex<BTreeSet<String>>,
}

impl Names {
    pub(super) fn at_most(most: usize) -> Self {
        Self { most, seen: Mutex::default() }
    }

    /// The name, or `other` once there are too many.
    pub(super) fn shown<'n>(&self, name: &'n str) -> Cow<'n, str> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains(name) {
            if seen.len() >= self.most {
                return Cow::Borrowed(OTHER);
            }
            seen.insert(name.to_owned());
        }
        Cow::Borrowed(name)
    }
}

/// Counters by a name and a label.
pub struct Named<L> {
    family: IntCounterVec,
    names: Names,
    label: PhantomData<L>,
}

/// The counters of one name.
#[derive(Clone)]
pub struct NamedCounters<L>(Vec<IntCounter>, PhantomData<L>);

impl<L: Label> Named<L> {
    pub(super) fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        label: &'static str,
    ) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &[label, L::NAME])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self { family, names: Names::at_most(MOST_NAMES), label: PhantomData })
    }

    /// The counters of a name, at zero from now on.
    #[must_use]
    pub fn of(&self, name: &str) -> NamedCounters<L> {
        let name = self.names.shown(name);
        let series = |label: &L| self.family.with_label_values(&[&*name, label.as_str()]);
        NamedCounters(L::ALL.iter().map(series).collect(), PhantomData)
    }
}

impl<L: Label> NamedCounters<L> {
    /// The counter of one label value.
    #[must_use]
    pub fn get(&self, label: L) -> &IntCounter {
        &self.0[super::family::index(label)]
    }
}

/// Amounts by a name.
pub struct Amounts {
    family: CounterVec,
    names: Names,
}

impl Amounts {
    pub(super) fn register(registry: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<Self> {
        let family = CounterVec::new(Opts::new(name, help), &[label])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self { family, names: Names::at_most(MOST_NAMES) })
    }

    /// The counter of a name, at zero from now on.
    #[must_use]
    pub fn of(&self, name: &str) -> Counter {
        self.family.with_label_values(&[&*self.names.shown(name)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_past_the_limit_are_one() {
        let names = Names::at_most(2);
        let shown: Vec<_> = ["a", "b", "c", "a", "d"].into_iter().map(|name| names.shown(name).into_owned()).collect();
        assert_eq!(shown, ["a", "b", "other", "a", "other"]);
    }
}
