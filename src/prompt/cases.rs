//! Test cases of a template set: a trigger, a model's answer to it, and what came of it. `cfr check-config` replays them,
//! so that an edited template, schema or list of intents cannot quietly change what worked.

use std::{fs, io::Write as _, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The folder of a set that holds its cases.
pub const FOLDER: &str = "cases";

/// Most cases of a set.
const MOST: usize = 1_000;

/// Largest file of a case, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A test case. Its texts are redacted, as a model would see them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The profile that it was made with, and is replayed with.
    pub profile: String,
    /// The body of a request.
    pub trigger: Value,
    /// What a model answered.
    pub answer: String,
    /// What that answer became.
    pub expected: Expected,
}

/// What an answer became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expected {
    /// A decision.
    Decision {
        /// Its intent.
        classified_intent: String,
        /// Whether a human has to take over.
        requires_human_agent: bool,
    },
    /// None: the short code of what was wrong with it.
    Invalid(String),
}

/// Reads the cases in a folder, by the name of their files. A folder that is not there holds none.
///
/// # Errors
/// A sentence that names the file.
pub fn read(folder: &Path) -> Result<Vec<(String, Case)>, String> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.len() > MOST {
        return Err(unreadable(folder, &format!("holds more than {MOST} cases")));
    }
    let case = |path: &std::path::PathBuf| {
        let size = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
        if size > MAX_BYTES {
            return Err(unreadable(path, &"larger than 1 MiB"));
        }
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, serde_json::from_str(&text).map_err(|error| unreadable(path, &error))?))
    };
    paths.iter().map(case).collect()
}

/// True for what may be the name of a case: 1 to 64 small letters, digits and dashes.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

impl Case {
    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        // Made of types that serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Writes it as `NAME.json` into a folder, which is made if missing. No case is ever overwritten.
    ///
    /// # Errors
    /// A sentence, for an unfit name, a name that is taken, or a folder that cannot be written.
    pub fn save(&self, folder: &Path, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err("a name has 1 to 64 small letters, digits and dashes".to_owned());
        }
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let path = folder.join(format!("{name}.json"));
        let written = fs::File::create_new(&path).and_then(|mut file| file.write_all(self.text().as_bytes()));
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => format!("there is a case \"{name}\" already"),
            _ => format!("{}: {error}", path.display()),
        })
    }
}

// It holds customer text.
impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("profile", &self.profile).finish_non_exhaustive()
    }
}
