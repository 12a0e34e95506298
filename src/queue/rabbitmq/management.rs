//! What only the broker's HTTP API tells: feature flags, bindings, the policies that hold, which alarm it is. Asked by
//! `cfr doctor` alone; nothing that the services do depends on it.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use lapin::uri::{AMQPUri, AMQPUserInfo};
use reqwest::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::{Config, endpoint::Endpoint, topology};
use crate::{
    http_client::{self, ClientConfig, Roots},
    queue::{Flaw, QueueError},
};

/// Limit of one question.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of one answer; a virtual host of ours takes some ten thousand.
const ANSWER: usize = 4 << 20;
/// What cannot be looked at without the API.
const WHAT: &str = "feature flags, bindings and policies";

/// The API of one node, or of whatever balances over several.
pub(super) struct Management {
    base: Url,
    user: AMQPUserInfo,
    vhost: String,
    client: reqwest::Client,
}

/// What was found, and what could not be looked at.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) flaws: Vec<Flaw>,
    pub(super) unseen: Vec<String>,
    /// Names of the alarms that are set.
    pub(super) alarms: Vec<String>,
}

impl Findings {
    /// Where the API is not named in the settings.
    pub(super) fn none() -> Self {
        let sentence = format!("{WHAT} are told by the management API only; set queue.rabbitmq.management_url");
        Self { unseen: vec![sentence], ..Self::default() }
    }

    fn unseen(&mut self, what: &str, why: &Unanswered) {
        self.unseen.push(format!("{what} cannot be looked at: {}", why.advice()));
    }
}

/// Why a question had no answer.
enum Unanswered {
    Status(StatusCode),
    Unreachable,
}

impl Unanswered {
    fn advice(&self) -> String {
        match self {
            Self::Status(status) if matches!(status.as_u16(), 401 | 403) => {
                format!(
                    "the management API answers {status}; its user needs the tag `monitoring`, for feature flags `administrator`"
                )
            }
            Self::Status(status) => format!("the management API answers {status}"),
            Self::Unreachable => "the management API does not answer; check queue.rabbitmq.management_url".to_owned(),
        }
    }
}

impl Management {
    /// The API that the settings name, if they do. Who logs in is named there too, or is the one who uses AMQP.
    ///
    /// # Errors
    /// `Unusable` when it is no URL; the error does not hold it, because of the password.
    pub(super) fn new(config: &Config, endpoints: &[Endpoint]) -> Result<Option<Self>, QueueError> {
        const RIGHT: &str = "queue.rabbitmq.management_url is not of the form http[s]://[user:password@]host:15672";
        let unusable = |why: &str| QueueError::Unusable(why.to_owned());
        let (Some(text), Some(first)) = (&config.management_url, endpoints.first()) else { return Ok(None) };
        let mut base = Url::parse(text.expose().trim()).map_err(|_| unusable(RIGHT))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(unusable(RIGHT));
        }
        let user = match base.username() {
            "" => first.uri.authority.userinfo.clone(),
            name => userinfo(name, base.password().unwrap_or_default()).ok_or_else(|| unusable(RIGHT))?,
        };
        // Cannot fail on a URL with a host.
        let _ = base.set_username("").and_then(|()| base.set_password(None));
        let roots = Roots::read(config.ca_file.as_deref()).map_err(|error| unusable(&format!("{error:#}")))?;
        let https_only = base.scheme() == "https";
        let client = http_client::build(&ClientConfig { connect_timeout: LIMIT, timeout: LIMIT, https_only, roots })
            .map_err(|error| unusable(&error.to_string()))?;
        Ok(Some(Self { base, user, vhost: first.uri.vhost.clone(), client }))
    }

    /// Looks at everything.
    pub(super) async fn examine(&self) -> Findings {
        let mut findings = Findings::default();
        match self.flags().await {
            Ok(flags) => findings.flaws.extend(flags.iter().filter_map(Flag::flaw)),
            Err(why) => findings.unseen("feature flags", &why),
        }
        match self.get::<Vec<Binding>>(&["bindings", &self.vhost]).await {
            Ok(bindings) => findings.flaws.extend(missing(&bindings)),
            Err(why) => findings.unseen("bindings", &why),
        }
        match self.get::<Vec<Governed>>(&["queues", &self.vhost]).await {
            Ok(queues) => findings.flaws.extend(queues.iter().flat_map(Governed::flaws)),
            Err(why) => findings.unseen("policies", &why),
        }
        findings.alarms = self.alarms().await;
        findings
    }

    async fn flags(&self) -> Result<Vec<Flag>, Unanswered> {
        self.get(&["feature-flags"]).await
    }

    /// Names of the alarms, as `disk on rabbit@a`.
    async fn alarms(&self) -> Vec<String> {
        let Ok((_, body)) = self.ask(&["health", "checks", "alarms"]).await else { return Vec::new() };
        let answer: Alarms = serde_json::from_slice(&body).unwrap_or_default();
        answer.alarms.into_iter().map(|alarm| format!("{} on {}", alarm.resource, alarm.node)).collect()
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Unanswered> {
        let (status, body) = self.ask(path).await?;
        if !status.is_success() {
            return Err(Unanswered::Status(status));
        }
        serde_json::from_slice(&body).map_err(|_| Unanswered::Status(status))
    }

    async fn ask(&self, path: &[&str]) -> Result<(StatusCode, bytes::Bytes), Unanswered> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // A virtual host's slash becomes `%2F`.
            segments.pop_if_empty().push("api").extend(path);
        }
        let request = self.client.get(url).basic_auth(&self.user.username, Some(&self.user.password));
        let response = request.send().await.map_err(|_| Unanswered::Unreachable)?;
        let status = response.status();
        let body = http_client::read_limited(response, ANSWER).await.map_err(|_| Unanswered::Unreachable)?;
        Ok((status, body))
    }
}

