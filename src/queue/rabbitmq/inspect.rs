//! Looking without taking: depths and dead letters, each look on a channel of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lapin::{Channel, message::BasicGetMessage, options::BasicGetOptions};

use super::{
    acks::Acks,
    declare,
    departures::Departures,
    headers,
    limit::{CALL, Fault, bounded},
    publisher::Outbox,
    session::Session,
    settlement::{RabbitSettlement, Receipt, Subscription},
    topology,
};
use crate::{
    message::{DeadLetter, Lane, Message, Reason},
    queue::{DEAD_LETTERS_HELD, DeadDelivery, Delivery, Depths, QueueError},
};

/// Longest wait until what a look held is ready again, and the time between two questions for it.
const GIVEN_BACK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(10));

/// A dead letter, and what it is settled with.
type Held = (DeadLetter, Receipt);

/// Pauses before a look that got no answer is tried again: until then what the broker held for its channel is back.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Ready messages of every lane.
pub(super) async fn depths(session: &Session) -> Result<Depths, QueueError> {
    let channel = open(session).await?;
    let depths = count(&channel).await;
    close(channel).await;
    depths
}

/// The oldest `limit` dead letters. They are held unacknowledged while looked at, and go back when the channel closes.
pub(super) async fn dead_letters(session: &Session, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
    let (channel, found) = hold(session, limit).await?;
    close(channel).await;
    given_back(session, found.len()).await;
    Ok(found.into_iter().map(|(letter, _)| letter).collect())
}

/// Waits until the queues hold what was looked at: the broker says that the channel is closed before it puts back what
/// the channel held, and a replay or another look would find nothing meanwhile. Gives up in time if somebody else took it.
async fn given_back(session: &Session, held: usize) {
    let began = Instant::now();
    let Ok(channel) = open(session).await else { return };
    while dead(&channel).await.is_ok_and(|ready| ready < held as u64) && began.elapsed() < GIVEN_BACK.0 {
        tokio::time::sleep(GIVEN_BACK.1).await;
    }
    close(channel).await;
}

/// Takes the oldest `limit` dead letters. They share a channel, which stays open until the last of them is settled:
/// what is left when it closes, however it closes, goes back.
pub(super) async fn take_dead_letters(
    session: Arc<Session>,
    outbox: Arc<Outbox>,
    limit: usize,
) -> Result<Vec<DeadDelivery>, QueueError> {
    let (channel, got) = hold(&session, limit.min(DEAD_LETTERS_HELD)).await?;
    let departures = Departures::every(Duration::ZERO);
    let acks = Acks::at_once(channel.clone(), DEAD_LETTERS_HELD, &outbox.metrics);
    let subscription = Arc::new(Subscription { channel, session, lane: Lane::Outcome, outbox, acks, departures });
    let held = got.into_iter().map(|(DeadLetter { message, reason }, receipt)| {
        let settlement = RabbitSettlement::new(receipt, 0, Arc::clone(&subscription));
        DeadDelivery::new(reason, Delivery::new(message, 0, Box::new(settlement)))
    });
    Ok(held.collect())
}

async fn open(session: &Session) -> Result<Channel, QueueError> {
    bounded("channel.open", CALL, session.connection.create_channel())
        .await
        .map_err(|fault| fault.into_error("a channel to look with"))
}

async fn close(channel: Channel) {
    if channel.status().connected() {
        let _ = bounded("channel.close", CALL, channel.close(200, "looked".into())).await;
    }
}

async fn depth(channel: &Channel, queue: &str) -> Result<u64, QueueError> {
    declare::depth(channel, queue).await.map_err(|fault| QueueError::Unreachable(format!("queue {queue}: {fault}")))
}

async fn count(channel: &Channel) -> Result<Depths, QueueError> {
    let mut delayed = 0;
    for queue in topology::delay_queues() {
        delayed += depth(channel, &queue).await?;
    }
    Ok(Depths {
        work: depth(channel, topology::lane_queue(Lane::Work)).await?,
        late: depth(channel, topology::lane_queue(Lane::Late)).await?,
        outcome: depth(channel, topology::lane_queue(Lane::Outcome)).await?,
        delayed,
        dead: dead(channel).await?,
    })
}

async fn dead(channel: &Channel) -> Result<u64, QueueError> {
    Ok(depth(channel, topology::DEAD).await? + depth(channel, topology::UNROUTED).await?)
}

/// Gets the oldest `limit` dead letters. They are held by the channel, and nothing else has changed: so where an answer
/// does not come, the channel is closed, which gives back whatever it holds, and the look begins anew.
async fn hold(session: &Session, limit: usize) -> Result<(Channel, Vec<Held>), QueueError> {
    let (mut pauses, mut most) = (PAUSES.into_iter(), 0);
    loop {
        let channel = open(session).await?;
        let (mut found, pause) = (Vec::new(), pauses.next());
        let got = get(&channel, limit, &mut found).await;
        // With fewer than before, some are not back yet; after the last pause somebody has taken them.
        let whole = found.len() >= most || pause.is_none();
        most = most.max(found.len());
        match (got, pause) {
            (Ok(()), _) if whole => return Ok((channel, found)),
            (Ok(()), _) | (Err((_, Fault::Late(_))), Some(_)) => {}
            (Err((queue, fault)), _) => {
                close(channel).await;
                return Err(fault.into_error(queue));
            }
        }
        close(channel).await;
        tracing::warn!(found = found.len(), "a look at the dead letters had no answer in time; it is tried again");
        tokio::time::sleep(pause.unwrap_or_default()).await;
    }
}

async fn get(channel: &Channel, limit: usize, found: &mut Vec<Held>) -> Result<(), (&'static str, Fault)> {
    for queue in [topology::DEAD, topology::UNROUTED] {
        while found.len() < limit {
            let got = channel.basic_get(queue.into(), BasicGetOptions::default());
            let got = bounded("basic.get", CALL, got).await.map_err(|fault| (queue, fault))?;
            let Some(message) = got else { break };
            found.push(dead_letter(queue, message));
        }
    }
    Ok(())
}

fn dead_letter(queue: &str, got: BasicGetMessage) -> Held {
    let delivery = got.delivery;
    let receipt = Receipt::of(&delivery);
    let read = headers::decode(&delivery.properties, queue);
    let otherwise = match (queue == topology::UNROUTED, &read) {
        (true, _) => Reason::Unrouted,
        (false, Ok(_)) => Reason::Poison,
        (false, Err(_)) => Reason::Unreadable,
    };
    let envelope = read.unwrap_or_else(|_| headers::decode_what_is_there(&delivery.properties));
    let reason = envelope.reason.unwrap_or(otherwise);
    (DeadLetter { message: Message { envelope, body: Bytes::from(delivery.data) }, reason }, receipt)
}
