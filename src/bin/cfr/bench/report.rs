//! The figures, in words and as JSON.

use std::{fmt::Write as _, time::Duration};

use cognigy_fallback_router::build;
use serde_json::{Map, Value, json};

use super::{
    Arguments,
    children::Used,
    load::Sent,
    soak::{Course, Soaked},
};

/// What the ingress did.
pub(super) struct Accepted {
    pub(super) sent: Sent,
    pub(super) used: Used,
}

/// What the workers did.
pub(super) struct Decided {
    pub(super) triggers: u64,
    pub(super) took: Duration,
    pub(super) calls: u64,
    pub(super) refused: u64,
    /// Decisions of the model, of so many.
    pub(super) unhurt: [usize; 2],
    pub(super) used: Used,
}

impl Decided {
    /// Triggers a second.
    pub(super) fn rate(&self) -> f64 {
        self.triggers as f64 / self.took.as_secs_f64().max(0.001)
    }
}

/// From the request to the callback, less the model's time.
pub(super) struct Timed {
    pub(super) overheads: Vec<Duration>,
}

/// All of them, as they are told.
pub(super) struct Figures(Value);

impl Figures {
    pub(super) fn new(
        arguments: &Arguments,
        accepted: Accepted,
        decided: Decided,
        timed: Option<Timed>,
        soaked: Option<Soaked>,
    ) -> Self {
        let accepted_count = accepted.sent.answered.len() as f64;
        let (answered, accept_s) = (sorted(accepted.sent.answered), accepted.sent.took.as_secs_f64());
        let overheads = timed.map(|timed| sorted(timed.overheads));
        let seconds = decided.took.as_secs_f64().max(0.001);
        let calls = (decided.calls + decided.refused).max(1);
        Self(json!({
            "version": build::VERSION,
            "optimised": !cfg!(debug_assertions),
            "queue": if arguments.amqp_url.is_some() { "rabbitmq" } else { "embedded" },
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "triggers": arguments.triggers, "connections": arguments.connections,
            "workers": arguments.workers, "slots": arguments.slots, "latency_ms": arguments.latency_ms,
            "message_bytes": arguments.message_bytes, "history_bytes": arguments.history_bytes,
            "turns": arguments.turns, "profiles": arguments.profiles,
            "ingress": {
                "accepts_per_s": tenths(accepted_count / accept_s.max(0.001)),
                "p50_ms": percentile(&answered, 50), "p99_ms": percentile(&answered, 99),
                "cpu_s_per_1000": thousandth(accepted.used.cpu_s, accepted_count),
                "peak_rss_mib": accepted.used.peak_mib.map(tenths),
            },
            "worker": {
                "decided_per_s": tenths(decided.rate()),
                "decisions": decided.unhurt[0], "looked_at": decided.unhurt[1],
                "cpu_s_per_1000": thousandth(decided.used.cpu_s, decided.triggers as f64),
                "peak_rss_mib": decided.used.peak_mib.map(tenths),
            },
            "gateway": {
                "limit_per_s": arguments.gateway_limit,
                "calls_per_trigger": thousandths(calls as f64 / decided.triggers.max(1) as f64),
                "taken_per_s": tenths(decided.calls as f64 / seconds),
                "refused_percent": tenths(100.0 * decided.refused as f64 / calls as f64),
            },
            "overhead": overheads.map(|times| json!({
                "rate_per_s": arguments.rate, "p50_ms": percentile(&times, 50), "p99_ms": percentile(&times, 99),
            })),
            "soak": soaked.as_ref().map(soak),
        }))
    }

    /// What grew under a steady load.
    pub(super) fn growth(&self) -> Option<&str> {
        self.0.pointer("/soak/growth")?.as_str()
    }

    pub(super) fn as_json(&self) -> String {
        self.0.to_string()
    }

