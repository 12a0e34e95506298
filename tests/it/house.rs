//! The house's own rules, as `ARCHITECTURE.md` states them: who may know whom, and what stands where.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The floors, lowest first. A module may use only lower floors and itself.
const FLOORS: &[&[&str]] = &[
    &[
        "conversation",
        "decision",
        "message",
        "outcome",
        "redaction",
        "customer_text",
        "safe_answer",
        "retry",
        "secret",
        "signature",
        "story",
        "json",
        "strict_json",
        "time",
        "trigger",
    ],
    &["build", "metrics", "shutdown", "telemetry"],
    &["egress", "http_client", "http_server", "breaker", "oauth", "otlp", "profiles"],
    &["callback", "history", "llm", "prompt", "queue"],
    &["dead_letters", "pipeline"],
    &["admin", "console", "ingress", "simulators", "worker"],
    &["config"],
    &["app"],
    &["operator"],
];

/// On these floors modules may know their siblings: words are made of words, and instruments of instruments.
const SOCIABLE: &[usize] = &[0, 1, 2];

/// Every source file: its module, its place under `src/`, its text.
pub(crate) fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).unwrap().to_path_buf();
                let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
                let module = first.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                files.push((module, inside, text));
            }
        }
    }
    assert!(files.len() > 50, "the scan found only {} files", files.len());
    files
}

/// The code before the tests of a file, without comments.
pub(crate) fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules that a file names as `crate::module` or inside `use crate::{…}`.
fn used(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let (mut depth, mut word, mut fresh) = (1, String::new(), true);
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                if depth == 1 && c == ',' {
                    fresh = true;
                } else if depth == 1 && fresh && (c.is_alphanumeric() || c == '_') {
                    word.push(c);
                } else if !word.is_empty() {
                    modules.push(std::mem::take(&mut word));
                    fresh = false;
                }
            }
            if !word.is_empty() {
                modules.push(word);
            }
        } else {
            modules.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    modules
}

#[test]
fn a_module_uses_only_lower_floors() {
    let floor_of: BTreeMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor))).collect();
    let mut broken = Vec::new();
    for (module, path, text) in sources() {
        if module == "lib" || module == "bin" {
            continue;
        }
        let floor = *floor_of.get(module.as_str()).unwrap_or_else(|| panic!("{module} stands on no floor"));
        for other in used(&code(&text)) {
            let Some(&other_floor) = floor_of.get(other.as_str()) else { continue };
            let sibling = other_floor == floor && other != module;
            if other_floor > floor || (sibling && !SOCIABLE.contains(&floor)) {
                broken.push(format!("{} uses {other}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn vendors_and_crates_are_named_only_where_they_live() {
    let rules: &[(&str, &[&str])] = &[
        ("lapin::", &["queue/rabbitmq"]),
        ("rusqlite::", &["queue/embedded"]),
        ("tera::", &["prompt"]),
        ("std::env::", &["config"]),
        ("reqwest::Client::builder", &["http_client"]),
    ];
    let mut broken = Vec::new();
    for (module, path, text) in sources() {
        let (path, code) = (path.to_string_lossy().into_owned(), code(&text));
        for (name, homes) in rules {
            if code.contains(name) && !homes.iter().any(|home| path.starts_with(home)) && module != "bin" {
                broken.push(format!("{path} names {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn only_signed_turns_request_bytes_into_a_trigger() {
    for (_, path, text) in sources() {
        let path = path.to_string_lossy().into_owned();
        if path.starts_with("ingress") && path != "ingress/signed.rs" {
            assert!(!code(&text).contains("TriggerBody::parse"), "{path}");
        }
    }
}

#[test]
fn the_pipeline_knows_no_queue_and_the_worker_no_vendor() {
    for (module, path, text) in sources() {
        let code = code(&text).to_lowercase();
        if module == "pipeline" {
            for word in ["delivery", "crate::queue", "axum", "lane"] {
                assert!(!code.contains(word), "{} says {word}", path.display());
            }
        }
        if module == "worker" {
            for word in ["cxone", "cognigy", "openai", "lapin"] {
                assert!(!code.contains(word), "{} says {word}", path.display());
            }
        }
    }
}

/// Every Rust file of the tests, as one text.
fn test_sources() -> String {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    text
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let tests = test_sources();
    let is_name = |word: &&str| {
        word.matches('_').count() > 4 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let rows: Vec<_> = document.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    let named: Vec<_> = rows.iter().flat_map(|row| row.split('`')).filter(is_name).collect();
    assert!(named.len() > 30, "only {} tests are named", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !tests.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
