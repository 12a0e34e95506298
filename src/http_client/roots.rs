//! Certificate authorities beside those of the system.

use std::path::Path;

use anyhow::{Context, ensure};

/// Authorities that a client trusts beside the system's: a company's own, for upstreams inside its network.
#[derive(Clone, Debug, Default)]
pub struct Roots(pub(super) Vec<reqwest::Certificate>);

impl Roots {
    /// Reads a PEM file with one or more certificates; none for `None`.
    ///
    /// # Errors
    /// When it cannot be read or holds no certificate.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let unusable = || format!("ca_file: {}", file.display());
        let pem = std::fs::read(file).with_context(unusable)?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem).with_context(unusable)?;
        ensure!(!roots.is_empty(), "ca_file: {} holds no certificate in PEM form", file.display());
        Ok(Self(roots))
    }
}
