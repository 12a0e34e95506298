//! `cfr serve`, `cfr ingress`, `cfr worker`: the services, so that an image needs one program.

use std::{path::PathBuf, process::ExitCode};

use cognigy_fallback_router::{
    app,
    config::{Role, Sources},
};

pub(crate) fn run(config: Option<PathBuf>, role: Role) -> ExitCode {
    app::main(role, &Sources::of_process(config))
}
