//! Every query that ships, with where it stands.

use std::fs;

use serde_json::Value;

use super::{files, read};

/// One query, as Prometheus gets it but for the window of its rates, which is `$window`.
pub(super) struct Query {
    pub(super) place: String,
    pub(super) text: String,
}

impl Query {
    fn new(place: impl Into<String>, text: &str) -> Self {
        let text = text.replace("$__rate_interval", "$window").replace("$__range", "$window");
        Self { place: place.into(), text: text.replace("$rate", "$window").replace("$job", ".+") }
    }

    /// The query with this window.
    pub(super) fn over(&self, window: &str) -> String {
        self.text.replace("$window", window)
    }
}

/// The expressions of all rules: recorded ones by their name, alerts by theirs.
pub(super) fn rules() -> Vec<Query> {
    let mut queries = Vec::new();
    for path in files("prometheus/rules", "yml") {
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().peekable();
        let mut name = String::new();
        while let Some(line) = lines.next() {
            let line = line.trim_start().trim_start_matches("- ");
            if let Some(given) = line.strip_prefix("alert: ").or_else(|| line.strip_prefix("record: ")) {
                name = given.to_owned();
            }
            let Some(expression) = line.strip_prefix("expr: ") else { continue };
            let mut expression = expression.to_owned();
            if expression == "|" {
                expression.clear();
                // A block goes on while it is indented more than the key it belongs to.
                while let Some(more) = lines.next_if(|more| more.starts_with("          ")) {
                    expression.push_str(more);
                    expression.push('\n');
                }
            }
            queries.push(Query::new(name.clone(), &expression));
        }
    }
    assert!(queries.len() > 40, "only {} rules were found", queries.len());
    queries
}

/// The panels of the dashboard, rows included.
pub(super) fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboards/cfr.json")).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// The queries of the dashboard.
pub(super) fn dashboard() -> Vec<Query> {
    let mut queries = Vec::new();
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let place = format!("panel {}", panel["title"].as_str().unwrap());
            queries.push(Query::new(place, target["expr"].as_str().unwrap()));
        }
    }
    assert!(queries.len() > 60, "only {} queries were found", queries.len());
    queries
}

/// The queries of the console page: those of its figures, and those that Prometheus puts in by itself.
pub(super) fn console() -> Vec<Query> {
    let page = read("prometheus/consoles/cfr.html");
    let between = |start: &'static str| page.split(start).skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut queries = Vec::new();
    for start in ["data-query=\"", "data-query2=\"", "query \"", "printf \""] {
        queries.extend(between(start).map(|text| Query::new("console", &text.replace("%s", "127.0.0.1:9464"))));
    }
    assert!(queries.len() > 20, "only {} queries were found", queries.len());
    queries
}

/// The queries that the runbooks tell to ask: code that names a metric and is more than its name.
pub(super) fn runbooks() -> Vec<Query> {
    let mut queries = Vec::new();
    for path in files("runbooks", "md") {
        let place = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        for code in text.split('`').skip(1).step_by(2) {
            let asks = code.contains("cfr_") || code.contains("rabbitmq_") || code.starts_with("cfr:");
            if asks && (!code.contains(' ') || code.contains('(')) {
                queries.push(Query::new(place.clone(), code));
            }
        }
    }
    assert!(queries.len() > 40, "only {} queries were found", queries.len());
    queries
}
