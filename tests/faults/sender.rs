//! The sender: posts signed triggers, and repeats what was not promised under the same key until it is.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    ledger::Accepted,
    support::app::{client, signed, trigger},
};

/// What a sending run saw.
pub(crate) struct Sent {
    pub(crate) accepted: Accepted,
    /// Answers that were neither 202 nor 503, and broken connections.
    pub(crate) unanswered: usize,
    pub(crate) refused: usize,
    /// The slowest answer, whatever it was.
    pub(crate) slowest: Duration,
}

fn note_slowest(slowest: &std::sync::Mutex<Duration>, took: Duration) {
    let mut slowest = slowest.lock().unwrap();
    *slowest = slowest.max(took);
}

/// Sends `count` triggers from `senders` tasks, each until it is accepted.
pub(crate) async fn send(webhook: SocketAddr, count: usize, senders: usize, deadline_ms: Option<u64>) -> Sent {
    let accepted = Accepted::default();
    let run = rand::random::<u32>();
    let (next, refused, unanswered) = (Arc::new(AtomicUsize::new(0)), Arc::default(), Arc::default());
    let slowest = Arc::new(std::sync::Mutex::new(Duration::ZERO));
    let mut tasks = JoinSet::new();
    for _ in 0..senders {
        let (accepted, next, slowest) = (accepted.clone(), Arc::clone(&next), Arc::clone(&slowest));
        let (refused, unanswered): (Arc<AtomicUsize>, Arc<AtomicUsize>) =
            (Arc::clone(&refused), Arc::clone(&unanswered));
        tasks.spawn(async move {
            let client = client();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let mut body = trigger();
                body["conversationId"] = json!(format!("c-{run}-{number}"));
                body["inputId"] = json!(format!("i-{number}"));
                if let Some(deadline) = deadline_ms {
                    body["deadlineMs"] = json!(deadline);
                }
                loop {
                    let began = Instant::now();
                    let answer = signed(&client, &webhook.to_string(), &body).send().await;
                    let took = began.elapsed();
                    note_slowest(&slowest, took);
                    match answer {
                        Ok(response) if response.status() == 202 => {
                            let Ok(text) = response.text().await else { continue };
                            let answer: Value = serde_json::from_str(&text).unwrap();
                            accepted.add(answer["triggerId"].as_str().unwrap().to_owned());
                            break;
                        }
                        Ok(response) if response.status() == 503 => {
                            assert!(response.headers().contains_key("retry-after"));
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(response) => panic!("answered {}", response.status()),
                        Err(_) => {
                            unanswered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let slowest = *slowest.lock().unwrap();
    Sent { accepted, unanswered: unanswered.load(Ordering::Relaxed), refused: refused.load(Ordering::Relaxed), slowest }
}
