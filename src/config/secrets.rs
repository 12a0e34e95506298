//! Secrets from files: `KEY_file` beside every key that holds one.

use config::{Map, Value, ValueKind};

use super::{DEFAULTS, layers::parse};

/// Keys that hold secrets. The lists among them become lists of the one secret in the file, one line each.
pub(super) const SECRETS: &[(&str, bool)] = &[
    ("secrets", true),
    ("client_id", false),
    ("client_secret", false),
    ("access_key_id", false),
    ("access_key_secret", false),
    ("api_key", false),
    ("token", false),
    ("password", false),
    ("urls", true),
    ("management_url", false),
];

/// Replaces every `KEY_file` by what stands in that file.
pub(super) fn resolve(tree: &mut Map<String, Value>, problems: &mut Vec<String>) {
    let defaults = parse(DEFAULTS).unwrap_or_default();
    walk(tree, Some(&defaults), "", problems);
}

/// Stands for a secret that only the deployment has; long enough for every rule.
const ASSUMED: &str = "a secret that only the deployment has";

/// Puts something in the place of what is not on this machine: secrets, and the files that hold them or certificates.
pub(super) fn assume(tree: &mut Map<String, Value>) {
    without_missing_files(tree);
    let Some(ValueKind::Table(profiles)) = tree.get_mut("profiles").map(|profiles| &mut profiles.kind) else { return };
    for profile in profiles.values_mut() {
        for (path, list) in [
            (&["webhook", "secrets"][..], true),
            (&["llm", "api_key"][..], false),
            (&["history", "cxone", "client_id"][..], false),
            (&["history", "cxone", "client_secret"][..], false),
            (&["history", "cxone_digital", "access_key_id"][..], false),
            (&["history", "cxone_digital", "access_key_secret"][..], false),
        ] {
            assume_one(profile, path, list);
        }
    }
}

fn assume_one(section: &mut Value, path: &[&str], list: bool) {
    let (ValueKind::Table(table), [key, rest @ ..]) = (&mut section.kind, path) else { return };
    if !rest.is_empty() {
        if let Some(inner) = table.get_mut(*key) {
            assume_one(inner, rest, list);
        }
        return;
    }
    let given = table.contains_key(&format!("{key}_file"))
        || table.get(*key).is_some_and(|value| match &value.kind {
            ValueKind::Array(values) => !values.is_empty(),
            ValueKind::Nil => false,
            _ => true,
        });
    if !given {
        let value = Value::from(ASSUMED);
        let value = if list { Value::from(vec![value]) } else { value };
        table.insert((*key).to_owned(), value);
    }
}

/// Forgets every path of a missing file, and a section that is made of such.
fn without_missing_files(table: &mut Map<String, Value>) {
    let missing = |key: &String, value: &Value| match &value.kind {
        ValueKind::String(path) => key.ends_with("_file") && !std::path::Path::new(path).exists(),
        _ => false,
    };
    let identity = |value: &Value| match &value.kind {
        ValueKind::Table(inner) => {
            inner.contains_key("key_file") && inner.iter().any(|(key, value)| missing(key, value))
        }
        _ => false,
    };
    let dropped = |key: &String, value: &Value| missing(key, value) || (key == "tls" && identity(value));
    table.retain(|key, value| !dropped(key, value));
    for value in table.values_mut() {
        if let ValueKind::Table(inner) = &mut value.kind {
            without_missing_files(inner);
        }
    }
}

fn walk(table: &mut Map<String, Value>, defaults: Option<&Map<String, Value>>, path: &str, problems: &mut Vec<String>) {
    for (key, list) in SECRETS {
        if let Some(file) = table.remove(&format!("{key}_file")) {
            // Lists have a default, which a file may replace: only a value that somebody gave is a contradiction.
            let default = defaults.and_then(|defaults| defaults.get(*key));
            let value = table.get(*key).filter(|value| Some(*value) != default);
            match read(value, key, *list, file) {
                Ok(value) => {
                    table.insert((*key).to_owned(), value);
                }
                Err(problem) => problems.push(format!("{path}{key}_file: {problem}")),
            }
        }
    }
    for (key, value) in table {
        if let ValueKind::Table(inner) = &mut value.kind {
            let defaults = match defaults.and_then(|defaults| defaults.get(key)).map(|value| &value.kind) {
                Some(ValueKind::Table(defaults)) => Some(defaults),
                _ => None,
            };
            walk(inner, defaults, &format!("{path}{key}."), problems);
        }
    }
}

fn read(value: Option<&Value>, key: &str, list: bool, file: Value) -> Result<Value, String> {
    let given = value.is_some_and(|value| match &value.kind {
        ValueKind::Array(values) => !values.is_empty(),
        ValueKind::Nil => false,
        _ => true,
    });
    if given {
        return Err(format!("{key} is set too; one of the two must go"));
    }
    let file = file.into_string().map_err(|_| "must be the path of a file".to_owned())?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    if !list {
        let text = text.strip_suffix('\n').unwrap_or(&text);
        return Ok(Value::from(text.strip_suffix('\r').unwrap_or(text)));
    }
    Ok(Value::from(text.lines().map(Value::from).collect::<Vec<_>>()))
}
