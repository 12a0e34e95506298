use cognigy_fallback_router::signature::{
    Forged::{self, Malformed, Mismatch, Missing},
    Scheme, Verifier,
};

use super::{BODY, CURRENT, NOW, STANDARD_OLD, STANDARD_SECRET, headers, verifier};

// Computed with another implementation, so that a mistake made in signing and in verifying alike cannot hide.
const HEX: &str = "306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df";
const HEX_OLD: &str = "2a2a79be7712b4a1275fee357527e13fafaa993bb0bc47b2e2b3c33e4cfc4b2d";
const HEX_TS: &str = "3b9f6e4f89cb164328a8de341019a470e1ef3174c90b6d4ee059296b3654e738";
const V1: &str = "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=";

const OLD: &str = "the old one";

/// One line of a table: the header lines, what comes of them (the index of the secret), and why.
type Case = (Vec<(&'static str, String)>, Result<usize, Forged>, &'static str);

fn run(verifier: &Verifier, cases: Vec<Case>) {
    for (pairs, expected, reason) in cases {
        let verdict = verifier.verify(&headers(&pairs), BODY, NOW).map(|verified| verified.secret_index);
        assert_eq!(verdict, expected, "{reason}");
    }
}

#[test]
fn hex_body_wants_one_header_of_64_hex_digits() {
    let one = |value: &str| vec![("x-webhook-signature", value.to_owned())];
    let two = |first: &str, second: &str| [one(first), one(second)].concat();
    run(
        &verifier(Scheme::HexBody, &[CURRENT, OLD]),
        vec![
            (one(HEX), Ok(0), "current secret"),
            (one(HEX_OLD), Ok(1), "old secret"),
            (one(&HEX.to_uppercase()), Ok(0), "upper-case digits"),
            (one(&format!("3{}", HEX[1..].to_uppercase())), Ok(0), "mixed case"),
            (one(&format!("sha256={HEX}")), Ok(0), "GitHub's prefix"),
            (one(&format!("sha256={}", HEX.to_uppercase())), Ok(0), "prefix and upper-case digits"),
            (vec![("X-WEBHOOK-SIGNATURE", HEX.to_owned())], Ok(0), "header names have no case"),
            (vec![], Err(Missing), "no header"),
            (one(""), Err(Malformed), "empty"),
            (one("sha256="), Err(Malformed), "only the prefix"),
            (one(&format!("SHA256={HEX}")), Err(Malformed), "upper-case prefix"),
            (one(&format!("sha512={HEX}")), Err(Malformed), "another prefix"),
            (one(&format!("sha256:{HEX}")), Err(Malformed), "another separator"),
            (one(&format!("sha256=sha256={HEX}")), Err(Malformed), "prefix twice"),
            (one(&format!("sha256= {HEX}")), Err(Malformed), "space after the prefix"),
            (one(&format!("0x{HEX}")), Err(Malformed), "0x"),
            (one(&HEX[..63]), Err(Malformed), "63 digits"),
            (one(&HEX[..62]), Err(Malformed), "31 bytes"),
            (one(&format!("{HEX}0")), Err(Malformed), "65 digits"),
            (one(&format!("{HEX}00")), Err(Malformed), "33 bytes"),
            (one(&format!("{}g", &HEX[..63])), Err(Malformed), "not a digit"),
            (one(&format!("{}é", &HEX[..62])), Err(Malformed), "not ASCII"),
            (one(&format!("{HEX} ")), Err(Malformed), "trailing space"),
            (one(&format!(" {HEX}")), Err(Malformed), "leading space"),
            (one(&format!("{HEX},{HEX}")), Err(Malformed), "a list"),
            (one(&format!("\"{HEX}\"")), Err(Malformed), "quoted"),
            (one(V1), Err(Malformed), "another scheme's form"),
            (one(&"0".repeat(64)), Err(Mismatch), "zeros"),
            (one(&format!("{}e", &HEX[..63])), Err(Mismatch), "last digit changed"),
            (one(&format!("4{}", &HEX[1..])), Err(Mismatch), "first digit changed"),
            (one(HEX_TS), Err(Mismatch), "signed over timestamp and body"),
            (two(HEX, HEX), Err(Missing), "header twice, equal"),
            (two(HEX, HEX_OLD), Err(Missing), "header twice, both right"),
            (two(HEX, "x"), Err(Missing), "header twice, first right"),
            (two("x", HEX), Err(Missing), "header twice, second right"),
            (vec![("x-api-key", CURRENT.to_owned())], Err(Missing), "the secret itself"),
            (vec![("x-hub-signature-256", format!("sha256={HEX}"))], Err(Missing), "another header's name"),
        ],
    );
}

#[test]
fn hex_ts_body_signs_a_timestamp_that_is_near() {
    let both = |timestamp: &str, signature: &str| {
        vec![("x-webhook-timestamp", timestamp.to_owned()), ("x-webhook-signature", signature.to_owned())]
    };
    let only_signature = vec![("x-webhook-signature", HEX_TS.to_owned())];
    let only_timestamp = vec![("x-webhook-timestamp", "1767225600".to_owned())];
    run(
        &verifier(Scheme::HexTsBody, &[OLD, CURRENT]),
        vec![
            (both("1767225600", HEX_TS), Ok(1), "now"),
            (both("1767225600", &format!("sha256={HEX_TS}")), Ok(1), "with the prefix"),
            (both("1767225600", HEX), Err(Mismatch), "signed over the body alone: no fall-back"),
            (both("1767225601", HEX_TS), Err(Mismatch), "timestamp changed"),
            (both("01767225600", HEX_TS), Err(Mismatch), "the same number in another form"),
            (both("1", HEX_TS), Err(Mismatch), "a stranger's old timestamp is not called stale"),
            (both("1767225600.0", HEX_TS), Err(Malformed), "fraction"),
            (both("+1767225600", HEX_TS), Err(Malformed), "sign"),
            (both("-1767225600", HEX_TS), Err(Malformed), "negative"),
            (both(" 1767225600", HEX_TS), Err(Malformed), "leading space"),
            (both("1767225600 ", HEX_TS), Err(Malformed), "trailing space"),
            (both("", HEX_TS), Err(Malformed), "empty"),
            (both("nan", HEX_TS), Err(Malformed), "no number"),
            (both("1e9", HEX_TS), Err(Malformed), "exponent"),
            (both("0x69", HEX_TS), Err(Malformed), "hexadecimal"),
            (both("2026-01-01T00:00:00Z", HEX_TS), Err(Malformed), "a date"),
            (both("1767225600000", HEX_TS), Err(Malformed), "13 digits: milliseconds"),
            (both("١٧٦٧", HEX_TS), Err(Malformed), "other digits"),
            (both("1767225600", ""), Err(Malformed), "empty signature"),
            (only_signature.clone(), Err(Missing), "no timestamp"),
            (only_timestamp.clone(), Err(Missing), "no signature"),
            ([both("1767225600", HEX_TS), only_timestamp].concat(), Err(Missing), "timestamp twice"),
            ([both("1767225600", HEX_TS), only_signature].concat(), Err(Missing), "signature twice"),
        ],
    );
}

#[test]
fn standard_takes_the_right_one_of_several_signatures() {
    let all = |id: &str, timestamp: &str, signature: &str| {
        let id = ("webhook-id", id.to_owned());
        vec![id, ("webhook-timestamp", timestamp.to_owned()), ("webhook-signature", signature.to_owned())]
    };
    let right = |signature: &str| all("msg_1", "1767225600", signature);
    let wrong = format!("v1,{}=", "A".repeat(43));
    let many = |count: usize| format!("{}{V1}", format!("{wrong} ").repeat(count - 1));
    let without = |name: &str| right(V1).into_iter().filter(|(header, _)| *header != name).collect::<Vec<_>>();
    let twice = |name: &'static str, value: &str| [right(V1), vec![(name, value.to_owned())]].concat();
    run(
        &verifier(Scheme::Standard, &[STANDARD_OLD, STANDARD_SECRET]),
        vec![
            (right(V1), Ok(1), "one signature"),
            (right(&format!("{wrong} {V1}")), Ok(1), "the second is right"),
            (right(&format!("{V1} {wrong}")), Ok(1), "the first is right"),
            (right(&format!("garbage {V1}")), Ok(1), "a malformed entry beside"),
            (right(&format!("v1,%% v1 , v1,AAAA {V1}")), Ok(1), "malformed entries beside"),
            (right(&format!("v1a,AAAA {V1}")), Ok(1), "Ed25519 beside"),
            (right(&format!("  {V1}  {wrong} ")), Ok(1), "spaces"),
            (right(&many(10)), Ok(1), "10 entries"),
            (right(&many(11)), Err(Malformed), "11 entries"),
            (right(&format!("{}{V1}", "x ".repeat(10))), Err(Malformed), "11 entries, malformed ones counted"),
            (right(&wrong), Err(Mismatch), "wrong"),
            (right(""), Err(Malformed), "empty"),
            (right("v1,"), Err(Malformed), "nothing after the version"),
            (right(&V1[3..]), Err(Malformed), "no version"),
            (right(&V1.replace("v1,", "V1,")), Err(Malformed), "upper-case version"),
            (right(&V1.replace("v1,", "v2,")), Err(Malformed), "another version"),
            (right(&V1.replace("v1,", "v1a,")), Err(Malformed), "only Ed25519"),
            (right(&V1.replace("v1,", "v1=")), Err(Malformed), "another separator"),
            (right(&V1.replace('=', "")), Err(Malformed), "padding lost"),
            (right(&V1.replace('+', "-")), Err(Malformed), "URL-safe alphabet"),
            (right(&format!("{V1},{V1}")), Err(Malformed), "separated by a comma"),
            (right(&format!("v1,{HEX}")), Err(Malformed), "hexadecimal"),
            (all("msg_2", "1767225600", V1), Err(Mismatch), "another id"),
            (all("msg_1.1767225600", "1767225600", V1), Err(Malformed), "a dot in the id"),
            (all("", "1767225600", V1), Err(Malformed), "empty id"),
            (all("msg 1", "1767225600", V1), Err(Malformed), "a space in the id"),
            (all("msg_é", "1767225600", V1), Err(Malformed), "an id that is not ASCII"),
            (all(&"a".repeat(256), "1767225600", V1), Err(Mismatch), "an id of 256 characters"),
            (all(&"a".repeat(257), "1767225600", V1), Err(Malformed), "an id of 257 characters"),
            (all("msg_1", "1767225601", V1), Err(Mismatch), "another timestamp"),
            (all("msg_1", "1767225600.5", V1), Err(Malformed), "a fraction"),
            (without("webhook-id"), Err(Missing), "no id"),
            (without("webhook-timestamp"), Err(Missing), "no timestamp"),
            (without("webhook-signature"), Err(Missing), "no signature"),
            (twice("webhook-id", "msg_1"), Err(Missing), "id twice"),
            (twice("webhook-timestamp", "1767225600"), Err(Missing), "timestamp twice"),
            (twice("webhook-signature", V1), Err(Missing), "signature twice"),
            (vec![("x-webhook-signature", HEX.to_owned())], Err(Missing), "the weaker scheme: no fall-back"),
        ],
    );
}

#[test]
fn api_key_wants_one_credential_in_one_of_four_forms() {
    let key = |value: &str| vec![("x-api-key", value.to_owned())];
    let authorization = |value: &str| vec![("authorization", value.to_owned())];
    let basic = "Basic dXNlcjp0aGUgY3VycmVudCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc=";
    run(
        &verifier(Scheme::ApiKey, &[CURRENT, OLD]),
        vec![
            (key(CURRENT), Ok(0), "X-API-Key"),
            (key(OLD), Ok(1), "the old secret"),
            (authorization(&format!("ApiKey {CURRENT}")), Ok(0), "ApiKey"),
            (authorization(&format!("apikey {CURRENT}")), Ok(0), "a scheme's name has no case"),
            (authorization(&format!("Bearer {CURRENT}")), Ok(0), "Bearer"),
            (authorization(&format!("BEARER   {OLD}")), Ok(1), "several spaces"),
            (authorization(basic), Ok(0), "Basic, the password counts"),
            (authorization("Basic OnRoZSBjdXJyZW50IHNlY3JldCwgMzIgYnl0ZXMgbG9uZw=="), Ok(0), "Basic without a user"),
            (vec![], Err(Missing), "nothing"),
            (key(""), Err(Mismatch), "empty key"),
            (key(&CURRENT[1..]), Err(Mismatch), "first character missing"),
            (key(&CURRENT[..32]), Err(Mismatch), "last character missing"),
            (key(&format!("{CURRENT} ")), Err(Mismatch), "a character more"),
            (key(&CURRENT.to_uppercase()), Err(Mismatch), "keys have case"),
            (key(&format!("Bearer {CURRENT}")), Err(Mismatch), "a scheme in X-API-Key"),
            (authorization(CURRENT), Err(Malformed), "the first word of the key is no scheme"),
            (authorization("Bearer"), Err(Malformed), "no credentials"),
            (authorization("Bearer "), Err(Mismatch), "empty credentials"),
            (authorization(&format!("Digest {CURRENT}")), Err(Malformed), "another scheme"),
            (authorization(&format!("Bearer:{CURRENT}")), Err(Malformed), "another separator"),
            (authorization(&format!("Basic {CURRENT}")), Err(Malformed), "Basic without base64"),
            (authorization("Basic dXNlcg=="), Err(Malformed), "Basic without a colon"),
            (authorization("Basic dXNlcjo="), Err(Mismatch), "Basic with an empty password"),
            (authorization("Basic dGhlIG9sZCBvbmU6eA=="), Err(Mismatch), "the key as Basic's user"),
            ([key(CURRENT), key(CURRENT)].concat(), Err(Missing), "X-API-Key twice"),
            ([key(CURRENT), authorization(basic)].concat(), Err(Missing), "both headers, both right"),
            ([key(CURRENT), authorization("Bearer x")].concat(), Err(Missing), "both headers, one right"),
            ([authorization(basic), authorization(basic)].concat(), Err(Missing), "Authorization twice"),
            (vec![("x-webhook-signature", HEX.to_owned())], Err(Missing), "a signature, but no key"),
        ],
    );
}
