use cognigy_fallback_router::{
    conversation::Role,
    trigger::{Problem, TriggerBody},
};
use serde_json::{Value, json};

fn parse(body: &Value) -> Result<TriggerBody, Vec<Problem>> {
    TriggerBody::parse(body.to_string().as_bytes())
}

/// A valid body with one field set.
fn with(name: &str, value: Value) -> Value {
    let mut body = json!({ "conversationId": "c-1", "userId": "u-1", "lastMessage": "help" });
    body[name] = value;
    body
}

fn pointers(body: &Value) -> Vec<String> {
    parse(body).err().unwrap_or_default().into_iter().map(|problem| problem.pointer).collect()
}

#[test]
fn the_body_of_the_original_service_is_accepted_unchanged() {
    let body = br#"{"conversationId": "a1b2", "userId": "user-42", "lastMessage": "my reset link expired",
        "confidenceScore": 0.42, "detectedIntent": "password_reset", "metadata": {"tier": "gold"}}"#;
    let trigger = TriggerBody::parse(body).unwrap();
    assert_eq!(trigger.conversation_id, "a1b2");
    assert_eq!(trigger.user_id, "user-42");
    assert_eq!(trigger.last_message, "my reset link expired");
    assert_eq!(trigger.confidence_score, Some(0.42));
    assert_eq!(trigger.detected_intent.as_deref(), Some("password_reset"));
    assert_eq!(Value::Object(trigger.metadata), json!({"tier": "gold"}));
    assert_eq!((trigger.input_id, trigger.deadline_ms, trigger.callback_url), (None, None, None));
}

#[test]
fn every_field_arrives_where_it_belongs() {
    let trigger = parse(&json!({
        "conversationId": "c", "userId": "u", "lastMessage": "", "confidenceScore": "0.5", "detectedIntent": "i",
        "metadata": {"a": [1]}, "sessionId": "s", "urlToken": "t", "channel": "webchat3", "endpointType": "webhook",
        "inputId": "n", "language": "en-US", "candidates": [{"name": "Reset", "score": 0.17, "description": "d"},
        {"name": "Other", "score": 0}], "history": [{"role": "user", "text": "a", "timestamp": "2026-01-01T00:00:00Z"},
        {"role": "assistant", "text": ""}, {"role": "agent", "text": "c", "timestamp": 1767225605000_u64}],
        "contact": {"contactId": "7", "caseId": "8"}, "callbackUrl": "https://a.example/", "deadlineMs": 1000,
        "unknown": {"ignored": true},
    }))
    .unwrap();
    assert_eq!((trigger.last_message.as_str(), trigger.confidence_score), ("", Some(0.5)));
    assert_eq!(trigger.session_id.as_deref(), Some("s"));
    assert_eq!(trigger.url_token.as_deref(), Some("t"));
    assert_eq!(trigger.channel.as_deref(), Some("webchat3"));
    assert_eq!(trigger.endpoint_type.as_deref(), Some("webhook"));
    assert_eq!(trigger.input_id.as_deref(), Some("n"));
    assert_eq!(trigger.language.as_deref(), Some("en-US"));
    let candidates: Vec<_> =
        trigger.candidates.iter().map(|c| (c.name.as_str(), c.score, c.description.as_deref())).collect();
    assert_eq!(candidates, [("Reset", 0.17, Some("d")), ("Other", 0.0, None)]);
    let history: Vec<_> =
        trigger.history.iter().map(|turn| (turn.role, turn.text.as_str(), turn.timestamp.as_deref())).collect();
    assert_eq!(history[0], (Role::User, "a", Some("2026-01-01T00:00:00Z")));
    assert_eq!(history[1], (Role::Assistant, "", None));
    assert_eq!(history[2], (Role::Agent, "c", Some("1767225605000")));
    assert_eq!(trigger.contact.contact_id.as_deref(), Some("7"));
    assert_eq!(trigger.contact.case_id.as_deref(), Some("8"));
    assert_eq!(trigger.callback_url.as_deref(), Some("https://a.example/"));
    assert_eq!(trigger.deadline_ms, Some(1000));
}

#[test]
fn null_in_an_optional_field_means_absent_and_so_does_blank_in_an_optional_identifier() {
    let optional = [
        "confidenceScore",
        "detectedIntent",
        "metadata",
        "sessionId",
        "urlToken",
        "channel",
        "endpointType",
        "inputId",
        "language",
        "candidates",
        "history",
        "contact",
        "callbackUrl",
        "deadlineMs",
    ];
    let mut body = json!({ "conversationId": "c", "userId": "u", "lastMessage": "m" });
    for name in optional {
        body[name] = Value::Null;
    }
    assert_eq!(pointers(&body), [""; 0]);
    for name in ["sessionId", "urlToken", "channel", "endpointType", "inputId", "language"] {
        for blank in ["", " "] {
            let trigger = parse(&with(name, json!(blank))).unwrap();
            let ids = [trigger.session_id, trigger.url_token, trigger.channel, trigger.endpoint_type, trigger.input_id];
            assert!(ids.iter().all(Option::is_none) && trigger.language.is_none(), "{name}: {blank:?}");
        }
    }
    let inner = json!({"name": "n", "score": 1, "description": null});
    assert_eq!(pointers(&with("candidates", json!([inner]))), [""; 0]);
    assert_eq!(pointers(&with("contact", json!({"contactId": null, "caseId": ""}))), [""; 0]);
}

