//! A queue of which one lane's settlements are not what they are.

use std::{num::NonZeroU16, sync::Arc};

use async_trait::async_trait;
use cognigy_fallback_router::{
    message::{DeadLetter, Lane},
    queue::{
        Consumer, DeadDelivery, Delivery, Depths, Inspection, Publisher, Queue, QueueError, Settlement, notice::Notices,
    },
    time::EpochMs,
    trigger::TriggerId,
};

type Alter = Arc<dyn Fn(Delivery) -> Box<dyn Settlement> + Send + Sync>;

/// The queue.
pub(crate) struct Altered {
    queue: Arc<dyn Queue>,
    lane: Lane,
    alter: Alter,
}

struct AlteredConsumer {
    consumer: Box<dyn Consumer>,
    alter: Alter,
}

impl Altered {
    /// The same queue, whose deliveries of `lane` are settled by what `alter` makes of them.
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        lane: Lane,
        alter: impl Fn(Delivery) -> Box<dyn Settlement> + Send + Sync + 'static,
    ) -> Self {
        Self { queue, lane, alter: Arc::new(alter) }
    }
}

#[async_trait]
impl Queue for Altered {
    async fn consumer(&self, lane: Lane, slots: NonZeroU16) -> Result<Box<dyn Consumer>, QueueError> {
        let consumer = self.queue.consumer(lane, slots).await?;
        let alter = Arc::clone(&self.alter);
        Ok(if lane == self.lane { Box::new(AlteredConsumer { consumer, alter }) } else { consumer })
    }

    fn publisher(&self) -> Arc<dyn Publisher> {
        self.queue.publisher()
    }

    fn notices(&self) -> Arc<dyn Notices> {
        self.queue.notices()
    }

    fn is_connected(&self) -> bool {
        self.queue.is_connected()
    }

    async fn ready(&self) -> Result<(), QueueError> {
        self.queue.ready().await
    }

    async fn depths(&self) -> Result<Depths, QueueError> {
        self.queue.depths().await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.queue.dead_letters(limit).await
    }

    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadDelivery>, QueueError> {
        self.queue.take_dead_letters(limit).await
    }

    async fn inspect(&self) -> Result<Inspection, QueueError> {
        self.queue.inspect().await
    }

    async fn accepted_since(&self, since: EpochMs) -> Result<Vec<(TriggerId, EpochMs)>, QueueError> {
        self.queue.accepted_since(since).await
    }

    async fn close(&self) {
        self.queue.close().await;
    }
}

#[async_trait]
impl Consumer for AlteredConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, QueueError> {
        let Some(delivery) = self.consumer.next().await? else { return Ok(None) };
        let (message, returns) = (delivery.message.clone(), delivery.returns);
        Ok(Some(Delivery::new(message, returns, (self.alter)(delivery))))
    }

    async fn stop(&mut self) {
        self.consumer.stop().await;
    }
}
