//! The provider `http` and an API of another shape: the simulated archive.

use std::sync::Arc;

use cognigy_fallback_router::{
    conversation::{Conversation, Role},
    history::{self, AuthKind, Config, HistoryError, Provider, Speaker},
    metrics::Metrics,
    secret::Secret,
    simulators::{ARCHIVE_KEY, Simulators},
};
use http::StatusCode;
use tokio::time::Instant;

use crate::support::history::{AMPLE, config, loopback, said, status, trigger};

/// The settings that read the archive, its next page by a cursor or by a URL.
fn archive(simulators: &Simulators, by_cursor: bool) -> Config {
    let mut config = config(Provider::Http);
    let http = &mut config.http;
    http.url = Some(format!("{}/archive/conversations/{{conversationId}}/entries", simulators.cxone.url()));
    (http.auth, http.api_key) = (AuthKind::Header, Some(Secret::new(ARCHIVE_KEY)));
    http.api_key_header = "X-API-Key".to_owned();
    http.items = "/result/entries".to_owned();
    http.text = vec!["/content/plain".to_owned()];
    http.role = "/author/kind".to_owned();
    http.roles = [("virtual".to_owned(), Speaker::Assistant), ("employee".to_owned(), Speaker::Agent)].into();
    http.time = "/at".to_owned();
    http.next = if by_cursor { "/paging/cursor" } else { "/paging/next" }.to_owned();
    http.next_parameter = by_cursor.then(|| "cursor".to_owned());
    http.max_pages = 10;
    http.egress = loopback(&[]);
    config
}

async fn fetch(config: &Config) -> Result<Conversation, HistoryError> {
    let provider = history::connect(config, &Arc::new(Metrics::new("test").unwrap())).unwrap();
    provider.fetch(&trigger("mine"), Instant::now() + AMPLE).await
}

#[tokio::test]
async fn an_archive_is_read_by_pointers_page_after_page() {
    let simulators = Simulators::start().await.unwrap();
    let turns = [("user-1", "a"), ("bot-1", "b"), ("user-1", "c"), ("agent-1", "d"), ("user-1", "e")];
    simulators.cxone.set_conversation("mine", &turns);
    for by_cursor in [true, false] {
        let before = simulators.cxone.pages_given();
        let conversation = fetch(&archive(&simulators, by_cursor)).await.unwrap();
        let expected =
            [(Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c"), (Role::Agent, "d"), (Role::User, "e")];
        assert_eq!(said(&conversation), expected);
        assert_eq!(conversation.turns[0].timestamp.as_deref(), Some("2026-01-15T10:00:00.000Z"));
        assert_eq!((simulators.cxone.pages_given() - before, conversation.partial), (2, false));
    }
}

#[tokio::test]
async fn an_archive_that_refuses_gives_nothing() {
    let simulators = Simulators::start().await.unwrap();
    let mut stranger = archive(&simulators, true);
    stranger.http.api_key = Some(Secret::new("guessed"));
    assert_eq!(fetch(&stranger).await, Err(status(401)));
    simulators.cxone.set_outage(Some(StatusCode::FORBIDDEN));
    assert_eq!(fetch(&archive(&simulators, true)).await, Err(status(403)));
}
