//! The fallback router for NICE Cognigy AI.
//!
//! When a bot does not understand a customer, Cognigy posts a signed *trigger*. What happens to it, in order:
//!
//! 1. [`ingress`] verifies the signature over the raw bytes, parses the [`trigger`], and answers `202` only after the
//!    [`queue`] has durably confirmed it.
//! 2. A [`worker`] takes the delivery from the *work* lane and runs the [`pipeline`]: the [`conversation`] is fetched
//!    ([`history`]), card numbers are masked ([`redaction`]), a [`prompt`] is rendered and sent to the model ([`llm`]),
//!    and the completion is checked against the [`decision`] schema.
//! 3. The [`outcome`], a decision or the safe answer that sends the conversation to a human, is stored in the
//!    *outcome* lane before the trigger is acknowledged.
//! 4. The outcome lane posts it, signed, as a [`callback`], and again until it is acknowledged or dead-lettered.
//!
//! The modules stand here floor by floor; a file may use only lower floors (see `ARCHITECTURE.md`).

/// The system's allocator took a fifth of the time of a trigger.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Floor 0, words: pure; no async, I/O, clock or environment.
pub mod conversation;
pub mod customer_text;
pub mod decision;
pub mod json;
pub mod message;
pub mod outcome;
pub mod redaction;
pub mod retry;
pub mod safe_answer;
pub mod secret;
pub mod signature;
pub mod story;
pub mod strict_json;
pub mod time;
pub mod trigger;

// Floor 1, instruments.
pub mod breaker;
pub mod build;
pub mod egress;
pub mod http_client;
pub mod http_server;
pub mod metrics;
pub mod oauth;
pub mod otlp;
pub mod profiles;
pub mod shutdown;
pub mod telemetry;

// Floor 2, ports: the outside world.
pub mod callback;
pub mod history;
pub mod llm;
pub mod prompt;
pub mod queue;

// Floor 3, meaning.
pub mod dead_letters;
pub mod pipeline;

// Floor 4, services.
pub mod admin;
pub mod console;
pub mod ingress;
pub mod simulators;
pub mod worker;

// Floor 5, assembly.
pub mod app;
pub mod config;
pub mod operator;
