//! What ships under `deploy/` fits the program: its metrics, its permissions, its alerts' pages. `live` runs it for real.

mod alert_table;
mod documents;
mod grid;
mod image;
mod live;
mod metric_page;
mod names;
mod prometheus;
mod queries;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The path of something under `deploy/`.
fn place(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(inside)
}

fn read(inside: &str) -> String {
    let path = place(inside);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder under `deploy/` with this ending, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(place(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    files.sort();
    assert!(!files.is_empty(), "no .{ending} in {folder}");
    files
}
