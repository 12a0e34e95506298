//! AMQPS: an authority of our own, and a client certificate.

use cognigy_fallback_router::{
    message::{Disposition, Lane},
    queue::QueueError,
};

use super::*;
use crate::support::certificates::Authority;

/// Why a queue with these settings does not connect, or that it does.
async fn connected(config: &rabbitmq::Config) -> Result<(), String> {
    let rig = open(config);
    within(async {
        loop {
            match rig.queue.publisher().admit() {
                Ok(()) => return Ok(()),
                // The address stands in it once it was tried.
                Err(QueueError::Unreachable(why)) if why.contains(':') => return Err(why),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn messages_go_and_come_over_tls_with_both_sides_known_to_each_other() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = open(&node.tls_config(&vhost));
    rig.queue.ready().await.unwrap();
    let sent = message();
    rig.publish(Lane::Work, &sent).await.unwrap();
    let mut consumer = rig.consumer(Lane::Work, 1).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message.body, sent.body);
    delivery.settle(Disposition::Ack).await.unwrap();
}

#[tokio::test]
async fn a_broker_or_a_client_that_cannot_prove_itself_is_not_spoken_to() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let good = node.tls_config(&vhost);
    let stranger = Authority::new();
    let foreign = stranger.issue("client");
    let cases = [
        ("an unknown authority", rabbitmq::Config { ca_file: None, ..good.clone() }),
        ("another authority", rabbitmq::Config { ca_file: Some(stranger.file()), ..good.clone() }),
        (
            "no certificate to show",
            rabbitmq::Config { client_certificate_file: None, client_key_file: None, ..good.clone() },
        ),
        (
            "a certificate of somebody else",
            rabbitmq::Config {
                client_certificate_file: Some(foreign.certificate),
                client_key_file: Some(foreign.key),
                ..good.clone()
            },
        ),
    ];
    assert_eq!(connected(&good).await, Ok(()));
    for (what, config) in cases {
        assert!(connected(&config).await.is_err(), "{what}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_read_or_do_not_belong_together_stop_the_start() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let good = node.tls_config(&vhost);
    for (config, named) in [
        (
            rabbitmq::Config { ca_file: Some("/nonexistent/ca.pem".into()), ..good.clone() },
            "ca_file: /nonexistent/ca.pem",
        ),
        (rabbitmq::Config { client_key_file: None, ..good.clone() }, "belong together"),
    ] {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let limits = Limits { soft_limit: 50, reserve: Duration::from_secs(2) };
        let error = rabbitmq::connect(&config, limits, metrics).err().unwrap();
        assert!(matches!(&error, QueueError::Unusable(why) if why.contains(named)), "{error}");
    }
}
