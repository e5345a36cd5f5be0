//! Logs that keep the newest entries.

use std::collections::VecDeque;

/// Far more than a test reads.
const MAX: usize = 10_000;

/// The newest [`MAX`] entries of a log.
pub(super) struct Log<T>(VecDeque<T>);

impl<T> Log<T> {
    pub(super) fn push(&mut self, entry: T) {
        if self.0.len() >= MAX {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// Iterates over the entries, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.0.iter().rev()
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_are_dropped() {
        let mut log = Log::default();
        (0..MAX + 5).for_each(|number| log.push(number));
        assert_eq!(log.newest_first().copied().collect::<Vec<_>>(), (5..MAX + 5).rev().collect::<Vec<_>>());
    }
}
