//! Notices between the processes of one machine: rows of a table, written only while another process listens. How they
//! are heard is [`super::hearing`].

use std::sync::Arc;

use rusqlite::params;

use super::{
    batch::Batch,
    hearing::Listen,
    inbox::{Change, WeakWriter},
    place::sql,
    state::State,
};
use crate::{
    metrics::labels::{Label as _, NoticeEnd, Topic},
    queue::{
        QueueError,
        notice::{LIFE, LONGEST_NOTICE, Notice, NoticeReader, Notices, WAITING},
    },
};

pub(super) struct EmbeddedNotices {
    pub(super) state: Arc<State>,
    pub(super) writer: WeakWriter,
}

impl Notices for EmbeddedNotices {
    fn publish(&self, notice: Notice) {
        self.state.hub.spread(&notice);
        if !self.state.hearing.others_listen() {
            return;
        }
        match self.writer.upgrade() {
            Some(writer) if notice.body.len() <= LONGEST_NOTICE => {
                writer.offer(Box::new(Tell { notice, state: Arc::clone(&self.state), told: false }));
            }
            _ => self.state.hub.count(NoticeEnd::Dropped),
        }
    }

    fn subscribe(&self, topics: &[Topic]) -> NoticeReader {
        let reader = self.state.hub.subscribe(topics);
        // Before whatever this process stores from now on: who takes that knows that we listen.
        if let Some(writer) = self.writer.upgrade() {
            writer.offer(Box::new(Listen::new(&self.state)));
        }
        reader
    }

    fn is_heard(&self, topic: Topic) -> Option<bool> {
        Some(self.state.hub.hears(topic) || self.state.hearing.others_listen())
    }
}

/// Stores a notice with whatever else is to be stored. Dropped before, it counts as such.
struct Tell {
    notice: Notice,
    state: Arc<State>,
    told: bool,
}

impl Change for Tell {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        let Notice { topic, body } = &self.notice;
        batch
            .execute(
                "INSERT INTO notice (owner, at, topic, body) VALUES (?1, ?2, ?3, ?4)",
                params![batch.owner, sql(batch.now), topic.as_str(), &body[..]],
            )
            .map(drop)
    }

    fn answer(mut self: Box<Self>, end: Result<(), QueueError>, _: &Arc<State>) {
        self.told = end.is_ok();
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        self.state.hub.count(if self.told { NoticeEnd::Sent } else { NoticeEnd::Dropped });
    }
}

/// Forgets notices that are too old or too many, and listeners that are gone.
pub(super) fn prune(batch: &Batch<'_>) -> rusqlite::Result<()> {
    batch.execute(
        "DELETE FROM notice WHERE id <= coalesce((SELECT max(id) FROM notice WHERE at < ?1), 0)
         OR id <= (SELECT max(id) FROM notice) - ?2",
        params![sql(batch.now.minus(LIFE)), WAITING],
    )?;
    batch.execute("DELETE FROM listener WHERE owner NOT IN (SELECT id FROM owner)", []).map(drop)
}
