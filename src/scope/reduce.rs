//! Makes sets smaller.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::{Scope, ScopePattern, ScopeSet, once_each};
use crate::error::Error;

impl ScopeSet {
    /// The set of these patterns without those that another of them includes. It covers the same.
    ///
    /// ```
    /// use gettone::{ScopePattern, ScopeSet};
    ///
    /// let patterns: Vec<ScopePattern> = vec!["GET:imprese.openapi.it/base".parse()?, "*:imprese.openapi.it/*".parse()?];
    /// assert_eq!(ScopeSet::minimize(patterns), ScopeSet::parse(["*:imprese.openapi.it/*"])?);
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn minimize(patterns: impl IntoIterator<Item = ScopePattern>) -> Self {
        patterns.into_iter().collect::<Self>().without(|pattern, member| member.includes(pattern))
    }

    /// Returns a small part of this set that covers these scopes. Request a token for it if you want one that is good for these scopes and
    /// little else.
    ///
    /// No member of the result can be left out, and none can be replaced by a narrower member of this set. The result has few members:
    /// one wide pattern is preferred to three narrow ones that cover the same scopes. To rule a wide pattern out, leave it out of the set.
    ///
    /// The result is the smallest possible if any two members either include one another or have no scope in common, as with
    /// `*:host/*`, `GET:host/*` and `GET:host/path`. If members overlap, as `GET:host/*` and `*:host/path` do, a smaller one may exist:
    /// the choice is greedy, and takes at most 1 + ln *n* times as many members for *n* scopes.
    ///
    /// ```
    /// use gettone::{Scope, ScopeSet};
    ///
    /// let allowed = ScopeSet::parse(["*:imprese.openapi.it/*", "GET:imprese.openapi.it/*", "GET:imprese.openapi.it/base"])?;
    /// let base: Scope = "GET:imprese.openapi.it/base".parse()?;
    /// let full: Scope = "GET:imprese.openapi.it/IT-full".parse()?;
    /// assert_eq!(allowed.minimal_cover([&base])?.to_string(), "GET:imprese.openapi.it/base");
    /// assert_eq!(allowed.minimal_cover([&base, &full])?.to_string(), "GET:imprese.openapi.it/*");
    /// # Ok::<(), gettone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input): no member of the set covers one of the scopes, which the message names.
    pub fn minimal_cover<'a>(&self, scopes: impl IntoIterator<Item = &'a Scope>) -> Result<Self, Error> {
        let needs: Vec<_> = once_each(scopes).map(|scope| Need { scope, ways: Cell::new(0) }).collect();
        let mut covered: BTreeMap<&ScopePattern, Vec<&Need<'_>>> = BTreeMap::new();
        for need in &needs {
            let mut members = self.covering(need.scope).peekable();
            if members.peek().is_none() {
                return Err(Error::invalid_input(format!("scope {}: no pattern of the set covers it", need.scope)));
            }
            members.for_each(|member| covered.entry(member).or_default().push(need));
        }

        let chosen = greedy(&covered);
        let mut cover = Vec::new();
        for member in chosen {
            let all = &covered[member];
            let own: Vec<_> = all.iter().filter(|need| need.ways.get() == 1).collect();
            // A member that covers nothing alone is left out. Any other gives way to the narrowest that it includes; `covering`
            // is in order, and has the member itself last.
            let mut narrower = own.first().into_iter().flat_map(|need| self.covering(need.scope));
            let narrowest =
                narrower.find(|other| member.includes(other) && own.iter().all(|need| other.covers(need.scope)));
            all.iter().for_each(|need| need.ways.set(need.ways.get() - 1));
            if let Some(narrowest) = narrowest {
                covered[narrowest].iter().for_each(|need| need.ways.set(need.ways.get() + 1));
                cover.push(narrowest);
            }
        }
        Ok(cover.into_iter().collect())
    }
}

/// A scope to cover.
struct Need<'a> {
    scope: &'a Scope,
    /// How many of the chosen members cover it.
    ways: Cell<usize>,
}

/// Chooses members until every scope is covered, each time one that covers most of what is left. Of equals it takes the first in the
/// order of the set, which has a written-out host before a wildcard.
fn greedy<'p>(covered: &BTreeMap<&'p ScopePattern, Vec<&Need<'_>>>) -> Vec<&'p ScopePattern> {
    let mut chosen = Vec::new();
    let mut heap: BinaryHeap<_> = covered.iter().map(|(member, needs)| (needs.len(), Reverse(*member))).collect();
    while let Some((most, Reverse(member))) = heap.pop() {
        let needs = &covered[member];
        // The count may be out of date. It only ever falls, so that the top of the heap is right as soon as its own count is.
        match needs.iter().filter(|need| need.ways.get() == 0).count() {
            0 => {}
            left if left < most => heap.push((left, Reverse(member))),
            _ => {
                needs.iter().for_each(|need| need.ways.set(need.ways.get() + 1));
                chosen.push(member);
            }
        }
    }
    chosen
}
