//! What would be posted, for an operator to see.

use serde_json::Value;

use super::{
    Config,
    body::{Body, Json, Session},
    route, text,
};
use crate::{callback::Mode, outcome::Outcome, time::EpochMs, trigger::TriggerBody};

/// The body of an outcome in one of Cognigy's modes, with words in the place of what is secret or missing.
pub(in crate::callback) fn body(
    mode: Mode,
    config: &Config,
    trigger: &TriggerBody,
    outcome: &Outcome,
    now: EpochMs,
) -> Option<Value> {
    let session_id = trigger.session_id.as_deref().unwrap_or("(the trigger names no session)");
    let session = Session { user_id: &trigger.user_id, session_id, url_token: "(the trigger's urlToken)" };
    let text = text::of(route::action(mode, config.management.action), config, Some(trigger), outcome);
    let payload = serde_json::to_string(outcome).ok()?;
    let body = Body { session, text: &text, trigger_id: outcome.trigger_id, payload: &payload };
    let token = (mode == Mode::CognigyManagement).then_some(session.url_token);
    serde_json::to_value(Json::with(&body, token, now, "(signed when it is posted)".to_owned())).ok()
}
