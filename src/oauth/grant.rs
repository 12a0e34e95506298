//! How a token is asked for, and what comes back.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Deserialize;

use crate::{
    http_client::{Limits, UpstreamError, exchange},
    metrics::{Metrics, labels::Upstream},
    secret::Secret,
};

/// Bounds of one refresh. It goes on for those who come later when the first one who asked gave up.
pub(super) const REFRESH_LIMITS: Limits = Limits { time: Duration::from_secs(10), body: 64 * 1024 };

/// A way to ask for a token.
#[async_trait]
pub trait Grant: Send + Sync {
    /// Asks once; the caller sets a limit around it.
    ///
    /// # Errors
    /// When there is no token in the answer, or no answer.
    async fn ask(&self) -> Result<TokenAnswer, UpstreamError>;
}

/// What a token endpoint answered (RFC 6749, section 5.1).
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// The token; it can stand in a header.
    pub access_token: Secret,
    /// Its life in seconds, if the answer says so.
    pub expires_in: Option<u64>,
    /// OpenID Connect's statement about who got it.
    pub id_token: Option<Secret>,
}

/// How the client proves who it is (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// Both ways at once, the text unchanged, as the original service did.
    #[default]
    Both,
    /// By Basic authentication, both parts form-encoded as the RFC wants it.
    Basic,
    /// In the form.
    Form,
}

/// Where and with what to ask for tokens.
#[derive(Clone, Debug)]
pub struct OauthConfig {
    /// The token endpoint.
    pub token_url: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: Secret,
    /// Requested scopes, separated by spaces; empty: none are named.
    pub scope: String,
    /// How the client proves who it is.
    pub client_auth: ClientAuth,
    /// Whom the requests are counted for.
    pub upstream: Upstream,
}

/// RFC 6749, section 4.4.
pub(super) struct ClientCredentials {
    pub(super) client: reqwest::Client,
    pub(super) config: OauthConfig,
    pub(super) metrics: Arc<Metrics>,
}

#[async_trait]
impl Grant for ClientCredentials {
    async fn ask(&self) -> Result<TokenAnswer, UpstreamError> {
        let OauthConfig { token_url, client_id, client_secret, scope, client_auth, upstream } = &self.config;
        let secret = client_secret.expose();
        let mut form = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        if *client_auth != ClientAuth::Basic {
            form.extend([("client_id", client_id.as_str()), ("client_secret", secret)]);
        }
        let request = self.client.post(token_url);
        let request = match client_auth {
            ClientAuth::Both => request.basic_auth(client_id, Some(secret)),
            ClientAuth::Basic => request.basic_auth(form_encoded(client_id), Some(form_encoded(secret))),
            ClientAuth::Form => request,
        };
        let answer = exchange(request.form(&form), REFRESH_LIMITS, *upstream, &self.metrics).await?;
        TokenAnswer::parse(&answer.success()?)
    }
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[derive(Deserialize)]
struct Wire {
    access_token: String,
    expires_in: Option<u64>,
    id_token: Option<String>,
}

impl TokenAnswer {
    /// Reads the answer of a token endpoint.
    ///
    /// # Errors
    /// When there is no token in it that could stand in a header.
    pub fn parse(body: &[u8]) -> Result<Self, UpstreamError> {
        let wire: Wire =
            serde_json::from_slice(body).map_err(|_| UpstreamError::Malformed("token answer is not as specified"))?;
        if wire.access_token.is_empty() || !wire.access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UpstreamError::Malformed("unusable access token"));
        }
        let id_token = wire.id_token.map(Secret::new);
        Ok(Self { access_token: Secret::new(wire.access_token), expires_in: wire.expires_in, id_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_usable_token_is_refused() {
        for body in [
            r"{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":"t","expires_in":"soon"}"#,
            r#"{"access_token":7}"#,
            "<html>",
        ] {
            assert!(TokenAnswer::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
