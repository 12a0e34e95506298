//! Making and registering the metrics that have no label of their own kind.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::labels::{DecisionSource, Label as _};
use crate::build;

pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

pub(super) fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

pub(super) fn decisions_family(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let options = Opts::new("cfr_decisions_total", "Decisions, by target (an intent of the profile) and who made them");
    let family = IntCounterVec::new(options, &["target", DecisionSource::NAME])?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

pub(super) fn build_info(registry: &Registry, component: &str) -> prometheus::Result<()> {
    let family = IntGaugeVec::new(
        Opts::new("cfr_build_info", "1, with what is running"),
        &["component", "version", "revision", "rustc"],
    )?;
    registry.register(Box::new(family.clone()))?;
    family.with_label_values(&[component, build::VERSION, build::REVISION, build::RUSTC]).set(1);
    Ok(())
}

pub(super) fn process(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
}
