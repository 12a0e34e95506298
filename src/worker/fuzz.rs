//! Doors for `tests/fuzz`: only there is this compiled.

use super::record::Record;

/// Reads the body of a message in the outcome lane.
///
/// # Panics
/// When a stored outcome does not keep its bytes.
pub fn read_record(body: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record<'_>>(body) else { return };
    let Ok(written) = serde_json::to_vec(&record) else { return };
    let again = serde_json::from_slice::<Record<'_>>(&written).map(|again| again.outcome.get().to_owned());
    assert_eq!(again.ok().as_deref(), Some(record.outcome.get()));
}
