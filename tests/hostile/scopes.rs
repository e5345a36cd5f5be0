//! Checks any text as a scope, a pattern, a set, a list or a URL, and any set against its members one by one. The fuzz targets
//! `parse` and `match` run the same checks as the tests.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gettone::reqwest::{self, Url};
use gettone::{Scope, ScopeList, ScopeMethod, ScopePattern, ScopeSet};

/// The documented rules of covering in their simplest form: on labels and segments, without an index.
pub mod model {
    pub fn covers(pattern: &str, scope: &str) -> bool {
        let ((method, host, path), (its_method, its_host, its_path)) = (parts(pattern), parts(scope));
        let hosts = match host.split_first() {
            Some((&"*", [])) => true,
            Some((&"*", suffix)) => its_host.len() > suffix.len() && its_host.ends_with(suffix),
            _ => host == its_host,
        };
        (method == "*" || method == its_method) && hosts && (path == ["*"] || its_path.starts_with(&path))
    }

    fn parts(text: &str) -> (&str, Vec<&str>, Vec<&str>) {
        let (method, rest) = text.split_once(':').unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        (method, host.split('.').collect(), path.split('/').collect())
    }
}

/// Reads a text in every way.
pub fn read(text: &str) {
    pattern(text);
    url(text);
    if let Ok(set) = text.parse::<ScopeSet>() {
        rereads(&set);
    }
    if let Ok(serde_json::Value::Array(entries)) = serde_json::from_str(text) {
        let texts: Vec<String> = entries.iter().filter_map(|entry| entry.as_str().map(str::to_owned)).collect();
        let list: ScopeList = serde_json::from_value(entries.clone().into()).unwrap();
        assert_eq!(list.len() + list.unrecognized().len(), entries.len());
        assert!(list.iter().all(|scope| texts.iter().any(|text| text.eq_ignore_ascii_case(scope.as_str()))), "{text}");
    }
}

/// Reads a pattern, or an error that says where.
pub fn pattern(text: &str) {
    let parsed = text.parse::<ScopePattern>();
    match &parsed {
        Ok(pattern) => {
            assert_eq!(pattern.as_str().to_lowercase(), text.to_lowercase());
            assert!(text.ends_with(pattern.path()), "a path does not change");
            assert_eq!(pattern.to_string().parse::<ScopePattern>().ok().as_ref(), Some(pattern));
            assert!(pattern.includes(pattern) && ScopePattern::everything().includes(pattern));
            assert_eq!(text.parse::<Scope>().is_ok(), !pattern.has_wildcard());
        }
        Err(error) => {
            assert!(error.is_invalid_input());
            let message = error.to_string();
            // From the end, because the text itself may have anything in it.
            let place = message.rsplit_once(" at byte ").and_then(|(_, rest)| rest.split_once(" (")?.0.parse().ok());
            assert!(place.is_some_and(|place: usize| text.is_char_boundary(place)), "{message}");
        }
    }
    if let Ok(scope) = text.parse::<Scope>() {
        assert!(!scope.as_str().contains('*'));
        assert_eq!(parsed.unwrap(), scope.into());
    }
}

/// Derives a scope of one segment from any URL, or an error.
pub fn url(text: &str) {
    let Ok(url) = Url::parse(text) else { return };
    if let Ok(scope) = Scope::for_request(&reqwest::Method::GET, &url) {
        assert!(!scope.path().contains('/') && !scope.path().is_empty(), "{scope} of {url}");
        assert_eq!(scope.method(), ScopeMethod::Get);
    }
}

pub fn rereads(set: &ScopeSet) {
    assert_eq!(&set.to_string().parse::<ScopeSet>().unwrap(), set);
    assert_eq!(&serde_json::from_str::<ScopeSet>(&serde_json::to_string(set).unwrap()).unwrap(), set);
}

/// Reads the words of a text as patterns, and queries a set of one half about the other.
pub fn words(text: &str) {
    let patterns: Vec<ScopePattern> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let scopes: Vec<Scope> = patterns.iter().filter_map(|pattern| pattern.clone().try_into().ok()).collect();
    let (members, others) = patterns.split_at(patterns.len() / 2);
    let set: ScopeSet = members.iter().collect();
    rereads(&set);
    scopes.iter().for_each(|scope| covers(&set, scope));
    others.iter().for_each(|other| relates(&set, other));
    minimize(&set);
    expands(&set, &scopes);
    // `minimal_cover` tries all subsets.
    let covered: Vec<Scope> = scopes.into_iter().filter(|scope| set.covers(scope)).collect();
    if set.len() < 12 && covered.len() < 12 {
        minimal_cover(&set, &covered);
    }
}

