//! Sending signed triggers: as fast as they are answered, or at fixed times.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use cognigy_fallback_router::{
    http_client,
    secret::Secret,
    signature::{Scheme, request_headers},
};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Who sends.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) client: reqwest::Client,
    /// Of each profile.
    pub(super) urls: Arc<[String]>,
    pub(super) secret: Secret,
    pub(super) message: String,
    /// Inline, if it is not to be fetched.
    pub(super) history: Option<Arc<Value>>,
}

/// When each trigger was sent, by its id, and how long its answer took.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) at: HashMap<String, Instant>,
    pub(super) answered: Vec<Duration>,
    pub(super) took: Duration,
}

impl Sender {
    /// Sends so many, each of `connections` the next one when its last is answered.
    pub(super) async fn closed(&self, count: u32, connections: u32, bar: &ProgressBar) -> anyhow::Result<Sent> {
        let (next, sent) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Sent::default())));
        let begun = Instant::now();
        let mut senders = JoinSet::new();
        for _ in 0..connections.min(count) {
            let (sender, next, sent, bar) = (self.clone(), Arc::clone(&next), Arc::clone(&sent), bar.clone());
            senders.spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    sender.one(&sent).await?;
                    bar.inc(1);
                }
                anyhow::Ok(())
            });
        }
        finish(senders, &sent, begun).await
    }

    /// Sends one; false if the ingress wants it again later.
    pub(super) async fn once(&self) -> anyhow::Result<bool> {
        Ok(self.post().await?.is_some())
    }

    /// Sends so many at fixed times; what is late is charged to the answer.
    pub(super) async fn open(&self, count: u32, rate: u32, bar: &ProgressBar) -> anyhow::Result<Sent> {
        let sent = Arc::new(Mutex::new(Sent::default()));
        let begun = Instant::now();
        let mut senders = JoinSet::new();
        let mut beats = tokio::time::interval(Duration::from_secs(1) / rate);
        for _ in 0..count {
            beats.tick().await;
            let (sender, sent) = (self.clone(), Arc::clone(&sent));
            senders.spawn(async move { sender.one(&sent).await });
            bar.inc(1);
        }
        finish(senders, &sent, begun).await
    }

    async fn one(&self, sent: &Mutex<Sent>) -> anyhow::Result<()> {
        let (id, begun, took) = self.post().await?.context("a trigger was answered with 503")?;
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.at.insert(id, begun);
        sent.answered.push(took);
        Ok(())
    }

    /// Its id, when it was sent, and how long the answer took; nothing if it was not taken.
    async fn post(&self) -> anyhow::Result<Option<(String, Instant, Duration)>> {
        let body = self.trigger();
        let signed = request_headers(Scheme::HexBody, &self.secret, "", SystemTime::now().into(), body.as_bytes())?;
        let url = &self.urls[rand::random::<u32>() as usize % self.urls.len()];
        let mut request = self.client.post(url).header("content-type", "application/json");
        for (name, value) in signed {
            request = request.header(name, value);
        }
        let begun = Instant::now();
        let answer = request.body(body).send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        let body = http_client::read_limited(answer, 64 * 1024).await?;
        let took = begun.elapsed();
        if status.as_u16() == 503 {
            return Ok(None);
        }
        anyhow::ensure!(status.as_u16() == 202, "a trigger was answered with {status}");
        let answer: Value = serde_json::from_slice(&body)?;
        let id = answer["triggerId"].as_str().context("the answer names no trigger")?.to_owned();
        Ok(Some((id, begun, took)))
    }

    fn trigger(&self) -> String {
        let conversation = format!("bench-{:032x}", rand::random::<u128>());
        json!({"conversationId": conversation, "userId": "user-external-9876", "lastMessage": self.message,
            "confidenceScore": 0.41, "detectedIntent": "order_status", "metadata": {"account_type": "business"},
            "history": self.history.as_deref()})
        .to_string()
    }
}

async fn finish(mut senders: JoinSet<anyhow::Result<()>>, sent: &Mutex<Sent>, begun: Instant) -> anyhow::Result<Sent> {
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    let mut sent = std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner));
    sent.took = begun.elapsed();
    Ok(sent)
}
