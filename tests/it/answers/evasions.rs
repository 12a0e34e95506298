//! Answers as a model gives them that is confused, of another family, or talked into something by a customer.

use serde_json::{Value, json};

use super::{good, open, parsed, profile, schema, strings, with};
use cognigy_fallback_router::decision::DecisionRules;

#[test]
fn the_one_object_is_found_in_the_wrappings_of_many_models() {
    let good = good();
    let mut turned: Vec<(String, Value)> =
        serde_json::from_str::<serde_json::Map<_, _>>(&good).unwrap().into_iter().collect();
    turned.reverse();
    let turned = turned.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect::<Vec<_>>().join(",");
    let cases = [
        ("a fence of JSON5", format!("```json5\n{good}\n```"), "ok"),
        ("a fence of tildes", format!("~~~json\n{good}\n~~~"), "ok"),
        ("a fence of four", format!("````json\n{good}\n````"), "ok"),
        ("a fence with a title", format!("```json title=\"a.json\"\n{good}\n```"), "ok"),
        ("a fence that is not closed", format!("```json\n{good}"), "ok"),
        ("a fence that was not opened", format!("{good}\n```"), "ok"),
        ("a fence with carriage returns", format!("```json\r\n{good}\r\n```\r\n"), "ok"),
        ("a byte order mark inside the fence", format!("```json\n\u{feff}{good}\n```"), "ok"),
        ("inline code", format!("`{good}`"), "ok"),
        ("the word json before it", format!("json\n{good}"), "ok"),
        ("XML around it", format!("<answer>{good}</answer>"), "ok"),
        ("gpt-oss channels", format!("<|channel|>final<|message|>{good}<|return|>"), "ok"),
        ("a role before it", format!("assistant: {good}"), "ok"),
        ("a full stop after it", format!("{good}."), "ok"),
        ("no-break spaces around it", format!("\u{a0}{good}\u{a0}"), "ok"),
        ("the end mark of a template", format!("{good}<|im_end|>"), "ok"),
        ("the end mark of another", format!("{good}</s>"), "ok"),
        ("the same object with its fields in another order", format!("{good}\n{{{turned}}}"), "ok"),
        ("the same object three times", format!("{good}{good}{good}"), "ok"),
        ("thoughts in capitals are prose", format!("<THINK>hm</THINK>{good}"), "ok"),
        ("thoughts with a fence in them", format!("<think>```json\n{{}}\n```</think>{good}"), "ok"),
        ("a set in prose", format!("{{a, b}} then {good}"), "ok"),
        ("an escaped quote in a string", with(json!({"suggested_response": "Say \"}\" and \\ now"})), "ok"),
        ("a fence in a string", with(json!({"suggested_response": "```json"})), "ok"),
        ("an integer for the confidence", good.replace("0.92", "1"), "ok"),
        ("an exponent", good.replace("0.92", "92e-2"), "ok"),
        ("a capital exponent", good.replace("0.92", "9.2E-1"), "ok"),
        ("very many digits", good.replace("0.92", &format!("0.{}", "9".repeat(400))), "ok"),
        ("less than the smallest number", good.replace("0.92", "1e-400"), "ok"),
        ("negative nothing", good.replace("0.92", "-0.0"), "ok"),
        ("too many digits", good.replace("0.92", &"9".repeat(400)), "invalid_json"),
        ("1e400", good.replace("0.92", "1e400"), "invalid_json"),
        ("-1e400", good.replace("0.92", "-1e400"), "invalid_json"),
        ("Infinity", good.replace("0.92", "Infinity"), "invalid_json"),
        ("a hexadecimal number", good.replace("0.92", "0x1"), "invalid_json"),
        ("a leading zero", good.replace("0.92", "00.92"), "invalid_json"),
        ("a plus sign", good.replace("0.92", "+0.92"), "invalid_json"),
        ("digits apart", good.replace("0.92", "0.9_2"), "invalid_json"),
        ("None", good.replace("false", "None"), "invalid_json"),
        ("undefined", good.replace("false", "undefined"), "invalid_json"),
        ("names without quotes", good.replace("\"confidence\"", "confidence"), "invalid_json"),
        ("typographic quotes", good.replace("\"confidence\"", "“confidence”"), "invalid_json"),
        ("a line comment", good.replace("0.92", "0.92 // sure\n"), "invalid_json"),
        ("a comma too many in the parameters", good.replace("\"business\"", "\"business\","), "invalid_json"),
        ("a comma too few", good.replace(",\"confidence\"", "\"confidence\""), "invalid_json"),
        (
            "a no-break space between names and values",
            good.replace("\"confidence\":", "\"confidence\":\u{a0}"),
            "invalid_json",
        ),
        ("a byte order mark inside", good.replace("\"confidence\":", "\"confidence\":\u{feff}"), "invalid_json"),
        ("a NUL in a string", good.replace("help you", "help\0you"), "invalid_json"),
        ("a tabulator in a string", good.replace("help you", "help\tyou"), "invalid_json"),
        ("a low surrogate alone", good.replace("help you", "\\udc00"), "invalid_json"),
        ("two high surrogates", good.replace("help you", "\\ud83d\\ud83d"), "invalid_json"),
        ("a surrogate cut short", good.replace("help you", "\\ud83d\\u12"), "invalid_json"),
        ("an escape that is none", good.replace("help you", "\\x41"), "invalid_json"),
        ("Python's triple quotes", good.replace("\"I can", "\"\"\"I can"), "invalid_json"),
        ("an ellipsis in place of the rest", "{\"classified_intent\": \"a\", ...}".to_owned(), "invalid_json"),
        (
            "a key twice, once escaped",
            good.replace("{\"classified", "{\"\\u0063onfidence\":1,\"classified"),
            "invalid_json",
        ),
        (
            "a key twice, the same value",
            good.replace("\"confidence\":0.92", "\"confidence\":0.92,\"confidence\":0.92"),
            "invalid_json",
        ),
        ("one brace too few", good.replace("\"business\"}", "\"business\""), "invalid_json"),
        ("cut off, and begun again", format!("{}\n{good}", &good[..60]), "invalid_json"),
        (
            "a draft and another answer",
            format!("{}\nOn reflection:\n{good}", with(json!({"confidence": 0.5}))),
            "ambiguous",
        ),
        ("the schema before it", format!("{{\"type\": \"object\"}}\n{good}"), "ambiguous"),
        ("an example in a fence, and the answer", format!("```json\n{{\"a\": 1}}\n```\n{good}"), "ambiguous"),
        ("a line for each of two", format!("{good}\n{}", with(json!({"requires_human_agent": true}))), "ambiguous"),
        ("the object as a string", json!(good).to_string(), "not_an_object"),
        ("the object in a list, fenced", format!("```\n[{good}, {good}]\n```"), "not_an_object"),
        ("true", "true".to_owned(), "not_an_object"),
        ("a wrapper around it", format!("{{\"answer\": {good}}}"), "schema_violation"),
        ("a tool call instead", "{\"name\": \"route\", \"arguments\": {}}".to_owned(), "schema_violation"),
        ("an empty object", "{}".to_owned(), "schema_violation"),
        ("names in other letters", good.replace("confidence", "Confidence"), "schema_violation"),
        ("names with blanks", good.replace("\"confidence\"", "\" confidence\""), "schema_violation"),
        (
            "a name with a zero-width space",
            good.replace("\"confidence\"", "\"confi\u{200b}dence\""),
            "schema_violation",
        ),
        ("SSE text", format!("data: {good}\n\ndata: [DONE]"), "ok"),
        ("HTML", "<html><body>502 Bad Gateway</body></html>".to_owned(), "invalid_json"),
        ("a function's text", "{{#if x}}{{/if}}".to_owned(), "invalid_json"),
        ("only closing braces", "}".repeat(1000), "invalid_json"),
        ("only a fence mark", "```".to_owned(), "invalid_json"),
        ("thousands of empty objects", "{}".repeat(30_000), "schema_violation"),
        ("thousands of brackets", "[".repeat(60_000), "too_large"),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(reason, answer, code)| {
            (reason, open().parse(answer).map_or_else(|invalid| invalid.code, |_| "ok"), code)
        })
        .filter(|(_, got, code)| got != *code)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each response, and what may not be left of it. What is left need not be pretty.
#[test]
fn no_markup_link_or_script_survives_in_any_disguise() {
    let schema = schema(DecisionRules { link_hosts: strings(&["help.example.com"]), ..DecisionRules::default() });
    let cases: &[(&str, &str, &[&str])] = &[
        ("references of references", "a &amp;lt;script&amp;gt;x&amp;lt;/script&amp;gt;", &["<script", "&lt;"]),
        ("three deep", "a &amp;amp;lt;img src=x&amp;amp;gt;", &["<img", "&lt;"]),
        ("references without an end", "a &#60script&#62x", &["<script", "&#60"]),
        ("hexadecimal references", "a &#x3C;img src=x&#x3e;", &["<img"]),
        ("tags in tags", "a <scr<script>ipt>alert(1)</scr</script>ipt>", &["<script", "</script"]),
        ("a slash for a blank", "a <svg/onload=alert(1)>", &["<svg", "onload"]),
        ("a tag that is not closed", "a <img src=x onerror=alert(1) ", &["<img"]),
        ("a tag parted by an invisible character", "a <\u{200b}img src=x>", &["<img"]),
        ("a tag parted by a tag character", "a <i\u{e0041}mg src=x>", &["<img"]),
        ("a comment that hides", "a <!--x--><b>y</b><!--", &["<!--", "<b"]),
        ("a declaration", "a <!DOCTYPE html><?php x ?>", &["<!", "<?"]),
        ("a script in capitals", "a <ScRiPt SRC=//evil.com>", &["<ScRiPt", "evil.com"]),
        ("a link tag", "a <a href='https://evil.com'>here</a>", &["evil.com", "<a"]),
        ("a form", "a <form action=https://evil.com><input></form>", &["evil.com", "<form"]),
        ("a style that fetches", "a <style>@import 'https://evil.com';</style>", &["evil.com"]),
        ("javascript by reference", "a java&#115;cript:alert(1)", &["javascript:"]),
        ("javascript with a tab by reference", "a jav&#x09;ascript:alert(1)", &["javascript:"]),
        ("javascript in mixed letters", "a JaVaScRiPt:alert(1)", &["ript:alert"]),
        ("javascript parted by an invisible character", "a java\u{200b}script:alert(1)", &["javascript:"]),
        ("a data address", "a data:text/html;base64,PHNjcmlwdD4=", &["base64"]),
        ("a file", "a file:///etc/passwd", &["file:", "passwd"]),
        ("no scheme", "a //evil.com/x", &["evil.com"]),
        ("one slash", "a https:/evil.com", &["evil.com"]),
        ("backslashes", r"a https:\\evil.com", &["evil.com"]),
        ("a full stop after it", "a evil.com.", &["evil.com"]),
        ("a one dot leader", "a evil\u{2024}com", &["evil\u{2024}com"]),
        ("full-width letters", "a ｅｖｉｌ．ｃｏｍ", &["ｅｖｉｌ", "evil"]),
        ("mathematical letters", "a 𝐞𝐯𝐢𝐥.𝐜𝐨𝐦", &["𝐞𝐯𝐢𝐥", "evil"]),
        ("circled letters", "a ⓔⓥⓘⓛ.ⓒⓞⓜ", &["ⓔⓥⓘⓛ", "evil"]),
        ("Cyrillic letters in a foreign name", "a еvil.com", &["vil.com"]),
        ("Punycode", "a xn--80ak6aa92e.com and xn--e1afmkfd.xn--p1ai", &["xn--"]),
        ("a listed host as the user", "a https://help.example.com@evil.com/x", &["evil.com"]),
        ("a listed host and port as the user", "a https://help.example.com:443@evil.com", &["evil.com"]),
        ("a listed host before another", "a https://help.example.com.evil.com/x", &["evil.com"]),
        ("a listed host before another, encoded", "a https://help.example.com%2eevil.com/x", &["evil.com"]),
        ("a listed host in the path", "a https://evil.com/help.example.com", &["evil.com"]),
        ("a listed host in the query", "a https://evil.com?u=https://help.example.com", &["evil.com"]),
        ("a backslash after a listed host", r"a https://help.example.com\@evil.com", &["evil.com"]),
        ("a tab in the host", "a https://help.example.com&Tab;.evil.com", &["evil.com"]),
        (
            "an address by number with a path",
            "a 3232235777 or 192.168.0.1/x or 192.168.0.1:80",
            &["192.168.0.1/", "192.168.0.1:"],
        ),
        ("an IPv6 address", "a http://[::1]/x", &["[::1]", "http:"]),
        ("a link of another app", "a whatsapp://send?text=x and intent://evil#Intent", &["://"]),
        ("a phone link", "a tel:+1900555000", &["tel:"]),
        ("a reference definition", "a [x]\n\n[x]: https://evil.com 'y'", &["evil.com"]),
        ("an address in angle brackets", "a <https://evil.com/x>", &["evil.com"]),
        ("a markdown link without a scheme", "a [x](//evil.com/x)", &["evil.com", "]("]),
        ("a markdown link to a word", "a [x](evil)", &["]("]),
        ("a markdown link with blanks", "a [x]( https://evil.com )", &["evil.com", "]("]),
        ("a markdown link over two lines", "a [x](\nhttps://evil.com\n)", &["evil.com"]),
        ("an image in a link", "a [![x](https://evil.com/p)](https://evil.com)", &["evil.com", "!["]),
        ("an image by reference with a definition", "a ![x][y]\n[y]: https://evil.com", &["evil.com", "!["]),
        ("an image parted by an invisible character", "a !\u{200b}[x](https://help.example.com/x?d=1)", &["!["]),
        ("an image parted by a tag", "a !<b></b>[x](https://help.example.com/x)", &["!["]),
        ("an image by reference to a character", "a &#33;[x](https://help.example.com/x)", &["!["]),
        ("an e-mail address in a link", "a mailto:x@evil.com?bcc=y@evil.com", &["evil.com", "mailto:"]),
        ("a listed host as the user, behind a quote", "a https://help.example.com'@3405803785/x", &["3405803785"]),
        ("a listed host as the user, behind a bar", "a https://help.example.com|@evil.rip/x", &["evil.rip"]),
        ("a listed host as the user, behind a brace", "a https://help.example.com{@3405803785/x", &["3405803785"]),
        ("a listed host as the user, with a password", "a https://help.example.com:é@3405803785/x", &["3405803785"]),
        ("a listed host as the user, a wide sign", "a https://help.example.com'＠evil.rare/x", &["evil.rare"]),
        ("a listed host as the user, behind a roof", "a https://help.example.com^@evil.rip/x", &["evil.rip"]),
        ("a listed host as the user, in brackets", "a https://help.example.com(@evil.rip/x", &["evil.rip"]),
        ("a bare listed host as the user", "a www.help.example.com and help.example.com'@34058/x", &["www", "com'@"]),
        ("a listed address under another top", "a https://help.example.com.рф/x", &[".рф"]),
        ("an ideographic dot after a listed host", "a https://help.example.com。xyz/login", &["help.example.com。xyz"]),
        ("letters right behind a listed host", "a https://help.example.comрф.рф/x", &["help.example.comр"]),
        ("a domain behind a quote", "a https://help.example.com'.evil.rare", &["com'.evil"]),
        ("a domain behind a quote, encoded", "a https://help.example.com'%2eevil%2erare/x", &["com'%2e"]),
        ("brackets in a link's words", "a [b [c]](https://help.example.com'@3405803785/x)", &["]("]),
        ("escaped brackets in a link's words", r"a [b \[c]](//acme-bank.help/x)", &["](", "acme-bank"]),
        ("brackets in a link's words, a bare number", "a [b [c]](//3405803785/x)", &["](", "3405803785"]),
        ("a definition without a scheme", "a [x]\n\n[x]: //acme.rare", &["acme.rare"]),
        ("a rare top", "a acme-bank.help/x", &["acme-bank.help"]),
        ("rare tops with more behind", "a acme.rare/x acme.rare?x=1 acme.rare:80 acme.rare/é", &["acme"]),
        ("an accent in the path", "a evil.com/été", &["evil.com"]),
        ("a new top", "a acme-login.mov or acme.insurance", &["acme"]),
        ("www", "a www.acme.help", &["www."]),
        ("www of a rare top", "a www.acme.rare and WWW.пример.тест", &["acme", "пример"]),
        ("a mail address of a rare top", "a x@acme.help", &["acme.help"]),
        ("a mail address of another rare top", "a x@acme.rare or x﹫пример.тест", &["acme", "пример"]),
        ("a capital top", "a login-acme.Shop", &["login-acme"]),
        ("a capital top of three labels", "a login.acme.Shop", &["acme"]),
        ("CognigyScript by reference", "a &#123;&#123;ci.x&#125;&#125;", &["{{", "}}"]),
        ("CognigyScript parted by a tag", "a {<b></b>{ci.x}<b></b>}", &["{{", "}}"]),
        ("CognigyScript parted by an invisible character", "a {\u{2060}{ci.x}\u{200b}}", &["{{", "}}"]),
        ("CognigyScript parted by an image", "a {![](x){ci.x}![](x)}", &["{{", "}}"]),
        ("CognigyScript parted by a link", "a {https://evil.com {ci.x}https://evil.com }", &["{{", "}}", "evil"]),
        ("terminal colours", "a \u{1b}[31mred\u{9b}0m", &["\u{1b}", "\u{9b}"]),
        ("text from right to left", "a \u{202e}moc.live", &["\u{202e}"]),
        ("tags that spell", "a \u{e0068}\u{e0069}", &["\u{e0068}"]),
        (
            "bits in variation selectors",
            "a\u{fe0f}\u{fe0e}\u{fe0f}\u{fe0e} b",
            &["\u{fe0f}\u{fe0e}", "\u{fe0e}\u{fe0f}"],
        ),
    ];
    let mut wrong = Vec::new();
    for (reason, response, gone) in cases {
        let said = match schema.parse(&with(json!({ "suggested_response": response }))) {
            Ok(decision) => decision.suggested_response,
            Err(invalid) => {
                wrong.push(format!("{reason}: {invalid:?}"));
                continue;
            }
        };
        if let Some(left) = gone.iter().find(|part| said.contains(**part)) {
            wrong.push(format!("{reason}: {left:?} is left in {said:?}"));
        }
        if !said.starts_with('a') {
            wrong.push(format!("{reason}: too much is gone, {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn honest_responses_stay_as_they_are() {
    let schema = schema(DecisionRules { link_hosts: strings(&["help.example.com"]), ..DecisionRules::default() });
    for response in [
        "I'll help you: 1) open the app, 2) tap \"Reset\".",
        "Your order no. 302-1234567 will arrive on 24.12.2026 between 9:30 and 11:00.",
        "It costs 12.50 EUR (incl. 19 % VAT) & ships free.",
        "x < y and y > z, a<5, 3>2",
        "Ihr Passwort läuft in 3 Tagen ab – möchten Sie es ändern?",
        "パスワードをリセットします。よろしいですか？",
        "您好。请稍等。",
        "سأساعدك في إعادة تعيين كلمة المرور.",
        "👍 Done! ❤\u{fe0f}",
        "See https://help.example.com/a?b=c&d=e#f for more.",
        "First line\nSecond line\n\n- item *one*\n- item **two**",
        "Use `code` or _emphasis_ [1].",
        "Version 2.10.3 of the app, section 4.2.",
        "Node.js, z.B. mit v1.2/1.3, d.h. e.g./i.e. and/or 24/7.",
        "It is done.It will arrive.",
        "Mo.-Fr. 9:00-17:00, 1.5 l/2 l, Muster e.V./GmbH, photo.jpg, Settings/Privacy, a.m./p.m.",
        "see https://help.example.com.",
        "see https://help.example.com, or (https://help.example.com): \"https://help.example.com\"!",
        "see https://help.example.com/a. Next",
        "see [how [now] it works](https://help.example.com/a).",
        "詳しくは (https://help.example.com)。次に",
        "Write to team@help.example.com, or see www: help.example.com.",
    ] {
        let said = parsed(&schema, &with(json!({ "suggested_response": response })))["suggested_response"].clone();
        assert_eq!(said, json!(response));
    }
}

#[test]
fn an_intent_in_disguise_is_the_listed_one_or_unknown() {
    let wrong: Vec<_> = [
        ("capitals", "REFUND", "refund"),
        ("a line end after it", "refund\n", "refund"),
        ("an invisible character inside", "re\u{200b}fund", "refund"),
        ("tags after it", "refund\u{e0041}", "refund"),
        ("no-break spaces around it", "\u{a0}refund\u{3000}", "refund"),
        ("a Cyrillic letter", "rеfund", "UNKNOWN"),
        ("full-width letters", "ｒｅｆｕｎｄ", "UNKNOWN"),
        ("a list", "refund, Password_Reset", "UNKNOWN"),
        ("a path", "refund/../password_reset", "UNKNOWN"),
        ("quotes around it", "\"refund\"", "UNKNOWN"),
        ("a namespace", "intents.refund", "UNKNOWN"),
        ("a prefix", "ref", "UNKNOWN"),
        ("another separator", "password-reset", "UNKNOWN"),
        ("a blank for the separator", "password reset", "UNKNOWN"),
        ("CognigyScript", "{{input.intent}}", "UNKNOWN"),
        ("markup around it", "<b>refund</b>", "refund"),
        ("UNKNOWN in small letters", "unknown", "UNKNOWN"),
        ("a dotless i", "kündıgung", "UNKNOWN"),
        ("letters composed otherwise", "ku\u{308}ndigung", "Kündigung"),
        ("a name of JavaScript's", "__proto__", "UNKNOWN"),
        ("toString", "toString", "UNKNOWN"),
    ]
    .into_iter()
    .filter_map(|(reason, intent, expected)| {
        let decision = parsed(&profile(), &with(json!({ "classified_intent": intent })));
        let human = decision["requires_human_agent"] == json!(true);
        let right = decision["classified_intent"] == expected && (expected != "UNKNOWN" || human);
        (!right).then(|| format!("{reason}: {decision}"))
    })
    .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_parameter_has_no_name_that_means_something_to_a_program() {
    let names = r#"{"__proto__": {"admin": true}, "constructor": 1, "prototype": 2, "a": {"__proto__": 1, "b": 2}}"#;
    let answer = with(json!({"extracted_parameters": "?"})).replace("\"?\"", names);
    assert_eq!(parsed(&open(), &answer)["extracted_parameters"], json!({"a": {"b": 2}}));
}
