//! Expands wildcards. Version 2 documents none, so the client expands them itself, from the scopes that the account may use.

use super::page::Page;
use super::scopes::UserScope;
use crate::error::Error;
use crate::scope::{Scope, ScopePattern, ScopeSet};

/// The number of scopes that an error names for a pattern that matches nothing.
const NEAREST: usize = 3;

/// Returns the scopes of a set without wildcards. `None` if it has one.
pub(super) fn concrete(scopes: &ScopeSet) -> Option<Vec<Scope>> {
    scopes.iter().map(|pattern| Scope::try_from(pattern.clone()).ok()).collect()
}

/// Returns the scopes that patterns stand for: those without a wildcard as they are, the others as far as the account may use them.
///
/// # Errors
///
/// - [`not_granted`](Error::not_granted): a wildcard stands for no scope that the account may use. The error names the nearest ones.
pub(super) fn expand(scopes: &ScopeSet, catalog: &Page<UserScope>) -> Result<Vec<Scope>, Error> {
    let enabled = || catalog.iter().filter(|entry| entry.is_enabled()).map(UserScope::scope);
    let is_empty = |pattern: &&ScopePattern| pattern.has_wildcard() && pattern.expand(enabled()).next().is_none();
    let empty: Vec<&ScopePattern> = scopes.iter().filter(is_empty).collect();
    if !empty.is_empty() {
        let reasons: Vec<String> = empty.iter().map(|pattern| reason(pattern, catalog)).collect();
        let missing = empty.into_iter().cloned().collect();
        return Err(Error::from_missing(missing).with_message(reasons.join("; ")));
    }
    let named = scopes.iter().filter(|pattern| !pattern.has_wildcard());
    let named: ScopeSet = named.cloned().collect();
    let expanded: ScopeSet = scopes.expand(enabled()).map(ScopePattern::from).chain(named).collect();
    Ok(expanded.iter().filter_map(|pattern| Scope::try_from(pattern.clone()).ok()).collect())
}

/// Returns why a pattern stands for nothing, and which scopes are nearest.
fn reason(pattern: &ScopePattern, catalog: &Page<UserScope>) -> String {
    match catalog.iter().filter(|entry| pattern.covers(entry.scope())).count() {
        0 => {}
        1 => return format!("{pattern}: stands for 1 scope, which the account has not enabled"),
        disabled => return format!("{pattern}: stands for {disabled} scopes, of which the account has enabled none"),
    }
    let mut all: Vec<_> =
        catalog.iter().map(|entry| (distance(pattern.as_str(), entry.scope().as_str()), entry)).collect();
    all.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.scope().cmp(other.scope())));
    all.dedup_by(|(_, one), (_, other)| one.scope() == other.scope());
    let names = all.iter().take(NEAREST).map(|(_, entry)| {
        let note = if entry.is_enabled() { "" } else { " (not enabled)" };
        format!("{}{note}", entry.scope())
    });
    match names.collect::<Vec<_>>() {
        names if names.is_empty() => format!("{pattern}: the vendor lists no scopes for the account"),
        names => format!("{pattern}: stands for no scope that the vendor lists; the nearest are {}", names.join(", ")),
    }
}

/// Returns how many characters of a pattern have to change to get a scope (the Levenshtein distance). An asterisk stands for any text.
fn distance(pattern: &str, scope: &str) -> usize {
    let scope: Vec<char> = scope.chars().collect();
    let mut row: Vec<usize> = (0..=scope.len()).collect();
    for character in pattern.chars() {
        let is_any = character == '*';
        let mut above = row.first().copied().unwrap_or_default();
        let mut left = above + usize::from(!is_any);
        let mut next = vec![left];
        for (known, up) in scope.iter().zip(row.iter().skip(1)) {
            let step = usize::from(!is_any);
            let same = above + usize::from(!is_any && *known != character);
            left = same.min(left + step).min(up + step);
            next.push(left);
            above = *up;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(entries: &[(&str, bool)]) -> Page<UserScope> {
        let entry = |(scope, enabled): &(&str, bool)| format!(r#"{{"scope":"{scope}","enabled":{enabled}}}"#);
        let entries = entries.iter().map(|known| serde_json::from_str(&entry(known)).unwrap()).collect();
        Page { entries, ..Page::default() }
    }

    fn texts(scopes: &[Scope]) -> Vec<&str> {
        scopes.iter().map(Scope::as_str).collect()
    }

    #[test]
    fn a_wildcard_stands_for_the_enabled_scopes() {
        let catalog = catalog(&[
            ("GET:company.openapi.com/IT-start", true),
            ("GET:company.openapi.com/IT-advanced", false),
            ("POST:company.openapi.com/IT-start", true),
            ("GET:sms.openapi.com/root", true),
        ]);
        let expanded = |patterns: &[&str]| expand(&ScopeSet::parse(patterns).unwrap(), &catalog);
        assert_eq!(texts(&expanded(&["GET:company.openapi.com/*"]).unwrap()), ["GET:company.openapi.com/IT-start"]);
        assert_eq!(
            texts(&expanded(&["*:company.openapi.com/*", "GET:company.openapi.com/IT-advanced"]).unwrap()),
            [
                "GET:company.openapi.com/IT-advanced",
                "GET:company.openapi.com/IT-start",
                "POST:company.openapi.com/IT-start"
            ]
        );
        // A scope without a wildcard is the service's to judge.
        assert_eq!(texts(&expanded(&["GET:other.it/x"]).unwrap()), ["GET:other.it/x"]);
    }

    #[test]
    fn a_wildcard_for_nothing_is_an_error_with_the_nearest_scopes() {
        let scopes = [
            ("GET:company.openapi.com/IT-start", true),
            ("GET:companies.openapi.it/x", false),
            ("POST:sms.openapi.com/root", true),
            ("POST:pec.openapi.it/root", true),
            ("POST:pec.openapi.it/root", true),
            ("GET:visure.openapi.it/a", false),
        ];
        let error = |pattern: &str, known: &[(&str, bool)]| {
            let set = ScopeSet::parse([pattern]).unwrap();
            let error = expand(&set, &catalog(known)).unwrap_err();
            assert_eq!(error.not_granted(), Some(&set));
            error.to_string()
        };
        assert_eq!(
            error("GET:compani.openapi.com/*", &scopes),
            "GET:compani.openapi.com/*: stands for no scope that the vendor lists; the nearest are GET:company.openapi.com/IT-start, \
             GET:companies.openapi.it/x (not enabled), POST:sms.openapi.com/root"
        );
        assert_eq!(
            error("GET:visure.openapi.it/*", &scopes),
            "GET:visure.openapi.it/*: stands for 1 scope, which the account has not enabled"
        );
        assert_eq!(error("*:*/*", &[]), "*:*/*: the vendor lists no scopes for the account");
    }

    #[test]
    fn the_distance_counts_changed_characters() {
        for (pattern, scope, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "bc", 1),
            ("bc", "abc", 1),
            ("a*", "abcd", 0),
            ("*", "", 0),
        ] {
            assert_eq!(distance(pattern, scope), expected, "{pattern} {scope}");
        }
    }
}
