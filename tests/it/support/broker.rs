//! A private RabbitMQ node, one for the whole test process, started by the first test that needs it.
//!
//! Tests share it, each in a virtual host of its own ([`shared`]). A test that stops, freezes or starves the node has it
//! alone meanwhile ([`alone`]).

use std::{
    io::Write,
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, LazyLock, Mutex, OnceLock},
    time::Duration,
};

use cognigy_fallback_router::{queue::rabbitmq::Config, secret::Secret};
use tempfile::NamedTempFile;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{
    certificates::Authority,
    nodes::{Nodes, free_ports, tree_of_environment},
};

/// Virtual hosts are made in batches: each call of rabbitmqctl starts an Erlang VM.
const BATCH: usize = 12;
/// How far the ports of further listeners are from the first one's.
const TLS: u16 = 4;
const MANAGEMENT: u16 = 5;
const METRICS: u16 = 6;

static NODE: OnceLock<Node> = OnceLock::new();
static GATE: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);

/// The node, shared with other tests.
pub(crate) struct Shared {
    _guard: OwnedRwLockReadGuard<()>,
}

/// The node, while no other test uses it. Dropped, it is well again.
pub(crate) struct Alone {
    _guard: OwnedRwLockWriteGuard<()>,
}

/// Uses the node along with other tests.
pub(crate) async fn shared() -> Shared {
    let guard = Arc::clone(&GATE).read_owned().await;
    blocking(|node| node.command("start")).await;
    Shared { _guard: guard }
}

/// Uses the node alone.
pub(crate) async fn alone() -> Alone {
    let guard = Arc::clone(&GATE).write_owned().await;
    blocking(|node| node.command("start")).await;
    Alone { _guard: guard }
}

impl Deref for Shared {
    type Target = Node;
    fn deref(&self) -> &Node {
        node()
    }
}

impl Deref for Alone {
    type Target = Node;
    fn deref(&self) -> &Node {
        node()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        node().command("resume");
        node().command("start");
        node().calm();
    }
}

/// The process, and what is known of it.
pub(crate) struct Node {
    nodes: Nodes,
    vhosts: Mutex<Vhosts>,
    alarmed: Mutex<bool>,
    authority: Authority,
}

#[derive(Default)]
struct Vhosts {
    made: usize,
    free: Vec<String>,
}

/// A virtual host that no other test uses.
#[derive(Clone)]
pub(crate) struct Vhost {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Vhost {
    /// Settings to connect to it with, quick enough for a test.
    pub(crate) fn config(&self) -> Config {
        Config {
            urls: vec![Secret::new(self.url.clone())],
            channels: 8,
            channel_timeout: Duration::from_millis(250),
            confirm_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            declare: true,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            management_url: None,
        }
    }
}

impl Node {
    /// An empty virtual host.
    pub(crate) async fn vhost(&self) -> Vhost {
        let name = blocking(Self::take_vhost).await;
        Vhost { url: format!("amqp://guest:guest@127.0.0.1:{}/{name}", self.nodes.port(1)), name }
    }

    /// What it has logged so far: warnings and errors.
    pub(crate) async fn log(&self) -> String {
        blocking(|node| {
            // By the time of its answer it has written what it had to say of connections that ended.
            node.ctl(&["list_connections", "pid"]);
            node.nodes.log(1)
        })
        .await
    }

