//! Where a body goes, and in which form: the endpoint's own routes, or the management API's.

use url::Url;

use super::{
    body::{Body, Json},
    settings::Action,
};
use crate::{callback::Mode, signature::Signer, time::EpochMs};

/// The way into the sessions of one profile.
pub(super) struct Route {
    base: Url,
    /// What is done with outcomes.
    action: Action,
    managed: bool,
}

impl Route {
    pub(super) fn new(mode: Mode, managed_action: Action, base: Url) -> Self {
        Self { base, action: action(mode, managed_action), managed: mode == Mode::CognigyManagement }
    }

    pub(super) fn action(&self) -> Action {
        self.action
    }

    /// The URL of an action; the endpoint's own holds the token, which is its only secret. `None` for a base without a
    /// path, which the settings refuse.
    pub(super) fn url(&self, action: Action, url_token: &str) -> Option<Url> {
        let action = match action {
            Action::Inject => "inject",
            Action::Notify => "notify",
        };
        let mut url = self.base.clone();
        url.set_query(None);
        let mut path = url.path_segments_mut().ok()?;
        path.pop_if_empty();
        if self.managed {
            path.extend(["new", "v2.0", "endpoint", action]);
        } else {
            // `push` escapes what would end the segment; dots alone it would leave out.
            path.push(action).push(url_token);
        }
        drop(path);
        Some(url)
    }

    /// The body's JSON, signed as of `now`.
    pub(super) fn json(&self, body: &Body<'_>, signer: &Signer, now: EpochMs) -> Option<Vec<u8>> {
        let token = self.managed.then_some(body.session.url_token);
        serde_json::to_vec(&Json::signed(body, token, signer, now)).ok()
    }
}

/// What a mode does with outcomes.
pub(super) fn action(mode: Mode, managed_action: Action) -> Action {
    match mode {
        Mode::CognigyNotify => Action::Notify,
        Mode::CognigyManagement => managed_action,
        _ => Action::Inject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_its_url_below_the_base_and_a_token_cannot_leave_its_segment() {
        for (mode, base, token, expected) in [
            (Mode::CognigyInject, "https://endpoint.example.com", "4e5e", "https://endpoint.example.com/inject/4e5e"),
            (Mode::CognigyNotify, "https://endpoint.example.com/", "4e5e", "https://endpoint.example.com/notify/4e5e"),
            (
                Mode::CognigyInject,
                "https://e.example.com/base/",
                "a/../b?c#d",
                "https://e.example.com/base/inject/a%2F..%2Fb%3Fc%23d",
            ),
            (
                Mode::CognigyManagement,
                "https://api.example.com",
                "4e5e",
                "https://api.example.com/new/v2.0/endpoint/notify",
            ),
        ] {
            let route = Route::new(mode, Action::Notify, base.parse().unwrap());
            assert_eq!(route.url(route.action(), token).unwrap().as_str(), expected);
        }
    }
}
