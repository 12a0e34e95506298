//! What makes a type a metric label, and the words that are labels as they are.

use crate::{
    message::{Lane, Reason},
    outcome::Status,
};

/// A label whose values are all known.
pub trait Label: Copy + PartialEq + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value.
    const ALL: &'static [Self];
    /// The value in the exposition.
    fn as_str(self) -> &'static str;
}

impl Label for Status {
    const NAME: &'static str = "status";
    const ALL: &'static [Self] = &Self::ALL;
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for Lane {
    const NAME: &'static str = "lane";
    const ALL: &'static [Self] = &Self::ALL;
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for Reason {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &Self::ALL;
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}
