//! A broker, or the way to it, that swallows one answer. What it held for that answer comes back, and the look is made again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use cognigy_fallback_router::{
    message::{DeadLetter, Disposition, Lane, Reason},
    queue::{DeadDelivery, QueueError},
    secret::Secret,
    trigger::TriggerId,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{Rig, id, message, next, open, ready, until, within};
use crate::support::broker;

/// What begins the frame of an answer that holds a message: class basic, method get-ok.
const GET_OK: [u8; 4] = [0, 60, 0, 71];
const METHOD: u8 = 1;

/// A way to the broker, on which this many answers are lost after this many passed.
struct Lossy {
    port: u16,
    passes: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl Lossy {
    async fn to(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (passes, lost) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicUsize::new(0)));
        let way =
            Self { port: listener.local_addr().unwrap().port(), passes: Arc::clone(&passes), lost: Arc::clone(&lost) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut from_client, to_client) = client.into_split();
                let (from_broker, mut to_broker) =
                    TcpStream::connect(("127.0.0.1", broker)).await.unwrap().into_split();
                tokio::spawn(async move { copy(&mut from_client, &mut to_broker).await });
                tokio::spawn(answers(from_broker, to_client, Arc::clone(&passes), Arc::clone(&lost)));
            }
        });
        way
    }

    /// `passes` messages are answered, and the next `lost` ones are not.
    fn lose(&self, passes: usize, lost: usize) {
        self.lost.store(lost, Ordering::SeqCst);
        self.passes.store(passes, Ordering::SeqCst);
    }
}

fn counted_down(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

/// Hands on frame by frame. What is lost is the answer's method and the header and body that follow it on its channel.
async fn answers(
    mut broker: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    passes: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let mut losing = BTreeSet::new();
    loop {
        let mut frame = vec![0; 7];
        broker.read_exact(&mut frame).await?;
        let length = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
        let channel = (frame[1], frame[2]);
        frame.resize(7 + length + 1, 0);
        broker.read_exact(&mut frame[7..]).await?;
        if frame[0] == METHOD {
            losing.remove(&channel);
            if frame[7..].starts_with(&GET_OK) && !counted_down(&passes) && counted_down(&lost) {
                losing.insert(channel);
            }
        }
        if !losing.contains(&channel) {
            client.write_all(&frame).await?;
        }
    }
}

/// Three dead letters, and a queue that looks at them over a lossy way.
async fn three(vhost: &broker::Vhost) -> (Rig, Lossy, BTreeSet<TriggerId>) {
    let rig = ready(vhost).await;
    let mut ids = BTreeSet::new();
    let mut consumer = rig.consumer(Lane::Outcome, 3).await;
    for _ in 0..3 {
        let sent = message();
        ids.insert(id(&sent));
        rig.publish(Lane::Outcome, &sent).await.unwrap();
        let dead = Disposition::DeadLetter { reason: Reason::CallbackRejected };
        next(&mut consumer).await.settle(dead).await.unwrap();
    }
    rig.queue.close().await;
    let port: u16 = vhost.url.rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
    let way = Lossy::to(port).await;
    let mut config = vhost.config();
    config.urls = vec![Secret::new(vhost.url.replace(&port.to_string(), &way.port.to_string()))];
    let rig = open(&config);
    within(rig.queue.ready()).await.unwrap();
    (rig, way, ids)
}

fn seen(letters: &[DeadLetter]) -> BTreeSet<TriggerId> {
    letters.iter().map(|letter| id(&letter.message)).collect()
}

fn taken(letters: &[DeadDelivery]) -> BTreeSet<TriggerId> {
    letters.iter().map(|letter| id(letter.message())).collect()
}

#[tokio::test]
async fn a_look_at_the_dead_letters_that_gets_no_answer_is_made_again_and_loses_none() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let (rig, way, ids) = three(&vhost).await;
    way.lose(1, 1);
    assert_eq!(seen(&within(rig.queue.dead_letters(10)).await.unwrap()), ids);
    way.lose(2, 1);
    let held = within(rig.queue.take_dead_letters(10)).await.unwrap();
    assert_eq!(taken(&held), ids);
    drop(held);
    until(async || rig.queue.depths().await.is_ok_and(|depths| depths.dead == 3)).await;
}

#[tokio::test]
async fn a_look_that_never_gets_an_answer_ends_and_gives_everything_back() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let (rig, way, ids) = three(&vhost).await;
    way.lose(1, 3);
    let Err(QueueError::Unreachable(why)) = within(rig.queue.dead_letters(10)).await else { panic!("of whom?") };
    assert!(why.contains("fr.dead") && why.contains("basic.get"), "{why}");
    assert_eq!(way.lost.load(Ordering::SeqCst), 0, "it was tried three times");
    until(async || rig.queue.dead_letters(10).await.is_ok_and(|letters| seen(&letters) == ids)).await;
}
