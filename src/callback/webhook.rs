//! The callback mode `webhook`: a POST of the outcome, signed by Standard Webhooks and by `X-Webhook-Signature`.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Callback, CallbackError, Config, StoredOutcome};
use crate::{metrics::Metrics, time::EpochMs};

/// Posts outcomes of one profile.
pub(super) struct Webhook {}

impl Webhook {
    pub(super) fn new(_config: &Config, _metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        unimplemented!()
    }
}

#[async_trait]
impl Callback for Webhook {
    async fn send(&self, _outcome: &StoredOutcome, _now: EpochMs) -> Result<(), CallbackError> {
        unimplemented!()
    }
}
