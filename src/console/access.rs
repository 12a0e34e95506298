//! Who may look and who may act: the session cookie, and what every request has to prove.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::secret::Secret;

/// Name of the session cookie.
pub(super) const COOKIE: &str = "cfr_console";

/// The header that carries the token against forged requests, where a script sends them.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";

/// How long a sign-in lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// Sessions at once; a further sign-in ends the oldest.
const MOST_SESSIONS: usize = 64;

/// Guesses of the token a minute, of all visitors together.
const GUESSES: std::num::NonZeroU32 = std::num::NonZeroU32::new(20).unwrap();

/// Who looks at the page.
#[derive(Clone)]
pub(super) struct Visitor {
    /// The id in the cookie.
    pub(super) session: String,
    /// What every write of this session has to bring along.
    pub(super) csrf: String,
    /// How the audit log calls them.
    pub(super) name: String,
    /// True where no token is asked for, or it was given.
    pub(super) admitted: bool,
}

/// The sessions of one process. They end with it.
pub(super) struct Access {
    token: Option<Secret>,
    /// Binds tokens against forged requests to sessions.
    key: [u8; 32],
    sessions: Mutex<Vec<Session>>,
    guesses: DefaultDirectRateLimiter,
}

struct Session {
    /// SHA-256 of the cookie.
    id: [u8; 32],
    name: String,
    until: Instant,
}

impl Access {
    pub(super) fn new(token: Option<Secret>) -> Self {
        let guesses = RateLimiter::direct(Quota::per_minute(GUESSES));
        Self { token, key: rand::random(), sessions: Mutex::default(), guesses }
    }

    /// True where a token is asked for.
    pub(super) fn guarded(&self) -> bool {
        self.token.is_some()
    }

    /// The visitor that a request's cookie names; a new one without it.
    pub(super) fn visitor(&self, headers: &HeaderMap) -> Visitor {
        let session = cookie(headers).unwrap_or_else(|| hex::encode(rand::random::<[u8; 32]>()));
        let csrf = self.csrf(&session);
        let signed_in = self.find(&session);
        let admitted = !self.guarded() || signed_in.is_some();
        let name = signed_in.unwrap_or_else(|| "console".to_owned());
        Visitor { session, csrf, name, admitted }
    }

    /// Signs in who knows the token: the id of the new session. A guess is compared in constant time, and too many
    /// guesses are not compared at all.
    pub(super) fn sign_in(&self, given: &str, name: &str) -> Option<String> {
        let token = self.token.as_ref()?;
        self.guesses.check().ok()?;
        // Digests have one length: not even that of the token shows.
        let (given, wanted) = (digest(given), digest(token.expose()));
        if !bool::from(given.ct_eq(&wanted)) {
            return None;
        }
        let session = hex::encode(rand::random::<[u8; 32]>());
        let mut sessions = self.lock();
        if sessions.len() >= MOST_SESSIONS {
            sessions.remove(0);
        }
        let name = format!("console:{name}");
        sessions.push(Session { id: digest(&session), name, until: Instant::now() + SESSION });
        Some(session)
    }

    /// Ends a session.
    pub(super) fn sign_out(&self, session: &str) {
        let id = digest(session);
        self.lock().retain(|known| known.id != id);
    }

    /// True if `given` is the token against forged requests of this visitor.
    pub(super) fn genuine(visitor: &Visitor, given: &str) -> bool {
        bool::from(given.as_bytes().ct_eq(visitor.csrf.as_bytes()))
    }

    fn csrf(&self, session: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(session.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    fn find(&self, session: &str) -> Option<String> {
        let id = digest(session);
        let mut sessions = self.lock();
        sessions.retain(|session| Instant::now() < session.until);
        sessions.iter().find(|session| bool::from(session.id.ct_eq(&id))).map(|session| session.name.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The session in the cookies, if it has the form of one.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let found =
        cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    found.filter(|id| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).map(str::to_owned)
}

/// True when a request was made for an address of this machine itself. A page elsewhere that makes a name of its own
/// resolve to 127.0.0.1 reaches a loopback listener, too, but under that name.
pub(super) fn is_for_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = host(headers) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// True when a request comes from a page of this listener: browsers say so in `Origin`, and pages cannot change it.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let authority = origin.and_then(|origin| origin.strip_prefix("http://").or(origin.strip_prefix("https://")));
    match (authority, host(headers)) {
        (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => false,
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for (host, expected) in [
            ("127.0.0.1:9091", true),
            ("127.8.8.8", true),
            ("localhost:1", true),
            ("LOCALHOST", true),
            ("[::1]:9091", true),
            ("[::1]", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example:9091", false),
            ("localhost.evil.example", false),
            ("10.0.0.1:9091", false),
            ("", false),
        ] {
            assert_eq!(is_for_loopback(&headers(&[("host", host)])), expected, "{host}");
        }
        assert!(!is_for_loopback(&HeaderMap::new()));
    }

    #[test]
    fn an_origin_is_the_host_or_foreign() {
        for (origin, expected) in [
            (Some("http://127.0.0.1:9091"), true),
            (Some("https://127.0.0.1:9091"), true),
            (Some("http://127.0.0.1:9092"), false),
            (Some("http://127.0.0.1"), false),
            (Some("http://evil.example"), false),
            (Some("null"), false),
            (Some("127.0.0.1:9091"), false),
            (None, false),
        ] {
            let mut pairs = vec![("host", "127.0.0.1:9091")];
            pairs.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(is_same_origin(&headers(&pairs)), expected, "{origin:?}");
        }
    }

    #[test]
    fn a_token_opens_a_session_and_a_wrong_one_or_too_many_do_not() {
        let token = "a-token-of-the-console-that-is-long-enough";
        let access = Access::new(Some(Secret::new(token)));
        let session = access.sign_in(token, "olga").unwrap();
        let mine = access.visitor(&headers(&[("cookie", &format!("a=b; {COOKIE}={session}"))]));
        assert!(mine.admitted && mine.name == "console:olga" && Access::genuine(&mine, &mine.csrf.clone()));
        let stranger = access.visitor(&HeaderMap::new());
        assert!(!stranger.admitted && !Access::genuine(&stranger, &mine.csrf));
        access.sign_out(&session);
        assert!(!access.visitor(&headers(&[("cookie", &format!("{COOKIE}={session}"))])).admitted);
        let guesses = (0..GUESSES.get()).filter(|_| access.sign_in("guess", "x").is_some()).count();
        assert_eq!(guesses, 0);
        assert!(access.sign_in(token, "olga").is_none(), "after too many guesses nobody is let in for a while");
    }
}
