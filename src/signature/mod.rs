//! Webhook signatures: verifying those of Cognigy, making those of our callbacks. The clock is an argument.
//!
//! | scheme | headers | signed bytes |
//! |---|---|---|
//! | `hex-body` | `X-Webhook-Signature: [sha256=]<64 hex>` | the content |
//! | `hex-ts-body` | the same and `X-Webhook-Timestamp` | `{timestamp}.{content}` |
//! | `standard` | `webhook-id`, `webhook-timestamp`, `webhook-signature` | `{id}.{timestamp}.{content}` |
//! | `api-key` | `X-API-Key`, or `Authorization` with `ApiKey`, `Bearer` or `Basic` | none |
//!
//! The content is the raw body, or for a `GET` its path and query. `standard` is
//! [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) 1.0.

mod api_key;
mod headers;
mod key;
mod sign;
mod verify;

pub use key::{KeyError, weak};
pub use sign::{Signer, request_headers};
pub use verify::{Forged, Verified, Verifier};

use serde::Deserialize;

/// How a request proves where it comes from. One per profile; never a fall-back to a weaker one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// `X-Webhook-Signature: [sha256=]<64 hex>` over the raw body. It cannot tell a replay.
    #[default]
    HexBody,
    /// The same over `{timestamp}.{body}`, with `X-Webhook-Timestamp` in Unix seconds.
    HexTsBody,
    /// Standard Webhooks: several signatures, a timestamp and an id that makes the request idempotent.
    Standard,
    /// The secret itself in a header, for Cognigy's HTTP Request node, which cannot sign. Only behind TLS.
    ApiKey,
}
