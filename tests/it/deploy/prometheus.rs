//! A real Prometheus and a real Alertmanager with the shipped rules and routes, as processes on loopback.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{files, place, read};
use crate::support::app::client;

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(names: &[&str], arguments: &[String], log: &Path) -> Process {
    let found = names.iter().map(|name| Path::new("/usr/bin").join(name)).find(|path| path.exists());
    let program = found.unwrap_or_else(|| panic!("{names:?} is not installed: run tests/run, which installs it"));
    let log = fs::File::create(log).unwrap();
    let command = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    Process(command.unwrap())
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A scrape job: its name, its target, and what comes after the address.
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) target: SocketAddr,
    pub(super) rest: String,
}

/// The two processes.
pub(super) struct Prometheus {
    address: SocketAddr,
    client: reqwest::Client,
    directory: TempDir,
    _processes: [Process; 2],
}

impl Prometheus {
    /// Starts both. Everything that waits for minutes in production is quick here: scrapes, rules, groups of alerts.
    pub(super) async fn start(jobs: &[Job], receiver: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (address, alertmanager) = (free_address().await, free_address().await);
        fs::create_dir(at("rules")).unwrap();
        for path in files("prometheus/rules", "yml") {
            fs::write(at("rules").join(path.file_name().unwrap()), at_once(&fs::read_to_string(path).unwrap()))
                .unwrap();
        }
        fs::write(at("prometheus.yml"), settings(jobs, alertmanager)).unwrap();
        let routes = read("alertmanager/alertmanager.yml").replace("http://127.0.0.1:9099", receiver);
        fs::write(
            at("alertmanager.yml"),
            routes.replace("group_wait: 30s", "group_wait: 0s").replace("group_wait: 10s", "group_wait: 0s"),
        )
        .unwrap();
        let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        let path = |name: &str| at(name).display().to_string();
        let prometheus = [
            flag("config.file", &path("prometheus.yml")),
            flag("storage.tsdb.path", &path("data")),
            flag("web.listen-address", &address),
            flag("web.console.templates", &place("prometheus/consoles").display()),
        ];
        let routing = [
            flag("config.file", &path("alertmanager.yml")),
            flag("storage.path", &path("alerts")),
            flag("web.listen-address", &alertmanager),
            flag("cluster.listen-address", &""),
        ];
        let processes = [
            spawn(&["prometheus"], &prometheus, &at("prometheus.log")),
            spawn(&["prometheus-alertmanager", "alertmanager"], &routing, &at("alertmanager.log")),
        ];
        Self { address, client: client(), directory, _processes: processes }
    }

    /// What both have to say about a failure.
    pub(super) fn logs(&self) -> String {
        let log = |name: &str| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        format!("{}\n{}", log("prometheus.log"), log("alertmanager.log"))
    }

    /// Asks under a path; `None` while nobody answers, or not well.
    pub(super) async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Option<String> {
        let url = format!("http://{}{path}", self.address);
        let response = self.client.get(url).query(query).send().await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        response.text().await.ok()
    }

    async fn data(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let answer: Value = serde_json::from_str(&self.ask(path, query).await?).ok()?;
        Some(answer["data"].clone())
    }

    /// True when the query has at least one value that is a number now.
    pub(super) async fn has_data(&self, query: &str) -> bool {
        let Some(data) = self.data("/api/v1/query", &[("query", query)]).await else { return false };
        let finite = |series: &Value| {
            series["value"][1].as_str().and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite)
        };
        data["result"].as_array().is_some_and(|series| series.iter().any(finite))
    }

    /// The names of the alerts that fire.
    pub(super) async fn firing(&self) -> Vec<String> {
        let Some(data) = self.data("/api/v1/alerts", &[]).await else { return Vec::new() };
        let alerts = data["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }
}

/// Rules that are looked at every second and fire at once.
fn at_once(rules: &str) -> String {
    let kept = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
    let quick = kept.map(|line| match line.trim_start().starts_with("interval: ") {
        true => "    interval: 1s",
        false => line,
    });
    quick.collect::<Vec<_>>().join("\n")
}

fn settings(jobs: &[Job], alertmanager: SocketAddr) -> String {
    let mut text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules/*.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\nscrape_configs:\n"
    );
    for Job { name, target, rest } in jobs {
        text.push_str(&format!("  - {{job_name: {name}, static_configs: [{{targets: ['{target}']}}]{rest}}}\n"));
    }
    text
}
