//! Doors for `tests/fuzz`: only there is this compiled.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{failure, reply};
use crate::http_client::Answer;

/// Reads the body of a 200.
pub fn read_reply(body: &[u8]) {
    let _ = reply::read(body);
}

/// Reads any other answer.
pub fn diagnose(status: u16, headers: HeaderMap, body: &[u8]) {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let _ = failure::diagnose(&Answer::made(status, headers, Bytes::copy_from_slice(body))).report();
}
