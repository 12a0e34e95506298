//! The exchanges and queues of the three lanes, the same on RabbitMQ 3.10 to 4.x.
//!
//! ```text
//! exchange     kind    alternate     queue                    bound to                    dead letters to
//! fr.in        direct  fr.unrouted   fr.work                  fr.in:work    fr.dlx:work    late
//! fr.dlx       direct  fr.unrouted   fr.late                  fr.dlx:late                  dead
//! fr.unrouted  fanout                fr.outcome               fr.in:outcome fr.dlx:outcome dead
//! fr.probe     fanout                fr.dead                  fr.dlx:dead
//! fr.notice    fanout  fr.probe      fr.unrouted              fr.unrouted
//!                                    fr.retry.{lane}.{N}s     fr.in:retry.{lane}.{N}s      {lane}, after N seconds
//!                                    fr.probe                 fr.probe
//! ```
//!
//! * Every queue is a durable quorum queue with an explicit delivery limit: without one 4.x drops a message at its 21st
//!   delivery, and `-1` drops at the first on 3.10.
//! * Dead-lettering is at least once, which needs `reject-publish`. Its targets are declared before its sources and have
//!   no length limit, or messages would wait in the source. A limit on `fr.work` is left to a policy (`fr-limits`).
//! * Nothing is unroutable: both exchanges hand what they cannot route to `fr.unrouted`.
//! * `fr.probe` takes the empty message by which a publisher learns every second whether the broker blocks it. Its
//!   queue is there only to keep the broker's count of unroutable messages at zero. It is a quorum queue too (one
//!   message, one second): a classic one would need no replication, but the rule that there is one kind of queue is
//!   worth more than one small write a second.
//! * `fr.notice` tells outcomes and the like to whoever listens just now (see [`crate::queue::notice`]). Each listener
//!   has a queue `fr.notice.<id>`, exclusive, auto-deleted and classic: the one exception to the first rule, because
//!   what it holds is worthless without its process. Notices that nobody listens to end in `fr.probe`.

use lapin::{
    ExchangeKind,
    types::{AMQPValue, FieldTable},
};

use crate::{message::Lane, queue::notice};

/// Where publishers send.
pub(super) const IN: &str = "fr.in";
/// Where the broker dead-letters to, and we too.
pub(super) const DLX: &str = "fr.dlx";
/// Where the canary goes.
pub(super) const PROBE: &str = "fr.probe";
/// Where notices go; the start of their queues' names.
pub(super) const NOTICE: &str = "fr.notice";
/// The queue (and exchange) of messages that nothing was bound for.
pub(super) const UNROUTED: &str = "fr.unrouted";
/// The queue of dead letters.
pub(super) const DEAD: &str = "fr.dead";
/// Routing key of dead letters on [`DLX`].
pub(super) const DEAD_KEY: &str = "dead";

/// A limit that no amount of looking reaches.
const TERMINAL_LIMIT: i32 = 1_000_000;
/// A delayed message is delivered to nobody; the limit only has to be there.
const DELAY_LIMIT: i32 = 20;
/// Work older than the longest deadline (300 s) is late, whatever its own expiration was.
const WORK_TTL_MS: i32 = 300_000;

/// The queue of a lane.
pub(super) fn lane_queue(lane: Lane) -> &'static str {
    match lane {
        Lane::Work => "fr.work",
        Lane::Late => "fr.late",
        Lane::Outcome => "fr.outcome",
    }
}

/// The lanes' queues that the broker dead-letters from into `queue`.
pub(super) fn dead_lettering_into(queue: &str) -> &'static [&'static str] {
    match queue {
        "fr.late" => &["fr.work"],
        DEAD => &["fr.late", "fr.outcome"],
        _ => &[],
    }
}

/// Routing key of a delay level on [`IN`], also the middle of its queue's name.
pub(super) fn delay_key(lane: Lane, seconds: u64) -> String {
    format!("retry.{}.{seconds}s", lane.as_str())
}

/// Names of the queues in which messages of all lanes wait for a delay to pass.
pub(super) fn delay_queues() -> impl Iterator<Item = String> {
    let levels = |lane: Lane| lane.delays().iter().map(move |delay| format!("fr.{}", delay_key(lane, delay.as_secs())));
    Lane::ALL.into_iter().flat_map(levels)
}

