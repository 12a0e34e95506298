//! A model client in front of a scripted gateway.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cognigy_fallback_router::{
    llm::{ChatMessage, Completion, CompletionRequest, Config, LlmClient, LlmError, ResponseFormat, Spent},
    metrics::Metrics,
    secret::Secret,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::stub::{Recorded, Reply, Stub};

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// The gateway and its client.
pub(crate) struct Gateway {
    pub(crate) stub: Stub,
    pub(crate) client: LlmClient,
    pub(crate) metrics: Arc<Metrics>,
}

/// How one call ended, and what it cost.
pub(crate) struct Asked {
    pub(crate) result: Result<Completion, LlmError>,
    pub(crate) spent: Spent,
}

/// Two tries, one model, all the time of the world.
pub(crate) fn config() -> Config {
    Config {
        base_url: None,
        api_key: Some(Secret::new("key")),
        models: vec!["m1".to_owned()],
        temperature: 0.2,
        max_tokens: 500,
        response_format: ResponseFormat::JsonObject,
        attempts: 2,
        calls_per_trigger: 8,
        attempt_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
        reasks: 1,
        headers: BTreeMap::new(),
        prices: BTreeMap::new(),
        budget: None,
        adaptive: false,
        hedge: None,
        ca_file: None,
    }
}

impl Gateway {
    pub(crate) async fn start(mut config: Config) -> Self {
        let stub = Stub::start().await;
        config.base_url.get_or_insert_with(|| stub.url(""));
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let client = LlmClient::new(&config, &json!({"type": "object"}), Arc::clone(&metrics)).unwrap();
        Self { stub, client, metrics }
    }

    pub(crate) fn next(&self, reply: Reply) -> &Self {
        self.stub.next(CHAT, reply);
        self
    }

    pub(crate) async fn ask(&self) -> Asked {
        self.ask_within(Duration::from_secs(30)).await
    }

    pub(crate) async fn ask_within(&self, limit: Duration) -> Asked {
        self.ask_for(1, limit).await
    }

    pub(crate) async fn ask_for(&self, max_tokens_factor: u32, limit: Duration) -> Asked {
        let messages = [
            ChatMessage { role: "system", content: "Answer in JSON.".to_owned() },
            ChatMessage { role: "user", content: "Where is my \"order\"?".to_owned() },
        ];
        let request = CompletionRequest { max_tokens_factor, ..CompletionRequest::new(&messages) };
        let mut spent = Spent::default();
        let result = self.client.complete(request, Instant::now() + limit, &mut spent).await;
        Asked { result, spent }
    }

    /// Asks for a trigger that may cost so many calls.
    pub(crate) async fn ask_at_most(&self, most_calls: u32) -> Asked {
        let messages = [ChatMessage { role: "user", content: "Where is my \"order\"?".to_owned() }];
        let request = CompletionRequest { most_calls, ..CompletionRequest::new(&messages) };
        let mut spent = Spent::default();
        let result = self.client.complete(request, Instant::now() + Duration::from_secs(30), &mut spent).await;
        Asked { result, spent }
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.stub.requests_to(CHAT)
    }

    /// The models asked so far, in order.
    pub(crate) fn models_asked(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.json()["model"].as_str().unwrap().to_owned()).collect()
    }
}

impl Asked {
    pub(crate) fn content(&self) -> &str {
        &self.result.as_ref().unwrap().content
    }

    pub(crate) fn error(&self) -> LlmError {
        self.result.clone().unwrap_err()
    }
}

/// A chat completion around this message.
pub(crate) fn completion(message: &Value, finish_reason: &Value) -> Reply {
    Reply::json(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_705_312_825, "model": "alias",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 340, "completion_tokens": 85, "total_tokens": 425}
    }))
}

/// A chat completion with these words.
pub(crate) fn says(content: &str) -> Reply {
    completion(&json!({"role": "assistant", "content": content}), &json!("stop"))
}

/// An error in OpenAI's form.
pub(crate) fn error(status: u16, error: &Value) -> Reply {
    Reply::json(&json!({"error": error})).with_status(status)
}
