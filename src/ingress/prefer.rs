//! `Prefer: wait=N` (RFC 7240): how long a request may be held open for an outcome.

use std::{convert::Infallible, time::Duration};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};

/// The longest wait; Cognigy's own limits (20 s for an Extension) are no longer.
const LONGEST: Duration = Duration::from_secs(20);

/// What a request prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefer {
    /// How long it would wait, at most 20 s; `None` where it did not say, or not so that it can be understood.
    pub(super) wait: Option<Duration>,
}

impl Prefer {
    fn of(headers: &HeaderMap) -> Self {
        let preferences = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        // The first of a name counts; an unusable value is as good as none.
        let wait = preferences.flat_map(|value| value.split(',')).find_map(wait).flatten();
        Self { wait: wait.filter(|wait| !wait.is_zero()).map(|wait| wait.min(LONGEST)) }
    }
}

/// The header that tells which preference was honoured.
pub(super) fn applied(wait: Duration) -> (HeaderName, HeaderValue) {
    let value = format!("wait={}", wait.as_secs());
    let value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("wait"));
    (HeaderName::from_static("preference-applied"), value)
}

/// The value of the preference `wait`, `Some(None)` if it is not a number of seconds; `None` for another preference.
fn wait(preference: &str) -> Option<Option<Duration>> {
    let own = preference.split(';').next().unwrap_or_default();
    let (name, value) = own.split_once('=').unwrap_or((own, ""));
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    let value = value.trim().trim_matches('"');
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are a long wait.
    Some(digits.then(|| value.parse().map_or(LONGEST, Duration::from_secs)))
}

impl<S: Send + Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_seconds_of_the_first_wait_count_and_no_more_than_twenty() {
        for (headers, expected) in [
            (&[][..], None),
            (&["wait=15"], Some(15)),
            (&["respond-async, wait=10"], Some(10)),
            (&["respond-async", "Wait = 7; x=y, wait=9"], Some(7)),
            (&["wait=\"3\""], Some(3)),
            (&["wait=600"], Some(20)),
            (&["wait=99999999999999999999999"], Some(20)),
            (&["wait=0"], None),
            (&["wait=-1"], None),
            (&["wait=1.5"], None),
            (&["wait"], None),
            (&["wait="], None),
            (&["wait=x, wait=5"], None),
            (&["await=5, handling=lenient"], None),
        ] {
            let mut map = HeaderMap::new();
            for value in headers {
                map.append("prefer", HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(Prefer::of(&map).wait.map(|wait| wait.as_secs()), expected, "{headers:?}");
        }
    }
}
