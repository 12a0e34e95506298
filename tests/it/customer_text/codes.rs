//! The security code of a card has no checksum: only the words beside it give it away.

use cognigy_fallback_router::redaction::{Config, RedactionRules, Redactor};
use serde_json::json;

use super::{RULES, check, redacted, rules};

#[test]
fn a_security_code_is_masked_by_the_word_beside_it() {
    let cases = [
        ("after the word", "4111 1111 1111 1111 cvv 123", "[CARD_1] cvv [CVV_1]"),
        ("without a card, as in the next message", "the CVC is 123.", "the CVC is [CVV_1]."),
        ("four digits", "CVV: 1234", "CVV: [CVV_1]"),
        ("the word with a number of its own", "cvv2=123, CVC2 456", "cvv2=[CVV_1], CVC2 [CVV_2]"),
        ("no blank", "cvv123", "cvv[CVV_1]"),
        ("words between", "CVV code is: 123", "CVV code is: [CVV_1]"),
        ("in quotation marks", "my cvv (\"123\")", "my cvv (\"[CVV_1]\")"),
        ("digit by digit", "cvv 1 2 3", "cvv [CVV_1]"),
        ("other digits", "CVV １２３", "CVV [CVV_1]"),
        ("the same code twice", "cvv 123, I said cvv 123", "cvv [CVV_1], I said cvv [CVV_1]"),
        ("before the word", "123 is my cvv", "[CVV_1] is my cvv"),
        ("before the word in brackets", "4111111111111111 12/27 123 (CVV)", "[CARD_1] 12/27 [CVV_1] (CVV)"),
        ("an order number before the word", "order 4711 cvv 123", "order 4711 cvv [CVV_1]"),
        ("an expiry date between", "4111111111111111 exp 12/27 cvc 999", "[CARD_1] exp 12/27 cvc [CVV_1]"),
        ("in JSON", "{\"cvv\":\"123\"}", "{\"cvv\":\"[CVV_1]\"}"),
        ("American Express' word", "3782 822463 10005 CID 1234", "[CARD_1] CID [CVV_1]"),
        ("security code", "4111111111111111, security code 123", "[CARD_1], security code [CVV_1]"),
        ("in German", "4111111111111111, Prüfnummer lautet 123", "[CARD_1], Prüfnummer lautet [CVV_1]"),
        ("in French", "4111111111111111 code de sécurité : 123", "[CARD_1] code de sécurité : [CVV_1]"),
        ("in Spanish", "el código de seguridad es 123 4111111111111111", "el código de seguridad es [CVV_1] [CARD_1]"),
        ("in Japanese", "4111111111111111 セキュリティコード:123", "[CARD_1] セキュリティコード:[CVV_1]"),
        (
            "an ordinary code without a card",
            "the security code 1234 does not work",
            "the security code 1234 does not work",
        ),
        ("a customer's number without a card", "CID 123", "CID 123"),
        ("two digits and five", "cvv 12 cvv 12345", "cvv 12 cvv 12345"),
        ("a date after it", "cvv 2024-01-15", "cvv 2024-01-15"),
        ("an amount after it", "cvc 123,45", "cvc 123,45"),
        ("the word alone", "what is a CVV? 12 or 3 digits", "what is a CVV? 12 or 3 digits"),
        ("another word", "recover 123, CV 1234", "recover 123, CV 1234"),
        ("a placeholder that the customer wrote", "[CVV_1] cvv", "(CVV_1) cvv"),
    ];
    check(&cases, redacted);
}

