//! TLS of a listener, for installations without a proxy that ends it.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, ensure};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

/// Files with the listener's identity. They are read once, at start.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct TlsFiles {
    /// PEM file with the certificate, and after it its chain.
    pub certificate_file: PathBuf,
    /// PEM file with its private key.
    pub key_file: PathBuf,
}

/// The identity of a listener: TLS 1.2 or 1.3, HTTP/1.1, no client certificates.
#[derive(Clone)]
pub struct Tls(pub(super) TlsAcceptor);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or the two do not belong together. The text names the file and nothing of the key.
    pub fn read(files: &TlsFiles) -> anyhow::Result<Self> {
        let TlsFiles { certificate_file, key_file } = files;
        let unusable = |file: &PathBuf| format!("{} is no usable PEM file", file.display());
        let chain = CertificateDer::pem_file_iter(certificate_file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| unusable(certificate_file))?;
        ensure!(!chain.is_empty(), "{}: holds no certificate", certificate_file.display());
        let key = PrivateKeyDer::from_pem_file(key_file).with_context(|| unusable(key_file))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("{} and {}", certificate_file.display(), key_file.display()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}
