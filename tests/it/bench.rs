//! `cfr bench`, small: every part runs, and the figures are those of what was asked.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

async fn bench(arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfr"));
    command.arg("bench").args(arguments).env_remove("AMQP_URL").stdin(Stdio::null()).kill_on_drop(true);
    let done = timeout(Duration::from_secs(300), command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

#[tokio::test]
async fn a_bench_measures_accepting_deciding_and_the_time_between() {
    let (good, out, err) = bench(&["--triggers", "40", "--latency-ms", "5", "--json"]).await;
    assert!(good, "{err}");
    let figures: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&figures["triggers"], &figures["queue"]), (&40.into(), &"embedded".into()));
    assert_eq!(figures["worker"]["decisions"], 40, "{figures}");
    for pointer in [
        "/ingress/accepts_per_s",
        "/ingress/p99_ms",
        "/worker/decided_per_s",
        "/worker/peak_rss_mib",
        "/overhead/p50_ms",
    ] {
        let value = figures.pointer(pointer).and_then(Value::as_f64).unwrap();
        assert!(value > 0.0, "{pointer} in {figures}");
    }
    assert_eq!(figures["optimised"], !cfg!(debug_assertions));
}

#[tokio::test]
async fn a_limited_gateway_is_asked_at_its_pace_and_every_trigger_is_decided() {
    let (good, out, err) = bench(&["--triggers", "60", "--latency-ms", "5", "--gateway-limit", "30"]).await;
    assert!(good, "{err}");
    assert!(out.contains("gateway limited") && out.contains("to 30.0 a second"), "{out}");
    assert_eq!(out.contains("DEBUG BUILD"), cfg!(debug_assertions), "{out}");
}

#[tokio::test]
async fn a_slow_tail_is_hedged_within_the_calls_that_it_may_cost() {
    // So few that the slowest twentieth of the calls, by which a hedge waits, are quick ones.
    let slow = ["--triggers", "300", "--rate", "100", "--latency-ms", "5", "--slow-one-in", "60", "--slow-ms", "500"];
    for (hedge, most) in [(None, 1.0), (Some("--hedge"), 1.06)] {
        let arguments: Vec<_> = slow.iter().copied().chain(hedge).chain(["--json"]).collect();
        let (good, out, err) = bench(&arguments).await;
        assert!(good, "{err}");
        let figures: Value = serde_json::from_str(&out).unwrap();
        let calls = figures["gateway"]["calls_per_trigger"].as_f64().unwrap();
        assert!((1.0..=most).contains(&calls), "{figures}");
        assert_eq!(hedge.is_some(), calls > 1.0, "{figures}");
        assert!(figures["overhead"]["p99_ms"].as_f64().unwrap() > 0.0, "{figures}");
    }
    let (good, _, err) = bench(&["--slow-ms", "5"]).await;
    assert!(!good && err.contains("--slow-one-in"), "{err}");
}

#[tokio::test]
async fn a_steady_load_is_watched_over_several_profiles_and_long_conversations() {
    let arguments = ["--triggers", "20", "--latency-ms", "5", "--rate", "20", "--profiles", "3", "--turns", "60"];
    let (good, out, err) = bench(&[&arguments[..], &["--soak-s", "10", "--json"]].concat()).await;
    let figures: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    let soak = &figures["soak"];
    assert_eq!(good, soak["growth"].is_null(), "what grows is an error: {err}");
    assert!(soak["accepted_per_s"].as_f64().unwrap() > 0.0, "{soak}");
    for process in ["ingress", "worker 1"] {
        let held = &soak["held"][process];
        assert!(held["last_third"]["rss_mib"].as_f64().unwrap() > 1.0, "{held}");
        assert!(held["files"].as_array().unwrap().len() > 10, "looked at often: {held}");
    }
}
