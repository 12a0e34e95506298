//! Where the brokers are. The URIs hold a password: nothing here prints them, only `host:port`.

use std::{path::Path, time::Duration};

use lapin::{
    tcp::{OwnedIdentity, OwnedTLSConfig},
    uri::AMQPUri,
};
use rand::seq::SliceRandom;
use url::{Host, Url};

use super::Config;
use crate::queue::QueueError;

/// Largest frame, in bytes, unless a URI asks for larger ones (`frame_max`). lapin keeps room for 32 frames in each direction
/// of each connection: with the 128 KiB that RabbitMQ offers these were 16 MiB of every process. A message's headers have
/// to fit into one frame: ours have at most 14 KiB.
const FRAME: u32 = 32 * 1024;

/// One broker. Without `Debug`, because of the password.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) uri: AMQPUri,
    /// `host:port`, for logs and errors.
    pub(super) label: String,
    /// Whom to trust and what to show, for `amqps`.
    pub(super) tls: OwnedTLSConfig,
}

/// The brokers of the settings.
///
/// # Errors
/// `Unusable` when there is none, or one is no AMQP URI.
pub(super) fn parse(config: &Config) -> Result<Vec<Endpoint>, QueueError> {
    let texts: Vec<_> = config.urls.iter().flat_map(|url| apart(url.expose())).collect();
    if texts.is_empty() {
        return Err(QueueError::Unusable("no AMQP URI is set".into()));
    }
    let tls = tls(config)?;
    let parse = |(index, text): (usize, &str)| {
        endpoint(text, config.heartbeat, &tls).ok_or_else(|| {
            QueueError::Unusable(format!(
                "AMQP URI number {} is not of the form amqp[s]://user:password@host",
                index + 1
            ))
        })
    };
    texts.into_iter().enumerate().map(parse).collect()
}

/// The URIs of one setting: a cluster's nodes stand in it one after the other, with commas or white space between. A
/// comma that no URI follows belongs to a password.
fn apart(setting: &str) -> Vec<&str> {
    let begins = |text: &str| text.starts_with("amqp://") || text.starts_with("amqps://");
    let mut uris = vec![setting.trim()];
    while let Some(last) = uris.last().copied() {
        let end = last.char_indices().find(|&(at, separator)| {
            (separator == ',' || separator.is_whitespace()) && begins(last[at + separator.len_utf8()..].trim_start())
        });
        let Some((at, separator)) = end else { break };
        uris.pop();
        uris.extend([last[..at].trim_end(), last[at + separator.len_utf8()..].trim_start()]);
    }
    uris
}

/// The same brokers in random order, so that many processes spread over a cluster.
pub(super) fn shuffled(endpoints: &[Endpoint]) -> Vec<Endpoint> {
    let mut endpoints = endpoints.to_vec();
    endpoints.shuffle(&mut rand::rng());
    endpoints
}

fn endpoint(text: &str, heartbeat: Duration, tls: &OwnedTLSConfig) -> Option<Endpoint> {
    // The parsers' own errors quote the URI, password and all: they end here.
    let url = Url::parse(text).ok()?;
    let mut uri: AMQPUri = text.parse().ok()?;
    let host = url.host()?;
    // lapin reads every IPv6 address as `localhost`.
    if let Host::Ipv6(address) = &host {
        uri.authority.host = address.to_string();
    }
    // `amqp://host/` names the empty virtual host, which nobody has, and everybody means the default one.
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    let seconds = u16::try_from(heartbeat.as_secs().max(1)).unwrap_or(u16::MAX);
    uri.query.heartbeat = uri.query.heartbeat.filter(|&own| own > 0).or(Some(seconds));
    uri.query.frame_max = Some(uri.query.frame_max.unwrap_or(FRAME).max(FRAME));
    let label = format!("{host}:{}", uri.authority.port);
    Some(Endpoint { uri, label, tls: tls.clone() })
}

