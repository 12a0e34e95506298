//! What several tests need.

pub mod broker;
pub mod stub;
