//! The layers of the settings: compiled-in defaults, one file over them, the environment over that.

use config::{FileFormat, Map, Value, ValueKind};

use super::{Config, DEFAULTS, PROFILE_DEFAULTS, Sources, environment, unreadable};

/// The layers over one another, each profile over the defaults of every profile.
pub(super) fn merged(sources: &Sources, problems: &mut Vec<String>) -> Result<Map<String, Value>, String> {
    let mut layers = config::Config::builder();
    if let Some(file) = &sources.file {
        layers = layers.add_source(config::File::from(file.as_path()).format(FileFormat::Toml));
    }
    let overrides = environment::overrides(&sources.environment, problems);
    let layers = layers
        .add_source(environment::Overrides(overrides))
        .build()
        .map_err(|error| format!("the configuration file cannot be read: {}", unreadable::sentence(&error)))?;
    let given = layers.cache.into_table().map_err(|error| unreadable::sentence(&error))?;

    let mut tree = parse(DEFAULTS)?;
    let profile_defaults = parse(PROFILE_DEFAULTS)?;
    let names = given.get("profiles").and_then(|profiles| profiles.clone().into_table().ok());
    let mut profiles = Map::new();
    for name in names.iter().flat_map(Map::keys).map(String::as_str).chain(["default"]) {
        profiles.insert(name.to_owned(), Value::from(profile_defaults.clone()));
    }
    tree.insert("profiles".to_owned(), Value::from(profiles));
    overlay(&mut tree, given);
    Ok(tree)
}

pub(super) fn parse(toml: &str) -> Result<Map<String, Value>, String> {
    config::Config::builder()
        .add_source(config::File::from_str(toml, FileFormat::Toml))
        .build()
        .and_then(|built| built.cache.into_table())
        .map_err(|error| unreadable::sentence(&error))
}

/// Lays one tree over another: tables are merged, everything else is replaced.
fn overlay(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(&key).map(|old| &mut old.kind), value.kind) {
            (Some(ValueKind::Table(old)), ValueKind::Table(new)) => overlay(old, new),
            (_, kind) => {
                base.insert(key, Value::new(None, kind));
            }
        }
    }
}

/// The typed settings; names every unknown key, and the first value of the wrong type in each section.
pub(super) fn deserialised(tree: &Map<String, Value>, problems: &mut Vec<String>) -> Option<Config> {
    let root = Value::from(tree.clone());
    let mut unknown = |path: serde_ignored::Path<'_>| {
        problems.push(format!("{path}: there is no such setting; `cfr check-config --reference` lists them all"));
    };
    match serde_ignored::deserialize(root, &mut unknown) {
        Ok(config) => Some(config),
        Err(error) => {
            problems.push(unreadable::sentence(&error));
            None
        }
    }
}
