//! A limit around every call of the client: lapin's futures may wait for ever on a blocked or frozen connection.

use std::{fmt, time::Duration};

use lapin::{
    Channel, Consumer, ErrorKind,
    options::BasicConsumeOptions,
    types::{FieldTable, ShortString},
};

use tokio::runtime::Handle;

use crate::queue::QueueError;

/// Limit of a call that the broker answers at once when it is well.
pub(super) const CALL: Duration = Duration::from_secs(5);
/// Limit of a farewell, to a broker that may be gone.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// Why a call to the broker did not succeed.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer came in time.
    Late(&'static str),
    /// The broker or the client refused.
    Refused(lapin::Error),
}

impl Fault {
    /// The AMQP reply code, if the broker gave one.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => Some(error.get_id()),
                _ => None,
            },
            Self::Late(_) => None,
        }
    }

    /// True when there is no such queue or exchange.
    pub(super) fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    /// The error for the application when nothing was published: either it heals, or an operator must act.
    pub(super) fn into_error(self, place: &str) -> QueueError {
        let text = format!("{place}: {self}");
        // 403 access refused, 406 declared with other arguments, 530 no such virtual host.
        match self.code() {
            Some(403 | 406 | 530) => QueueError::Unusable(text),
            _ => QueueError::Unreachable(text),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(what) => write!(f, "no answer in time to {what}"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

/// Waits for `call` no longer than `limit`; `what` names it in the error.
pub(super) async fn bounded<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Fault::Refused(error)),
        Err(_) => Err(Fault::Late(what)),
    }
}

/// Begins to consume. Where that fails the channel is closed: lapin keeps a consumer whose answer comes too late for us,
/// and its channel with it, and what the broker hands to that one nobody would ever see. (So it was after a cluster had
/// lost its majority: it answers once it has one again.)
pub(super) async fn consume(
    channel: &Channel,
    queue: ShortString,
    tag: ShortString,
    options: BasicConsumeOptions,
) -> Result<Consumer, Fault> {
    let mut unused = Unused(Some(channel.clone()));
    let consuming = channel.basic_consume(queue, tag, options, FieldTable::default());
    let begun = bounded("basic.consume", CALL, consuming).await?;
    unused.0 = None;
    Ok(begun)
}

/// A channel that is closed when it is dropped: also when nobody waits for the consumer any more, as at a stop.
struct Unused(Option<Channel>);

impl Drop for Unused {
    fn drop(&mut self) {
        let (Some(channel), Ok(runtime)) = (self.0.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            let _ = bounded("channel.close", FAREWELL, channel.close(200, "not needed any more".into())).await;
        });
    }
}
