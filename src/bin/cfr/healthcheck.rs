//! `cfr healthcheck`: whether a service on this machine is ready, for images that have no other HTTP client.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use cognigy_fallback_router::{
    config::{self, Sources},
    http_client::{self, ClientConfig, Roots},
};

use crate::say;

/// For the whole check. Docker and Kubernetes give a probe a few seconds; this ends before them, and says why.
const LIMIT: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to ask; else `/readyz` on this machine, at the port of `admin.listen`.
    url: Option<String>,
}

pub(crate) fn run(file: Option<PathBuf>, arguments: &Arguments) -> anyhow::Result<()> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => readiness(config::load_unchecked(&Sources::of_process(file))?.admin.listen),
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(check(&url))
}

/// Readiness at an address that something listens on: all addresses of the machine are reached by its own.
fn readiness(listen: SocketAddr) -> String {
    let host = match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => "[::1]".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    format!("http://{host}:{}/readyz", listen.port())
}

async fn check(url: &str) -> anyhow::Result<()> {
    let limits = ClientConfig { connect_timeout: LIMIT, timeout: LIMIT, https_only: false, roots: Roots::default() };
    let asked = http_client::build(&limits)?.get(url).send().await.map_err(reqwest::Error::without_url);
    let response = asked.with_context(|| format!("{url} does not answer; does the service run, and listen there?"))?;
    let status = response.status();
    let answer = http_client::read_limited(response, 64 * 1024).await?;
    let answer = String::from_utf8_lossy(&answer).trim().to_owned();
    ensure!(status.is_success(), "{url} answers {}: {answer}", status.as_u16());
    say(&answer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (listen, url) in [
            ("0.0.0.0:9464", "http://127.0.0.1:9464/readyz"),
            ("[::]:9464", "http://[::1]:9464/readyz"),
            ("10.1.2.3:80", "http://10.1.2.3:80/readyz"),
            ("[fe80::1]:80", "http://[fe80::1]:80/readyz"),
        ] {
            assert_eq!(readiness(listen.parse().unwrap()), url);
        }
    }
}
