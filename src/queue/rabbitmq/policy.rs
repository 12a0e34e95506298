//! Policies of the broker that would take messages from our queues.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::topology;
use crate::queue::Flaw;

/// A policy, as the management API tells it.
#[derive(Deserialize)]
pub(super) struct Policy {
    name: String,
    pattern: String,
    #[serde(rename = "apply-to")]
    apply_to: String,
    #[serde(default)]
    priority: i64,
    definition: BTreeMap<String, Value>,
}

/// What no policy may do, and what it would mean; true where it is borne by queues that refuse what is over a limit, or
/// whose own smaller limit counts.
const FORBIDDEN: [(&str, &str, bool); 5] = [
    ("max-length", "drops the oldest messages", true),
    ("max-length-bytes", "drops the oldest messages", true),
    ("delivery-limit", "drops what was looked at too often", true),
    ("message-ttl", "makes messages expire that nobody has seen", false),
    ("expires", "deletes the queue, and what is in it, while nobody uses it", false),
];

/// A flaw for each queue and key. Of several policies that match a queue, the one of the highest priority holds.
pub(super) fn flaws(policies: &[Policy]) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for queue in topology::queues() {
        let holds = policies.iter().filter(|policy| policy.matches(&queue.name)).max_by_key(|policy| policy.priority);
        flaws.extend(holds.into_iter().flat_map(|policy| policy.flaws(&queue.name)));
    }
    flaws
}

impl Policy {
    fn matches(&self, queue: &str) -> bool {
        // A pattern that only Erlang understands cannot be judged here.
        matches!(self.apply_to.as_str(), "all" | "queues" | "quorum_queues")
            && Regex::new(&self.pattern).is_ok_and(|pattern| pattern.is_match(queue))
    }

    fn flaws(&self, queue: &str) -> impl Iterator<Item = Flaw> {
        let terminal = matches!(queue, topology::DEAD | topology::UNROUTED);
        let set =
            FORBIDDEN.iter().filter(move |(key, _, borne)| self.definition.contains_key(*key) && (!*borne || terminal));
        set.map(move |(key, effect, _)| {
            let name = &self.name;
            let sentence =
                format!("policy {name} sets {key} on {queue}, which {effect}; take {queue} out of its pattern");
            Flaw { subject: "policy", grave: true, sentence }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(policies: Value) -> Vec<String> {
        let policies: Vec<Policy> = serde_json::from_value(policies).unwrap();
        flaws(&policies).into_iter().map(|flaw| flaw.sentence).collect()
    }

    fn policy(pattern: &str, priority: i64, definition: Value) -> Value {
        json!({"name": "p", "vhost": "/", "pattern": pattern, "apply-to": "queues", "priority": priority,
            "definition": definition})
    }

    #[test]
    fn policies_that_lose_messages_are_told_and_limits_that_refuse_are_not() {
        let dead = told(json!([policy("^fr\\.dead$", 0, json!({"max-length": 10}))]));
        assert!(dead.len() == 1 && dead[0].contains("policy p sets max-length on fr.dead"), "{dead:?}");
        assert_eq!(
            told(json!([policy("^fr\\.unrouted$", 0, json!({"message-ttl": 1, "delivery-limit": 20}))])).len(),
            2
        );
        assert!(told(json!([policy("^fr\\.work$", 0, json!({"max-length": 10}))])).is_empty());
        assert_eq!(told(json!([policy("^fr\\.work$", 0, json!({"expires": 10}))])).len(), 1);
        assert!(told(json!([policy("^another$", 0, json!({"expires": 10}))])).is_empty());
    }

    #[test]
    fn of_several_policies_the_one_of_the_highest_priority_holds() {
        let (bad, good) = (policy("", 1, json!({"max-length": 10})), policy("^fr", 2, json!({"max-age": "1D"})));
        assert!(told(json!([bad, good])).is_empty());
        let mut exchanges = policy("", 9, json!({"max-length": 10}));
        exchanges["apply-to"] = json!("exchanges");
        assert!(told(json!([exchanges])).is_empty());
    }
}
