//! `ingress`: takes signed triggers and queues them.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use cognigy_fallback_router::{
    app, build,
    config::{Role, Sources},
};

/// Takes signed fallback triggers from Cognigy and queues them.
#[derive(Parser)]
#[command(version = build::LONG_VERSION)]
struct Arguments {
    /// Settings over the defaults (TOML); else the file named by CFR_CONFIG.
    #[arg(long)]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    app::main(Role::Ingress, &Sources::of_process(Arguments::parse().config))
}
