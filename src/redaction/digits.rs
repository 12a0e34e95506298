//! Decimal digits of every script that phones and computers let people type.

/// The zeros of scripts whose digits follow one another (Unicode general category Nd).
const ZEROS: [char; 26] = [
    '0', '٠', '۰', '߀', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '෦', '๐', '໐', '༠', '၀', '႐', '០', '᠐', '᥆', '᱀',
    '꘠', '０', '𑁦',
];

/// The mathematical digits: five alphabets of ten, without a gap.
const MATHEMATICAL: std::ops::RangeInclusive<char> = '\u{1d7ce}'..='\u{1d7ff}';

/// The value of a decimal digit, whatever its script.
pub(super) fn digit(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.is_ascii_digit().then(|| c as u8 - b'0');
    }
    let code = u32::from(c);
    let from = |zero: u32| code.checked_sub(zero).and_then(|value| u8::try_from(value).ok());
    if MATHEMATICAL.contains(&c) {
        return from(u32::from(*MATHEMATICAL.start())).map(|value| value % 10);
    }
    ZEROS.iter().find_map(|zero| from(u32::from(*zero)).filter(|value| *value < 10))
}

/// The digits of a text in ASCII, everything else left out.
pub(super) fn only_digits(text: &str) -> String {
    text.chars().filter_map(digit).map(|value| char::from(b'0' + value)).collect()
}
