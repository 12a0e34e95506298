//! Secrets from files: `KEY_file` beside every key that holds one.

use config::{Map, Value, ValueKind};

/// Keys that hold secrets. The lists among them become lists of the one secret in the file, one line each.
const SECRETS: &[(&str, bool)] = &[
    ("secrets", true),
    ("client_id", false),
    ("client_secret", false),
    ("access_key_id", false),
    ("access_key_secret", false),
    ("api_key", false),
    ("token", false),
    ("password", false),
    ("urls", true),
];

/// Replaces every `KEY_file` by what stands in that file.
pub(super) fn resolve(tree: &mut Map<String, Value>, problems: &mut Vec<String>) {
    walk(tree, "", problems);
}

fn walk(table: &mut Map<String, Value>, path: &str, problems: &mut Vec<String>) {
    for (key, list) in SECRETS {
        if let Some(file) = table.remove(&format!("{key}_file")) {
            match read(table, key, *list, file) {
                Ok(value) => {
                    table.insert((*key).to_owned(), value);
                }
                Err(problem) => problems.push(format!("{path}{key}_file: {problem}")),
            }
        }
    }
    for (key, value) in table {
        if let ValueKind::Table(inner) = &mut value.kind {
            walk(inner, &format!("{path}{key}."), problems);
        }
    }
}

fn read(table: &Map<String, Value>, key: &str, list: bool, file: Value) -> Result<Value, String> {
    // Lists have a default, which a file may replace: only a value that somebody gave is a contradiction. Defaults of
    // secrets are empty lists, but for the broker's URL.
    let given = table.get(key).is_some_and(|value| match &value.kind {
        ValueKind::Array(values) => !values.is_empty() && key != "urls",
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
