//! From an access key to a token and the tenant's host: OpenID discovery, the password grant, the tenant's configuration.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::config::{Api, CxoneDigitalConfig};
use crate::{
    egress::Egress,
    http_client::{Limits, UpstreamError, exchange},
    metrics::{Metrics, labels::Upstream},
    oauth::{Grant, TokenAnswer},
    secret::Secret,
};

/// Bounds of each of the three requests; the token source has one for all of them.
const LIMITS: Limits = Limits { time: Duration::from_secs(5), body: 64 * 1024 };

/// The grant. It remembers the host that belongs to the token.
pub(in crate::history) struct AccessKey {
    client: reqwest::Client,
    headers: HeaderMap,
    egress: Egress,
    issuer: Url,
    key: (String, Secret),
    oauth_client: (String, Secret),
    api: Api,
    /// Of the settings, else of the last discovery.
    base: Mutex<Option<Url>>,
    discovers: bool,
    metrics: Arc<Metrics>,
}

impl AccessKey {
    pub(super) fn new(
        config: &CxoneDigitalConfig,
        client: reqwest::Client,
        headers: HeaderMap,
        egress: Egress,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let configured = |url: &str, key: &'static str| egress.check_configured_url(url).context(key);
        let issuer = configured(&config.environment_url, "cxone_digital.environment_url")?;
        let base = config.base_url.as_deref().map(|url| configured(url, "cxone_digital.base_url")).transpose()?;
        let pair = |name: &'static str, id: &Option<String>, secret: &Option<Secret>| {
            let id = id.clone().with_context(|| format!("cxone_digital.{name}_id is not set"))?;
            anyhow::Ok((id, secret.clone().with_context(|| format!("cxone_digital.{name}_secret is not set"))?))
        };
        Ok(Self {
            key: pair("access_key", &config.access_key_id, &config.access_key_secret)?,
            oauth_client: pair("client", &config.client_id, &config.client_secret)?,
            api: config.api,
            discovers: base.is_none(),
            base: Mutex::new(base),
            client,
            headers,
            egress,
            issuer,
            metrics,
        })
    }

    /// The base URL of the tenant's API, once a token was given.
    pub(super) fn base(&self) -> Option<Url> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where tokens are given out: OpenID Connect Discovery 1.0, section 4.
    pub(in crate::history) async fn token_endpoint(&self) -> Result<Url, UpstreamError> {
        let url = below(&self.issuer, ".well-known/openid-configuration");
        let found: OpenId = self.get(url, "not an OpenID configuration").await?;
        self.permitted(&found.token_endpoint)
    }

    /// A token for the access key: the password grant (RFC 6749, section 4.3), as NiCE documents it.
    pub(in crate::history) async fn token(&self, endpoint: Url) -> Result<TokenAnswer, UpstreamError> {
        let (key, secret) = &self.key;
        let form = [("grant_type", "password"), ("username", key), ("password", secret.expose())];
        let (id, secret) = &self.oauth_client;
        let request = self.client.post(endpoint).headers(self.headers.clone());
        let request = request.basic_auth(id, Some(secret.expose())).form(&form);
        let answer = exchange(request, LIMITS, Upstream::Cxone, &self.metrics).await?;
        TokenAnswer::parse(&answer.success()?)
    }

    /// Learns the host of the tenant that a token belongs to, unless the settings name it.
    pub(in crate::history) async fn tenant_host(&self, answer: &TokenAnswer) -> Result<Url, UpstreamError> {
        if !self.discovers
            && let Some(base) = self.base()
        {
            return Ok(base);
        }
        let tokens = [answer.id_token.as_ref(), Some(&answer.access_token)];
        let tenant = tokens.into_iter().flatten().find_map(|token| Tenant::of(token.expose()));
        let tenant = tenant.ok_or(UpstreamError::Malformed("a token that names no tenant"))?;
        let mut url = below(&self.permitted(&tenant.iss)?, ".well-known/cxone-configuration");
        url.query_pairs_mut().append_pair("tenantId", &tenant.tenant_id);
        let found: TenantConfiguration = self.get(url, "not a tenant's configuration").await?;
        let base = self.permitted(&found.host(self.api))?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Some(base.clone());
        Ok(base)
    }

    /// A discovered URL, if it belongs to the allowed domains or to the very host that the operator named.
    fn permitted(&self, raw: &str) -> Result<Url, UpstreamError> {
        let url = self.egress.check_discovered_url(raw).or_else(|refusal| {
            let own = self.egress.check_configured_url(raw).ok().filter(|url| url.origin() == self.issuer.origin());
            own.ok_or(refusal)
        });
        url.map_err(|_| UpstreamError::Forbidden)
    }

    async fn get<T: DeserializeOwned>(&self, url: Url, nonsense: &'static str) -> Result<T, UpstreamError> {
        let request = self.client.get(url).headers(self.headers.clone());
        let body: Bytes = exchange(request, LIMITS, Upstream::Cxone, &self.metrics).await?.success()?;
        serde_json::from_slice(&body).map_err(|_| UpstreamError::Malformed(nonsense))
    }
}

