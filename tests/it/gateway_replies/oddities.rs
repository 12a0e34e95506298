//! Replies that no documentation promises: from issue trackers of gateways and local servers, from RFC 9110, and from what a
//! broken or hostile host between us and the model could send.

use cognigy_fallback_router::llm::LlmError::{
    ContentRefused, QuotaExhausted, RateLimited, Rejected, Unauthorized, Unavailable,
};
use serde_json::{Value, json};

use super::{
    Then::{Again, CutOff, Fails, Says},
    check, message,
};
use crate::support::{
    gateway::{completion, error, says},
    stub::Reply,
};

fn stopped(message: Value) -> Reply {
    completion(&message, &json!("stop"))
}

fn raw(body: impl Into<bytes::Bytes>) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(body)
}

fn chosen(choice: Value) -> Reply {
    Reply::json(&json!({ "choices": [choice] }))
}

const WORDS: &str = r#"{"choices":[{"message":{"content":"w"}}]}"#;

#[tokio::test]
async fn odd_but_whole_completions_are_taken() {
    check(vec![
        ("no content type", Reply::status(200).body(WORDS), Says("w")),
        ("text/plain", says("w").header("content-type", "text/plain"), Says("w")),
        ("a charset that it is not", says("w").header("content-type", "application/json; charset=utf-16"), Says("w")),
        ("a vendor's type", says("w").header("content-type", "application/vnd.x+json"), Says("w")),
        ("blank lines before and after it", raw(format!("\r\n\r\n{WORDS}\n\n")), Says("w")),
        ("gzip", raw(gzip_stored(WORDS.as_bytes())).header("content-encoding", "gzip"), Says("w")),
        ("an encoding that says nothing", says("w").header("content-encoding", "identity"), Says("w")),
        ("206", says("w").with_status(206), Says("w")),
        ("keys twice: the last counts, as everywhere", raw(r#"{"choices":[],"choices":[{"message":{"content":"w"}}]}"#), Says("w")),
        ("escapes in the words", raw(r#"{"choices":[{"message":{"content":"\u0077"}}]}"#), Says("w")),
        ("a NUL in the words", stopped(message(json!("w\0"))), Says("w\0")),
        ("no role", chosen(json!({"message": {"content": "w"}})), Says("w")),
        ("another role", chosen(json!({"message": {"role": "user", "content": "w"}})), Says("w")),
        ("index 1", chosen(json!({"index": 1, "message": {"content": "w"}})), Says("w")),
        ("log probabilities beside it", chosen(json!({"message": {"content": "w"}, "logprobs": {"content": []}})), Says("w")),
        ("a delta beside the message", chosen(json!({"delta": {"content": "x"}, "message": {"content": "w"}})), Says("w")),
        ("a text beside the message", chosen(json!({"text": "x", "message": {"content": "w"}})), Says("w")),
        ("error false", Reply::json(&json!({"error": false, "choices": [{"message": {"content": "w"}}]})), Says("w")),
        ("an empty error", Reply::json(&json!({"error": "", "choices": [{"message": {"content": "w"}}]})), Says("w")),
        ("function_call null", stopped(json!({"content": "w", "function_call": null})), Says("w")),
        ("tool_calls null", stopped(json!({"content": "w", "tool_calls": null})), Says("w")),
        ("refusal empty", stopped(json!({"content": "w", "refusal": ""})), Says("w")),
        ("refusal false", stopped(json!({"content": "w", "refusal": false})), Says("w")),
        ("provider_specific_fields null", stopped(json!({"content": "w", "provider_specific_fields": null})), Says("w")),
        ("content as one part", stopped(message(json!([{"type": "text", "text": "w"}]))), Says("w")),
        ("a part without text", stopped(message(json!([{"type": "text"}, {"type": "text", "text": "w"}]))), Says("w")),
        ("a part whose text is null", stopped(message(json!([{"type": "text", "text": null}, {"type": "text", "text": "w"}]))), Says("w")),
        ("a thought and a text (Anthropic)", stopped(message(json!([{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "w"}]))), Says("w")),
        ("an image and a text", stopped(message(json!([{"type": "image_url", "image_url": {}}, {"type": "text", "text": "w"}]))), Says("w")),
        ("parts of text alone (Mistral, LiteLLM)", stopped(message(json!(["w"]))), Says("w")),
        ("no parts", stopped(message(json!([]))), Says("")),
        ("finish_reason in capitals", completion(&message(json!("w")), &json!("STOP")), Says("w")),
        ("finish_reason end_turn", completion(&message(json!("w")), &json!("end_turn")), Says("w")),
        ("finish_reason max_tokens", completion(&message(json!("w")), &json!("max_tokens")), CutOff("w")),
        ("finish_reason MAX_TOKENS", completion(&message(json!("w")), &json!("MAX_TOKENS")), CutOff("w")),
        ("tool_calls said, and words given", completion(&message(json!("w")), &json!("tool_calls")), Says("w")),
        ("usage negative", Reply::json(&json!({"usage": {"prompt_tokens": -1}, "choices": [{"message": {"content": "w"}}]})), Says("w")),
        ("usage beyond all bounds", Reply::json(&json!({"usage": {"prompt_tokens": u64::MAX, "completion_tokens": u64::MAX}, "choices": [{"message": {"content": "w"}}]})), Says("w")),
        ("usage with more cached than there was", Reply::json(&json!({"usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": u64::MAX}}, "choices": [{"message": {"content": "w"}}]})), Says("w")),
        ("usage a list", Reply::json(&json!({"usage": [], "choices": [{"message": {"content": "w"}}]})), Says("w")),
        ("a cost that is none", says("w").header("x-litellm-response-cost", "NaN"), Says("w")),
        ("a wait beside success", says("w").header("retry-after", "3600"), Says("w")),
        ("x-should-retry beside success", says("w").header("x-should-retry", "true"), Says("w")),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_whole_completion_is_asked_for_again() {
    check(vec![
        ("a byte order mark", raw(format!("\u{feff}{WORDS}")), Again),
        ("UTF-16", raw(WORDS.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()), Again),
        ("Latin-1", raw(b"{\"choices\":[{\"message\":{\"content\":\"\xe4\"}}]}".to_vec()), Again),
        ("two documents", raw(format!("{WORDS}{WORDS}")), Again),
        ("a document for each line", raw(format!("{WORDS}\n{WORDS}")), Again),
        ("a guard before it", raw(format!(")]}}'\n{WORDS}")), Again),
        ("a callback around it", raw(format!("f({WORDS})")), Again),
        ("a comma too many", raw(r#"{"choices":[{"message":{"content":"w"}},]}"#), Again),
        ("half a surrogate pair", raw(r#"{"choices":[{"message":{"content":"\ud800"}}]}"#), Again),
        ("NaN", raw(r#"{"created":NaN,"choices":[{"message":{"content":"w"}}]}"#), Again),
        ("a number beyond all bounds", raw(r#"{"created":1e400,"choices":[{"message":{"content":"w"}}]}"#), Again),
        ("nested without end", raw(format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000))), Again),
        ("a billion of spaces, packed", raw(gzip_bomb(4 << 20)).header("content-encoding", "gzip"), Again),
        ("gzip cut off", raw(gzip_stored(WORDS.as_bytes())[..30].to_vec()).header("content-encoding", "gzip"), Again),
        (
            "an encoding that was not asked for",
            raw(WORDS).header("content-encoding", "br").body(&b"\x0b\x02\x80w\x03"[..]),
            Again,
        ),
        (
            "events",
            Reply::status(200)
                .header("content-type", "text/event-stream")
                .body(format!("data: {WORDS}\n\ndata: [DONE]\n\n")),
            Again,
        ),
        ("a comment of an event stream", Reply::status(200).body(": keep-alive\n\n"), Again),
        ("a login page", Reply::html().header("content-type", "text/html; charset=utf-8"), Again),
        ("only blanks", raw("   \n"), Again),
        ("null", raw("null"), Again),
        ("a string", raw("\"w\""), Again),
        ("choices as an object", Reply::json(&json!({"choices": {"0": {"message": {"content": "w"}}}})), Again),
        ("choices as text", Reply::json(&json!({"choices": "w"})), Again),
        ("a choice that is null", chosen(Value::Null), Again),
        ("a message that is null", chosen(json!({"message": null})), Again),
        ("a message that is a list", chosen(json!({"message": [{"content": "w"}]})), Again),
        ("only a delta", chosen(json!({"delta": {"content": "w"}})), Again),
        ("content a number", stopped(message(json!(7))), Again),
        ("content a boolean", stopped(message(json!(true))), Again),
        (
            "an error in the choice (OpenRouter)",
            chosen(
                json!({"error": {"code": 502, "message": "x"}, "finish_reason": "error", "message": {"content": ""}}),
            ),
            Again,
        ),
        ("finish_reason error", completion(&message(json!("")), &json!("error")), Again),
        ("the original's own answer (Ollama)", Reply::json(&json!({"message": {"content": "w"}, "done": true})), Again),
        ("an error with a code in the body", Reply::json(&json!({"error": {"code": 429, "message": "x"}})), Again),
        ("a list of errors (Gemini)", Reply::json(&json!([{"error": {"code": 503}}])), Again),
        ("Anthropic's error", Reply::json(&json!({"type": "error", "error": {"type": "overloaded_error"}})), Again),
        ("Portkey's failure", Reply::json(&json!({"status": "failure", "message": "x"})), Again),
        ("detail (FastAPI)", Reply::json(&json!({"detail": "x"})), Again),
        ("205", Reply::status(205), Again),
    ])
    .await;
}

#[tokio::test]
async fn statuses_and_their_words_lead_to_what_helps() {
    let failed = |status: u16| Reply::status(status);
    let limited = |name: &str, value: &str| failed(429).header(name, value);
    check(vec![
        ("521: the origin is down", failed(521), Again),
        ("522", failed(522), Again),
        ("523", failed(523), Again),
        ("a wait of nothing", limited("retry-after", "0"), Again),
        ("a wait in milliseconds", limited("retry-after-ms", "20"), Again),
        ("milliseconds with a fraction", limited("retry-after-ms", "20.5"), Again),
        ("a wait that lies back", limited("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), Again),
        ("the same as RFC 850 had it", limited("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT"), Again),
        ("the same as asctime has it", limited("retry-after", "Sun Nov  6 08:49:37 1994"), Again),
        ("a negative wait", limited("retry-after", "-5"), Again),
        ("a wait that is no number", limited("retry-after", "a while"), Again),
        ("milliseconds first", limited("retry-after-ms", "10").header("retry-after", "3600"), Again),
        ("the gateway's own wait before its provider's", limited("retry-after", "0").header("llm_provider-retry-after", "3600"), Again),
        ("the provider's wait in milliseconds", limited("llm_provider-retry-after-ms", "10"), Again),
        ("a wait of a minute and more", limited("retry-after", "60.5"), Fails(RateLimited)),
        ("the provider's wait of an hour", limited("llm_provider-retry-after", "3600"), Fails(RateLimited)),
        ("a wait in milliseconds of two minutes", limited("retry-after-ms", "120000"), Fails(RateLimited)),
        ("a wait of a thousand years", limited("retry-after", "Tue, 31 Dec 2999 23:59:59 GMT"), Fails(RateLimited)),
        ("the same as RFC 850 had it: the year 2049", limited("retry-after", "Friday, 31-Dec-49 23:59:59 GMT"), Fails(RateLimited)),
        ("a wait beyond all bounds", limited("retry-after", "99999999999999999999"), Fails(RateLimited)),
        ("x-should-retry wins over 404", failed(409).header("x-should-retry", "false"), Fails(Unavailable)),
        ("x-should-retry in other letters says nothing", failed(503).header("x-should-retry", "FALSE"), Again),
        ("405", failed(405), Fails(Rejected(405))),
        ("406", failed(406), Fails(Rejected(406))),
        ("407", failed(407), Fails(Rejected(407))),
        ("410", failed(410), Fails(Rejected(410))),
        ("415", failed(415), Fails(Rejected(415))),
        ("418", failed(418), Fails(Rejected(418))),
        ("421", failed(421), Fails(Rejected(421))),
        ("424", failed(424), Fails(Rejected(424))),
        ("451", failed(451), Fails(Rejected(451))),
        ("499", failed(499), Fails(Rejected(499))),
        ("505", failed(505), Fails(Rejected(505))),
        ("507", failed(507), Fails(Rejected(507))),
        ("525: no TLS to the origin", failed(525), Fails(Rejected(525))),
        ("301", failed(301).header("location", "http://127.0.0.1:1/"), Fails(Rejected(301))),
        ("302 to itself", failed(302).header("location", "/v1/chat/completions"), Fails(Rejected(302))),
        ("303", failed(303).header("location", "/"), Fails(Rejected(303))),
        ("304", failed(304), Fails(Rejected(304))),
        ("308 to the metadata address", failed(308).header("location", "http://169.254.169.254/"), Fails(Rejected(308))),
        ("300", failed(300), Fails(Rejected(300))),
        ("401 with HTML", Reply::html().with_status(401), Fails(Unauthorized)),
        ("403 of a firewall", Reply::html().with_status(403), Fails(Unauthorized)),
        ("403 for a region", error(403, &json!({"code": "unsupported_country_region_territory"})), Fails(Unauthorized)),
        ("404: no such model", error(404, &json!({"code": "model_not_found"})), Fails(Rejected(404))),
        ("400: no such model", error(400, &json!({"code": "model_not_found"})), Fails(Rejected(400))),
        ("400 with an empty body", failed(400).body(""), Fails(Rejected(400))),
        ("400 with a list", Reply::json(&json!([1, 2])).with_status(400), Fails(Rejected(400))),
        ("400 with an error that is a number", error(400, &json!(7)), Fails(Rejected(400))),
        ("400 with words that are no text", error(400, &json!({"message": {"a": 1}, "code": 400, "type": []})), Fails(Rejected(400))),
        ("400 in more than 1 MiB", failed(400).body("x".repeat(2 << 20)), Fails(Rejected(400))),
        ("400: the content policy of Azure, inside", error(400, &json!({"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}})), Fails(ContentRefused)),
        ("400: the content policy in a list (Gemini)", Reply::json(&json!([{"error": {"code": "content_policy_violation"}}])).with_status(400), Fails(ContentRefused)),
        ("422: the content policy", error(422, &json!({"type": "content_policy_violation"})), Fails(ContentRefused)),
        ("500 that speaks of a filter is a 500", error(500, &json!({"code": "content_filter"})), Again),
        ("429 with no money, in capitals", error(429, &json!({"code": "INSUFFICIENT_QUOTA"})), Fails(QuotaExhausted)),
        ("429 with no money, in a list (Gemini)", Reply::json(&json!([{"error": {"code": "insufficient_quota"}}])).with_status(429), Fails(QuotaExhausted)),
        ("429 with no money and a wait", error(429, &json!({"code": "insufficient_quota"})).header("retry-after", "1"), Fails(QuotaExhausted)),
        ("429 with no money and a wish", error(429, &json!({"code": "insufficient_quota"})).header("x-should-retry", "true"), Fails(QuotaExhausted)),
        ("429 that names quotas but not money", error(429, &json!({"message": "Quota exceeded for requests per minute"})), Again),
        ("400: a balance too low (Anthropic)", error(400, &json!({"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."})), Fails(QuotaExhausted)),
        ("529 with HTML", Reply::html().with_status(529), Again),
        ("a broken status body", failed(503).body(b"\xff\xfe".to_vec()), Again),
    ])
    .await;
}

/// A gzip member (RFC 1952) with one stored block (RFC 1951 §3.2.4).
fn gzip_stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    member.extend(length.to_le_bytes());
    member.extend((!length).to_le_bytes());
    member.extend(data);
    member.extend(crc32(data).to_le_bytes());
    member.extend(u32::from(length).to_le_bytes());
    member
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// A gzip member that says a blank `repeats` × 258 times: 13 bits for each 258 (RFC 1951 §3.2.6, the fixed codes).
fn gzip_bomb(repeats: usize) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut put = |code: u32, length: u32| {
        bits |= (code.reverse_bits() >> (32 - length)) << count;
        count += length;
        while count >= 8 {
            member.push(bits.to_le_bytes()[0]);
            bits >>= 8;
            count -= 8;
        }
    };
    put(0b110, 3); // the last block, in the fixed codes
    put(0x30 + u32::from(b' '), 8);
    for _ in 0..repeats {
        put(0b1100_0101, 8); // 258 bytes
        put(0, 5); // from one byte back
    }
    put(0, 7);
    put(0, 8);
    member
}
