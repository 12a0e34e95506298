//! The simulated outside world, spoken to by the product's own clients.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cognigy_fallback_router::{
    callback::{self, Callback, CallbackError, Config as CallbackConfig, Mode, ReplyTo, StoredOutcome},
    conversation::{Conversation, Role},
    egress::EgressConfig,
    history::{self, HistoryError, HistoryProvider, Provider},
    llm::{ChatMessage, Completion, CompletionRequest, LlmClient, LlmError, Spent},
    metrics::Metrics,
    outcome::Status,
    secret::Secret,
    simulators::{
        CALLBACK_SECRET, CXONE_ACCESS_KEY_ID, CXONE_ACCESS_KEY_SECRET, CXONE_CLIENT_ID, CXONE_CLIENT_SECRET,
        CallbackAnswer, CaseAuthor, LLM_API_KEY, Script, Simulators,
    },
    time::EpochMs,
    trigger::{IdempotencyKey, TriggerId},
};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{gateway, history as support_history};

const AMPLE: Duration = Duration::from_secs(30);

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("test").unwrap())
}

fn history(simulators: &Simulators) -> Arc<dyn HistoryProvider> {
    let mut config = support_history::config(Provider::CxoneSummaries);
    config.cxone.base_url = simulators.cxone.url().to_owned();
    config.cxone.client_id = Some(CXONE_CLIENT_ID.to_owned());
    config.cxone.client_secret = Some(Secret::new(CXONE_CLIENT_SECRET));
    history::connect(&config, &metrics()).unwrap()
}

async fn fetch(provider: &Arc<dyn HistoryProvider>, conversation_id: &str) -> Result<Conversation, HistoryError> {
    provider.fetch(&support_history::trigger(conversation_id), Instant::now() + AMPLE).await
}

fn trigger_id() -> TriggerId {
    TriggerId::derived("default", IdempotencyKey::Header("k"))
}

#[tokio::test]
async fn cxone_gives_a_conversation_in_pages_and_survives_expired_tokens() {
    let simulators = Simulators::start().await.unwrap();
    let provider = history(&simulators);
    let conversation = fetch(&provider, "any").await.unwrap();
    assert_eq!(conversation.turns.len(), 8);
    assert_eq!(simulators.cxone.pages_given(), 2);

    simulators.cxone.expire_tokens();
    simulators.cxone.set_conversation("mine", &[("user-1", "a"), ("agent-1", "b")]);
    let conversation = fetch(&provider, "mine").await.unwrap();
    let said: Vec<_> = conversation.turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect();
    assert_eq!(said, [(Role::User, "a"), (Role::Agent, "b")]);
    assert_eq!(simulators.cxone.tokens_given(), 2);

    simulators.cxone.set_outage(Some(StatusCode::FORBIDDEN));
    assert!(fetch(&provider, "mine").await.is_err());
}

#[tokio::test]
async fn cxone_gives_a_digital_case_in_pages_and_survives_expired_tokens() {
    let simulators = Simulators::start().await.unwrap();
    let mut config = support_history::config(Provider::CxoneDigital);
    let digital = &mut config.cxone_digital;
    digital.environment_url = simulators.cxone.url().to_owned();
    digital.access_key_id = Some(CXONE_ACCESS_KEY_ID.to_owned());
    digital.access_key_secret = Some(Secret::new(CXONE_ACCESS_KEY_SECRET));
    digital.client_id = Some(CXONE_CLIENT_ID.to_owned());
    digital.client_secret = Some(Secret::new(CXONE_CLIENT_SECRET));
    digital.egress = support_history::loopback(&[]);
    let provider = history::connect(&config, &metrics()).unwrap();
    let case = async |id| {
        let trigger = support_history::trigger_of_case(None, Some(id));
        provider.fetch(&trigger, Instant::now() + AMPLE).await
    };
    for number in 0..3 {
        simulators.cxone.say_in_case("4711", CaseAuthor::Customer, &format!("c{number}"));
        simulators.cxone.say_in_case("4711", CaseAuthor::Bot, &format!("b{number}"));
    }
    simulators.cxone.say_in_case("4711", CaseAuthor::Agent, "a");
    let expected = ["c0", "b0", "c1", "b1", "c2", "b2", "a"];
    assert_eq!(support_history::texts(&case("4711").await.unwrap()), expected);
    assert_eq!(simulators.cxone.case_lists_given(), 2);

    simulators.cxone.expire_tokens();
    let conversation = case("4711").await.unwrap();
    assert_eq!(conversation.turns.iter().filter(|turn| turn.role == Role::Assistant).count(), 3);
    assert_eq!(simulators.cxone.digital_tokens_given(), 2);
    assert_eq!(case("unknown").await, Err(support_history::status(404)));
    simulators.cxone.set_outage(Some(StatusCode::FORBIDDEN));
    assert!(case("4711").await.is_err());
}

async fn ask(client: &LlmClient, text: &str, limit: Duration) -> Result<Completion, LlmError> {
    let user = format!(
        "<customer_data id=\"1\">\n{}\n</customer_data>",
        json!({"history": ["invoice"], "last_message": text})
    );
    let messages =
        [ChatMessage { role: "system", content: "JSON".to_owned() }, ChatMessage { role: "user", content: user }];
    client.complete(CompletionRequest::new(&messages), Instant::now() + limit, &mut Spent::default()).await
}

