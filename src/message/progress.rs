//! What is told of a trigger while requests may be held open for its outcome: the body of a notice.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::trigger::TriggerId;

/// How far a trigger is. Holds the outcome's bytes exactly, so it is never printed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress<'a> {
    /// Which trigger.
    pub trigger_id: TriggerId,
    /// Its profile: nobody but the holder of this one's secret is told.
    #[serde(borrow)]
    pub profile: Cow<'a, str>,
    /// The stored outcome; `None` while a worker decides.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_keeps_its_bytes_and_another_version_may_say_more() {
        let outcome = r#"{"status":"success", "metadata":{"b":1.50,"a":"é"}}"#;
        let raw: Box<RawValue> = serde_json::from_str(outcome).unwrap();
        let trigger_id = TriggerId(uuid::Uuid::from_u128(7));
        let progress = Progress { trigger_id, profile: "sales".into(), outcome: Some(&raw) };
        let json = serde_json::to_string(&progress).unwrap();
        let read: Progress<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!((read.trigger_id, read.profile.as_ref()), (trigger_id, "sales"));
        assert_eq!(read.outcome.map(RawValue::get), Some(outcome));
        let later = json.replacen('{', "{\"news\":1,", 1);
        assert!(serde_json::from_str::<Progress<'_>>(&later).is_ok());
    }
}
