//! Who may come in, and what a request has to prove before anything is done.

use cognigy_fallback_router::config::{self, Role, Sources};
use reqwest::Method;

use super::{Page, TOKEN, Visitor, with, writable};
use crate::support::app::{TestApp, World};

const PAGES: [&str; 4] = ["/console", "/console/outcomes", "/console/dead-letters", "/console/playground"];
/// Everything that takes a form, and whether it changes something.
const POSTS: [(&str, bool); 10] = [
    ("/console/dead-letters/check", true),
    ("/console/dead-letters/replay", true),
    ("/console/dead-letters/stop", true),
    ("/console/playground/run", true),
    ("/console/playground/save", true),
    ("/console/playground", false),
    ("/console/playground/open", false),
    ("/console/outcomes/0191d3a4-0000-7000-8000-000000000000", false),
    ("/console/dead-letters/0191d3a4-0000-7000-8000-000000000000", false),
    ("/console/sign-out", false),
];

#[tokio::test]
async fn every_page_forbids_the_browser_what_it_does_not_need() {
    let (app, visitor) = with(&[]).await;
    for path in PAGES.into_iter().chain(["/console/sign-in", "/console/nothing", "/healthz"]) {
        let page = visitor.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        for inline in ["<style", " style=", "<script>", " onclick=", "javascript:"] {
            assert!(!page.text.contains(inline), "{path}: {inline}");
        }
    }
    assert!(app.stop().await);
}

#[tokio::test]
async fn the_cookie_is_kept_from_scripts_and_from_other_sites() {
    let app = TestApp::start().await;
    let url = format!("http://{}/console", app.running.console.unwrap());
    let page = Page::of(reqwest_get(&url).await).await;
    let cookie = page.header("set-cookie");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    assert!(app.stop().await);
}

async fn reqwest_get(url: &str) -> reqwest::Response {
    crate::support::app::client().get(url).send().await.unwrap()
}

#[tokio::test]
async fn nothing_is_done_for_a_form_from_elsewhere_or_without_its_token() {
    let (app, visitor) = writable().await;
    let origin = format!("http://{}", app.running.console.unwrap());
    for (path, _) in POSTS {
        for (name, origin, csrf) in [
            ("no origin", None, Some(&visitor.csrf)),
            ("another origin", Some("http://evil.example"), Some(&visitor.csrf)),
            ("the origin of nobody", Some("null"), Some(&visitor.csrf)),
            ("no token", Some(origin.as_str()), None),
            ("another token", Some(origin.as_str()), Some(&"0".repeat(64))),
        ] {
            let mut request = visitor.request(Method::POST, path).form(&[("id", "x")]);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            if let Some(csrf) = csrf {
                request = request.header("x-csrf-token", csrf);
            }
            let page = Page::of(request.send().await.unwrap()).await;
            assert_eq!(page.status, 403, "{path} with {name}");
        }
    }
    assert!(app.stop().await);
}

#[tokio::test]
async fn the_token_of_one_session_serves_no_other() {
    let (app, one) = writable().await;
    let other = Visitor::of(&app.running).await;
    let request = one.request(Method::POST, "/console/playground").header("x-csrf-token", &other.csrf);
    let request = request.header("origin", format!("http://{}", app.running.console.unwrap()));
    assert_eq!(Page::of(request.send().await.unwrap()).await.status, 403);
    assert!(app.stop().await);
}

#[tokio::test]
async fn a_read_only_console_changes_nothing() {
    let (app, visitor) = with(&[]).await;
    for (path, writes) in POSTS {
        let page = visitor.post(path, &[("all", "yes"), ("expected", "1")]).await;
        assert_eq!(page.text.contains("read-only; set console.write"), writes, "{path}: {}", page.status);
        assert_eq!(page.status == 403, writes, "{path}: {}", page.status);
    }
    assert!(app.stop().await);
}

