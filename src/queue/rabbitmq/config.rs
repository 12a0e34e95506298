//! `[queue.rabbitmq]`.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::secret::Secret;

/// Settings of the RabbitMQ backend.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// AMQP URIs of the cluster's nodes, tried in random order. They hold a password.
    pub urls: Vec<Secret>,
    /// Most confirm channels. Many publishes are in flight on each; another one is used when many wait for the first.
    pub channels: usize,
    /// Longest wait for a free channel before a publish is refused.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub channel_timeout: Duration,
    /// Longest wait for a confirm before a publish counts as unknown.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub confirm_timeout: Duration,
    /// Longest wait for a connection.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub connect_timeout: Duration,
    /// AMQP heartbeat; a dead broker is noticed after about three of them.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub heartbeat: Duration,
    /// Declare exchanges and queues at start. Off where the broker's users may not configure.
    pub declare: bool,
    /// PEM file with authorities to trust beside the system's, for `amqps://`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate (and its chain) that this program shows, for brokers that ask for one.
    #[serde(default)]
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with its private key.
    #[serde(default)]
    pub client_key_file: Option<PathBuf>,
    /// The broker's HTTP API, for `cfr doctor` alone; it may hold a password.
    #[serde(default)]
    pub management_url: Option<Secret>,
}
