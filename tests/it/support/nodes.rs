//! Private RabbitMQ nodes as processes: one, or a cluster. They live as long as the standard input of `rabbitmq-node`
//! stays open, so they die with this process, however that ends.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/rabbitmq-node");
const SERVER: &str = "usr/lib/rabbitmq/bin/rabbitmq-server";
/// Ports from one node's to the next one's; more than one node uses.
const APART: u16 = 10;

/// The nodes.
pub(crate) struct Nodes {
    port: u16,
    directory: String,
    tree: Option<PathBuf>,
    control: Mutex<Control>,
    ctl: Mutex<()>,
}

struct Control {
    process: Child,
    /// Its end is the nodes' end.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The tree that the environment names, of which the nodes' programs are taken instead of this machine's.
pub(crate) fn tree_of_environment() -> Option<PathBuf> {
    std::env::var_os("RABBITMQ_TREE").filter(|tree| !tree.is_empty()).map(PathBuf::from)
}

/// The first of ports that are free for `count` nodes, below the range from which the system takes ports itself.
pub(crate) fn free_ports(count: u16) -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..1_000)
        .map(|_| 10_000 + APART * (rand::random::<u16>() % 2_000))
        .find(|&port| (port..port + APART * count).all(is_free))
        .expect("free ports")
}

impl Nodes {
    /// Readies `count` nodes from `port` on, and starts none. `configuration` is a file with lines for their rabbitmq.conf.
    pub(crate) fn prepare(count: u16, port: u16, configuration: &Path, tree: Option<PathBuf>) -> Self {
        let server = tree.as_deref().unwrap_or(Path::new("/")).join(SERVER);
        assert!(server.exists(), "RabbitMQ is not installed ({}): run tests/run, which installs it", server.display());
        let mut process = script(tree.as_deref())
            .args(["run", &port.to_string(), configuration.to_str().unwrap(), &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut directory = String::new();
        answers.read_line(&mut directory).unwrap();
        let control = Mutex::new(Control { process, commands: Some(commands), answers });
        Self { port, directory: directory.trim().to_owned(), tree, control, ctl: Mutex::default() }
    }

    /// The AMQP port of a node; they are counted from 1.
    pub(crate) fn port(&self, node: u16) -> u16 {
        self.port + APART * (node - 1)
    }

    /// `start`, `stop`, `kill`, `pause` or `resume`, for all or for the nodes whose numbers follow.
    pub(crate) fn command(&self, command: &str) {
        let mut control = self.control.lock().unwrap();
        writeln!(control.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut answer = String::new();
        control.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), "ok", "{command}");
    }

    /// `rabbitmqctl` against a node.
    pub(crate) fn ctl(&self, node: u16, arguments: &[&str]) -> String {
        self.run("ctl", node, arguments)
    }

    /// `rabbitmq-plugins` against a node.
    pub(crate) fn plugins(&self, node: u16, arguments: &[&str]) -> String {
        self.run("plugins", node, arguments)
    }

    /// What a node has logged so far: warnings and errors.
    pub(crate) fn log(&self, node: u16) -> String {
        let folder = std::fs::read_dir(format!("{}/{node}/log", self.directory)).unwrap();
        let files =
            folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "log"));
        files.map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }

    fn run(&self, program: &str, node: u16, arguments: &[&str]) -> String {
        let _one_at_a_time = self.ctl.lock().unwrap();
        let run = script(self.tree.as_deref())
            .args([program, &self.directory, &self.port.to_string(), &node.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(run.status.success(), "{program} {arguments:?}: {}{}", text(&run.stdout), text(&run.stderr));
        text(&run.stdout)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.process.wait();
    }
}

fn script(tree: Option<&Path>) -> Command {
    let mut command = Command::new(SCRIPT);
    match tree {
        Some(tree) => command.env("RABBITMQ_TREE", tree),
        None => command.env_remove("RABBITMQ_TREE"),
    };
    command
}
