//! The suggested response as plain text.

use std::sync::LazyLock;

use cognigy_fallback_router::decision::{DecisionRules, DecisionSchema};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{parsed, schema, strings, with};

#[test]
fn the_suggested_response_is_plain_text_with_links_only_to_listed_hosts() {
    let schema = schema(DecisionRules {
        link_hosts: strings(&["help.example.com", "*.Example.org"]),
        ..DecisionRules::default()
    });
    for (reason, response, cleaned) in [
        (
            "plain text",
            "Your order is on its way. It should arrive on 24.12. at 5 p.m.",
            "Your order is on its way. It should arrive on 24.12. at 5 p.m.",
        ),
        ("line breaks and tabulators", "One\n\tTwo\r\nThree", "One\n\tTwo\nThree"),
        ("outer blanks", "  Hello \n", "Hello"),
        ("control characters", "He\u{0}l\u{1b}[31mlo\u{7f}\u{9b}", "Hel[31mlo"),
        ("invisible characters", "He\u{200b}ll\u{202e}o\u{e0041}", "Hello"),
        ("emoji and other scripts", "Danke 👍 – 很抱歉。شكراً", "Danke 👍 – 很抱歉。شكراً"),
        ("bold", "<b>Hello</b> <i class=\"x\">there</i>", "Hello there"),
        ("breaks and paragraphs", "<p>One</p><p>Two<br/>Three</p>", "One\nTwo\nThree"),
        ("a script", "Hi<script>alert(1)</script>!", "Hi!"),
        ("a script in capitals over lines", "Hi<SCRIPT\n>alert(1)\n</SCRIPT >!", "Hi!"),
        ("a comment", "Hi<!-- note -->!", "Hi!"),
        ("a handler", "<img src=x onerror=alert(1)>Hi", "Hi"),
        ("a tag inside a tag", "Hi<scr<b>ipt>alert(1)</scr</b>ipt>", "Hi"),
        ("a tag that never ends", "Hi <img src=x onerror=alert(1)", "Hi img src=x onerror=alert(1)"),
        ("a tag by character references", "&lt;b&gt;Hi&#60;/b&#x3e;", "Hi"),
        ("less than", "5 < 6 and <3 & AT&T", "5 < 6 and <3 & AT&T"),
        ("a foreign link", "See https://evil.example/reset?x=1 now.", "See now."),
        ("a foreign link at the end", "See https://evil.example.", "See."),
        ("a foreign link in brackets", "See (https://evil.example/a) now", "See () now"),
        ("a listed link", "See https://help.example.com/reset?x=1.", "See https://help.example.com/reset?x=1."),
        ("a listed link in capitals", "See HTTPS://Help.Example.com/a", "See HTTPS://Help.Example.com/a"),
        ("a listed link in angle brackets", "See <https://help.example.com/a>", "See https://help.example.com/a"),
        ("a foreign link in angle brackets", "See <https://evil.example/a>!", "See!"),
        ("a subdomain of a listed parent", "See https://a.b.example.org/x", "See https://a.b.example.org/x"),
        ("the parent itself", "See https://example.org/x", "See"),
        ("a host that begins like a listed one", "See https://help.example.com.evil.net/", "See"),
        ("a host that ends like a listed one", "See https://evilhelp.example.com/", "See"),
        ("a listed host as user name", "See https://help.example.com@evil.net/", "See"),
        ("a listed host with a password", "See https://help.example.com:443@evil.net/", "See"),
        ("a backslash", "See https://evil.net\\@help.example.com/", "See"),
        ("a port", "See https://help.example.com:8443/a", "See https://help.example.com:8443/a"),
        ("another scheme", "See ftp://help.example.com/a", "See"),
        ("a script address", "Click javascript:alert(1) here", "Click here"),
        ("a data address", "data:text/html;base64,AAAA ok", "ok"),
        ("a telephone link", "Call tel:+491711234567 now", "Call now"),
        ("a bare domain", "Go to evil.com now", "Go to now"),
        ("a bare domain with a path", "Go to www.evil.co.uk/login?u=1, please", "Go to, please"),
        ("a bare listed domain", "Go to help.example.com/faq now", "Go to help.example.com/faq now"),
        ("a bare domain in capitals", "Go to EVIL.COM now", "Go to now"),
        ("a bare domain with a capital end", "Go to evil.Com now", "Go to now"),
        ("a domain in another script", "Go to пример.рф now", "Go to now"),
        ("a domain with other dots", "Go to evil。com or evil．net now", "Go to or now"),
        ("a domain by character reference", "Go to evil&#46;com now", "Go to now"),
        ("a domain split by a tag", "Go to evil<b></b>.com now", "Go to now"),
        ("a domain split by an image", "Go to evil![](x).com now", "Go to now"),
        ("a domain split by an invisible character", "Go to evil.\u{200b}com now", "Go to now"),
        ("words right up to a foreign domain", "您好。请访问evil.com重置密码", "您好。请访问 重置密码"),
        ("a listed host under another top", "Go to help.example.com.рф now", "Go to now"),
        ("a listed host with a look-alike before it", "Go to еhelp.example.com now", "Go to е help.example.com now"),
        (
            "words right up to a listed domain",
            "您好。请访问help.example.com重置密码",
            "您好。请访问 help.example.com重置密码",
        ),
        (
            "words right up to a listed address",
            "请访问https://help.example.com/a重置",
            "请访问 https://help.example.com/a重置",
        ),
        (
            "words right behind a listed address",
            "https://help.example.com重置。您好",
            "https://help.example.com 重置。您好",
        ),
        (
            "a full stop right behind it",
            "请访问 https://help.example.com。您好",
            "请访问 https://help.example.com 。您好",
        ),
        ("an address that goes astray", "See https://help.example.com'@1/x?y now", "See now"),
        ("an address by number", "See http://3232235777/ or 10.0.0.1/x now", "See or now"),
        ("a version number", "Version 1.2.3.4 of the app", "Version 1.2.3.4 of the app"),
        ("an e-mail address", "Write to a.b+c@evil.com today", "Write to today"),
        ("a listed e-mail address", "Write to team@help.example.com today", "Write to team@help.example.com today"),
        ("a mail link", "Write to mailto:x@evil.com?subject=a now", "Write to now"),
        ("a sentence without a blank", "It is done.It will arrive.So wait.", "It is done.It will arrive.So wait."),
        ("a word that goes on after a domain", "C'est fini.naïf et déjà.été", "C'est fini.naïf et déjà.été"),
        ("abbreviations", "e.g. Node.js, i.e. z.B. 3.5 kg", "e.g. Node.js, i.e. z.B. 3.5 kg"),
        ("a markdown link to elsewhere", "Click [here](https://evil.net/a) now", "Click here now"),
        (
            "a markdown link to a listed host",
            "Click [here](https://help.example.com/a) now",
            "Click [here](https://help.example.com/a) now",
        ),
        ("a markdown link with a title", "Click [here](https://evil.net \"t\") now", "Click here now"),
        ("a markdown link to a script", "Click [here](javascript:alert(1)) now", "Click here) now"),
        (
            "a markdown link that names one host and leads to another",
            "[help.example.com](https://evil.net)",
            "help.example.com",
        ),
        (
            "a markdown link whose words are foreign",
            "[evil.net](https://help.example.com/a) x",
            "[](https://help.example.com/a) x",
        ),
        ("a markdown reference", "Click [here][1]\n\n[1]: https://evil.net", "Click [here][1]\n\n[1]:"),
        ("a markdown image", "Hi ![x](https://evil.net/p.png?d=secret)!", "Hi !"),
        ("an image of a listed host", "Hi ![x](https://help.example.com/p?d=secret)", "Hi"),
        ("an image by reference", "Hi ![x][1]", "Hi"),
        (
            "an image with brackets inside",
            "![a[b]c](https://help.example.com/p)",
            "! [a[b]c](https://help.example.com/p)",
        ),
        ("an exclamation before a bracket", "Wow![CARD_1]", "Wow! [CARD_1]"),
        ("a domain that parts from a listed one", "evilhelp.example.comÀ.com>", ">"),
        ("CognigyScript", "Hi {{ci.userId}} {{{x}}}", "Hi { {ci.userId} } { { {x} } }"),
        ("single braces", "Hi {name}", "Hi {name}"),
        ("a placeholder", "Your card [CARD_1] is fine", "Your card [CARD_1] is fine"),
    ] {
        let decision = schema.parse(&with(json!({ "suggested_response": response })));
        let got = decision.map(|decision| decision.suggested_response).unwrap_or_else(|invalid| format!("{invalid:?}"));
        assert_eq!(got, cleaned, "{reason}");
    }
    let longest = "ä".repeat(2_000);
    let marked_up = format!("<p>{longest}</p>");
    assert_eq!(parsed(&schema, &with(json!({"suggested_response": marked_up})))["suggested_response"], json!(longest));
}

