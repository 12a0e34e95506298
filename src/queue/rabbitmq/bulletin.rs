//! Several notices in one message. A busy worker has thousands of them in a second, and each message of its own would
//! cost the broker as much as an outcome.
//!
//! For each notice: one byte with the length of its topic's name, the name, four bytes (big-endian) with the length of
//! its body, the body.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    metrics::labels::{Label as _, Topic},
    queue::notice::Notice,
};

/// The `type` of such a message; one with a single notice has the topic's name there.
pub(super) const BULLETIN: &str = "bulletin";

/// The body of a message with these notices.
pub(super) fn write(notices: &[Notice]) -> Bytes {
    let bytes = notices.iter().map(|notice| notice.topic.as_str().len() + notice.body.len() + 5).sum();
    let mut body = BytesMut::with_capacity(bytes);
    for notice in notices {
        let name = notice.topic.as_str();
        // Names are words of ours, bodies have a limit: both lengths fit.
        body.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        body.put_slice(name.as_bytes());
        body.put_u32(u32::try_from(notice.body.len()).unwrap_or(u32::MAX));
        body.put_slice(&notice.body);
    }
    body.freeze()
}

/// The notices of such a message, up to the first place where it is not one. Topics that another version may know are
/// passed over.
pub(super) fn read(mut body: Bytes) -> Vec<Notice> {
    let mut notices = Vec::new();
    while let Some((name, content)) = next(&mut body) {
        if let Some(topic) = Topic::ALL.iter().copied().find(|topic| topic.as_str().as_bytes() == name) {
            notices.push(Notice { topic, body: content });
        }
    }
    notices
}

fn next(body: &mut Bytes) -> Option<(Bytes, Bytes)> {
    let name = body.try_get_u8().ok()?;
    let name = taken(body, name.into())?;
    let length = body.try_get_u32().ok()?;
    let content = taken(body, usize::try_from(length).ok()?)?;
    Some((name, content))
}

fn taken(body: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= body.len()).then(|| body.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(notices: &[Notice]) -> Vec<(&'static str, &[u8])> {
        notices.iter().map(|notice| (notice.topic.as_str(), &notice.body[..])).collect()
    }

    #[test]
    fn notices_come_out_as_they_went_in() {
        let notices = [
            Notice { topic: Topic::Outcome, body: Bytes::from_static(b"{}") },
            Notice { topic: Topic::Heartbeat, body: Bytes::new() },
            Notice { topic: Topic::Outcome, body: Bytes::from(vec![7; 70_000]) },
        ];
        assert_eq!(shown(&read(write(&notices))), shown(&notices));
        assert!(read(write(&[])).is_empty());
    }

    #[test]
    fn what_cannot_be_read_ends_a_bulletin_and_unknown_topics_are_passed_over() {
        let mut body = BytesMut::from(&b"\x05later\0\0\0\x01x"[..]);
        body.put_slice(&write(&[Notice { topic: Topic::Story, body: Bytes::from_static(b"s") }]));
        let whole = body.freeze();
        assert_eq!(shown(&read(whole.clone())), [("story", &b"s"[..])]);
        for end in 0..whole.len() {
            assert!(read(whole.slice(..end)).is_empty(), "{end}");
        }
        assert!(read(Bytes::from_static(b"\x05story\xff\xff\xff\xffs")).is_empty());
    }
}