    pub(super) fn in_words(&self) -> String {
        let figures = &self.0;
        let (ingress, worker, gateway, overhead) =
            (&figures["ingress"], &figures["worker"], &figures["gateway"], &figures["overhead"]);
        let mut text = String::new();
        let mut line = |what: &str, value: String| {
            let _ = writeln!(text, "{what:34}{value}");
        };
        if figures["optimised"] == false {
            line("A DEBUG BUILD", "these figures say nothing: cargo build --release".to_owned());
        }
        line("queue", format!("{}, {} cores", figures["queue"].as_str().unwrap_or(""), figures["cores"]));
        line("accepted a second", ingress["accepts_per_s"].to_string());
        line("  answered in, p50 / p99", format!("{} / {} ms", ingress["p50_ms"], ingress["p99_ms"]));
        line("  CPU for 1,000, memory", used(ingress));
        let shape = format!("{} x {} slots, model {} ms", figures["workers"], figures["slots"], figures["latency_ms"]);
        line("decided a second", format!("{}   ({shape})", worker["decided_per_s"]));
        line("  by the model", format!("{} of {}", worker["decisions"], worker["looked_at"]));
        line("  CPU for 1,000, memory", used(worker));
        if !gateway["limit_per_s"].is_null() {
            let share = format!("{} taken a second, {} % refused", gateway["taken_per_s"], gateway["refused_percent"]);
            line("gateway limited", format!("to {} a second: {share}", gateway["limit_per_s"]));
        }
        if gateway["calls_per_trigger"] != 1.0 {
            line("calls of the model for a trigger", gateway["calls_per_trigger"].to_string());
        }
        if !overhead.is_null() {
            let times =
                format!("{} / {} ms at {} a second", overhead["p50_ms"], overhead["p99_ms"], overhead["rate_per_s"]);
            line("request to callback less model", times);
        }
        let soak = &figures["soak"];
        if !soak.is_null() {
            let load = format!(
                "{} a second for {} s, {} refused, every callback came",
                soak["accepted_per_s"], soak["took_s"], soak["refused"]
            );
            line("steady load", load);
            for (name, held) in soak["held"].as_object().into_iter().flatten() {
                let [earlier, later] = ["second_third", "last_third"].map(|third| &held[third]);
                let memory = format!("{} -> {} MiB", earlier["rss_mib"], later["rss_mib"]);
                let files = format!("{} -> {} open files", earlier["files"], later["files"]);
                line(&format!("  {name}, last two thirds"), format!("{memory}, {files}"));
            }
        }
        text.pop();
        text
    }
}

fn soak(soaked: &Soaked) -> Value {
    let held = |course: &Course| {
        let [earlier, later] =
            course.thirds().map(|held| json!({"rss_mib": tenths(held.rss_mib), "files": held.files}));
        let rss_mib: Vec<_> = course.held.iter().map(|held| tenths(held.rss_mib)).collect();
        let files: Vec<_> = course.held.iter().map(|held| held.files).collect();
        json!({"second_third": earlier, "last_third": later, "rss_mib": rss_mib, "files": files})
    };
    let held: Map<_, _> = soaked.courses.iter().map(|course| (course.name.clone(), held(course))).collect();
    json!({
        "took_s": tenths(soaked.took.as_secs_f64()),
        "accepted_per_s": tenths(soaked.accepted as f64 / soaked.took.as_secs_f64().max(0.001)),
        "refused": soaked.refused,
        "growth": soaked.courses.iter().find_map(Course::growth),
        "held": held,
    })
}

fn used(figures: &Value) -> String {
    let told =
        |value: &Value, unit: &str| if value.is_null() { "not told".to_owned() } else { format!("{value} {unit}") };
    format!("{}, {}", told(&figures["cpu_s_per_1000"], "s"), told(&figures["peak_rss_mib"], "MiB"))
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

/// In milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let place = (sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?);
    Some((sorted[place].as_secs_f64() * 1e5).round() / 100.0)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn thousandth(cpu_s: Option<f64>, of: f64) -> Option<f64> {
    Some((cpu_s? / of.max(1.0) * 1e6).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_there_is() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), (Some(101.0), Some(199.0)));
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(thousandth(Some(0.5), 2_000.0), Some(0.25));
    }
}
