use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use cognigy_fallback_router::egress::{Egress, EgressError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{egress, strict};

/// Names that give another answer at every look-up, as a rebinding server does.
struct Names {
    answers: Vec<Vec<&'static str>>,
    lookups: AtomicUsize,
}

impl Names {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        let answers = answers.iter().map(|addresses| addresses.to_vec()).collect();
        Arc::new(Self { answers, lookups: AtomicUsize::new(0) })
    }
}

impl Resolve for Names {
    fn resolve(&self, _: Name) -> Resolving {
        let lookup = self.lookups.fetch_add(1, Ordering::SeqCst);
        let addresses: Vec<_> =
            self.answers[lookup].iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

async fn dialled(egress: &Egress, names: &Arc<Names>) -> Result<Vec<String>, Option<EgressError>> {
    let resolver = egress.resolver_over(Arc::clone(names) as Arc<dyn Resolve>);
    match resolver.resolve("a.example".parse().unwrap()).await {
        Ok(addresses) => Ok(addresses.map(|address| address.ip().to_string()).collect()),
        Err(error) => Err(EgressError::in_chain(error.as_ref())),
    }
}

#[tokio::test]
async fn a_name_is_dialled_only_if_every_answer_is_permitted() {
    for (answers, permitted, reason) in [
        (&["8.8.8.8"][..], true, "public"),
        (&["8.8.8.8", "2606:4700:4700::1111"], true, "all public"),
        (&["8.8.8.8", "127.0.0.1"], false, "one of two is loopback"),
        (&["10.0.0.1", "8.8.8.8"], false, "one of two is private"),
        (&["8.8.8.8", "::1"], false, "one of two is loopback"),
        (&["::ffff:169.254.169.254"], false, "mapped metadata"),
        (&[], false, "no answer"),
    ] {
        let names = Names::new(&[answers]);
        let expected = if permitted {
            Ok(answers.iter().map(ToString::to_string).collect())
        } else {
            Err(Some(EgressError::Address))
        };
        assert_eq!(dialled(&strict(), &names).await, expected, "{reason}");
        assert_eq!(names.lookups.load(Ordering::SeqCst), 1, "{reason}: looked up once");
    }
}

#[tokio::test]
async fn a_name_that_changes_after_the_check_is_dialled_at_the_answers_that_were_checked() {
    let names = Names::new(&[&["8.8.8.8"], &["127.0.0.1"]]);
    assert_eq!(dialled(&strict(), &names).await, Ok(vec!["8.8.8.8".to_owned()]));
    assert_eq!(names.lookups.load(Ordering::SeqCst), 1);
    assert_eq!(dialled(&strict(), &names).await, Err(Some(EgressError::Address)), "the next try looks again");
}

#[tokio::test]
async fn a_client_reaches_a_permitted_server_and_says_why_it_did_not_dial_another() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://a.example:{}/", listener.local_addr().unwrap().port());
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "reached" }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    for (private, expected) in [(&["127.0.0.0/8"][..], None), (&[], Some(EgressError::Address))] {
        let names = Names::new(&[&["127.0.0.1"]]);
        let resolver = egress(&[], private, true).resolver_over(names);
        match client(resolver).get(&url).send().await {
            Ok(response) => assert_eq!((response.text().await.unwrap().as_str(), None), ("reached", expected)),
            Err(error) => assert_eq!(EgressError::in_chain(&error), expected),
        }
    }
}

#[tokio::test]
async fn the_operating_systems_names_pass_the_same_guard() {
    let name = || "localhost".parse().unwrap();
    let refused = strict().resolver().resolve(name()).await.err().unwrap();
    assert_eq!(EgressError::in_chain(refused.as_ref()), Some(EgressError::Address));
    let allowed = egress(&[], &["127.0.0.0/8", "::1/128"], true).resolver().resolve(name()).await.unwrap();
    assert!(allowed.collect::<Vec<_>>().iter().all(|address| address.ip().is_loopback()));
}

#[expect(clippy::disallowed_methods, reason = "the guard is tested without the settings that http_client adds")]
fn client(resolver: Arc<dyn Resolve>) -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().dns_resolver(resolver).build().unwrap()
}
