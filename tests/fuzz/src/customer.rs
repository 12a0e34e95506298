//! What customers write.

use std::sync::LazyLock;

use cognigy_fallback_router::{
    customer_text,
    redaction::{Config, RedactionRules, Redactor},
};

pub(crate) static RULES: LazyLock<RedactionRules> = LazyLock::new(|| RedactionRules::new(&Config::default()).unwrap());

/// Cleaning twice changes nothing more, nor does masking what is masked; nothing invisible is left, and nothing that
/// identifies in its plainest form.
pub(crate) fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = customer_text::is_masked(text);
    let clean = customer_text::clean(text);
    assert_eq!(customer_text::clean(&clean), clean, "cleaning is not idempotent");
    readable(&clean);
    let mut redactor = Redactor::new(&RULES);
    let masked = redactor.redact(&clean).into_owned();
    // The reverse does not hold: what looks like a placeholder is written otherwise, without being masked.
    assert!(!redactor.redacted() || masked != clean);
    assert_eq!(customer_text::clean(&masked), masked, "a masked text is not clean");
    let mut again = Redactor::new(&RULES);
    let twice = again.redact(&masked).into_owned();
    assert!(!again.redacted(), "something was left to mask in {masked:?}: {twice:?}");
    for text in [&masked, &twice] {
        assert!(!has_card(text), "a card number is left in {text:?}");
        assert!(!has_address(text), "an e-mail address is left in {text:?}");
    }
}

/// Nothing invisible, and no mark of a chat template.
fn readable(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    let invisible = |c: char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e01ef}')
    };
    assert!(!text.chars().any(invisible), "{text:?}");
    let lower = text.to_lowercase();
    for mark in ["<|", "|>", "<｜", "[inst]", "[/inst]", "<<sys>>", "<start_of_turn>", "</s>", "<think>", "[tool_calls]"] {
        assert!(!lower.contains(mark), "{mark} in {text:?}");
    }
}

/// A run of 16 digits that begins with a 4 and passes the Luhn check, surrounded by neither digits nor letters.
fn has_card(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|word| {
        let digits: Vec<u32> = word.chars().filter_map(|c| c.to_digit(10)).collect();
        word.chars().count() == 16 && digits.len() == 16 && digits[0] == 4 && luhn(&digits)
    })
}

/// Letters, an @, letters, a dot and `com`.
fn has_address(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"@.".contains(c)).any(|word| {
        word.split_once('@').is_some_and(|(name, host)| {
            let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
            plain(name) && host.strip_suffix(".com").is_some_and(plain)
        })
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