/// Checks that a set covers what a member covers, and returns a narrowest such member.
pub fn covers(set: &ScopeSet, scope: &Scope) {
    let covering: Vec<_> = set.iter().filter(|member| model::covers(member.as_str(), scope.as_str())).collect();
    assert_eq!(set.covers(scope), !covering.is_empty(), "{set} covers {scope}");
    match set.narrowest_covering(scope) {
        None => assert!(covering.is_empty()),
        Some(member) => {
            assert!(covering.contains(&member));
            assert!(!covering.iter().any(|other| *other != member && member.includes(other)), "{member} for {scope}");
        }
    }
}

/// Checks that a set includes and intersects what a member does, and that nothing it includes is missing from it.
pub fn relates(set: &ScopeSet, other: &ScopePattern) {
    assert!(!set.iter().any(|member| member.includes(other)) || set.includes([other]), "{set} includes {other}");
    assert_eq!(set.intersects([other]), set.iter().any(|member| member.intersects(other)), "{set} intersects {other}");
    let missing = ScopeSet::from(other.clone()).missing_from(set);
    let is_granted = set.includes([other]) || other.has_wildcard() && set.iter().any(|member| other.includes(member));
    assert_eq!(missing.is_empty(), is_granted, "{other} by {set}");
}

/// Checks that minimizing keeps what is covered, and leaves no pattern that another includes.
pub fn minimize(set: &ScopeSet) -> ScopeSet {
    let minimal = ScopeSet::minimize(set.iter().cloned());
    assert!(minimal.includes(set) && set.includes(&minimal), "{minimal} of {set}");
    for a in &minimal {
        assert!(!minimal.iter().any(|b| a != b && b.includes(a)), "{minimal} is not minimal");
    }
    assert_eq!(ScopeSet::minimize(minimal.iter().cloned()), minimal);
    minimal
}

/// Checks that expanding returns the covered part of a catalogue, in order and without duplicates.
pub fn expands(set: &ScopeSet, catalogue: &[Scope]) {
    let mut expected: Vec<Scope> = Vec::new();
    for scope in catalogue {
        let covered = set.iter().any(|member| model::covers(member.as_str(), scope.as_str()));
        if covered && !expected.contains(scope) {
            expected.push(scope.clone());
        }
    }
    assert_eq!(set.expand(catalogue).collect::<Vec<_>>(), expected);
    if let (Some(only), 1) = (set.iter().next(), set.len()) {
        assert_eq!(only.expand(catalogue).collect::<Vec<_>>(), expected);
    }
}

/// Checks a cover of scopes that the set covers: it has no member too many, no member that is wider than it must be, and not many
/// more members than the smallest cover.
pub fn minimal_cover(set: &ScopeSet, scopes: &[Scope]) -> ScopeSet {
    let cover = set.minimal_cover(scopes).unwrap();
    let suffices = |cover: &ScopeSet| scopes.iter().all(|scope| cover.covers(scope));
    assert!(suffices(&cover) && cover.iter().all(|member| set.contains(member)), "{cover} of {set}");
    for member in &cover {
        let others: ScopeSet = cover.iter().filter(|other| *other != member).collect();
        assert!(!suffices(&others), "{member} can be left out of {cover}");
        for narrower in set.iter().filter(|other| *other != member && member.includes(other)) {
            let swapped: ScopeSet = others.iter().chain([narrower]).collect();
            assert!(!suffices(&swapped), "{narrower} would do for {member}");
        }
    }
    // The bound of Chvátal: 1 + 1/2 + ... + 1/n times the smallest.
    let harmonic: f64 = (1..=scopes.len()).map(|number| 1.0 / number as f64).sum();
    assert!(cover.len() as f64 <= harmonic * smallest_cover(set, scopes) as f64 + 1e-9, "{cover} of {set}");
    cover
}

/// Returns the size of the smallest cover, found by trying all subsets.
pub fn smallest_cover(set: &ScopeSet, scopes: &[Scope]) -> usize {
    let covered = |member: &ScopePattern| {
        let bits = scopes.iter().enumerate().map(|(index, scope)| u64::from(member.covers(scope)) << index);
        bits.fold(0, |all, bit| all | bit)
    };
    let members: Vec<u64> = set.iter().map(covered).filter(|bits| *bits != 0).collect();
    let union = |choice: u32| {
        members.iter().enumerate().filter(|(index, _)| choice >> index & 1 == 1).fold(0, |all, (_, bits)| all | bits)
    };
    let enough = |choice: &u32| union(*choice).count_ones() as usize == scopes.len();
    (0..1_u32 << members.len()).filter(enough).map(|choice| choice.count_ones() as usize).min().unwrap()
}
