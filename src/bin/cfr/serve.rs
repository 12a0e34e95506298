//! `cfr serve`: everything in one process.

use std::{path::PathBuf, process::ExitCode};

use cognigy_fallback_router::{
    app,
    config::{Role, Sources},
};

pub(crate) fn run(config: Option<PathBuf>) -> ExitCode {
    app::main(Role::Serve, &Sources::of_process(config))
}
