//! What the types cannot tell: missing and contradicting settings, each as a sentence that says what would be right.

use std::time::Duration;

use super::{Backend, Config, Profile, Role, check_history};
use crate::{
    callback::Mode,
    egress::Egress,
    llm, otlp,
    safe_answer::SafeAnswers,
    secret::Secret,
    signature::{Scheme, Signer, Verifier, weak},
};

/// Checks everything a role needs.
pub(super) fn check(config: &Config, role: Role, problems: &mut Vec<String>, warnings: &mut Vec<String>) {
    let mut notes = Notes { problems, warnings };
    numbers(config, &mut notes);
    queue(config, &mut notes);
    if role == Role::Console || (role.shows() && config.console.enabled) {
        console(config, &mut notes);
    }
    for (name, profile) in &config.profiles {
        let key = |key: &str| format!("profiles.{name}.{key}");
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') || name.is_empty() {
            notes
                .problem(&format!("profiles.{name}"), "a name has only letters, digits, - and _: it is part of a path");
        }
        general(profile, &key, &mut notes);
        callback(profile, role, &key, &mut notes);
        if role.accepts() {
            webhook(profile, &key, &mut notes);
        }
        if role.works() {
            upstreams(profile, &key, &mut notes);
        }
    }
}

pub(super) struct Notes<'a> {
    problems: &'a mut Vec<String>,
    warnings: &'a mut Vec<String>,
}

impl Notes<'_> {
    pub(super) fn problem(&mut self, key: &str, sentence: impl std::fmt::Display) {
        self.problems.push(format!("{key}: {sentence}"));
    }

    pub(super) fn warning(&mut self, key: &str, sentence: impl std::fmt::Display) {
        self.warnings.push(format!("{key}: {sentence}"));
    }

    pub(super) fn within<T: PartialOrd + std::fmt::Debug>(&mut self, key: &str, value: T, least: T, most: T) {
        if !(value >= least && value <= most) {
            self.problem(key, format!("is {value:?}; from {least:?} to {most:?} would be right"));
        }
    }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Twice the tolerance of timestamps: that long a signed request can be sent again.
const REPLAY_WINDOW: Duration = s(600);

fn numbers(config: &Config, notes: &mut Notes<'_>) {
    let ingress = &config.ingress;
    notes.within("ingress.max_body", ingress.max_body, 1024, 4 * 1024 * 1024);
    notes.within("ingress.body_timeout", ingress.body_timeout, s(1), s(120));
    notes.within("ingress.known_for", ingress.known_for, s(0), s(24 * 3600));
    if ingress.known_for < REPLAY_WINDOW {
        notes.warning(
            "ingress.known_for",
            "is shorter than 10m; a recorded request can be sent again after it is forgotten",
        );
    }
    notes.within("ingress.known_most", ingress.known_most, 0, 10_000_000);
    if ingress.known_most == 0 {
        notes.warning(
            "ingress.known_most",
            "is 0, so no repeat is recognised; a recorded request can be sent again at once",
        );
    }
    notes.within("ingress.answers.kept_for", ingress.answers.kept_for, s(1), s(3600));
    notes.within("ingress.answers.most", ingress.answers.most, 1, 1_000_000);
    notes.within("ingress.answers.bytes", ingress.answers.bytes, 1 << 20, 1 << 32);
    notes.within("ingress.answers.held", ingress.answers.held, 0, 1_000_000);
    notes.within("ingress.limits.connections", ingress.limits.connections, 1, 1_000_000);
    notes.within("ingress.limits.header_timeout", ingress.limits.header_timeout, s(1), s(120));
    notes.within("ingress.limits.idle_timeout", ingress.limits.idle_timeout, s(1), s(3600));
    notes.within("ingress.limits.drain_delay", ingress.limits.drain_delay, s(0), s(300));
    notes.within("ingress.limits.drain_timeout", ingress.limits.drain_timeout, s(0), s(300));
    notes.within("traces.sample", config.traces.sample, 0.0, 1.0);
    if let Some(Err(error)) = config.traces.endpoint.as_deref().map(otlp::traces_url) {
        notes.problem("traces.endpoint", error);
    }
    notes.within("reload.interval", config.reload.interval, s(0), s(3600));
    notes.within("worker.reserve", config.worker.reserve, s(0), s(60));
    notes.within("worker.drain_timeout", config.worker.drain_timeout, s(0), s(3600));
}

