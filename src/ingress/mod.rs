//! The ingress: signed triggers in, `202` only after the queue has confirmed them.

mod answers;
mod error;
mod known;
mod openapi;
mod polls;
mod prefer;
mod rate;
mod signed;
mod to_the_end;
mod triggers;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    callback::Demands,
    egress::Egress,
    http_server::{Limits, TlsFiles},
    metrics::Metrics,
    profiles::Profiles,
    queue::{
        Publisher,
        notice::{Notices, Topic},
    },
    signature::Verifier,
    telemetry::spans::Tracer,
    time::EpochMs,
    trigger::TriggerId,
};

use self::{answers::Asked, known::KnownTriggers};
pub use self::{
    answers::{AnswerLimits, Answers},
    openapi::document,
    rate::{Rate, RateConfig},
};

/// Settings of the ingress.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// Address of the webhook listener.
    pub listen: SocketAddr,
    /// Largest body of a trigger, in bytes.
    #[schemars(extend("x-unit" = "bytes"))]
    pub max_body: usize,
    /// Limit for receiving a body.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub body_timeout: Duration,
    /// How long the id of an accepted trigger is known, so that a repeat is answered without queueing it again.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub known_for: Duration,
    /// How many such ids are kept.
    #[schemars(extend("x-unit" = "ids"))]
    pub known_most: usize,
    /// What is kept for requests that wait for an outcome or ask for one.
    pub answers: AnswerLimits,
    /// The listener's TLS identity; without it plain HTTP, for behind a proxy.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Limits of the listener's connections.
    pub limits: Limits,
}

/// What the ingress knows of one bot.
pub struct Profile {
    /// Checks its requests.
    pub verifier: Verifier,
    /// Scores above this are refused: the bot understood the message.
    pub threshold: f64,
    /// The deadline of a trigger that names none.
    pub deadline: Duration,
    /// Decides over callback URLs that triggers name.
    pub egress: Egress,
    /// How many requests it may send; `None`: any number.
    pub rate: Option<Rate>,
    /// Workers are told of its triggers, so that they give up older ones of the same conversation.
    pub supersede: bool,
    /// Its outcomes can be waited for and asked for.
    pub poll: bool,
    /// What its triggers must tell, so that they can be answered.
    pub demands: Demands,
}

/// The parts that the handlers share.
pub struct Ingress {
    profiles: Profiles<Profile>,
    publisher: Arc<dyn Publisher>,
    known: KnownTriggers,
    answers: Option<Arc<Answers>>,
    notices: Option<Arc<dyn Notices>>,
    /// True once it hears of outcomes.
    hearing: AtomicBool,
    metrics: Arc<Metrics>,
    tracer: Tracer,
    max_body: usize,
    body_timeout: Duration,
}

impl Ingress {
    /// Puts the parts together. `accepted` are triggers that the queue remembers from before a restart.
    #[must_use]
    pub fn new(
        config: &Config,
        profiles: HashMap<String, Profile>,
        publisher: Arc<dyn Publisher>,
        accepted: Vec<(TriggerId, EpochMs)>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            profiles: Profiles::new(profiles),
            publisher,
            known: KnownTriggers::new(config.known_for, config.known_most, accepted),
            answers: None,
            notices: None,
            hearing: AtomicBool::new(false),
            metrics,
            tracer: Tracer::default(),
            max_body: config.max_body,
            body_timeout: config.body_timeout,
        }
    }

    /// Has it tell workers of triggers that supersede others.
    #[must_use]
    pub fn with_notices(mut self, notices: Arc<dyn Notices>) -> Self {
        self.notices = Some(notices);
        self
    }

    /// Lets requests wait for outcomes, and ask for them, where a profile wants it. Has to be called within a tokio runtime,
    /// after [`Ingress::with_notices`].
    #[must_use]
    pub fn with_answers(mut self, answers: Arc<Answers>) -> Self {
        self.answers = Some(answers);
        self.admit_askers();
        self
    }

    /// Lets the outcomes be asked for of all profiles that want it, and begins to hear of them, once, when one does.
    fn admit_askers(&self) {
        let (Some(answers), Some(notices)) = (&self.answers, &self.notices) else { return };
        let names = self.profiles.names(|profile| profile.poll);
        if names.is_empty() {
            return;
        }
        answers.admit(names);
        if !self.hearing.swap(true, Ordering::Relaxed) {
            // It ends when the queue is closed.
            tokio::spawn(Arc::clone(answers).listen(notices.subscribe(&[Topic::Outcome])));
        }
    }
}

impl Ingress {
    /// Has its requests traced.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// The bot of that name, as it is now: a request that holds it is answered with it, whatever a reload brings.
    fn profile(&self, name: &str) -> Option<Arc<Profile>> {
        self.profiles.get(name)
    }

    /// Where is known how far that trigger is, if its bot's triggers may be asked for.
    fn asked(&self, profile: &str, id: TriggerId) -> Option<(&Arc<Answers>, Asked)> {
        let answers = self.answers.as_ref().filter(|_| self.profile(profile).is_some_and(|profile| profile.poll))?;
        Some((answers, answers.asked(profile, id)?))
    }

    /// Takes the bots that changed, and forgets those that are not among `names`.
    /// Has to be called within a tokio runtime.
    pub fn replace_profiles(&self, changed: HashMap<String, Arc<Profile>>, names: &[&str]) {
        self.profiles.replace(changed, names);
        self.admit_askers();
    }
}

/// The routes of the webhook listener.
pub fn router(ingress: Arc<Ingress>) -> Router {
    Router::new()
        .route("/webhook/cognigy/fallback", post(triggers::receive_trigger))
        .route("/webhook/cognigy/fallback/{profile}", post(triggers::receive_trigger))
        .route("/v1/triggers/{profile}/{id}", get(polls::poll).fallback(error::only_get))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::only_post)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&ingress), triggers::observe))
        .with_state(ingress)
}
