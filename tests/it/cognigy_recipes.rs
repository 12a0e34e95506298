//! The recipes for a flow with Cognigy's own nodes: what they say to fill in is what the router takes.

use std::{collections::BTreeMap, fs};

use cognigy_fallback_router::{
    config::{self, Role, Sources},
    trigger::TriggerBody,
};
use tempfile::TempDir;

const RECIPES: &str = include_str!("../../deploy/cognigy/README.md");
const FIRST_HOUR: &str = include_str!("../../deploy/docs/plug-into-cognigy.md");
const PAYLOAD: &str = include_str!("../../deploy/cognigy/trigger.json");

/// The settings in a page.
fn settings_of(page: &str) -> String {
    let (_, rest) = page.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_settings_of_the_pages_are_accepted_without_a_warning() {
    for (page, expected) in [(RECIPES, &["default", "held"][..]), (FIRST_HOUR, &["default"])] {
        let folder = TempDir::new().unwrap();
        for name in ["webhook-secret", "callback-secret", "gateway-key"] {
            fs::write(folder.path().join(name), format!("{name} of more than thirty-two bytes")).unwrap();
        }
        let file = folder.path().join("cfr.toml");
        let settings = settings_of(page).replace("/etc/cfr", folder.path().to_str().unwrap());
        fs::write(&file, settings).unwrap();
        let gateway = [("LLM_GATEWAY_BASE_URL", "https://gateway.example.com"), ("LLM_GATEWAY_API_KEY", "key")];
        let environment: BTreeMap<_, _> =
            gateway.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let loaded = config::load(&Sources { file: Some(file), environment }, Role::Serve).unwrap();
        assert_eq!(loaded.config.profiles.keys().collect::<Vec<_>>(), expected);
        let doubtful: Vec<_> = loaded.warnings.iter().filter(|warning| !warning.contains("api-key")).collect();
        assert!(doubtful.is_empty(), "{doubtful:#?}");
    }
}

/// Nobody shall believe that these steps were clicked through in Cognigy.
#[test]
fn every_page_about_cognigy_says_what_was_not_tried_in_a_live_tenant() {
    let extension = include_str!("../../deploy/cognigy-extension/README.md");
    let readme = include_str!("../../README.md");
    for (page, sentence) in [
        (RECIPES, "None of this was tried in a live tenant"),
        (FIRST_HOUR, "None of the steps in Cognigy was tried in a live tenant"),
        (extension, "not in a live\ntenant"),
        (readme, "Not tried against a live Cognigy or CXone tenant"),
    ] {
        assert!(page.contains(sentence), "{sentence}");
    }
    let open = RECIPES.split_once("## What was not tried").unwrap().1;
    assert!(open.matches("\n* ").count() >= 5, "{open}");
}

#[test]
fn the_payload_of_the_recipes_is_a_trigger() {
    let input = [
        ("sessionId", "2c44d1d3-98a4-469e-91c4-186298e22e5b"),
        ("userId", "user-42"),
        ("text", "my reset thing is dead"),
        ("URLToken", "4e5ec17"),
        ("channel", "webchat3"),
        ("endpointType", "webchat3"),
        ("inputId", "20ec9ed0-6f8e-4bfa-82fb-28f58be57035"),
        ("language", "en-US"),
        ("flowName", "Main"),
    ];
    // A channel without one of these leaves the expression empty.
    for absent in [None, Some("URLToken"), Some("channel"), Some("endpointType"), Some("inputId"), Some("language")] {
        let mut body = PAYLOAD.to_owned();
        for (name, value) in input {
            let value = if absent == Some(name) { "" } else { value };
            body = body.replace(&format!("{{{{input.{name}}}}}"), value);
        }
        assert!(!body.contains("{{"), "{body}");
        let trigger = TriggerBody::parse(body.as_bytes()).unwrap();
        assert_eq!(trigger.last_message, "my reset thing is dead");
        assert_eq!(trigger.input_id.is_none(), absent == Some("inputId"));
        assert_eq!(trigger.url_token.is_none(), absent == Some("URLToken"));
    }
}
