//! Where a template set comes from: a directory, or the binary itself.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{SAMPLE, SCHEMA, SYSTEM, USER};

/// The name of the set that is compiled in.
const BUILT_IN: &str = "default";

/// Largest file of a set, in bytes: far beyond any prompt, and small enough to read a wrong path without harm.
const MAX_BYTES: u64 = 1 << 20;

/// The text of the four files of a set.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) system: String,
    pub(super) user: String,
    pub(super) schema: String,
    pub(super) sample: String,
}

impl Files {
    /// `name@` and the first 12 hex digits of the SHA-256 over the files, each preceded by its length.
    pub(super) fn id(&self, name: &str) -> String {
        let mut hash = Sha256::new();
        for text in [&self.system, &self.user, &self.schema, &self.sample] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        format!("{name}@{}", hex::encode(&hash.finalize()[..6]))
    }
}

/// Reads the set `name` from `directory`, or takes the one that is compiled in.
pub(super) fn read(directory: Option<&Path>, name: &str) -> Result<Files, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err("a name has only letters, digits, \"-\" and \"_\"".to_owned());
    }
    let Some(directory) = directory else { return built_in(name) };
    let file = |file| text_of(&directory.join(name).join(file));
    Ok(Files { system: file(SYSTEM)?, user: file(USER)?, schema: file(SCHEMA)?, sample: file(SAMPLE)? })
}

fn built_in(name: &str) -> Result<Files, String> {
    if name != BUILT_IN {
        return Err(format!("only \"{BUILT_IN}\" is compiled in; another needs a template directory"));
    }
    Ok(Files {
        system: include_str!("../../templates/default/system.tera").to_owned(),
        user: include_str!("../../templates/default/user.tera").to_owned(),
        schema: include_str!("../../templates/default/decision.schema.json").to_owned(),
        sample: include_str!("../../templates/default/sample.trigger.json").to_owned(),
    })
}

fn text_of(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!("{}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(format!("{}: larger than 1 MiB", path.display()));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
