//! The pool of confirm channels. Each is checked out by one writer at a time.

use std::{sync::Arc, time::Duration};

use deadpool::{
    Runtime,
    managed::{self, Metrics, Object, RecycleError, RecycleResult},
};
use lapin::{Channel, options::ConfirmSelectOptions};

use super::{
    limit::{CALL, FAREWELL, bounded},
    session::Link,
};
use crate::queue::QueueError;

/// Opens channels on the session of the moment.
pub(super) struct Opener {
    link: Link,
}

/// A channel in confirm mode, and the session it belongs to.
pub(super) struct ConfirmChannel {
    pub(super) channel: Arc<Channel>,
    generation: u64,
}

impl managed::Manager for Opener {
    type Type = ConfirmChannel;
    type Error = QueueError;

    async fn create(&self) -> Result<ConfirmChannel, QueueError> {
        let session = self.link.now()?;
        let opened = bounded("channel.open", CALL, session.connection.create_channel()).await;
        let channel = opened.map_err(|fault| fault.into_error("a publishing channel"))?;
        bounded("confirm.select", CALL, channel.confirm_select(ConfirmSelectOptions::default()))
            .await
            .map_err(|fault| fault.into_error("a publishing channel"))?;
        Ok(ConfirmChannel { channel: Arc::new(channel), generation: session.generation })
    }

    async fn recycle(&self, open: &mut ConfirmChannel, _: &Metrics) -> RecycleResult<QueueError> {
        let session = self.link.now()?;
        if open.generation == session.generation && open.channel.status().connected() {
            return Ok(());
        }
        Err(RecycleError::message("of a session that ended"))
    }
}

/// The channels.
pub(super) type Pool = managed::Pool<Opener>;

/// A pool of at most `size` channels over `link`; who waits longer than `wait` for one is refused.
///
/// # Errors
/// `Unusable`, never in practice.
pub(super) fn pool(link: Link, size: usize, wait: Duration) -> Result<Pool, QueueError> {
    Pool::builder(Opener { link })
        .max_size(size.max(1))
        .wait_timeout(Some(wait))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| QueueError::Unusable(error.to_string()))
}

/// A channel that is checked out. Only [`Lease::done`] gives it back: dropped for whatever other reason, it may still
/// have a publish in flight, so it is closed.
pub(super) struct Lease {
    channel: Arc<Channel>,
    object: Option<Object<Opener>>,
}

impl Lease {
    pub(super) fn new(object: Object<Opener>) -> Self {
        Self { channel: Arc::clone(&object.channel), object: Some(object) }
    }

    /// The channel.
    pub(super) fn channel(&self) -> Arc<Channel> {
        Arc::clone(&self.channel)
    }

    /// Every publish was answered: the channel can take the next one.
    pub(super) fn done(mut self) {
        drop(self.object.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let open = Object::take(object);
        if open.channel.status().connected()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let _ = bounded("channel.close", FAREWELL, open.channel.close(200, "not confirmed".into())).await;
            });
        }
    }
}
