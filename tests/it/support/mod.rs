//! What several tests need.

pub(crate) mod broker;
pub(crate) mod stub;
