//! How the simulated flow asks the router: as the nodes of the Extension do, over HTTP.

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use serde_json::Value;
use url::Url;

use crate::{
    http_client::{self, ClientConfig, Roots},
    secret::Secret,
    signature::{Scheme, request_headers},
};

/// Limit of a request: that of an Extension's node.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the router is, and how to sign for it.
#[derive(Clone)]
pub struct RouterAccess {
    client: reqwest::Client,
    /// The ingress, without a path.
    base: Url,
    profile: String,
    secret: Secret,
    /// How long a held turn waits.
    wait: Duration,
}

/// What the router said.
pub(super) enum Answered {
    /// The outcome.
    Outcome(Value),
    /// The id of a trigger whose outcome comes later.
    Pending(String),
}

impl RouterAccess {
    /// The router whose ingress listens at `base`; requests are signed as `hex-body` for `profile`, and a turn that is
    /// held waits for `wait`.
    ///
    /// # Errors
    /// When the URL is none, or the client cannot be built.
    pub fn new(base: &str, profile: &str, secret: Secret, wait: Duration) -> anyhow::Result<Self> {
        let client = http_client::build(&ClientConfig {
            connect_timeout: LIMIT,
            timeout: LIMIT,
            https_only: false,
            roots: Roots::default(),
        })?;
        Ok(Self { client, base: Url::parse(base)?, profile: profile.to_owned(), secret, wait })
    }

    /// Posts a trigger; a held one waits for its outcome.
    pub(super) async fn route(&self, trigger: &Value, held: bool) -> anyhow::Result<Answered> {
        let url = self.base.join(&format!("/webhook/cognigy/fallback/{}", self.profile))?;
        let body = trigger.to_string();
        let request = self.client.post(url).header("content-type", "application/json");
        let answer = self.send(request.body(body.clone()), &body, held).await?;
        match answer {
            (200, outcome) => Ok(Answered::Outcome(outcome)),
            (202, answer) => Ok(Answered::Pending(text(&answer, "triggerId")?)),
            (status, _) => bail!("the router answered {status}"),
        }
    }

    /// Asks for the outcome of a trigger, and waits for it.
    pub(super) async fn poll(&self, id: &str) -> anyhow::Result<Answered> {
        let path = format!("/v1/triggers/{}/{id}", self.profile);
        let request = self.client.get(self.base.join(&path)?);
        let (status, answer) = self.send(request, &path, true).await?;
        match (status, answer["status"].as_str()) {
            (200, Some("done")) => Ok(Answered::Outcome(answer["outcome"].clone())),
            (200, Some("accepted" | "running")) => Ok(Answered::Pending(id.to_owned())),
            (200, said) => bail!("the router says {said:?} of the trigger"),
            _ => bail!("the router answered {status}"),
        }
    }

    async fn send(
        &self,
        mut request: reqwest::RequestBuilder,
        signed: &str,
        held: bool,
    ) -> anyhow::Result<(u16, Value)> {
        let now = SystemTime::now().into();
        let headers = request_headers(Scheme::HexBody, &self.secret, "", now, signed.as_bytes());
        for (name, value) in headers.context("the webhook secret")? {
            request = request.header(name, value);
        }
        if held {
            request = request.header("prefer", format!("wait={}", self.wait.as_secs()));
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null)))
    }
}

fn text(answer: &Value, name: &str) -> anyhow::Result<String> {
    answer[name].as_str().map(str::to_owned).with_context(|| format!("the router's answer has no {name}"))
}
