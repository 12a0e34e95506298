//! `cfr sign`: a signed request, as a curl command to paste.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use clap::ValueEnum;
use cognigy_fallback_router::{
    secret::Secret,
    signature::{Scheme, request_headers},
};
use uuid::Uuid;

use crate::say;

/// Where the secret is and how it signs; `cfr send` takes the same.
#[derive(clap::Args)]
pub(crate) struct Signing {
    /// A file that holds the profile's webhook secret.
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// The secret itself: better from the environment than on the command line, where others can see it.
    #[arg(long, env = "COGNIGY_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// How the profile's requests are signed.
    #[arg(long, value_enum, default_value = "hex-body")]
    scheme: SchemeName,
    /// Where the ingress takes triggers.
    #[arg(long, default_value = "http://127.0.0.1:8000/webhook/cognigy/fallback")]
    pub(crate) url: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum SchemeName {
    HexBody,
    HexTsBody,
    Standard,
    ApiKey,
}

impl Signing {
    pub(crate) fn secret(&self) -> anyhow::Result<Secret> {
        if let Some(file) = &self.secret_file {
            let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
            return Ok(Secret::new(text.strip_suffix('\n').unwrap_or(&text)));
        }
        let secret = self.secret.as_deref().context("no secret: give --secret-file or COGNIGY_WEBHOOK_SECRET")?;
        Ok(Secret::new(secret))
    }

    /// The headers that sign `body` now.
    pub(crate) fn headers(&self, secret: &Secret, body: &[u8]) -> anyhow::Result<Vec<(&'static str, String)>> {
        let scheme = match self.scheme {
            SchemeName::HexBody => Scheme::HexBody,
            SchemeName::HexTsBody => Scheme::HexTsBody,
            SchemeName::Standard => Scheme::Standard,
            SchemeName::ApiKey => Scheme::ApiKey,
        };
        let id = Uuid::now_v7().to_string();
        request_headers(scheme, secret, &id, SystemTime::now().into(), body)
            .map_err(|problem| anyhow::anyhow!("the secret {problem}"))
    }
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    signing: Signing,
    /// The trigger's JSON; standard input if not given.
    body: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let body = read(arguments.body.as_deref())?;
    let headers = arguments.signing.headers(&arguments.signing.secret()?, body.as_bytes())?;
    say(&curl(&arguments.signing.url, &headers, &body));
    Ok(())
}

fn read(file: Option<&Path>) -> anyhow::Result<String> {
    let mut text = String::new();
    match file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display())),
        None => std::io::stdin().read_to_string(&mut text).map(|_| text).context("standard input cannot be read"),
    }
}

/// A command that posts exactly these bytes, for a POSIX shell.
pub(crate) fn curl(url: &str, headers: &[(&'static str, String)], body: &str) -> String {
    let mut command = format!("curl -sS -X POST {}", quoted(url));
    command.push_str(" \\\n  -H 'Content-Type: application/json'");
    for (name, value) in headers {
        command.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
    }
    command.push_str(&format!(" \\\n  --data-binary {}", quoted(body)));
    command
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
