//! What a trigger must tell, so that its outcome can be posted: asked before it is accepted, because afterwards nobody
//! could be told.

use super::{Config, cognigy};
use crate::trigger::{Problem, TriggerBody};

/// What the callback of a profile needs from its triggers.
#[derive(Clone, Debug, Default)]
pub struct Demands(Option<cognigy::Config>);

impl Demands {
    /// Those of a callback.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self(config.mode.is_cognigy().then(|| config.cognigy.clone()))
    }

    /// What is missing, or impossible.
    #[must_use]
    pub fn problems(&self, body: &TriggerBody) -> Vec<Problem> {
        let Some(cognigy) = &self.0 else { return Vec::new() };
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: &'static str| {
            problems.push(Problem { pointer: pointer.to_owned(), message: message.into() });
        };
        if body.session_id.is_none() {
            problem("/sessionId", "is required: the answer is posted into this session");
        }
        match body.url_token.as_deref() {
            None => problem("/urlToken", "is required: the answer is posted to this endpoint"),
            // In a path these are not names but directions.
            Some("." | "..") => problem("/urlToken", "is not the token of an endpoint"),
            Some(_) => {}
        }
        if body.endpoint_type.as_deref().is_some_and(|endpoint| !cognigy.takes(endpoint)) {
            problem(
                "/endpointType",
                "is one into whose sessions nothing can be posted; use a profile with callback.mode \"none\" and wait \
                 for the outcome (Prefer: wait), or ask for it (GET /v1/triggers)",
            );
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pointers(demands: &Demands, fields: &Value) -> Vec<String> {
        let mut body = json!({"conversationId": "c", "userId": "u", "lastMessage": "m"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let body = TriggerBody::parse(body.to_string().as_bytes()).unwrap();
        demands.problems(&body).into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn a_session_needs_its_ids_and_an_endpoint_that_can_be_posted_to() {
        let cognigy = cognigy::Config { no_inject: vec!["niceCXOne".to_owned()], ..cognigy::Config::default() };
        let demands = Demands(Some(cognigy));
        let whole = json!({"sessionId": "s", "urlToken": "t", "endpointType": "webchat3"});
        for (change, expected) in [
            (json!({}), &[][..]),
            (json!({"endpointType": null}), &[]),
            (json!({"endpointType": "NICECXONE"}), &["/endpointType"]),
            (json!({"sessionId": null, "urlToken": " "}), &["/sessionId", "/urlToken"]),
            (json!({"urlToken": ".."}), &["/urlToken"]),
        ] {
            let mut fields = whole.clone();
            fields.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            assert_eq!(pointers(&demands, &fields), expected, "{change}");
        }
        assert!(pointers(&Demands::default(), &json!({"endpointType": "niceCXOne"})).is_empty());
    }
}
