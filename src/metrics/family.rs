//! One metric with one label, every series made at once and reached by index instead of by a hash of names.

use std::marker::PhantomData;

use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

use super::labels::Label;

/// Counters by label.
pub struct Counters<L>(Vec<IntCounter>, PhantomData<L>);

/// Gauges by label.
pub struct Gauges<L>(Vec<IntGauge>, PhantomData<L>);

/// Histograms by label.
pub struct Histograms<L>(Vec<Histogram>, PhantomData<L>);

fn index<L: Label>(label: L) -> usize {
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
    pub(super) fn register(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Self> {
        let family = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &[L::NAME])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(L::ALL.iter().map(|label| family.with_label_values(&[label.as_str()])).collect(), PhantomData))
    }

    /// The histogram of one label value.
    #[must_use]
    pub fn get(&self, label: L) -> &Histogram {
        &self.0[index(label)]
    }
}

/// One series for each pair of label values, in the order that [`pair_index`] knows.
fn of_pairs<A: Label, B: Label, M>(series: impl Fn([&str; 2]) -> M) -> Vec<M> {
    let pairs = A::ALL.iter().flat_map(|a| B::ALL.iter().map(move |b| [a.as_str(), b.as_str()]));
    pairs.map(series).collect()
}

fn pair_index<A: Label, B: Label>(a: A, b: B) -> usize {
    index(a) * B::ALL.len() + index(b)
}

/// Counters by two labels.
pub struct Counters2<A, B>(Vec<IntCounter>, PhantomData<(A, B)>);

impl<A: Label, B: Label> Counters2<A, B> {
    pub(super) fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &[A::NAME, B::NAME])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(of_pairs::<A, B, _>(|pair| family.with_label_values(&pair)), PhantomData))
    }

    /// The counter of one pair of label values.
    #[must_use]
    pub fn get(&self, a: A, b: B) -> &IntCounter {
        &self.0[pair_index(a, b)]
    }
}

/// Amounts by a name that stands in the settings: the one kind of label that is not a closed enum.
pub struct Amounts(CounterVec);

impl Amounts {
    pub(super) fn register(registry: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<Self> {
        let family = CounterVec::new(Opts::new(name, help), &[label])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(family))
    }

    /// The counter of a name, at zero from now on. Only for names that an operator wrote.
    #[must_use]
    pub fn of(&self, name: &str) -> Counter {
        self.0.with_label_values(&[name])
    }
}

/// Gauges by two labels.
pub struct Gauges2<A, B>(Vec<IntGauge>, PhantomData<(A, B)>);

impl<A: Label, B: Label> Gauges2<A, B> {
    pub(super) fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let family = IntGaugeVec::new(Opts::new(name, help), &[A::NAME, B::NAME])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(of_pairs::<A, B, _>(|pair| family.with_label_values(&pair)), PhantomData))
    }

    /// The gauge of one pair of label values.
    #[must_use]
    pub fn get(&self, a: A, b: B) -> &IntGauge {
        &self.0[pair_index(a, b)]
    }
}
