//! Traces to a collector: OTLP over HTTP with protobuf, through our own HTTP client. Off unless an endpoint is set.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use serde::Deserialize;
use tokio::{runtime::Handle, task::spawn_blocking};
use url::Url;

use crate::{
    build,
    http_client::{self, ClientConfig, Roots},
    secret::Secret,
    telemetry::spans::Tracer,
};

/// Limit of one export. Spans that a collector does not take in time are dropped, never waited for.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// How long the end of a process waits for its last spans to leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// Bytes of a collector's answer.
const ANSWER_LIMIT: usize = 64 * 1024;

/// `[traces]`
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// Base URL of a collector that takes OTLP over HTTP; `/v1/traces` is appended. Without it nothing is traced.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Share of the triggers that are traced, 0 to 1; each whole or not at all.
    pub sample: f64,
    /// Further request headers, for collectors that want a key.
    pub headers: BTreeMap<String, Secret>,
    /// PEM file with authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// What traces, and what sends.
#[derive(Clone, Default)]
pub struct Traces {
    tracer: Tracer,
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// Readies the export of a component (`ingress`, `worker`, `serve`), if there is an endpoint; `system` is the queue's
    /// name. Sends nothing yet. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// When the endpoint, a header or a file of authorities cannot be used.
    pub fn connect(config: &Config, component: &str, system: &'static str) -> anyhow::Result<Self> {
        let Some(endpoint) = &config.endpoint else { return Ok(Self::default()) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(config)?)
            .with_endpoint(traces_url(endpoint)?)
            .with_timeout(EXPORT_LIMIT)
            .build()
            .context("the exporter")?;
        let resource = Resource::builder_empty()
            .with_service_name(component.to_owned())
            .with_attribute(KeyValue::new("service.namespace", "cognigy-fallback-router"))
            .with_attribute(KeyValue::new("service.version", build::VERSION))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        Ok(Self { tracer: Tracer::new(provider.tracer("cognigy-fallback-router"), system), provider: Some(provider) })
    }

    /// What begins spans.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what is left, for a moment.
    pub async fn close(self) {
        let Some(provider) = self.provider else { return };
        // Blocks its thread while the last spans leave.
        let _ = spawn_blocking(move || provider.shutdown_with_timeout(FAREWELL)).await;
    }
}

/// Where a collector takes traces.
///
/// # Errors
/// When the endpoint is no URL that could be asked; says what would be right.
pub fn traces_url(endpoint: &str) -> anyhow::Result<String> {
    let mut url = Url::parse(endpoint).context("is no URL; \"http://collector:4318\" would be right")?;
    ensure!(
        matches!(url.scheme(), "http" | "https"),
        "is neither http nor https; \"http://collector:4318\" would be right"
    );
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url.into())
}

/// Our HTTP client, for an exporter whose thread has no runtime: the exchange runs in ours.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    headers: http::HeaderMap,
    runtime: Handle,
}

impl Client {
    fn new(config: &Config) -> anyhow::Result<Self> {
        let limits = ClientConfig {
            connect_timeout: EXPORT_LIMIT,
            timeout: EXPORT_LIMIT,
            https_only: false,
            roots: Roots::read(config.ca_file.as_deref())?,
        };
        let mut headers = http::HeaderMap::new();
        for (name, value) in &config.headers {
            let mut text = HeaderValue::from_str(value.expose()).with_context(|| format!("headers.{name}"))?;
            text.set_sensitive(true);
            headers.insert(name.parse::<HeaderName>().with_context(|| format!("headers.{name}"))?, text);
        }
        Ok(Self { client: http_client::build(&limits)?, headers, runtime: Handle::current() })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = reqwest::Request::try_from(request)?;
        request.headers_mut().extend(self.headers.clone());
        let client = self.client.clone();
        let exchange = self.runtime.spawn(async move {
            let response = client.execute(request).await.map_err(reqwest::Error::without_url)?;
            let status = response.status();
            let body = http_client::read_limited(response, ANSWER_LIMIT).await?;
            Ok::<_, HttpError>(Response::builder().status(status).body(body)?)
        });
        exchange.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_appended() {
        for (endpoint, url) in
            [("http://c:4318", "http://c:4318/v1/traces"), ("https://c/otlp/", "https://c/otlp/v1/traces")]
        {
            assert_eq!(traces_url(endpoint).unwrap(), url);
        }
        for endpoint in ["", "collector:4318", "grpc://c:4317"] {
            assert!(traces_url(endpoint).is_err(), "{endpoint}");
        }
    }
}
