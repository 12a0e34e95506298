//! `cfr completions`: a script with which a shell completes the verbs and options of `cfr`.

use clap_complete::Shell;

use crate::say;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The shell that shall read it.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, mut command: clap::Command) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "cfr", &mut script);
    say(String::from_utf8_lossy(&script).trim_end());
}
