//! SQLite's failures in the queue's words. Only codes are told, never SQLite's text: it may quote what it choked on.

use std::time::Duration;

use rusqlite::ErrorCode;

use crate::queue::QueueError;

/// Where in a batch SQLite failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before `COMMIT`: the rollback makes it certain that nothing was stored.
    Before,
    /// In `COMMIT`: the frames may have reached the log although the call failed.
    Commit,
}

const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(5);

/// The queue's word for a failed batch.
pub(super) fn explain(error: &rusqlite::Error, moment: Moment) -> QueueError {
    let refused = |reason, after| QueueError::Refused { reason, retry_after: Some(after) };
    match (error.sqlite_error_code(), moment) {
        (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _) => QueueError::Unusable(DAMAGED.into()),
        // The commit frame is written last, so a full disk leaves none: certain at either moment.
        (Some(ErrorCode::DiskFull), _) => refused("disk full", LATER),
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), Moment::Before) => refused("blocked", SOON),
        (Some(ErrorCode::ReadOnly), Moment::Before) => refused("file is read-only", LATER),
        (_, Moment::Before) => refused("storage failed", LATER),
        (code, Moment::Commit) => QueueError::Unknown(format!("commit failed: {}", name(code))),
    }
}

/// What an operator does about a damaged file.
pub(super) const DAMAGED: &str = "its file is damaged; stop every process that uses it, move `queue.sqlite3*` away \
    (`sqlite3 queue.sqlite3 .recover` saves what can be read) and start again";

/// A short name of SQLite's code.
pub(super) fn name(code: Option<ErrorCode>) -> String {
    code.map_or_else(|| "not from SQLite".into(), |code| format!("{code:?}"))
}

#[cfg(test)]
mod tests {
    use rusqlite::{Error, ffi};

    use super::*;

    #[test]
    fn only_a_failed_commit_leaves_open_whether_it_is_stored() {
        let told = |code, moment| explain(&Error::SqliteFailure(ffi::Error::new(code), None), moment);
        for (code, moment, unknown) in [
            (ffi::SQLITE_FULL, Moment::Before, false),
            (ffi::SQLITE_FULL, Moment::Commit, false),
            (ffi::SQLITE_BUSY, Moment::Before, false),
            (ffi::SQLITE_IOERR, Moment::Before, false),
            (ffi::SQLITE_IOERR_FSYNC, Moment::Commit, true),
            (ffi::SQLITE_BUSY, Moment::Commit, true),
        ] {
            let error = told(code, moment);
            assert_eq!(matches!(error, QueueError::Unknown(_)), unknown, "{code} {moment:?}: {error}");
            assert_eq!(matches!(error, QueueError::Refused { .. }), !unknown, "{code} {moment:?}: {error}");
        }
        assert!(matches!(told(ffi::SQLITE_CORRUPT, Moment::Before), QueueError::Unusable(_)));
    }
}
