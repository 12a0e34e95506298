//! What the demo plays: each scene sends a real signed trigger and says how it has to end.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cognigy_fallback_router::simulators::CallbackAnswer;
use serde_json::{Value, json};

use super::{finished::Fields, stage::Stage};
use crate::say;

/// One scene.
pub(super) struct Scene {
    pub(super) title: &'static str,
    /// What the customer wrote; `sim:…` tells the simulated gateway how to behave.
    message: &'static str,
    act: Act,
}

/// How a scene goes.
enum Act {
    /// Accepted, and posted back with this status after this many model calls.
    Outcome { status: &'static str, llm_calls: u32 },
    /// Accepted while no worker runs; when one comes, the deadline has passed.
    Expired,
    /// Not accepted: the signature is wrong.
    Forged,
    /// Accepted and decided, but the receiver does not want it until it is replayed.
    DeadLetter,
}

pub(super) const SCENES: &[Scene] = &[
    Scene {
        title: "A trigger comes while no worker runs, and its deadline passes: a safe answer, and no model call",
        message: "Is anybody there?",
        act: Act::Expired,
    },
    Scene {
        title: "A message that the bot did not understand",
        message: "I need help resetting my password but the link expired",
        act: Act::Outcome { status: "success", llm_calls: 1 },
    },
    Scene {
        title: "The model answers with prose: it is asked again",
        message: "sim:invalid-json Where is my order?",
        act: Act::Outcome { status: "success", llm_calls: 2 },
    },
    Scene {
        title: "The gateway says 429 with Retry-After: 1",
        message: "sim:rate-limit I want my money back",
        act: Act::Outcome { status: "success", llm_calls: 2 },
    },
    Scene {
        title: "The gateway is down: a human takes over",
        message: "sim:outage Please cancel my contract",
        act: Act::Outcome { status: "llm_unavailable", llm_calls: 3 },
    },
    Scene { title: "A stranger signs with a wrong secret", message: "Let me in", act: Act::Forged },
    Scene {
        title: "The receiver answers 410 Gone: the outcome waits in the dead letters; replayed, it is delivered",
        message: "Please change my address",
        act: Act::DeadLetter,
    },
];

impl Scene {
    /// Plays the scene.
    ///
    /// # Errors
    /// When it does not end as it should.
    pub(super) async fn play(&self, stage: &mut Stage) -> anyhow::Result<()> {
        match &self.act {
            Act::Outcome { status, llm_calls } => self.outcome(stage, status, *llm_calls).await,
            Act::Expired => self.expired(stage).await,
            Act::Forged => self.forged(stage).await,
            Act::DeadLetter => self.dead_letter(stage).await,
        }
    }

    fn trigger(&self) -> Value {
        trigger(self.message)
    }

    async fn accepted(&self, stage: &Stage, trigger: &Value) -> anyhow::Result<String> {
        say(&indented("sent", &trigger.to_string()));
        let answer = stage.post(trigger, true).await?;
        say(&indented("answered", &format!("{} {}", answer.status, answer.body)));
        ensure!(answer.status == 202, "it was not accepted");
        Ok(answer.body["triggerId"].as_str().context("there is no triggerId")?.to_owned())
    }

    async fn outcome(&self, stage: &Stage, status: &str, llm_calls: u32) -> anyhow::Result<()> {
        let trigger = self.trigger();
        if llm_calls == 1 {
            say(&indented("to paste", &stage.curl(&trigger.to_string())));
        }
        let id = self.accepted(stage, &trigger).await?;
        ended(stage, &id, status, llm_calls).await
    }

    async fn expired(&self, stage: &mut Stage) -> anyhow::Result<()> {
        let mut trigger = self.trigger();
        trigger["deadlineMs"] = json!(1000);
        let id = self.accepted(stage, &trigger).await?;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        stage.start_worker().await?;
        ended(stage, &id, "expired", 0).await
    }

    async fn forged(&self, stage: &Stage) -> anyhow::Result<()> {
        let answer = stage.post(&self.trigger(), false).await?;
        say(&indented("answered", &format!("{} {}", answer.status, answer.body)));
        ensure!(answer.status == 403, "it was not refused");
        Ok(())
    }

    async fn dead_letter(&self, stage: &Stage) -> anyhow::Result<()> {
        stage.simulators.cognigy.answer_next(1, CallbackAnswer::Status(410));
        let id = self.accepted(stage, &self.trigger()).await?;
        let reason = stage.dead_letter(&id).await?;
        say(&indented("dead", &format!("{id}: {reason}")));
        ensure!(reason == "callback_rejected", "the reason is another");
        let calls = stage.simulators.llm.calls();
        say(&indented("replay", &format!("cfr dead-letters replay {id}")));
        stage.replay(&id).await?;
        let outcome = stage.callback(&id).await?.outcome();
        say(&indented("callback", &format!("{}: {} under the same id", outcome["triggerId"], outcome["status"])));
        ensure!(outcome["status"] == "success", "the status is {}, not success", outcome["status"]);
        ensure!(stage.simulators.llm.calls() == calls, "the model was asked again");
        Ok(())
    }
}

/// A trigger with this message, of a conversation of its own.
pub(super) fn trigger(message: &str) -> Value {
    json!({
        "conversationId": format!("demo-{:08x}", rand::random::<u32>()),
        "userId": "user-external-9876",
        "lastMessage": message,
        "confidenceScore": 0.42,
        "detectedIntent": "fallback",
        "metadata": {"channel": "webchat"},
    })
}

/// Waits for the outcome of a trigger, shows it, and compares.
async fn ended(stage: &Stage, id: &str, status: &str, llm_calls: u32) -> anyhow::Result<()> {
    let callback = stage.callback(id).await?;
    let outcome = callback.outcome();
    let pretty = serde_json::to_string_pretty(&outcome)?;
    say(&indented("callback", &pretty));
    say(&indented("stages", &times(&stage.finished(id).await?)));
    ensure!(callback.genuine, "its signatures are not right");
    ensure!(outcome["status"] == status, "the status is {}, not {status}", outcome["status"]);
    let calls = &outcome["meta"]["attempts"]["llm"];
    ensure!(*calls == llm_calls, "the model was called {calls} times, not {llm_calls}");
    Ok(())
}

fn times(fields: &Fields) -> String {
    let stage = |name: &str, field: &str| {
        let micros: f64 = fields.get(field).and_then(|value| value.parse().ok()).unwrap_or_default();
        format!("{name} {:.1} ms", micros / 1000.0)
    };
    let total = fields.get("total_ms").map_or("?", String::as_str);
    [
        stage("history", "history_us"),
        stage("prompt", "prompt_us"),
        stage("model", "llm_us"),
        stage("decision", "decision_us"),
        format!("from acceptance to acknowledgement {total} ms"),
    ]
    .join(" · ")
}

/// A label and a text whose lines stand below one another.
fn indented(label: &str, text: &str) -> String {
    format!("   {label:<9} {}", text.replace('\n', "\n             "))
}
