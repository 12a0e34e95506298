//! Work that is finished even when nobody waits for it any more.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// A future that goes on in a task of its own when it is dropped before its end. Until then it costs no task.
pub(super) struct ToTheEnd<F: Future + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future + Send + 'static> ToTheEnd<F> {
    pub(super) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F: Future + Send + 'static> Future for ToTheEnd<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out while it is polled: what panics must not be polled again when this is dropped.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let poll = work.as_mut().poll(context);
        if poll.is_pending() {
            self.0 = Some(work);
        }
        poll
    }
}

impl<F: Future + Send + 'static> Drop for ToTheEnd<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { _ = work.await });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[tokio::test]
    async fn what_is_dropped_before_its_end_is_finished_all_the_same() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, mut finished) = mpsc::channel(1);
        let work = ToTheEnd::new(async move {
            let _ = gone.await;
            done.send(7).await
        });
        drop(work);
        assert!(finished.try_recv().is_err());
        let _ = go.send(());
        assert_eq!(finished.recv().await, Some(7));
    }

    #[tokio::test]
    async fn what_has_ended_or_panicked_is_not_begun_again() {
        assert_eq!(ToTheEnd::new(async { 7 }).await, 7);
        let (alive, mut dropped) = oneshot::channel::<()>();
        let mut work = Box::pin(ToTheEnd::new(async move {
            let _alive = alive;
            panic!("for the test");
        }));
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            work.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
        }));
        assert!(polled.is_err());
        assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