static PROFILE: LazyLock<DecisionSchema> = LazyLock::new(|| {
    schema(DecisionRules {
        intents: strings(&["refund"]),
        link_hosts: strings(&["help.example.com"]),
        ..Default::default()
    })
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_response_and_a_parameter_are_clean_after_one_cleaning(
        parts in prop::collection::vec(
            "<[a-z/!]|>|</?b>|&#46;|&lt;|\\{|\\}|!?\\[|\\]|\\(|\\)|https://|evil|help\\.example\\.com|www\\.|\\.(com|rare|рф)|\\.|'|:8|@|/| |请|\\PC{1,3}",
            1..40,
        ),
    ) {
        let clean = |text: &str| {
            PROFILE.parse(&with(json!({ "suggested_response": text }))).map(|decision| decision.suggested_response)
        };
        let parameter = |text: &str| {
            let decision = PROFILE.parse(&with(json!({"extracted_parameters": {"p": text}}))).unwrap();
            decision.extracted_parameters["p"].as_str().unwrap().to_owned()
        };
        let once = parameter(&parts.concat());
        prop_assert!(PROFILE.is_clean_parameter(&json!(once)) || once.chars().count() > 256, "{:?}", once);
        prop_assert_eq!(parameter(&once), once);
        if let Ok(once) = clean(&parts.concat()) {
            prop_assert!((1..=2_000).contains(&once.chars().count()));
            prop_assert!(!once.contains("{{") && !once.contains("!["), "{:?}", once);
            let opens = |at: usize| once[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
            prop_assert!(!once.match_indices('<').any(|(at, _)| opens(at)), "{:?}", once);
            prop_assert_eq!(clean(&once).ok(), Some(once));
        }
    }
}

#[test]
fn a_parameter_keeps_what_customers_are_asked_for_and_loses_links_and_markup() {
    for (reason, given, kept) in [
        ("plain", "business", "business"),
        ("a domain", "shop.attacker.com", "shop.attacker.com"),
        ("an e-mail address", "a@attacker.com", "a@attacker.com"),
        ("a time", "at 10:30, ratio 1:2", "at 10:30, ratio 1:2"),
        ("a foreign link", "see https://attacker.com/x now", "see now"),
        ("a listed link", "https://help.example.com/x", "https://help.example.com/x"),
        ("a listed host as the user", "https://help.example.com'@attacker.com/x", ""),
        ("a listed host under another top", "see https://help.example.com.рф/x", "see"),
        (
            "a domain behind a listed host",
            "https://help.example.com'.attacker.com",
            "https://help.example.com '.attacker.com",
        ),
        ("brackets in a link's words", "[red [now]](//attacker.com)", "[red [now]]"),
        ("a scheme behind an e-mail address", "a@attacker.rare://x", "://x"),
        ("a mail address of a rare top", "a@attacker.rare", "a@attacker.rare"),
        ("a link behind a domain", "t.co/https://attacker.com", ""),
        ("a script behind a domain", "t.co/p://", ""),
        ("backslashes", r"https:\\attacker.com", ""),
        ("no slashes", "https:attacker.com", ""),
        ("a script", "javascript:alert(1)", ""),
        ("a tag", "<img src=x onerror=1>red", "red"),
        ("references", "&lt;script&gt;1&lt;/script&gt;red", "red"),
        ("a markdown link", "[red](https://attacker.com)", "red"),
        ("CognigyScript", "{{context.key}}", "{ {context.key} }"),
    ] {
        let answer = with(json!({"extracted_parameters": {"p": given}}));
        let decision = PROFILE.parse(&answer).unwrap();
        assert_eq!(decision.extracted_parameters["p"], kept, "{reason}");
    }
    let names = json!({"<b>": 1, "a{{b": 2, "https://x": 3, "zero\u{200b}width": 4, "order id": 5, "größe": 6});
    let decision = PROFILE.parse(&with(json!({"extracted_parameters": names}))).unwrap();
    assert_eq!(Value::Object(decision.extracted_parameters), json!({"order id": 5, "größe": 6}));
}