#[test]
fn a_security_code_is_masked_directly_after_the_card() {
    let cases = [
        ("after an expiry date with its word", "4111111111111111 exp 12/27, 123", "[CARD_1] exp 12/27, [CVV_1]"),
        (
            "after a year of four digits",
            "4111111111111111, valid thru 12/2027 1234",
            "[CARD_1], valid thru 12/2027 [CVV_1]",
        ),
        ("after a date in German", "4111111111111111 gültig bis 12-27 123.", "[CARD_1] gültig bis 12-27 [CVV_1]."),
        ("after a date with blanks", "4111111111111111 12 / 27 / 123", "[CARD_1] 12 / 27 / [CVV_1]"),
        ("in brackets", "4111111111111111 (12/27, 123)", "[CARD_1] (12/27, [CVV_1])"),
        ("in columns", "4111111111111111|12|27|123", "[CARD_1]|12|27|[CVV_1]"),
        ("on lines of their own", "4111 1111 1111 1111\n12/27\n123\nOlga", "[CARD_1]\n12/27\n[CVV_1]\nOlga"),
        ("in other digits", "４１１１１１１１１１１１１１１１ １２/２７ １２３", "[CARD_1] １２/２７ [CVV_1]"),
        ("two cards", "4111111111111111 123 5555555555554444 456", "[CARD_1] [CVV_1] [CARD_2] [CVV_2]"),
        ("the date alone", "4111111111111111 12/27 and 12/2027", "[CARD_1] 12/27 and 12/2027"),
        ("a whole date", "4111111111111111 12/12/2027, 15-01-2024", "[CARD_1] 12/12/2027, 15-01-2024"),
        ("a whole date with the year first", "4111111111111111 2024-01-15", "[CARD_1] 2024-01-15"),
        ("a whole date after a date", "4111111111111111 12-12-2027", "[CARD_1] 12-12-2027"),
        ("two digits and five", "4111111111111111 12, 4111111111111111 12345", "[CARD_1] 12, [CARD_1] 12345"),
        ("an amount with a fraction", "4111111111111111 123.45", "[CARD_1] 123.45"),
        ("a telephone number", "4111111111111111 415 555 2671", "[CARD_1] [PHONE_1]"),
        ("further away", "4111111111111111     123", "[CARD_1]     123"),
        ("after another number", "DE89370400440532013000 123", "[IBAN_1] 123"),
        ("after what looks like a masked card", "[CARD_1] 12/27 123", "(CARD_1) 12/27 123"),
    ];
    check(&cases, redacted);
}

#[test]
fn nothing_is_left_to_mask_beside_a_masked_code() {
    for text in [
        "123 is my cvv 456 (cvv)",
        "cvv 123 456 cvc 4111 1111 1111 1111",
        "cvv cvc 123-0171 1234567 cvv 4321",
        "4111 1111 1111 1111 12/27 123 456 789",
        "4111 1111 1111 1111 123-0171 1234567 4111:1111:1111:1111:123",
        "98765 43210 4111 1111 1111 1111 123 98765 43210",
    ] {
        let masked = redacted(text);
        let mut again = Redactor::new(&RULES);
        let twice = again.redact(&masked);
        assert!(!again.redacted(), "{masked:?} became {twice:?}");
    }
}

#[test]
fn a_card_in_one_text_makes_a_code_of_what_the_next_one_calls_so() {
    let rules = rules();
    let mut redactor = Redactor::new(&rules);
    assert_eq!(redactor.redact("the security code is 123"), "the security code is 123");
    assert_eq!(redactor.redact("4111 1111 1111 1111"), "[CARD_1]");
    assert_eq!(redactor.redact("the security code is 123"), "the security code is [CVV_1]");
}

#[test]
fn a_field_of_metadata_that_is_named_so_holds_a_code() {
    let rules = rules();
    let mut redactor = Redactor::new(&rules);
    let mut metadata = json!({
        "cvv": "123", "payment": {"cardCvc": 4567, "CVV2": " 123 "}, "cvvs": 123, "code": "123", "cvc": "12/27", "MCVC": null
    });
    redactor.redact_value(&mut metadata);
    let masked = metadata.to_string();
    assert!(!masked.contains("4567") && masked.matches("123").count() == 2, "{masked}");
    assert_eq!(metadata["cvv"], metadata["payment"]["CVV2"], "one code, one number");
    assert_eq!((&metadata["cvvs"], &metadata["code"], &metadata["cvc"]), (&json!(123), &json!("123"), &json!("12/27")));
}

#[test]
fn a_code_never_comes_back_and_stays_where_cards_do() {
    let rules = RedactionRules::new(&Config { restore: true, ..Config::default() }).unwrap();
    let mut redactor = Redactor::new(&rules);
    redactor.redact("cvv 123");
    let mut answer = json!({"code": "[CVV_1]"});
    redactor.restore_value(&mut answer);
    assert_eq!(answer, json!({"code": "[CVV_1]"}));
    let off = RedactionRules::new(&Config { cards: false, ..Config::default() }).unwrap();
    assert_eq!(Redactor::new(&off).redact("4111111111111111 cvv 123"), "4111111111111111 cvv 123");
}
