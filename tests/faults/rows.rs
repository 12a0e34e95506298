//! The rows: one fault each.

use std::{future::Future, pin::Pin, time::Duration};

use nix::sys::signal::Signal;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    ledger::{Bounds, Figures, settle},
    outside::Outside,
    processes::{Deployment, On},
    sender::{Sent, send},
};

type Run = fn() -> Pin<Box<dyn Future<Output = Figures> + Send>>;

/// One row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Part of the selection for CI.
    pub(crate) short: bool,
    pub(crate) run: Run,
}

macro_rules! row {
    ($name:literal, $short:literal, $run:expr) => {
        Row { name: $name, short: $short, run: || Box::pin($run) }
    };
}

pub(crate) const ROWS: &[Row] = &[
    row!("no fault", true, no_fault(On::RabbitMq)),
    row!("no fault, embedded", true, no_fault(On::Embedded)),
    row!("ingress killed", true, ingress_killed(On::RabbitMq)),
    row!("ingress killed, embedded", false, ingress_killed(On::Embedded)),
    row!("workers killed", true, workers_killed(On::RabbitMq)),
    row!("workers killed, embedded", true, workers_killed(On::Embedded)),
    row!("broker killed", true, broker_killed()),
    row!("broker restarted", false, broker_restarted()),
    row!("workers stopped in good order", true, workers_stopped(On::RabbitMq)),
    row!("workers stopped in good order, embedded", false, workers_stopped(On::Embedded)),
    row!("broker frozen", false, broker_frozen()),
    row!("worker frozen", false, worker_frozen()),
    row!("disk alarm", true, disk_alarm()),
    row!("backlog", true, backlog(On::RabbitMq)),
    row!("deadline passed without workers", true, deadline_passed(On::RabbitMq)),
    row!("deadline passed, embedded", false, deadline_passed(On::Embedded)),
    row!("callback down", true, callback_down(On::RabbitMq)),
    row!("callback refused", false, callback_refused(On::RabbitMq)),
    row!("model down", true, model_down(On::RabbitMq)),
    row!("connections cut", false, connections_cut()),
    row!("everything at random", false, everything_at_random()),
];

/// Slots of the outcome and the work lane of one worker.
const SLOTS: usize = 64;

#[expect(clippy::disallowed_methods, reason = "a test program has no settings")]
fn rng() -> StdRng {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u32>);
    println!("      SEED={seed}");
    StdRng::seed_from_u64(seed.into())
}

async fn pause(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// Begins to send in the background.
fn sending(deployment: &Deployment, count: usize) -> tokio::task::JoinHandle<Sent> {
    tokio::spawn(send(deployment.webhook, count, 16, None))
}

/// Where nothing of ours is broken, only a request without a promise can run twice: on a machine that is too busy to
/// confirm in time there are some.
fn unsure(sent: &Sent) -> Bounds {
    let unsure = sent.refused + sent.unanswered;
    Bounds { duplicates: unsure, second_outcomes: unsure, extra_calls: unsure, dead: 0 }
}

async fn no_fault(on: On) -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(on, &outside, 2, &[]).await;
    let sent = sending(&deployment, 3000).await.unwrap();
    settle(&sent.accepted, &outside, &deployment.queue, unsure(&sent)).await
}

async fn ingress_killed(on: On) -> Figures {
    let outside = Outside::start().await;
    let mut deployment = Deployment::start(on, &outside, 2, &[]).await;
    let mut rng = rng();
    let sent = sending(&deployment, 3000);
    let mut kills = 0;
    while !sent.is_finished() {
        pause(rng.random_range(0.5..2.0)).await;
        deployment.kill_ingress();
        deployment.start_ingress().await;
        kills += 1;
    }
    let sent = sent.await.unwrap();
    // What was stored but not answered is sent again under the same id, and a new ingress does not know it.
    let again = sent.unanswered;
    let bounds = Bounds { duplicates: again, second_outcomes: again, extra_calls: again, ..Bounds::default() };
    let mut figures = settle(&sent.accepted, &outside, &deployment.queue, bounds).await;
    figures.note = format!("{kills} kills, {again} requests without an answer");
    figures
}

