//! A TCP proxy that breaks the connections through it: cuts, stalls, trickles, and can look for a broker's confirm.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What happens to bytes.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Flow {
    /// They pass.
    #[default]
    Passes,
    /// They wait.
    Stalls,
    /// One a second passes.
    Trickles,
}

#[derive(Clone, Copy, Default)]
struct Orders {
    flow: Flow,
    /// Connections made before this one are cut.
    cut_before: usize,
    /// Connections made before this one hang for ever, and nobody is told.
    dead_before: usize,
    /// A connection that has carried so many bytes to the server is cut.
    cut_after: Option<usize>,
}

/// A way to one server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    orders: watch::Sender<Orders>,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    connections: AtomicUsize,
    /// So many confirms of a broker are still to be cut off.
    cut_confirms: AtomicUsize,
    /// So many answers, whatever they are, are still to be cut off.
    cut_answers: AtomicUsize,
    cuts: AtomicUsize,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (orders, heard) = watch::channel(Orders::default());
        let count = || AtomicUsize::new(0);
        let shared = Arc::new(Shared {
            target,
            connections: count(),
            cut_confirms: count(),
            cut_answers: count(),
            cuts: count(),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&accepting), heard.clone()));
            }
        });
        Self { address, orders, shared }
    }

    pub(crate) fn flow(&self, flow: Flow) {
        self.orders.send_modify(|orders| orders.flow = flow);
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        let next = self.shared.connections.load(Ordering::Relaxed);
        self.orders.send_modify(|orders| orders.cut_before = next);
    }

    /// Every connection stays open on both sides and carries nothing any more; new ones are good.
    pub(crate) fn let_die(&self) {
        let next = self.shared.connections.load(Ordering::Relaxed);
        self.orders.send_modify(|orders| orders.dead_before = next);
    }

    /// Cuts each connection that has carried so many bytes to the server.
    pub(crate) fn cut_after(&self, bytes: Option<usize>) {
        self.orders.send_modify(|orders| orders.cut_after = bytes);
    }

    /// Cuts the next `count` connections on which the broker confirms a publish, before the confirm passes.
    pub(crate) fn cut_confirms(&self, count: usize) {
        self.shared.cut_confirms.store(count, Ordering::Relaxed);
    }

    /// Cuts the next `count` connections on which the server answers, before the answer passes.
    pub(crate) fn cut_answers(&self, count: usize) {
        self.shared.cut_answers.store(count, Ordering::Relaxed);
    }

    /// Connections cut off from a confirm or an answer.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

async fn carry(client: TcpStream, shared: Arc<Shared>, orders: watch::Receiver<Orders>) {
    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
    let Ok(server) = TcpStream::connect(shared.target).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut cut = orders.clone();
    let up = Pipe { number, orders: orders.clone(), carried: 0, shared: None };
    let down = Pipe { number, orders, carried: 0, shared: Some(shared) };
    tokio::select! {
        () = up.run(from_client, to_server) => {}
        () = down.run(from_server, to_client) => {}
        _ = cut.wait_for(|orders| number < orders.cut_before) => {}
    }
}

/// One direction of a connection.
struct Pipe {
    number: usize,
    orders: watch::Receiver<Orders>,
    carried: usize,
    /// On the way to the client: answers are looked at.
    shared: Option<Arc<Shared>>,
}

impl Pipe {
    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (mut buffer, mut frames) = (vec![0; 16 * 1024], Frames::default());
        loop {
            let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
            let bytes = &buffer[..count];
            let cut = self.shared.as_ref().is_some_and(|shared| shared.is_cut_off(&mut frames, bytes));
            if cut || self.pass(bytes, &mut to).await.is_none() {
                return;
            }
        }
    }

    async fn pass(&mut self, bytes: &[u8], to: &mut OwnedWriteHalf) -> Option<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let number = self.number;
            let moving = |orders: &Orders| orders.flow != Flow::Stalls && number >= orders.dead_before;
            let orders = *self.orders.wait_for(moving).await.ok()?;
            let count = if orders.flow == Flow::Trickles { 1 } else { rest.len() };
            to.write_all(&rest[..count]).await.ok()?;
            rest = &rest[count..];
            self.carried += count;
            if self.shared.is_none() && orders.cut_after.is_some_and(|most| self.carried > most) {
                return None;
            }
            if orders.flow == Flow::Trickles {
                let mut changed = self.orders.clone();
                let _ = tokio::time::timeout(Duration::from_secs(1), changed.changed()).await;
            }
        }
        Some(())
    }
}

impl Shared {
    fn is_cut_off(&self, frames: &mut Frames, bytes: &[u8]) -> bool {
        let take = |count: &AtomicUsize| {
            count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        let cut = take(&self.cut_answers) || (frames.confirm_in(bytes) && take(&self.cut_confirms));
        self.cuts.fetch_add(usize::from(cut), Ordering::Relaxed);
        cut
    }
}

/// Reads AMQP 0-9-1 frames (type, channel, size, payload, end) from what a broker sends.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    /// Class 60, method 80: `basic.ack`, which from a broker is a confirm.
    const CONFIRM: [u8; 4] = [0, 60, 0, 80];

    fn confirm_in(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        let mut found = false;
        while let Some(head) = self.0.first_chunk::<7>() {
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            // Something that is not AMQP has no confirms.
            if size > 1_000_000 || self.0.len() < size + 8 {
                self.0.truncate(1_000_000);
                break;
            }
            found |= head[0] == 1 && self.0[7..].starts_with(&Self::CONFIRM);
            self.0.drain(..size + 8);
        }
        found
    }
}
