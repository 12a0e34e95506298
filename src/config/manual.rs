//! What describes the settings, made from the types that read them: a JSON Schema for editors and validators, and the
//! reference page.

use std::collections::BTreeMap;

use config::Map;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{Config, DEFAULTS, PROFILE_DEFAULTS, environment::SHORT_NAMES, layers::parse, secrets::SECRETS};

/// The JSON Schema (draft 2020-12) of a settings file. Everything may be left out that has a default or can come from the
/// environment; every secret may come from a file.
///
/// # Errors
/// Never in practice: the defaults are compiled in.
pub fn schema() -> Result<Value, String> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    schema["title"] = json!("Settings of the Cognigy fallback router");
    adapt(&mut schema, Some(&defaults(DEFAULTS)?));
    let profiles = &mut schema["properties"]["profiles"];
    profiles["propertyNames"] = json!({ "pattern": "^[A-Za-z0-9_-]+$" });
    adapt(&mut profiles["additionalProperties"], Some(&defaults(PROFILE_DEFAULTS)?));
    Ok(schema)
}

fn defaults(toml: &str) -> Result<Value, String> {
    let table = config::Value::from(parse(toml)? as Map<String, config::Value>);
    table.try_deserialize().map(sorted).map_err(|error| error.to_string())
}

/// The same in the order of its keys: the tables of the settings have none.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let table: BTreeMap<_, _> = table.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(table.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Makes a schema of types one of files: sections with defaults may be incomplete, unknown keys are mistakes, TOML has no
/// null, and beside each secret stands the key of its file.
fn adapt(schema: &mut Value, defaults: Option<&Value>) {
    without_null(schema);
    if let Some(inner) = schema.get_mut("items") {
        adapt(inner, None);
    }
    if let Some(inner) = schema.get_mut("additionalProperties").filter(|inner| inner.is_object()) {
        adapt(inner, None);
    }
    let Some(object) = schema.as_object_mut() else { return };
    if defaults.is_some_and(Value::is_object) && object.contains_key("properties") {
        object.remove("required");
    }
    let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (key, inner) in properties.iter_mut() {
        let default = defaults.and_then(|defaults| defaults.get(key));
        adapt(inner, default);
        if let Some(default) = default.filter(|default| !is_section(inner, default)) {
            inner["default"] = default.clone();
        }
    }
    for (key, list) in SECRETS {
        if properties.contains_key(*key) {
            let lines = if *list { ", one on each line" } else { "" };
            let description = format!("Path of a file that holds `{key}`{lines}, instead of it.");
            properties.insert(format!("{key}_file"), json!({ "type": "string", "description": description }));
        }
    }
    object.insert("additionalProperties".to_owned(), Value::Bool(false));
}

/// A section's defaults stand at its keys. Compiled-in broker credentials are the broker's own, and no secret.
fn is_section(schema: &Value, default: &Value) -> bool {
    default.is_object() && schema.get("properties").is_some()
}

fn without_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

/// The reference page of all settings, in Markdown.
///
/// # Errors
/// As [`schema`].
pub fn reference() -> Result<String, String> {
    let mut page = String::from(HEAD);
    let mut schema = schema()?;
    let profile = schema["properties"]["profiles"]["additionalProperties"].take();
    sections(&mut page, &schema, &mut Vec::new());
    let mut path = vec!["profiles".to_owned(), "NAME".to_owned()];
    sections(&mut page, &profile, &mut path);
    Ok(page)
}

const HEAD: &str = "# Settings

Made by `cfr config reference` from the types that read them; do not edit. `cfr config schema` prints the same as a JSON
Schema. A file given by `--config` or `CFR_CONFIG` (TOML) lies over these defaults, and the environment over it. Durations
are written like `250ms`, `10s`, `5m`. A list in the environment is written as in TOML: `[\"a\", \"b\"]`. In the names of
variables `KEY` stands for a key of a table, `NAME` for a profile; the short names are those of the profile `default`.
";

