//! The messages of a CXone digital case, over NiCE's documented way: OpenID discovery, a token for an access key, the
//! tenant's host, then the Digital First Omnichannel API.
//!
//! The case is named by the trigger's `contact.caseId`. The ACD's contact id is another number, and none is guessed from
//! the other: a wrong guess would be another customer's conversation.

mod access_key;
mod config;
mod message;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, StatusCode, header::ACCEPT_ENCODING};
use tokio::time::Instant;
use url::Url;

pub(super) use self::access_key::AccessKey;
pub use self::config::{Api, CxoneDigitalConfig, Read};
use self::{access_key::below, message::Messages};
use super::{
    HistoryError, HistoryProvider,
    gathering::{Gathering, MOST_PAGES, Order, Place},
    requests::{Auth, Budget, CONNECT_TIMEOUT, REQUEST_TIMEOUT, Requests},
};
use crate::{
    conversation::{Conversation, Turn},
    egress::Egress,
    http_client::{self, ClientConfig, Roots, UpstreamError},
    metrics::{
        Metrics,
        labels::{TokenProvider, Upstream},
    },
    oauth::TokenSource,
    trigger::{Contact, Trigger},
};

/// The contact that Cognigy's interaction panel and test chats name, of which CXone knows nothing.
const PLACEHOLDER: &str = "100000000000";

/// What CXone says of a token that is no longer good.
const RENEW_ON: &[StatusCode] = &[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

/// The provider.
pub(super) struct CxoneDigital {
    requests: Requests,
    access: Arc<AccessKey>,
    read: Read,
    bots: Vec<String>,
    max_turns: usize,
    /// Set when this tenant turned out to have no `messages`.
    detail_only: AtomicBool,
}

impl CxoneDigital {
    pub(super) fn new(config: &CxoneDigitalConfig, max_turns: usize, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let (client, headers) = client(config)?;
        let access = Arc::new(access_key(config, &metrics)?);
        let tokens = TokenSource::by(Arc::clone(&access) as _, TokenProvider::Cxone, Arc::clone(&metrics));
        let requests = Requests::new(client, Auth::Token(tokens), headers, RENEW_ON, Upstream::Cxone, metrics);
        let bots = config.bot_user_ids.clone();
        Ok(Self { requests, access, read: config.read, bots, max_turns, detail_only: AtomicBool::new(false) })
    }

    /// All messages of the case in one answer.
    async fn detail(&self, case: &str, budget: &mut Budget) -> Result<Conversation, UpstreamError> {
        let url = || self.url(case, "detail");
        let mut detail: Messages = self.requests.json(&url, budget, "not the detail of a case").await?;
        detail.sort();
        let mut gathering = Gathering::new(self.max_turns, Order::OldestFirst, 1);
        self.take(&mut gathering, &detail, &mut HashSet::new(), None);
        Ok(gathering.conversation())
    }

    /// The messages of the case, page by page, until there are enough.
    async fn messages(&self, case: &str, budget: &mut Budget) -> Result<Conversation, UpstreamError> {
        let mut gathering = Gathering::new(self.max_turns, Order::NewestFirst, MOST_PAGES);
        let mut known = HashSet::new();
        while let Some(place) = gathering.next() {
            let url = || {
                let mut url = self.url(case, "messages")?;
                url.query_pairs_mut().append_pair("sorting", "createdAt").append_pair("sortingType", "desc");
                if let Place::After(token) = place {
                    url.query_pairs_mut().append_pair("scrollToken", token);
                }
                Ok(url)
            };
            let page: Result<Messages, _> = self.requests.json(&url, budget, "not a page of messages").await;
            let mut page = match page {
                Ok(page) => page,
                Err(error) => {
                    gathering.fail(error)?;
                    continue;
                }
            };
            if known.is_empty() && page.begins_with_the_oldest() {
                gathering.order = Order::OldestFirst;
            }
            page.sort();
            if gathering.order == Order::NewestFirst {
                page.messages.reverse();
            }
            let next = page.scroll_token.take();
            self.take(&mut gathering, &page, &mut known, next);
        }
        Ok(gathering.conversation())
    }

    /// Takes what is new on a page. `known` holds the ids so far, also of what was no turn.
    fn take(&self, gathering: &mut Gathering, page: &Messages, known: &mut HashSet<String>, next: Option<String>) {
        let unnamed = page.messages.iter().filter(|message| message.id().is_none()).count();
        let fresh = page.messages.iter().filter(|message| message.id().is_none_or(|id| known.insert(id)));
        let fresh: Vec<_> = fresh.collect();
        if fresh.iter().any(|message| message.is_cut()) {
            gathering.incomplete();
        }
        let turns: Vec<Turn> = fresh.into_iter().filter_map(|message| message.turn(&self.bots)).collect();
        let all = page.hits.is_some_and(|hits| hits <= (known.len() + unnamed) as u64);
        gathering.take(turns, next.filter(|_| !all));
    }

    fn url(&self, case: &str, what: &str) -> Result<Url, UpstreamError> {
        // There is a token, so there was a discovery.
        let base = self.access.base().ok_or(UpstreamError::Malformed("no tenant's host"))?;
        let mut url = below(&base, "dfo/3.0/contacts");
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend([case, what]);
        }
        Ok(url)
    }
}

