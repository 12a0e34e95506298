//! The rows: one fault each, by what is broken.

mod broker;
mod callback;
mod clock;
mod cluster;
mod dead;
mod embedded;
mod link;
mod long;
mod model;
mod poison;
mod pressure;
mod processes;
mod soak;
mod topology;

use std::{
    future::Future,
    pin::Pin,
    sync::LazyLock,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use tokio::task::JoinHandle;

use crate::{
    figures::Figures,
    ledger::{Bounds, PATIENCE, settle},
    outside::Outside,
    processes::{Deployment, On},
    sender::{Load, Sent},
};

type Run = fn() -> Pin<Box<dyn Future<Output = Figures> + Send>>;

/// One row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// When it runs if nobody names it.
    pub(crate) when: When,
    pub(crate) run: Run,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// Also in the selection for CI.
    Short,
    Full,
    /// Only by name.
    Named,
}

macro_rules! row {
    ($name:literal, $when:ident, $run:expr) => {
        Row { name: $name, when: When::$when, run: || Box::pin($run) }
    };
}

pub(crate) const ROWS: &[Row] = &[
    row!("no fault", Full, no_fault(On::RabbitMq)),
    row!("no fault, embedded", Full, no_fault(On::Embedded)),
    row!("ingress killed", Short, processes::ingress_killed(On::RabbitMq)),
    row!("ingress killed, embedded", Full, processes::ingress_killed(On::Embedded)),
    row!("workers killed", Short, processes::workers_killed(On::RabbitMq)),
    row!("workers killed, embedded", Short, processes::workers_killed(On::Embedded)),
    row!("workers stopped in good order", Full, processes::workers_stopped(On::RabbitMq)),
    row!("workers stopped in good order, embedded", Full, processes::workers_stopped(On::Embedded)),
    row!("worker frozen", Full, processes::worker_frozen()),
    row!("worker killed at the callback", Short, processes::worker_killed_at_the_callback(On::RabbitMq)),
    row!("worker killed at the callback, embedded", Full, processes::worker_killed_at_the_callback(On::Embedded)),
    row!("sent twice", Full, processes::sent_twice(On::RabbitMq)),
    row!("sent twice, embedded", Full, processes::sent_twice(On::Embedded)),
    row!("everything at random", Full, processes::everything_at_random()),
    row!("broker killed", Short, broker::killed()),
    row!("broker restarted", Full, broker::restarted()),
    row!("broker frozen", Full, broker::frozen()),
    row!("connections closed by the broker", Full, broker::connections_closed()),
    row!("broker frozen for 90 s", Full, cluster::broker_frozen(90.0)),
    row!("consumer timeout", Full, broker::consumer_timeout()),
    row!("cluster: leader killed", Full, cluster::killed(cluster::Node::Leader)),
    row!("cluster: follower killed", Full, cluster::killed(cluster::Node::Follower)),
    row!("cluster: majority lost", Full, cluster::majority_lost()),
    row!("cluster: rolling restart", Full, cluster::rolling_restart()),
    row!("cluster: leader frozen for 25 s", Full, cluster::leader_frozen(25.0)),
    row!("cluster: leader frozen for 90 s", Full, cluster::leader_frozen(90.0)),
    row!("taken over from 3.10 to 4", Named, cluster::taken_over()),
    row!("disk alarm", Short, pressure::alarm(pressure::Alarm::Disk)),
    row!("memory alarm", Full, pressure::alarm(pressure::Alarm::Memory)),
    row!("acknowledgements under an alarm", Full, pressure::settling_under_an_alarm()),
    row!("memory pressure", Full, pressure::memory_pressure()),
    row!("backlog", Full, pressure::backlog()),
    row!("hard cap", Short, pressure::hard_cap()),
    row!("broker link cut", Full, link::broker_link(link::Fault::Cut)),
    row!("broker link dead on both sides", Full, link::broker_link(link::Fault::Dead)),
    row!("broker link stalled for 5 s", Full, link::broker_link(link::Fault::Stall)),
    row!("broker link at 1 byte/s", Full, link::broker_link(link::Fault::Trickle)),
    row!("broker link cut after 100 kB", Full, link::broker_link(link::Fault::CutAfterBytes)),
    row!("cut before the confirm, ingress", Short, link::cut_before_the_confirm(link::Side::Ingress)),
    row!("cut before the confirm, worker", Full, link::cut_before_the_confirm(link::Side::Worker)),
    row!("callback link broken in five ways", Full, link::callback_link()),
    row!("callback cut before its answer", Full, link::callback_cut_before_its_answer()),
    row!("queues deleted", Full, topology::queues_deleted()),
    row!("bindings removed", Short, topology::bindings_removed()),
    row!("exchanges deleted", Full, topology::exchanges_deleted()),
    row!("unroutable and routable at once", Full, topology::unroutable_mix()),
    row!("deadline passed without workers", Short, clock::deadline_passed(On::RabbitMq)),
    row!("deadline passed, embedded", Full, clock::deadline_passed(On::Embedded)),
    row!("worker's clock 5 min ahead", Full, clock::skewed(clock::Who::Worker, 300)),
    row!("worker's clock 5 min behind", Full, clock::skewed(clock::Who::Worker, -300)),
    row!("ingress's clock 5 min ahead", Full, clock::skewed(clock::Who::Ingress, 300)),
    row!("ingress's clock 5 min behind", Full, clock::skewed(clock::Who::Ingress, -300)),
    row!("callback down", Short, callback::down(On::RabbitMq)),
    row!("callback down, embedded", Full, callback::down(On::Embedded)),
    row!("callback down for ten minutes", Full, callback::down_for_ten_minutes()),
    row!("callback answers 500", Full, callback::answers_500()),
    row!("callback slow", Full, callback::slow()),
    row!("callback gone (410)", Full, callback::refuses(410)),
    row!("callback redirects (302)", Full, callback::refuses(302)),
    row!("callback answers 10 MB", Full, callback::huge_answer()),
    row!("model down", Full, model::down()),
    row!("model down for a minute", Full, model::down_for_a_minute()),
    row!("model limits the rate", Full, model::troubled(crate::outside::Model::Limits(2))),
    row!("model hangs", Full, model::troubled(crate::outside::Model::Hangs)),
    row!("model breaks off", Full, model::troubled(crate::outside::Model::BreaksOff)),
    row!("messages that nobody can read", Short, poison::unreadable()),
    row!("poison that kills its worker", Full, poison::kills_its_worker(On::RabbitMq)),
    row!("poison that kills its worker, embedded", Full, poison::kills_its_worker(On::Embedded)),
    row!("dead letters replayed", Full, dead::replayed(On::RabbitMq)),
    row!("dead letters replayed, embedded", Full, dead::replayed(On::Embedded)),
    row!("everything killed, embedded", Full, embedded::everything_killed()),
    row!("disk full, embedded", Full, embedded::disk_full()),
    row!("files cannot be written, embedded", Full, embedded::unwritable()),
    row!("long run", Named, long::run()),
    row!("soak", Named, soak::run()),
];

