//! The faults of `tests/faults/mutants` still fit the source, one after the other, and each has its row.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn patches() -> Vec<PathBuf> {
    let directory = std::fs::read_dir(root().join("tests/faults/mutants")).unwrap();
    let mut patches: Vec<_> = directory.map(|entry| entry.unwrap().path()).collect();
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.sort();
    patches
}

#[test]
fn every_mutant_applies_to_the_tree() {
    let scratch = TempDir::new().unwrap();
    let copied = Command::new("cp").arg("-r").arg(root().join("src")).arg(scratch.path()).status().unwrap();
    assert!(copied.success());
    for patch in patches() {
        let applied = Command::new("git").arg("apply").arg(&patch).current_dir(scratch.path()).output().unwrap();
        let why = String::from_utf8_lossy(&applied.stderr);
        let name = patch.file_name().unwrap().display();
        assert!(applied.status.success(), "{name} no longer fits the source; make it anew, in the same spirit: {why}");
    }
}

#[test]
fn every_mutant_has_a_row_that_has_to_fail() {
    let table = std::fs::read_to_string(root().join("tests/faults/mutants/table")).unwrap();
    let rows = std::fs::read_to_string(root().join("tests/faults/rows/mod.rs")).unwrap();
    let mut named = BTreeSet::from(["00-switch".to_owned()]);
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<_> = line.split('|').map(str::trim).collect();
        assert!(rows.contains(&format!("row!(\"{}\"", parts[2])), "there is no row {:?}", parts[2]);
        named.insert(parts[0].to_owned());
    }
    let patches: BTreeSet<_> = patches().iter().map(|path| path.file_stem().unwrap().display().to_string()).collect();
    assert_eq!(patches, named);
}
