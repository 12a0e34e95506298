//! Fingerprints of the settings: what changed since they were last read, without keeping a secret to compare with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use config::{Map, Value, ValueKind};
use sha2::{Digest, Sha256};

use super::{Sources, layers::merged};

/// A SHA-256.
pub type Print = [u8; 32];

/// The files of a template set.
const TEMPLATE_FILES: [&str; 4] = ["system.tera", "user.tera", "decision.schema.json", "sample.trigger.json"];

/// Files are hashed up to this many bytes; none that is read here is as large.
const MOST_BYTES: u64 = 4 << 20;

/// What settings were made from, by the parts that can be taken anew on their own.
#[derive(Clone, Debug, Default)]
pub struct Prints {
    /// Of each profile, its secrets, certificates and templates included.
    pub profiles: BTreeMap<String, Print>,
    /// Of each section that is read only at start.
    pub sections: BTreeMap<String, Print>,
    /// Of all files, from just before they were read.
    pub files: Print,
}

/// The prints of a tree, before secrets were put in the place of their files.
pub(super) fn of_tree(tree: &Map<String, Value>) -> Prints {
    let shared = shared_by_profiles(tree);
    let mut prints = Prints::default();
    for (section, value) in tree {
        match section.as_str() {
            "profiles" => {
                for (name, profile) in table(value).into_iter().flatten() {
                    let mut hash = Sha256::new();
                    hash.update(shared);
                    add(&mut hash, name, profile);
                    files_of_profile(tree, profile).iter().for_each(|file| add_file(&mut hash, file));
                    prints.profiles.insert(name.clone(), hash.finalize().into());
                }
            }
            // Taken anew with the profiles, or on its own.
            "templates" => {}
            _ => {
                let mut hash = Sha256::new();
                add(&mut hash, section, &without_level(section, value));
                prints.sections.insert(section.clone(), hash.finalize().into());
            }
        }
    }
    prints
}

/// A hash over every file that the settings are made from; it changes when one of them does, however it is replaced.
#[must_use]
pub fn files_print(sources: &Sources) -> Print {
    let mut hash = Sha256::new();
    sources.file.iter().for_each(|file| add_file(&mut hash, file));
    // A file that cannot be read as settings is hashed all the same; what it would name is not known.
    if let Ok(tree) = merged(sources, &mut Vec::new()) {
        let mut files = Vec::new();
        sorted(&tree).into_iter().for_each(|(_, value)| named_files(value, &mut files));
        for (_, profile) in tree.get("profiles").and_then(table).into_iter().flat_map(sorted) {
            files.extend(files_of_profile(&tree, profile));
        }
        files.iter().for_each(|file| add_file(&mut hash, file));
    }
    hash.finalize().into()
}

/// What a profile is made from beside its own section.
fn shared_by_profiles(tree: &Map<String, Value>) -> Print {
    let mut hash = Sha256::new();
    for (section, key) in [("templates", "directory"), ("worker", "reserve")] {
        if let Some(value) = tree.get(section).and_then(table).and_then(|section| section.get(key)) {
            add(&mut hash, key, value);
        }
    }
    hash.finalize().into()
}

/// `log.level` can change while the rest of its section cannot.
fn without_level(section: &str, value: &Value) -> Value {
    let mut value = value.clone();
    if let (true, ValueKind::Table(table)) = (section == "log", &mut value.kind) {
        table.remove("level");
    }
    value
}

fn files_of_profile(tree: &Map<String, Value>, profile: &Value) -> Vec<PathBuf> {
    let mut files = Vec::new();
    named_files(profile, &mut files);
    let text = |value: Option<&Value>| value.cloned().and_then(|value| value.into_string().ok());
    let directory = text(tree.get("templates").and_then(table).and_then(|templates| templates.get("directory")));
    let set = text(table(profile).and_then(|profile| profile.get("template")));
    if let (Some(directory), Some(set)) = (directory, set) {
        files.extend(TEMPLATE_FILES.map(|file| Path::new(&directory).join(&set).join(file)));
    }
    files
}

/// Every path under a key that ends with `_file`, in the order of the keys.
fn named_files(value: &Value, files: &mut Vec<PathBuf>) {
    for (key, value) in table(value).into_iter().flat_map(sorted) {
        match &value.kind {
            ValueKind::String(path) if key.ends_with("_file") => files.push(path.into()),
            _ => named_files(value, files),
        }
    }
}

fn table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

fn sorted(table: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// Adds a value under its key; what belongs together is preceded by its length.
fn add(hash: &mut Sha256, key: &str, value: &Value) {
    let mut piece = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    piece(key.as_bytes());
    match &value.kind {
        ValueKind::Table(table) => {
            piece(&(table.len() as u64).to_be_bytes());
            sorted(table).into_iter().for_each(|(key, value)| add(hash, key, value));
        }
        ValueKind::Array(values) => {
            piece(&(values.len() as u64).to_be_bytes());
            values.iter().for_each(|value| add(hash, "", value));
        }
        other => piece(other.to_string().as_bytes()),
    }
}

fn add_file(hash: &mut Sha256, path: &Path) {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    hash.update(path.as_os_str().as_encoded_bytes());
    hash.update([u8::from(read.is_ok())]);
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(&bytes);
    zeroize::Zeroize::zeroize(&mut bytes);
}
