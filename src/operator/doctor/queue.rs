//! The queue: there, of the right version, declared as it should be, consumed, not blocked.

use super::{super::open_queue, Finding};
use crate::{
    config::{Config, Role},
    message::Lane,
    queue::{Inspection, Queue},
};

const SUBJECT: &str = "queue";

pub(super) async fn examine(config: &Config, role: Role, tell: &mut impl FnMut(Finding)) {
    let queue = match open_queue(config).await {
        Ok(queue) => queue,
        Err(error) => return tell(Finding::fail(SUBJECT, format!("{error:#}"))),
    };
    match queue.inspect().await {
        Ok(inspection) => judge(&inspection, role, tell),
        Err(error) => tell(Finding::fail(SUBJECT, format!("it cannot be looked at: {error}"))),
    }
    waiting(&*queue, config, tell).await;
    queue.close().await;
}

fn judge(inspection: &Inspection, role: Role, tell: &mut impl FnMut(Finding)) {
    tell(Finding::ok(SUBJECT, format!("reachable: {}", inspection.version)));
    tell(alarms(inspection));
    for difference in &inspection.drifted {
        let advice = "empty the queue, delete it, and start a service that declares it anew";
        tell(Finding::fail("topology", format!("{difference}; {advice}")));
    }
    if inspection.drifted.is_empty() {
        tell(Finding::ok("topology", "as declared"));
    }
    for flaw in &inspection.flaws {
        let finding = if flaw.grave { Finding::fail } else { Finding::warn };
        tell(finding(flaw.subject, &flaw.sentence));
    }
    for sentence in &inspection.unseen {
        tell(Finding::warn(SUBJECT, sentence));
    }
    let Some(consumers) = inspection.consumers else { return };
    for (lane, count) in Lane::ALL.into_iter().zip(consumers) {
        let lane = lane.as_str();
        match count {
            0 if role.works() => {
                tell(Finding::fail("consumers", format!("nobody consumes the {lane} lane; start a worker")))
            }
            0 => tell(Finding::warn("consumers", format!("nobody consumes the {lane} lane; start a worker"))),
            _ => tell(Finding::ok("consumers", format!("{count} on the {lane} lane"))),
        }
    }
}

fn alarms(inspection: &Inspection) -> Finding {
    match (inspection.blocked, inspection.alarms.as_slice()) {
        (false, []) => Finding::ok("alarms", "none; it takes messages"),
        (false, set) => {
            Finding::fail("alarms", format!("{}: publishers will be blocked; make room on that node", set.join(", ")))
        }
        (true, []) => Finding::fail(
            "alarms",
            "it takes no messages, so the ingress says 503: a memory or disk alarm (`rabbitmq-diagnostics alarms` names \
             it), or a full disk under the embedded queue; make room",
        ),
        (true, set) => Finding::fail(
            "alarms",
            format!("it takes no messages, so the ingress says 503: {}; make room on that node", set.join(", ")),
        ),
    }
}

async fn waiting(queue: &dyn Queue, config: &Config, tell: &mut impl FnMut(Finding)) {
    let Ok(depths) = queue.depths().await else { return };
    if depths.dead > 0 {
        let sentence = format!("{} wait for an operator; `cfr dead-letters list` shows them", depths.dead);
        tell(Finding::warn("dead", sentence));
    }
    if depths.work > config.queue.soft_limit {
        let sentence = format!("{} triggers wait, over queue.soft_limit: new ones get 503; add workers", depths.work);
        tell(Finding::fail("backlog", sentence));
    }
}
