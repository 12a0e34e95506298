//! The one builder of HTTP clients, the one way to make an exchange, and the failures of an upstream in our words.

mod exchange;
mod failure;
mod retry_after;
mod roots;
mod system_roots;

use std::{sync::Arc, time::Duration};

use reqwest::{dns::Resolve, redirect::Policy};

pub use exchange::{Answer, Limits, Unanswered, exchange, exchange_in, exchange_noting, read_limited};
pub use failure::UpstreamError;
pub use retry_after::retry_after;
pub use roots::Roots;

/// What we call ourselves towards others.
const USER_AGENT: &str = concat!("cognigy-fallback-router/", env!("CARGO_PKG_VERSION"));

/// Below the 60 s and more after which gateways and load balancers commonly close an idle connection, so that we seldom
/// write into one that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// More than a worker has slots, which is what bounds the connections: one that was closed only because others were idle
/// would have to be made again for the next call.
const IDLE_PER_HOST: usize = 4_096;

/// Settings of one client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Limit for making a connection.
    pub connect_timeout: Duration,
    /// Limit for a whole exchange, the body included; callers may set a shorter one for each request.
    pub timeout: Duration,
    /// Refuse `http://` URLs.
    pub https_only: bool,
    /// Authorities to trust beside the system's.
    pub roots: Roots,
}

/// Builds a client: no redirects, no proxies from the environment, idle connections kept for reuse.
///
/// # Errors
/// When the TLS roots cannot be loaded.
pub fn build(config: &ClientConfig) -> Result<reqwest::Client, reqwest::Error> {
    configured(config, false).build()
}

/// Builds a client as [`build`] does, with `resolver` for every host name. It is not asked about IP literals: their
/// check stands before the request.
///
/// # Errors
/// As [`build`].
pub fn build_resolving(config: &ClientConfig, resolver: Arc<dyn Resolve>) -> Result<reqwest::Client, reqwest::Error> {
    configured(config, false).dns_resolver(resolver).build()
}

/// Builds a client as [`build_resolving`] does that speaks HTTP/1.1 only, for upstreams whose HTTP/2 is broken.
///
/// # Errors
/// As [`build`].
pub fn build_resolving_http1(
    config: &ClientConfig,
    resolver: Arc<dyn Resolve>,
) -> Result<reqwest::Client, reqwest::Error> {
    configured(config, true).dns_resolver(resolver).http1_only().build()
}

#[expect(clippy::disallowed_methods, reason = "this is the builder that everybody else uses")]
fn configured(config: &ClientConfig, http1_only: bool) -> reqwest::ClientBuilder {
    install_tls_provider();
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        // A proxy would resolve names itself, past the guarded resolver of callbacks.
        .no_proxy()
        .https_only(config.https_only)
        .connect_timeout(config.connect_timeout)
        .timeout(config.timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .tcp_nodelay(true);
    match system_roots::tls(http1_only).filter(|_| config.roots.0.is_empty()) {
        Some(tls) => builder.tls_backend_preconfigured(tls),
        None => builder.tls_certs_merge(config.roots.0.iter().cloned()),
    }
}

/// Chooses aws-lc-rs for this process, unless something chose before. Two providers are in the dependency tree, so
/// rustls does not choose by itself.
pub fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // The error says that another thread was faster, with the same choice.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}
