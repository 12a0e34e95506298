//! What became of earlier tries: a short record that travels with the message, for an operator's eyes.

use std::{borrow::Cow, collections::VecDeque, time::Duration};

use super::Lane;
use crate::time::EpochMs;

/// The record keeps this many of the newest.
const KEPT: usize = 16;
/// Longest code; what is longer was not written by us.
const LONGEST_CODE: usize = 32;

/// One try that did not end the message, or a deed that sent it on its way again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// When it ended, by the clock of whoever made it.
    pub at: EpochMs,
    /// In which lane.
    pub lane: Lane,
    /// Its number in that lane, from 1.
    pub number: u32,
    /// A short code for how it ended: letters, digits, underscores.
    pub ended: Cow<'static, str>,
    /// The wait that was asked for before the next one.
    pub wait: Duration,
}

/// The newest tries of a message, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries(VecDeque<Try>);

impl Tries {
    /// Notes one more; the oldest is forgotten where there are too many.
    pub fn note(&mut self, one: Try) {
        self.0.push_back(one);
        while self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// The tries, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Try> {
        self.0.iter()
    }

    /// True when there is nothing to tell, as for most messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record as one header's text: `at lane number ended wait`, in milliseconds, with semicolons between.
    #[must_use]
    pub fn to_text(&self) -> String {
        let one = |one: &Try| {
            format!("{} {} {} {} {}", one.at.0, one.lane.as_str(), one.number, one.ended, one.wait.as_millis())
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(";")
    }

    /// Reads a header's text. What cannot be read is left out: no message is lost for its record.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut tries = Self::default();
        text.split(';').filter_map(read).for_each(|one| tries.note(one));
        tries
    }
}

fn read(text: &str) -> Option<Try> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (at, lane, number, ended, wait) = (next()?, next()?, next()?, next()?, next()?);
    let is_code = ended.len() <= LONGEST_CODE && ended.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    Some(Try {
        at: EpochMs(at.parse().ok()?),
        lane: Lane::ALL.into_iter().find(|known| known.as_str() == lane)?,
        number: number.parse().ok()?,
        ended: is_code.then(|| Cow::Owned(ended.to_owned()))?,
        wait: Duration::from_millis(wait.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(number: u32) -> Try {
        let (at, wait) = (EpochMs(1_700_000_000_000 + u64::from(number)), Duration::from_secs(5));
        Try { at, lane: Lane::Outcome, number, ended: Cow::Borrowed("unavailable"), wait }
    }

    #[test]
    fn the_newest_tries_survive_their_header() {
        let mut tries = Tries::default();
        assert!(tries.is_empty() && tries.to_text().is_empty() && Tries::from_text("").is_empty());
        (1..=40).for_each(|number| tries.note(one(number)));
        assert_eq!(Tries::from_text(&tries.to_text()), tries);
        assert_eq!(tries.iter().map(|one| one.number).collect::<Vec<_>>(), (25..=40).collect::<Vec<_>>());
        assert!(tries.to_text().len() < 1_024, "a header is short");
    }

    #[test]
    fn what_is_no_try_is_left_out() {
        let good = "1 work 1 panic 1000";
        for bad in [
            "x",
            "1 work 1 panic",
            "1 nowhere 1 panic 1",
            "1 work 1 <script> 1",
            "1 work -1 panic 1",
            &"1 work 1 a".repeat(9),
        ] {
            assert_eq!(Tries::from_text(&format!("{bad};{good}")), Tries::from_text(good), "{bad}");
        }
    }
}
