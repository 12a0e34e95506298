//! `cfr simulate`: the simulated neighbours alone, for a stack of real processes to talk to.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use cognigy_fallback_router::{
    secret::Secret,
    shutdown::Shutdown,
    simulators::{
        ARCHIVE_KEY, CALLBACK_SECRET, CXONE_CLIENT_ID, CXONE_CLIENT_SECRET, LLM_API_KEY, ReceivedCallback, Simulators,
    },
};

use crate::say;

/// How often new callbacks are looked for.
const LOOK: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// The port of CXone.
    #[arg(long, default_value_t = 8081)]
    cxone: u16,
    /// The port of the model gateway.
    #[arg(long, default_value_t = 8082)]
    llm: u16,
    /// The port of the receiver of callbacks.
    #[arg(long, default_value_t = 8083)]
    cognigy: u16,
    /// With what callbacks are to be signed; else what `cfr demo` uses.
    #[arg(long, env = "COGNIGY_CALLBACK_SECRET", hide_env_values = true)]
    callback_secret: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(simulate(arguments))
}

async fn simulate(arguments: &Arguments) -> anyhow::Result<()> {
    let signals = Shutdown::on_signals().context("the signal handlers cannot be installed")?;
    let ports = [arguments.cxone, arguments.llm, arguments.cognigy];
    let secret = Secret::new(arguments.callback_secret.as_deref().unwrap_or(CALLBACK_SECRET));
    let addresses = ports.map(|port| SocketAddr::new(arguments.listen, port));
    let simulators = Simulators::start_on(addresses, &[secret]).await?;
    say(&format!("CXone      {}   client {CXONE_CLIENT_ID}, secret {CXONE_CLIENT_SECRET}", simulators.cxone.url()));
    say(&format!("archive    {}/archive/conversations/ID/entries   X-API-Key {ARCHIVE_KEY}", simulators.cxone.url()));
    say(&format!("model      {}   key {LLM_API_KEY}", simulators.llm.url()));
    say(&format!("callbacks  {}", simulators.cognigy.url()));
    tokio::select! {
        () = tell(&simulators) => {}
        () = signals.drain.cancelled() => {}
    }
    simulators.stop().await;
    Ok(())
}

/// One line for each callback, for ever: ids and figures only.
async fn tell(simulators: &Simulators) {
    let mut told = 0;
    loop {
        let received = simulators.cognigy.received_in_all();
        for callback in simulators.cognigy.latest(received.saturating_sub(told)) {
            say(&line(&callback));
        }
        told = received;
        tokio::time::sleep(LOOK).await;
    }
}

fn line(callback: &ReceivedCallback) -> String {
    let genuine = if callback.genuine { "" } else { "  wrong signature" };
    let outcome = callback.outcome();
    let status = outcome["status"].as_str().unwrap_or("no status");
    format!("callback   {}  {status}  answered {}{genuine}", callback.id, callback.answered)
}
