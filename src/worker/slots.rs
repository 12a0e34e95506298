//! The slots of a lane: how many of its deliveries are worked on at once.

use std::{num::NonZeroU16, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    message::Lane,
    metrics::{InFlight, Metrics},
};

/// One in so many: a worker takes a quarter more triggers than it decides at once, so that none of its slots waits for the
/// broker while an outcome is stored and the next trigger is on its way.
const SPARE: u16 = 4;

/// How many deliveries a worker with so many slots takes from a lane. Outside the work lane a slot is left only with the
/// delivery.
pub(super) fn taken(lane: Lane, slots: NonZeroU16) -> NonZeroU16 {
    if lane == Lane::Work { slots.saturating_add(slots.get() / SPARE) } else { slots }
}

/// The slots of one lane.
pub(super) struct SlotPool {
    lane: Lane,
    free: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A slot that is in use. Dropped, it is free.
pub(super) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
    _counted: InFlight,
}

impl SlotPool {
    pub(super) fn new(lane: Lane, slots: NonZeroU16, metrics: &Arc<Metrics>) -> Self {
        metrics.slots.get(lane).set(i64::from(slots.get()));
        Self { lane, free: Arc::new(Semaphore::new(slots.get().into())), metrics: Arc::clone(metrics) }
    }

    /// A slot, if one is free.
    pub(super) fn try_enter(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.slot(Some(permit)))
    }

    /// Waits for a free slot.
    pub(super) async fn enter(&self) -> Slot {
        // Nobody closes the semaphore.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        self.slot(permit)
    }

    fn slot(&self, permit: Option<OwnedSemaphorePermit>) -> Slot {
        Slot { _permit: permit, _counted: InFlight::count(self.metrics.in_flight.get(self.lane)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_work_lane_takes_a_quarter_more_than_it_has_slots() {
        let taken = |lane, slots| taken(lane, NonZeroU16::new(slots).unwrap()).get();
        for (slots, expected) in [(1, 1), (3, 3), (4, 5), (64, 80), (u16::MAX, u16::MAX)] {
            assert_eq!(taken(Lane::Work, slots), expected);
            assert_eq!((taken(Lane::Late, slots), taken(Lane::Outcome, slots)), (slots, slots));
        }
    }
}
