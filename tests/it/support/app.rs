//! The real application between recording stubs: CXone, the model gateway and the receiver of callbacks.

use std::collections::BTreeMap;

use cognigy_fallback_router::{
    app::{self, Running},
    config::{self, Role, Sources},
    http_client::{self, ClientConfig, Roots},
    queue::Queue,
    secret::Secret,
    shutdown::Shutdown,
    signature::{Scheme, Signer, Verifier, request_headers},
    trigger::TriggerId,
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

use super::stub::{Recorded, Reply, Stub};

pub(crate) const WEBHOOK_SECRET: &str = "a-webhook-secret-of-more-than-32-bytes!";
pub(crate) const CALLBACK_SECRET: &str = "a-callback-secret-of-more-than-32-bytes";
pub(crate) const COMPLETIONS: &str = "/v1/chat/completions";
pub(crate) const SUMMARIES: &str = "/api/v2/conversations/summaries";
pub(crate) const TOKEN: &str = "/oauth/token";
pub(crate) const CALLBACK: &str = "/callback";

/// The outside world.
pub(crate) struct World {
    pub(crate) cxone: Stub,
    pub(crate) llm: Stub,
    pub(crate) sink: Stub,
}

impl World {
    /// A world where everything goes well.
    pub(crate) async fn start() -> Self {
        let (cxone, llm, sink) = (Stub::start().await, Stub::start().await, Stub::start().await);
        cxone.always(TOKEN, Reply::json(&json!({"access_token": "t-1", "token_type": "bearer", "expires_in": 3600})));
        cxone.always(
            SUMMARIES,
            Reply::json(&json!({"items": [
                {"participantId": "user-1", "text": "my link expired", "timestamp": "2026-01-15T10:23:45.000Z"},
            ], "nextPageToken": null})),
        );
        llm.always(COMPLETIONS, completion(&decision().to_string()));
        sink.always(CALLBACK, Reply::status(200));
        Self { cxone, llm, sink }
    }

    /// Settings for this world, as an environment.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        [
            ("COGNIGY_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
            ("COGNIGY_CALLBACK_SECRET", CALLBACK_SECRET.to_owned()),
            ("COGNIGY_CALLBACK_URL", self.sink.url(CALLBACK)),
            ("CXONE_BASE_URL", self.cxone.url("")),
            ("CXONE_CLIENT_ID", "client".to_owned()),
            ("CXONE_CLIENT_SECRET", "client-secret".to_owned()),
            ("LLM_GATEWAY_BASE_URL", self.llm.url("")),
            ("LLM_GATEWAY_API_KEY", "llm-key".to_owned()),
            ("CFR__INGRESS__LISTEN", "127.0.0.1:0".to_owned()),
            ("CFR__INGRESS__LIMITS__DRAIN_DELAY", "0s".to_owned()),
            ("CFR__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
            ("CFR__CONSOLE__LISTEN", "127.0.0.1:0".to_owned()),
            ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_PRIVATE_CIDRS", "[\"127.0.0.0/8\"]".to_owned()),
            ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_HTTP", "true".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Waits for the callback of a trigger.
    pub(crate) async fn callback_of(&self, id: TriggerId) -> Recorded {
        self.callbacks_of(id, 1).await.remove(0)
    }

    /// Waits until `count` callbacks of a trigger have come.
    pub(crate) async fn callbacks_of(&self, id: TriggerId, count: usize) -> Vec<Recorded> {
        let id = id.to_string();
        let mut seen = 1;
        loop {
            let all = self.sink.received(seen).await;
            let of_id: Vec<_> = all.iter().filter(|callback| callback.header("webhook-id") == id).cloned().collect();
            if of_id.len() >= count {
                return of_id;
            }
            seen = all.len() + 1;
        }
    }
}

/// A chat completion with this content.
pub(crate) fn completion(content: &str) -> Reply {
    Reply::json(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 340, "completion_tokens": 85, "total_tokens": 425},
    }))
}

/// What a well-behaved model answers.
pub(crate) fn decision() -> Value {
    json!({
        "classified_intent": "password_reset", "confidence": 0.92, "extracted_parameters": {"account_type": "business"},
        "suggested_response": "I can help you reset your password.", "requires_human_agent": false,
    })
}

