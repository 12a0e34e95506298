//! The image is built from what the Dockerfile copies and nothing else, so that has to be everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use super::read;
use crate::house;

/// Much longer than cargo takes to read a manifest.
const AMPLE: Duration = Duration::from_secs(60);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the stage `build` copies from the repository.
fn copied() -> Vec<String> {
    let dockerfile = read("Dockerfile");
    let build = dockerfile.split("\nFROM ").nth(1).unwrap();
    assert!(build.lines().next().unwrap().ends_with(" AS build"));
    let copies = build.lines().filter_map(|line| line.strip_prefix("COPY "));
    let mut sources = Vec::new();
    for copy in copies {
        let mut words: Vec<_> = copy.split(' ').map(str::to_owned).collect();
        words.pop().expect("where to");
        sources.extend(words);
    }
    assert!(sources.len() > 4, "{sources:?}");
    sources
}

/// What cargo says of the package in a folder.
async fn package(folder: &Path) -> Value {
    let arguments = ["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"];
    let run = Command::new(env!("CARGO")).args(arguments).current_dir(folder).kill_on_drop(true).output();
    let output = timeout(AMPLE, run).await.expect("cargo reads a manifest in no time").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["packages"][0].take()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The targets in a folder: what they are, their names, and their files within it.
async fn targets(folder: &Path) -> BTreeSet<(String, String, String)> {
    let package = package(folder).await;
    let folder = format!("{}/", fs::canonicalize(folder).unwrap().display());
    let inside = |path: &Value| text(path).strip_prefix(&folder).unwrap().to_owned();
    let targets = package["targets"].as_array().unwrap().iter();
    targets.map(|one| (text(&one["kind"][0]), text(&one["name"]), inside(&one["src_path"]))).collect()
}

/// Builds of the tests switch a crate's features on for the program, too: without them it may not even compile.
#[tokio::test]
async fn the_program_needs_no_feature_that_only_the_tests_switch_on() {
    let package = package(root()).await;
    let mut features: BTreeMap<String, [BTreeSet<String>; 2]> = BTreeMap::new();
    let (mut ours, mut both) = (BTreeSet::new(), BTreeSet::new());
    for dependency in package["dependencies"].as_array().unwrap() {
        let (name, tests) = (text(&dependency["name"]), dependency["kind"] == "dev");
        if !tests {
            ours.insert(name.clone());
        }
        let wanted = dependency["features"].as_array().unwrap().iter().map(text);
        features.entry(name).or_default()[usize::from(tests)].extend(wanted);
    }
    for (name, [normal, tests]) in features.iter().filter(|(name, _)| ours.contains(*name)) {
        both.extend(tests.difference(normal).map(|feature| format!("{name}/{feature}")));
    }
    // Paused clocks and signals to other processes are for tests alone, and nothing of the program names them.
    assert_eq!(both, BTreeSet::from(["nix/signal", "tokio/test-util"].map(str::to_owned)));
}

#[tokio::test]
async fn the_image_is_built_from_every_target_of_the_package() {
    let context = TempDir::new().unwrap();
    for name in copied() {
        assert!(root().join(&name).exists(), "{name}");
        symlink(root().join(&name), context.path().join(&name)).unwrap();
    }
    let (here, there) = (targets(root()).await, targets(context.path()).await);
    let missing: Vec<_> = here.difference(&there).collect();
    assert!(missing.is_empty() && there.is_subset(&here), "the Dockerfile does not copy {missing:#?}");
    assert!(here.len() > 7, "{here:?}");
}

/// `.dockerignore` keeps everything from the builder but what it names, and of that what git ignores.
#[test]
fn what_the_dockerfile_copies_reaches_the_builder() {
    let ignore = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let (given, kept): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with('!'));
    let given: BTreeSet<_> = given.into_iter().map(|line| line[1..].to_owned()).collect();
    assert_eq!(given, copied().into_iter().collect());
    let ignored = fs::read_to_string(root().join("tests/fuzz/.gitignore")).unwrap();
    let ignored: BTreeSet<_> = ignored.lines().map(|line| format!("tests/fuzz{line}")).collect();
    for kept in kept {
        assert!(ignored.contains(kept), "{kept} is part of the repository");
    }
}

/// The path without its `..`, as the compiler resolves it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{}", path.display()),
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn what_the_program_includes_is_copied_too() {
    let copied = copied();
    let (mut included, mut missing) = (0, Vec::new());
    for (_, path, text) in house::sources() {
        let code = house::code(&text);
        for file in ["include_str!(\"", "include_bytes!(\""].iter().flat_map(|start| code.split(start).skip(1)) {
            let file = Path::new("src").join(&path).parent().unwrap().join(file.split('"').next().unwrap());
            let file = plain(&file);
            included += 1;
            if !copied.iter().any(|name| file.starts_with(name)) {
                missing.push(file);
            }
        }
    }
    assert!(missing.is_empty() && included > 10, "{included}: {missing:?}");
}
