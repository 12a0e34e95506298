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