/// Name and password of a URL, without their percent signs.
fn userinfo(name: &str, password: &str) -> Option<AMQPUserInfo> {
    let uri: AMQPUri = format!("amqp://{name}:{password}@host").parse().ok()?;
    Some(uri.authority.userinfo)
}

#[derive(Deserialize)]
struct Flag {
    name: String,
    state: String,
    #[serde(default)]
    stability: String,
}

impl Flag {
    /// At-least-once dead-lettering needs `stream_queue`, and every queue here `quorum_queue`: where one is off, the
    /// broker silently does less (3.10 to 3.12; later ones cannot be without).
    fn flaw(&self) -> Option<Flaw> {
        if self.state != "disabled" {
            return None;
        }
        let needed = matches!(self.name.as_str(), "stream_queue" | "quorum_queue");
        if !needed && self.stability != "stable" {
            return None;
        }
        let why = if needed { "dead letters may be lost without it" } else { "it will be needed for an upgrade" };
        let sentence =
            format!("feature flag {} is disabled: {why}; `rabbitmqctl enable_feature_flag {}`", self.name, self.name);
        Some(Flaw { subject: "features", grave: needed, sentence })
    }
}

#[derive(Deserialize)]
struct Binding {
    source: String,
    destination: String,
    routing_key: String,
}

/// A flaw for each binding that is not there.
fn missing(there: &[Binding]) -> Vec<Flaw> {
    let is_there = |exchange: &str, queue: &str, key: &str| {
        there.iter().any(|one| one.source == exchange && one.destination == queue && one.routing_key == key)
    };
    let mut flaws = Vec::new();
    for queue in topology::queues() {
        for (exchange, key) in &queue.bindings {
            if !is_there(exchange, &queue.name, key) {
                let what = if key.is_empty() { (*exchange).to_owned() } else { format!("{exchange} with key {key}") };
                let advice = "what is meant for it goes to fr.unrouted; `cfr queues declare` binds it again";
                let sentence = format!("queue {} is not bound to {what}: {advice}", queue.name);
                flaws.push(Flaw { subject: "topology", grave: true, sentence });
            }
        }
    }
    flaws
}

/// A queue, and the policies that hold for it.
#[derive(Deserialize)]
struct Governed {
    name: String,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    operator_policy: Option<String>,
    #[serde(default, deserialize_with = "definition")]
    effective_policy_definition: BTreeMap<String, Value>,
}

