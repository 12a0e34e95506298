//! A message's headers without a broker: what the benchmarks measure.

use lapin::protocol::BasicProperties;

use super::{headers, topology};
use crate::message::{Envelope, Lane};

/// An envelope as the properties of an AMQP message.
pub struct Headers(BasicProperties);

impl Headers {
    /// The properties of a message on its way to `lane`.
    #[must_use]
    pub fn of(envelope: &Envelope, lane: Lane) -> Self {
        Self(headers::encode(envelope, lane.as_str()))
    }

    /// The envelope of a message that came from the queue of `lane`; `None` where a header is missing or ill-typed.
    #[must_use]
    pub fn envelope(&self, lane: Lane) -> Option<Envelope> {
        headers::decode(&self.0, topology::lane_queue(lane)).ok()
    }
}
