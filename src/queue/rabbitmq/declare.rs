//! Brings the [`topology`] to the broker, and looks at it there.

use lapin::{
    Channel, Connection,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{
    limit::{CALL, Fault, bounded},
    topology::{self, Queue},
};
use crate::queue::QueueError;

/// Makes sure that everything is there: declares it, or where that is not allowed, looks.
///
/// # Errors
/// `Unusable` when a queue is missing or was declared with other arguments, naming it; else `Unreachable`.
pub(super) async fn ensure(connection: &Connection, declare: bool) -> Result<(), QueueError> {
    let channel = bounded("channel.open", CALL, connection.create_channel())
        .await
        .map_err(|fault| fault.into_error("the topology"))?;
    let done = if declare { declare_all(&channel).await } else { look_for_all(&channel).await };
    if done.is_ok() {
        let _ = bounded("channel.close", CALL, channel.close(200, "declared".into())).await;
    }
    done
}

async fn declare_all(channel: &Channel) -> Result<(), QueueError> {
    for (name, kind, arguments) in topology::exchanges() {
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let declared = channel.exchange_declare(name.into(), kind, options, arguments);
        bounded("exchange.declare", CALL, declared)
            .await
            .map_err(|fault| fault.into_error(&format!("exchange {name}")))?;
    }
    for queue in topology::queues() {
        declare_queue(channel, &queue).await.map_err(|fault| fault.into_error(&queue_named(&queue.name)))?;
    }
    Ok(())
}

async fn declare_queue(channel: &Channel, queue: &Queue) -> Result<(), Fault> {
    let name = queue.name.as_str();
    let options = QueueDeclareOptions::durable();
    bounded("queue.declare", CALL, channel.queue_declare(name.into(), options, queue.arguments())).await?;
    for (exchange, key) in &queue.bindings {
        let options = QueueBindOptions::default();
        let bound =
            channel.queue_bind(name.into(), (*exchange).into(), key.as_str().into(), options, FieldTable::default());
        bounded("queue.bind", CALL, bound).await?;
    }
    Ok(())
}

async fn look_for_all(channel: &Channel) -> Result<(), QueueError> {
    for queue in topology::queues() {
        let options = QueueDeclareOptions::durable().passive();
        let looked = channel.queue_declare(queue.name.as_str().into(), options, FieldTable::default());
        if let Err(fault) = bounded("queue.declare", CALL, looked).await {
            let place = queue_named(&queue.name);
            return Err(match fault.is_missing() {
                true => QueueError::Unusable(format!("{place}: missing, and declaring is off")),
                false => fault.into_error(&place),
            });
        }
    }
    Ok(())
}

/// Ready messages of a queue.
pub(super) async fn depth(channel: &Channel, queue: &str) -> Result<u64, Fault> {
    let options = QueueDeclareOptions::durable().passive();
    let looked = channel.queue_declare(queue.into(), options, FieldTable::default());
    bounded("queue.declare", CALL, looked).await.map(|queue| u64::from(queue.message_count()))
}

fn queue_named(name: &str) -> String {
    format!("queue {name}")
}
