//! How a profile's callbacks look, for an operator to see: nothing is signed or sent.

use serde_json::Value;

use super::{Config, Mode, cognigy};
use crate::{outcome::Outcome, time::EpochMs, trigger::TriggerBody};

/// Shows the callbacks of a profile.
#[derive(Clone)]
pub struct Preview {
    mode: Mode,
    cognigy: cognigy::Config,
}

impl Preview {
    /// That of these settings.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { mode: config.mode, cognigy: config.cognigy.clone() }
    }

    /// How outcomes are posted.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The body that would be posted, where it is more than the outcome itself: what is secret or missing is replaced by
    /// words.
    #[must_use]
    pub fn wrapped(&self, trigger: &TriggerBody, outcome: &Outcome, now: EpochMs) -> Option<Value> {
        let cognigy = self.mode.is_cognigy();
        cognigy.then(|| cognigy::preview::body(self.mode, &self.cognigy, trigger, outcome, now)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::{
        outcome::{Meta, Status},
        trigger::TriggerId,
    };

    fn wrapped(mode: Mode, session: Option<&str>) -> Option<Value> {
        let body = json!({"conversationId": "c", "userId": "u-1", "lastMessage": "m", "sessionId": session,
            "urlToken": "a secret token"});
        let trigger = TriggerBody::parse(body.to_string().as_bytes()).unwrap();
        let (id, answer) = (TriggerId(uuid::Uuid::nil()), "One moment.".to_owned());
        let outcome =
            Outcome::safe(id, "c".into(), Map::new(), Status::Expired, "deadline_passed", answer, Meta::default());
        let preview = Preview { mode, cognigy: cognigy::Config::default() };
        let wrapped = preview.wrapped(&trigger, &outcome, EpochMs(5_000))?;
        let payload = wrapped["data"]["fallbackRouter"]["payload"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(payload).unwrap(), json!(outcome));
        assert!(!wrapped.to_string().contains("a secret token"));
        Some(wrapped)
    }

    #[test]
    fn only_the_modes_of_cognigy_wrap_an_outcome_and_no_token_is_shown() {
        assert_eq!(wrapped(Mode::Webhook, Some("s-1")), None);
        assert_eq!(wrapped(Mode::None, Some("s-1")), None);
        let injected = wrapped(Mode::CognigyInject, Some("s-1")).unwrap();
        assert_eq!(
            (&injected["userId"], &injected["sessionId"], &injected["text"]),
            (&json!("u-1"), &json!("s-1"), &json!(""))
        );
        assert_eq!(injected["data"]["fallbackRouter"]["ts"], 5);
        assert_eq!(injected.get("URLToken"), None);
        let notified = wrapped(Mode::CognigyNotify, None).unwrap();
        assert_eq!(notified["text"], "One moment.");
        assert!(notified["sessionId"].as_str().unwrap().starts_with('('));
        assert!(wrapped(Mode::CognigyManagement, None).unwrap().get("URLToken").is_some());
    }
}