fn queue(config: &Config, notes: &mut Notes<'_>) {
    notes.within("queue.soft_limit", config.queue.soft_limit, 1, 10_000_000);
    if config.queue.backend == Backend::Embedded {
        return;
    }
    let rabbitmq = &config.queue.rabbitmq;
    if rabbitmq.urls.is_empty() || rabbitmq.urls.iter().any(Secret::is_blank) {
        notes.problem("queue.rabbitmq.urls", "is empty; amqp://user:password@host:5672/vhost would be right");
    }
    notes.within("queue.rabbitmq.channels", rabbitmq.channels, 1, 2000);
    notes.within("queue.rabbitmq.channel_timeout", rabbitmq.channel_timeout, Duration::from_millis(1), s(30));
    notes.within("queue.rabbitmq.confirm_timeout", rabbitmq.confirm_timeout, Duration::from_millis(100), s(60));
    notes.within("queue.rabbitmq.connect_timeout", rabbitmq.connect_timeout, Duration::from_millis(100), s(60));
    notes.within("queue.rabbitmq.heartbeat", rabbitmq.heartbeat, s(1), s(120));
}

fn console(config: &Config, notes: &mut Notes<'_>) {
    let console = &config.console;
    if let Some((key, sentence)) = console.problem() {
        notes.problem(key, sentence);
    }
    if console.tls.is_none() && !console.listen.ip().is_loopback() {
        notes.warning("console.tls", "is not set; others on the network can read the token, unless a proxy ends TLS");
    }
}

fn general(profile: &Profile, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    notes.within(&key("threshold"), profile.threshold, 0.0, 1.0);
    if let Some(least) = profile.min_confidence {
        notes.within(&key("min_confidence"), least, 0.0, 1.0);
    }
    notes.within(&key("deadline"), profile.deadline, s(1), s(300));
    check_history::bounds(profile, key, notes);
    notes.within(&key("llm.reasks"), profile.llm.reasks, 0, 2);
    notes.within(&key("llm.attempts"), profile.llm.attempts, 1, 10);
    notes.within(&key("llm.calls_per_trigger"), profile.llm.calls_per_trigger, 1, 100);
    notes.within(&key("llm.temperature"), profile.llm.temperature, 0.0, 2.0);
    notes.within(&key("llm.max_tokens"), profile.llm.max_tokens, 1, 100_000);
    for (model, price) in &profile.llm.prices {
        let key = key(&format!("llm.prices.{model}"));
        notes.within(&key, price.input, 0.0, 100_000.0);
        notes.within(&key, price.output, 0.0, 100_000.0);
    }
    if let Some(budget) = &profile.llm.budget {
        notes.within(&key("llm.budget.window"), budget.window, s(1), s(31 * 24 * 3600));
    }
    hedge(&profile.llm, key, notes);
    notes.within(&key("callback.timeout"), profile.callback.timeout, Duration::from_millis(100), s(120));
    notes.within(&key("callback.max_age"), profile.callback.max_age, s(1), s(24 * 3600));
}

fn hedge(llm: &llm::Config, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    let Some(hedge) = llm.hedge else { return };
    if let Some(after) = hedge.after {
        notes.within(&key("llm.hedge.after"), after, Duration::from_millis(10), llm.attempt_timeout);
    }
    if hedge.to == llm::HedgeTo::Next && llm.models.len() < 2 {
        notes.problem(
            &key("llm.hedge.to"),
            "is \"next\", but llm.models names no second model; \"same\" would be right",
        );
    }
    if llm.calls_per_trigger < 2 {
        notes.warning(&key("llm.hedge"), "has no effect: llm.calls_per_trigger allows no second call");
    }
}

fn webhook(profile: &Profile, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    let webhook = &profile.webhook;
    let secrets = key("webhook.secrets");
    if webhook.secrets.is_empty() {
        let name = if secrets.starts_with("profiles.default.") { " (COGNIGY_WEBHOOK_SECRET)" } else { "" };
        return notes.problem(&secrets, format!("no secret is set{name}; at least 32 random bytes would be right"));
    }
    if let Err(error) = Verifier::new(webhook.scheme, &webhook.secrets) {
        return notes.problem(&secrets, format!("a secret {error}"));
    }
    if webhook.secrets.iter().any(|secret| weak(webhook.scheme, secret)) {
        notes.warning(&secrets, "a secret is shorter than 32 bytes; it may be guessed");
    }
    if webhook.scheme == Scheme::ApiKey {
        notes.warning(&key("webhook.scheme"), "api-key proves nothing about the body; use it over TLS only");
    }
}

