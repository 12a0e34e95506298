//! Hot reload through the real application: what changes takes effect, what is wrong changes nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, SystemTime},
};

use cognigy_fallback_router::{
    app::{self, Running, Signals},
    config::{self, Role, Sources},
    message::Lane,
    secret::Secret,
    shutdown::Shutdown,
    signature::{Scheme, request_headers},
    time::EpochMs,
    trigger::TriggerId,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::support::app::{
    COMPLETIONS, WEBHOOK_SECRET, World, accepted, client, completion, decision, signed, trigger,
};

/// An application whose settings and template set are files, looked at every 20 ms.
struct Reloading {
    world: World,
    running: Running,
    shutdown: Shutdown,
    folder: TempDir,
}

const CONFIG: &str = "[profiles.default]\ntemplate = \"own\"\nintents = [{ name = \"password_reset\" }]\n";

impl Reloading {
    async fn start() -> Self {
        let (world, folder) = (World::start().await, TempDir::new().unwrap());
        let mut environment = world.environment();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        write_templates(&folder.path().join("templates/own"), "the first words");
        fs::write(path("config.toml"), CONFIG).unwrap();
        fs::write(path("secret"), WEBHOOK_SECRET).unwrap();
        environment.remove("COGNIGY_WEBHOOK_SECRET");
        environment.insert("COGNIGY_WEBHOOK_SECRET_FILE".into(), path("secret"));
        environment.insert("CFR__TEMPLATES__DIRECTORY".into(), path("templates"));
        environment.insert("CFR__RELOAD__INTERVAL".into(), "20ms".into());
        environment.insert("CFR__QUEUE__BACKEND".into(), "embedded".into());
        environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".into(), path("queue"));
        let (running, shutdown) = start(path("config.toml").into(), environment).await;
        Self { world, running, shutdown, folder }
    }

    /// Adds a profile `sales`, whose outcomes are posted to nobody, to these settings.
    fn also_serve_sales(&self, settings: &str) {
        let sales = format!(
            "{settings}[profiles.sales]\n[profiles.sales.webhook]\nsecrets = [\"{WEBHOOK_SECRET}\"]\n\
             [profiles.sales.callback]\nmode = \"none\"\n[profiles.sales.llm]\nbase_url = \"{}\"\napi_key = \"k\"\n\
             [profiles.sales.history]\nprovider = \"inline\"\n[templates]\n",
            self.world.llm.url("")
        );
        write_templates(&self.path("templates/default"), "");
        fs::write(self.path("config.toml"), sales).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The value of a series.
    async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.running.admin);
        let text = client().get(url).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    async fn wait_for_refusal(&self) {
        while self.metric("cfr_config_last_reload_successful").await != 0.0 {}
    }

    async fn wait_for_success(&self) {
        while self.metric("cfr_config_last_reload_successful").await != 1.0 {}
    }

    /// What the model is asked, and what comes of it.
    async fn decided(&self) -> (String, Value) {
        let id = accepted(&client(), &self.running, &trigger()).await;
        let outcome = self.world.callback_of(id).await.json();
        let asked = self.world.llm.requests_to(COMPLETIONS).pop().unwrap().json();
        (asked["messages"][0]["content"].as_str().unwrap().to_owned(), outcome)
    }

    /// Decides triggers until one is decided otherwise than before.
    async fn decided_until(&self, changed: impl Fn(&str, &Value) -> bool) -> Value {
        loop {
            let (asked, outcome) = self.decided().await;
            if changed(&asked, &outcome) {
                return outcome;
            }
        }
    }

    async fn stop(self) {
        self.shutdown.drain.cancel();
        assert!(self.running.ended().await.unwrap());
    }
}

async fn start(file: PathBuf, environment: BTreeMap<String, String>) -> (Running, Shutdown) {
    let sources = Sources { file: Some(file), environment };
    let loaded = config::load(&sources, Role::Serve).unwrap();
    let shutdown = Shutdown::default();
    let signals = Signals { shutdown: shutdown.clone(), hangup: signal(SignalKind::hangup()).unwrap() };
    let running = app::start_reloading(loaded, &sources, Role::Serve, signals).await.unwrap();
    (running, shutdown)
}

/// The default set with words of its own in front.
fn write_templates(folder: &Path, words: &str) {
    fs::create_dir_all(folder).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/default");
    for file in ["user.tera", "decision.schema.json", "sample.trigger.json"] {
        fs::copy(root.join(file), folder.join(file)).unwrap();
    }
    let system = fs::read_to_string(root.join("system.tera")).unwrap();
    fs::write(folder.join("system.tera"), format!("{words}\n{system}")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_template_is_used_and_a_broken_one_is_not() {
    let app = Reloading::start().await;
    let template = app.path("templates/own/system.tera");
    let (asked, first) = app.decided().await;
    assert!(asked.starts_with("the first words"), "{asked}");

    fs::write(&template, "{{ nonsense").unwrap();
    app.wait_for_refusal().await;
    let (asked, outcome) = app.decided().await;
    assert!(asked.starts_with("the first words"), "the former set stays: {asked}");
    assert_eq!(outcome["meta"]["template"], first["meta"]["template"]);

    write_templates(&app.path("templates/own"), "the second words");
    app.wait_for_success().await;
    let (asked, outcome) = app.decided().await;
    assert!(asked.starts_with("the second words"), "{asked}");
    assert_ne!(outcome["meta"]["template"], first["meta"]["template"]);
    app.stop().await;
}

/// Kubernetes swaps a link to a folder; no file in it is ever written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_swapped_by_its_link_is_noticed() {
    let app = Reloading::start().await;
    let sets = app.path("templates");
    fs::rename(sets.join("own"), sets.join("version-1")).unwrap();
    std::os::unix::fs::symlink("version-1", sets.join("own")).unwrap();
    write_templates(&sets.join("version-2"), "words of the second version");
    std::os::unix::fs::symlink("version-2", sets.join("next")).unwrap();
    fs::rename(sets.join("next"), sets.join("own")).unwrap();
    app.decided_until(|asked, _| asked.starts_with("words of the second version")).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_intents_decide_and_wrong_settings_change_nothing() {
    let app = Reloading::start().await;
    assert_eq!(app.decided().await.1["routing_decision"]["classified_intent"], "password_reset");
    let other = CONFIG.replace("password_reset", "refund");
    fs::write(app.path("config.toml"), &other).unwrap();
    let outcome = app.decided_until(|_, outcome| outcome["routing_decision"]["classified_intent"] == "UNKNOWN").await;
    assert_eq!(outcome["routing_decision"]["requires_human_agent"], true);

    let before = app.metric("cfr_config_last_reload_success_timestamp_seconds").await;
    // One good change and one bad one: neither is taken.
    fs::write(app.path("config.toml"), format!("{CONFIG}threshold = 9.0\n")).unwrap();
    app.wait_for_refusal().await;
    assert_eq!(app.decided().await.1["routing_decision"]["classified_intent"], "UNKNOWN");
    assert_eq!(app.metric("cfr_config_last_reload_success_timestamp_seconds").await, before);
    app.stop().await;
}

/// Posts a trigger to a profile, signed with this secret; what it is answered.
async fn posted(app: &Reloading, profile: &str, secret: &str) -> u16 {
    request(app, profile, secret).send().await.unwrap().status().as_u16()
}

fn request(app: &Reloading, profile: &str, secret: &str) -> reqwest::RequestBuilder {
    let url = format!("http://{}/webhook/cognigy/fallback/{profile}", app.running.webhook.unwrap());
    let (body, now) = (trigger().to_string(), SystemTime::now().into());
    let headers = request_headers(Scheme::HexBody, &Secret::new(secret), "", now, body.as_bytes()).unwrap();
    let request = client().post(url).header("content-type", "application/json").body(body);
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_secret_is_taken_and_the_old_one_refused_once_it_is_gone() {
    let app = Reloading::start().await;
    let (old, new) = (WEBHOOK_SECRET, "a-new-webhook-secret-of-more-than-32-bytes");
    let status = async |secret| posted(&app, "default", secret).await;
    assert_eq!((status(old).await, status(new).await), (202, 403));
    fs::write(app.path("secret"), format!("{new}\n{old}\n")).unwrap();
    while status(new).await != 202 {}
    assert_eq!(status(old).await, 202, "both are good during the rotation");
    fs::write(app.path("secret"), format!("{new}\n")).unwrap();
    while status(old).await != 403 {}
    assert_eq!(status(new).await, 202);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_hand_is_finished_with_what_it_began_with() {
    let app = Reloading::start().await;
    app.world.llm.next(COMPLETIONS, completion(&decision().to_string()).after(Duration::from_millis(500)));
    let id: TriggerId = accepted(&client(), &app.running, &trigger()).await;
    app.world.llm.received(1).await;
    fs::write(app.path("config.toml"), CONFIG.replace("password_reset", "refund")).unwrap();
    app.decided_until(|_, outcome| outcome["routing_decision"]["classified_intent"] == "UNKNOWN").await;
    let outcome = app.world.callback_of(id).await.json();
    assert_eq!(outcome["routing_decision"]["classified_intent"], "password_reset", "it began before the reload");
    app.stop().await;
}

/// A profile that did not change keeps what it knows: here the bucket of its rate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untouched_profile_keeps_its_state_and_a_new_one_is_served() {
    let app = Reloading::start().await;
    let settings = format!("{CONFIG}[profiles.default.webhook.rate]\nper_second = 1\nburst = 2\n");
    fs::write(app.path("config.toml"), &settings).unwrap();
    let webhook = app.running.webhook.unwrap().to_string();
    let status = async || signed(&client(), &webhook, &trigger()).send().await.unwrap().status().as_u16();
    while status().await != 429 {}
    app.also_serve_sales(&settings);
    while posted(&app, "sales", WEBHOOK_SECRET).await != 202 {}
    // Its outcomes are posted to nobody: whoever waits gets them, though no profile of the start was of this kind.
    let held = request(&app, "sales", WEBHOOK_SECRET).header("prefer", "wait=20").send().await.unwrap();
    assert_eq!(held.status(), 200);
    assert_eq!(held.json::<Value>().await.unwrap()["status"], "success");
    app.stop().await;
}

/// While settings are rolled out, an ingress may know a profile sooner than a worker does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_of_a_profile_that_is_not_known_yet_waits_for_it() {
    let app = Reloading::start().await;
    let mut message = crate::queue::exercise::message(1);
    message.envelope.profile = "sales".to_owned();
    message.envelope.accepted_at = EpochMs::from(SystemTime::now());
    message.envelope.deadline = message.envelope.accepted_at.plus(Duration::from_secs(300));
    (message.envelope.stored_at, message.envelope.callback) = (None, None);
    message.body = trigger().to_string().into();
    app.running.queue.publisher().publish(Lane::Work, &message).await.unwrap();
    while app.running.queue.depths().await.unwrap().delayed != 1 {
        tokio::task::yield_now().await;
    }
    app.also_serve_sales(CONFIG);
    while app.metric("cfr_outcomes_total{status=\"success\"}").await < 1.0 {}
    assert_eq!(app.world.llm.requests_to(COMPLETIONS).len(), 1);
    assert_eq!(app.running.queue.depths().await.unwrap().dead, 0);
    app.stop().await;
}

/// Starts the program itself on the embedded queue; with the file of its log.
fn serve(world: &World, folder: &Path, file: &Path, admin: u16) -> (Child, PathBuf) {
    let log = folder.join("log");
    let child = Command::new(env!("CARGO_BIN_EXE_cfr"))
        .args(["serve", "--config", file.to_str().unwrap()])
        .env_clear()
        .envs(world.environment())
        .env("CFR__QUEUE__BACKEND", "embedded")
        .env("CFR__QUEUE__EMBEDDED__DIRECTORY", folder.join("q"))
        .env("CFR__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
        .current_dir(folder)
        .stderr(fs::File::create(&log).unwrap())
        .spawn();
    (child.unwrap(), log)
}

/// The programs themselves: SIGHUP reads the level of the log again, and nobody has to wait for a look at the files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reads_the_settings_and_the_log_level_again_and_refuses_wrong_ones_without_their_secrets() {
    let (world, folder) = (World::start().await, TempDir::new().unwrap());
    let file = folder.path().join("config.toml");
    fs::write(&file, "[log]\nlevel = \"warn\"\n[reload]\ninterval = \"0s\"\n").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut child, log) = serve(&world, folder.path(), &file, port);
    let up = format!("http://127.0.0.1:{port}/startupz");
    while !client().get(&up).send().await.is_ok_and(|answer| answer.status().is_success()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(fs::read_to_string(&log).unwrap().matches("\"event\":\"started\"").count(), 0, "the level is warn");
    fs::write(&file, "[log]\nlevel = \"info\"\n[reload]\ninterval = \"0s\"\n").unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    while !fs::read_to_string(&log).unwrap().contains("\"event\":\"settings_reloaded\"") {
        assert!(child.try_wait().unwrap().is_none(), "SIGHUP ended it");
        tokio::task::yield_now().await;
    }
    for (wrong, named) in [
        ("[profiles.default.llm]\napi_key = \"MARKER-sk-live\n", "line 2, column 26"),
        ("[queue.rabbitmq]\nurls = \"amqp://user:MARKERpw@broker\"\n", "queue.rabbitmq.urls: is a string"),
    ] {
        fs::write(&file, wrong).unwrap();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
        while !fs::read_to_string(&log).unwrap().contains(named) {
            assert!(child.try_wait().unwrap().is_none(), "SIGHUP ended it");
            tokio::task::yield_now().await;
        }
    }
    let told = fs::read_to_string(&log).unwrap();
    assert_eq!(told.matches("\"event\":\"reload_refused\"").count(), 2, "{told}");
    assert!(!told.contains("MARKER"), "what is wrong is told without the secret: {told}");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Whoever renews a secret does not know how far a process is with its start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_while_a_process_reads_its_settings_is_a_reload_once_it_runs() {
    let (world, folder) = (World::start().await, TempDir::new().unwrap());
    let file = folder.path().join("config.toml");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let (mut child, log) = serve(&world, folder.path(), &file, 0);
    // A pipe opens for writing when somebody reads it: it is at its settings, and waits for them.
    let pipe = file.clone();
    let mut writer =
        tokio::task::spawn_blocking(move || fs::OpenOptions::new().write(true).open(pipe)).await.unwrap().unwrap();
    let settings = "[log]\nlevel = \"info\"\n[reload]\ninterval = \"0s\"\n";
    let next = folder.path().join("next.toml");
    fs::write(&next, settings).unwrap();
    fs::rename(&next, &file).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    std::io::Write::write_all(&mut writer, settings.as_bytes()).unwrap();
    drop(writer);
    while !fs::read_to_string(&log).unwrap().contains("\"event\":\"settings_reloaded\"") {
        assert!(child.try_wait().unwrap().is_none(), "SIGHUP ended it");
        tokio::task::yield_now().await;
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}
