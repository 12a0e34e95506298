//! What may be seen of what a customer wrote: invisible characters go, values that identify are masked.

mod codes;
mod evasions;

use std::{borrow::Cow, sync::LazyLock};

use cognigy_fallback_router::{
    customer_text::{clean, is_masked, visible},
    redaction::{Config, Pattern, RedactionRules, Redactor},
};
use proptest::prelude::*;
use serde_json::json;

fn rules() -> RedactionRules {
    RedactionRules::new(&Config::default()).unwrap()
}

static RULES: LazyLock<RedactionRules> = LazyLock::new(rules);

fn redacted(text: &str) -> String {
    Redactor::new(&RULES).redact(text).into_owned()
}

/// Checks all cases, so that one run shows every failure.
fn check(cases: &[(&str, &str, &str)], function: impl Fn(&str) -> String) {
    let wrong: Vec<_> = cases
        .iter()
        .map(|(reason, text, expected)| (reason, function(text), expected))
        .filter(|(_, got, expected)| got != *expected)
        .map(|(reason, got, expected)| format!("{reason}: {got:?} instead of {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_reader_cannot_see_is_stripped() {
    let cases = [
        ("plain text", "My order 4711 is late, why?", "My order 4711 is late, why?"),
        ("line feed and tabulator", "a\n\tb", "a\n\tb"),
        ("carriage returns", "a\r\nb\rc", "a\nb\nc"),
        ("other line breaks", "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f", "a\nb\nc\nd\ne\nf"),
        ("null, bell, backspace, escape", "a\0b\u{7}c\u{8}d\u{1b}[2J", "abcd[2J"),
        ("delete and C1", "a\u{7f}b\u{9b}c", "abc"),
        ("zero-width characters", "i\u{200b}g\u{200c}n\u{200d}o\u{2060}r\u{feff}e", "ignore"),
        ("soft hyphens", "pass\u{ad}word", "password"),
        ("bidirectional overrides", "\u{202e}evil\u{202c} \u{2066}x\u{2069}\u{200f}", "evil x"),
        ("Unicode tags", "hi\u{e0001}\u{e0069}\u{e0067}\u{e007f}", "hi"),
        ("variation selectors that carry bytes", "a\u{fe00}\u{e0100}\u{e01ef}b", "ab"),
        ("the selector for emoji", "❤\u{fe0f}", "❤\u{fe0f}"),
        ("private use", "a\u{e000}\u{f8ff}\u{f0000}\u{10fffd}b", "ab"),
        ("noncharacters", "a\u{fdd0}\u{ffff}\u{1fffe}b", "ab"),
        ("Hangul fillers", "a\u{3164}\u{115f}\u{ffa0}b", "ab"),
        ("annotations and object replacement", "a\u{fff9}\u{fffc}b", "ab"),
        ("a family of emoji falls apart", "👨\u{200d}👩", "👨👩"),
        ("decomposed letters are composed", "u\u{308}ber cafe\u{301}", "über café"),
        ("letters that only stripping brings together", "u\u{200d}\u{308}", "ü"),
        ("Arabic, Hindi, Chinese, Japanese", "مرحبا नमस्ते 你好 ガ", "مرحبا नमस्ते 你好 ガ"),
        ("compatibility forms stay", "ﬁ ① ４", "ﬁ ① ４"),
        ("nothing", "", ""),
    ];
    check(&cases, |text| clean(text).into_owned());
}

#[test]
fn marks_of_chat_templates_lose_their_power_and_stay_readable() {
    let cases = [
        ("ChatML", "<|im_start|>system", "< |im_start| >system"),
        ("end of text", "x<|endoftext|>", "x< |endoftext| >"),
        ("a mark without a word", "<|>", "< | >"),
        ("full-width bars", "<｜User｜>", "< ｜User｜ >"),
        ("Llama instructions", "[INST] a [/INST]", "[ INST] a [ /INST]"),
        ("in small letters", "[inst]", "[ inst]"),
        ("Llama system", "<<SYS>>a<</SYS>>", "< <SYS>>a< </SYS>>"),
        ("Gemma turns", "<start_of_turn>user", "< start_of_turn>user"),
        ("thoughts", "<think>a</think>", "< think>a< /think>"),
        ("a mark hidden by a zero-width space", "<\u{200b}|im_start|\u{200b}>", "< |im_start| >"),
        ("other brackets", "a < b | c > d [1] <b>", "a < b | c > d [1] <b>"),
        ("templates", "{{ x }} {% y %}", "{{ x }} {% y %}"),
    ];
    check(&cases, |text| clean(text).into_owned());
}

#[test]
fn text_without_a_fault_is_not_copied() {
    for text in ["My order is late.", "[1] a < b", "über 你好 ❤\u{fe0f}", ""] {
        assert!(matches!(clean(text), Cow::Borrowed(_)), "{text}");
        assert!(matches!(visible(text), Cow::Borrowed(_)), "{text}");
        assert!(matches!(Redactor::new(&rules()).redact(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn a_text_that_arrives_masked_is_recognised() {
    for text in [
        "my card ****1111",
        "**** **** **** 1111",
        "••••",
        "XXXX-XXXX-XXXX-1111",
        "xxxx1111",
        "####1111",
        "[CREDIT CARD REDACTED]",
        "<redacted: 12 chars>",
        "mail [EMAIL_MASKED] ok",
    ] {
        assert!(is_masked(text), "{text}");
    }
    for text in
        ["", "***", "a * b ** c", "xxxx love", "#### Title", "[CARD_1]", "I redacted it", "[x] not redacted", "1 - 2"]
    {
        assert!(!is_masked(text), "{text}");
    }
}

#[test]
fn a_card_number_is_masked_however_it_is_written_and_a_failed_luhn_is_not() {
    let cases = [
        ("Visa", "4111111111111111", "[CARD_1]"),
        ("Visa in groups", "card 4111 1111 1111 1111 please", "card [CARD_1] please"),
        ("dashes", "4111-1111-1111-1111", "[CARD_1]"),
        ("dots and mixed", "4111.1111-1111 1111", "[CARD_1]"),
        ("no-break spaces", "4111\u{a0}1111\u{202f}1111\u{2009}1111", "[CARD_1]"),
        ("wide gaps", "4111 - 1111 - 1111 - 1111", "[CARD_1]"),
        ("four blanks", "4111    1111    1111    1111", "[CARD_1]"),
        ("colons", "4111:1111:1111:1111", "[CARD_1]"),
        ("apostrophes", "4111'1111'1111'1111 or 4111’1111’1111’1111", "[CARD_1] or [CARD_1]"),
        (
            "times in a row",
            "22:00 22:30 23:00 23:30, 22:00:22:30:23:00:23:37",
            "22:00 22:30 23:00 23:30, 22:00:22:30:23:00:23:37",
        ),
        ("an amount of Switzerland", "4'111'111'111'111'111", "4'111'111'111'111'111"),
        ("digit by digit", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[CARD_1]"),
        ("Mastercard", "5555555555554444", "[CARD_1]"),
        ("Mastercard of the 2 series", "2223003122003222", "[CARD_1]"),
        ("American Express", "3782 822463 10005", "[CARD_1]"),
        ("Diners", "30569309025904", "[CARD_1]"),
        ("JCB", "3530111333300000", "[CARD_1]"),
        ("Discover", "6011111111111117", "[CARD_1]"),
        ("old Visa", "4222222222222", "[CARD_1]"),
        ("an expiry date after it", "4111 1111 1111 1111 12/27 123", "[CARD_1] 12/27 [CVV_1]"),
        ("the same without a sign", "4111 1111 1111 1111 1227 123", "[CARD_1] [CVV_1] [CVV_2]"),
        ("oddly grouped", "411 11111 1111 1111", "[CARD_1]"),
        ("a list of other numbers", "1-4111 1-111 1-111 1-111 1-111", "1-4111 1-111 1-111 1-111 1-111"),
        ("a security code after it", "4111 1111 1111 1111 123", "[CARD_1] [CVV_1]"),
        ("an amount in the sentence after it", "4111111111111111 and 250 euros", "[CARD_1] and 250 euros"),
        ("a number before it", "2 x 4111 1111 1111 1111", "2 x [CARD_1]"),
        ("words around it without a blank", "visa4111111111111111ok", "visa[CARD_1]ok"),
        ("two cards", "4111111111111111 5555555555554444", "[CARD_1] [CARD_2]"),
        ("the same card in two spellings", "4111111111111111, 4111-1111-1111-1111", "[CARD_1], [CARD_1]"),
        ("full-width digits", "４１１１１１１１１１１１１１１１", "[CARD_1]"),
        ("Arabic digits", "٤١١١ ١١١١ ١١١١ ١١١١", "[CARD_1]"),
        ("Devanagari digits", "४१११११११११११११११", "[CARD_1]"),
        ("mathematical digits", "𝟒𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏", "[CARD_1]"),
        ("a failed Luhn", "4111111111111112", "4111111111111112"),
        ("twelve digits", "411111111116", "411111111116"),
        ("a part of a longer number", "41111111111111111111", "41111111111111111111"),
        ("no brand begins so", "0000000000000000 7992739871300000", "0000000000000000 7992739871300000"),
        ("milliseconds since 1970", "1705312825004", "1705312825004"),
        ("microseconds since 1970", "1705312825000007", "1705312825000007"),
        ("a date and time in one", "20240115102345123", "20240115102345123"),
    ];
    check(&cases, redacted);
}

#[test]
fn other_values_that_identify_are_masked() {
    let cases = [
        ("IBAN", "DE89370400440532013000", "[IBAN_1]"),
        ("IBAN in groups and words around", "to DE89 3704 0044 0532 0130 00 please", "to [IBAN_1] please"),
        ("IBAN in small letters", "gb29nwbk60161331926819", "[IBAN_1]"),
        ("IBAN with dashes", "NL91-ABNA-0417-1643-00.", "[IBAN_1]."),
        ("the shortest and a long one", "NO9386011117947 MT84MALT011000012345MTLCAST001S", "[IBAN_1] [IBAN_2]"),
        (
            "IBAN with its name before it without a blank",
            "IBANDE89370400440532013000 ibande89 3704 0044 0532 0130 00",
            "IBAN[IBAN_1] iban[IBAN_1]",
        ),
        ("an IBAN with a wrong check", "DE88370400440532013000", "DE88370400440532013000"),
        ("an IBAN of no country", "ZZ89370400440532013000", "ZZ89370400440532013000"),
        ("an IBAN cut short", "DE8937040044053201300", "DE8937040044053201300"),
        ("e-mail", "write to Jane.Doe+x@mail.example.co.uk.", "write to [EMAIL_1]."),
        ("e-mail twice, other case", "a@b.de A@B.DE c@d.fr", "[EMAIL_1] [EMAIL_1] [EMAIL_2]"),
        ("e-mail in other scripts", "почта@пример.рф und müller＠firma.de", "[EMAIL_1] und [EMAIL_2]"),
        ("e-mail with blanks around its sign", "jane @ example.com or Jane@example.com", "[EMAIL_1] or [EMAIL_1]"),
        ("a place after the sign", "lunch @ work, @ 3.50 each", "lunch @ work, @ 3.50 each"),
        ("a handle after a blank", "thanks @jane.doe, jane@ example.com", "thanks @jane.doe, jane@ example.com"),
        ("a mail link", "<mailto:a@b.de>", "<mailto:[EMAIL_1]>"),
        ("no e-mail", "@home me@localhost 5 @ 3.50", "@home me@localhost 5 @ 3.50"),
        ("SSN", "my ssn is 123-45-6789.", "my ssn is [SSN_1]."),
        ("SSN before a sentence without a blank", "is 123-45-6789.Please", "is [SSN_1].Please"),
        ("SSN before a word", "SSN:123-45-6789-please", "SSN:[SSN_1]-please"),
        (
            "SSN in an identifier",
            "123-45-6789-A1 X_123-45-6789 123-45-6789_x",
            "123-45-6789-A1 X_123-45-6789 123-45-6789_x",
        ),
        (
            "SSN never issued",
            "000-12-3456 666-12-3456 912-34-5678 123-00-4567 123-45-0000",
            "000-12-3456 666-12-3456 912-34-5678 123-00-4567 123-45-0000",
        ),
        ("SSN without dashes", "123456789", "123456789"),
        (
            "SSN in a longer number",
            "5123-45-67890 A123-45-6789 1-123-45-6789",
            "5123-45-67890 A123-45-6789 1-123-45-6789",
        ),
        ("phone with plus", "+491711234567", "[PHONE_1]"),
        ("phone before a sentence without a blank", "+49 171 1234567.Danke", "[PHONE_1].Danke"),
        ("phone in italics and bold", "_0171 1234567_ __+49 171 1234567__", "_[PHONE_1]_ __[PHONE_2]__"),
        ("phone right after a word", "WhatsApp+491711234567", "WhatsApp[PHONE_1]"),
        ("a sum", "12+491711234567", "12+491711234567"),
        ("phone of Spain", "612 34 56 78 or 34 612 34 56 78", "[PHONE_1] or [PHONE_2]"),
        ("phone of India", "98765 43210, 91 98765 43210", "[PHONE_1], [PHONE_2]"),
        (
            "groups of an order number",
            "612 345 678, 98765 43210 12345, 7 612 34 56 78",
            "612 345 678, 98765 43210 12345, 7 612 34 56 78",
        ),
        ("phone with plus, grouped", "call +49 (0)171 / 123-45 67 now", "call [PHONE_1] now"),
        (
            "phone with a leading zero",
            "0171 1234567 or (089) 1234-567 or 06 12 34 56 78",
            "[PHONE_1] or [PHONE_2] or [PHONE_3]",
        ),
        (
            "phone as in North America",
            "(415) 555-2671, 415-555-2671, 1 415.555.2671",
            "[PHONE_1], [PHONE_1], [PHONE_2]",
        ),
        ("phone with full-width digits", "＋４９１７１１２３４５６７", "[PHONE_1]"),
        ("a mere number", "4155552671 and 01711234567", "4155552671 and 01711234567"),
        (
            "dates and times",
            "2024-01-15 10:23:45, 01.02.2024 09:30, 12/31/2024 0800",
            "2024-01-15 10:23:45, 01.02.2024 09:30, 12/31/2024 0800",
        ),
        ("a timestamp", "2024-01-15T10:23:45.000Z", "2024-01-15T10:23:45.000Z"),
        ("a conversation id", "cid=r-00000001 cid=r-41111111 r-000000012", "cid=r-00000001 cid=r-41111111 r-000000012"),
        ("a UUID", "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "a1b2c3d4-e5f6-7890-abcd-ef1234567890"),
        (
            "a UUID of digits that pass the Luhn check",
            "41111111-1111-1111-8111-111111111111",
            "41111111-1111-1111-8111-111111111111",
        ),
        ("a UUID of zeros", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        (
            "amounts, fractions and addresses",
            "1.234.567,89 0.123456789 192.168.100.200",
            "1.234.567,89 0.123456789 192.168.100.200",
        ),
        ("an order number", "order 302-1234567-1234567, no. 4711", "order 302-1234567-1234567, no. 4711"),
        ("a placeholder that the customer wrote", "[CARD_1] [EMAIL_12] [X]", "(CARD_1) (EMAIL_12) [X]"),
        ("a placeholder around a value", "[CARD_4111111111111111]", "[CARD_[CARD_1]]"),
        ("all kinds at once", "4111111111111111 a@b.de +491711234567", "[CARD_1] [EMAIL_1] [PHONE_1]"),
    ];
    check(&cases, redacted);
}

#[test]
fn one_redactor_numbers_the_values_of_all_texts_of_its_trigger() {
    let rules = rules();
    let mut redactor = Redactor::new(&rules);
    assert_eq!(redactor.redact("nothing [CARD_9] here"), "nothing (CARD_9) here");
    assert!(!redactor.redacted(), "escaping is no masking");
    assert_eq!(redactor.redact("a@b.de"), "[EMAIL_1]");
    assert_eq!(redactor.redact("c@d.de and A@b.de"), "[EMAIL_2] and [EMAIL_1]");
    assert!(redactor.redacted());
    assert!(!format!("{redactor:?}").contains("b.de"));
    assert_eq!(Redactor::new(&rules).redact("c@d.de"), "[EMAIL_1]", "another trigger begins anew");
}

#[test]
fn what_was_masked_comes_back_only_where_the_profile_asks_and_a_card_never() {
    let text = "a@b.de, A@b.de, +49 171 1234567, 4111 1111 1111 1111 and [EMAIL_7]";
    let answer = json!({
        "contact": "[EMAIL_1] or [PHONE_1]", "card": "[CARD_1]", "list": [{"deep": "[EMAIL_1]"}, 7],
        "not ours": "[EMAIL_2] [EMAIL_7] [X]", "[EMAIL_1]": "a name"
    });
    let restored = |restore| {
        let rules = RedactionRules::new(&Config { restore, ..Config::default() }).unwrap();
        let mut redactor = Redactor::new(&rules);
        redactor.redact(text);
        let mut value = answer.clone();
        redactor.restore_value(&mut value);
        assert!(!format!("{redactor:?}").contains("b.de"));
        value
    };
    assert_eq!(restored(false), answer);
    let expected = json!({
        "contact": "a@b.de or +49 171 1234567", "card": "[CARD_1]", "list": [{"deep": "a@b.de"}, 7],
        "not ours": "[EMAIL_2] [EMAIL_7] [X]", "[EMAIL_1]": "a name"
    });
    assert_eq!(restored(true), expected);
}

#[test]
fn metadata_is_masked_in_every_string_name_and_card_number() {
    let rules = rules();
    let mut redactor = Redactor::new(&rules);
    let mut metadata = json!({
        "note": "mail a@b.de", "list": ["+491711234567", {"deep": "4111 1111 1111 1111"}],
        "card": 4_111_111_111_111_111_u64, "float": 4_111_111_111_111_111.0, "negative": -4_111_111_111_111_111_i64,
        "at": 1_705_312_825_004_u64, "score": 0.41, "on": true, "none": null, "large": 4.1e30, "half": 4_111_111_111_111.5,
        "c@d.de": 1
    });
    redactor.redact_value(&mut metadata);
    let expected = json!({
        "note": "mail [EMAIL_1]", "list": ["[PHONE_1]", {"deep": "[CARD_1]"}],
        "card": "[CARD_1]", "float": "[CARD_1]", "negative": "[CARD_1]",
        "at": 1_705_312_825_004_u64, "score": 0.41, "on": true, "none": null, "large": 4.1e30, "half": 4_111_111_111_111.5,
        "[EMAIL_2]": 1
    });
    assert_eq!(metadata, expected);
}

#[test]
fn the_operator_adds_patterns_and_switches_kinds_off() {
    let pattern = |name: &str, regex: &str| Pattern { name: name.to_owned(), regex: regex.to_owned() };
    let patterns = vec![pattern("CUSTOMER", r"\bK-\d{6}\b"), pattern("PROJECT", "(?i)falcon")];
    let rules = RedactionRules::new(&Config { patterns, emails: false, ..Config::default() }).unwrap();
    let mut redactor = Redactor::new(&rules);
    assert_eq!(redactor.redact("K-123456 a@b.de, project Falcon"), "[CUSTOMER_1] a@b.de, project [PROJECT_1]");
    assert_eq!(redactor.redact("K-123457"), "[CUSTOMER_2]");

    let none = Config { cards: false, ibans: false, emails: false, phones: false, ssns: false, ..Config::default() };
    let rules = RedactionRules::new(&none).unwrap();
    let text = "4111111111111111 DE89370400440532013000 a@b.de +491711234567 123-45-6789";
    assert_eq!(Redactor::new(&rules).redact(text), text);

    for (reason, name, regex, problem) in [
        ("a small name", "customer", "x", "capital letters"),
        ("no name", "", "x", "capital letters"),
        ("a broken pattern", "A", "(", "unclosed group"),
        ("look-around", "A", "(?=x)", "look-around"),
        ("the empty text", "A", "x*", "empty text"),
        ("too large", "A", r"\w{1000}{100}", "size limit"),
    ] {
        let config = Config { patterns: vec![pattern(name, regex)], ..Config::default() };
        let error = RedactionRules::new(&config).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("redaction pattern \"{name}\": ")) && error.contains(problem),
            "{reason}: {error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn cleaning_twice_changes_nothing_more(parts in prop::collection::vec("<|>|\\||｜|\\[INST\\]|\u{200b}|\\PC{0,3}|.", 0..30)) {
        let once = clean(&parts.concat()).into_owned();
        prop_assert_eq!(clean(&once), &once[..]);
    }

    #[test]
    fn no_text_makes_the_redactor_panic_and_no_card_survives_it(before in "\\PC{0,20}[^\\d]|", after in "[^\\d]\\PC{0,20}|") {
        let masked = redacted(&format!("{before}\n4111 1111 1111 1111\n{after}"));
        prop_assert!(!masked.contains("1111 1111"), "{}", masked);
    }
}
