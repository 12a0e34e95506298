//! The way to the broker, and the way to the callback, breaks.

use std::net::SocketAddr;

use super::{SLOTS, broken_broker, load, pause, scaled, sending, told, unsure};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::{Model, Outside},
    processes::{Deployment, On},
    proxy::{Flow, Proxy},
};

/// What happens to connections.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Cut,
    /// Open on both sides, and silent for ever.
    Dead,
    Stall,
    Trickle,
    CutAfterBytes,
}

/// Whose connection.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    Ingress,
    Worker,
}

impl Fault {
    const ALL: [Self; 5] = [Self::Cut, Self::Dead, Self::Stall, Self::Trickle, Self::CutAfterBytes];

    /// Breaks every connection through these proxies and, after a while, no more; how often it may have bitten.
    async fn strike(self, proxies: &[&Proxy], seconds: f64) -> usize {
        let each = |order: &dyn Fn(&Proxy)| proxies.iter().for_each(|proxy| order(proxy));
        match self {
            Self::Cut => {
                for _ in 0..3 {
                    each(&Proxy::cut);
                    pause(1.0).await;
                }
                3
            }
            Self::Dead => {
                each(&Proxy::let_die);
                1
            }
            Self::Stall | Self::Trickle => {
                each(&|proxy| proxy.flow(if self == Self::Stall { Flow::Stalls } else { Flow::Trickles }));
                pause(seconds).await;
                each(&|proxy| proxy.flow(Flow::Passes));
                3
            }
            Self::CutAfterBytes => {
                each(&|proxy| proxy.cut_after(Some(100_000)));
                pause(2.0 * seconds).await;
                each(&|proxy| proxy.cut_after(None));
                10
            }
        }
    }
}

/// Ingress and worker each have their own way to the broker; both break at once.
pub(super) async fn broker_link(fault: Fault) -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 50));
    let mut deployment = Deployment::prepare(On::RabbitMq, &outside, &[]).await;
    let (ingress, url) = deployment.broker_proxy().await;
    deployment.ingress_environment.insert("AMQP_URL".to_owned(), url);
    let (worker, url) = deployment.broker_proxy().await;
    deployment.worker_environment.insert("AMQP_URL".to_owned(), url);
    deployment.add_ingress().await;
    deployment.add_workers(2).await;
    let sent = sending(load(&deployment, 3000));
    pause(1.5).await;
    let seconds = if fault == Fault::Trickle { 15.0 } else { 5.0 };
    let times = fault.strike(&[&ingress, &worker], seconds).await;
    outside.healed();
    let sent = sent.await.unwrap();
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(times, &sent)).await;
    figures.noting(told(&sent))
}

/// The broker has stored the message; the connection is cut before its confirm arrives. Nobody is promised anything: the
/// sender asks again, or the worker stores the same bytes again.
pub(super) async fn cut_before_the_confirm(side: Side) -> Figures {
    let outside = Outside::start().await;
    let mut deployment = Deployment::prepare(On::RabbitMq, &outside, &[]).await;
    let (proxy, url) = deployment.broker_proxy().await;
    match side {
        Side::Ingress => deployment.ingress_environment.insert("AMQP_URL".to_owned(), url),
        Side::Worker => deployment.worker_environment.insert("AMQP_URL".to_owned(), url),
    };
    deployment.add_ingress().await;
    deployment.add_workers(1).await;
    let mut load = load(&deployment, 1000);
    // However quick everything is, there are confirms to be cut off all the while.
    load.rate = load.count as f64 / 6.0;
    let sent = sending(load);
    for _ in 0..5 {
        pause(1.0).await;
        proxy.cut_confirms(1);
    }
    outside.healed();
    let sent = sent.await.unwrap();
    proxy.cut_confirms(0);
    let cuts = proxy.cuts();
    assert!(cuts > 0, "no confirm was cut off");
    let bounds = match side {
        Side::Ingress => unsure(&sent),
        // A decision that may be stored is kept and stored again; those that were still being made are lost to us with
        // their channel.
        Side::Worker => Bounds::repeats(cuts * 2 * SLOTS + sent.unsure()),
    };
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    figures.noting(format!("{cuts} confirms cut off, {}", told(&sent)))
}

async fn behind_a_proxy(outside: &Outside) -> (Deployment, Proxy) {
    let target: SocketAddr =
        outside.sink_url.trim_start_matches("http://").trim_end_matches("/callback").parse().unwrap();
    let proxy = Proxy::start(target).await;
    let url = format!("http://{}/callback", proxy.address);
    (Deployment::start(On::RabbitMq, outside, 2, &[("COGNIGY_CALLBACK_URL", &url)]).await, proxy)
}

/// Posts are repeated, their bytes are the same, and the model notices nothing.
pub(super) async fn callback_link() -> Figures {
    let outside = Outside::start().await;
    let (deployment, proxy) = behind_a_proxy(&outside).await;
    let mut load = load(&deployment, 3000);
    load.rate = scaled(3000) as f64 / 40.0;
    let sent = sending(load);
    for fault in Fault::ALL {
        pause(2.0).await;
        fault.strike(&[&proxy], 5.0).await;
    }
    outside.healed();
    let sent = sent.await.unwrap();
    let unsure = sent.unsure();
    let bounds =
        Bounds { duplicates: sent.accepted.count(), second_outcomes: unsure, extra_calls: unsure, ..Bounds::default() };
    settle(&sent.accepted, &outside, &deployment, bounds).await.noting("cut, dead, 5 s stall, 1 byte/s, cut by bytes")
}

/// The receiver has written it down, and its answer never arrives.
pub(super) async fn callback_cut_before_its_answer() -> Figures {
    let outside = Outside::start().await;
    let (deployment, proxy) = behind_a_proxy(&outside).await;
    proxy.cut_answers(30);
    let sent = load(&deployment, 300).send().await;
    let unsure = sent.unsure();
    let bounds = Bounds { duplicates: 30 + unsure, second_outcomes: unsure, extra_calls: unsure, ..Bounds::default() };
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    assert!(figures.duplicates.seen > 0, "no post was repeated");
    figures.noting(format!("{} answers cut off", proxy.cuts()))
}
