//! A queue that answers when nobody waits for its answer any more, as one does that had no majority for a while.

use cognigy_fallback_router::message::{Disposition, Lane};

use super::{message, next, ready, until};
use crate::support::broker;

/// The process behind the outcome lane, in the words of the node's shell.
fn server(vhost: &broker::Vhost) -> String {
    let queue = format!("rabbit_misc:r(<<\"{}\">>, queue, <<\"fr.outcome\">>)", vhost.name);
    format!("{{ok, Q}} = rabbit_amqqueue:lookup({queue}), {{Server, _}} = amqqueue:get_pid(Q), ")
}

/// How many calls wait for it.
async fn asked(node: &broker::Alone, server: &str) -> u32 {
    let count = "{messages, All} = process_info(whereis(Server), messages), length([1 || {'$gen_call', _, _} <- All]).";
    node.eval(format!("{server} {count}")).await.trim().parse().unwrap()
}

#[tokio::test]
async fn a_consumer_whose_start_is_answered_too_late_keeps_nothing_to_itself() {
    let node = broker::alone().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let server = server(&vhost);
    node.eval(format!("{server} sys:suspend(Server).")).await;
    let mut outcomes = rig.consumer(Lane::Outcome, 2).await;
    // Each asks to consume once; the second one only after the first was given up.
    until(async || asked(&node, &server).await >= 2).await;
    assert!(!rig.queue.is_connected(), "a worker is not ready while a lane of it is not consumed");
    node.eval(format!("{server} sys:resume(Server).")).await;
    until(async || rig.queue.is_connected()).await;
    for _ in 0..12 {
        rig.publish(Lane::Outcome, &message()).await.unwrap();
    }
    for _ in 0..12 {
        next(&mut outcomes).await.settle(Disposition::Ack).await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_that_is_stopped_before_its_start_is_answered_keeps_nothing_either() {
    let node = broker::alone().await;
    let vhost = node.vhost().await;
    let (stopping, other) = (ready(&vhost).await, ready(&vhost).await);
    let server = server(&vhost);
    node.eval(format!("{server} sys:suspend(Server).")).await;
    let mut stopped = stopping.consumer(Lane::Outcome, 2).await;
    until(async || asked(&node, &server).await >= 1).await;
    stopped.stop().await;
    drop(stopped);
    node.eval(format!("{server} sys:resume(Server).")).await;
    for _ in 0..12 {
        other.publish(Lane::Outcome, &message()).await.unwrap();
    }
    let mut outcomes = other.consumer(Lane::Outcome, 2).await;
    for _ in 0..12 {
        next(&mut outcomes).await.settle(Disposition::Ack).await.unwrap();
    }
}