#[async_trait]
impl Grant for AccessKey {
    async fn ask(&self) -> Result<TokenAnswer, UpstreamError> {
        let endpoint = self.token_endpoint().await?;
        let answer = self.token(endpoint).await?;
        self.tenant_host(&answer).await?;
        Ok(answer)
    }
}

#[derive(Deserialize)]
struct OpenId {
    token_endpoint: String,
}

/// What a token says about whom it was given to. It came over TLS from its issuer, which stands for checking its
/// signature (OpenID Connect Core 1.0, section 3.1.3.7), and decides nothing but where to ask next.
#[derive(Deserialize)]
struct Tenant {
    iss: String,
    #[serde(rename = "tenantId")]
    tenant_id: String,
}

impl Tenant {
    fn of(token: &str) -> Option<Self> {
        let claims = token.split('.').nth(1)?.trim_end_matches('=');
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

#[derive(Deserialize)]
struct TenantConfiguration {
    api_endpoint: String,
    #[serde(default)]
    area: String,
    #[serde(default)]
    domain: String,
}

impl TenantConfiguration {
    fn host(&self, api: Api) -> String {
        match api {
            Api::Facade => self.api_endpoint.clone(),
            Api::Digital => format!("https://api-de-{}.{}", self.area, self.domain),
        }
    }
}

/// `base` with further path segments, whether or not it ends with a slash.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_tenant_if_it_can_be_read() {
        let token = |claims: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        let tenant = Tenant::of(&token(r#"{"iss":"https://cxone.example","tenantId":"t-1","area":"na1"}"#)).unwrap();
        assert_eq!((tenant.iss.as_str(), tenant.tenant_id.as_str()), ("https://cxone.example", "t-1"));
        for unusable in ["opaque", "a.b", "a.!.c", &token("{}"), &token("[]"), &token(r#"{"iss":7,"tenantId":"t"}"#)] {
            assert!(Tenant::of(unusable).is_none(), "{unusable}");
        }
    }

    #[test]
    fn the_host_is_the_facades_or_the_digital_one() {
        let found: TenantConfiguration = serde_json::from_str(
            r#"{"api_endpoint":"https://api-na1.niceincontact.com","area":"na1","domain":"niceincontact.com"}"#,
        )
        .unwrap();
        assert_eq!(found.host(Api::Facade), "https://api-na1.niceincontact.com");
        assert_eq!(found.host(Api::Digital), "https://api-de-na1.niceincontact.com");
    }

    #[test]
    fn a_path_is_appended_with_one_slash() {
        for base in ["https://h", "https://h/"] {
            assert_eq!(below(&Url::parse(base).unwrap(), "a/b").as_str(), "https://h/a/b");
        }
        assert_eq!(below(&Url::parse("https://h/x/").unwrap(), "a").as_str(), "https://h/x/a");
    }
}