#[test]
fn each_field_is_held_to_its_rule() {
    let long = |length: usize| json!("é".repeat(length));
    let list = |length: usize, item: Value| Value::Array(vec![item; length]);
    let (candidate, turn) = (json!({"name": "n", "score": 0.5}), json!({"role": "user", "text": "t"}));
    let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!([inner]));
    for (name, value, fits, reason) in [
        ("conversationId", long(256), true, "256 characters, more bytes"),
        ("conversationId", long(257), false, "257 characters"),
        ("conversationId", json!(""), false, "empty"),
        ("conversationId", json!(" \u{a0}"), false, "blank"),
        ("conversationId", json!("a\nb"), false, "a line end"),
        ("conversationId", json!("a\u{7f}"), false, "DEL"),
        ("conversationId", json!("a\u{9b}"), false, "C1"),
        ("conversationId", json!("a/../b?c#d"), true, "whoever puts it into a URL encodes it"),
        ("conversationId", json!(7), false, "a number"),
        ("conversationId", Value::Null, false, "null, and required"),
        ("userId", long(256), true, "256 characters"),
        ("userId", long(257), false, "257 characters"),
        ("userId", json!("\t"), false, "a tab"),
        ("userId", json!({}), false, "an object"),
        ("lastMessage", json!(""), true, "may be empty"),
        ("lastMessage", json!("a\nb\u{0}"), true, "what a customer typed"),
        ("lastMessage", long(10_000), true, "10,000 characters"),
        ("lastMessage", long(10_001), false, "10,001 characters"),
        ("lastMessage", Value::Null, false, "null, and required"),
        ("lastMessage", json!(["x"]), false, "an array"),
        ("confidenceScore", json!(0), true, "lower edge"),
        ("confidenceScore", json!(1.0), true, "upper edge"),
        ("confidenceScore", json!("0.42"), true, "a numeric string"),
        ("confidenceScore", json!(1.01), false, "above"),
        ("confidenceScore", json!(-0.01), false, "below"),
        ("confidenceScore", json!("NaN"), false, "not a number"),
        ("confidenceScore", json!(""), false, "no number"),
        ("confidenceScore", json!(true), false, "a boolean"),
        ("detectedIntent", long(256), true, "256 characters"),
        ("detectedIntent", long(257), false, "257 characters"),
        ("detectedIntent", json!(1), false, "a number"),
        ("metadata", json!({"k": "x".repeat(32_760)}), true, "32 KiB"),
        ("metadata", json!({"k": "x".repeat(32_761)}), false, "a byte more"),
        ("metadata", json!({"k": nested(15)}), true, "16 levels"),
        ("metadata", json!({"k": nested(16)}), false, "17 levels"),
        ("metadata", json!([]), false, "an array"),
        ("metadata", json!("{}"), false, "a string"),
        ("sessionId", long(256), true, "256 characters"),
        ("sessionId", long(257), false, "257 characters"),
        ("urlToken", json!("a\r"), false, "a control character"),
        ("channel", json!(3), false, "a number"),
        ("endpointType", json!([]), false, "an array"),
        ("inputId", json!("a\u{0}"), false, "a control character"),
        ("language", json!("zh-Hant"), true, "a tag"),
        ("language", json!("en_US"), false, "not a tag"),
        ("language", json!(["en"]), false, "an array"),
        ("candidates", list(50, candidate.clone()), true, "50 entries"),
        ("candidates", list(51, candidate.clone()), false, "51 entries"),
        ("candidates", candidate, false, "an object"),
        ("history", list(50, turn.clone()), true, "50 entries"),
        ("history", list(51, turn), false, "51 entries"),
        ("history", json!("[]"), false, "a string"),
        ("contact", json!([]), false, "an array"),
        ("callbackUrl", json!("x".repeat(2048)), true, "2048 bytes; its host is judged elsewhere"),
        ("callbackUrl", json!("x".repeat(2049)), false, "2049 bytes"),
        ("callbackUrl", long(1025), false, "2050 bytes"),
        ("callbackUrl", json!({}), false, "an object"),
        ("deadlineMs", json!(1_000), true, "lower edge"),
        ("deadlineMs", json!(300_000), true, "upper edge"),
        ("deadlineMs", json!(999), false, "below"),
        ("deadlineMs", json!(300_001), false, "above"),
        ("deadlineMs", json!(-1_000), false, "negative"),
        ("deadlineMs", json!(1_000.5), false, "not an integer"),
        ("deadlineMs", json!("5000"), false, "a string"),
    ] {
        let expected = if fits { vec![] } else { vec![format!("/{name}")] };
        assert_eq!(pointers(&with(name, value)), expected, "{name}: {reason}");
    }
}