    /// Where its metrics are: /metrics, and by queue under /metrics/detailed.
    pub(crate) fn metrics(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.nodes.port(1) + METRICS))
    }

    /// Settings to connect to a virtual host over TLS, trusting the node's authority and showing a certificate of it.
    pub(crate) fn tls_config(&self, vhost: &Vhost) -> Config {
        let client = self.authority.issue("client");
        Config {
            urls: vec![Secret::new(format!(
                "amqps://guest:guest@localhost:{}/{}",
                self.nodes.port(1) + TLS,
                vhost.name
            ))],
            ca_file: Some(self.authority.file()),
            client_certificate_file: Some(client.certificate),
            client_key_file: Some(client.key),
            ..vhost.config()
        }
    }

    /// Ends the node in good order.
    pub(crate) async fn stop(&self) {
        blocking(|node| node.command("stop")).await;
    }

    /// Kills the node.
    pub(crate) async fn kill(&self) {
        blocking(|node| node.command("kill")).await;
    }

    /// Starts it again.
    pub(crate) async fn start(&self) {
        blocking(|node| node.command("start")).await;
    }

    /// Freezes the node: its sockets stay open, and nobody answers.
    pub(crate) async fn pause(&self) {
        blocking(|node| node.command("pause")).await;
    }

    /// Wakes it up.
    pub(crate) async fn resume(&self) {
        blocking(|node| node.command("resume")).await;
    }

    /// Sets the disk alarm: the broker blocks everybody who publishes.
    pub(crate) async fn set_alarm(&self) {
        blocking(|node| {
            *node.alarmed.lock().unwrap() = true;
            node.ctl(&["set_disk_free_limit", "900000GB"])
        })
        .await;
    }

    /// Clears it.
    pub(crate) async fn clear_alarm(&self) {
        blocking(Self::calm).await;
    }

    /// Closes every connection from the broker's side.
    pub(crate) async fn close_connections(&self) {
        blocking(|node| node.ctl(&["close_all_connections", "--global", "test"])).await;
    }

    /// Lets the queues that match `pattern` hold no more than `length` ready messages, by policy.
    pub(crate) async fn limit_queue(&self, vhost: &Vhost, pattern: &'static str, length: u32) {
        self.limit_queue_in(&vhost.name, pattern, length).await;
    }

    /// The same in the virtual host of that name.
    pub(crate) async fn limit_queue_in(&self, vhost: &str, pattern: &'static str, length: u32) {
        let (name, definition) = (vhost.to_owned(), format!("{{\"max-length\":{length}}}"));
        blocking(move |node| {
            node.ctl(&["set_policy", "-p", &name, "limit", pattern, &definition, "--apply-to", "queues"])
        })
        .await;
    }

    /// Opens the node's HTTP API, once; its URL.
    pub(crate) async fn management(&self) -> String {
        blocking(|node| node.nodes.plugins(1, &["enable", "rabbitmq_management"])).await;
        format!("http://127.0.0.1:{}", self.nodes.port(1) + MANAGEMENT)
    }

    /// Evaluates Erlang in the node.
    pub(crate) async fn eval(&self, code: impl Into<String>) -> String {
        let code = code.into();
        blocking(move |node| node.ctl(&["eval", &code])).await
    }

    fn take_vhost(&self) -> String {
        let mut vhosts = self.vhosts.lock().unwrap();
        if vhosts.free.is_empty() {
            let (first, last) = (vhosts.made + 1, vhosts.made + BATCH);
            self.ctl(&[
                "eval",
                &format!(
                    "[begin V = iolist_to_binary(io_lib:format(\"t~b\", [N])), ok = rabbit_vhost:add(V, <<\"test\">>), \
                     ok = rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, V, <<\".*\">>, <<\".*\">>, \
                     <<\".*\">>, <<\"test\">>) end || N <- lists:seq({first}, {last})], ok."
                ),
            ]);
            vhosts.free = (first..=last).rev().map(|number| format!("t{number}")).collect();
            vhosts.made = last;
        }
        vhosts.free.pop().unwrap()
    }

    fn calm(&self) {
        let mut alarmed = self.alarmed.lock().unwrap();
        if *alarmed {
            self.ctl(&["set_disk_free_limit", "64MB"]);
            *alarmed = false;
        }
    }

    fn command(&self, command: &str) {
        self.nodes.command(command);
    }

    fn ctl(&self, arguments: &[&str]) -> String {
        self.nodes.ctl(1, arguments)
    }
}

fn node() -> &'static Node {
    NODE.get_or_init(launch)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce(&'static Node) -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(move || work(node())).await.unwrap()
}

fn launch() -> Node {
    let (port, authority) = (free_ports(1), Authority::new());
    let configuration = configuration(&authority, port);
    let nodes = Nodes::prepare(1, port, configuration.path(), tree_of_environment());
    Node { nodes, vhosts: Mutex::default(), alarmed: Mutex::default(), authority }
}

/// The node's further listeners. Whoever connects to the one for TLS must show a certificate of the same authority; the
/// ones for the management API and the metrics open with their plugins.
fn configuration(authority: &Authority, port: u16) -> NamedTempFile {
    let identity = authority.issue("broker");
    let mut file = NamedTempFile::new().unwrap();
    writeln!(
        file,
        "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\nprometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {}\nlisteners.ssl.1 = 127.0.0.1:{}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true",
        port + MANAGEMENT,
        port + METRICS,
        port + TLS,
        authority.file().display(),
        identity.certificate.display(),
        identity.key.display()
    )
    .unwrap();
    file
}