async fn workers_killed(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.set_llm(200, 100);
    let mut deployment = Deployment::start(on, &outside, 3, &[]).await;
    let mut rng = rng();
    let sent = sending(&deployment, 4000);
    let mut kills = 0;
    while !sent.is_finished() {
        pause(rng.random_range(0.5..1.5)).await;
        let number = rng.random_range(0..3);
        deployment.kill_worker(number);
        deployment.start_worker(number);
        kills += 1;
    }
    let most = kills * SLOTS;
    let bounds = Bounds { duplicates: most, second_outcomes: most, extra_calls: most, ..Bounds::default() };
    let sent = sent.await.unwrap();
    let mut figures = settle(&sent.accepted, &outside, &deployment.queue, bounds).await;
    figures.note = format!("{kills} kills");
    figures
}

async fn broker_killed() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(&deployment, 4000);
    let mut kills = 0;
    while !sent.is_finished() && kills < 5 {
        pause(2.0).await;
        deployment.node().kill().await;
        deployment.node().start().await;
        kills += 1;
    }
    broken_broker(&deployment, &outside, sent.await.unwrap(), kills, "kills").await
}

async fn broker_restarted() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(&deployment, 3000);
    pause(2.0).await;
    deployment.node().stop().await;
    deployment.node().start().await;
    broken_broker(&deployment, &outside, sent.await.unwrap(), 1, "restart").await
}

async fn broker_frozen() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(&deployment, 2000);
    pause(2.0).await;
    deployment.node().pause().await;
    pause(25.0).await;
    deployment.node().resume().await;
    let sent = sent.await.unwrap();
    assert!(sent.slowest < Duration::from_secs(14), "an answer took {:?}", sent.slowest);
    broken_broker(&deployment, &outside, sent, 1, "freeze of 25 s").await
}

async fn connections_cut() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(&deployment, 3000);
    for _ in 0..3 {
        pause(1.0).await;
        deployment.node().close_connections().await;
    }
    broken_broker(&deployment, &outside, sent.await.unwrap(), 3, "cuts").await
}

/// A broker that went away leaves publishes and acknowledgements unknown: as many as were in flight, each time.
async fn broken_broker(deployment: &Deployment, outside: &Outside, sent: Sent, times: usize, what: &str) -> Figures {
    let most = times * (4 * SLOTS + 16) + sent.refused.min(16 * times);
    let bounds = Bounds { duplicates: most, second_outcomes: most, extra_calls: most, ..Bounds::default() };
    let mut figures = settle(&sent.accepted, outside, &deployment.queue, bounds).await;
    figures.note =
        format!("{times} {what}, slowest answer {:.1} s, {} refused", sent.slowest.as_secs_f64(), sent.refused);
    figures
}

async fn workers_stopped(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.set_llm(200, 200);
    let mut deployment = Deployment::start(on, &outside, 2, &[]).await;
    let sent = sending(&deployment, 2000);
    let mut stops = 0;
    while !sent.is_finished() {
        pause(1.0).await;
        let number = stops % 2;
        deployment.stop_worker(number);
        deployment.start_worker(number);
        stops += 1;
    }
    let sent = sent.await.unwrap();
    let mut figures = settle(&sent.accepted, &outside, &deployment.queue, unsure(&sent)).await;
    figures.note = format!("{stops} stops, {} refused, {} without an answer", sent.refused, sent.unanswered);
    figures
}

/// Another worker gets the frozen one's deliveries; when it wakes it posts nothing that is no longer its own.
async fn worker_frozen() -> Figures {
    let outside = Outside::start().await;
    outside.set_llm(200, 100);
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(&deployment, 2000);
    pause(1.0).await;
    deployment.signal_worker(0, Signal::SIGSTOP);
    let sent = sent.await.unwrap();
    pause(45.0).await;
    deployment.signal_worker(0, Signal::SIGCONT);
    let most = 2 * SLOTS;
    let bounds = Bounds { duplicates: most, second_outcomes: most, extra_calls: most, ..Bounds::default() };
    settle(&sent.accepted, &outside, &deployment.queue, bounds).await
}

async fn disk_alarm() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    // The alarm is there before the first trigger: how long rabbitmqctl takes does not matter then.
    deployment.node().set_alarm().await;
    let sent = sending(&deployment, 2000);
    pause(8.0).await;
    assert!(outside.calls() < 200, "{} triggers were worked on under the alarm", outside.calls());
    deployment.node().clear_alarm().await;
    let sent = sent.await.unwrap();
    assert!(sent.refused > 0, "nothing was refused under the alarm");
    broken_broker(&deployment, &outside, sent, 1, "alarm of 8 s").await
}

