//! An index of the broad keys: those whose tokens may serve other keys.
//!
//! The source files each broad key under some places, and names for each part of a wanted key the places of all keys that
//! may serve the part. A key that serves all parts also serves the part with the fewest candidates, so the search looks at
//! those alone.

use std::collections::HashMap;

/// If more keys than this may serve the same part, the search returns the newest. This bounds its cost.
const MAX_CANDIDATES: usize = 64;

/// With this few candidates, the search looks at no further part.
const SHORT_LIST: usize = 4;

pub(super) struct Lenders<K> {
    /// In the order in which they were added.
    keys: Vec<K>,
    /// For each place, the positions of its keys in `keys`, sorted.
    by_place: HashMap<u64, Vec<usize>>,
}

impl<K> Default for Lenders<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), by_place: HashMap::new() }
    }
}

impl<K> Lenders<K> {
    pub(super) fn add(&mut self, key: K, places: impl IntoIterator<Item = u64>) {
        let number = self.keys.len();
        self.keys.push(key);
        for place in places {
            let numbers = self.by_place.entry(place).or_default();
            if numbers.last() != Some(&number) {
                numbers.push(number);
            }
        }
    }

    /// Returns the keys that may serve all parts, the oldest first. Some of them may not.
    pub(super) fn candidates(&self, parts: impl Iterator<Item = Vec<u64>>) -> impl Iterator<Item = &K> {
        let mut fewest: Option<(usize, Vec<&[usize]>)> = None;
        for places in parts {
            let lists: Vec<&[usize]> =
                places.iter().filter_map(|place| self.by_place.get(place)).map(Vec::as_slice).collect();
            let count = lists.iter().map(|list| list.len()).sum();
            if fewest.as_ref().is_none_or(|(few, _)| count < *few) {
                fewest = Some((count, lists));
            }
            if count <= SHORT_LIST {
                break;
            }
        }
        let lists = fewest.map(|(_, lists)| lists).unwrap_or_default();
        let newest = lists.into_iter().flat_map(|list| list.iter().rev().take(MAX_CANDIDATES));
        let mut numbers: Vec<usize> = newest.copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let spare = numbers.len().saturating_sub(MAX_CANDIDATES);
        numbers.into_iter().skip(spare).filter_map(|number| self.keys.get(number))
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let mut next = 0;
        let mut number_of = |key: &K| {
            let number = keep(key).then_some(next);
            next += usize::from(number.is_some());
            number
        };
        // The new position of each key, or `None` if it is dropped.
        let numbers: Vec<Option<usize>> = self.keys.iter().map(&mut number_of).collect();
        let mut is_kept = numbers.iter().map(Option::is_some);
        self.keys.retain(|_| is_kept.next().unwrap_or_default());
        self.by_place.retain(|_, list| {
            *list = list.iter().filter_map(|number| numbers.get(*number).copied().flatten()).collect();
            !list.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    type Parts = Vec<Vec<u64>>;

    fn candidates(lenders: &Lenders<usize>, parts: &Parts) -> Vec<usize> {
        lenders.candidates(parts.iter().cloned()).copied().collect()
    }

    #[test]
    fn a_key_that_serves_all_parts_is_found_even_after_others_are_dropped() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut lenders = Lenders::default();
            let mut known: Vec<(usize, BTreeSet<u64>)> = Vec::new();
            for number in 0..rng.usize(..60) {
                if rng.u8(..20) == 0 {
                    let keep = |number: &usize| !number.is_multiple_of(3);
                    lenders.retain(keep);
                    known.retain(|(number, _)| keep(number));
                }
                let places: Vec<u64> = (0..rng.usize(1..5)).map(|_| rng.u64(..12)).collect();
                lenders.add(number, places.iter().copied());
                known.push((number, places.into_iter().collect()));
            }
            let parts: Parts =
                (0..rng.usize(1..4)).map(|_| (0..rng.usize(1..4)).map(|_| rng.u64(..12)).collect()).collect();
            let found = candidates(&lenders, &parts);
            let serves =
                |places: &BTreeSet<u64>| parts.iter().all(|part| part.iter().any(|place| places.contains(place)));
            let expected: Vec<usize> =
                known.iter().filter(|(_, places)| serves(places)).map(|(number, _)| *number).collect();
            assert!(expected.iter().all(|number| found.contains(number)), "{parts:?}: {expected:?}, found {found:?}");
            assert!(found.is_sorted() && found.len() <= MAX_CANDIDATES, "{found:?}");
            assert!(found.iter().collect::<BTreeSet<_>>().len() == found.len(), "each once: {found:?}");
        }
    }

    #[test]
    fn the_search_is_bounded_however_many_keys_there_are() {
        const KEYS: usize = 50_000;
        let mut lenders = Lenders::default();
        for number in 0..KEYS {
            // One place of its own, one that all keys share, and one that every fiftieth shares.
            let place = u64::try_from(number).unwrap();
            lenders.add(number, [100 + place, 1, 2 + place % 50]);
        }
        assert_eq!(candidates(&lenders, &vec![vec![1], vec![100 + 7]]), [7]);
        assert_eq!(candidates(&lenders, &vec![vec![1, 3], vec![9_999_999]]), [0_usize; 0]);
        // If all keys share the place, the newest are returned.
        let all = candidates(&lenders, &vec![vec![1]]);
        assert_eq!(all, (KEYS - MAX_CANDIDATES..KEYS).collect::<Vec<_>>());
        assert_eq!(candidates(&lenders, &vec![vec![1, 2, 3]]), all);
        lenders.retain(|number| *number < 10);
        assert_eq!(candidates(&lenders, &vec![vec![1]]), (0..10).collect::<Vec<_>>());
        assert_eq!((lenders.keys.len(), lenders.by_place.len()), (10, 21));
        assert_eq!(candidates(&lenders, &vec![]), [0_usize; 0]);
    }
}
