//! The sender: posts signed triggers, and repeats what was not promised under the same key until it is.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    ledger::Accepted,
    support::app::{client, signed, trigger},
};

/// Until a request that never reached the gateway in time counts as late there: the sender's clock starts before the
/// ingress accepts.
const SLACK: Duration = Duration::from_secs(2);
const MARK: &str = "due-";

/// What is sent.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) webhooks: Vec<SocketAddr>,
    pub(crate) count: usize,
    /// Requests in flight.
    pub(crate) senders: usize,
    pub(crate) deadline_ms: Option<u64>,
    /// Bytes of metadata in each trigger.
    pub(crate) padding: usize,
    /// Each request is sent so often at once, and once more after it was accepted.
    pub(crate) copies: usize,
    /// Triggers a second, all senders together; 0: as many as go.
    pub(crate) rate: f64,
    /// Number of the trigger whose message this is.
    pub(crate) special: Option<(usize, &'static str)>,
    /// Sending ends here even if not all were accepted.
    pub(crate) until: Option<Instant>,
}

impl Load {
    pub(crate) fn new(webhooks: Vec<SocketAddr>, count: usize) -> Self {
        Self {
            webhooks,
            count,
            senders: 16,
            deadline_ms: None,
            padding: 0,
            copies: 1,
            rate: 0.0,
            special: None,
            until: None,
        }
    }

    /// Sends all of it.
    pub(crate) async fn send(self) -> Sent {
        let run = Arc::new(Run {
            load: self,
            name: rand::random::<u32>(),
            began: Instant::now(),
            next: AtomicUsize::new(0),
            sent: Mutex::default(),
        });
        let mut senders = JoinSet::new();
        for _ in 0..run.load.senders {
            senders.spawn(Arc::clone(&run).one_sender());
        }
        while let Some(ended) = senders.join_next().await {
            ended.unwrap();
        }
        run.sent.lock().unwrap().clone()
    }
}

/// What a sending run saw.
#[derive(Clone, Default)]
pub(crate) struct Sent {
    pub(crate) accepted: Accepted,
    /// Broken connections.
    pub(crate) unanswered: usize,
    pub(crate) refused: usize,
    /// The slowest answer, whatever it was.
    pub(crate) slowest: Duration,
}

impl Sent {
    /// Requests without a promise: each may run all the same, beside its repeat.
    pub(crate) fn unsure(&self) -> usize {
        self.refused + self.unanswered
    }
}

struct Run {
    load: Load,
    name: u32,
    began: Instant,
    next: AtomicUsize,
    sent: Mutex<Sent>,
}

impl Run {
    async fn one_sender(self: Arc<Self>) {
        let client = client();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.load.count {
                return;
            }
            if self.load.rate > 0.0 {
                let due = self.began + Duration::from_secs_f64(number as f64 / self.load.rate);
                tokio::time::sleep_until(due.into()).await;
            }
            let mut tries = 0;
            while !self.try_all_copies(&client, number, tries).await {
                if self.load.until.is_some_and(|until| Instant::now() > until) {
                    return;
                }
                tries += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn try_all_copies(&self, client: &reqwest::Client, number: usize, tries: usize) -> bool {
        let copies = (0..self.load.copies).map(|copy| self.try_once(client, number, tries + copy));
        let accepted = futures_util::future::join_all(copies).await.into_iter().all(|accepted| accepted);
        // A sender that did not see the answer asks again later.
        accepted && (self.load.copies == 1 || self.try_once(client, number, tries).await)
    }

    /// True when it was accepted.
    async fn try_once(&self, client: &reqwest::Client, number: usize, offset: usize) -> bool {
        let webhook = self.load.webhooks[(number + offset) % self.load.webhooks.len()].to_string();
        let began = Instant::now();
        let answer = signed(client, &webhook, &self.body(number)).send().await;
        let read = match answer {
            Ok(response) => Some((response.status().as_u16(), response.headers().clone(), response.text().await)),
            Err(_) => None,
        };
        let mut sent = self.sent.lock().unwrap();
        sent.slowest = sent.slowest.max(began.elapsed());
        match read {
            Some((202, _, Ok(text))) => {
                let answer: Value = serde_json::from_str(&text).unwrap();
                sent.accepted.add(answer["triggerId"].as_str().unwrap().to_owned());
                return true;
            }
            Some((503, headers, _)) => {
                assert!(headers.contains_key("retry-after"));
                sent.refused += 1;
            }
            None | Some((202, _, Err(_))) => sent.unanswered += 1,
            Some((status, ..)) => panic!("answered {status}"),
        }
        false
    }

    fn body(&self, number: usize) -> Value {
        let mut body = trigger();
        body["conversationId"] = json!(format!("c-{}-{number}", self.name));
        body["inputId"] = json!(format!("i-{number}"));
        if let Some(deadline) = self.load.deadline_ms {
            body["deadlineMs"] = json!(deadline);
            body["lastMessage"] = json!(format!("where is my order {}", mark(deadline)));
        }
        if let Some((special, message)) = self.load.special
            && special == number
        {
            body["lastMessage"] = json!(message);
        }
        if self.load.padding > 0 {
            body["metadata"] = json!({"padding": "x".repeat(self.load.padding)});
        }
        body
    }
}

/// The moment after which no model may be asked, as a word that nobody takes for a number to mask.
fn mark(deadline_ms: u64) -> String {
    let due = SystemTime::now() + Duration::from_millis(deadline_ms) + SLACK;
    let seconds = due.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let letters: String = seconds.to_string().bytes().map(|digit| char::from(b'a' + (digit - b'0'))).collect();
    format!("{MARK}{letters}")
}

/// The moment in a prompt.
pub(crate) fn read_deadline(prompt: &str) -> Option<SystemTime> {
    let (_, rest) = prompt.split_once(MARK)?;
    let digits: String = rest.bytes().take(10).map(|letter| char::from(b'0' + letter.wrapping_sub(b'a'))).collect();
    Some(UNIX_EPOCH + Duration::from_secs(digits.parse().ok()?))
}
