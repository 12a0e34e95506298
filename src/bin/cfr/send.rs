//! `cfr send`: signed triggers over the wire, as Cognigy would post them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use cognigy_fallback_router::http_client::{self, ClientConfig, Roots};
use serde_json::json;
use uuid::Uuid;

use crate::{say, sign::Signing};

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
    let mut refused = 0;
    for _ in 0..arguments.count {
        let body = given.clone().unwrap_or_else(|| trigger(arguments));
        let mut request = client.post(&arguments.signing.url).header("content-type", "application/json");
        for (name, value) in arguments.signing.headers(&secret, body.as_bytes())? {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        let answer = http_client::read_limited(response, 64 * 1024).await?;
        say(&format!("{} {}", status.as_u16(), String::from_utf8_lossy(&answer)));
        refused += u32::from(!status.is_success());
    }
    anyhow::ensure!(refused == 0, "{refused} of {} were not accepted", arguments.count);
    Ok(())
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
