//! International bank account numbers in running text.

use std::ops::Range;

/// Country and length of its IBAN (ISO 13616 registry).
#[rustfmt::skip]
const LENGTHS: [(&[u8; 2], usize); 89] = [
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16), (b"BG", 22),
    (b"BH", 22), (b"BI", 27), (b"BR", 29), (b"BY", 28), (b"CH", 21), (b"CR", 22), (b"CY", 28), (b"CZ", 24),
    (b"DE", 22), (b"DJ", 27), (b"DK", 18), (b"DO", 28), (b"EE", 20), (b"EG", 29), (b"ES", 24), (b"FI", 18),
    (b"FK", 18), (b"FO", 18), (b"FR", 27), (b"GB", 22), (b"GE", 22), (b"GI", 23), (b"GL", 18), (b"GR", 27),
    (b"GT", 28), (b"HN", 28), (b"HR", 21), (b"HU", 28), (b"IE", 22), (b"IL", 23), (b"IQ", 23), (b"IS", 26),
    (b"IT", 27), (b"JO", 30), (b"KW", 30), (b"KZ", 20), (b"LB", 28), (b"LC", 32), (b"LI", 21), (b"LT", 20),
    (b"LU", 20), (b"LV", 21), (b"LY", 25), (b"MC", 27), (b"MD", 24), (b"ME", 22), (b"MK", 19), (b"MN", 20),
    (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NI", 28), (b"NL", 18), (b"NO", 15), (b"OM", 23), (b"PK", 24),
    (b"PL", 28), (b"PS", 29), (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22), (b"RU", 33), (b"SA", 24),
    (b"SC", 31), (b"SD", 18), (b"SE", 24), (b"SI", 19), (b"SK", 24), (b"SM", 27), (b"SO", 23), (b"ST", 25),
    (b"SV", 28), (b"TL", 23), (b"TN", 24), (b"TR", 26), (b"UA", 29), (b"VA", 22), (b"VG", 24), (b"XK", 20),
    (b"YE", 30),
];

/// Every IBAN in a text, also in small letters and in groups, and its canonical spelling.
pub(super) fn find(text: &str) -> Vec<(Range<usize>, String)> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at + 15 <= bytes.len() {
        let begins = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        match begins.then(|| iban_at(bytes, at)).flatten() {
            Some((end, number)) => {
                found.push((at..end, number));
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// The IBAN that begins at a place: its end and its characters.
fn iban_at(bytes: &[u8], start: usize) -> Option<(usize, String)> {
    let country = [bytes[start].to_ascii_uppercase(), bytes[start + 1].to_ascii_uppercase()];
    // Almost every word of a text is ruled out by its third character.
    let check_digits = &bytes[start + 2..];
    if !matches!(check_digits, [b'0'..=b'9', ..] | [b' ' | b'-' | b'.', b'0'..=b'9', ..]) {
        return None;
    }
    let (_, length) = LENGTHS.iter().find(|(name, _)| **name == country)?;
    let mut number = String::with_capacity(*length);
    let (mut at, mut gap) = (start, 0);
    while number.len() < *length {
        let byte = *bytes.get(at)?;
        let digit_due = (2..4).contains(&number.len());
        match byte {
            b' ' | b'-' | b'.' if gap == 0 => gap = 1,
            byte if byte.is_ascii_digit() || (byte.is_ascii_alphabetic() && !digit_due) => {
                number.push(char::from(byte.to_ascii_uppercase()));
                gap = 0;
            }
            _ => return None,
        }
        at += 1;
    }
    let ends = bytes.get(at).is_none_or(|next| !next.is_ascii_alphanumeric());
    (ends && passes_mod_97(&number)).then_some((at, number))
}

/// The check of ISO 7064 (MOD 97-10) over the number with its first four characters put last.
fn passes_mod_97(number: &str) -> bool {
    let (country, account) = number.split_at(4);
    let rest = account
        .chars()
        .chain(country.chars())
        .filter_map(|c| c.to_digit(36))
        .fold(0_u32, |rest, value| if value < 10 { (rest * 10 + value) % 97 } else { (rest * 100 + value) % 97 });
    rest == 1
}
