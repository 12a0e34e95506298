//! The flow that the simulated sessions run: what a customer of ours would build, with the If node for results on top, a
//! few intents, and the router for everything else.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::session::Session;

/// Triggers whose results a session remembers, as `deploy/cognigy/receive.code.js` does.
const MOST_SEEN: usize = 20;

/// What the bot understands by itself: a word of the customer's, the intent, its answer.
const INTENTS: [(&str, &str, &str); 3] = [
    ("hello", "greeting", "Hello! I am the assistant. How can I help?"),
    ("open", "opening_hours", "We are open from 9 to 17, Monday to Friday."),
    ("thank", "thanks", "You are welcome."),
];

/// What a flow is run with.
pub(super) struct Input<'a> {
    pub(super) text: &'a str,
    pub(super) data: &'a Value,
}

/// What is left to do after the flow's first nodes.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// The turn is over.
    Done,
    /// The message was not understood: the node that routes it.
    Route,
    /// An earlier message is still with the router: its result is asked for.
    Poll(String),
}

/// Runs the flow up to where it has to wait for somebody.
pub(super) fn run(session: &mut Session, input: &Input<'_>) -> Plan {
    session.turns += 1;
    if let Some(result) = input.data.get("fallbackRouter") {
        let outcome = result["payload"].as_str().and_then(|payload| serde_json::from_str(payload).ok());
        receive(session, &outcome.unwrap_or(Value::Null), Some(input.text));
        return Plan::Done;
    }
    if let Some(id) = session.pending.clone().filter(|_| session.channel.is_polled()) {
        return Plan::Poll(id);
    }
    let said = input.text.to_lowercase();
    let intent = INTENTS.iter().find(|(word, ..)| said.contains(word));
    match intent {
        Some((.., answer)) => {
            session.bot_says(answer);
            Plan::Done
        }
        None => Plan::Route,
    }
}

/// The node that receives results, from an injection (with its text) or from a held or polled request: a result is shown
/// once, however often it comes.
pub(super) fn receive(session: &mut Session, outcome: &Value, injected_text: Option<&str>) {
    let id = outcome["triggerId"].as_str().unwrap_or_default();
    if id.is_empty() || outcome["status"] == "superseded" || session.seen.iter().any(|seen| seen == id) {
        return;
    }
    remember(&mut session.seen, id);
    if session.pending.as_deref() == Some(id) {
        session.pending = None;
    }
    let decision = &outcome["routing_decision"];
    let human = outcome["status"] != "success" || decision["requires_human_agent"] != json!(false);
    let forced = injected_text.and_then(|text| text.strip_prefix("cIntent:"));
    if let (false, Some(forced)) = (human, forced) {
        let name = forced.split('|').next().unwrap_or_default();
        let answer = INTENTS.iter().find(|(_, intent, _)| *intent == name).map(|(.., answer)| (*answer).to_owned());
        session.bot_says(&answer.unwrap_or_else(|| format!("(the flow's own answer to {name})")));
        return;
    }
    let answer = decision["suggested_response"].as_str().or(outcome["suggested_response"].as_str());
    session.bot_says(answer.unwrap_or_default());
    session.handed_over |= human;
}

fn remember(seen: &mut VecDeque<String>, id: &str) {
    if seen.len() == MOST_SEEN {
        seen.pop_front();
    }
    seen.push_back(id.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulators::{Line, SimulatedChannel, Speaker};

    fn session() -> Session {
        Session::new(SimulatedChannel::Webchat, "u", None)
    }

    fn said(session: &Session) -> Vec<&str> {
        session.lines.iter().map(|Line { speaker, text }| if *speaker == Speaker::Bot { &**text } else { "" }).collect()
    }

    fn success(id: &str) -> Value {
        json!({"status": "success", "triggerId": id,
               "routing_decision": {"suggested_response": "the answer", "requires_human_agent": false}})
    }

    #[test]
    fn a_result_is_shown_once_and_runs_no_other_node() {
        let mut session = session();
        session.pending = Some("t1".to_owned());
        let data = json!({"fallbackRouter": {"payload": success("t1").to_string()}});
        for _ in 0..2 {
            assert_eq!(run(&mut session, &Input { text: "", data: &data }), Plan::Done);
        }
        assert_eq!((said(&session), session.turns, session.handed_over), (vec!["the answer"], 2, false));
        assert_eq!(session.pending, None);
    }

    #[test]
    fn what_needs_a_human_is_handed_over_and_what_was_superseded_is_not_shown() {
        let mut safe = session();
        let outcome = json!({"status": "llm_unavailable", "triggerId": "t1", "suggested_response": "a specialist"});
        receive(&mut safe, &outcome, Some("cIntent:greeting|x"));
        assert_eq!((said(&safe), safe.handed_over), (vec!["a specialist"], true));
        let mut superseded = session();
        receive(&mut superseded, &json!({"status": "superseded", "triggerId": "t1", "suggested_response": "s"}), None);
        receive(&mut superseded, &json!({"garbage": 1}), None);
        assert!(said(&superseded).is_empty());
    }

    #[test]
    fn a_forced_intent_runs_its_own_nodes() {
        let mut session = session();
        receive(&mut session, &success("t1"), Some("cIntent:opening_hours|when do you open"));
        assert_eq!(said(&session), ["We are open from 9 to 17, Monday to Friday."]);
    }

    #[test]
    fn what_is_understood_is_answered_and_what_is_not_is_routed() {
        let mut session = session();
        assert_eq!(run(&mut session, &Input { text: "Hello there", data: &json!({}) }), Plan::Done);
        assert_eq!(run(&mut session, &Input { text: "my thing is dead", data: &json!({}) }), Plan::Route);
        assert_eq!(said(&session).len(), 1);
    }
}
