//! A consumer as the application sees it: what the pump hands out.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{limit::CALL, pump::Handed};
use crate::{
    metrics::{Metrics, labels::Redelivered},
    queue::{Consumer, Delivery, QueueError},
};

/// The application's end: takes what the [`Pump`] hands out.
pub(super) struct RabbitConsumer {
    pub(super) handed: mpsc::Receiver<Handed>,
    pub(super) stop: CancellationToken,
    pub(super) pump: Option<JoinHandle<()>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) _stop_on_drop: DropGuard,
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, QueueError> {
        while let Some(handed) = self.handed.recv().await {
            let delivery = handed?;
            // One that waited here over the end of its session is on its way to somebody else.
            if delivery.is_live() {
                let again = if delivery.returns > 0 { Redelivered::Yes } else { Redelivered::No };
                self.metrics.consumed.get(again).inc();
                return Ok(Some(delivery));
            }
        }
        Ok(None)
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        self.handed.close();
        while self.handed.try_recv().is_ok() {}
        if let Some(pump) = self.pump.take() {
            // Its own waits are bounded; this only guards against their sum.
            let _ = timeout(CALL, pump).await;
        }
        while self.handed.try_recv().is_ok() {}
    }
}
