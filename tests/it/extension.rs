//! The packed Extension for Cognigy, run by Node in a simulated Cognigy, against the real ingress and worker.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cognigy_fallback_router::{
    app::{self, Running},
    config::{self, Role, Sources},
    queue::notice::{Notice, Topic},
    shutdown::Shutdown,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::support::{
    app::{CALLBACK_SECRET, COMPLETIONS, WEBHOOK_SECRET, World, completion, decision},
    broker,
    stub::{Recorded, Reply},
};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/cognigy-extension")
}

/// Runs a command that must succeed; what it printed.
async fn finished(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().await;
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The Extension as Cognigy installs it: packed, unpacked, with its one dependency.
async fn installed() -> TempDir {
    let source = source();
    if !source.join("node_modules").exists() {
        finished(&source, "npm", &["ci", "--no-audit", "--no-fund"]).await;
    }
    let packed = finished(&source, "npm", &["run", "--silent", "pack"]).await;
    let folder = TempDir::new().unwrap();
    finished(folder.path(), "tar", &["-xzf", packed.trim()]).await;
    finished(folder.path(), "npm", &["ci", "--no-audit", "--no-fund", "--prefer-offline"]).await;
    folder
}

/// The simulated Cognigy, and where its Endpoint is.
async fn cognigy(extension: &Path) -> (Child, String) {
    let mut child = Command::new("node")
        .arg(source().join("test/end-to-end.js"))
        .env("EXTENSION", extension)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
    lines.read_line(&mut url).await.unwrap();
    assert!(lines.buffer().is_empty());
    (child, url.trim().to_owned())
}

/// The model, by what the customer wrote.
fn model(request: &Recorded) -> Reply {
    let asked = request.json().to_string();
    let mut decided = decision();
    if asked.contains("have no model") {
        return Reply::status(400);
    } else if asked.contains("go to the intent") {
        decided["classified_intent"] = json!("Reset Password");
    } else if asked.contains("fetch a human") {
        decided["requires_human_agent"] = json!(true);
    }
    completion(&decided.to_string())
}

/// Three bots: one whose answers are injected, one that may go on with intents of its flow, one that waits or polls.
fn settings(world: &World, endpoint: &str, queue: &str) -> String {
    let gateway = format!("llm = {{ base_url = {:?}, api_key = \"key\", attempts = 1 }}", world.llm.url(""));
    let profile = |name: &str, callback: &str| {
        format!(
            "[profiles.{name}]\n{gateway}\nhistory = {{ provider = \"inline\" }}\n\
             webhook = {{ scheme = \"hex-ts-body\", secrets = [{WEBHOOK_SECRET:?}] }}\ncallback = {{ {callback} }}\n"
        )
    };
    let loopback = "egress = { allow_http = true, allow_private_cidrs = [\"127.0.0.0/8\"] }";
    let inject = format!("mode = \"cognigy-inject\", url = {endpoint:?}, secrets = [{CALLBACK_SECRET:?}], {loopback}");
    [
        format!("[queue]\n{queue}\n"),
        "[ingress]\nlisten = \"127.0.0.1:0\"\nlimits = { drain_delay = \"0s\" }\n[admin]\nlisten = \"127.0.0.1:0\"\n"
            .into(),
        profile("default", &inject),
        profile("rerouting", &format!("{inject}, cognigy = {{ reroute = true }}")),
        profile("held", "mode = \"none\""),
    ]
    .concat()
}

async fn start(settings: &Path, role: Role, shutdown: &Shutdown) -> Running {
    let sources = Sources { file: Some(settings.to_path_buf()), environment: BTreeMap::new() };
    let loaded = config::load(&sources, role).unwrap();
    app::start(&loaded.config, role, shutdown.clone()).await.unwrap()
}

/// Waits until the ingress hears what the worker tells: over a broker that is a moment after both have started.
async fn in_touch(ingress: &Running, worker: &Running) {
    let mut heard = ingress.queue.notices().subscribe(&[Topic::Outcome]);
    let hello = || worker.queue.notices().publish(Notice { topic: Topic::Outcome, body: "hello".into() });
    hello();
    while timeout(Duration::from_millis(50), heard.next()).await.is_err() {
        hello();
    }
}

/// Every scenario, over such a queue.
async fn played(extension: &Path, queue: &str) {
    let (mut cognigy, endpoint) = cognigy(extension).await;
    let world = World::start().await;
    world.llm.computed(COMPLETIONS, model);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("cfr.toml");
    fs::write(&file, settings(&world, &endpoint, queue)).unwrap();
    let shutdown = Shutdown::default();
    let ingress = start(&file, Role::Ingress, &shutdown).await;
    let worker = start(&file, Role::Worker, &shutdown).await;
    ingress.queue.ready().await.unwrap();
    in_touch(&ingress, &worker).await;

    let router = json!({
        "routerUrl": format!("http://{}", ingress.webhook.unwrap()),
        "secret": WEBHOOK_SECRET, "callbackSecret": CALLBACK_SECRET,
    });
    let mut input = cognigy.stdin.take().unwrap();
    input.write_all(router.to_string().as_bytes()).await.unwrap();
    drop(input);
    let mut report = String::new();
    cognigy.stdout.take().unwrap().read_to_string(&mut report).await.unwrap();
    assert!(cognigy.wait().await.unwrap().success(), "{report}");
    assert!(report.contains("pass 12\n"), "{report}");

    shutdown.drain.cancel();
    assert!(ingress.ended().await.unwrap() && worker.ended().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_with_the_packed_extension_reaches_every_child_and_shows_each_answer_once() {
    let (extension, folder) = (installed().await, TempDir::new().unwrap());
    let directory = folder.path().join("queue");
    played(extension.path(), &format!("backend = \"embedded\"\nembedded = {{ directory = {directory:?} }}")).await;
    let node = broker::shared().await;
    let url = node.vhost().await.url;
    played(extension.path(), &format!("backend = \"rabbitmq\"\nrabbitmq = {{ urls = [{url:?}] }}")).await;
}
