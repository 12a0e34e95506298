//! What comes to `/inject` and `/notify`.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::{
    EndpointAnswer, MOST_KEPT, Simulated, SimulatedChannel,
    flow::{self, Input},
    session::Session,
    transformer::Taken,
};

impl Simulated {
    /// Takes what came for a session, whose time may be over: then it is another one by the same name, in which nothing
    /// was said, and which nobody reads.
    fn take(&self, channel: SimulatedChannel, taken: &Taken, bytes: Bytes) -> Result<(), StatusCode> {
        let mut data = self.lock();
        let life = data.life;
        let ended = |session: &Session| session.touched.elapsed() >= life;
        match data.sessions.get(&taken.session_id) {
            Some(session) if session.channel != channel || session.user_id != taken.user_id => {
                return Err(StatusCode::BAD_REQUEST);
            }
            Some(session) if !ended(session) && session.connected => {}
            _ => {
                let mut session = Session::new(channel, &taken.user_id, None);
                session.connected = false;
                data.sessions.insert(taken.session_id.clone(), session);
                data.unread += 1;
            }
        }
        if data.injected.len() == MOST_KEPT {
            data.injected.pop_front();
        }
        data.injected.push_back(bytes);
        Ok(())
    }

    /// The part that both routes share: the endpoint's rules, the script, the transformer, the session.
    fn arrive(&self, token: &str, bytes: Bytes) -> Result<(Taken, StatusCode), StatusCode> {
        let channel = SimulatedChannel::of_token(token).ok_or(StatusCode::NOT_FOUND)?;
        if channel.is_polled() {
            return Err(StatusCode::BAD_REQUEST);
        }
        let taken = Taken::read(&bytes)?;
        if !taken.is_genuine(&self.secrets, SystemTime::now().into()) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let script = self.lock().answers.pop_front();
        let status = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = match script {
            Some(EndpointAnswer::Refuse(refusal)) => return Err(status(refusal)),
            Some(EndpointAnswer::TakeAndSay(answer)) => status(answer),
            None => StatusCode::OK,
        };
        self.take(channel, &taken, bytes)?;
        Ok((taken, answer))
    }
}

/// A new turn of the session: the flow runs from its start.
pub(super) async fn inject(State(state): State<Arc<Simulated>>, Path(token): Path<String>, body: Bytes) -> Response {
    let (taken, answer) = match state.arrive(&token, body) {
        Ok(arrived) => arrived,
        Err(status) => return refuse(&state, status),
    };
    let input = Input { text: &taken.text, data: &taken.data };
    // A result ends its turn by itself, so there is nothing to follow.
    let _ = state.change(&taken.session_id, |session| flow::run(session, &input));
    (answer, Json(json!({}))).into_response()
}

/// Straight to the customer; no flow runs.
pub(super) async fn notify(State(state): State<Arc<Simulated>>, Path(token): Path<String>, body: Bytes) -> Response {
    let (taken, answer) = match state.arrive(&token, body) {
        Ok(arrived) => arrived,
        Err(status) => return refuse(&state, status),
    };
    state.change(&taken.session_id, |session| session.bot_says(&taken.text));
    (answer, Json(json!({}))).into_response()
}

fn refuse(state: &Simulated, status: StatusCode) -> Response {
    state.lock().refused += 1;
    (status, Json(json!({"detail": "simulated"}))).into_response()
}
