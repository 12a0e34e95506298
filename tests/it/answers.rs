//! What becomes of every kind of answer that a model has been seen to give.

use std::{collections::BTreeMap, sync::LazyLock};

use cognigy_fallback_router::decision::{Decision, DecisionRules, DecisionSchema, Invalid, MAX_ANSWER_BYTES};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn default_schema() -> Value {
    serde_json::from_str(include_str!("../../templates/default/decision.schema.json")).unwrap()
}

fn schema(rules: DecisionRules) -> DecisionSchema {
    DecisionSchema::compile(&default_schema(), rules).unwrap()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn open() -> DecisionSchema {
    schema(DecisionRules::default())
}

/// A valid answer with some fields replaced; `Value::Null` as a whole field stays null.
fn with(changes: Value) -> String {
    let mut answer = json!({
        "classified_intent": "password_reset",
        "confidence": 0.92,
        "extracted_parameters": {"account_type": "business"},
        "suggested_response": "I can help you reset your password.",
        "requires_human_agent": false
    });
    for (name, value) in changes.as_object().unwrap() {
        answer[name] = value.clone();
    }
    answer.to_string()
}

fn without(name: &str) -> String {
    let mut answer: Map<String, Value> = serde_json::from_str(&with(json!({}))).unwrap();
    answer.remove(name);
    Value::Object(answer).to_string()
}

fn good() -> String {
    with(json!({}))
}

fn parsed(schema: &DecisionSchema, answer: &str) -> Value {
    match schema.parse(answer) {
        Ok(decision) => serde_json::to_value(decision).unwrap(),
        Err(Invalid { code, .. }) => json!(code),
    }
}

#[test]
fn one_object_is_found_wherever_the_model_put_it() {
    let good = good();
    let spaced = good.replace(",\"", ", \n \"");
    let fence_in_text = with(json!({"suggested_response": "Type ``` twice."}));
    for (reason, answer) in [
        ("the bare object", good.clone()),
        ("blanks around it", format!(" \r\n\t{good}\n\n")),
        ("a byte order mark before it", format!("\u{feff}{good}")),
        ("laid out over several lines", spaced.clone()),
        ("a json fence", format!("```json\n{good}\n```")),
        ("a fence without a language", format!("```\n{good}\n```")),
        ("a fence on one line", format!("```json {good}```")),
        ("a fence with capitals", format!("```JSON\n{good}\n```\n")),
        ("prose before it", format!("Here is the JSON you asked for:\n{good}")),
        ("prose after it", format!("{good}\nLet me know if you need more.")),
        ("prose around a fence", format!("Sure!\n```json\n{good}\n```\nAnything else?")),
        ("the same object twice", format!("{good}\n{good}")),
        ("the same object twice, laid out otherwise", format!("{good}\nor\n{spaced}")),
        ("thoughts before it", format!("<think>\nThe customer wants {{a}} reset.\n</think>\n{good}")),
        ("thoughts with a draft", format!("<think>maybe {{\"classified_intent\": \"x\"}}</think>{good}")),
        ("empty thoughts and a fence", format!("<think></think>\n```json\n{good}\n```")),
        ("thoughts under another name", format!("<thinking>hm</thinking>{good}")),
        ("two rounds of thoughts", format!("<think>a</think> <think>b</think>{good}")),
        ("thoughts whose beginning the server kept", format!("The customer is locked out.\n</think>\n\n{good}")),
        ("braces that are prose", format!("I fill in {{the template}}: {good}")),
        ("placeholders in prose", format!("Dear {{{{name}}}}, {good}")),
        ("a lone quote in prose", format!("The customer's 5\" display: {good}")),
        ("a lone closing brace", format!("}} {good}")),
    ] {
        let decision = open().parse(&answer).unwrap_or_else(|invalid| panic!("{reason}: {invalid:?}"));
        assert_eq!(decision.classified_intent, "password_reset", "{reason}");
        assert_eq!(decision.extracted_parameters["account_type"], "business", "{reason}");
    }
    assert!(open().parse(&fence_in_text).is_ok(), "a fence inside a string is text");
}

#[test]
fn what_is_no_single_whole_object_is_refused_with_its_code() {
    let good = good();
    let other = with(json!({"classified_intent": "refund"}));
    let deep = |levels: usize| with(json!({"extracted_parameters": {"a": nested(levels)}}));
    let cut = |at: usize| good[..at].to_owned();
    for (reason, answer, code) in [
        ("nothing", String::new(), "empty"),
        ("only blanks", " \n\t ".to_owned(), "empty"),
        ("only a byte order mark", "\u{feff}".to_owned(), "empty"),
        ("only thoughts", "<think>I wonder</think>".to_owned(), "empty"),
        ("thoughts that never end", format!("<think>{good}"), "empty"),
        ("an empty fence", "```json\n```".to_owned(), "empty"),
        ("a refusal in prose", "I'm sorry, I cannot help with that.".to_owned(), "invalid_json"),
        ("cut off after the first field", cut(70), "invalid_json"),
        ("cut off in a string", cut(30), "invalid_json"),
        ("cut off before the last brace", cut(good.len() - 1), "invalid_json"),
        ("cut off with a whole object inside", "{\"a\": {\"b\": 1}".to_owned(), "invalid_json"),
        ("a fence cut off", format!("```json\n{}", cut(40)), "invalid_json"),
        ("single quotes", good.replace('"', "'"), "invalid_json"),
        ("a comma too many", good.replace("password.\"}", "password.\",}"), "invalid_json"),
        ("a comment", good.replace("0.92", "0.92 /* sure */"), "invalid_json"),
        ("Python's words", good.replace("false", "False"), "invalid_json"),
        ("not a number", good.replace("0.92", "NaN"), "invalid_json"),
        ("infinity", good.replace("0.92", "1e999"), "invalid_json"),
        ("a number without its zero", good.replace("0.92", ".92"), "invalid_json"),
        ("a decimal comma", good.replace("0.92", "0,92"), "invalid_json"),
        ("a percent sign", good.replace("0.92", "92%"), "invalid_json"),
        ("a line break in a string", good.replace("help you", "help\nyou"), "invalid_json"),
        ("half a surrogate pair", good.replace("help you", "help \\ud83d you"), "invalid_json"),
        ("a key twice", good.replace("{\"classified", "{\"confidence\":1,\"classified"), "invalid_json"),
        (
            "a key twice inside",
            good.replace("{\"account_type\"", "{\"account_type\":1,\"account_type\""),
            "invalid_json",
        ),
        ("a key twice within prose", format!("So: {}", good.replace("0.92", "0.92,\"confidence\":1")), "invalid_json"),
        ("a broken object before a whole one", format!("{{\"a\": b}} {good}"), "invalid_json"),
        ("a broken object after a whole one", format!("{good} {{\"a\": b}}"), "invalid_json"),
        ("two different objects", format!("{good}\n{other}"), "ambiguous"),
        ("two different objects in two fences", format!("```json\n{good}\n```\n```json\n{other}\n```"), "ambiguous"),
        ("an object of the customer's, quoted", format!("They wrote {other}, so: {good}"), "ambiguous"),
        ("an empty object beside it", format!("{{}} {good}"), "ambiguous"),
        (
            "thoughts that quote the end of thoughts",
            format!("<think>they say </think>{other} hm</think>{good}"),
            "ambiguous",
        ),
        ("an end of thoughts inside the object", with(json!({"suggested_response": "</think>{}"})), "ok"),
        ("the same behind prose", format!("So: {}", with(json!({"suggested_response": "</think>{\"a\":1}"}))), "ok"),
        ("an array", format!("[{good}]"), "not_an_object"),
        ("an array in a fence", format!("```json\n[{good}]\n```"), "not_an_object"),
        ("a string", Value::String(good.clone()).to_string(), "not_an_object"),
        ("a number", "0.92".to_owned(), "not_an_object"),
        ("null", "null".to_owned(), "not_an_object"),
        ("32 levels", deep(30), "ok"),
        ("33 levels", deep(31), "too_large"),
        ("33 levels within prose", format!("So: {}", deep(31)), "too_large"),
        ("64 KiB", format!("{good}{}", " ".repeat(MAX_ANSWER_BYTES - good.len())), "ok"),
        ("more than 64 KiB", format!("{good}{}", " ".repeat(MAX_ANSWER_BYTES + 1 - good.len())), "too_large"),
        ("nothing but braces", "{".repeat(MAX_ANSWER_BYTES), "invalid_json"),
        ("nothing but brace and quote", "{\"".repeat(MAX_ANSWER_BYTES / 2), "invalid_json"),
    ] {
        let got = open().parse(&answer).map_or_else(|invalid| invalid.code, |_| "ok");
        assert_eq!(got, code, "{reason}");
    }
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn each_field_keeps_its_rule_and_the_rule_is_named_without_the_value() {
    let field = |name: &str, value: Value| with(json!({ name: value }));
    for (reason, answer, rule) in [
        ("no intent", without("classified_intent"), "classified_intent: is required"),
        ("a blank intent", field("classified_intent", json!("  ")), "classified_intent: must have at least 1"),
        (
            "an invisible intent",
            field("classified_intent", json!("\u{200b}")),
            "classified_intent: must have at least 1",
        ),
        (
            "a long intent",
            field("classified_intent", json!("x".repeat(129))),
            "classified_intent: must have at most 128",
        ),
        (
            "an intent that is null",
            field("classified_intent", Value::Null),
            "classified_intent: must be of type string",
        ),
        ("a list of intents", field("classified_intent", json!(["a"])), "classified_intent: must be of type string"),
        ("no confidence", without("confidence"), "confidence: is required"),
        ("92 per cent", field("confidence", json!(92)), "confidence: must be at most 1"),
        ("92 per cent as a string", field("confidence", json!("92")), "confidence: must be at most 1"),
        ("a little too sure", field("confidence", json!(1.000_001)), "confidence: must be at most 1"),
        ("less than nothing", field("confidence", json!(-0.1)), "confidence: must be at least 0"),
        ("a word", field("confidence", json!("high")), "confidence: must be of type number"),
        ("a percentage", field("confidence", json!("92%")), "confidence: must be of type number"),
        ("a sign", field("confidence", json!("+0.9")), "confidence: must be of type number"),
        ("an exponent", field("confidence", json!("9e-1")), "confidence: must be of type number"),
        ("a comma", field("confidence", json!("0,9")), "confidence: must be of type number"),
        ("a blank", field("confidence", json!(" 0.9")), "confidence: must be of type number"),
        ("no whole part", field("confidence", json!(".9")), "confidence: must be of type number"),
        ("no fraction", field("confidence", json!("0.")), "confidence: must be of type number"),
        ("a leading zero", field("confidence", json!("00.9")), "confidence: must be of type number"),
        ("other digits", field("confidence", json!("٠.٩")), "confidence: must be of type number"),
        ("NaN as a string", field("confidence", json!("NaN")), "confidence: must be of type number"),
        ("a boolean", field("confidence", json!(true)), "confidence: must be of type number"),
        ("null", field("confidence", Value::Null), "confidence: must be of type number"),
        ("parameters null", field("extracted_parameters", Value::Null), "extracted_parameters: must be of type object"),
        (
            "a list of parameters",
            field("extracted_parameters", json!([])),
            "extracted_parameters: must be of type object",
        ),
        (
            "parameters as text",
            field("extracted_parameters", json!("{}")),
            "extracted_parameters: must be of type object",
        ),
        ("no response", without("suggested_response"), "suggested_response: is required"),
        ("an empty response", field("suggested_response", json!("")), "suggested_response: must have at least 1"),
        (
            "nothing but markup",
            field("suggested_response", json!("<p> </p>")),
            "suggested_response: must have at least 1",
        ),
        (
            "nothing but a link",
            field("suggested_response", json!("https://x.io/a")),
            "suggested_response: must have at least 1",
        ),
        (
            "2,001 characters",
            field("suggested_response", json!("ä".repeat(2_001))),
            "suggested_response: must have at most 2000",
        ),
        (
            "60,000 characters",
            field("suggested_response", json!("<b>".repeat(20_000))),
            "suggested_response: must have at most 2000",
        ),
        (
            "a response that is a list",
            field("suggested_response", json!(["a"])),
            "suggested_response: must be of type string",
        ),
        ("no word about a human", without("requires_human_agent"), "requires_human_agent: is required"),
        ("yes", field("requires_human_agent", json!("yes")), "requires_human_agent: must be of type boolean"),
        ("True", field("requires_human_agent", json!("True")), "requires_human_agent: must be of type boolean"),
        ("1", field("requires_human_agent", json!(1)), "requires_human_agent: must be of type boolean"),
        (
            "null for a human",
            field("requires_human_agent", Value::Null),
            "requires_human_agent: must be of type boolean",
        ),
    ] {
        let invalid = open().parse(&answer).expect_err(reason);
        assert_eq!(invalid.code, "schema_violation", "{reason}");
        assert!(matches!(&invalid.rules[..], [only] if only.starts_with(rule)), "{reason}: {:?}", invalid.rules);
    }
}

#[test]
fn the_tolerated_deviations_become_what_they_mean() {
    let confidence = |value: Value| parsed(&open(), &with(json!({ "confidence": value })))["confidence"].clone();
    for (value, expected) in [
        (json!("0.92"), 0.92),
        (json!("1"), 1.0),
        (json!("0"), 0.0),
        (json!("1.0"), 1.0),
        (json!(1), 1.0),
        (json!(-0.0), 0.0),
        (json!(1e-300), 1e-300),
    ] {
        assert_eq!(confidence(value.clone()).to_string(), json!(expected).to_string(), "{value}");
    }
    let human =
        |value: &str| parsed(&open(), &with(json!({ "requires_human_agent": value })))["requires_human_agent"].clone();
    assert_eq!((human("true"), human("false")), (json!(true), json!(false)));

    let bare = parsed(&open(), &without("extracted_parameters"));
    assert_eq!(bare["extracted_parameters"], json!({}), "absent parameters are none");
    let more = parsed(&open(), &with(json!({"reasoning": "because", "status": "success"})));
    assert_eq!(more, parsed(&open(), &good()), "other fields are dropped");
    let blanks = parsed(&open(), &with(json!({"classified_intent": " password_reset\n"})));
    assert_eq!(blanks["classified_intent"], "password_reset");
    let braces =
        with(json!({"classified_intent": "a\u{0}{{b", "extracted_parameters": {"k": ["{{x}}", {"l": "\u{202e}y"}]}}));
    let braces = parsed(&open(), &braces);
    assert_eq!(braces["classified_intent"], "a{ {b");
    assert_eq!(braces["extracted_parameters"], json!({"k": ["{ {x} }", {"l": "y"}]}));
}

#[test]
fn every_broken_rule_is_named_at_once_and_none_repeats_the_answer() {
    let answer = with(json!({
        "classified_intent": "", "confidence": "tell-tale", "extracted_parameters": null,
        "suggested_response": "tell-tale ".repeat(300), "requires_human_agent": "tell-tale"
    }));
    let invalid = open().parse(&answer).unwrap_err();
    let fields: Vec<_> = invalid.rules.iter().map(|rule| rule.split(':').next().unwrap()).collect();
    for name in
        ["classified_intent", "confidence", "extracted_parameters", "suggested_response", "requires_human_agent"]
    {
        assert!(fields.contains(&name), "{name} in {:?}", invalid.rules);
    }
    assert_eq!(fields.len(), 5, "{:?}", invalid.rules);
    assert!(!format!("{invalid:?}").contains("tell-tale"), "{invalid:?}");
}

fn profile() -> DecisionSchema {
    schema(DecisionRules {
        intents: strings(&["Password_Reset", "refund", "Kündigung"]),
        parameters: BTreeMap::from([("refund".to_owned(), strings(&["order", "amount"]))]),
        min_confidence: Some(0.6),
        high_risk: strings(&["kündigung"]),
        ..DecisionRules::default()
    })
}

#[test]
fn the_profile_decides_which_intents_there_are_and_who_answers() {
    let cases = [
        ("the spelling of the list wins", "PASSWORD_RESET", 0.9, "Password_Reset", false),
        ("blanks do not count", " refund ", 0.9, "refund", false),
        ("off the list", "open_account", 0.9, "UNKNOWN", true),
        ("nearly on the list", "refunds", 0.9, "UNKNOWN", true),
        ("the model cannot tell", "unknown", 0.9, "UNKNOWN", true),
        ("exactly sure enough", "refund", 0.6, "refund", false),
        ("not sure enough", "refund", 0.59, "refund", true),
        ("a risky intent", "KÜNDIGUNG", 1.0, "Kündigung", true),
    ];
    for (reason, intent, confidence, expected, human) in cases {
        let decision = parsed(&profile(), &with(json!({"classified_intent": intent, "confidence": confidence})));
        assert_eq!(decision["classified_intent"], expected, "{reason}");
        assert_eq!(decision["requires_human_agent"], human, "{reason}");
    }
    let asked = parsed(&profile(), &with(json!({"classified_intent": "refund", "requires_human_agent": true})));
    assert_eq!(asked["requires_human_agent"], true, "no rule speaks against a human");
    let free = parsed(&open(), &with(json!({"classified_intent": "Anything At All"})));
    assert_eq!(free["classified_intent"], "Anything At All", "without a list every name is allowed");
    let free = parsed(&open(), &with(json!({"classified_intent": "Unknown"})));
    assert_eq!((&free["classified_intent"], &free["requires_human_agent"]), (&json!("UNKNOWN"), &json!(true)));
}

#[test]
fn an_intent_has_only_the_parameters_that_the_profile_lists_for_it() {
    let refund = |parameters: Value| {
        let answer = with(json!({"classified_intent": "Refund", "extracted_parameters": parameters}));
        profile().parse(&answer).map(|decision: Decision| Value::Object(decision.extracted_parameters))
    };
    assert_eq!(refund(json!({"order": "A-1", "sql": "drop"})).unwrap(), json!({"order": "A-1"}), "others are dropped");
    assert_eq!(refund(json!({"order": null, "amount": 12.5})).unwrap(), json!({"order": null, "amount": 12.5}));
    assert_eq!(refund(json!({"Order": "A-1"})).unwrap(), json!({}), "names are exact");
    assert!(refund(json!({"order": "ä".repeat(256)})).is_ok());
    assert!(refund(json!({"sql": ["dropped", "before", "it", "counts"]})).is_ok());
    for (reason, value) in [("long", json!("ä".repeat(257))), ("list", json!(["A-1"])), ("object", json!({"a": 1}))] {
        let invalid = refund(json!({"order": value, "amount": 1})).unwrap_err();
        assert_eq!(invalid.code, "schema_violation", "{reason}");
        assert!(invalid.rules[0].starts_with("extracted_parameters.order: must be"), "{reason}: {:?}", invalid.rules);
    }
    let unlisted = with(json!({"extracted_parameters": {"any": {"thing": [1]}}}));
    assert_eq!(parsed(&profile(), &unlisted)["extracted_parameters"], json!({"any": {"thing": [1]}}));
}

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

#[test]
fn a_schema_that_is_weaker_than_the_contract_or_no_decision_is_refused() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut schema = default_schema();
        change(&mut schema);
        DecisionSchema::compile(&schema, DecisionRules::default()).err().map(|error| error.to_string())
    };
    assert_eq!(changed(&|_| ()), None);
    for (reason, change, message) in [
        ("not a schema", (&|s: &mut Value| s["type"] = json!("thing")) as &dyn Fn(&mut Value), "is not a JSON Schema"),
        (
            "another reference",
            &|s| s["properties"]["confidence"] = json!({"$ref": "https://evil.net/s"}),
            "is not a JSON Schema",
        ),
        ("not an object", &|s| *s = json!([]), "is not a JSON Schema"),
        ("everything goes", &|s| *s = json!({}), "does not describe \"classified_intent\""),
        ("a field is missing", &|s| s["properties"]["suggested_response"].take().as_null().unwrap_or(()), ""),
        ("a field of its own is required", &|s| s["required"] = json!(["reason"]), "requires \"reason\""),
        ("a field is optional", &|s| s["required"] = json!(["confidence"]), "without \"classified_intent\""),
        ("no upper limit", &|s| s["properties"]["confidence"]["maximum"] = json!(100), "more than 1 as \"confidence\""),
        ("too long", &|s| s["properties"]["suggested_response"]["maxLength"] = json!(4_000), "more than 2,000"),
        ("any type", &|s| s["properties"]["requires_human_agent"] = json!({}), "a string as \"requires_human_agent\""),
    ] {
        let error = changed(change).unwrap_or_else(|| panic!("{reason} was accepted"));
        assert!(error.starts_with("decision schema: ") && error.contains(message), "{reason}: {error}");
    }
    let stricter = changed(&|s| s["properties"]["classified_intent"] = json!({"enum": ["a", "b"]}));
    assert_eq!(stricter, None, "stricter than the contract is the operator's choice");
}

