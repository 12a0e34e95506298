//! TLS with the system's authorities.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_platform_verifier::Verifier;

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

static READ: OnceLock<ClientConfig> = OnceLock::new();

/// TLS for a client that trusts the system's authorities alone. They are read once in a process: that takes some 20 ms of
/// CPU, and every profile has several clients. `None` where they cannot be read; the client's builder then says why.
pub(super) fn tls(http1_only: bool) -> Option<ClientConfig> {
    let mut config = match READ.get() {
        Some(config) => config.clone(),
        None => {
            let config = read().ok()?;
            READ.get_or_init(|| config).clone()
        }
    };
    config.alpn_protocols = if http1_only { vec![HTTP_1.to_vec()] } else { vec![HTTP_2.to_vec(), HTTP_1.to_vec()] };
    Some(config)
}

fn read() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Verifier::new(Arc::clone(&provider))?);
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}
