mod elsewhere;
mod properties;
mod schemes;

use cognigy_fallback_router::{
    secret::Secret,
    signature::{Forged, KeyError, Scheme, Signer, Verifier, request_headers},
    time::EpochMs,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use Forged::{Mismatch, Stale};

const BODY: &[u8] = br#"{"conversationId":"c"}"#;
const NOW: EpochMs = EpochMs(1_767_225_600_999);
const CURRENT: &str = "the current secret, 32 bytes long";
const STANDARD_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const STANDARD_OLD: &str = "b2xkZXIgYW5kIG9sZGVyIGFuZCBvbGRlcg==";

fn headers<V: AsRef<[u8]>>(pairs: &[(&str, V)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_ref()).unwrap());
    }
    map
}

fn verifier(scheme: Scheme, secrets: &[&str]) -> Verifier {
    let secrets: Vec<_> = secrets.iter().map(|text| Secret::new(*text)).collect();
    Verifier::new(scheme, &secrets).unwrap()
}

fn signed(scheme: Scheme, secret: &str, id: &str, now: EpochMs, content: &[u8]) -> HeaderMap {
    headers(&request_headers(scheme, &Secret::new(secret), id, now, content).unwrap())
}

#[test]
fn a_timestamp_may_be_300_seconds_off_either_way_and_no_more() {
    let sent = EpochMs(1_767_225_600_000);
    for (seconds_off, expected) in [(-301, Some(Stale)), (-300, None), (0, None), (300, None), (301, Some(Stale))] {
        let now = EpochMs(sent.0.checked_add_signed(seconds_off * 1000).unwrap());
        for (scheme, secret) in [(Scheme::HexTsBody, CURRENT), (Scheme::Standard, STANDARD_SECRET)] {
            let verdict = verifier(scheme, &[secret]).verify(&signed(scheme, secret, "id", sent, BODY), BODY, now);
            assert_eq!(verdict.err(), expected, "{scheme:?}, {seconds_off} s");
        }
        let timeless = signed(Scheme::HexBody, CURRENT, "", sent, BODY);
        assert!(verifier(Scheme::HexBody, &[CURRENT]).verify(&timeless, BODY, now).is_ok(), "hex-body has no clock");
    }
    let epoch = signed(Scheme::Standard, STANDARD_SECRET, "id", EpochMs(0), BODY);
    assert_eq!(verifier(Scheme::Standard, &[STANDARD_SECRET]).verify(&epoch, BODY, NOW).err(), Some(Stale));
    assert!(verifier(Scheme::Standard, &[STANDARD_SECRET]).verify(&epoch, BODY, EpochMs(0)).is_ok());
}

#[test]
fn only_scheme_standard_vouches_for_the_id() {
    for (scheme, secret, id) in [
        (Scheme::Standard, STANDARD_SECRET, Some("msg_1")),
        (Scheme::HexBody, CURRENT, None),
        (Scheme::HexTsBody, CURRENT, None),
        (Scheme::ApiKey, CURRENT, None),
    ] {
        let mut headers = signed(scheme, secret, "msg_1", NOW, BODY);
        headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
        let verified = verifier(scheme, &[secret]).verify(&headers, BODY, NOW).unwrap();
        assert_eq!(verified.webhook_id.as_deref(), id, "{scheme:?}");
    }
}

#[test]
fn of_several_secrets_that_fit_the_first_is_named() {
    let [first, second] = [STANDARD_SECRET, STANDARD_OLD]
        .map(|secret| Signer::new(&[Secret::new(secret)]).unwrap().standard("id", NOW, BODY));
    let mut sent = signed(Scheme::Standard, STANDARD_SECRET, "id", NOW, BODY);
    sent.insert("webhook-signature", HeaderValue::try_from(format!("{second} {first}")).unwrap());
    let verified = verifier(Scheme::Standard, &[STANDARD_SECRET, STANDARD_OLD]).verify(&sent, BODY, NOW).unwrap();
    assert_eq!(verified.secret_index, 0);
}

#[test]
fn a_request_without_a_body_signs_its_path_and_query() {
    let mac = "247f1a0a38fb50687b4abdf749103d508819173f367eb927fc358c0899074ff6";
    let (headers, verifier) = (headers(&[("x-webhook-signature", mac)]), verifier(Scheme::HexBody, &[CURRENT]));
    assert!(verifier.verify(&headers, b"/v1/triggers/default/7?x=1", NOW).is_ok());
    assert_eq!(verifier.verify(&headers, b"/v1/triggers/default/8?x=1", NOW), Err(Mismatch));
    assert_eq!(verifier.verify(&headers, b"", NOW), Err(Mismatch));
}

#[test]
fn a_verifier_refuses_secrets_that_cannot_serve() {
    for (scheme, secrets, expected) in [
        (Scheme::HexBody, &[][..], KeyError::Blank),
        (Scheme::HexBody, &[""], KeyError::Blank),
        (Scheme::HexTsBody, &[CURRENT, "\n"], KeyError::Blank),
        (Scheme::ApiKey, &["  "], KeyError::Blank),
        (Scheme::ApiKey, &["whsec_"], KeyError::Blank),
        (Scheme::HexBody, &["whsec_"], KeyError::Blank),
        (Scheme::Standard, &["whsec_"], KeyError::Blank),
        (Scheme::Standard, &["whsec_%"], KeyError::Undecodable),
        (Scheme::Standard, &[CURRENT], KeyError::Undecodable),
        (Scheme::Standard, &[STANDARD_SECRET, "no base64"], KeyError::Undecodable),
    ] {
        let secrets: Vec<_> = secrets.iter().map(|text| Secret::new(*text)).collect();
        assert_eq!(Verifier::new(scheme, &secrets).err(), Some(expected), "{scheme:?}");
        if let [secret] = &secrets[..] {
            assert_eq!(request_headers(scheme, secret, "id", NOW, BODY).err(), Some(expected), "{scheme:?}");
        }
    }
}

#[test]
fn a_callback_signed_with_two_secrets_satisfies_receivers_with_either() {
    let signer = Signer::new(&[Secret::new(STANDARD_SECRET), Secret::new(STANDARD_OLD)]).unwrap();
    let sent = headers(&[
        ("webhook-id", "id".to_owned()),
        ("webhook-timestamp", NOW.seconds().to_string()),
        ("webhook-signature", signer.standard("id", NOW, BODY)),
        ("x-webhook-signature", signer.hex_body(BODY)),
    ]);
    for (scheme, secret, expected) in [
        (Scheme::Standard, STANDARD_SECRET, true),
        (Scheme::Standard, STANDARD_OLD, true),
        (Scheme::Standard, "YW5vdGhlcg==", false),
        (Scheme::HexBody, STANDARD_SECRET, true),
        (Scheme::HexBody, STANDARD_OLD, false),
    ] {
        assert_eq!(verifier(scheme, &[secret]).verify(&sent, BODY, NOW).is_ok(), expected, "{scheme:?} {secret}");
    }
}

#[test]
fn a_key_is_wiped_when_it_is_dropped() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    // All that a prepared key holds is states of this hash; without the crate's feature this does not compile.
    wiped::<sha2::Sha256>();
    wiped::<secrecy::SecretString>();
}
