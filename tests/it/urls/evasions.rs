//! Ways around a check that others have been caught by: from the URL standard, RFC 3986, the IANA registries, and the
//! collections of tests for server-side request forgery.

use cognigy_fallback_router::egress::EgressError::{
    self, Address, Character, Fragment, Host, NotAUrl, Port, Scheme, TooLong, UserInfo,
};

use super::egress;

/// A URL, what is wrong with it, and why.
type Case = (&'static str, Option<EgressError>, &'static str);

fn check(cases: &[Case], verdict: impl Fn(&str) -> Option<EgressError>) {
    let wrong: Vec<_> = cases
        .iter()
        .map(|(url, expected, reason)| (url, verdict(url), expected, reason))
        .filter(|(_, got, expected, _)| got != *expected)
        .map(|(url, got, expected, reason)| format!("{url:?} ({reason}): {got:?} instead of {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_spelling_of_an_inner_address_passes() {
    let open = egress(&[], &[], false);
    let address = Some(Address);
    check(
        &[
            ("https://0300.0250.0.1/", address, "192.168.0.1, octal"),
            ("https://0xc0a80001/", address, "192.168.0.1, hexadecimal"),
            ("https://0XC0.0XA8.0X0.0X1/", address, "192.168.0.1, parts in capital hexadecimal"),
            ("https://3232235521/", address, "192.168.0.1, one number"),
            ("https://030052000001/", address, "192.168.0.1, one octal number"),
            ("https://192.168.1/", address, "192.168.0.1, three parts"),
            ("https://192.168.257/", address, "192.168.1.1: the last part fills up"),
            ("https://192.11010049/", address, "192.168.0.1, two parts"),
            ("https://10.1/", address, "10.0.0.1, two parts"),
            ("https://0xa.0x0.0x0.0x1/", address, "10.0.0.1, hexadecimal parts"),
            ("https://012.0.0.1/", address, "10.0.0.1, and not 12.0.0.1"),
            ("https://127.0.0.0x1/", address, "mixed"),
            ("https://0x7f.0.0.01/", address, "mixed"),
            ("https://0x7f000001/", address, "one hexadecimal number"),
            ("https://017700000001/", address, "one octal number"),
            ("https://0x000000007f000001/", address, "leading zeros"),
            ("https://00000000177.0.0.1/", address, "leading zeros"),
            ("https://127.00000000000.0.1/", address, "leading zeros"),
            ("https://0x.0x.0/", address, "an empty hexadecimal part is 0"),
            ("https://0.0.0.0:8443/", address, "this host"),
            ("https://0x0/", address, "this host"),
            ("https://000/", address, "this host"),
            ("https://4294967295/", address, "broadcast"),
            ("https://1.16777215/", None, "1.255.255.255 is public"),
            ("https://4294967296/", Some(NotAUrl), "one too many"),
            ("https://256.256.256.256/", Some(NotAUrl), "no address"),
            ("https://1.1.1.256/", Some(NotAUrl), "no address"),
            ("https://1.2.3.08/", Some(NotAUrl), "no octal digit"),
            ("https://0xg.1/", Some(NotAUrl), "its last part is a number, and the whole is no address"),
            ("https://127.0.0.1../", None, "a name with an empty label: judged by its addresses when it is dialled"),
            ("https://１６９.２５４.１６９.２５４/", address, "metadata, full-width"),
            ("https://169。254。169。254/", address, "metadata, ideographic dots"),
            ("https://169．254｡169．254/", address, "metadata, full-width and half-width dots"),
            ("https://①⑥⑨.②⑤④.①⑥⑨.②⑤④/", address, "metadata, circled"),
            ("https://𝟭𝟲𝟵.𝟮𝟱𝟰.𝟭𝟲𝟵.𝟮𝟱𝟰/", address, "metadata, mathematical"),
            ("https://¹²⁷.⁰.⁰.¹/", address, "loopback, raised"),
            ("https://%30x7f.1/", address, "percent-encoded in part"),
            ("https://%31%36%39.%32%35%34.169.254/", address, "metadata, percent-encoded"),
            ("https://169.254.169.254:443/", address, "metadata with the scheme's port"),
            ("https://0251.0376.0251.0376/", address, "metadata, octal"),
            ("https://2852039166/", address, "metadata, one number"),
            ("https://[::]/", address, "unspecified"),
            ("https://[0:0:0:0:0:0:0:1]/", address, "loopback, long"),
            ("https://[0000:0000:0000:0000:0000:0000:0000:0001]/", address, "loopback, longest"),
            ("https://[::1]:8443/", address, "loopback with a port"),
            ("https://[0:0:0:0:0:ffff:127.0.0.1]/", address, "mapped, long"),
            ("https://[::FFFF:7F00:1]/", address, "mapped, capitals"),
            ("https://[::ffff:0:0]/", address, "0.0.0.0, mapped"),
            ("https://[::ffff:a9fe:a9fe]/", address, "metadata, mapped"),
            ("https://[::ffff:0:7f00:1]/", address, "translated (SIIT)"),
            ("https://[::127.0.0.1]/", address, "compatible"),
            ("https://[::a9fe:a9fe]/", address, "metadata, compatible"),
            ("https://[64:ff9b::10.0.0.1]/", address, "private behind NAT64"),
            ("https://[64:ff9b::a9fe:a9fe]/", address, "metadata behind NAT64"),
            ("https://[64:ff9b:1::808:808]/", address, "local NAT64, whatever is inside"),
            ("https://[2002:7f00:1::1]/", address, "loopback, 6to4"),
            ("https://[2002:c0a8:1::]/", address, "private, 6to4"),
            ("https://[2001:0:7f00:1::]/", address, "Teredo server on loopback"),
            ("https://[2001::f5ff:fffe]/", address, "Teredo client 10.0.0.1"),
            ("https://[fe80::1]/", address, "link-local"),
            ("https://[fec0::1]/", address, "site-local"),
            ("https://[fc00::]/", address, "unique local, first"),
            ("https://[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]/", address, "unique local, last"),
            ("https://[fd00:ec2::23]/", address, "AWS: credentials of pods"),
            ("https://[ff02::1]/", address, "multicast"),
            ("https://[100::1]/", address, "discard-only"),
            ("https://[5f00::1]/", address, "segment routing"),
            ("https://[2001:db8::1]/", address, "documentation"),
            ("https://[3fff:fff::1]/", address, "documentation, last"),
            ("https://[::1%25lo]/", Some(NotAUrl), "a zone"),
            ("https://[fe80::1%eth0]/", Some(NotAUrl), "a zone, not encoded"),
            ("https://[::1]x/", Some(NotAUrl), "something after the bracket"),
            ("https://[127.0.0.1]/", Some(NotAUrl), "IPv4 in brackets"),
            ("https://[v1.fe80::a]/", Some(NotAUrl), "a future address of RFC 3986"),
            ("https://::1/", Some(NotAUrl), "no brackets"),
            ("https://[::1.2.3]/", Some(NotAUrl), "a short IPv4 inside"),
            ("https://[::ffff:0177.0.0.1]/", Some(NotAUrl), "octal inside"),
            ("https://100.100.100.200/", address, "Alibaba's metadata"),
            ("https://192.0.0.192/", address, "Oracle's metadata"),
            ("https://168.63.129.16/", address, "Azure's platform"),
            ("https://metadata.google.internal/", None, "a name: judged by its addresses when it is dialled"),
            ("https://127.0.0.1.nip.io/", None, "a name: judged by its addresses when it is dialled"),
        ],
        |url| open.check_configured_url(url).err(),
    );
}

#[test]
fn nothing_around_a_listed_host_leads_elsewhere() {
    let listed = egress(&["good.example", "*.sub.example"], &[], false);
    check(
        &[
            ("https://good.example", None, "the host itself"),
            ("https://good.example:/x", None, "an empty port is the scheme's"),
            ("https://good.example:0443/x", None, "leading zeros of a port"),
            ("https://good.example?@evil.test", None, "the authority ends at the question mark"),
            ("https://good.example/@evil.test", None, "the authority ends at the slash"),
            ("https://good.example/..%2f..%2f@evil.test", None, "a path stays a path"),
            ("https://good.example//evil.test", None, "so do two slashes"),
            ("https://good.example/%0d%0aHost:%20evil.test", None, "an encoded line end stays encoded"),
            ("https://ⓖⓞⓞⓓ.example/", None, "IDNA makes the very same name of it"),
            ("https://good%2eexample/", None, "an encoded dot is a dot"),
            ("https://good.example%2e/", Some(Host), "an encoded dot at the end is another name"),
            ("https://good.example../", Some(Host), "two dots at the end"),
            ("https://good..example/", Some(Host), "an empty label"),
            ("https://gооd.example/", Some(Host), "Cyrillic letters"),
            ("https://goοd.example/", Some(Host), "a Greek letter"),
            ("https://ɡood.example/", Some(Host), "a phonetic letter"),
            ("https://g\u{f6}od.example/", Some(Host), "an umlaut"),
            ("https://xn--god-sna.example/", Some(Host), "another name in Punycode"),
            ("https://xn--/", Some(NotAUrl), "broken Punycode"),
            ("https://good.example.evil.test/", Some(Host), "it is only the beginning"),
            ("https://evil.test/good.example", Some(Host), "it is only in the path"),
            ("https://evil.test?good.example", Some(Host), "it is only in the query"),
            ("https://evil.test#good.example", Some(Fragment), "it is only in the fragment"),
            ("https://good.example@evil.test", Some(UserInfo), "it is only the user"),
            ("https://good.example:443@evil.test", Some(UserInfo), "user and password"),
            ("https://good.example:pw@good.example", Some(UserInfo), "credentials, though for the right host"),
            ("https://good.example%2f@evil.test", Some(UserInfo), "an encoded slash in the user"),
            ("https://evil.test@good.example", Some(UserInfo), "a user that looks like a host"),
            ("https://good.example@good.example@evil.test", Some(UserInfo), "two of them"),
            ("https://good.example%40evil.test/", Some(NotAUrl), "an encoded @ in a name"),
            ("https://good.example%2fevil.test/", Some(NotAUrl), "an encoded slash in a name"),
            ("https://good.example%5cevil.test/", Some(NotAUrl), "an encoded backslash in a name"),
            ("https://good.example%23.evil.test/", Some(NotAUrl), "an encoded # in a name"),
            ("https://good.example%3f.evil.test/", Some(NotAUrl), "an encoded question mark in a name"),
            ("https://good.example%3a443.evil.test/", Some(NotAUrl), "an encoded colon in a name"),
            ("https://good.example%20.evil.test/", Some(NotAUrl), "an encoded space in a name"),
            ("https://good.example%09/", Some(NotAUrl), "an encoded tab in a name"),
            ("https://good.example%0a/", Some(NotAUrl), "an encoded line end in a name"),
            ("https://good.example%00.evil.test/", Some(NotAUrl), "an encoded NUL in a name"),
            ("https://good.example%ff/", Some(NotAUrl), "no UTF-8 in a name"),
            ("https://good.example℀.evil.test/", Some(NotAUrl), "a sign that IDNA takes for a/c"),
            ("https://good.example／evil.test/", Some(NotAUrl), "a full-width slash"),
            ("https://good.example？evil.test/", Some(NotAUrl), "a full-width question mark"),
            ("https://good.example＃evil.test/", Some(NotAUrl), "a full-width #"),
            ("https://good.example＠evil.test/", Some(NotAUrl), "a full-width @"),
            ("https://good.example：443/", Some(NotAUrl), "a full-width colon"),
            ("https://good.example:４４３/", Some(NotAUrl), "a port in full-width digits"),
            ("https://good.example:443:443/", Some(NotAUrl), "two ports"),
            ("https://good.example:+443/", Some(NotAUrl), "a sign before the port"),
            ("https://good.example:-1/", Some(NotAUrl), "a negative port"),
            ("https://good.example:0x1bb/", Some(NotAUrl), "a hexadecimal port"),
            ("https://good.example:65979/", Some(NotAUrl), "443 beyond 16 bits"),
            ("https://good.example:99999999999999999999/", Some(NotAUrl), "a port beyond all bits"),
            ("https://good.example:000/", Some(Port), "port 0 in three digits"),
            ("https://good.example:8443/", Some(Host), "another port"),
            ("https://good.example:80/", Some(Host), "the port of http"),
            ("https://[good.example]/", Some(NotAUrl), "a name in brackets"),
            ("https://good.example[::1]/", Some(NotAUrl), "an address after the name"),
            ("https://.good.example/", Some(Host), "an empty label before it"),
            ("https://-.sub.example/", None, "an odd label below a listed name is its owner's"),
            ("https://sub.example/", Some(Host), "the parent itself"),
            ("https://xsub.example/", Some(Host), "no dot before it"),
            (
                "https://evil.test%E3%80%82sub.example/",
                None,
                "an encoded ideographic dot is a dot: below the listed name",
            ),
            ("https://good.example,evil.test/", Some(Host), "a comma is a part of the name"),
            ("https://good.example;evil.test/", Some(Host), "so is a semicolon"),
            ("https://good.example&evil.test/", Some(Host), "and an ampersand"),
            ("https://*.sub.example/", None, "a star is a letter like others, and below the listed name"),
            ("https://good.example|evil.test/", Some(NotAUrl), "a bar is not"),
            ("https://good.example<evil.test/", Some(NotAUrl), "nor a bracket"),
            ("https://good.example^evil.test/", Some(NotAUrl), "nor a caret"),
        ],
        |url| listed.check_trigger_url(url).err(),
    );
}

#[test]
fn what_readers_drop_or_repair_is_refused_in_the_text() {
    let listed = egress(&["good.example"], &[], false);
    let character = Some(Character);
    check(
        &[
            ("https://good\t.example/", character, "a tab in the name"),
            ("ht\ntps://good.example/", character, "a line end in the scheme"),
            ("https:\t//good.example/", character, "a tab before the slashes"),
            ("\u{1}https://good.example/", character, "a control character before it"),
            ("https://good.example/\u{0}", character, "a NUL after it"),
            ("\u{feff}https://good.example/", character, "a byte order mark before it"),
            ("https://go\u{ad}od.example/", character, "a soft hyphen, which IDNA drops"),
            ("https://go\u{200b}od.example/", character, "a zero-width space, which IDNA drops"),
            ("https://good.example\u{2060}/", character, "a word joiner, which IDNA drops"),
            ("https://go\u{200d}od.example/", character, "a zero-width joiner"),
            ("https://good.example/\u{202e}x", character, "a bidirectional override, which shows another URL"),
            ("https://good.example/\u{2066}x", character, "an isolate"),
            ("https://go\u{fe0f}od.example/", character, "a variation selector, which IDNA drops"),
            ("https://good.example/\u{e0041}", character, "a tag"),
            ("https://good.example/\u{2029}", character, "a paragraph separator"),
            ("https://good.example/\u{3000}", character, "an ideographic space"),
            ("https:\\/good.example/", character, "a backslash for a slash"),
            ("https://good.example\\.evil.test/", character, "a backslash in the authority"),
            ("https:/\\evil.test/good.example", character, "slash and backslash"),
            ("https://good.example/a\\b", character, "a backslash in the path"),
            ("https:////good.example/", Some(NotAUrl), "four slashes"),
            ("https:/good.example/", Some(NotAUrl), "one slash"),
            ("https:good.example/", Some(NotAUrl), "none"),
            ("://good.example/", Some(NotAUrl), "no scheme before the colon"),
            ("1https://good.example/", Some(NotAUrl), "a scheme that begins with a digit"),
            ("https%3a//good.example/", Some(NotAUrl), "an encoded colon"),
            ("url:https://good.example/", Some(NotAUrl), "a prefix of Java's"),
            ("wss://good.example/", Some(Scheme), "a socket"),
            ("httpss://good.example/", Some(Scheme), "a letter more"),
            ("http://good.example/", Some(Scheme), "a letter less"),
            ("javascript://good.example/%0aalert(1)", Some(Scheme), "a script with a host"),
            ("dict://good.example:11211/", Some(Scheme), "another protocol"),
            ("ldap://good.example/", Some(Scheme), "another protocol"),
            ("netdoc:///etc/passwd", Some(NotAUrl), "a file by another name"),
            ("jar:https://good.example/!/x", Some(NotAUrl), "a URL inside a URL"),
            ("view-source:https://good.example/", Some(NotAUrl), "a URL inside a URL"),
            ("blob:https://good.example/1", Some(NotAUrl), "a URL inside a URL"),
            ("https://good.example/#", Some(Fragment), "an empty fragment"),
            ("https://@good.example/", Some(UserInfo), "an empty user"),
            ("https://:@good.example/", Some(UserInfo), "an empty user and password"),
        ],
        |url| listed.check_trigger_url(url).err(),
    );
    let exactly = |bytes: usize| format!("https://good.example/{}", "ä".repeat((bytes - 21) / 2));
    assert_eq!(listed.check_trigger_url(&exactly(2047)).err(), None, "bytes are counted");
    assert_eq!(listed.check_trigger_url(&exactly(2049)).err(), Some(TooLong), "and not characters");
}
