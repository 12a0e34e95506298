//! The table in `RESULTS.md`.

use std::{
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use crate::{rows::seed, support::nodes::tree_of_environment};

/// When, how and on what the rows ran, and the first lines of their table.
pub(crate) fn head((began, at): (Instant, SystemTime), rows: usize) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap().strftime("%Y-%m-%d %H:%M UTC");
    let released = std::env::var_os("PROGRAMS").is_some_and(|place| place.to_string_lossy().contains("release"));
    let build = if released { "release" } else { "dev" };
    let cores = std::thread::available_parallelism().unwrap();
    format!(
        "{at}, {rows} rows in {} minutes, SEED={}, RabbitMQ {}, {build} build, {cores} cores.\n\n\
         | row | accepted | delivered | lost | duplicates | second outcomes | dead | model calls | recovery | note |\n\
         |---|---|---|---|---|---|---|---|---|---|",
        began.elapsed().as_secs() / 60,
        seed(),
        broker().unwrap_or_default(),
    )
}

/// The version of the broker, by the name of the folder it is installed in.
fn broker() -> Option<String> {
    let root = tree_of_environment().unwrap_or_else(|| PathBuf::from("/"));
    let folders = std::fs::read_dir(Path::new(&root).join("usr/lib/rabbitmq/lib")).ok()?;
    folders.flatten().find_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("rabbitmq_server-")?.to_owned()))
}
