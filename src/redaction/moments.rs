//! Times as machines write them: most turns of a conversation bear one, and none is anything to mask.

/// The date and the time of day; digits are zeros.
const FORM: &[u8; 19] = b"0000-00-00T00:00:00";

/// Most digits of a second's fraction: with more, and an offset, there were as many digits as in a card number.
const MOST_DIGITS: usize = 6;

/// True for a moment in the form of RFC 3339, of this century or the one before, with a sensible time of day and not too
/// many digits: in such a text [`find`](super::RedactionRules::find) finds none of the built-in kinds.
pub(super) fn is_moment(text: &str) -> bool {
    let Some((moment, rest)) = text.as_bytes().split_at_checked(FORM.len()) else { return false };
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    let number = |at: usize| (moment[at] - b'0') * 10 + (moment[at + 1] - b'0');
    moment.iter().zip(FORM).all(fits)
        && matches!(number(0), 19 | 20)
        && number(5) <= 12
        && number(8) <= 31
        && number(11) <= 23
        && number(14) <= 59
        && number(17) <= 60
        && is_end(rest)
}

/// `Z`, `.123Z`, `+01:00`, `.123-05:00`, or nothing.
fn is_end(rest: &[u8]) -> bool {
    let fraction = rest.strip_prefix(b".").unwrap_or(&[]);
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let offset = if digits > 0 { &fraction[digits..] } else { rest };
    match offset {
        [] | [b'Z'] => digits <= MOST_DIGITS,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            2 * digits <= MOST_DIGITS && [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_one_form() {
        for (text, expected) in [
            ("2024-01-15T10:23:45.000Z", true),
            ("2024-01-15T10:23:45Z", true),
            ("2024-01-15T10:23:45", true),
            ("1999-12-31T23:59:60.123456Z", true),
            ("2024-01-15T10:23:45+01:00", true),
            ("2024-01-15T10:23:45.123-05:00", true),
            ("2024-01-15T10:23:45.1234-05:00", false),
            ("2024-01-15T10:23:45.1234567Z", false),
            ("2024-01-15T10:23:45.Z", false),
            ("2024-01-15 10:23:45", false),
            ("2024-01-15T10:23", false),
            ("4111-11-11T11:11:11Z", false),
            ("2024-13-15T10:23:45Z", false),
            ("2024-01-15T24:23:45Z", false),
            ("2024-01-15T10:23:45Z 1", false),
            ("2024-01-15T10:23:45é", false),
            ("", false),
        ] {
            assert_eq!(is_moment(text), expected, "{text}");
        }
    }
}
