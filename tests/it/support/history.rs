//! Providers of conversations against a stub, and triggers that ask them.

use std::{sync::Arc, time::Duration};

use cognigy_fallback_router::{
    conversation::{Conversation, Role},
    egress::EgressConfig,
    history::{
        self, CacheConfig, Config, CxoneConfig, CxoneDigitalConfig, HistoryError, HistoryProvider, HttpConfig, Provider,
    },
    http_client::UpstreamError,
    metrics::{
        Metrics,
        labels::{RetryCause, Upstream},
    },
    time::EpochMs,
    trigger::{Contact, IdempotencyKey, Trigger, TriggerBody, TriggerId},
};
use tokio::time::Instant;

use super::stub::{Recorded, Stub};

pub(crate) const AMPLE: Duration = Duration::from_secs(30);

/// Settings of a provider that are all empty, without a cache.
pub(crate) fn config(provider: Provider) -> Config {
    Config {
        provider,
        max_turns: 10,
        max_characters: 100_000,
        timeout: AMPLE,
        cache: CacheConfig::default(),
        cxone: CxoneConfig {
            base_url: String::new(),
            token_path: "/oauth/token".to_owned(),
            summaries_path: "/api/v2/conversations/summaries".to_owned(),
            client_id: None,
            client_secret: None,
            scope: "view:conversation".to_owned(),
            page_size: 50,
            ca_file: None,
        },
        cxone_digital: CxoneDigitalConfig::default(),
        http: HttpConfig::default(),
    }
}

/// Rules by which loopback may be reached.
pub(crate) fn loopback(allow_hosts: &[&str]) -> EgressConfig {
    EgressConfig {
        allow_hosts: allow_hosts.iter().map(ToString::to_string).collect(),
        allow_private_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
    }
}

/// A provider between a stub and a trigger.
pub(crate) struct Fetching {
    pub(crate) stub: Stub,
    pub(crate) provider: Arc<dyn HistoryProvider>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Fetching {
    pub(crate) fn new(stub: Stub, config: &Config) -> Self {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let provider = history::connect(config, &metrics).unwrap();
        Self { stub, provider, metrics }
    }

    pub(crate) async fn fetch(&self, trigger: &Trigger) -> Result<Conversation, HistoryError> {
        self.fetch_within(trigger, AMPLE).await
    }

    pub(crate) async fn fetch_within(&self, trigger: &Trigger, limit: Duration) -> Result<Conversation, HistoryError> {
        self.provider.fetch(trigger, Instant::now() + limit).await
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<Recorded> {
        self.stub.requests_to(path)
    }

    pub(crate) fn retries(&self, upstream: Upstream, cause: RetryCause) -> u64 {
        self.metrics.upstream_retries.get(upstream, cause).get()
    }
}

/// A trigger of a conversation.
pub(crate) fn trigger(conversation_id: &str) -> Trigger {
    Trigger {
        id: TriggerId::derived("default", IdempotencyKey::Header("k")),
        profile: "default".to_owned(),
        accepted_at: EpochMs(0),
        deadline: EpochMs(30_000),
        body: TriggerBody { conversation_id: conversation_id.to_owned(), ..TriggerBody::default() },
    }
}

/// A trigger of a digital case.
pub(crate) fn trigger_of_case(contact_id: Option<&str>, case_id: Option<&str>) -> Trigger {
    let mut trigger = trigger("c");
    let owned = |id: Option<&str>| id.map(str::to_owned);
    trigger.body.contact = Contact { contact_id: owned(contact_id), case_id: owned(case_id) };
    trigger
}

pub(crate) fn texts(conversation: &Conversation) -> Vec<&str> {
    conversation.turns.iter().map(|turn| turn.text.as_str()).collect()
}

pub(crate) fn said(conversation: &Conversation) -> Vec<(Role, &str)> {
    conversation.turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect()
}

pub(crate) fn status(status: u16) -> HistoryError {
    UpstreamError::Status { status, retry_after: None }.into()
}

pub(crate) const TIMEOUT: HistoryError = HistoryError::Upstream(UpstreamError::Timeout);