#[tokio::test]
async fn without_a_token_it_answers_to_the_names_of_this_machine_only() {
    let (app, visitor) = with(&[]).await;
    for (host, status) in [("localhost:9091", 200), ("127.0.0.1", 200), ("console.evil.example", 403)] {
        let page = visitor.request(Method::GET, "/console").header("host", host).send().await.unwrap();
        assert_eq!(page.status().as_u16(), status, "{host}");
    }
    assert!(app.stop().await);
}

#[tokio::test]
async fn with_a_token_nothing_is_seen_before_signing_in_and_after_signing_out() {
    let (app, mut visitor) = with(&[("CFR__CONSOLE__TOKEN", TOKEN), ("CFR__CONSOLE__WRITE", "true")]).await;
    for path in PAGES {
        let page = visitor.get(path).await;
        assert_eq!((page.status, page.header("location")), (303, "/console/sign-in"), "{path}");
    }
    assert_eq!(visitor.get("/console/live").await.status, 401);
    for (path, _) in POSTS {
        assert_eq!(visitor.post(path, &[]).await.status, 401, "{path}");
    }
    let wrong = visitor.post("/console/sign-in", &[("name", "olga"), ("token", "wrong")]).await;
    assert_eq!(wrong.status, 403);

    let welcome = visitor.post("/console/sign-in", &[("name", "olga"), ("token", TOKEN)]).await;
    assert_eq!((welcome.status, welcome.header("location")), (303, "/console"));
    visitor.take(&welcome);
    let page = visitor.get("/console").await;
    visitor.take(&page);
    assert!(page.shown().contains("Sign out"));
    assert_eq!(visitor.post("/console/sign-out", &[]).await.status, 303);
    assert_eq!(visitor.get("/console").await.status, 303);
    assert!(app.stop().await);
}

#[tokio::test]
async fn it_refuses_to_start_for_everybody_without_a_good_token() {
    let world = World::start().await;
    let problems = |changes: &[(&str, &str)], role| {
        let mut environment = world.environment();
        environment.insert("CFR__QUEUE__BACKEND".into(), "embedded".into());
        environment.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let sources = Sources { file: None, environment };
        config::load(&sources, role).err().map(|unusable| unusable.to_string()).unwrap_or_default()
    };
    const LISTEN: &str = "CFR__CONSOLE__LISTEN";
    const GIVEN: &str = "CFR__CONSOLE__TOKEN";
    for role in [Role::Serve, Role::Console] {
        for open in ["0.0.0.0:9091", "10.1.2.3:9091"] {
            assert!(problems(&[(LISTEN, open)], role).contains("console.token: is not set"), "{open}");
            assert!(
                problems(&[(LISTEN, open), (GIVEN, "short")], role).contains("console.token: is shorter"),
                "{open}"
            );
            assert_eq!(problems(&[(LISTEN, open), (GIVEN, TOKEN)], role), "", "{open}");
        }
        for closed in ["127.0.0.1:9091", "127.9.9.9:9091"] {
            assert_eq!(problems(&[(LISTEN, closed)], role), "", "{closed}");
        }
        assert!(problems(&[(GIVEN, "short")], role).contains("console.token: is shorter"));
    }
    assert_eq!(problems(&[(LISTEN, "0.0.0.0:9091")], Role::Worker), "", "a worker has no console");
    let off = [(LISTEN, "0.0.0.0:9091"), ("CFR__CONSOLE__ENABLED", "false")];
    assert_eq!(problems(&off, Role::Serve), "", "one that is off needs no token");
}

#[tokio::test]
async fn assets_keep_for_ever_under_a_name_that_changes_with_them() {
    let (app, visitor) = with(&[]).await;
    let page = visitor.get("/console").await.shown();
    let paths: Vec<_> = page.split('"').filter(|part| part.starts_with("/console/assets/")).collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    for path in paths {
        let asset = visitor.get(path).await;
        assert!(asset.status == 200 && asset.header("cache-control").contains("immutable"), "{path}");
        let again = visitor.request(Method::GET, path).header("if-none-match", asset.header("etag"));
        assert_eq!(again.send().await.unwrap().status().as_u16(), 304, "{path}");
    }
    assert_eq!(visitor.get("/console/assets/console.css").await.status, 404);
    assert!(app.stop().await);
}