async fn backlog(on: On) -> Figures {
    let outside = Outside::start().await;
    let mut deployment = Deployment::start(on, &outside, 0, &[("CFR__QUEUE__SOFT_LIMIT", "500")]).await;
    let sent = sending(&deployment, 1500);
    let began = std::time::Instant::now();
    while deployment.queue.depths().await.unwrap().work < 500 {
        pause(0.1).await;
    }
    // The depth is looked at each second: what is accepted until then is the overshoot.
    pause(3.0).await;
    let depth = deployment.queue.depths().await.unwrap().work;
    pause(2.0).await;
    assert_eq!(deployment.queue.depths().await.unwrap().work, depth, "more was accepted past the limit");
    deployment.add_worker();
    let sent = sent.await.unwrap();
    assert!(sent.refused > 0);
    let mut figures = settle(&sent.accepted, &outside, &deployment.queue, Bounds::default()).await;
    figures.note =
        format!("limit 500, depth {depth}, {} refused in {:.0} s", sent.refused, began.elapsed().as_secs_f64());
    figures
}

async fn deadline_passed(on: On) -> Figures {
    let outside = Outside::start().await;
    let mut deployment = Deployment::start(on, &outside, 0, &[]).await;
    let sent = send(deployment.webhook, 500, 16, Some(1500)).await;
    pause(3.0).await;
    deployment.add_worker();
    let figures = settle(&sent.accepted, &outside, &deployment.queue, Bounds::default()).await;
    assert_eq!(outside.calls(), 0, "the model was asked after the deadline");
    figures
}

async fn callback_down(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.set_sink(503, 0);
    let deployment = Deployment::start(on, &outside, 2, &[]).await;
    let sent = sending(&deployment, 500).await.unwrap();
    pause(5.0).await;
    outside.set_sink(200, 0);
    settle(&sent.accepted, &outside, &deployment.queue, Bounds::default()).await
}

async fn callback_refused(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.set_sink(410, 0);
    let deployment = Deployment::start(on, &outside, 2, &[]).await;
    let sent = sending(&deployment, 200).await.unwrap();
    settle(&sent.accepted, &outside, &deployment.queue, Bounds { dead: 200, ..Bounds::default() }).await
}

/// The breaker opens: hardly any call is made, and every trigger has its safe answer in time; then it closes again.
async fn model_down(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.set_llm(503, 5);
    let deployment = Deployment::start(on, &outside, 2, &[]).await;
    let sent = send(deployment.webhook, 400, 16, Some(8000)).await;
    let bounds = Bounds::default();
    let figures = settle(&sent.accepted, &outside, &deployment.queue, bounds).await;
    let calls = outside.calls();
    assert!(calls < 200, "{calls} calls for 400 triggers while the gateway was down");
    outside.set_llm(200, 5);
    pause(10.0).await;
    let again = send(deployment.webhook, 100, 4, Some(30_000)).await;
    settle(&again.accepted, &outside, &deployment.queue, bounds).await;
    let decided = outside.arrivals().values().flatten().filter(|arrival| arrival.status == "success").count();
    assert!(decided >= 90, "{decided} of 100 were decided after the gateway came back");
    figures
}

async fn everything_at_random() -> Figures {
    let outside = Outside::start().await;
    outside.set_llm(200, 100);
    let mut deployment = Deployment::start(On::RabbitMq, &outside, 3, &[]).await;
    let mut rng = rng();
    let sent = sending(&deployment, 20_000);
    let mut faults = 0;
    while !sent.is_finished() {
        pause(rng.random_range(1.0..4.0)).await;
        match rng.random_range(0..10) {
            0 => {
                deployment.node().kill().await;
                deployment.node().start().await;
            }
            1..=3 => {
                deployment.kill_ingress();
                deployment.start_ingress().await;
            }
            _ => {
                let number = rng.random_range(0..3);
                deployment.kill_worker(number);
                deployment.start_worker(number);
            }
        }
        faults += 1;
    }
    let sent = sent.await.unwrap();
    let most = faults * (4 * SLOTS + 16);
    let bounds = Bounds { duplicates: most, second_outcomes: most, extra_calls: most, dead: 0 };
    let mut figures = settle(&sent.accepted, &outside, &deployment.queue, bounds).await;
    figures.note = format!("{faults} faults");
    figures
}
