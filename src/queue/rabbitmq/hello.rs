//! The first words with a broker, before lapin's: lapin sets its handshake no deadline, and a connection attempt that
//! is given up leaves a thread and a socket behind for as long as the silent peer lives.
//!
//! The broker notes each of these visits in its log as a client that closed its connection unexpectedly.

use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use lapin::tcp::AMQPUriTcpExt;

use super::endpoint::Endpoint;
use crate::queue::QueueError;

const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// Start of a frame: type 1 (method) on channel 0.
const METHOD_FRAME: [u8; 3] = [1, 0, 0];
/// `Connection.Start` takes about 500 bytes.
const START_LIMIT: usize = 64 * 1024;
/// Quorum queues with message TTL and at-least-once dead-lettering came with this version.
const OLDEST: (u32, u32) = (3, 10);

/// Connects, greets and hangs up: proves within `limit` that a broker of a version that keeps our promises answers, and
/// tells that version.
///
/// # Errors
/// `Unreachable` when nobody or something else answers, `Unusable` when the broker is too old.
pub(super) async fn greet(endpoint: &Endpoint, limit: Duration) -> Result<String, QueueError> {
    let unreachable = |why: &dyn std::fmt::Display| QueueError::Unreachable(format!("{}: {why}", endpoint.label));
    let start = tokio::time::timeout(limit, exchange(endpoint))
        .await
        .map_err(|_| unreachable(&"no answer in time"))?
        .map_err(|error| unreachable(&error))?;
    let version = version(&start).unwrap_or_default();
    if is_new_enough(version) {
        return Ok(version.to_owned());
    }
    Err(QueueError::Unusable(format!("{}: RabbitMQ 3.10 or newer is needed, found {version:?}", endpoint.label)))
}

async fn exchange(endpoint: &Endpoint) -> std::io::Result<Vec<u8>> {
    let runtime = lapin::runtime::default_runtime().map_err(std::io::Error::other)?;
    let mut stream = endpoint.uri.connect_with_config_async(endpoint.tls.as_ref(), &runtime).await?;
    stream.write_all(PROTOCOL_HEADER).await?;
    stream.flush().await?;
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    if head[..3] != METHOD_FRAME || size > START_LIMIT {
        return Err(std::io::Error::other("not an AMQP 0-9-1 broker"));
    }
    let mut start = vec![0; size];
    stream.read_exact(&mut start).await?;
    Ok(start)
}

/// The field `version` of the server properties, found by its encoding: name, type `S`, length, text.
fn version(start: &[u8]) -> Option<&str> {
    const FIELD: &[u8] = b"\x07versionS";
    let at = start.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let (length, rest) = start.get(at..)?.split_first_chunk::<4>()?;
    let text = rest.get(..u32::from_be_bytes(*length) as usize)?;
    std::str::from_utf8(text).ok()
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>());
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_server_properties_and_must_be_3_10_or_newer() {
        let start = |text: &str| {
            let mut bytes = b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x40\x07productS\x00\x00\x00\x08RabbitMQ".to_vec();
            bytes.extend(b"\x07versionS");
            bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend(text.as_bytes());
            bytes
        };
        for (text, enough) in
            [("3.10.8", true), ("3.9.29", false), ("4.0.5", true), ("4.3.0-rc.1", true), ("3", false), ("", false)]
        {
            assert_eq!(version(&start(text)), Some(text));
            assert_eq!(is_new_enough(text), enough, "{text}");
        }
        assert_eq!(version(b"\x07versionS\x00\x00\xff\xff3.10"), None);
        assert_eq!(version(b""), None);
    }
}
