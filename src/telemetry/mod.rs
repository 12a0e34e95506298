//! Logs (here) and traces ([`spans`]). Logs: one line each, JSON or text. What may stand in them is decided where they are written; no customer text.

pub mod names;
pub mod spans;

use std::sync::OnceLock;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// Settings of the log.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// `json` or `text`.
    pub format: Format,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as `info,cognigy_fallback_router=debug`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard error. Libraries are held at `warn` unless the level names them: at finer levels they
/// print what they send and receive, and that is customer text. lapin is silent: what fails it says to us, who tell it, and
/// at every stop it speaks of errors that are none.
///
/// # Errors
/// When the level cannot be parsed.
pub fn init(config: &Config) -> Result<(), String> {
    let level = parse_level(config)?;
    std::panic::set_hook(Box::new(|panic| {
        // Only where: the message of a panic can quote the text that caused it.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(event = "panic", place, "a part of the program panicked");
    }));
    // A second start in the same process (tests) keeps the first subscriber.
    // The format comes first: the handle knows it by its type.
    let started = match config.format {
        Format::Json => {
            let lines = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false);
            let lines = lines.with_span_list(false).with_env_filter(level).with_writer(std::io::stderr);
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            lines.try_init().map(|()| -> Set { Box::new(move |filter| drop(handle.reload(filter))) })
        }
        Format::Text => {
            let lines = tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr);
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            lines.try_init().map(|()| -> Set { Box::new(move |filter| drop(handle.reload(filter))) })
        }
    };
    if let Ok(set) = started {
        let _ = SET.set(set);
    }
    Ok(())
}

/// Changes the level of the running log.
type Set = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// There is one log in a process, and one level.
static SET: OnceLock<Set> = OnceLock::new();

/// The level in the settings.
///
/// # Errors
/// When it cannot be parsed; says what would be right.
pub fn parse_level(config: &Config) -> Result<EnvFilter, String> {
    EnvFilter::try_new(directives(&config.level))
        .map_err(|problem| format!("log.level: {problem}; a level such as \"info\" would be right"))
}

/// Gives the running log another level; without one (a command, a test) it does nothing.
pub fn set_level(level: EnvFilter) {
    if let Some(set) = SET.get() {
        set(level);
    }
}

fn directives(level: &str) -> String {
    if level.contains(['=', ',']) {
        level.to_owned()
    } else {
        format!("warn,lapin=off,cognigy_fallback_router={level}")
    }
}
