//! Name → addresses that may be dialled.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{EgressError, Rules};

/// Limit for one look-up: that of making a connection, which contains it.
const LOOKUP_LIMIT: Duration = Duration::from_secs(3);

/// Asks another resolver once and lets its answer through only as a whole.
pub(super) struct Guarded {
    rules: Arc<Rules>,
    names: Arc<dyn Resolve>,
}

impl Guarded {
    pub(super) fn new(rules: Arc<Rules>, names: Arc<dyn Resolve>) -> Self {
        Self { rules, names }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, lookup) = (Arc::clone(&self.rules), self.names.resolve(name));
        Box::pin(async move {
            let answers =
                tokio::time::timeout(LOOKUP_LIMIT, lookup).await.map_err(|_| EgressError::LookupTimeout)??;
            let answers: Vec<SocketAddr> = answers.collect();
            // One private answer among public ones is an attack or a mistake, and a retry would come to it in the end.
            if answers.is_empty() || !answers.iter().all(|answer| rules.permits(answer.ip())) {
                return Err(EgressError::Address.into());
            }
            Ok(Box::new(answers.into_iter()) as Addrs)
        })
    }
}

/// The operating system's resolver.
pub(super) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Port 0: the client puts in that of the URL.
            let answers: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(answers.into_iter()) as Addrs)
        })
    }
}
