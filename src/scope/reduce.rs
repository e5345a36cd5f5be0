//! Makes sets smaller: without what is included, or without what is not needed.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::{Scope, ScopePattern, ScopeSet, once_each};
use crate::error::Error;

impl ScopeSet {
    /// Returns the set of these patterns without those that another of them includes. It covers the same scopes.
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

    /// Returns a small subset of this set that covers the scopes. Request a token for it to get one that is good for these scopes
    /// and little else.
    ///
    /// No member of the subset can be left out or replaced by a narrower one of this set. One wide pattern is preferred to
    /// several narrow ones; to prevent that, leave it out of this set.
    ///
    /// The subset is the smallest that there is, unless two members overlap and neither includes the other, as `GET:host/*` and
    /// `*:host/path`. Then it has at most 1 + ln *n* times as many members as the smallest, for *n* scopes: the choice is greedy.
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
    /// - [`is_invalid_input`](Error::is_invalid_input): no member covers one of the scopes. The message names it.
    pub fn minimal_cover<'a>(&self, scopes: impl IntoIterator<Item = &'a Scope>) -> Result<Self, Error> {
        let needs: Vec<_> = once_each(scopes).map(|scope| Need { scope, ways: Cell::new(0) }).collect();
        let mut covered: BTreeMap<&ScopePattern, Vec<&Need<'_>>> = BTreeMap::new();
        for need in &needs {
            let mut members = self.covering(need.scope).peekable();
            if members.peek().is_none() {
                return Err(Error::invalid_input(format!(
                    "no pattern of the set covers the scope {}; add one, or leave the scope out",
                    need.scope
                )));
            }
            members.for_each(|member| covered.entry(member).or_default().push(need));
        }

        let chosen = greedy(&covered);
        let mut cover = Vec::new();
        for member in chosen {
            let all = &covered[member];
            let own: Vec<_> = all.iter().filter(|need| need.ways.get() == 1).collect();
            // Leaves the member out if it alone covers nothing, else replaces it by the narrowest that it includes and that is
            // enough. That may be the member itself, which `covering` returns after all that it includes.
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
    /// The number of chosen members that cover it.
    ways: Cell<usize>,
}

/// Chooses members until every scope is covered, each time the one that covers most of what is left. Of equals it takes the first
/// in the order of the set, which has concrete hosts before wildcards.
fn greedy<'p>(covered: &BTreeMap<&'p ScopePattern, Vec<&Need<'_>>>) -> Vec<&'p ScopePattern> {
    let mut chosen = Vec::new();
    let mut heap: BinaryHeap<_> = covered.iter().map(|(member, needs)| (needs.len(), Reverse(*member))).collect();
    while let Some((most, Reverse(member))) = heap.pop() {
        let needs = &covered[member];
        // The count may be out of date. Counts only fall, so that a top whose own count is right is the best.
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