/// Slots of the outcome and the work lane of one worker.
pub(crate) const SLOTS: usize = 64;

/// A limit that only ends what never comes.
const PATIENT: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "a test program has no settings")]
pub(crate) fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What all random schedules of this run begin with.
pub(crate) fn seed() -> u32 {
    static SEED: LazyLock<u32> = LazyLock::new(|| setting("SEED", rand::random()));
    *SEED
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(seed().into())
}

/// A number of triggers, made smaller or larger by `SCALE`.
fn scaled(count: usize) -> usize {
    ((count as f64 * setting("SCALE", 1.0)) as usize).max(20)
}

async fn pause(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// Waits for a fact, for so long that only a fact that never comes ends it.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let (began, patience) = (Instant::now(), Duration::from_secs(setting("PATIENCE", PATIENCE)));
    while !is_so().await {
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        pause(0.2).await;
    }
}

fn load(deployment: &Deployment, count: usize) -> Load {
    Load::new(deployment.webhooks(), scaled(count))
}

/// Begins to send in the background.
fn sending(load: Load) -> JoinHandle<Sent> {
    tokio::spawn(load.send())
}

/// Where nothing of ours is broken, only a request without a promise can run twice: on a machine that is too busy to
/// confirm in time there are some.
fn unsure(sent: &Sent) -> Bounds {
    Bounds::repeats(sent.unsure())
}

/// A broker, or the way to it, that went away leaves publishes and acknowledgements unknown: as many as were in flight,
/// each time.
fn broken_broker(times: usize, sent: &Sent) -> Bounds {
    Bounds::repeats(times * (4 * SLOTS + 16) + sent.unsure().min(32 * times))
}

/// What was killed at random, and how often.
#[derive(Default)]
struct Kills {
    brokers: usize,
    ingresses: usize,
    workers: usize,
}

impl Kills {
    fn all(&self) -> usize {
        self.brokers + self.ingresses + self.workers
    }

    /// What was in flight each time: with a broker everywhere, with a worker in its slots, with an ingress what is sent
    /// again.
    fn bounds(&self, sent: &Sent) -> Bounds {
        let flying = self.brokers * (6 * SLOTS + 32) + self.workers * 2 * SLOTS;
        Bounds::repeats(flying + sent.unanswered + sent.refused.min(32 * self.brokers))
    }
}

impl std::fmt::Display for Kills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { brokers, ingresses, workers } = self;
        write!(f, "killed: broker {brokers} times, ingresses {ingresses}, workers {workers}")
    }
}

fn told(sent: &Sent) -> String {
    let (refused, unanswered, slowest) = (sent.refused, sent.unanswered, sent.slowest.as_secs_f64());
    format!("{refused} answers 503, {unanswered} requests without an answer, slowest {slowest:.1} s")
}

async fn no_fault(on: On) -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(on, &outside, 2, &[]).await;
    let sent = load(&deployment, 3000).send().await;
    settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await.noting(told(&sent))
}
