//! Where the one object of an answer is found, and what is no single whole object.

use std::sync::LazyLock;

use cognigy_fallback_router::decision::{DecisionSchema, MAX_ANSWER_BYTES};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{good, open, with};

static SCHEMA: LazyLock<DecisionSchema> = LazyLock::new(open);

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
        ("a comma too many", format!("{},}}", good.strip_suffix('}').unwrap()), "invalid_json"),
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn no_answer_makes_the_parser_panic(answer in ".{0,300}") {
        let _ = SCHEMA.parse(&answer);
    }

    #[test]
    fn nothing_near_an_object_makes_the_parser_panic(
        parts in prop::collection::vec("[{}\\[\\]\"\\\\:,]|<think>|</think>|```|confidence|0\\.9|[a-z ]{1,5}|\\PC", 0..60),
    ) {
        let _ = SCHEMA.parse(&parts.concat());
    }
}
