//! The model gateway is down, overloaded or talks nonsense.

use std::time::{Duration, Instant};

use super::{load, pause, sending, unsure};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::{Model, Outside},
    processes::{Deployment, On},
};

/// Until a gateway that is back is asked again.
const RECOVERY: Duration = Duration::from_secs(10);

/// The breaker opens: hardly any call is made, and every trigger has its safe answer in time; then it closes again.
pub(super) async fn down() -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(503, 5));
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let mut broken = load(&deployment, 400);
    broken.deadline_ms = Some(8000);
    let sent = broken.clone().send().await;
    let figures = settle(&sent.accepted, &outside, &deployment, Bounds::default()).await;
    let (calls, count) = (outside.calls(), sent.accepted.count());
    assert!(calls < count / 2, "{calls} calls for {count} triggers while the gateway was down");
    outside.model(Model::Answers(200, 5));
    pause(10.0).await;
    let mut healthy = load(&deployment, 100);
    (healthy.senders, healthy.deadline_ms) = (4, Some(30_000));
    let again = healthy.send().await;
    again.accepted.join(&sent.accepted);
    settle(&again.accepted, &outside, &deployment, Bounds::default()).await;
    let (decided, all) = (outside.outcomes("success"), again.accepted.count() - count);
    assert!(decided * 10 >= all * 9, "{decided} of {all} were decided after the gateway came back");
    figures
}

/// A steady flow while the gateway is down for a minute.
pub(super) async fn down_for_a_minute() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let mut steady = load(&deployment, 1800);
    (steady.rate, steady.deadline_ms) = (20.0, Some(20_000));
    let seconds = steady.count as f64 / steady.rate;
    let began = Instant::now();
    let sent = sending(steady);
    pause(seconds / 6.0).await;
    outside.model(Model::Answers(503, 5));
    // The breaker opens within the first seconds.
    pause(3.0).await;
    let (calls, sent_until) = (outside.calls(), began.elapsed());
    pause(seconds * 4.0 / 6.0 - 3.0).await;
    let calls = outside.calls() - calls;
    let triggers = 20.0 * (began.elapsed() - sent_until).as_secs_f64();
    let (healed, before) = (Instant::now(), outside.outcomes("success"));
    outside.model(Model::Answers(200, 20));
    outside.healed();
    while outside.outcomes("success") == before {
        assert!(healed.elapsed() < RECOVERY, "nothing was decided within {RECOVERY:?} after the gateway came back");
        pause(0.1).await;
    }
    let recovered = healed.elapsed().as_secs_f64();
    let sent = sent.await.unwrap();
    // Two tries for each trigger until the breaker opens.
    let bounds = Bounds { extra_calls: sent.accepted.count() / 5, ..unsure(&sent) };
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    let each = calls as f64 / triggers;
    assert!(each <= 0.1, "{each:.2} calls for each trigger while the breaker should be open");
    let slowest = sent.accepted.slowest(&outside).as_secs_f64();
    assert!(slowest < 20.0, "an answer came {slowest:.1} s after its trigger was accepted, which had 20 s");
    figures.noting(format!(
        "down for {:.0} s; {calls} calls for {triggers:.0} triggers ({each:.3} each) once the breaker was open, first \
         decision {recovered:.1} s after the gateway came back; the slowest answer took {slowest:.1} s of its 20 s",
        seconds * 4.0 / 6.0
    ))
}

/// For as long as it is in trouble, every trigger has its safe answer before its deadline, at a bounded number of calls.
pub(super) async fn troubled(model: Model) -> Figures {
    let outside = Outside::start().await;
    outside.model(model);
    let settings = [("CFR__PROFILES__DEFAULT__LLM__ATTEMPT_TIMEOUT", "3s")];
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &settings).await;
    let mut load = load(&deployment, 300);
    load.deadline_ms = Some(10_000);
    let sent = load.send().await;
    let count = sent.accepted.count();
    // Two tries, and one more question after an answer that cannot be used.
    let bounds = Bounds { extra_calls: 3 * count, ..unsure(&sent) };
    let mut figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    let late = outside.late_outcomes();
    assert!(late * 50 <= count, "{late} of {count} answers left after their deadlines");
    figures.note = format!("{late} answers late");
    figures
}
