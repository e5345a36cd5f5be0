//! What is granted to whoever asks for scopes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use serde_json::Value;

use super::clock::unix;
use crate::{Scope, ScopePattern, ScopeSet};

pub(super) struct Rules<'a> {
    pub(super) catalogue: &'a [Scope],
    pub(super) is_strict: bool,
    /// Nothing but what these cover is granted.
    pub(super) granted: Option<&'a ScopeSet>,
}

pub(super) enum Refused {
    Missing,
    Invalid,
}

impl Rules<'_> {
    /// The scopes asked for, expanded, each once.
    pub(super) fn grant(&self, asked: Option<&Value>) -> Result<Vec<Scope>, Refused> {
        let asked = asked.and_then(Value::as_array).filter(|asked| !asked.is_empty()).ok_or(Refused::Missing)?;
        let known: HashSet<&Scope> = if self.is_strict { self.catalogue.iter().collect() } else { HashSet::new() };
        let (mut patterns, mut seen, mut scopes) = (HashSet::new(), HashSet::new(), Vec::new());
        for text in asked {
            let pattern: ScopePattern = text.as_str().and_then(|text| text.parse().ok()).ok_or(Refused::Invalid)?;
            // Each wildcard goes through the catalogue.
            if !patterns.insert(pattern.clone()) {
                continue;
            }
            let found = self.expand(pattern, &known);
            if found.is_empty() && self.is_strict {
                return Err(Refused::Invalid);
            }
            scopes.extend(found.into_iter().filter(|scope| seen.insert(scope.clone())));
        }
        scopes.retain(|scope| self.granted.is_none_or(|granted| granted.covers(scope)));
        Ok(scopes)
    }

    /// `known`: the catalogue, if the emulator is strict.
    fn expand(&self, pattern: ScopePattern, known: &HashSet<&Scope>) -> Vec<Scope> {
        if pattern.has_wildcard() {
            return self.catalogue.iter().filter(|scope| pattern.covers(scope)).cloned().collect();
        }
        let scope = Scope::try_from(pattern).ok().filter(|scope| !self.is_strict || known.contains(scope));
        scope.into_iter().collect()
    }
}

/// 24 hexadecimal digits: the time, chance, and a number, as in the vendor's samples.
pub(super) fn token(now: SystemTime) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) & 0xff_ffff;
    format!("{:08x}{:010x}{number:06x}", unix(now) & 0xffff_ffff, fastrand::u64(..1 << 40))
}
