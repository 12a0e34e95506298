//! `cfr console`: the operators' page alone, for installations whose services run elsewhere.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use cognigy_fallback_router::{
    app,
    config::{self, Config, Loaded, Role, Sources},
    operator,
    shutdown::Shutdown,
    telemetry,
};

use crate::{say, say_problem};

pub(crate) fn run(file: Option<PathBuf>) -> ExitCode {
    let Loaded { config, warnings, .. } = match config::load(&Sources::of_process(file), Role::Console) {
        Ok(loaded) => loaded,
        Err(unusable) => return ended(Err(anyhow::anyhow!("{unusable}")), app::EX_CONFIG),
    };
    if let Err(problem) = telemetry::init(&config.log) {
        return ended(Err(anyhow::Error::msg(problem)), app::EX_CONFIG);
    }
    for warning in warnings {
        tracing::warn!(event = "doubtful_setting", "{warning}");
    }
    ended(serve(&config), 1)
}

fn ended(result: anyhow::Result<()>, code: u8) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_problem(&format!("{error:#}"));
            ExitCode::from(code)
        }
    }
}

fn serve(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().context("the signal handlers cannot be installed")?;
        let queue = operator::open_queue(config).await?;
        let console = app::show(config, &queue, shutdown.drain.clone())?;
        let (address, serving) = app::serve_console(config, console, shutdown).await?;
        let scheme = if config.console.tls.is_some() { "https" } else { "http" };
        say(&format!("console   {scheme}://{address}/console"));
        serving.await;
        queue.close().await;
        Ok(())
    })
}