fn client(simulators: &Simulators, key: &str) -> LlmClient {
    let mut config = gateway::config();
    config.base_url = Some(simulators.llm.url().to_owned());
    config.api_key = Some(Secret::new(key));
    LlmClient::new(&config, &json!({}), metrics()).unwrap()
}

#[tokio::test]
async fn the_gateway_decides_by_the_last_message() {
    let simulators = Simulators::start().await.unwrap();
    let client = client(&simulators, LLM_API_KEY);
    for (text, intent) in [
        ("my password", "password_reset"),
        ("where is my parcel", "order_status"),
        ("hm", "general_question"),
        ("a human, please", "speak_to_agent"),
    ] {
        let content = ask(&client, text, AMPLE).await.unwrap().content;
        let decision: Value = serde_json::from_str(&content).unwrap();
        assert_eq!(decision["classified_intent"], intent, "{text}");
        assert_eq!(decision["requires_human_agent"], intent == "speak_to_agent");
    }
    assert_eq!(simulators.llm.calls(), 4);
    assert_eq!(simulators.llm.requests().len(), 4);
}

#[tokio::test]
async fn the_gateway_misbehaves_by_mark() {
    let simulators = Simulators::start().await.unwrap();
    let client = client(&simulators, LLM_API_KEY);
    let json = |content: &str| serde_json::from_str::<Value>(content).is_ok();
    for (mark, first, second) in [
        ("sim:invalid-json", false, true),
        ("sim:always-invalid", false, false),
        ("sim:fenced", false, false),
        ("sim:truncated", false, true),
    ] {
        for valid in [first, second] {
            let completion = ask(&client, mark, AMPLE).await.unwrap();
            assert_eq!(json(&completion.content), valid, "{mark}");
            assert_eq!(completion.truncated, mark == "sim:truncated" && !valid);
        }
    }
    assert!(json(&ask(&client, "sim:rate-limit", AMPLE).await.unwrap().content), "one 429 is waited for");
    let error = async |text, limit| ask(&client, text, limit).await.unwrap_err();
    assert_eq!(error("sim:refusal", AMPLE).await, LlmError::ContentRefused);
    assert_eq!(error("sim:quota", AMPLE).await, LlmError::QuotaExhausted);
    assert_eq!(error("sim:outage", AMPLE).await, LlmError::Unavailable);
    assert_eq!(error("sim:hang", Duration::from_millis(100)).await, LlmError::OutOfTime);
    simulators.llm.set_script(Some(Script::Refusal));
    assert_eq!(error("no mark", AMPLE).await, LlmError::ContentRefused);
}

#[tokio::test]
async fn the_gateway_checks_its_key() {
    let simulators = Simulators::start().await.unwrap();
    let client = client(&simulators, "another key");
    assert_eq!(ask(&client, "my order", AMPLE).await.unwrap_err(), LlmError::Unauthorized);
    assert_eq!(simulators.llm.calls(), 0);
}

fn webhook(simulators: &Simulators, secret: &str) -> Arc<dyn Callback> {
    let config = CallbackConfig {
        mode: Mode::Webhook,
        url: Some(simulators.cognigy.url().to_owned()),
        secrets: vec![Secret::new(secret)],
        max_age: AMPLE,
        connect_timeout: AMPLE,
        timeout: AMPLE,
        ca_file: None,
        headers: Default::default(),
        cognigy: Default::default(),
        egress: EgressConfig {
            allow_private_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            ..EgressConfig::default()
        },
    };
    callback::connect(&config, &metrics()).unwrap().unwrap()
}

fn outcome() -> StoredOutcome {
    StoredOutcome {
        trigger_id: trigger_id(),
        url: None,
        user_id: "u".to_owned(),
        session_id: None,
        reply_to: ReplyTo::default(),
        status: Status::Success,
        body: Bytes::from_static(br#"{"status":"success"}"#),
        attempt: 1,
    }
}

#[tokio::test]
async fn the_receiver_checks_signatures_answers_by_script_and_can_be_waited_for() {
    let simulators = Simulators::start().await.unwrap();
    let now = || EpochMs::from(std::time::SystemTime::now());
    let forged = webhook(&simulators, "another secret");
    assert!(matches!(forged.send(&outcome(), now()).await, Err(CallbackError::Rejected(_))));

    let callback = webhook(&simulators, CALLBACK_SECRET);
    simulators.cognigy.answer_next(2, CallbackAnswer::Status(500));
    for _ in 0..2 {
        assert!(matches!(callback.send(&outcome(), now()).await, Err(CallbackError::Unavailable { .. })));
    }
    let id = trigger_id().to_string();
    let outcome = outcome();
    let (sent, received) =
        tokio::join!(callback.send(&outcome, now()), timeout(AMPLE, simulators.cognigy.received(&id)));
    sent.unwrap();
    assert_eq!(received.unwrap().outcome(), json!({"status": "success"}));
    let answered: Vec<_> = simulators.cognigy.callbacks().iter().map(|it| (it.genuine, it.answered)).collect();
    assert_eq!(answered, [(false, 401), (true, 500), (true, 500), (true, 200)]);
}

#[tokio::test]
async fn a_stop_ends_what_hangs() {
    let simulators = Simulators::start().await.unwrap();
    let client = client(&simulators, LLM_API_KEY);
    let (hanging, ()) = tokio::join!(ask(&client, "sim:hang", Duration::from_secs(5)), async {
        while simulators.llm.calls() == 0 {
            tokio::task::yield_now().await;
        }
        simulators.stop().await;
    });
    assert_eq!(hanging.unwrap_err(), LlmError::Unavailable);
}
