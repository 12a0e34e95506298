//! The admin listener: health, readiness and metrics of the real application.

use std::time::Duration;

use cognigy_fallback_router::{config::Role, shutdown::Shutdown};

use crate::support::app::{TestApp, World, client, run, trigger};

#[tokio::test]
async fn an_application_is_live_started_and_ready() {
    let app = TestApp::start().await;
    app.running.queue.ready().await.unwrap();
    app.outcome_of(&trigger()).await;
    for path in ["/healthz", "/startupz", "/readyz"] {
        let (status, body) = app.admin(path).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    assert_eq!(app.admin("/nowhere").await.0, 404);
}

#[tokio::test]
async fn every_series_exists_from_the_start_and_their_number_is_bounded() {
    let app = TestApp::start().await;
    let (_, fresh) = app.admin("/metrics").await;
    for line in [
        "cfr_webhook_requests_total{outcome=\"queue_unavailable\"} 0",
        "cfr_outcomes_total{status=\"internal_error\"} 0",
        "cfr_upstream_requests_total{status=\"timeout\",upstream=\"llm\"} 0",
        "cfr_dead_letters_total{reason=\"callback_rejected\"} 0",
        "cfr_worker_in_flight{lane=\"work\"} 0",
        "cfr_stage_failures_total{reason=\"timeout\",stage=\"history\"} 0",
        "cfr_build_info{component=\"serve\"",
        "process_resident_memory_bytes",
    ] {
        assert!(fresh.contains(line), "{line} is missing");
    }
    for _ in 0..20 {
        app.outcome_of(&trigger()).await;
    }
    let (_, used) = app.admin("/metrics").await;
    let names = |text: &str| {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        series.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&fresh), names(&used), "use makes no new series");
    assert!(used.contains("cfr_outcomes_total{status=\"success\"} 20"));
    assert!(used.contains("cfr_callback_deliveries_total{outcome=\"delivered\"} 20"));
}

#[tokio::test]
async fn an_ingress_without_its_broker_is_ready_and_not_started_and_a_worker_is_neither() {
    let world = World::start().await;
    let mut environment = world.environment();
    // A port that nobody listens on: bound once, and given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    environment.insert("AMQP_URL".to_owned(), format!("amqp://guest:guest@127.0.0.1:{port}/%2f"));
    for (role, ready) in [(Role::Ingress, 200), (Role::Worker, 503)] {
        let shutdown = Shutdown::default();
        let running = run(&environment, role, shutdown.clone()).await;
        let status = async |path: &str| {
            let url = format!("http://{}{path}", running.admin);
            client().get(url).send().await.unwrap().status().as_u16()
        };
        assert_eq!(status("/healthz").await, 200);
        assert_eq!(status("/startupz").await, 503);
        assert_eq!(status("/readyz").await, ready, "{role:?}");
        assert_eq!(status("/readyz?strict=0").await, ready, "{role:?}");
        assert_eq!(status("/readyz?strict=1").await, 503, "{role:?}");
        shutdown.drain.cancel();
        tokio::time::timeout(Duration::from_secs(60), running.ended()).await.unwrap().unwrap();
    }
}
