//! RabbitMQ through lapin: the topology of three lanes, a pool of confirm channels, own reconnecting sessions.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;

use super::{Limits, Queue, QueueError};
use crate::{metrics::Metrics, secret::Secret};

/// Settings of the RabbitMQ backend.
#[derive(Clone, Debug, Deserialize)]

pub struct Config {
    /// AMQP URIs of the cluster's nodes, tried in random order. They hold a password.
    pub urls: Vec<Secret>,
    /// Confirm channels; each has one publish in flight.
    pub channels: usize,
    /// Longest wait for a free channel before a publish is refused.
    #[serde(with = "humantime_serde")]
    pub channel_timeout: Duration,
    /// Longest wait for a confirm before a publish counts as unknown.
    #[serde(with = "humantime_serde")]
    pub confirm_timeout: Duration,
    /// Longest wait for a connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// AMQP heartbeat; a dead broker is noticed after about three of them.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Declare exchanges and queues at start. Off where the broker's users may not configure.
    pub declare: bool,
}

/// Starts the sessions in the background; does not wait for the first connection ([`Queue::ready`] does).
///
/// # Errors
/// `Unusable` when no URI can be parsed.
pub fn connect(_config: &Config, _limits: Limits, _metrics: Arc<Metrics>) -> Result<Arc<dyn Queue>, QueueError> {
    unimplemented!()
}
