//! `cfr send`: signed triggers over the wire, as Cognigy would post them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use cognigy_fallback_router::http_client::{self, ClientConfig, Roots};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{bar::bar, say, sign::Signing};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    signing: Signing,
    /// A file with the trigger's JSON; else one is made from --message.
    #[arg(long, conflicts_with = "message")]
    trigger: Option<PathBuf>,
    /// What the customer wrote.
    #[arg(long, default_value = "I need help resetting my password but the link expired")]
    message: String,
    /// Where the outcome shall be posted; its host must be on the profile's allow-list.
    #[arg(long)]
    callback_url: Option<String>,
    /// How many to send, each with its own conversation (with --trigger: the same one).
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// One JSON object for each answer instead of status and body.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(send(arguments))
}

async fn send(arguments: &Arguments) -> anyhow::Result<()> {
    let client = http_client::build(&ClientConfig {
        connect_timeout: Duration::from_secs(3),
        timeout: Duration::from_secs(30),
        https_only: false,
        roots: Roots::default(),
    })?;
    let secret = Arc::new(arguments.signing.secret()?);
    let given = arguments.trigger.as_ref().map(std::fs::read_to_string).transpose().context("the trigger file")?;
    let mut refused: Vec<u16> = Vec::new();
    let progress = (arguments.count > 1).then(|| bar("sending", arguments.count.into()));
    for _ in 0..arguments.count {
        let body = given.clone().unwrap_or_else(|| trigger(arguments));
        let mut request = client.post(&arguments.signing.url).header("content-type", "application/json");
        for (name, value) in arguments.signing.headers(&secret, body.as_bytes())? {
            request = request.header(name, value);
        }
        let sent = request.body(body).send().await.map_err(reqwest::Error::without_url);
        let response = sent
            .with_context(|| format!("{} does not answer; --url says where the ingress is", arguments.signing.url))?;
        let status = response.status();
        let answer = http_client::read_limited(response, 64 * 1024).await?;
        let line = told(status.as_u16(), &answer, arguments.json);
        match &progress {
            Some(bar) => {
                bar.suspend(|| say(&line));
                bar.inc(1);
            }
            None => say(&line),
        }
        if !status.is_success() {
            refused.push(status.as_u16());
        }
    }
    drop(progress);
    let count = refused.len();
    anyhow::ensure!(count == 0, "{count} of {} were not accepted{}", arguments.count, advice(&refused));
    Ok(())
}

fn told(status: u16, answer: &[u8], as_json: bool) -> String {
    let text = String::from_utf8_lossy(answer);
    if !as_json {
        return format!("{status} {text}");
    }
    let answer: Value = serde_json::from_slice(answer).unwrap_or_else(|_| json!(text));
    json!({ "status": status, "answer": answer }).to_string()
}

/// What to do about the commonest refusal.
fn advice(refused: &[u16]) -> &'static str {
    match refused.first() {
        Some(403) => ": is this the profile's secret, its --scheme, and this machine's clock right?",
        Some(404) => ": is --url right, and the profile in it known to the ingress?",
        Some(429) => ": the profile is over its rate; send fewer, or wait",
        Some(503) => ": the ingress cannot reach its queue, or it is full; `cfr doctor` says more",
        _ => "",
    }
}

fn trigger(arguments: &Arguments) -> String {
    let mut body = json!({
        "conversationId": Uuid::now_v7().to_string(),
        "userId": "cfr-send",
        "lastMessage": arguments.message,
        "confidenceScore": 0.2,
    });
    if let Some(url) = &arguments.callback_url {
        body["callbackUrl"] = json!(url);
    }
    body.to_string()
}