/// The TLS settings of every broker. What is no PEM shows at the first connection.
fn tls(config: &Config) -> Result<OwnedTLSConfig, QueueError> {
    let read = |key: &str, file: &Path| {
        let text = std::fs::read_to_string(file);
        text.map_err(|error| QueueError::Unusable(format!("{key}: {} cannot be read: {error}", file.display())))
    };
    let identity = match (&config.client_certificate_file, &config.client_key_file) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(OwnedIdentity::PKCS8 {
            pem: read("client_certificate_file", certificate)?.into_bytes(),
            key: read("client_key_file", key)?.into_bytes(),
        }),
        _ => {
            let why = "client_certificate_file and client_key_file belong together; one of them is not set";
            return Err(QueueError::Unusable(why.into()));
        }
    };
    let cert_chain = config.ca_file.as_deref().map(|file| read("ca_file", file)).transpose()?;
    Ok(OwnedTLSConfig { identity, cert_chain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn config(url: &str) -> Config {
        Config {
            urls: vec![Secret::new(url)],
            channels: 1,
            channel_timeout: Duration::from_millis(250),
            confirm_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            declare: true,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            management_url: None,
        }
    }

    #[test]
    fn a_uri_gives_host_port_virtual_host_and_a_heartbeat() {
        for (url, label, host, vhost, heartbeat) in [
            ("amqp://u:p@rabbit", "rabbit:5672", "rabbit", "/", 10),
            ("amqp://u:p@rabbit/", "rabbit:5672", "rabbit", "/", 10),
            ("amqp://u:p@rabbit:1/%2f", "rabbit:1", "rabbit", "/", 10),
            ("amqp://u:p@rabbit/cfr?heartbeat=4", "rabbit:5672", "rabbit", "cfr", 4),
            ("amqp://u:p@rabbit/cfr?heartbeat=0", "rabbit:5672", "rabbit", "cfr", 10),
            ("amqps://u:p@rabbit/cfr", "rabbit:5671", "rabbit", "cfr", 10),
            ("amqp://u:p@[::1]:7/cfr", "[::1]:7", "::1", "cfr", 10),
            ("amqp://u:p@10.0.0.1", "10.0.0.1:5672", "10.0.0.1", "/", 10),
        ] {
            let endpoint = parse(&config(url)).unwrap().remove(0);
            assert_eq!(endpoint.label, label, "{url}");
            assert_eq!(endpoint.uri.authority.host, host, "{url}");
            assert_eq!(endpoint.uri.vhost, vhost, "{url}");
            assert_eq!(endpoint.uri.query.heartbeat, Some(heartbeat), "{url}");
        }
    }

    #[test]
    fn frames_are_small_unless_a_uri_asks_for_larger_ones() {
        for (query, frame_max) in
            [("", FRAME), ("?frame_max=0", FRAME), ("?frame_max=4096", FRAME), ("?frame_max=65536", 65536)]
        {
            let endpoint = parse(&config(&format!("amqp://u:p@rabbit/cfr{query}"))).unwrap().remove(0);
            assert_eq!(endpoint.uri.query.frame_max, Some(frame_max), "{query}");
        }
    }

    #[test]
    fn one_setting_may_name_all_nodes_of_a_cluster() {
        let labels = |setting: &str| -> Vec<_> {
            parse(&config(setting)).unwrap().into_iter().map(|endpoint| endpoint.label).collect()
        };
        let three = ["a:5672", "b:5672", "c:7"];
        assert_eq!(labels("amqp://u:p@a,amqp://u:p@b,amqp://u:p@c:7"), three);
        assert_eq!(labels(" amqp://u:p@a , amqp://u:p@b\namqp://u:p@c:7\n"), three);
        assert_eq!(labels("amqp://u:p,p@a,amqps://u:p@b"), ["a:5672", "b:5671"]);
        let password = parse(&config("amqp://u:p,p@a,amqp://u:p@b")).unwrap().remove(0).uri.authority.userinfo.password;
        assert_eq!(password, "p,p");
        let error = parse(&config("amqp://u:p@a,amqp://u:hunter2@b:port")).err().unwrap().to_string();
        assert!(error.contains("number 2") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_bad_uri_is_refused_without_its_password() {
        for url in ["", "rabbit", "http://u:hunter2@rabbit", "amqp:hunter2", "amqp://u:hunter2@rabbit:port/"] {
            let error = parse(&config(url)).err().unwrap().to_string();
            assert!(error.contains("number 1"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let mut none = config("");
        none.urls.clear();
        assert!(matches!(parse(&none), Err(QueueError::Unusable(_))));
    }
}
