//! Messages that cannot be read, and messages that kill who reads them.

use std::time::Duration;

use lapin::types::FieldTable;

use super::{SLOTS, load, pause, sending};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::{KILLER, Model, Outside},
    processes::{Deployment, On},
    raw::Raw,
};

/// Until everything is answered beside a poison, on a machine that is busy with much else.
const ANSWERED: Duration = Duration::from_secs(420);

/// Published past the ingress. Whose ids can be read gets the safe answer; the others wait for an operator.
pub(super) async fn unreadable() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 500));
    let raw = Raw::open(&deployment).await;
    let deep = format!("{{\"conversationId\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 6] = [
        b"{\"conversationId\": ",
        &vec![b'x'; 10_000_000],
        deep.as_bytes(),
        b"{\"conversationId\":\"a\0b\",\"userId\":\"u\",\"lastMessage\":\"\\u0000\"}",
        b"[1, 2, 3]",
        b"\xff\xfe\0\0",
    ];
    let bad = crate::ledger::Accepted::default();
    for body in bodies {
        bad.add(raw.body("fr.in", "work", body).await);
    }
    raw.message("fr.in", "work", FieldTable::default(), b"{}").await;
    raw.message("fr.in", "outcome", FieldTable::default(), b"{}").await;
    // An outcome that is none: nobody could be told what it is.
    let none = raw.body("fr.in", "outcome", b"{\"status\": 7}").await;
    let sent = sent.await.unwrap();
    let good = sent.accepted.count();
    sent.accepted.join(&bad);
    sent.accepted.add(none);
    let bounds = Bounds { dead: 3, ..super::unsure(&sent) };
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    assert_eq!(outside.outcomes("internal_error"), bodies.len(), "safe answers for what could not be read");
    assert!(outside.outcomes("success") >= good, "innocent triggers were not decided");
    figures.noting("6 bad bodies answered safely; 2 without headers and 1 false outcome are dead letters")
}

/// One trigger kills each worker that asks the model about it. It ends with a human, and all others are decided. There is
/// one worker, so that the same triggers are beside it again and again, and none of them is answered before it dies.
pub(super) async fn kills_its_worker(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 300));
    let mut killers = outside.killers();
    let mut deployment = Deployment::start(on, &outside, 1, &[("CFR__WORKER__SLOTS__WORK", "16")]).await;
    let mut load = load(&deployment, 1000);
    load.special = Some((10, KILLER));
    let count = load.count;
    let sent = sending(load);
    let mut kills = 0;
    // Whichever answer it is: who got which is looked at afterwards.
    let all = async {
        while outside.acknowledged().len() < count {
            pause(0.2).await;
        }
        pause(1.0).await;
    };
    let all = tokio::time::timeout(ANSWERED, all);
    tokio::pin!(all);
    loop {
        tokio::select! {
            answered = &mut all => {
                let answers = outside.acknowledged().len();
                assert!(answered.is_ok(), "{answers} of {count} are answered after {ANSWERED:?}");
                break;
            }
            number = killers.recv() => {
                deployment.renew_worker(number.unwrap());
                outside.healed();
                kills += 1;
            }
        }
    }
    let sent = sent.await.unwrap();
    let most = kills * (16 + SLOTS) + sent.unsure();
    let figures = settle(&sent.accepted, &outside, &deployment, Bounds::repeats(most)).await;
    let safe = figures.statuses.get("internal_error").copied().unwrap_or_default();
    assert_eq!(safe, 1, "triggers besides the poison were not decided");
    assert!(kills <= 9, "it killed {kills} workers");
    figures.noting(format!("{kills} workers killed; 1 poison, all others decided"))
}