#[async_trait]
impl HistoryProvider for CxoneDigital {
    async fn fetch(&self, trigger: &Trigger, until: Instant) -> Result<Conversation, HistoryError> {
        let Some(case) = case(&trigger.body.contact)? else { return Ok(Conversation::default()) };
        let mut budget = Budget::new(until);
        let detail_only = self.read == Read::Detail || self.detail_only.load(Ordering::Relaxed);
        if detail_only {
            return Ok(self.detail(case, &mut budget).await?);
        }
        match self.messages(case, &mut budget).await {
            Err(error) if self.read == Read::Auto && leaves_detail(&error) => {
                let conversation = self.detail(case, &mut budget).await?;
                // The case is there, so it was the call that is not.
                if matches!(error, UpstreamError::Status { status: 404 | 405, .. }) {
                    self.detail_only.store(true, Ordering::Relaxed);
                }
                Ok(conversation)
            }
            read => Ok(read?),
        }
    }
}

/// The case to read; none for the placeholder.
fn case(contact: &Contact) -> Result<Option<&str>, HistoryError> {
    let is_placeholder = |id: &Option<String>| id.as_deref() == Some(PLACEHOLDER);
    if is_placeholder(&contact.case_id) || is_placeholder(&contact.contact_id) {
        return Ok(None);
    }
    let case = contact.case_id.as_deref().ok_or(HistoryError::Incomplete("contact.caseId"))?;
    // These would walk up the path.
    if matches!(case, "." | "..") {
        return Err(HistoryError::Incomplete("a usable contact.caseId"));
    }
    Ok(Some(case))
}

/// True when the detail of the case may be had although its messages are refused.
fn leaves_detail(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Status { status, .. } => matches!(status, 400 | 403 | 404 | 405 | 410 | 501),
        UpstreamError::Malformed(_) => true,
        _ => false,
    }
}

/// The grant, alone: for looking at each of its steps.
pub(super) fn access_key(config: &CxoneDigitalConfig, metrics: &Arc<Metrics>) -> anyhow::Result<AccessKey> {
    let (client, headers) = client(config)?;
    AccessKey::new(config, client, headers, Egress::new(&config.egress, None)?, Arc::clone(metrics))
}

fn client(config: &CxoneDigitalConfig) -> anyhow::Result<(reqwest::Client, HeaderMap)> {
    let egress = Egress::new(&config.egress, None)?;
    let settings = ClientConfig {
        connect_timeout: CONNECT_TIMEOUT,
        timeout: REQUEST_TIMEOUT,
        https_only: !config.egress.allow_http,
        roots: Roots::read(config.ca_file.as_deref())?,
    };
    let build = if config.http1_only { http_client::build_resolving_http1 } else { http_client::build_resolving };
    let mut headers = HeaderMap::new();
    if config.identity_encoding {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    Ok((build(&settings, egress.resolver())?, headers))
}
