//! A set answers as its members do, one by one: `cargo +nightly fuzz run match`.
#![no_main]

use gettone::{Scope, ScopePattern, ScopeSet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The words are patterns; those without a wildcard are asked for.
    let patterns: Vec<ScopePattern> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let scopes: Vec<Scope> = patterns.iter().filter_map(|pattern| pattern.clone().try_into().ok()).collect();
    let (some, others) = patterns.split_at(patterns.len() / 2);
    let set: ScopeSet = some.iter().collect();
    let minimal = ScopeSet::minimised(some.iter().cloned());
    assert!(minimal.includes(&set) && set.includes(&minimal));
    for scope in &scopes {
        let covered = some.iter().any(|pattern| pattern.covers(scope));
        assert_eq!(set.covers(scope), covered);
        assert_eq!(minimal.covers(scope), covered);
        assert_eq!(set.explain(scope).is_some_and(|pattern| pattern.covers(scope)), covered);
    }
    for other in others {
        let one = some.iter().any(|pattern| pattern.includes(other));
        assert!(!one || set.includes([other]));
        assert_eq!(set.intersects([other]), some.iter().any(|pattern| pattern.intersects(other)));
    }
    let covered: Vec<Scope> = scopes.iter().filter(|scope| set.covers(scope)).cloned().collect();
    assert_eq!(set.expand(&scopes).count(), covered.iter().collect::<std::collections::HashSet<_>>().len());
    // The search for the least is bounded, but not quick for the fuzzer's many words.
    if some.len() < 12 && covered.len() < 12 {
        let least = set.least_for(&covered).unwrap();
        assert!(covered.iter().all(|scope| least.covers(scope)));
    }
});
