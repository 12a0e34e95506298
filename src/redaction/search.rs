//! Looking for one kind of value after the other, each in what the kinds before it have left of a text.

use std::{collections::BTreeMap, ops::Range};

use regex::Regex;

use super::Found;

/// A text, and what was found in it so far.
pub(super) struct Search<'t, 'r> {
    text: &'t str,
    found: BTreeMap<usize, Found<'r>>,
    aside: Vec<Range<usize>>,
}

impl<'t, 'r> Search<'t, 'r> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: BTreeMap::new(), aside: Vec::new() }
    }

    /// Nothing is looked for in these ranges any more.
    pub(super) fn set_aside(&mut self, ranges: impl Iterator<Item = Range<usize>>) {
        for range in ranges {
            if !self.aside.contains(&range) {
                self.aside.push(range);
            }
        }
    }

    /// Looks for values of one kind in every part in which nothing was found yet. A part ends where a value begins, so that
    /// a telephone number is not taken together with the card number after it, and then for none. `find` gives ranges
    /// within a part, and canonical spellings.
    pub(super) fn look<I>(&mut self, name: Option<&'r str>, find: impl Fn(&'t str) -> I)
    where
        I: IntoIterator<Item = (Range<usize>, String)>,
    {
        self.look_in(self.parts(), name, find);
    }

    /// Does the same only in the parts that begin directly after a value of the kind `after`.
    pub(super) fn look_after<I>(&mut self, after: &str, name: Option<&'r str>, find: impl Fn(&'t str) -> I)
    where
        I: IntoIterator<Item = (Range<usize>, String)>,
    {
        let mut parts = self.parts();
        let ends: Vec<_> = self.found.values().filter(|f| f.name == Some(after)).map(|f| f.range.end).collect();
        parts.retain(|part| ends.binary_search(&part.start).is_ok());
        self.look_in(parts, name, find);
    }

    fn look_in<I>(&mut self, parts: Vec<Range<usize>>, name: Option<&'r str>, find: impl Fn(&'t str) -> I)
    where
        I: IntoIterator<Item = (Range<usize>, String)>,
    {
        let text = self.text;
        for part in parts {
            let at = part.start;
            for (range, value) in find(&text[part]) {
                // An empty match would mask nothing.
                if !range.is_empty() {
                    let range = at + range.start..at + range.end;
                    self.found.insert(range.start, Found { range, name, value });
                }
            }
        }
    }

    /// True if values of this kind were found.
    pub(super) fn has(&self, name: &str) -> bool {
        self.found.values().any(|found| found.name == Some(name))
    }

    /// How many values were found.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Everything that was found, in the order of the text.
    pub(super) fn into_found(self) -> Vec<Found<'r>> {
        self.found.into_values().collect()
    }

    fn parts(&self) -> Vec<Range<usize>> {
        let mut taken: Vec<_> = self.found.values().map(|found| &found.range).chain(&self.aside).collect();
        taken.sort_unstable_by_key(|range| range.start);
        let (mut parts, mut end) = (Vec::with_capacity(taken.len() + 1), 0);
        for range in taken {
            parts.push(end..range.start);
            end = end.max(range.end);
        }
        parts.push(end..self.text.len());
        parts.retain(|part| part.start < part.end);
        parts
    }
}

/// The matches that fit: `fits` gets one with the text after the last that did, because that one is masked and its digits
/// belong to no other number. Of a match that does not fit, `passes` tells how much is no part of the next.
pub(super) fn fitting(
    pattern: &Regex,
    text: &str,
    fits: impl Fn(&str, &Range<usize>) -> bool,
    passes: impl Fn(&str) -> usize,
) -> Vec<Range<usize>> {
    let (mut ranges, mut at, mut masked) = (Vec::new(), 0, 0);
    while let Some(found) = pattern.find_at(text, at) {
        if fits(&text[masked..], &(found.start() - masked..found.end() - masked)) {
            ranges.push(found.range());
            at = found.end();
            masked = at;
        } else {
            at = found.start() + passes(found.as_str());
        }
    }
    ranges
}
