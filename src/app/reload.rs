//! Hot reload: profiles (secrets, intents, templates, models, callbacks) and the log level are read again on SIGHUP and when
//! their files change, all or nothing. What is in hand goes on with what it began with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use tokio::{signal::unix::Signal, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::parts::{count_templates, ingress_profile, worker_profile};
use crate::{
    config::{self, Config, Loaded, Prints, Role, Sources},
    ingress::{self, Ingress},
    llm::Breakers,
    metrics::Metrics,
    telemetry,
    time::EpochMs,
    worker::{self, Worker},
};

/// The running parts that take new profiles.
pub(super) struct Doors {
    pub(super) ingress: Option<Arc<Ingress>>,
    pub(super) worker: Option<Arc<Worker>>,
    /// They outlive a reload: a model that is held off stays so.
    pub(super) breakers: Breakers,
    pub(super) metrics: Arc<Metrics>,
}

/// Reads the settings again, and gives what changed to the running parts.
pub(super) struct Reloader {
    pub(super) sources: Sources,
    pub(super) role: Role,
    pub(super) doors: Doors,
    /// What the settings in use were made from.
    pub(super) prints: Mutex<Prints>,
}

/// What a reload did.
#[derive(Debug, Default)]
struct Taken {
    profiles: Vec<String>,
    removed: Vec<String>,
    /// Sections that changed but count only from the next start on.
    waiting: Vec<String>,
}

impl Reloader {
    /// Watches until the process drains. `interval` is the time between two looks at the files; zero: none.
    pub(super) async fn watch(self: Arc<Self>, mut hangup: Signal, drain: CancellationToken, interval: Duration) {
        let taken = self.prints.lock().unwrap_or_else(PoisonError::into_inner).files;
        let mut look = Look { taken: Some(taken), ..Look::default() };
        loop {
            let pause = async {
                if interval.is_zero() { std::future::pending().await } else { tokio::time::sleep(interval).await }
            };
            tokio::select! {
                () = drain.cancelled() => return,
                _ = hangup.recv() => {
                    look.taken = self.files().await;
                    self.reload("SIGHUP").await;
                }
                () = pause => {
                    if look.has_settled(self.files().await) {
                        self.reload("files").await;
                    }
                }
            }
        }
    }

    /// A hash of every file that the settings are made from.
    async fn files(&self) -> Option<[u8; 32]> {
        let sources = self.sources.clone();
        spawn_blocking(move || config::files_print(&sources)).await.ok()
    }

    /// Tries once, and says in the log and the metrics what came of it.
    async fn reload(self: &Arc<Self>, cause: &'static str) {
        let this = Arc::clone(self);
        let result = spawn_blocking(move || this.take()).await.context("reading them panicked").and_then(|taken| taken);
        let metrics = &self.doors.metrics;
        metrics.reload_successful.set(i64::from(result.is_ok()));
        match result {
            Ok(taken) => {
                note_success(metrics);
                let (changed, removed, waiting) =
                    (taken.profiles.join(","), taken.removed.join(","), taken.waiting.join(","));
                tracing::info!(
                    event = "settings_reloaded",
                    cause,
                    profiles = changed,
                    removed,
                    until_restart = waiting,
                    "the settings were read again"
                );
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(event = "reload_refused", cause, error, "the former settings stay in use");
            }
        }
    }

    /// Builds everything before it changes anything.
    fn take(&self) -> anyhow::Result<Taken> {
        let Loaded { config, warnings, prints } = config::load(&self.sources, self.role)?;
        let mut current = self.prints.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = |name: &String| prints.profiles.get(name) != current.profiles.get(name);
        let profiles: Vec<String> = config.profiles.keys().filter(|name| changed(name)).cloned().collect();
        let removed = current.profiles.keys().filter(|name| !config.profiles.contains_key(*name)).cloned().collect();
        let waiting = prints.sections.iter().filter(|(name, print)| current.sections.get(*name) != Some(print));
        let waiting = waiting.map(|(name, _)| name.clone()).collect();
        let level = telemetry::parse_level(&config.log).map_err(anyhow::Error::msg)?;
        let built = self.build(&config, &profiles)?;
        for warning in warnings {
            tracing::warn!(event = "doubtful_setting", "{warning}");
        }
        self.swap(&config, built);
        telemetry::set_level(level);
        *current = prints;
        Ok(Taken { profiles, removed, waiting })
    }

    fn build(&self, config: &Config, changed: &[String]) -> anyhow::Result<Built> {
        let mut built = Built::default();
        for name in changed {
            let profile = &config.profiles[name];
            if self.doors.ingress.is_some() {
                built.ingress.insert(name.clone(), Arc::new(ingress_profile(name, profile)?));
            }
            if self.doors.worker.is_some() {
                let profile = worker_profile(config, profile, &self.doors.breakers, &self.doors.metrics);
                built.worker.insert(name.clone(), Arc::new(profile.with_context(|| format!("profiles.{name}"))?));
            }
        }
        Ok(built)
    }

    fn swap(&self, config: &Config, built: Built) {
        let names: Vec<_> = config.profiles.keys().map(String::as_str).collect();
        if let Some(ingress) = &self.doors.ingress {
            ingress.replace_profiles(built.ingress, &names);
        }
        if let Some(worker) = &self.doors.worker {
            worker.replace_profiles(built.worker, &names);
            count_templates(config, &self.doors.metrics);
        }
    }
}

/// The profiles that changed, ready to be used.
#[derive(Default)]
struct Built {
    ingress: HashMap<String, Arc<ingress::Profile>>,
    worker: HashMap<String, Arc<worker::Profile>>,
}

/// Tells that the settings in use are of now.
pub(super) fn note_success(metrics: &Metrics) {
    metrics.reload_successful.set(1);
    let now = EpochMs::from(SystemTime::now()).seconds();
    metrics.reload_timestamp.set(i64::try_from(now).unwrap_or(i64::MAX));
}

/// Looks at the files, one after the other.
#[derive(Default)]
struct Look {
    /// The files that the last reload read, or tried to.
    taken: Option<[u8; 32]>,
    seen: Option<[u8; 32]>,
}

impl Look {
    /// True when the files are others than those taken, and have been the same for two looks: whoever writes several does
    /// not write them at once.
    fn has_settled(&mut self, now: Option<[u8; 32]>) -> bool {
        let settled = now.is_some() && now == self.seen && now != self.taken;
        self.seen = now;
        if settled {
            self.taken = now;
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_once_when_they_have_been_the_same_for_two_looks() {
        let print = |byte| Some([byte; 32]);
        let mut look = Look { taken: print(1), ..Look::default() };
        let looks = [1, 1, 2, 3, 3, 3, 4, 3, 3].map(|byte| look.has_settled(print(byte)));
        assert_eq!(looks, [false, false, false, false, true, false, false, false, false]);
        assert!(!look.has_settled(None));
    }
}
