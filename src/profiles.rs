//! The bots of a service by name: read at every request or delivery, replaced when the settings are read again.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// What a service knows of each profile. Whoever holds one finishes with it, whatever a reload brings.
pub struct Profiles<P>(RwLock<HashMap<String, Arc<P>>>);

impl<P> Profiles<P> {
    /// Takes the bots of the start.
    #[must_use]
    pub fn new(profiles: HashMap<String, P>) -> Self {
        Self(RwLock::new(profiles.into_iter().map(|(name, profile)| (name, Arc::new(profile))).collect()))
    }

    /// The bot of that name, as it is now.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<P>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// True when one of them meets the condition.
    pub fn any(&self, condition: impl Fn(&P) -> bool) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().any(|profile| condition(profile))
    }

    /// The names of those that meet the condition.
    pub fn names(&self, condition: impl Fn(&P) -> bool) -> Vec<String> {
        let profiles = self.0.read().unwrap_or_else(PoisonError::into_inner);
        profiles.iter().filter(|(_, profile)| condition(profile)).map(|(name, _)| name.clone()).collect()
    }

    /// Takes the bots that changed, and forgets those that are not among `names`.
    pub fn replace(&self, changed: HashMap<String, Arc<P>>, names: &[&str]) {
        let mut profiles = self.0.write().unwrap_or_else(PoisonError::into_inner);
        profiles.extend(changed);
        profiles.retain(|name, _| names.contains(&name.as_str()));
    }
}
