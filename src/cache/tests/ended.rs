//! Tokens that ended before they expired.

use crate::cache::ended::{CAPACITY, EndKind, Ended};

#[test]
fn the_last_thousand_ended_tokens_are_remembered() {
    let ended = Ended::new();
    for number in 0..10 * CAPACITY {
        ended.end(EndKind::Final, [number], Vec::<usize>::new, |_| None);
        let last = number.saturating_sub(CAPACITY - 1)..=number;
        assert!(last.clone().all(|number| ended.contains(&number)) || number % 97 != 0, "{last:?}");
    }
    assert!(!ended.contains(&0), "their number is bounded");
    ended.reinstate(&(10 * CAPACITY - 1), ended.last());
    assert!(!ended.contains(&(10 * CAPACITY - 1)));
}

#[test]
fn tokens_that_end_together_are_all_remembered() {
    let ended = Ended::new();
    ended.end(EndKind::Final, 0..100 * CAPACITY, || vec![1_000_000], Some);
    ended.end(EndKind::Final, [2_000_000], Vec::<usize>::new, |_| None);
    assert!((0..100 * CAPACITY).chain([1_000_000, 2_000_000]).all(|number| ended.contains(&number)));
}
