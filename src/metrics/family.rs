//! One metric with one label, every series made at once and reached by index instead of by a hash of names.

use std::marker::PhantomData;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::labels::Label;

/// Counters by label.
pub struct Counters<L>(Vec<IntCounter>, PhantomData<L>);

/// Gauges by label.
pub struct Gauges<L>(Vec<IntGauge>, PhantomData<L>);

/// Histograms by label.
pub struct Histograms<L>(Vec<Histogram>, PhantomData<L>);

pub(super) fn index<L: Label>(label: L) -> usize {
    L::ALL.iter().position(|known| *known == label).unwrap_or(0)
}

impl<L: Label> Counters<L> {
    pub(super) fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &[L::NAME])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(L::ALL.iter().map(|label| family.with_label_values(&[label.as_str()])).collect(), PhantomData))
    }

    /// The counter of one label value.
    #[must_use]
    pub fn get(&self, label: L) -> &IntCounter {
        &self.0[index(label)]
    }
}

impl<L: Label> Gauges<L> {
    pub(super) fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let family = IntGaugeVec::new(Opts::new(name, help), &[L::NAME])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(L::ALL.iter().map(|label| family.with_label_values(&[label.as_str()])).collect(), PhantomData))
    }

    /// The gauge of one label value.
    #[must_use]
    pub fn get(&self, label: L) -> &IntGauge {
        &self.0[index(label)]
    }
}

impl<L: Label> Histograms<L> {
    /// Each label value may have buckets of its own: registered one by one, they are one family all the same.
    pub(super) fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        buckets: impl Fn(L) -> &'static [f64],
    ) -> prometheus::Result<Self> {
        let one = |label: &L| {
            let options = HistogramOpts::new(name, help).const_label(L::NAME, label.as_str());
            let histogram = Histogram::with_opts(options.buckets(buckets(*label).to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        Ok(Self(L::ALL.iter().map(one).collect::<prometheus::Result<_>>()?, PhantomData))
    }

    /// The histogram of one label value.
    #[must_use]
    pub fn get(&self, label: L) -> &Histogram {
        &self.0[index(label)]
    }
}

/// Counters by two labels.
pub struct Counters2<A, B>(IntCounterVec, PhantomData<(A, B)>);

impl<A: Label, B: Label> Counters2<A, B> {
    /// The pairs that can happen exist from the start. Others come to be when they happen all the same.
    pub(super) fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        possible: impl Fn(A, B) -> bool,
    ) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &[A::NAME, B::NAME])?;
        registry.register(Box::new(family.clone()))?;
        let counters = Self(family, PhantomData);
        for a in A::ALL {
            B::ALL.iter().filter(|b| possible(*a, **b)).for_each(|b| drop(counters.get(*a, *b)));
        }
        Ok(counters)
    }

    /// The counter of one pair of label values.
    #[must_use]
    pub fn get(&self, a: A, b: B) -> IntCounter {
        self.0.with_label_values(&[a.as_str(), b.as_str()])
    }
}
