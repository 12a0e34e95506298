//! Doors for `tests/fuzz`: only there is this compiled.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{
    failure::{self, Failure},
    reply,
};
use crate::http_client::Answer;

/// Reads the body of a 200.
///
/// # Panics
/// When the words, or the figures, are more than the body can hold.
pub fn read_reply(body: &[u8]) {
    let reply = reply::read(body);
    if let Ok(content) = &reply.content {
        assert!(reply.finish.is_some() && content.len() <= body.len());
    }
    if let Some(usage) = reply.usage {
        assert!(usage.prompt_tokens.max(usage.completion_tokens) <= 1_000_000_000);
    }
}

/// Reads any other answer.
///
/// # Panics
/// When what is to be done about it does not go with its status.
pub fn diagnose(status: u16, headers: HeaderMap, body: &[u8]) {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let told_to = headers.get("x-should-retry").is_some();
    let failure = failure::diagnose(&Answer::made(status, headers, Bytes::copy_from_slice(body)));
    let _ = (failure.report(), failure.error());
    match failure {
        Failure::Parameter { .. } | Failure::ContentRefused => assert!(matches!(status.as_u16(), 400 | 422)),
        Failure::Transient { asked, .. } => {
            assert!(asked.is_none_or(|wait| wait <= Duration::from_secs(86_400)));
            let heals = matches!(status.as_u16(), 408 | 409 | 425 | 429 | 500 | 502..=504 | 520..=524 | 529);
            assert!(heals || told_to, "{status} is tried again");
        }
        Failure::Denied(_) => assert!(matches!(status.as_u16(), 400..=404 | 429), "{status}"),
        Failure::Rejected(_) => {}
        Failure::OutOfTime { .. } => panic!("an answer is none"),
    }
}
