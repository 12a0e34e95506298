//! Every alert has a page, a case in which it fires and one in which it does not; users have only what they need.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use cognigy_fallback_router::config::{self, Role, Sources};

use super::{files, place, queries, read};

fn alerts() -> BTreeSet<String> {
    queries::rules().into_iter().map(|rule| rule.place).filter(|name| name.starts_with("Cfr")).collect()
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let pages: BTreeSet<_> =
        files("runbooks", "md").iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(pages, alerts());
    for page in files("runbooks", "md") {
        let text = fs::read_to_string(&page).unwrap();
        for heading in ["Severity: ", "**What a customer notices.**", "\n## Look\n", "\n## Do\n", "\n## Over\n"] {
            assert!(text.contains(heading), "{}: {heading}", page.display());
        }
    }
}

#[test]
fn every_runbook_says_how_urgent_its_alert_is() {
    let mut urgent: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for path in files("prometheus/rules", "yml") {
        for rule in fs::read_to_string(path).unwrap().split("- alert: ").skip(1) {
            let severity = if rule.contains("{severity: page}") { "page" } else { "ticket" };
            urgent.entry(rule.lines().next().unwrap().to_owned()).or_default().insert(severity);
        }
    }
    for (alert, severities) in urgent {
        let page = read(&format!("runbooks/{alert}.md"));
        let line = page.lines().find_map(|line| line.strip_prefix("Severity: ")).unwrap();
        let said = ["page", "ticket"].into_iter().filter(|severity| line.contains(severity));
        assert_eq!(said.collect::<BTreeSet<_>>(), severities, "{alert}");
    }
}

#[test]
fn every_alert_names_its_runbook_and_a_severity() {
    for path in files("prometheus/rules", "yml") {
        let text = fs::read_to_string(path).unwrap();
        for rule in text.split("- alert: ").skip(1) {
            let name = rule.lines().next().unwrap();
            assert!(rule.contains(&format!("runbook_url: deploy/runbooks/{name}.md\n")), "{name}");
            assert!(["{severity: page}", "{severity: ticket}"].iter().any(|labels| rule.contains(labels)), "{name}");
        }
    }
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_stays_silent() {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for path in files("prometheus/tests", "yml") {
        let text = fs::read_to_string(path).unwrap();
        for case in text.split("alertname: ").skip(1) {
            let name = case.split([',', '\n']).next().unwrap().to_owned();
            if case.split("alertname").next().unwrap().contains("exp_alerts: []") {
                silent.insert(name);
            } else {
                fires.insert(name);
            }
        }
    }
    assert_eq!(fires, alerts());
    assert_eq!(silent, alerts());
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for folder in ["runbooks", "docs"] {
        for path in files(folder, "md") {
            let text = fs::read_to_string(&path).unwrap();
            for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                if target.starts_with("http") {
                    continue;
                }
                let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
                if !file.exists() || !has_heading(&file, anchor) {
                    broken.push(format!("{}: {target}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Whether a document has a heading that becomes this anchor; the empty one is the document itself.
fn has_heading(file: &Path, anchor: &str) -> bool {
    let anchor_of = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut headings = text.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_matches([' ', '#']));
    anchor.is_empty() || headings.any(|heading| anchor_of(heading) == anchor)
}

#[test]
fn the_broker_gives_each_user_what_the_threat_model_says() {
    let model = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let definitions: serde_json::Value = serde_json::from_str(&read("rabbitmq/definitions.json")).unwrap();
    for user in ["ingress", "worker"] {
        let name = format!("cfr-{user}");
        let given = definitions["permissions"].as_array().unwrap().iter().find(|given| given["user"] == name.as_str());
        let permission = |kind: &str| given.unwrap()[kind].as_str().unwrap().replace('|', "\\|");
        let row = format!(
            "| {user} | `{}` | `{}` | `{}` |",
            permission("configure"),
            permission("write"),
            permission("read")
        );
        assert!(model.contains(&row), "{row}");
    }
    assert!(!read("rabbitmq/definitions.json").contains("administrator"));
    assert!(place("rabbitmq/start").exists());
}

/// The variables of an environment file, as compose reads it.
fn variables(text: &str) -> impl Iterator<Item = (String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()))
}

#[test]
fn the_settings_that_ship_can_be_used() {
    for file in ["k8s/base/cfr.toml", "k8s/overlays/dev/cfr.toml"] {
        for role in [Role::Ingress, Role::Worker, Role::Serve] {
            let mut environment: std::collections::BTreeMap<_, _> = variables(&read("demo.env")).collect();
            environment.insert("AMQP_URL".to_owned(), "amqp://cfr-worker:demo-worker@rabbitmq:5672/%2f".to_owned());
            if file.contains("base") {
                environment
                    .insert("COGNIGY_CALLBACK_URL".to_owned(), "https://cognigy.example.com/callback".to_owned());
            }
            let loaded = config::load(&Sources { file: Some(place(file)), environment }, role);
            let problem = loaded.err().map(|unusable| unusable.to_string());
            assert_eq!(problem, None, "{file}");
        }
    }
}

#[test]
fn workers_scale_by_the_queues_that_they_consume() {
    let scaled = read("k8s/components/keda/scaledobject.yaml");
    let queues: Vec<_> = scaled.split("queueName: ").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
    assert_eq!(queues, ["fr.work", "fr.outcome"]);
    let slots = |lane: &str| format!("slots.{lane} = 64 ");
    let defaults = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/default.toml")).unwrap();
    assert!(defaults.contains(&slots("work")) && defaults.contains(&slots("outcome")), "KEDA's value is the slots");
    assert_eq!(scaled.matches("value: \"64\"").count(), 2);
}