/// The trigger of the original service.
pub(crate) fn trigger() -> Value {
    json!({
        "conversationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "userId": "user-external-9876",
        "lastMessage": "I need help resetting my password but the link expired", "confidenceScore": 0.42,
        "detectedIntent": "fallback", "metadata": {"channel": "webchat", "locale": "en-GB"},
    })
}

/// An application, its world, and where its queue is.
pub(crate) struct TestApp {
    pub(crate) world: World,
    pub(crate) running: Running,
    pub(crate) shutdown: Shutdown,
    client: reqwest::Client,
    _directory: TempDir,
}

impl TestApp {
    /// Ingress and worker in one process on the embedded queue.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with some settings changed.
    pub(crate) async fn start_with(changes: &[(&str, &str)]) -> Self {
        Self::start_in(World::start().await, changes).await
    }

    /// The same in a given world.
    pub(crate) async fn start_in(world: World, changes: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let mut environment = world.environment();
        environment.insert("CFR__QUEUE__BACKEND".to_owned(), "embedded".to_owned());
        let place = directory.path().join("queue").to_str().unwrap().to_owned();
        environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".to_owned(), place);
        environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let shutdown = Shutdown::default();
        let running = run(&environment, Role::Serve, shutdown.clone()).await;
        Self { world, running, shutdown, client: client(), _directory: directory }
    }

    pub(crate) fn queue(&self) -> &Arc<dyn Queue> {
        &self.running.queue
    }

    /// Posts a signed trigger that must be accepted.
    pub(crate) async fn accepted(&self, body: &Value) -> TriggerId {
        accepted(&self.client, &self.running, body).await
    }

    /// What the admin listener says under a path.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.running.admin);
        let response = self.client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Posts a trigger, waits for its callback, and returns the outcome in it.
    pub(crate) async fn outcome_of(&self, body: &Value) -> Value {
        let id = self.accepted(body).await;
        self.world.callback_of(id).await.json()
    }

    /// Stops it; true when everything in flight was finished.
    pub(crate) async fn stop(self) -> bool {
        self.shutdown.drain.cancel();
        self.running.ended().await.unwrap()
    }
}

/// Starts a role with the settings of an environment.
pub(crate) async fn run(environment: &BTreeMap<String, String>, role: Role, shutdown: Shutdown) -> Running {
    let sources = Sources { file: None, environment: environment.clone() };
    let loaded = config::load(&sources, role).unwrap();
    app::start(&loaded.config, role, shutdown).await.unwrap()
}

pub(crate) fn client() -> reqwest::Client {
    let limit = Duration::from_secs(60);
    http_client::build(&ClientConfig {
        connect_timeout: limit,
        timeout: limit,
        https_only: false,
        roots: Roots::default(),
    })
    .unwrap()
}

/// A signed request with a trigger.
pub(crate) fn signed(client: &reqwest::Client, webhook: &str, body: &Value) -> reqwest::RequestBuilder {
    let body = body.to_string();
    let now = SystemTime::now().into();
    let headers = request_headers(Scheme::HexBody, &Secret::new(WEBHOOK_SECRET), "", now, body.as_bytes()).unwrap();
    let url = format!("http://{webhook}/webhook/cognigy/fallback");
    let mut request = client.post(url).header("content-type", "application/json").body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request
}

/// Posts a signed trigger that must be accepted.
pub(crate) async fn accepted(client: &reqwest::Client, running: &Running, body: &Value) -> TriggerId {
    let webhook = running.webhook.unwrap().to_string();
    let response = signed(client, &webhook, body).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(status, 202, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["triggerId"].as_str().unwrap().parse().unwrap()
}

/// Asserts both signatures of a callback.
pub(crate) fn assert_signed(callback: &Recorded) {
    let now = SystemTime::now().into();
    let signer = Signer::new(&[Secret::new(CALLBACK_SECRET)]).unwrap();
    assert_eq!(callback.header("x-webhook-signature"), signer.hex_body(&callback.body));
    let text_key =
        format!("whsec_{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, CALLBACK_SECRET));
    let verifier = Verifier::new(Scheme::Standard, &[Secret::new(text_key)]).unwrap();
    verifier.verify(&callback.headers, &callback.body, now).unwrap();
}
