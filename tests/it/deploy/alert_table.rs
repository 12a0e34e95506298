//! `deploy/docs/alerts.md`: for each alert the cases in which it fires and stays silent, as promtool runs them.

use std::{collections::BTreeMap, fs};

use super::{files, place};

/// What is known of an alert: its severity, and the names of its cases.
#[derive(Default)]
struct Row {
    severity: String,
    fires: Vec<String>,
    silent: Vec<String>,
}

fn rows() -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for path in files("prometheus/rules", "yml") {
        let text = fs::read_to_string(path).unwrap();
        for rule in text.split("- alert: ").skip(1) {
            let severity = if rule.contains("{severity: page}") { "page" } else { "ticket" };
            let row = rows.entry(rule.lines().next().unwrap().to_owned()).or_default();
            if !row.severity.contains(severity) {
                row.severity.push_str(if row.severity.is_empty() { "" } else { ", " });
                row.severity.push_str(severity);
            }
        }
    }
    for path in files("prometheus/tests", "yml") {
        let text = fs::read_to_string(path).unwrap();
        for case in text.split("  - name: ").skip(1) {
            let name = case.lines().next().unwrap();
            for expected in case.split("alertname: ").skip(1) {
                let row = rows.entry(expected.split([',', '\n']).next().unwrap().to_owned()).or_default();
                let time = expected.split("eval_time: ").nth(1).unwrap().split([',', '\n', '}']).next().unwrap();
                let case = format!("{name} ({time})");
                let cases = if expected.contains("exp_alerts: []") { &mut row.silent } else { &mut row.fires };
                cases.push(case);
            }
        }
    }
    rows
}

fn page() -> String {
    let mut page = String::from(
        "# The alerts, and what was seen of each\n\n\
         `promtool test rules` (in `deploy/check`) runs every case below against the rules that ship; a test keeps this page and\n\
         the cases together. In brackets: how long after the beginning of the case.\n\n\
         | alert | severity | fires | stays silent |\n|---|---|---|---|\n",
    );
    for (alert, Row { severity, fires, silent }) in rows() {
        let (fires, silent) = (fires.join("; "), silent.join("; "));
        page.push_str(&format!("| [{alert}](../runbooks/{alert}.md) | {severity} | {fires} | {silent} |\n"));
    }
    page
}

#[test]
fn the_table_of_alerts_says_what_the_cases_say() {
    let path = place("docs/alerts.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page(), "it has drifted: UPDATE=1 cargo test --test it alert_table");
}
