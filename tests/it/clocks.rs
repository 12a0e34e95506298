//! Clocks that differ between the machines of ingress and worker.

use std::time::{Duration, SystemTime};

use cognigy_fallback_router::{
    message::{Envelope, Lane, Message},
    time::EpochMs,
    trigger::TriggerId,
};

use crate::support::{
    app::{COMPLETIONS, TestApp, World, trigger},
    stub::Reply,
};

/// A trigger with two seconds that an ingress has accepted whose clock is five minutes ahead.
fn from_the_future() -> Message {
    let accepted_at = EpochMs::from(SystemTime::now()).plus(Duration::from_secs(300));
    let envelope = Envelope::first(
        TriggerId(uuid::Uuid::now_v7()),
        "default",
        "c",
        "u",
        accepted_at,
        accepted_at.plus(Duration::from_secs(2)),
    );
    Message { envelope, body: trigger().to_string().into() }
}

#[tokio::test]
async fn a_clock_behind_the_ingresss_gives_no_trigger_more_time_than_it_has() {
    let world = World::start().await;
    world.llm.always(COMPLETIONS, Reply::hang());
    let app = TestApp::start_in(world, &[]).await;
    let message = from_the_future();
    app.queue().publisher().publish(Lane::Work, &message).await.unwrap();
    let callback = app.world.callback_of(message.envelope.trigger_id);
    let callback = tokio::time::timeout(Duration::from_secs(60), callback).await;
    let outcome = callback.expect("it was given the difference of the clocks as well").json();
    assert_eq!(outcome["status"], "llm_unavailable");
}
