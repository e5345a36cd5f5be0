//! Which scopes a token is granted.

use std::collections::HashSet;

use serde_json::Value;

use crate::scope::{Scope, ScopePattern, ScopeSet};

pub(super) struct Rules<'a> {
    pub(super) catalog: &'a [Scope],
    pub(super) is_strict: bool,
    /// If set, only scopes that it covers are granted.
    pub(super) granted: Option<&'a ScopeSet>,
}

pub(super) enum Rejected {
    Missing,
    Invalid,
}

impl Rules<'_> {
    /// Returns the requested scopes, expanded, each once.
    pub(super) fn grant(&self, requested: Option<&Value>) -> Result<Vec<Scope>, Rejected> {
        let requested =
            requested.and_then(Value::as_array).filter(|requested| !requested.is_empty()).ok_or(Rejected::Missing)?;
        let known: HashSet<&Scope> = if self.is_strict { self.catalog.iter().collect() } else { HashSet::new() };
        let (mut patterns, mut seen, mut scopes) = (HashSet::new(), HashSet::new(), Vec::new());
        for text in requested {
            let pattern: ScopePattern = text.as_str().and_then(|text| text.parse().ok()).ok_or(Rejected::Invalid)?;
            // A wildcard takes a pass through the catalog, so each is expanded once.
            if !patterns.insert(pattern.clone()) {
                continue;
            }
            let found = self.expand(pattern, &known);
            if found.is_empty() && self.is_strict {
                return Err(Rejected::Invalid);
            }
            scopes.extend(found.into_iter().filter(|scope| seen.insert(scope.clone())));
        }
        scopes.retain(|scope| self.granted.is_none_or(|granted| granted.covers(scope)));
        Ok(scopes)
    }

    /// Expands a pattern. `known` is the catalog, if the emulator is strict.
    fn expand(&self, pattern: ScopePattern, known: &HashSet<&Scope>) -> Vec<Scope> {
        if pattern.has_wildcard() {
            return self.catalog.iter().filter(|scope| pattern.covers(scope)).cloned().collect();
        }
        let scope = Scope::try_from(pattern).ok().filter(|scope| !self.is_strict || known.contains(scope));
        scope.into_iter().collect()
    }
}