#[test]
fn rules_that_contradict_themselves_are_refused() {
    let refused = |rules: DecisionRules| DecisionSchema::compile(&default_schema(), rules).err().map(|e| e.to_string());
    let list = DecisionRules { intents: strings(&["refund"]), ..DecisionRules::default() };
    for (reason, rules, message) in [
        ("twice", DecisionRules { intents: strings(&["a", "A"]), ..list.clone() }, "\"a\" is listed twice"),
        ("blank", DecisionRules { intents: strings(&[" "]), ..list.clone() }, "1 to 128 characters"),
        ("risk", DecisionRules { high_risk: strings(&["refnud"]), ..list.clone() }, "\"refnud\" is not one of"),
        (
            "parameters",
            DecisionRules { parameters: BTreeMap::from([("x".into(), vec![])]), ..list.clone() },
            "\"x\" is not",
        ),
        ("confidence", DecisionRules { min_confidence: Some(75.0), ..list.clone() }, "from 0 to 1"),
        ("no number", DecisionRules { min_confidence: Some(f64::NAN), ..list.clone() }, "from 0 to 1"),
        ("a link", DecisionRules { link_hosts: strings(&["https://a.de"]), ..list.clone() }, "must be a host"),
        ("any host", DecisionRules { link_hosts: strings(&["*"]), ..list.clone() }, "must be a host"),
    ] {
        let error = refused(rules).unwrap_or_else(|| panic!("{reason} was accepted"));
        assert!(error.contains(message), "{reason}: {error}");
    }
    assert_eq!(refused(list), None);
}

