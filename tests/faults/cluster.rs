//! RabbitMQ nodes that a row brings itself: a cluster of three, or one of a certain version.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions},
};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::support::{
    broker::Vhost,
    nodes::{Nodes, free_ports, tree_of_environment},
};

/// The nodes. Dropped, they are gone.
pub(crate) struct Cluster {
    nodes: Arc<Nodes>,
    count: u16,
}

impl Cluster {
    /// Three nodes.
    pub(crate) async fn start() -> Self {
        Self::of(3, tree_of_environment()).await
    }

    /// One node, of this tree or this machine.
    pub(crate) async fn single(tree: Option<PathBuf>) -> Self {
        Self::of(1, tree).await
    }

    async fn of(count: u16, tree: Option<PathBuf>) -> Self {
        let nodes = spawn_blocking(move || {
            // Read when the nodes are prepared.
            let configuration = NamedTempFile::new().unwrap();
            let nodes = Nodes::prepare(count, free_ports(count), configuration.path(), tree);
            nodes.command("start");
            nodes
        });
        let cluster = Self { nodes: Arc::new(nodes.await.unwrap()), count };
        cluster.whole().await;
        cluster
    }

    /// Its default virtual host, by the URLs of all nodes.
    pub(crate) fn vhost(&self) -> Vhost {
        let url = |node| format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.nodes.port(node));
        Vhost { name: "/".to_owned(), url: (1..=self.count).map(url).collect::<Vec<_>>().join(",") }
    }

    pub(crate) async fn command(&self, command: String) {
        let nodes = Arc::clone(&self.nodes);
        spawn_blocking(move || nodes.command(&command)).await.unwrap();
    }

    async fn ctl(&self, node: u16, arguments: &'static [&'static str]) -> String {
        let nodes = Arc::clone(&self.nodes);
        spawn_blocking(move || nodes.ctl(node, arguments)).await.unwrap()
    }

    /// The number of the node that leads the work queue, or of one that does not.
    pub(crate) async fn one(&self, leads: bool) -> u16 {
        let told = self.ctl(1, &["list_queues", "--no-table-headers", "name", "leader"]).await;
        let line = told.lines().find(|line| line.starts_with("fr.work")).unwrap();
        let leader = line.split(['-', '@']).find_map(|part| part.parse().ok()).unwrap();
        if leads { leader } else { leader % self.count + 1 }
    }

    /// Waits until the nodes see each other, and the work queue (where it is declared) has all its members.
    pub(crate) async fn whole(&self) {
        for _ in 0..240 {
            let seen = self.ctl(1, &["eval", "length([node() | nodes()])."]).await.trim() == self.count.to_string();
            let queues = self.ctl(1, &["list_queues", "--no-table-headers", "name", "online"]).await;
            let members = |line: &str| line.matches("cfr-test-").count() >= usize::from(self.count);
            if seen && queues.lines().find(|line| line.starts_with("fr.work")).is_none_or(members) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("the nodes do not find each other");
    }

    /// Deliveries that somebody holds.
    pub(crate) async fn held(&self) -> u64 {
        let told = self.ctl(1, &["list_queues", "--no-table-headers", "messages_unacknowledged"]).await;
        told.lines().filter_map(|line| line.trim().parse::<u64>().ok()).sum()
    }

    pub(crate) async fn version(&self) -> String {
        self.ctl(1, &["version"]).await.trim().to_owned()
    }

    async fn connect(&self) -> Connection {
        let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.nodes.port(1));
        Connection::connect(&url, ConnectionProperties::default()).await.unwrap()
    }

    /// Takes over what is declared, and every message: as an operator's export, import and shovel do.
    pub(crate) async fn copy_to(&self, other: &Self) {
        let (from, to) = (Arc::clone(&self.nodes), Arc::clone(&other.nodes));
        let queues = spawn_blocking(move || {
            let file = NamedTempFile::new().unwrap();
            let path = file.path().to_str().unwrap();
            from.ctl(1, &["export_definitions", path]);
            to.ctl(1, &["import_definitions", path]);
            from.ctl(1, &["list_queues", "--no-table-headers", "name"])
        });
        let queues = queues.await.unwrap();
        let (from, to) = (self.connect().await, other.connect().await);
        let (source, target) = (from.create_channel().await.unwrap(), to.create_channel().await.unwrap());
        target.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let queues: Vec<_> = queues.lines().filter(|name| name.starts_with("fr.") && *name != "fr.probe").collect();
        // Those that wait become due meanwhile, and move to a queue that was emptied already.
        let mut moved = 1;
        while std::mem::take(&mut moved) > 0 {
            for queue in &queues {
                let queue = *queue;
                while let Some(message) = source.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap() {
                    let delivery = message.delivery;
                    let properties: BasicProperties = delivery.properties.clone();
                    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                    let published = target.basic_publish("".into(), queue.into(), options, &delivery.data, properties);
                    let confirmed = published.await.unwrap().await.unwrap();
                    assert!(matches!(confirmed, Confirmation::Ack(None)), "{queue}: {confirmed:?}");
                    delivery.ack(BasicAckOptions::default()).await.unwrap();
                    moved += 1;
                }
            }
        }
        from.close(200, "bye".into()).await.unwrap();
        to.close(200, "bye".into()).await.unwrap();
    }
}
