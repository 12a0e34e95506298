//! What the simulated endpoint takes and refuses, as the documented one does.

use cognigy_fallback_router::simulators::SimulatedChannel;
use serde_json::{Value, json};

use super::{AMPLE, MISSED, Stage, contains};
use crate::support::app::client;

/// A conversation to which a result was injected, and the body of that.
async fn injected(stage: &Stage) -> (String, Value) {
    let session = stage.open(SimulatedChannel::Webchat);
    stage.say(&session, MISSED).await;
    stage.bot_said(&session, 2).await;
    let body = stage.simulators.endpoint.injected().pop().unwrap();
    (session, serde_json::from_slice(&body).unwrap())
}

async fn post(stage: &Stage, route: &str, token: &str, body: &Value) -> u16 {
    let url = format!("{}/{route}/{token}", stage.simulators.endpoint.url());
    client().post(url).timeout(AMPLE).json(body).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_injected_twice_is_shown_once() {
    let stage = Stage::start("cognigy-inject", &[]).await;
    let (session, body) = injected(&stage).await;
    let token = SimulatedChannel::Webchat.url_token();
    let turns = stage.simulators.endpoint.turns(&session);
    assert_eq!(post(&stage, "inject", token, &body).await, 200);
    assert_eq!(stage.simulators.endpoint.turns(&session), turns + 1, "the flow ran");
    let said = stage.bot_said(&session, 2).await;
    assert_eq!((said.len(), contains(&said, "password")), (2, 1));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_signed_results_for_known_endpoints_and_sessions_are_taken() {
    let stage = Stage::start("cognigy-inject", &[]).await;
    let (session, good) = injected(&stage).await;
    let token = SimulatedChannel::Webchat.url_token();
    type Change = fn(&mut Value);
    let changes: [(Change, u16); 7] = [
        (|body| body["sessionId"] = Value::Null, 400),
        (|body| body["userId"] = json!("x".repeat(257)), 400),
        (|body| body["data"] = json!("text"), 400),
        (|body| body["text"] = json!("something else"), 401),
        (|body| body["data"]["fallbackRouter"]["payload"] = json!("{\"status\":\"success\"}"), 401),
        (|body| body["data"]["fallbackRouter"]["sig"] = json!("00"), 401),
        (|body| body["data"] = json!({}), 401),
    ];
    for (change, expected) in changes {
        let mut body = good.clone();
        change(&mut body);
        for route in ["inject", "notify"] {
            assert_eq!(post(&stage, route, token, &body).await, expected, "{route} {}", body["sessionId"]);
        }
    }
    assert_eq!(post(&stage, "inject", "unknown", &good).await, 404);
    assert_eq!(post(&stage, "inject", SimulatedChannel::CxoneText.url_token(), &good).await, 400);
    assert_eq!(
        post(&stage, "inject", SimulatedChannel::Voice.url_token(), &good).await,
        400,
        "another endpoint's session"
    );
    assert_eq!(stage.bot_said(&session, 2).await.len(), 2, "nothing of that was shown");
    stage.stop().await;
}
