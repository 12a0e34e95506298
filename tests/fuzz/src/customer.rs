//! What customers write.

use std::sync::LazyLock;

use cognigy_fallback_router::{
    customer_text,
    redaction::{Config, RedactionRules, Redactor},
};

static RULES: LazyLock<RedactionRules> = LazyLock::new(|| RedactionRules::new(&Config::default()).unwrap());

/// Cleaning twice changes nothing more, nor does masking what is masked; nothing invisible is left.
pub(crate) fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = customer_text::is_masked(text);
    let clean = customer_text::clean(text);
    assert_eq!(customer_text::clean(&clean), clean, "cleaning is not idempotent");
    assert!(!clean.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    assert!(
        !clean
            .chars()
            .any(|c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{e0000}'..='\u{e007f}'))
    );
    assert!(!clean.contains("<|"));
    let mut redactor = Redactor::new(&RULES);
    let masked = redactor.redact(&clean).into_owned();
    // The reverse does not hold: what looks like a placeholder is written otherwise, without being masked.
    assert!(!redactor.redacted() || masked != clean);
    let again = Redactor::new(&RULES).redact(&masked).into_owned();
    assert!(!has_card(&again), "a card number is left in {again:?}");
}

/// A run of 16 digits that begins with a 4 and passes the Luhn check, surrounded by neither digits nor letters.
fn has_card(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|word| {
        let digits: Vec<u32> = word.chars().filter_map(|c| c.to_digit(10)).collect();
        word.chars().count() == 16 && digits.len() == 16 && digits[0] == 4 && luhn(&digits)
    })
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            1 if *digit > 4 => digit * 2 - 9,
            1 => digit * 2,
            _ => *digit,
        })
        .sum();
    sum % 10 == 0
}
