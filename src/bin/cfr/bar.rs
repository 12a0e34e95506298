//! What long work shows of itself on a terminal.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A bar on standard error, gone with its last handle; where that is no terminal nothing is shown.
pub(crate) fn bar(what: &'static str, most: u64) -> ProgressBar {
    let bar = ProgressBar::new(most).with_message(what).with_finish(ProgressFinish::AndClear);
    // The template is ours, so it parses.
    if let Ok(style) = ProgressStyle::with_template("{msg:10} {bar:40} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
