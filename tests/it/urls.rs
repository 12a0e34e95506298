mod addresses;
mod evasions;
mod names;

use cognigy_fallback_router::egress::{Egress, EgressConfig, EgressError};

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