static PROFILE: LazyLock<DecisionSchema> = LazyLock::new(|| {
    schema(DecisionRules {
        intents: strings(&["refund"]),
        link_hosts: strings(&["help.example.com"]),
        ..Default::default()
    })
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn no_answer_makes_the_parser_panic(answer in ".{0,300}") {
        let _ = PROFILE.parse(&answer);
    }

    #[test]
    fn nothing_near_an_object_makes_the_parser_panic(
        parts in prop::collection::vec("[{}\\[\\]\"\\\\:,]|<think>|</think>|```|confidence|0\\.9|[a-z ]{1,5}|\\PC", 0..60),
    ) {
        let _ = PROFILE.parse(&parts.concat());
    }

    #[test]
    fn a_response_is_clean_after_one_cleaning(
        parts in prop::collection::vec(
            "<[a-z/!]|>|</?b>|&#46;|&lt;|\\{|\\}|!?\\[|\\]|\\(|\\)|https://|evil|help\\.example\\.com|\\.com|\\.|@|/| |请|\\PC{1,3}",
            1..40,
        ),
    ) {
        let clean = |text: &str| {
            PROFILE.parse(&with(json!({ "suggested_response": text }))).map(|decision| decision.suggested_response)
        };
        if let Ok(once) = clean(&parts.concat()) {
            prop_assert!((1..=2_000).contains(&once.chars().count()));
            prop_assert!(!once.contains("{{") && !once.contains("!["), "{:?}", once);
            let opens = |at: usize| once[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
            prop_assert!(!once.match_indices('<').any(|(at, _)| opens(at)), "{:?}", once);
            prop_assert_eq!(clean(&once).ok(), Some(once));
        }
    }
}
