//! Ingress and worker as processes, and what they use.

use std::{collections::BTreeMap, net::SocketAddr, process::Stdio, time::Duration};

use anyhow::Context as _;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How long a process may take until it is ready, and how often that is asked.
const STARTING: Duration = Duration::from_secs(30);
const ASKED: Duration = Duration::from_millis(20);

/// Ticks of the kernel's process times in a second; the same on every Linux of today.
const TICKS: f64 = 100.0;

/// A running process; killed when dropped.
pub(super) struct Process {
    child: Child,
    pid: u32,
}

/// What a process has used so far; `None` where the system does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// User and system time in seconds.
    pub(super) cpu_s: Option<f64>,
    /// The most memory at any time, in MiB.
    pub(super) peak_mib: Option<f64>,
}

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holding {
    /// Resident memory in MiB.
    pub(super) rss_mib: f64,
    /// Open files and sockets.
    pub(super) files: usize,
}

impl Process {
    /// Starts this program with a verb, and waits until its admin listener says that it is ready.
    pub(super) async fn start(
        verb: &str,
        environment: &BTreeMap<String, String>,
        admin: SocketAddr,
        client: &reqwest::Client,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        // Nothing of this shell's settings may change what is measured.
        let kept = ["PATH", "HOME", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let kept: Vec<_> = kept.collect();
        let mut command = Command::new(program);
        command.arg(verb).env_clear().envs(kept).envs(environment).env("CFR__ADMIN__LISTEN", admin.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("the {verb} cannot be started"))?;
        let pid = child.id().context("it ended at once")?;
        let mut process = Self { child, pid };
        process.ready(verb, admin, client).await?;
        Ok(process)
    }

    async fn ready(&mut self, verb: &str, admin: SocketAddr, client: &reqwest::Client) -> anyhow::Result<()> {
        let (until, url) = (Instant::now() + STARTING, format!("http://{admin}/readyz"));
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("the {verb} ended with {status}");
            }
            if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(ASKED).await;
        }
        anyhow::bail!("the {verb} was not ready within {STARTING:?}")
    }

    /// Waits until something listens at an address: an ingress is ready before it does.
    pub(super) async fn listens(address: SocketAddr) -> anyhow::Result<()> {
        let until = Instant::now() + STARTING;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            anyhow::ensure!(Instant::now() < until, "nothing listened at {address} within {STARTING:?}");
            sleep(ASKED).await;
        }
        Ok(())
    }

    pub(super) fn used(&self) -> Used {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", self.pid)).ok();
        Used {
            cpu_s: read("stat").and_then(|text| cpu_s(&text)),
            peak_mib: read("status").and_then(|text| mib(&text, "VmHWM:")),
        }
    }

    /// What it holds now; `None` where the system does not tell.
    pub(super) fn holds(&self) -> Option<Holding> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count();
        Some(Holding { rss_mib: mib(&status, "VmRSS:")?, files })
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`; the name in field 2 may hold spaces and brackets.
fn cpu_s(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

fn mib(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_its_time_and_memory() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 1 2 3";
        assert_eq!(cpu_s(stat), Some(2.0));
        let status = "Name:\tcfr\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!((mib(status, "VmHWM:"), mib(status, "VmRSS:")), (Some(20.0), Some(10.0)));
        assert_eq!((cpu_s(""), mib("", "VmRSS:")), (None, None));
    }
}
