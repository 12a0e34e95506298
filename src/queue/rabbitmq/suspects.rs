//! Work that came back often: perhaps it kills its worker.
//!
//! A worker that dies takes every delivery it holds back with it, and each of them counts a return: the innocent ones
//! as well. So a suspect is tried alone: no second one runs in this process, and those that come meanwhile are put
//! apart into a delay level, where nobody holds them and no crash can count against them. How often they came back
//! travels with them in a header, because the broker counts a copy from zero.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::Lane;

/// Returns from which on work is suspect.
const SUSPECT: u32 = 3;
/// How long a suspect that has to wait for another one is put apart, at random: they shall not all return at once.
const APART: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Tries suspects one at a time.
#[derive(Clone)]
pub(super) struct Suspects(Arc<Semaphore>);

/// What to do with a delivery.
pub(super) enum Verdict {
    /// Work on it; a suspect with the permit, until it is settled.
    Try(Option<OwnedSemaphorePermit>),
    /// Another suspect is being tried: put it apart for this time.
    Apart(Duration),
    /// It had its chances.
    Poison,
}

impl Default for Suspects {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
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
        match Arc::clone(&self.0).try_acquire_owned() {
            Ok(permit) => Verdict::Try(Some(permit)),
            Err(_) => Verdict::Apart(APART[usize::from(rand::random::<bool>())]),
        }
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
            Verdict::Apart(_) => "apart",
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
}
