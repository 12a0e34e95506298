//! What of the topology is missing or was declared otherwise. Only what is there is declared again, with the arguments it
//! should have: that changes nothing, and the broker names the argument that differs. Bindings cannot be asked for over
//! AMQP; `management` can.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{
    limit::{CALL, Fault, bounded},
    session::Session,
    topology::{self, Queue},
};
use crate::{message::Lane, queue::QueueError};

/// A sentence for each difference.
///
/// # Errors
/// When the broker cannot be asked.
pub(super) async fn drift(session: &Session) -> Result<Vec<String>, QueueError> {
    let mut found = Vec::new();
    for (name, kind, arguments) in topology::exchanges() {
        let compared = compare_exchange(session, name, kind, arguments).await;
        found.extend(told(&format!("exchange {name}"), compared)?);
    }
    for queue in topology::queues() {
        let place = format!("queue {}", queue.name);
        found.extend(told(&place, compare_queue(session, &queue).await)?);
    }
    Ok(found)
}

/// Consumers of each lane, in the order of [`Lane::ALL`].
///
/// # Errors
/// When the broker cannot be asked.
pub(super) async fn consumers(session: &Session) -> Result<[u64; 3], QueueError> {
    let mut counts = [0; 3];
    for (count, lane) in counts.iter_mut().zip(Lane::ALL) {
        let name = topology::lane_queue(lane);
        let looked = look(session, name).await.map_err(|fault| fault.into_error(name))?;
        *count = u64::from(looked.consumer_count());
    }
    Ok(counts)
}

fn told(place: &str, compared: Result<(), Fault>) -> Result<Option<String>, QueueError> {
    let Err(fault) = compared else { return Ok(None) };
    match fault.code() {
        Some(404) => Ok(Some(format!("{place} is missing"))),
        Some(406) => Ok(Some(format!("{place} was declared otherwise: {fault}"))),
        Some(403) => Ok(Some(format!("{place} cannot be compared: the user may not configure it"))),
        _ => Err(fault.into_error(place)),
    }
}

async fn open(session: &Session) -> Result<Channel, Fault> {
    // One for each question: a refusal closes it.
    bounded("channel.open", CALL, session.connection.create_channel()).await
}

async fn compare_exchange(
    session: &Session,
    name: &str,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> Result<(), Fault> {
    let channel = open(session).await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let passive = ExchangeDeclareOptions { passive: true, ..durable };
    let looked = channel.exchange_declare(name.into(), kind.clone(), passive, FieldTable::default());
    bounded("exchange.declare", CALL, looked).await?;
    bounded("exchange.declare", CALL, channel.exchange_declare(name.into(), kind, durable, arguments)).await
}

async fn compare_queue(session: &Session, queue: &Queue) -> Result<(), Fault> {
    look(session, &queue.name).await?;
    let channel = open(session).await?;
    let (options, arguments) = (QueueDeclareOptions::durable(), queue.arguments());
    let declared = channel.queue_declare(queue.name.as_str().into(), options, arguments);
    bounded("queue.declare", CALL, declared).await.map(drop)
}

async fn look(session: &Session, name: &str) -> Result<lapin::Queue, Fault> {
    let channel = open(session).await?;
    let options = QueueDeclareOptions::durable().passive();
    bounded("queue.declare", CALL, channel.queue_declare(name.into(), options, FieldTable::default())).await
}