fn callback(profile: &Profile, role: Role, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    let callback = &profile.callback;
    if callback.cognigy.thinking.is_some() && !callback.mode.is_cognigy() {
        notes
            .warning(&key("callback.cognigy.thinking"), "has no effect: only the modes of Cognigy can tell a customer");
    }
    if callback.mode == Mode::None {
        if !profile.poll {
            notes.problem(&key("poll"), "is false and callback.mode \"none\", so nobody could be answered");
        }
        return;
    }
    if callback.mode.is_cognigy() {
        cognigy(profile, key, notes);
    } else if callback.url.is_none() && callback.egress.allow_hosts.is_empty() {
        let sentence = "neither a URL nor callback.egress.allow_hosts is set, so nobody could be answered; \
                        one of the two, or callback.mode = \"none\", would be right";
        notes.problem(&key("callback.url"), sentence);
    } else if callback.url.is_none() && !callback.headers.is_empty() {
        let sentence = "have no effect: they go to the host of callback.url alone, which is not set, and to none that a \
                        trigger names";
        notes.warning(&key("callback.headers"), sentence);
    }
    if let Err(error) = Egress::new(&callback.egress, callback.url.as_deref()) {
        notes.problem(&key("callback"), error);
    }
    if !role.works() {
        return;
    }
    let secrets = if callback.secrets.is_empty() { &profile.webhook.secrets } else { &callback.secrets };
    match Signer::new(secrets) {
        Err(error) if secrets.is_empty() => {
            let _ = error;
            notes
                .problem(&key("callback.secrets"), "no secret is set (COGNIGY_CALLBACK_SECRET) to sign callbacks with");
        }
        Err(error) => notes.problem(&key("callback.secrets"), format!("a secret {error}")),
        Ok(_) if callback.secrets.is_empty() => {
            notes.warning(&key("callback.secrets"), "none is set; callbacks are signed with the webhook's secrets");
        }
        Ok(_) => {}
    }
}

fn cognigy(profile: &Profile, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    let callback = &profile.callback;
    let own = &callback.cognigy;
    if callback.url.is_none() {
        let sentence = "is not set; an endpoint's URL without its token, such as https://endpoint-trial.cognigy.ai, \
                        would be right";
        notes.problem(&key("callback.url"), sentence);
    }
    if callback.url.as_deref().is_some_and(ends_with_token) {
        let sentence = "ends with the token of an endpoint; only what stands before it would be right, because each trigger \
                        brings its own";
        notes.problem(&key("callback.url"), sentence);
    }
    if !callback.egress.allow_hosts.is_empty() {
        let sentence =
            "is set; in the modes of Cognigy the settings alone say where the token goes, so it must be empty";
        notes.problem(&key("callback.egress.allow_hosts"), sentence);
    }
    notes.within(&key("callback.cognigy.session_life"), own.session_life, s(1), s(7 * 24 * 3600));
    if own.reroute && callback.mode == Mode::CognigyNotify {
        notes.warning(&key("callback.cognigy.reroute"), "has no effect in mode cognigy-notify, which runs no flow");
    }
    let key_needed = callback.mode == Mode::CognigyManagement;
    if key_needed && own.management.api_key.as_ref().is_none_or(Secret::is_blank) {
        notes.problem(&key("callback.cognigy.management.api_key"), "is not set; the management API asks for it");
    }
    if let Some(thinking) = &own.thinking {
        let key = key("callback.cognigy.thinking");
        notes.within(&format!("{key}.after"), thinking.after, Duration::from_millis(100), s(300));
        let language = if thinking.language.is_empty() { &profile.language } else { &thinking.language };
        if let Err(error) = SafeAnswers::of_sentences(thinking.sentences.clone(), language) {
            notes.problem(&format!("{key}.sentences"), error);
        }
    }
}

/// True for an endpoint's whole URL, as Cognigy's own interface shows it.
fn ends_with_token(url: &str) -> bool {
    let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    last.len() >= 32 && last.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn upstreams(profile: &Profile, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    let llm = &profile.llm;
    required(llm.base_url.as_deref(), &key("llm.base_url"), "LLM_GATEWAY_BASE_URL", notes);
    required(llm.api_key.as_ref().map(Secret::expose), &key("llm.api_key"), "LLM_GATEWAY_API_KEY", notes);
    if llm.models.is_empty() || llm.models.iter().any(|model| model.trim().is_empty()) {
        notes.problem(&key("llm.models"), "names no model; [\"gpt-4o-mini\"] would be right");
    }
    check_history::provider(profile, key, notes);
}

pub(super) fn required(value: Option<&str>, key: &str, variable: &str, notes: &mut Notes<'_>) {
    if value.is_none_or(|value| value.trim().is_empty()) {
        let hint = if key.starts_with("profiles.default.") { format!(" ({variable})") } else { String::new() };
        notes.problem(key, format!("is not set{hint}"));
    }
}
