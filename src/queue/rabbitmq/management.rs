//! What only the broker's HTTP API tells: feature flags, bindings, the policies that hold, which alarm it is. Asked by
//! `cfr doctor` alone; nothing that the services do depends on it.

use std::time::Duration;

use lapin::uri::{AMQPUri, AMQPUserInfo};
use reqwest::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{
    Config,
    endpoint::Endpoint,
    policy::{self, Policy},
    topology,
};
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
        match self.get::<Vec<Flag>>(&["feature-flags"]).await {
            Ok(flags) => findings.flaws.extend(disabled(&flags)),
            Err(why) => findings.unseen("feature flags", &why),
        }
        match self.get::<Vec<Binding>>(&["bindings", &self.vhost]).await {
            Ok(bindings) => findings.flaws.extend(missing(&bindings)),
            Err(why) => findings.unseen("bindings", &why),
        }
        // Not by what each queue says of its policy: that is some seconds old.
        for kind in ["policies", "operator-policies"] {
            match self.get::<Vec<Policy>>(&[kind, &self.vhost]).await {
                Ok(policies) => findings.flaws.extend(policy::flaws(&policies)),
                Err(why) => findings.unseen(kind, &why),
            }
        }
        findings.alarms = self.alarms().await;
        findings
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

/// At-least-once dead-lettering needs `stream_queue`, and every queue here `quorum_queue`: where one is off, the broker
/// silently does less (3.10 to 3.12; later ones cannot be without).
fn disabled(flags: &[Flag]) -> Vec<Flaw> {
    let off: Vec<_> = flags.iter().filter(|flag| flag.state == "disabled").collect();
    let needed = |flag: &&&Flag| matches!(flag.name.as_str(), "stream_queue" | "quorum_queue");
    let names = |flags: Vec<&&Flag>| flags.iter().map(|flag| flag.name.as_str()).collect::<Vec<_>>().join(", ");
    let grave = names(off.iter().filter(needed).collect());
    let later = names(off.iter().filter(|flag| !needed(flag) && flag.stability == "stable").collect());
    let flaw = |grave, names: String, why: &str| {
        let sentence = format!("disabled: {names}; {why}; `rabbitmqctl enable_feature_flag all`");
        (!names.is_empty()).then_some(Flaw { subject: "features", grave, sentence })
    };
    let grave = flaw(true, grave, "dead letters may be lost without");
    grave.into_iter().chain(flaw(false, later, "an upgrade will need them")).collect()
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
        let flaws = |name: &str, state: &str, stability: &str| -> Vec<bool> {
            let flags = json!([{"name": name, "state": state, "stability": stability}]);
            disabled(&serde_json::from_value::<Vec<Flag>>(flags).unwrap()).iter().map(|flaw| flaw.grave).collect()
        };
        assert_eq!(flaws("stream_queue", "enabled", "stable"), Vec::<bool>::new());
        assert_eq!(flaws("stream_queue", "disabled", "required"), [true]);
        assert_eq!(flaws("khepri_db", "disabled", "experimental"), Vec::<bool>::new());
        assert_eq!(flaws("message_containers", "disabled", "stable"), [false]);
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
