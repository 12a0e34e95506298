//! A simulated Cognigy: endpoints with sessions, their inject and notify routes, and a flow that routes what it does not
//! understand to the real ingress.
//!
//! It knows the documented rules: 400 for what it cannot read and for endpoint types without these routes, 404 for an
//! unknown token, a session that ends after its time, transformers that check signatures; and nothing is idempotent.

mod arrivals;
mod flow;
mod router;
mod session;
mod transformer;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{Router, routing::post};
use bytes::Bytes;
use serde_json::Value;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Server, cxone_digital::Digital};
use crate::secret::Secret;
use flow::{Input, Plan};
use session::Session;

pub use router::RouterAccess;
pub use session::{Line, SimulatedChannel, Speaker};

/// Sessions, and injected bodies, that are kept.
const MOST_KEPT: usize = 10_000;

/// How long a session lives after something last happened in it, unless set otherwise: Cognigy's default.
const SESSION_LIFE: Duration = Duration::from_secs(30 * 60);

/// How the endpoint answers instead of taking what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointAnswer {
    /// With this status, and nothing is taken.
    Refuse(u16),
    /// It is taken, but the answer is this status.
    TakeAndSay(u16),
}

/// The simulator.
pub struct CognigyEndpoint {
    server: Server,
    state: Arc<Simulated>,
}

struct Simulated {
    data: Mutex<Data>,
    secrets: Vec<Secret>,
    digital: Digital,
    changed: Notify,
}

struct Data {
    sessions: HashMap<String, Session>,
    life: Duration,
    router: Option<RouterAccess>,
    answers: VecDeque<EndpointAnswer>,
    injected: VecDeque<Bytes>,
    refused: u64,
    unread: u64,
}

impl CognigyEndpoint {
    /// Starts endpoints whose transformers let results through that are signed with one of `secrets`.
    pub(super) async fn start(address: SocketAddr, secrets: &[Secret], digital: Digital) -> anyhow::Result<Self> {
        let data = Data {
            sessions: HashMap::new(),
            life: SESSION_LIFE,
            router: None,
            answers: VecDeque::new(),
            injected: VecDeque::new(),
            refused: 0,
            unread: 0,
        };
        let (data, secrets) = (Mutex::new(data), secrets.to_vec());
        let state = Arc::new(Simulated { data, secrets, digital, changed: Notify::new() });
        let routes = Router::new()
            .route("/inject/{token}", post(arrivals::inject))
            .route("/notify/{token}", post(arrivals::notify));
        let server = Server::start(address, routes.with_state(Arc::clone(&state)), CancellationToken::new()).await?;
        Ok(Self { server, state })
    }

    /// The base URL of the endpoints: `callback.url` of the modes `cognigy-inject` and `cognigy-notify`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Tells the flow where the router is.
    pub fn connect(&self, router: RouterAccess) {
        self.state.lock().router = Some(router);
    }

    /// How long a session lives after something last happened in it.
    pub fn set_session_life(&self, life: Duration) {
        self.state.lock().life = life;
    }

    /// Answers the next `times` injections and notifications so.
    pub fn answer_next(&self, times: usize, answer: EndpointAnswer) {
        self.state.lock().answers.extend(std::iter::repeat_n(answer, times.min(MOST_KEPT)));
    }

    /// A customer begins a conversation; its session id. What is said in a digital one is also a case of the simulated
    /// CXone, named by the same id.
    #[must_use]
    pub fn open(&self, channel: SimulatedChannel) -> String {
        let id = format!("session-{:016x}", rand::random::<u64>());
        let case = (channel != SimulatedChannel::Voice).then(|| (id.clone(), self.state.digital.clone()));
        let user = format!("user-{:08x}", rand::random::<u32>());
        let mut data = self.state.lock();
        if data.sessions.len() >= MOST_KEPT {
            data.sessions.clear();
        }
        data.sessions.insert(id.clone(), Session::new(channel, &user, case));
        id
    }

    /// The customer says something, and the flow runs until its turn is over.
    ///
    /// # Errors
    /// When there is no such session, or the router cannot be reached or refuses the message.
    pub async fn say(&self, session_id: &str, text: &str) -> anyhow::Result<()> {
        let plan = self.state.change(session_id, |session| {
            session.customer_says(text);
            flow::run(session, &Input { text, data: &Value::Null })
        });
        self.state.follow(session_id, text, plan.context("there is no such session")?).await
    }

    /// What was said so far, as the customer sees it.
    #[must_use]
    pub fn lines(&self, session_id: &str) -> Vec<Line> {
        let data = self.state.lock();
        data.sessions.get(session_id).map(|session| session.lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// Waits until the bot has said `count` lines, and returns all lines. It waits for ever: set a limit around it.
    pub async fn said(&self, session_id: &str, count: usize) -> Vec<Line> {
        loop {
            // Made before looking, so that nothing that comes between is missed.
            let changed = self.state.changed.notified();
            let lines = self.lines(session_id);
            if lines.iter().filter(|line| line.speaker == Speaker::Bot).count() >= count {
                return lines;
            }
            changed.await;
        }
    }

    /// Runs of the flow in a session.
    #[must_use]
    pub fn turns(&self, session_id: &str) -> u64 {
        self.state.lock().sessions.get(session_id).map_or(0, |session| session.turns)
    }

    /// True when the flow has given a conversation to a human.
    #[must_use]
    pub fn handed_over(&self, session_id: &str) -> bool {
        self.state.lock().sessions.get(session_id).is_some_and(|session| session.handed_over)
    }

    /// The bodies that were taken by `/inject` and `/notify`, the oldest first.
    #[must_use]
    pub fn injected(&self) -> Vec<Bytes> {
        self.state.lock().injected.iter().cloned().collect()
    }

    /// Bodies that were not taken.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.state.lock().refused
    }

    /// Bodies that were taken for a session that had ended: nobody reads what is said there.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.state.lock().unread
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

impl Simulated {
    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a session, if there is one, and tells those who wait for it.
    fn change<T>(&self, session_id: &str, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let changed = self.lock().sessions.get_mut(session_id).map(|session| {
            session.touched = Instant::now();
            change(session)
        });
        self.changed.notify_waiters();
        changed
    }

    /// Does what is left of a turn: asks the router, and says what came of it.
    async fn follow(&self, session_id: &str, text: &str, plan: Plan) -> anyhow::Result<()> {
        if plan == Plan::Done {
            return Ok(());
        }
        let router = self.lock().router.clone().context("the flow does not know where the router is")?;
        let answered = match plan {
            Plan::Done => return Ok(()),
            Plan::Poll(id) => router.poll(&id).await?,
            Plan::Route => {
                let trigger =
                    self.change(session_id, |session| (session.trigger(session_id, text), session.channel.is_polled()));
                let (trigger, held) = trigger.context("the session has ended")?;
                router.route(&trigger, held).await?
            }
        };
        self.change(session_id, |session| match answered {
            router::Answered::Outcome(outcome) => flow::receive(session, &outcome, None),
            router::Answered::Pending(id) => {
                session.pending = Some(id);
                session.bot_says("One moment, please.");
            }
        });
        Ok(())
    }
}
