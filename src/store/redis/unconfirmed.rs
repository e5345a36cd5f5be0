//! The records that fewer replicas may have than the program wants.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of versions of a record that are remembered. Only the exchanges that are in flight look for a version of theirs again, and
/// each of them writes a few: so an older one tells nobody anything, even if a failover brings it back.
const MAX_VERSIONS: usize = 64;

/// The versions of records that this store has written, or may have, and that too few replicas may have. For each key, the oldest first.
#[derive(Default)]
pub(super) struct Unconfirmed(Mutex<HashMap<String, VecDeque<String>>>);

impl Unconfirmed {
    /// Adds a version that is about to be written.
    pub(super) fn add(&self, key: &str, version: &str) {
        let mut all = self.all();
        let versions = all.entry(key.to_owned()).or_default();
        if versions.len() == MAX_VERSIONS {
            versions.pop_front();
        }
        versions.push_back(version.to_owned());
    }

    pub(super) fn contains(&self, key: &str, version: &str) -> bool {
        self.all().get(key).is_some_and(|versions| versions.iter().any(|known| known == version))
    }

    /// Removes a version that enough replicas have, or that was not written.
    pub(super) fn remove(&self, key: &str, version: &str) {
        let mut all = self.all();
        let Some(versions) = all.get_mut(key) else { return };
        versions.retain(|known| known != version);
        if versions.is_empty() {
            all.remove(key);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, VecDeque<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_versions_of_each_record_are_remembered() {
        let unconfirmed = Unconfirmed::default();
        let version = |number: usize| number.to_string();
        unconfirmed.add("other", "first");
        (0..1_000).for_each(|number| unconfirmed.add("key", &version(number)));
        let known: Vec<_> = (0..1_000).filter(|number| unconfirmed.contains("key", &version(*number))).collect();
        assert_eq!(known, (1_000 - MAX_VERSIONS..1_000).collect::<Vec<_>>());
        assert!(unconfirmed.contains("other", "first") && !unconfirmed.contains("other", "999"));
        unconfirmed.remove("key", "990");
        assert!(!unconfirmed.contains("key", "990") && unconfirmed.contains("key", "989"));
    }

    #[test]
    fn nothing_is_left_of_what_was_confirmed() {
        let unconfirmed = Unconfirmed::default();
        unconfirmed.add("key", "a");
        unconfirmed.add("key", "b");
        ["b", "unknown", "a", "a"].iter().for_each(|version| unconfirmed.remove("key", version));
        assert!(unconfirmed.all().is_empty());
    }
}
