//! The users that `SECURITY.md` recommends can do their work, and nothing else.

use cognigy_fallback_router::{
    message::{Disposition, Lane},
    secret::Secret,
};

use super::*;

/// A user with these permissions in a virtual host, and settings to connect as it, without declaring anything.
async fn user(node: &broker::Shared, vhost: &Vhost, name: &str, rights: [&str; 3]) -> rabbitmq::Config {
    let [configure, write, read] = rights;
    let user = format!("{}-{name}", vhost.name);
    node.eval(format!(
        "rabbit_auth_backend_internal:add_user(<<\"{user}\">>, <<\"pw\">>, <<\"test\">>), \
         rabbit_auth_backend_internal:set_permissions(<<\"{user}\">>, <<\"{}\">>, <<\"{configure}\">>, <<\"{write}\">>, <<\"{read}\">>, <<\"test\">>).",
        vhost.name
    ))
    .await;
    let url = vhost.url.replace("guest:guest@", &format!("{user}:pw@"));
    rabbitmq::Config { urls: vec![Secret::new(url)], declare: false, ..vhost.config() }
}

#[tokio::test]
async fn an_ingress_that_may_only_write_and_a_worker_that_may_not_declare_do_their_work() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    // Somebody who may has declared everything.
    drop(ready(&vhost).await);
    let ingress = open(&user(&node, &vhost, "ingress", ["^$", r"^fr\\.(in|probe)$", "^$"]).await);
    within(ingress.queue.ready()).await.unwrap();
    let sent = message();
    ingress.publish(Lane::Work, &sent).await.unwrap();

    let worker = user(&node, &vhost, "worker", ["^$", r"^fr\\.(in|dlx|notice|probe)$", r"^fr\\."]).await;
    let worker = open(&worker);
    within(worker.queue.ready()).await.unwrap();
    let mut work = worker.consumer(Lane::Work, 1).await;
    let delivery = next(&mut work).await;
    assert_eq!(id(&delivery.message), id(&sent));
    let outcome = delivery.message.clone();
    delivery.hand_over(Lane::Outcome, &outcome).await.unwrap();
    let mut outcomes = worker.consumer(Lane::Outcome, 1).await;
    next(&mut outcomes).await.settle(Disposition::Retry { after: Duration::ZERO }).await.unwrap();
    next(&mut outcomes).await.settle(Disposition::Ack).await.unwrap();

    // This ingress may not listen to notices: it goes without, and so do requests that it holds open.
    let _deaf = ingress.queue.notices().subscribe(&[Topic::Outcome]);
    let rights = [r"^fr\\.notice\\.", r"^fr\\.(in$|probe$|notice\\.)", r"^fr\\.notice"];
    let listening = open(&user(&node, &vhost, "listening-ingress", rights).await);
    let mut listener = listening.queue.notices().subscribe(&[Topic::Outcome]);
    tell_until_heard(&worker, &mut listener, Topic::Outcome).await;

    drop(work);
    ingress.publish(Lane::Work, &message()).await.unwrap();
    if let Ok(mut reading) = within(ingress.queue.consumer(Lane::Work, NonZeroU16::MIN)).await {
        let read = tokio::time::timeout(Duration::from_secs(1), reading.next()).await;
        assert!(!matches!(read, Ok(Ok(Some(_)))), "the ingress could read");
    }
}

#[tokio::test]
async fn an_ingress_that_may_only_write_learns_how_much_work_waits() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let owner = ready(&vhost).await;
    let ingress = open(&user(&node, &vhost, "counting-ingress", ["^$", r"^fr\\.(in|probe)$", "^$"]).await);
    within(ingress.queue.ready()).await.unwrap();
    for _ in 0..60 {
        owner.publish(Lane::Work, &message()).await.unwrap();
    }
    until(async || matches!(ingress.queue.publisher().admit(), Err(QueueError::Refused { reason: "full", .. }))).await;
}
