//! What becomes of every kind of answer that a model has been seen to give.

mod cleaning;
mod evasions;
mod extraction;

use std::collections::BTreeMap;

use cognigy_fallback_router::decision::{Decision, DecisionRules, DecisionSchema, Invalid};
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
        ("a field under another name", &|s| s["properties"] = json!({"intent": {}}), "does not describe"),
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