/// One table for each section: its own keys first, then its sections.
fn sections(page: &mut String, schema: &Value, path: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let (inner, own): (Vec<_>, Vec<_>) = properties.iter().partition(|(_, value)| value.get("properties").is_some());
    if !own.is_empty() && !path.is_empty() {
        page.push_str(&format!("\n## `[{}]`\n\n", path.join(".")));
        if path.len() > 2 || path[0] != "profiles" {
            page.push_str(&optional(schema));
        }
        page.push_str("| key | environment | default | value | meaning |\n|---|---|---|---|---|\n");
        own.iter().for_each(|(key, value)| rows(page, path, key, value));
    }
    for (key, value) in inner {
        path.push(key.clone());
        sections(page, value, path);
        path.pop();
    }
}

/// What a section without defaults needs, once it is there.
fn optional(schema: &Value) -> String {
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<_> = required.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!("Off unless it is set; needs {}.\n\n", names.join(" and ")) }
}

fn rows(page: &mut String, path: &[String], key: &str, schema: &Value) {
    if path == ["profiles"] || (path.is_empty() && key == "profiles") {
        return;
    }
    let full: Vec<_> = path.iter().map(String::as_str).chain([key]).collect();
    let default = match &schema["default"] {
        Value::Null => String::new(),
        default => format!("`{}`", cell(&default.to_string())),
    };
    let meaning = cell(schema["description"].as_str().unwrap_or_default());
    page.push_str(&format!("| `{key}` | {} | {default} | {} | {meaning} |\n", named(&full, schema), value(schema)));
    // The keys of a list's or a table's entries: they have no variables of their own.
    let (entries, mark) = match (&schema["items"]["properties"], &schema["additionalProperties"]["properties"]) {
        (Value::Object(entries), _) => (entries, "[]."),
        (_, Value::Object(entries)) => (entries, ".KEY."),
        _ => return,
    };
    for (entry, schema) in entries {
        let meaning = cell(schema["description"].as_str().unwrap_or_default());
        page.push_str(&format!("| `{key}{mark}{entry}` | | | {} | {meaning} |\n", value(schema)));
    }
}

/// The variables of a key; a table has one for each of its own keys, unless those are tables again.
fn named(path: &[&str], schema: &Value) -> String {
    match &schema["additionalProperties"] {
        Value::Object(entries) if entries.get("properties").is_none() => variables(&[path, &["KEY"]].concat()),
        _ => variables(path),
    }
}

fn variables(path: &[&str]) -> String {
    let mut names = vec![format!("`CFR__{}`", path.join("__").to_uppercase())];
    let dotted = path.join(".").replacen(".NAME.", ".default.", 1);
    let is_file = |dotted: &str, target: &str| dotted == format!("{target}_file");
    for (short, target, _) in SHORT_NAMES {
        if dotted == *target {
            names.push(format!("`{short}`"));
        } else if is_file(&dotted, target) {
            names.push(format!("`{short}_FILE`"));
        }
    }
    names.join("<br>")
}

/// What may stand there: a type, or the words to choose from; the unit; whether it is a secret.
fn value(schema: &Value) -> String {
    let item = if schema["type"] == "array" { &schema["items"] } else { schema };
    let words = |list: &Value| -> Vec<String> {
        let word = |choice: &Value| choice["const"].as_str().or(choice.as_str()).map(|word| format!("`{word}`"));
        list.as_array().into_iter().flatten().filter_map(word).collect()
    };
    let choices = [words(&item["oneOf"]), words(&item["enum"])].concat();
    let kind = match item["x-unit"].as_str() {
        Some(unit) => unit.to_owned(),
        None if !choices.is_empty() => choices.join(", "),
        None => item["type"].as_str().unwrap_or("table").replace("object", "table"),
    };
    let list = if schema["type"] == "array" { "list of " } else { "" };
    let is_secret = item["x-secret"] == true || schema["additionalProperties"]["x-secret"] == true;
    format!("{list}{kind}{}", if is_secret { ", **secret**" } else { "" })
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
