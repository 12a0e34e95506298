//! Work that came back often: perhaps it kills its worker.
//!
//! A worker that dies takes every delivery it holds back with it, and each of them counts a return: the innocent ones
//! as well. So a suspect is tried alone: no second one runs in this process, and those that come meanwhile are put
//! apart into a delay level, where nobody holds them and no crash can count against them. How often they came back
//! travels with them in a header, because the broker counts a copy from zero. It is tried only when the others are apart:
//! one that kills at once would take them back before the broker has confirmed their copies.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use crate::message::Lane;

/// Returns from which on work is suspect.
const SUSPECT: u32 = 3;
/// How long a suspect that has to wait for another one is put apart, at random: they shall not all return at once.
const APART: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Before a suspect is tried: what the broker has sent beside it is looked at, and put apart where it is suspect, too.
const LOOKING: Duration = Duration::from_millis(300);
/// How long is waited for that, whatever the broker does.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries suspects one at a time.
#[derive(Clone)]
pub(super) struct Suspects {
    alone: Arc<Semaphore>,
    /// How many are being put apart.
    leaving: watch::Sender<usize>,
}

/// One that is being put apart, until it is dropped.
pub(super) struct Leaving(watch::Sender<usize>);

/// What to do with a delivery.
pub(super) enum Verdict {
    /// Work on it; a suspect with the permit, until it is settled.
    Try(Option<OwnedSemaphorePermit>),
    /// Another suspect is being tried: put it apart for this time.
    Apart(Duration, Leaving),
    /// It had its chances.
    Poison,
}

impl Default for Suspects {
    fn default() -> Self {
        Self { alone: Arc::new(Semaphore::new(1)), leaving: watch::Sender::new(0) }
    }
}

impl Suspects {
    /// Judges a delivery of `lane` that came back so often. Only work is ever suspect: the other lanes ask no model and
    /// render nothing, and their own limits are far away.
    pub(super) fn judge(&self, lane: Lane, returns: u32) -> Verdict {
        if lane != Lane::Work || returns < SUSPECT {
            return Verdict::Try(None);
        }
        if returns > lane.delivery_limit() {
            return Verdict::Poison;
        }
        match Arc::clone(&self.alone).try_acquire_owned() {
            Ok(permit) => Verdict::Try(Some(permit)),
            Err(_) => Verdict::Apart(APART[usize::from(rand::random::<bool>())], self.leave()),
        }
    }

    fn leave(&self) -> Leaving {
        self.leaving.send_modify(|leaving| *leaving += 1);
        Leaving(self.leaving.clone())
    }

    /// Waits until the other suspects that came with the one that is to be tried are apart.
    pub(super) async fn are_apart(&self) {
        sleep(LOOKING).await;
        let mut leaving = self.leaving.subscribe();
        // Without an end to it this one would be held for ever.
        let _ = timeout(PATIENCE, leaving.wait_for(|leaving| *leaving == 0)).await;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.send_modify(|leaving| *leaving -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_tried_while_no_other_one_is_and_not_for_ever() {
        let suspects = Suspects::default();
        let word = |verdict: &Verdict| match verdict {
            Verdict::Try(None) => "try",
            Verdict::Try(Some(_)) => "alone",
            Verdict::Apart(..) => "apart",
            Verdict::Poison => "poison",
        };
        let judged = |lane, returns| word(&suspects.judge(lane, returns));
        assert_eq!(judged(Lane::Work, 2), "try");
        assert_eq!(judged(Lane::Outcome, 40), "try");
        let held = suspects.judge(Lane::Work, 3);
        assert_eq!(word(&held), "alone");
        assert_eq!([2, 3, 8, 9].map(|returns| judged(Lane::Work, returns)), ["try", "apart", "apart", "poison"]);
        drop(held);
        assert_eq!(judged(Lane::Work, 8), "alone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_is_tried_when_those_that_came_with_it_are_apart_and_not_for_ever_later() {
        let waited = async |suspects: &Suspects| {
            let began = tokio::time::Instant::now();
            suspects.are_apart().await;
            began.elapsed()
        };
        let suspects = Suspects::default();
        let _alone = suspects.judge(Lane::Work, 3);
        assert_eq!(waited(&suspects).await, LOOKING, "nothing came with it");
        let other = suspects.judge(Lane::Work, 3);
        let leaves = async {
            sleep(Duration::from_secs(2)).await;
            drop(other);
        };
        assert_eq!(tokio::join!(waited(&suspects), leaves).0, Duration::from_secs(2));
        let _never = suspects.judge(Lane::Work, 3);
        assert_eq!(waited(&suspects).await, LOOKING + PATIENCE);
    }
}