/// The API writes a definition without entries as an empty list.
fn definition<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// What no policy may do to a queue of ours, beside what each of them bears.
static FORBIDDEN: LazyLock<[(&str, &str); 5]> = LazyLock::new(|| {
    [
        ("max-length", "drops the oldest messages"),
        ("max-length-bytes", "drops the oldest messages"),
        ("message-ttl", "makes messages expire that nobody has seen"),
        ("expires", "deletes the queue, and what is in it, while nobody uses it"),
        ("delivery-limit", "drops what was looked at too often"),
    ]
});

impl Governed {
    fn flaws(&self) -> Vec<Flaw> {
        if !topology::queues().iter().any(|queue| queue.name == self.name) {
            return Vec::new();
        }
        let policy = self.operator_policy.as_deref().filter(|name| !name.is_empty()).or(self.policy.as_deref());
        let set = FORBIDDEN.iter().filter(|(key, _)| self.effective_policy_definition.contains_key(*key));
        let flaw = |&(key, effect): &(&str, &str)| {
            let terminal = matches!(self.name.as_str(), topology::DEAD | topology::UNROUTED);
            // A length limit of a queue that refuses what is over it loses nothing.
            let effect = match key {
                "max-length" | "max-length-bytes" if !terminal => return None,
                // An argument of ours is smaller, or takes precedence.
                "delivery-limit" if !terminal => return None,
                _ => effect,
            };
            let (name, policy) = (&self.name, policy.unwrap_or("?"));
            let sentence =
                format!("policy {policy} sets {key} on {name}, which {effect}; take {name} out of its pattern");
            Some(Flaw { subject: "policy", grave: true, sentence })
        };
        set.filter_map(flaw).collect()
    }
}

#[derive(Default, Deserialize)]
struct Alarms {
    #[serde(default)]
    alarms: Vec<Alarm>,
}

#[derive(Deserialize)]
struct Alarm {
    node: String,
    resource: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn flags_that_matter_are_told() {
        let flaw = |name: &str, state: &str, stability: &str| {
            let flag: Flag =
                serde_json::from_value(json!({"name": name, "state": state, "stability": stability})).unwrap();
            flag.flaw().map(|flaw| flaw.grave)
        };
        assert_eq!(flaw("stream_queue", "enabled", "stable"), None);
        assert_eq!(flaw("stream_queue", "disabled", "required"), Some(true));
        assert_eq!(flaw("khepri_db", "disabled", "experimental"), None);
        assert_eq!(flaw("message_containers", "disabled", "stable"), Some(false));
    }

    #[test]
    fn policies_that_lose_messages_are_told_and_limits_that_refuse_are_not() {
        let flaws = |name: &str, definition: Value| -> Vec<String> {
            let queue = json!({"name": name, "policy": "p", "effective_policy_definition": definition});
            let queue: Governed = serde_json::from_value(queue).unwrap();
            queue.flaws().into_iter().map(|flaw| flaw.sentence).collect()
        };
        assert!(flaws("fr.dead", json!({"max-length": 10}))[0].contains("policy p sets max-length on fr.dead"));
        assert_eq!(flaws("fr.unrouted", json!({"message-ttl": 1, "delivery-limit": 20})).len(), 2);
        assert_eq!(flaws("fr.work", json!({"max-length": 10})), Vec::<String>::new());
        assert_eq!(flaws("fr.work", json!({"expires": 10})).len(), 1);
        assert_eq!(flaws("fr.dead", json!([])), Vec::<String>::new());
        assert_eq!(flaws("another", json!({"max-length": 10})), Vec::<String>::new());
    }

    #[test]
    fn each_missing_binding_is_told() {
        let bindings = |left_out: &str| -> Vec<Binding> {
            let queues = topology::queues();
            let all = queues.iter().flat_map(|queue| queue.bindings.iter().map(move |one| (queue, one)));
            all.filter(|(queue, _)| queue.name != left_out)
                .map(|(queue, (source, key))| Binding {
                    source: (*source).to_owned(),
                    destination: queue.name.clone(),
                    routing_key: key.clone(),
                })
                .collect()
        };
        assert!(missing(&bindings("")).is_empty());
        let flaws = missing(&bindings("fr.outcome"));
        assert_eq!(flaws.len(), 2);
        assert!(flaws[0].sentence.contains("fr.outcome is not bound to fr.in with key outcome"));
    }
}
