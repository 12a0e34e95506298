//! The text of an injected or notified outcome.

use super::settings::{Action, Config};
use crate::{outcome::Outcome, trigger::TriggerBody};

/// Cognigy's own limit for the text of one input, in characters.
const LONGEST: usize = 10_000;

/// What is said in the session.
pub(super) fn of(action: Action, config: &Config, trigger: Option<&TriggerBody>, outcome: &Outcome) -> String {
    match action {
        Action::Inject => injected(config, trigger, outcome),
        Action::Notify => notified(outcome),
    }
}

/// What a flow is run with: empty where it looks at the data, or an order to run an intent
/// (<https://docs.cognigy.com/ai/empower/nlu/intents/trigger-intent>).
fn injected(config: &Config, trigger: Option<&TriggerBody>, outcome: &Outcome) -> String {
    let order = trigger.and_then(|trigger| {
        let intent = target(config, trigger, outcome)?;
        let order = format!("cIntent:{intent}|");
        let room = LONGEST.saturating_sub(order.chars().count());
        let message: String = trigger.last_message.chars().take(room).collect();
        Some(order + &message)
    });
    order.unwrap_or_default()
}

/// What a customer is shown.
fn notified(outcome: &Outcome) -> String {
    let decided = outcome.routing_decision.as_ref().map(|decision| &decision.suggested_response);
    decided.or(outcome.suggested_response.as_ref()).cloned().unwrap_or_default()
}

/// Cognigy's name of the intent to be run, if that is allowed.
fn target<'a>(config: &'a Config, trigger: &'a TriggerBody, outcome: &Outcome) -> Option<&'a str> {
    let decision = outcome.routing_decision.as_ref().filter(|decision| !decision.requires_human_agent)?;
    if !config.reroute {
        return None;
    }
    let intent = decision.classified_intent.as_str();
    let same = |name: &str| name.to_lowercase() == intent.to_lowercase();
    let named = config.reroute_names.iter().find(|(name, _)| same(name)).map(|(_, name)| name);
    let candidate = || trigger.candidates.iter().map(|candidate| &candidate.name).find(|name| same(name));
    let name = named.or_else(candidate)?;
    // Such a name would end early, and what is behind it be taken for the customer's words.
    let plain = !name.trim().is_empty() && !name.contains(|c: char| c == '|' || c.is_control());
    plain.then_some(name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        decision::Decision,
        outcome::{Meta, Status},
        trigger::{Trigger, TriggerId},
    };

    fn trigger(message: &str) -> TriggerBody {
        let body = json!({
            "conversationId": "c", "userId": "u", "lastMessage": message,
            "candidates": [{"name": "Reset Password", "score": 0.2}, {"name": "Bad|Name", "score": 0.1}],
        });
        TriggerBody::parse(body.to_string().as_bytes()).unwrap()
    }

    fn outcome(intent: &str, human: bool) -> Outcome {
        let decision = Decision {
            classified_intent: intent.to_owned(),
            confidence: 0.9,
            extracted_parameters: serde_json::Map::new(),
            suggested_response: "Here is your link.".to_owned(),
            requires_human_agent: human,
        };
        let now = crate::time::EpochMs(0);
        let id = TriggerId(uuid::Uuid::nil());
        let trigger = Trigger { id, profile: "p".into(), accepted_at: now, deadline: now, body: trigger("x") };
        Outcome::decided(&trigger, serde_json::Map::new(), decision, Meta::default())
    }

    fn safe() -> Outcome {
        let (id, none) = (TriggerId(uuid::Uuid::nil()), serde_json::Map::new());
        let (status, answer) = (Status::Expired, "One moment.".to_owned());
        Outcome::safe(id, "c".into(), none, status, "deadline_passed", answer, Meta::default())
    }

    #[test]
    fn an_intent_is_run_only_if_it_was_a_candidate_or_is_named_in_the_settings_and_no_human_is_needed() {
        let off = Config::default();
        let names = [("refund".to_owned(), "Money Back".to_owned())].into();
        let on = Config { reroute: true, reroute_names: names, ..Config::default() };
        for (config, outcome, expected) in [
            (&off, outcome("Reset Password", false), ""),
            (&on, outcome("reset password", false), "cIntent:Reset Password|my link | expired"),
            (&on, outcome("Refund", false), "cIntent:Money Back|my link | expired"),
            (&on, outcome("Reset Password", true), ""),
            (&on, outcome("delete_account", false), ""),
            (&on, outcome("bad|name", false), ""),
            (&on, safe(), ""),
        ] {
            assert_eq!(injected(config, Some(&trigger("my link | expired")), &outcome), expected);
            assert_eq!(injected(config, None, &outcome), "");
        }
        let long = injected(&on, Some(&trigger(&"ä".repeat(10_000))), &outcome("refund", false));
        assert_eq!(long.chars().count(), LONGEST);
    }

    #[test]
    fn a_customer_is_shown_the_response_or_the_safe_answer() {
        assert_eq!(notified(&outcome("refund", false)), "Here is your link.");
        assert_eq!(notified(&safe()), "One moment.");
    }
}