/// A queue to be declared.
pub(super) struct Queue {
    pub(super) name: String,
    /// Exchange and routing key of each.
    pub(super) bindings: Vec<(&'static str, String)>,
    arguments: Vec<(&'static str, AMQPValue)>,
}

impl Queue {
    fn new(name: impl Into<String>, delivery_limit: i32) -> Self {
        let arguments = vec![("x-queue-type", text("quorum")), ("x-delivery-limit", number(delivery_limit))];
        Self { name: name.into(), bindings: Vec::new(), arguments }
    }

    fn bound(mut self, exchange: &'static str, key: impl Into<String>) -> Self {
        self.bindings.push((exchange, key.into()));
        self
    }

    fn with(mut self, argument: &'static str, value: AMQPValue) -> Self {
        self.arguments.push((argument, value));
        self
    }

    /// The arguments, as declared.
    pub(super) fn arguments(&self) -> FieldTable {
        table(&self.arguments)
    }

    /// All four arguments, always: at-least-once without `reject-publish` silently is at-most-once.
    fn dead_lettering_to(self, key: &str) -> Self {
        self.with("x-dead-letter-exchange", text(DLX))
            .with("x-dead-letter-routing-key", text(key))
            .with("x-dead-letter-strategy", text("at-least-once"))
            .with("x-overflow", text("reject-publish"))
    }
}

/// The exchanges to be declared, before the queues.
pub(super) fn exchanges() -> [(&'static str, ExchangeKind, FieldTable); 5] {
    let alternate = |other: &str| table(&[("alternate-exchange", text(other))]);
    [
        (UNROUTED, ExchangeKind::Fanout, FieldTable::default()),
        (IN, ExchangeKind::Direct, alternate(UNROUTED)),
        (DLX, ExchangeKind::Direct, alternate(UNROUTED)),
        (PROBE, ExchangeKind::Fanout, FieldTable::default()),
        (NOTICE, ExchangeKind::Fanout, alternate(PROBE)),
    ]
}

/// The arguments of a listener's queue: short, and never in anybody's way.
pub(super) fn notice_arguments() -> FieldTable {
    let life = i32::try_from(notice::LIFE.as_millis()).unwrap_or(i32::MAX);
    table(&[
        ("x-queue-type", text("classic")),
        ("x-max-length", number(notice::WAITING.into())),
        ("x-overflow", text("drop-head")),
        ("x-message-ttl", number(life)),
    ])
}

/// The queues to be declared, targets of dead-lettering before their sources.
pub(super) fn queues() -> Vec<Queue> {
    let lane = |lane: Lane| Queue::new(lane_queue(lane), i32::try_from(lane.delivery_limit()).unwrap_or(i32::MAX));
    let mut queues = vec![
        Queue::new(UNROUTED, TERMINAL_LIMIT).bound(UNROUTED, ""),
        Queue::new(DEAD, TERMINAL_LIMIT).bound(DLX, DEAD_KEY),
        lane(Lane::Outcome).bound(IN, "outcome").bound(DLX, "outcome").dead_lettering_to(DEAD_KEY),
        lane(Lane::Late).bound(DLX, "late").dead_lettering_to(DEAD_KEY),
        lane(Lane::Work)
            .bound(IN, "work")
            .bound(DLX, "work")
            .dead_lettering_to("late")
            .with("x-message-ttl", number(WORK_TTL_MS)),
    ];
    for lane in Lane::ALL {
        for delay in lane.delays() {
            let key = delay_key(lane, delay.as_secs());
            let ttl = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
            let level = Queue::new(format!("fr.{key}"), DELAY_LIMIT).bound(IN, key);
            queues.push(level.dead_lettering_to(lane.as_str()).with("x-message-ttl", number(ttl)));
        }
    }
    let probe = Queue::new(PROBE, TERMINAL_LIMIT).bound(PROBE, "").with("x-max-length", number(1));
    queues.push(probe.with("x-overflow", text("drop-head")).with("x-message-ttl", number(1_000)));
    queues
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn number(number: i32) -> AMQPValue {
    AMQPValue::LongInt(number)
}

fn table(arguments: &[(&'static str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_an_explicit_limit_and_every_dead_letter_target_comes_before_its_sources() {
        let mut seen = Vec::new();
        for queue in queues() {
            let argument = |name: &str| queue.arguments.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
            assert!(matches!(argument("x-delivery-limit"), Some(AMQPValue::LongInt(1..))), "{}", queue.name);
            if let Some(AMQPValue::LongString(key)) = argument("x-dead-letter-routing-key") {
                let bound = (DLX, key.to_string());
                assert!(seen.contains(&bound), "{} dead-letters to {key}", queue.name);
                assert_eq!(argument("x-overflow"), Some(&text("reject-publish")), "{}", queue.name);
                assert_eq!(argument("x-dead-letter-strategy"), Some(&text("at-least-once")), "{}", queue.name);
            }
            seen.extend(queue.bindings);
        }
    }

    #[test]
    fn delay_queues_are_named_after_lane_and_seconds() {
        let names: Vec<_> = delay_queues().collect();
        assert_eq!(names.first().map(String::as_str), Some("fr.retry.work.1s"));
        assert_eq!(names.last().map(String::as_str), Some("fr.retry.outcome.120s"));
        assert_eq!(names.len(), 7);
    }
}
