//! What several tests need.

pub(crate) mod altered;
pub(crate) mod app;
pub(crate) mod broker;
pub(crate) mod certificates;
pub(crate) mod clock;
pub(crate) mod gateway;
pub(crate) mod history;
pub(crate) mod nodes;
pub(crate) mod stub;