#[test]
fn entries_are_named_by_their_position() {
    let body = json!({
        "conversationId": "c", "userId": "u", "lastMessage": "m",
        "candidates": [{"name": "n", "score": 0.5}, {"score": "0.5"}, 7, {"name": 1, "score": null, "description": 1}],
        "history": [{"role": "User", "text": "t"}, {"text": null, "timestamp": {}}, null, {"role": "bot"}],
        "contact": {"contactId": 7, "caseId": "\n"},
    });
    let expected = [
        "/candidates/1/name",
        "/candidates/1/score",
        "/candidates/2",
        "/candidates/3/name",
        "/candidates/3/score",
        "/candidates/3/description",
        "/history/0/role",
        "/history/1/role",
        "/history/1/text",
        "/history/1/timestamp",
        "/history/2",
        "/history/3/role",
        "/history/3/text",
        "/contact/contactId",
        "/contact/caseId",
    ];
    assert_eq!(pointers(&body), expected);
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_fields() {
    let body =
        json!({"deadlineMs": 1, "metadata": 1, "lastMessage": 1, "confidenceScore": 2, "history": {}, "userId": ""});
    let expected =
        ["/conversationId", "/userId", "/lastMessage", "/confidenceScore", "/metadata", "/history", "/deadlineMs"];
    assert_eq!(pointers(&body), expected);
    assert_eq!(pointers(&json!({})), ["/conversationId", "/userId", "/lastMessage"]);
}

#[test]
fn what_is_not_one_plain_object_is_one_problem_of_the_whole() {
    let valid = with("metadata", json!({})).to_string();
    let nested =
        |levels: usize| format!(r#"{},"x":{}{}}}"#, &valid[..valid.len() - 1], "[".repeat(levels), "]".repeat(levels));
    for (body, message) in [
        (String::new(), "not valid JSON"),
        ("{".to_owned(), "not valid JSON"),
        ("conversationId=c".to_owned(), "not valid JSON"),
        (format!("{valid}{valid}"), "not valid JSON"),
        (format!("{valid}\0"), "not valid JSON"),
        (format!("\u{feff}{valid}"), "not valid JSON"),
        (r#"{"confidenceScore":NaN}"#.to_owned(), "not valid JSON"),
        (r#"{"confidenceScore":1e999}"#.to_owned(), "not valid JSON"),
        ("null".to_owned(), "must be an object"),
        ("7".to_owned(), "must be an object"),
        (r#""{}""#.to_owned(), "must be an object"),
        (format!("[{valid}]"), "must be an object"),
        (r#"["c","u","m",0.5,"i",{}]"#.to_owned(), "must be an object"),
        (valid.replace("\"userId\"", "\"userId\":\"x\",\"userId\""), "an object has the same key twice"),
        (valid.replace("{}", r#"{"a":1,"\u0061":2}"#), "an object has the same key twice"),
        (nested(64), "nested too deeply"),
        (nested(10_000), "nested too deeply"),
    ] {
        let problems = TriggerBody::parse(body.as_bytes()).err().unwrap();
        assert_eq!(problems.len(), 1, "{body}");
        assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_ref()), ("", message), "{body}");
    }
    assert!(TriggerBody::parse(nested(63).as_bytes()).is_ok(), "an unknown field may be nested, but not without end");
    assert!(TriggerBody::parse(b"\xff").is_err());
}

#[test]
fn problems_never_repeat_what_was_sent() {
    let sent = "4111-1111-customer-text";
    let shapes = [json!(sent), json!([sent]), json!({ sent: sent }), json!(format!("{sent}\u{0}").repeat(1000))];
    let fields = [
        "conversationId",
        "userId",
        "lastMessage",
        "confidenceScore",
        "detectedIntent",
        "metadata",
        "sessionId",
        "urlToken",
        "channel",
        "endpointType",
        "inputId",
        "language",
        "candidates",
        "history",
        "contact",
        "callbackUrl",
        "deadlineMs",
    ];
    let mut refused = 0;
    for (name, shape) in fields.iter().flat_map(|name| shapes.iter().map(move |shape| (name, shape))) {
        let Err(problems) = parse(&with(name, shape.clone())) else { continue };
        refused += 1;
        let told = serde_json::to_string(&problems).unwrap();
        assert!(!told.contains("4111") && !told.contains("customer"), "{name}: {told}");
    }
    assert!(refused > 40, "only {refused} were refused");
    let whole = TriggerBody::parse(format!(r#"{{"{sent}":1,"{sent}":2}}"#).as_bytes()).err().unwrap();
    assert!(!whole[0].message.contains("4111"));
}
