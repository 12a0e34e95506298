//! Logs: one line each, JSON or text. What may stand in them is decided where they are written; no customer text.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// Settings of the log.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// `json` or `text`.
    pub format: Format,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as `info,cognigy_fallback_router=debug`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard error. Libraries are held at `warn` unless the level names them: at finer levels they
/// print what they send and receive, and that is customer text.
///
/// # Errors
/// When the level cannot be parsed.
pub fn init(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(directives(&config.level))
        .map_err(|problem| format!("log.level: {problem}; a level such as \"info\" would be right"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    std::panic::set_hook(Box::new(|panic| {
        // Only where: the message of a panic can quote the text that caused it.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(event = "panic", place, "a part of the program panicked");
    }));
    // A second start in the same process (tests) keeps the first subscriber.
    let _ = match config.format {
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        Format::Text => lines.try_init(),
    };
    Ok(())
}

fn directives(level: &str) -> String {
    if level.contains(['=', ',']) { level.to_owned() } else { format!("warn,cognigy_fallback_router={level}") }
}
