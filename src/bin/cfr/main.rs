//! `cfr`: the operator's command.

mod bar;
mod bench;
mod check_config;
mod completions;
mod config;
mod console;
mod dead_letters;
mod demo;
mod doctor;
mod explain;
mod healthcheck;
mod openapi;
mod operate;
mod queues;
mod render;
mod send;
mod serve;
mod sign;
mod simulate;
mod simulated;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};
use cognigy_fallback_router::{build, config::Role};

/// Takes over from a NICE Cognigy AI bot when it does not understand a customer.
#[derive(Parser)]
#[command(name = "cfr", version = build::LONG_VERSION)]
struct Arguments {
    /// Settings over the defaults (TOML); else the file named by CFR_CONFIG.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// See it work: everything in one process, with a simulated CXone, model gateway and Cognigy.
    Demo(demo::Arguments),
    /// Run ingress and worker in one process.
    Serve,
    /// Run the ingress, as the program `ingress` does.
    Ingress,
    /// Run the worker, as the program `worker` does.
    Worker,
    /// Measure what this machine can do: an ingress and a worker of this program against simulated neighbours.
    Bench(bench::Arguments),
    /// Run only the simulated CXone, model gateway and Cognigy, for real processes to talk to.
    Simulate(simulate::Arguments),
    /// Serve the operators' page alone: how queue and workers fare, dead letters, a playground for templates.
    Console,
    /// List, show, replay or purge what waits for an operator.
    DeadLetters(dead_letters::Arguments),
    /// Tell what is wrong with a deployment: settings, queue, upstreams, clock; exit code 1 if anything fails.
    Doctor(doctor::Arguments),
    /// Tell what happened to a trigger.
    Explain(explain::Arguments),
    /// Tell what is wrong or doubtful about the settings; exit code 78 if they cannot be used.
    CheckConfig(check_config::Arguments),
    /// Make what the services need at their queue.
    Queues(queues::Arguments),
    /// Tell whether a service on this machine is ready; exit code 1 if not.
    Healthcheck(healthcheck::Arguments),
    /// Describe the settings: a reference page, a JSON Schema.
    Config(config::Arguments),
    /// Print the description of the interface (OpenAPI 3.1), as the admin listener serves it.
    Openapi,
    /// Show what the model would be asked for a trigger. Sends nothing.
    Render(render::Arguments),
    /// Sign a trigger and print the curl command that posts it.
    Sign(sign::Arguments),
    /// Sign triggers and post them.
    Send(send::Arguments),
    /// Print a completion script for a shell: `source <(cfr completions bash)`.
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    let Arguments { config: file, verb } = Arguments::parse();
    let result = match verb {
        Verb::Serve => return serve::run(file, Role::Serve),
        Verb::Ingress => return serve::run(file, Role::Ingress),
        Verb::Worker => return serve::run(file, Role::Worker),
        Verb::Simulate(arguments) => simulate::run(&arguments),
        Verb::Console => return console::run(file),
        Verb::CheckConfig(arguments) => return check_config::run(file, &arguments),
        Verb::DeadLetters(arguments) => dead_letters::run(file, &arguments),
        Verb::Doctor(arguments) => doctor::run(file, &arguments),
        Verb::Explain(arguments) => explain::run(file, &arguments),
        Verb::Config(arguments) => config::run(&arguments),
        Verb::Openapi => openapi::run(),
        Verb::Queues(arguments) => queues::run(file, &arguments),
        Verb::Healthcheck(arguments) => healthcheck::run(file, &arguments),
        Verb::Completions(arguments) => {
            completions::run(&arguments, Arguments::command());
            Ok(())
        }
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Render(arguments) => render::run(file, &arguments),
        Verb::Sign(arguments) => sign::run(&arguments),
        Verb::Send(arguments) => send::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn say_problem(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "cfr: {text}");
}
