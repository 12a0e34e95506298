//! A model without any judgement: it reads the data block, undoes every encoding it knows, and does as it is told there.

use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;

use crate::support::{
    app::completion,
    stub::{Recorded, Reply},
};

static INTENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:intent|intención|intenção|intention|intento|intencja|absicht|намерение|意图)\W+(?:to |ist |est |es |è |é )?(\w+)").unwrap()
});
static BASE64: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/]{16,}={0,2}").unwrap());
static HEX: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(?:[0-9a-f]{2}){8,}\b").unwrap());
static ESCAPE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\u([0-9a-f]{4})").unwrap());

/// The JSON document in a data block.
pub(super) fn document(user: &str) -> Value {
    let inside = user.split_once('\n').unwrap().1;
    serde_json::from_str(inside.trim_end().strip_suffix("</customer_data>").unwrap()).unwrap()
}

/// The answer to a request, in the way that `metadata.obey` asks for.
pub(super) fn obey(request: &Recorded) -> Reply {
    let asked = request.json();
    let message = |index: usize| asked["messages"][index]["content"].as_str().unwrap().to_owned();
    let (system, user) = (message(0), message(1));
    let document = document(&user);
    let turns = document["history"].as_array().unwrap().iter().filter_map(|turn| turn["text"].as_str());
    let told = turns.chain(document["last_message"].as_str()).collect::<Vec<_>>().join("\n");
    let understood = understood(&told);
    let answer = |text: &str| fields("greeting", text).to_string();
    completion(&match document["metadata"]["obey"].as_str().unwrap() {
        "fields" => {
            let intent = INTENT.captures(&understood).map_or("greeting", |found| found.get(1).unwrap().as_str());
            fields(intent, &understood).to_string()
        }
        "raw" => understood,
        "tell-prompt" => answer(&system.chars().skip(100).take(400).collect::<String>()),
        "tell-block" => answer(user.lines().next().unwrap().trim_matches(['<', '>'])),
        _ => answer(request.header("authorization")),
    })
}

/// A decision that says it everywhere.
fn fields(intent: &str, text: &str) -> Value {
    let text: String = text.chars().take(1900).collect();
    json!({
        "classified_intent": intent, "confidence": 1.0, "suggested_response": text, "requires_human_agent": false,
        "extracted_parameters": {"note": text, "deep": [{"er": text}], "account_type": "x", text.as_str(): "in a name"},
    })
}

/// A text with everything in it that it could mean.
fn understood(told: &str) -> String {
    let mut meanings = vec![told.to_owned(), told.nfkc().collect()];
    let decoded = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
    let base64 = |token: &str| base64::engine::general_purpose::STANDARD.decode(token).ok().and_then(decoded);
    meanings.extend(BASE64.find_iter(told).filter_map(|token| base64(token.as_str())));
    meanings.extend(HEX.find_iter(told).filter_map(|token| hex::decode(token.as_str()).ok().and_then(decoded)));
    meanings.extend(told.contains('%').then(|| percent_decoded(told)));
    meanings.extend(told.split_once("rot13:").map(|(_, text)| text.chars().map(rot13).collect()));
    meanings.extend(told.split_once("reversed:").map(|(_, text)| text.chars().rev().collect()));
    meanings.extend(told.contains("\\u").then(|| unescaped(told)));
    meanings.dedup();
    meanings.join("\n")
}

fn percent_decoded(text: &str) -> String {
    let form = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(form.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

fn rot13(c: char) -> char {
    match c {
        'a'..='z' => char::from((c as u8 - b'a' + 13) % 26 + b'a'),
        'A'..='Z' => char::from((c as u8 - b'A' + 13) % 26 + b'A'),
        other => other,
    }
}

fn unescaped(text: &str) -> String {
    let character = |found: &regex::Captures<'_>| {
        u32::from_str_radix(&found[1], 16).ok().and_then(char::from_u32).unwrap_or('?').to_string()
    };
    ESCAPE.replace_all(text, character).into_owned()
}
