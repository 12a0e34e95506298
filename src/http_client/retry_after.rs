//! How long the other side asks us to wait.

use std::time::Duration;

use http::HeaderMap;
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser, tz::TimeZone};

use crate::time::EpochMs;

/// The headers, most exact first. Those of the gateway's own provider come last: LiteLLM passes a provider's
/// `Retry-After` on under that prefix and sets none itself.
const HEADERS: [(&str, Unit); 4] = [
    ("retry-after-ms", Unit::Milliseconds),
    ("retry-after", Unit::SecondsOrDate),
    ("llm_provider-retry-after-ms", Unit::Milliseconds),
    ("llm_provider-retry-after", Unit::SecondsOrDate),
];

/// Longer wishes are cut to this; nobody waits as long anyway.
const LONGEST_SECONDS: f64 = 86_400.0;

#[derive(Clone, Copy)]
enum Unit {
    Milliseconds,
    SecondsOrDate,
}

/// The wait that an answer asks for, from the first of the known headers that can be read: `retry-after-ms`,
/// `retry-after` (seconds, also with a fraction, or an HTTP date), and both again as `llm_provider-…`.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: EpochMs) -> Option<Duration> {
    HEADERS.iter().find_map(|(name, unit)| {
        let text = headers.get(*name)?.to_str().ok()?.trim();
        match unit {
            Unit::Milliseconds => seconds(text, 1_000.0),
            Unit::SecondsOrDate => seconds(text, 1.0).or_else(|| until_date(text, now)),
        }
    })
}

fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    // NaN is neither.
    (number >= 0.0).then(|| Duration::from_secs_f64((number / per_second).min(LONGEST_SECONDS)))
}

fn until_date(text: &str, now: EpochMs) -> Option<Duration> {
    let date = DateTimeParser::new().parse_timestamp(text).ok().or_else(|| obsolete_date(text))?;
    let moment = EpochMs(u64::try_from(date.as_millisecond()).unwrap_or(0));
    Some(moment.since(now).min(Duration::from_secs_f64(LONGEST_SECONDS)))
}

/// The two older forms that a recipient must understand, too: those of RFC 850 and of asctime (RFC 9110 §5.6.7).
fn obsolete_date(text: &str) -> Option<Timestamp> {
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].iter().find_map(|form| {
        let date = jiff::civil::DateTime::strptime(form, text).ok()?;
        TimeZone::UTC.to_timestamp(date).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_readable_header_counts() {
        // Sun, 06 Nov 1994 08:49:30 GMT
        let now = EpochMs(784_111_770_000);
        let ms = |ms| Some(Duration::from_millis(ms));
        for (headers, expected) in [
            (vec![], None),
            (vec![("retry-after", "3")], ms(3_000)),
            (vec![("retry-after", " 0.25 ")], ms(250)),
            (vec![("retry-after", "0")], ms(0)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], ms(7_000)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")], ms(0)),
            (vec![("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT")], ms(7_000)),
            (vec![("retry-after", "Sun Nov  6 08:49:37 1994")], ms(7_000)),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "")], None),
            (vec![("retry-after", "1e300")], ms(86_400_000)),
            (vec![("retry-after", "inf")], ms(86_400_000)),
            (vec![("retry-after-ms", "1500"), ("retry-after", "9")], ms(1_500)),
            (vec![("retry-after-ms", "x"), ("retry-after", "9")], ms(9_000)),
            (vec![("llm_provider-retry-after", "3")], ms(3_000)),
            (vec![("llm_provider-retry-after-ms", "20"), ("llm_provider-retry-after", "3")], ms(20)),
            (vec![("llm_provider-retry-after", "3"), ("retry-after", "60")], ms(60_000)),
        ] {
            let map: HeaderMap =
                headers.iter().map(|(k, v)| (k.parse().unwrap(), http::HeaderValue::from_static(v))).collect();
            assert_eq!(retry_after(&map, now), expected, "{headers:?}");
        }
    }
}
