//! The operators' page: who may see and do what, and that nothing on it is more than text.

mod access;
mod audit;
mod broker;
mod pages;
mod playground;

use std::time::{Duration, Instant};

use cognigy_fallback_router::{
    app::Running,
    http_client::{self, ClientConfig, Roots},
};
use reqwest::{Method, RequestBuilder, Response};

use crate::support::app::TestApp;

pub(crate) const TOKEN: &str = "a-console-token-of-more-than-32-bytes!!";

/// What an attacker would like to see on the page as more than text.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>";

/// A visitor with a browser's manners: keeps the cookie, says where it comes from, sends the form's token.
pub(crate) struct Visitor {
    client: reqwest::Client,
    host: String,
    cookie: String,
    csrf: String,
}

/// What the console answered.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// It was shown; what it says.
    pub(crate) fn shown(self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        self.text
    }
}

impl Visitor {
    /// Loads a first page, as every visitor does.
    pub(crate) async fn of(running: &Running) -> Self {
        Self::at(running.console.unwrap().to_string()).await
    }

    /// The same of a page that is served at this address.
    pub(crate) async fn at(host: String) -> Self {
        let limit = Duration::from_secs(60);
        let config =
            ClientConfig { connect_timeout: limit, timeout: limit, https_only: false, roots: Roots::default() };
        let client = http_client::build(&config).unwrap();
        let mut visitor = Self { client, host, cookie: String::new(), csrf: String::new() };
        let first = visitor.get("/console/sign-in").await;
        let first = if first.status == 303 { visitor.get("/console").await } else { first };
        visitor.take(&first);
        visitor
    }

    /// Keeps the cookie of a page, and the token of its forms.
    pub(crate) fn take(&mut self, page: &Page) {
        if let Some((cookie, _)) = page.header("set-cookie").split_once(';') {
            self.cookie = cookie.to_owned();
        }
        if let Some((_, rest)) = page.text.split_once("name=\"csrf\" ") {
            self.csrf = rest.split('"').nth(1).unwrap().to_owned();
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.host)).header("cookie", &self.cookie)
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        Page::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// Posts a form as a browser would.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = ("csrf", self.csrf.as_str());
        let fields: Vec<_> = fields.iter().copied().chain([csrf]).collect();
        let request = self.request(Method::POST, path).header("origin", format!("http://{}", self.host)).form(&fields);
        Page::of(request.send().await.unwrap()).await
    }
}

/// An application whose console may act, and a visitor.
pub(crate) async fn writable() -> (TestApp, Visitor) {
    with(&[("CFR__CONSOLE__WRITE", "true")]).await
}

pub(crate) async fn with(changes: &[(&str, &str)]) -> (TestApp, Visitor) {
    let app = TestApp::start_with(changes).await;
    let visitor = Visitor::of(&app.running).await;
    (app, visitor)
}

/// How long a page may take to say something.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a page says something; what it says then.
pub(crate) async fn until(visitor: &Visitor, path: &str, word: &str) -> String {
    until_it(visitor, path, |text| text.contains(word)).await
}

/// Waits until a page is as wanted; what it says then.
pub(crate) async fn until_it(visitor: &Visitor, path: &str, wanted: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let text = visitor.get(path).await.shown();
        if wanted(&text) {
            return text;
        }
        assert!(began.elapsed() < PATIENCE, "{path} does not say what is waited for: {text}");
        tokio::task::yield_now().await;
    }
}

/// Waits until so many dead letters wait.
pub(crate) async fn buried(app: &TestApp, count: u64) {
    while app.queue().depths().await.unwrap().dead != count {
        tokio::task::yield_now().await;
    }
}
