//! The sources of conversations, over the wire.

mod cache;
mod digital;
mod discovery;
mod http;
mod summaries;
