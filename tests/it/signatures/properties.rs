use cognigy_fallback_router::{signature::Scheme, time::EpochMs};
use http::HeaderValue;
use proptest::prelude::*;

use super::{NOW, signed, verifier};

/// A secret that serves every scheme.
const FITS_ALL: &str = "b2xkZXIgYW5kIG9sZGVyIGFuZCBvbGRlciBhbmQgb2xkZXI=";

fn schemes() -> impl Strategy<Value = Scheme> {
    prop_oneof![Just(Scheme::HexBody), Just(Scheme::HexTsBody), Just(Scheme::Standard), Just(Scheme::ApiKey)]
}

proptest! {
    #[test]
    fn what_was_signed_verifies(
        scheme in schemes(),
        key in "[A-Za-z0-9]{40}",
        id in "[!-\\-/-~]{1,256}",
        content in prop::collection::vec(any::<u8>(), 0..300),
        seconds in 0_u64..1_000_000_000_000,
    ) {
        let now = EpochMs(seconds * 1000);
        let verdict = verifier(scheme, &[FITS_ALL, &key]).verify(&signed(scheme, &key, &id, now, &content), &content, now);
        prop_assert_eq!(verdict.map(|verified| verified.secret_index), Ok(1));
    }

    #[test]
    fn any_flipped_bit_of_the_content_or_of_a_header_fails(
        scheme in schemes(),
        content in prop::collection::vec(any::<u8>(), 1..100),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let sent = signed(scheme, FITS_ALL, "msg_1", NOW, &content);
        let check = verifier(scheme, &[FITS_ALL]);
        prop_assert!(check.verify(&sent, &content, NOW).is_ok());
        if scheme != Scheme::ApiKey {
            prop_assert!(check.verify(&sent, &flipped(&content, place, bit), NOW).is_err());
        }
        for (name, value) in &sent {
            let other = flipped(value.as_bytes(), place, bit);
            // Hex digits have two cases, and both are right.
            let same = name == "x-webhook-signature" && other.eq_ignore_ascii_case(value.as_bytes());
            let Ok(other) = HeaderValue::from_bytes(&other) else { continue };
            let mut forged = sent.clone();
            forged.insert(name.clone(), other);
            prop_assert_eq!(check.verify(&forged, &content, NOW).is_ok(), same, "{}", name);
        }
    }
}

fn flipped(bytes: &[u8], place: prop::sample::Index, bit: u8) -> Vec<u8> {
    let mut other = bytes.to_vec();
    other[place.index(bytes.len())] ^= 1 << bit;
    other
}
