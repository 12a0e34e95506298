//! A channel of our own to the broker, to put things there that no program of ours would, and to take things away.

use std::time::SystemTime;

use bytes::Bytes;
use cognigy_fallback_router::{
    message::{Envelope, Message},
    time::EpochMs,
    trigger::TriggerId,
};
use lapin::{
    Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    protocol::BasicProperties,
    types::{AMQPValue, FieldTable},
};
use uuid::Uuid;

use crate::{processes::Deployment, support::app::trigger};

/// A connection beside the program's own.
pub(crate) struct Raw {
    connection: Option<Connection>,
    pub(crate) channel: Channel,
}

impl Raw {
    pub(crate) async fn open(deployment: &Deployment) -> Self {
        let url = &deployment.vhost.as_ref().unwrap().url;
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { connection: Some(connection), channel }
    }

    /// Publishes an ordinary trigger past the ingress; its id.
    pub(crate) async fn trigger(&self, exchange: &str, key: &str) -> String {
        self.body(exchange, key, trigger().to_string().as_bytes()).await
    }

    /// Publishes a body under good headers; the id in them.
    pub(crate) async fn body(&self, exchange: &str, key: &str, body: &[u8]) -> String {
        let id = TriggerId(Uuid::now_v7());
        self.message(exchange, key, headers(id), body).await;
        id.to_string()
    }

    /// Publishes and waits for the confirm.
    pub(crate) async fn message(&self, exchange: &str, key: &str, headers: FieldTable, body: &[u8]) {
        let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let published = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties);
        let confirmed = published.await.unwrap().await.unwrap();
        assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
    }

    /// Deliveries of a queue that somebody holds.
    pub(crate) async fn unsettled(&self, deployment: &Deployment, queue: &str) -> u64 {
        let vhost = &deployment.vhost.as_ref().unwrap().name;
        let code = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{vhost}\">>, queue, <<\"{queue}\">>)), \
             [{{_, N}}] = rabbit_amqqueue:info(Q, [messages_unacknowledged]), N."
        );
        deployment.node().eval(code).await.trim().parse().unwrap()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(async move { connection.close(200, "bye".into()).await });
        }
    }
}

/// Headers as the ingress writes them, for a trigger of now that has five minutes.
pub(crate) fn headers(id: TriggerId) -> FieldTable {
    let now = EpochMs::from(SystemTime::now());
    let text = |text: &str| AMQPValue::LongString(text.into());
    let moment = |moment: u64| AMQPValue::LongLongInt(i64::try_from(moment).unwrap());
    let mut table = FieldTable::default();
    for (name, value) in [
        ("fr-version", AMQPValue::LongInt(1)),
        ("fr-trigger-id", text(&id.to_string())),
        ("fr-profile", text("default")),
        ("fr-conversation-id", text("c")),
        ("fr-user-id", text("u")),
        ("fr-accepted-ms", moment(now.0)),
        ("fr-deadline-ms", moment(now.0 + 300_000)),
        ("fr-attempt", AMQPValue::LongInt(1)),
    ] {
        table.insert(name.into(), value);
    }
    table
}

/// A message for the queue's own interface.
pub(crate) fn message() -> Message {
    let now = EpochMs::from(SystemTime::now());
    let envelope = Envelope::first(TriggerId(Uuid::now_v7()), "default", "c", "u", now, EpochMs(now.0 + 300_000));
    Message { envelope, body: Bytes::from_static(b"{}") }
}
