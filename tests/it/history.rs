//! The sources of conversations, over the wire.

mod archive;
mod cache;
mod digital;
mod discovery;
mod http;
mod outage;
mod summaries;
