use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use cognigy_fallback_router::egress::{Egress, EgressConfig, EgressError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

fn config(allow_hosts: &[&str], allow_private_cidrs: &[&str], allow_http: bool) -> EgressConfig {
    EgressConfig {
        allow_hosts: allow_hosts.iter().map(ToString::to_string).collect(),
        allow_private_cidrs: allow_private_cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect(),
        allow_http,
    }
}

fn egress(allow_hosts: &[&str], allow_private_cidrs: &[&str], allow_http: bool) -> Egress {
    Egress::new(&config(allow_hosts, allow_private_cidrs, allow_http), None).unwrap()
}

fn strict() -> Egress {
    egress(&[], &[], false)
}

#[test]
fn an_address_is_dialled_only_if_it_is_public_for_certain() {
    for (address, permitted, reason) in [
        ("8.8.8.8", true, "public"),
        ("1.1.1.1", true, "public"),
        ("172.15.255.255", true, "last before 172.16/12"),
        ("172.32.0.0", true, "first after 172.16/12"),
        ("100.63.255.255", true, "last before 100.64/10"),
        ("100.128.0.0", true, "first after 100.64/10"),
        ("223.255.255.255", true, "last before multicast"),
        ("168.63.129.17", true, "next to Azure's platform address"),
        ("0.0.0.0", false, "loopback on Linux"),
        ("0.1.2.3", false, "this network"),
        ("10.0.0.1", false, "private"),
        ("10.255.255.255", false, "private, last"),
        ("100.64.0.1", false, "carrier-grade NAT"),
        ("100.127.255.255", false, "carrier-grade NAT, last"),
        ("127.0.0.1", false, "loopback"),
        ("127.255.255.254", false, "loopback, last"),
        ("169.254.169.254", false, "metadata of AWS, Azure and Google"),
        ("169.254.170.2", false, "credentials of AWS containers"),
        ("169.254.0.1", false, "link-local"),
        ("172.16.0.1", false, "private"),
        ("172.31.255.255", false, "private, last"),
        ("192.0.0.8", false, "IETF assignments"),
        ("192.0.2.1", false, "documentation"),
        ("192.88.99.1", false, "6to4 relay"),
        ("192.168.0.1", false, "private"),
        ("198.18.0.1", false, "benchmarks"),
        ("198.19.255.255", false, "benchmarks, last"),
        ("198.51.100.1", false, "documentation"),
        ("203.0.113.1", false, "documentation"),
        ("224.0.0.1", false, "multicast"),
        ("239.255.255.255", false, "multicast, last"),
        ("240.0.0.1", false, "reserved"),
        ("255.255.255.255", false, "broadcast"),
        ("168.63.129.16", false, "Azure's platform address, although public"),
        ("100.100.100.200", false, "Alibaba's metadata"),
        ("192.0.0.192", false, "Oracle's metadata"),
        ("2606:4700:4700::1111", true, "public"),
        ("2a00:1450:4001:80b::200e", true, "public"),
        ("64:ff9b::808:808", true, "8.8.8.8 seen through NAT64"),
        ("::ffff:8.8.8.8", true, "8.8.8.8, mapped"),
        ("::", false, "unspecified"),
        ("::1", false, "loopback"),
        ("::127.0.0.1", false, "IPv4-compatible loopback"),
        ("::8.8.8.8", false, "IPv4-compatible, deprecated"),
        ("::ffff:127.0.0.1", false, "mapped loopback"),
        ("::ffff:10.0.0.1", false, "mapped private"),
        ("::ffff:169.254.169.254", false, "mapped metadata"),
        ("::ffff:0:127.0.0.1", false, "SIIT-translated, outside of 2000::/3"),
        ("64:ff9b::7f00:1", false, "loopback behind NAT64"),
        ("64:ff9b::a9fe:a9fe", false, "metadata behind NAT64"),
        ("64:ff9b:1::7f00:1", false, "local NAT64"),
        ("100::1", false, "discard-only"),
        ("2001::1", false, "Teredo"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", false, "Teredo around 127.0.0.1"),
        ("2001:2::1", false, "benchmarks"),
        ("2001:10::1", false, "ORCHID"),
        ("2001:20::1", false, "ORCHIDv2"),
        ("2001:db8::1", false, "documentation"),
        ("2001:200::1", true, "first after the IETF assignments"),
        ("2002:7f00:1::", false, "6to4 around 127.0.0.1"),
        ("2002:a9fe:a9fe::1", false, "6to4 around metadata"),
        ("2002:808:808::1", false, "6to4, deprecated even around a public address"),
        ("3fff::1", false, "documentation"),
        ("3fff:1000::1", true, "first after documentation"),
        ("4000::1", false, "unassigned"),
        ("5f00::1", false, "segment routing"),
        ("fc00::1", false, "unique local"),
        ("fd12:3456::1", false, "unique local"),
        ("fd00:ec2::254", false, "AWS metadata over IPv6"),
        ("fd20:ce::254", false, "Google metadata over IPv6"),
        ("fe80::1", false, "link-local"),
        ("febf::1", false, "link-local, last"),
        ("fec0::1", false, "site-local, deprecated"),
        ("ff02::1", false, "multicast"),
    ] {
        assert_eq!(strict().permits(address.parse().unwrap()), permitted, "{address}: {reason}");
    }
}

#[test]
fn an_allowed_private_network_opens_that_network_and_never_metadata() {
    let everything = egress(&[], &["0.0.0.0/0", "::/0"], false);
    for (address, permitted, reason) in [
        ("10.0.0.1", true, "private"),
        ("127.0.0.1", true, "loopback"),
        ("::1", true, "loopback"),
        ("fd12:3456::1", true, "unique local"),
        ("100.64.0.1", true, "carrier-grade NAT"),
        ("::ffff:10.0.0.1", true, "mapped private"),
        ("64:ff9b::a00:1", true, "private behind NAT64"),
        ("169.254.169.254", false, "metadata"),
        ("169.254.1.1", false, "link-local"),
        ("::ffff:169.254.169.254", false, "mapped metadata"),
        ("64:ff9b::a9fe:a9fe", false, "metadata behind NAT64"),
        ("64:ff9b:1::a9fe:a9fe", false, "metadata behind a local NAT64"),
        ("::169.254.169.254", false, "IPv4-compatible metadata"),
        ("2002:a9fe:a9fe::", false, "6to4 around metadata"),
        ("2001:0:1:1:1:1:5601:5601", false, "Teredo around metadata"),
        ("168.63.129.16", false, "Azure's platform address"),
        ("100.100.100.200", false, "Alibaba's metadata, inside of carrier-grade NAT"),
        ("192.0.0.192", false, "Oracle's metadata"),
        ("fd00:ec2::254", false, "AWS metadata, inside of unique local"),
        ("fd00:ec2::23", false, "AWS pod credentials"),
        ("fd20:ce::254", false, "Google metadata"),
        ("fe80::1", false, "link-local"),
        ("0.0.0.0", false, "nobody's address"),
        ("::", false, "nobody's address"),
        ("224.0.0.1", false, "multicast"),
        ("ff02::1", false, "multicast"),
        ("255.255.255.255", false, "broadcast"),
    ] {
        assert_eq!(everything.permits(address.parse().unwrap()), permitted, "{address}: {reason}");
    }
    let cluster = egress(&[], &["10.42.0.0/16"], false);
    for (address, permitted) in [("10.42.0.1", true), ("::ffff:10.42.0.1", true), ("10.43.0.1", false)] {
        assert_eq!(cluster.permits(address.parse().unwrap()), permitted, "{address} and 10.42.0.0/16");
    }
}

#[test]
fn the_form_of_a_url_is_judged_by_its_text_and_by_what_it_means() {
    use EgressError::{Address, Character, Fragment, NotAUrl, Port, Scheme, TooLong, UserInfo};
    let path_to = |length: usize| format!("https://a.example/{}", "x".repeat(length - "https://a.example/".len()));
    let (longest, too_long) = (path_to(2048), path_to(2049));
    for (url, expected, reason) in [
        ("https://a.example/hook?token=x&y=%20", None, "plain"),
        ("https://a.example", None, "no path"),
        ("HTTPS://A.EXAMPLE/", None, "a scheme and a host have no case"),
        ("https://a.example:8443/x", None, "another port"),
        ("https://a.example/a@b?c=d@e", None, "an @ after the authority"),
        ("https://a.example/x?u=https://b.example", None, "a URL in a query"),
        ("https://8.8.8.8/", None, "a public literal"),
        ("https://[2606:4700:4700::1111]/", None, "a public literal"),
        ("https://bücher.example/", None, "an international name"),
        (longest.as_str(), None, "2048 bytes"),
        (too_long.as_str(), Some(TooLong), "2049 bytes"),
        ("", Some(NotAUrl), "empty"),
        ("a.example/x", Some(NotAUrl), "no scheme"),
        ("/x", Some(NotAUrl), "a path"),
        ("//a.example/x", Some(NotAUrl), "no scheme"),
        ("https:a.example", Some(NotAUrl), "no slashes; parsers add them"),
        ("https:/a.example", Some(NotAUrl), "one slash; parsers add one"),
        ("https:///a.example", Some(NotAUrl), "three slashes; parsers drop one"),
        ("https:a.example?x=://", Some(NotAUrl), "the slashes come too late"),
        ("https://", Some(NotAUrl), "no host"),
        ("https://?x", Some(NotAUrl), "no host"),
        ("https://:443/", Some(NotAUrl), "no host"),
        ("https://a.example:65536/", Some(NotAUrl), "no such port"),
        ("https://a.example:x/", Some(NotAUrl), "no port at all"),
        ("https://[::1/", Some(NotAUrl), "an open bracket"),
        ("https://[fe80::1%25eth0]/", Some(NotAUrl), "a zone"),
        ("https://1.2.3.4.5/", Some(NotAUrl), "ends in a number, but is no address"),
        ("https://a%00b.example/", Some(NotAUrl), "a NUL in a name"),
        ("https://a.example:0/", Some(Port), "port 0"),
        ("http://a.example/", Some(Scheme), "not encrypted"),
        ("ftp://a.example/", Some(Scheme), "not HTTP"),
        ("file:///etc/passwd", Some(NotAUrl), "a file"),
        ("gopher://a.example/", Some(Scheme), "not HTTP"),
        ("data:text/plain,x", Some(NotAUrl), "no host"),
        ("javascript:alert(1)", Some(NotAUrl), "no host"),
        ("https://user@a.example/", Some(UserInfo), "a user"),
        ("https://user:pw@a.example/", Some(UserInfo), "a password"),
        ("https://@a.example/", Some(UserInfo), "an empty user, which parsers forget"),
        ("https://a.example@b.example/", Some(UserInfo), "a host that is none"),
        ("https://a.example/#x", Some(Fragment), "a fragment"),
        ("https://a.example/#", Some(Fragment), "an empty fragment"),
        (" https://a.example/", Some(Character), "leading space"),
        ("https://a.example/ ", Some(Character), "trailing space"),
        ("https://a.example/a b", Some(Character), "a space"),
        ("https://a.example/a\tb", Some(Character), "a tab, which parsers drop"),
        ("https://a.exam\nple/", Some(Character), "a line end, which parsers drop"),
        ("https://a.example/\r\nX: y", Some(Character), "a header in a URL"),
        ("\0https://a.example/", Some(Character), "a NUL"),
        ("https://a.example/\u{7f}", Some(Character), "DEL"),
        ("https://a.example/\u{85}", Some(Character), "a C1 control character"),
        ("https://a.example/\u{a0}", Some(Character), "a no-break space"),
        ("https://a.example/\u{2028}", Some(Character), "a line separator"),
        ("https:\\\\a.example\\", Some(Character), "backslashes, which parsers turn"),
        ("https://a.example\\@b.example/", Some(Character), "a backslash that splits parsers"),
        ("https://127.0.0.1/", Some(Address), "loopback"),
        ("https://127.1/", Some(Address), "loopback, short"),
        ("https://2130706433/", Some(Address), "loopback, one number"),
        ("https://0x7f.1/", Some(Address), "loopback, hexadecimal"),
        ("https://0177.0.0.1/", Some(Address), "loopback, octal"),
        ("https://0/", Some(Address), "0.0.0.0"),
        ("https://127.0.0.1./", Some(Address), "loopback with a dot"),
        ("https://%31%32%37.0.0.1/", Some(Address), "loopback, percent-encoded"),
        ("https://１２７.0.0.1/", Some(Address), "loopback, full-width"),
        ("https://①②⑦.0.0.1/", Some(Address), "loopback, circled"),
        ("https://127。0。0。1/", Some(Address), "loopback, ideographic dots"),
        ("https://[::1]/", Some(Address), "loopback"),
        ("https://[::ffff:127.0.0.1]/", Some(Address), "loopback, mapped"),
        ("https://[::ffff:7f00:1]/", Some(Address), "loopback, mapped, in hex"),
        ("https://[64:ff9b::7f00:1]/", Some(Address), "loopback behind NAT64"),
        ("https://169.254.169.254/latest/meta-data/", Some(Address), "metadata"),
        ("https://0xa9fea9fe/", Some(Address), "metadata, hexadecimal"),
        ("https://[fd00:ec2::254]/", Some(Address), "metadata"),
        ("https://10.0.0.1/", Some(Address), "private"),
        ("https://localhost/", None, "a name: judged by its addresses when it is dialled"),
    ] {
        assert_eq!(strict().check_configured_url(url).err(), expected, "{url:?}: {reason}");
    }
}

#[test]
fn a_trigger_may_name_only_hosts_and_ports_on_the_allow_list() {
    use EgressError::{Address, Host, Scheme};
    let listed =
        ["a.example", "b.example:8443", "*.c.example", "*.d.example:*", "BÜCHER.example", "10.0.0.1", "8.8.8.8"];
    let listed = egress(&listed, &[], false);
    for (url, expected, reason) in [
        ("https://a.example/x", None, "listed"),
        ("https://A.Example/x", None, "a host has no case"),
        ("https://a.example:443/x", None, "the scheme's own port"),
        ("https://%61.example/", None, "percent-encoded, and the same"),
        ("https://a.example:8443/", Some(Host), "another port"),
        ("https://a.example:80/", Some(Host), "another port"),
        ("https://a.example./", Some(Host), "another spelling, which is not listed"),
        ("https://x.a.example/", Some(Host), "below an exact host"),
        ("https://xa.example/", Some(Host), "ends like a listed host"),
        ("https://a.example.evil.test/", Some(Host), "begins like a listed host"),
        ("https://b.example:8443/", None, "the listed port"),
        ("https://b.example/", Some(Host), "not the listed port"),
        ("https://x.c.example/", None, "below"),
        ("https://y.x.c.example/", None, "two below"),
        ("https://c.example/", Some(Host), "not below"),
        ("https://evilc.example/", Some(Host), "ends alike, but without the dot"),
        ("https://.c.example/", Some(Host), "nothing before the dot"),
        ("https://x.c.example:444/", Some(Host), "another port"),
        ("https://x.d.example:9/", None, "any port"),
        ("https://x.d.example/", None, "any port"),
        ("https://xn--bcher-kva.example/", None, "the same international name"),
        ("https://evil.test/?a.example", Some(Host), "listed only in the query"),
        ("https://8.8.8.8/", None, "a listed address"),
        ("https://134744072/", None, "the same address as one number"),
        ("https://[::ffff:8.8.8.8]/", Some(Host), "the same address, another spelling"),
        ("https://10.0.0.1/", Some(Address), "listed, but private and not allowed"),
        ("https://10.0.0.2/", Some(Host), "not listed"),
        ("http://a.example/", Some(Scheme), "not encrypted"),
    ] {
        assert_eq!(listed.check_trigger_url(url).err(), expected, "{url}: {reason}");
    }
    assert_eq!(strict().check_trigger_url("https://a.example/").err(), Some(Host), "no list: triggers name nothing");
    let local = egress(&["127.0.0.1:*", "[::1]:8080", "a.example"], &["127.0.0.0/8", "::1/128"], true);
    for (url, expected) in [
        ("http://127.0.0.1:45231/hook", None),
        ("http://127.0.0.1/hook", None),
        ("http://[::1]:8080/", None),
        ("http://[::1]/", Some(Host)),
        ("http://127.0.0.2:45231/", Some(Host)),
        ("http://a.example/", None),
        ("http://a.example:443/", Some(Host)),
    ] {
        assert_eq!(local.check_trigger_url(url).err(), expected, "{url}");
    }
}

#[test]
fn a_malformed_allow_list_or_configured_url_is_refused_at_start() {
    for entry in [
        "",
        " ",
        "*",
        "*.",
        "*:*",
        "**.a.example",
        "a.*.example",
        ".a.example",
        "*.10.0.0.1",
        "*.[::1]",
        "a.example:0",
        "a.example:65536",
        "a.example:+1",
        "a.example:",
        "a.example:1:2",
        "::1",
        "https://a.example",
        "a.example/x",
        "user@a.example",
        "a b.example",
        "1.2.3.4.5",
    ] {
        let error = Egress::new(&config(&["ok.example", entry], &[], false), None).err();
        assert_eq!(error, Some(EgressError::AllowList(2)), "{entry:?}");
    }
    let refused = Egress::new(&config(&[], &[], false), Some("https://10.0.0.1/?token=s3cret")).err().unwrap();
    assert_eq!(refused, EgressError::Address);
    assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    let egress = Egress::new(&config(&[], &[], false), Some("https://a.example/?token=s3cret")).unwrap();
    assert_eq!(egress.configured_url().unwrap().as_str(), "https://a.example/?token=s3cret");
    assert!(!format!("{egress:?}").contains("s3cret"));
}

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
