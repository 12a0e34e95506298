//! Telling a customer who waits that it takes a while: at most once, and never after the outcome.

use std::{panic::AssertUnwindSafe, pin::pin, time::SystemTime};

use futures_util::{FutureExt, future::join};

use super::Profile;
use crate::{callback::Callback, time::EpochMs, trigger::Trigger};

/// Waits for `deciding`. If it takes longer than the callback has patience, the customer is told, and the decision is
/// handed on only when that ended one way or the other: a request under way could otherwise be shown after the outcome.
/// `first` is false for a trigger whose customer may have been told before.
pub(super) async fn while_deciding<T>(
    profile: &Profile,
    trigger: &Trigger,
    first: bool,
    deciding: impl Future<Output = T>,
) -> T {
    let callback = profile.callback.as_deref().filter(|_| first);
    let Some((callback, patience)) = callback.and_then(|callback| Some((callback, callback.patience()?))) else {
        return deciding.await;
    };
    let mut deciding = pin!(deciding);
    let due = trigger.accepted_at.plus(patience).since(SystemTime::now().into());
    tokio::select! {
        biased;
        decided = &mut deciding => return decided,
        () = tokio::time::sleep(due) => {}
    }
    join(deciding, tell(callback, trigger)).await.0
}

async fn tell(callback: &dyn Callback, trigger: &Trigger) {
    let telling = callback.still_thinking(trigger, EpochMs::from(SystemTime::now()));
    let told = AssertUnwindSafe(telling).catch_unwind().await;
    let error = match told {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "a panic".to_owned(),
    };
    tracing::info!(event = "thinking_not_told", trigger_id = %trigger.id, error, "a customer waits without a word");
}
