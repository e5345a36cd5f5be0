//! Making sets smaller: what is included anyway, and what is not needed.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::text::{Host, Path};
use super::{Scope, ScopePattern, ScopeSet, once_each};
use crate::error::Error;

/// How much the search of [`ScopeSet::minimal_cover`] may do before it takes the best that it has: comparisons of words of marks,
/// some tens of milliseconds.
const WORK: u64 = 10_000_000;

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
        let all: Self = patterns.into_iter().collect();
        all.iter().filter(|pattern| !all.has_other_above(pattern)).collect()
    }

    /// The smallest subset of this set that covers all of these scopes: what to ask a token for if it is to be good for them
    /// and little else. No member of it could be replaced by a narrower one of the set.
    ///
    /// Smallest means the fewest members: if one wide pattern of the set does the work of three narrow ones, it is taken. To
    /// rule that out, leave it out of the set.
    ///
    /// The choice is greedy (each time the member that covers most of what is left), and is then improved by a search. The
    /// search finds the smallest subset unless that would take longer than some tens of milliseconds; then the best that it
    /// has found is given. What goes before the search has no such limit: some thousands of patterns for as many scopes take seconds.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if the set does not cover one of the scopes, which it names.
    pub fn minimal_cover(&self, scopes: &[Scope]) -> Result<Self, Error> {
        let scopes: Vec<&Scope> = once_each(scopes).collect();
        if let Some(scope) = scopes.iter().find(|scope| !self.covers(scope)) {
            return Err(Error::invalid_input(format!("scope {scope}: no pattern of the set covers it")));
        }
        let candidates = candidates(self, &scopes);
        let mut search = Search::new(&candidates, scopes.len());
        search.improve(&mut Vec::new(), &Marks::all(scopes.len()));
        let least = narrowed(search.best, &candidates, scopes.len());
        Ok(least.into_iter().map(|candidate| candidate.pattern).collect())
    }
}

/// A member that covers some of the scopes, and which.
struct Candidate<'a> {
    pattern: &'a ScopePattern,
    covered: Marks,
}

/// Those worth choosing from, the narrower first: none does what another does as well.
fn candidates<'a>(set: &'a ScopeSet, scopes: &[&Scope]) -> Vec<Candidate<'a>> {
    let mut members: Vec<&ScopePattern> = set.iter().collect();
    members.sort_by_key(|pattern| breadth(pattern));
    let mut seen = HashSet::new();
    let mut candidates: Vec<Candidate<'a>> = Vec::new();
    for pattern in members {
        let covered = Marks::of(scopes.iter().map(|scope| pattern.covers(scope)));
        if !covered.is_empty() && seen.insert(covered.clone()) {
            candidates.push(Candidate { pattern, covered });
        }
    }
    candidates
}

/// Orders patterns so that one that includes another comes after it.
fn breadth(pattern: &ScopePattern) -> impl Ord + use<> {
    let host = match pattern.0.host() {
        Host::Exact(_) => (0, Reverse(0)),
        Host::Below(suffix) => (1, Reverse(suffix.len())),
        Host::Any => (2, Reverse(0)),
    };
    let path = match pattern.0.path() {
        Path::From(path) => (0, Reverse(path.len())),
        Path::Any => (1, Reverse(0)),
    };
    (host, path, pattern.0.method.is_none())
}

fn greedy<'c, 'a>(candidates: &'c [Candidate<'a>], scopes: usize) -> Vec<&'c Candidate<'a>> {
    let mut left = Marks::all(scopes);
    let mut chosen = Vec::new();
    while !left.is_empty() {
        // Of equals `min_by_key` takes the first, which is the narrowest.
        let Some(best) = candidates.iter().min_by_key(|candidate| Reverse(left.in_common(&candidate.covered))) else {
            break;
        };
        left = left.without(&best.covered);
        chosen.push(best);
    }
    chosen
}

/// Each of the chosen replaced by the narrowest that does what only it does, or left out if that is nothing, until there is
/// nothing to replace.
fn narrowed<'c, 'a>(
    mut chosen: Vec<&'c Candidate<'a>>,
    candidates: &'c [Candidate<'a>],
    scopes: usize,
) -> Vec<&'c Candidate<'a>> {
    loop {
        let before: Vec<_> = chosen.iter().map(|candidate| candidate.pattern).collect();
        for pattern in &before {
            let (own, others): (Vec<_>, Vec<_>) =
                chosen.into_iter().partition(|candidate| candidate.pattern == *pattern);
            let needed = others.iter().fold(Marks::all(scopes), |left, other| left.without(&other.covered));
            // They are in order of their breadth, so the first that will do is the narrowest; the chosen one will do.
            let narrowest = candidates.iter().find(|candidate| needed.without(&candidate.covered).is_empty());
            chosen = others;
            if !needed.is_empty() {
                chosen.extend(narrowest.or(own.first().copied()));
            }
        }
        // Each went to the end in its turn, so that those that stayed are in their old order again.
        if chosen.iter().map(|candidate| candidate.pattern).eq(before) {
            return chosen;
        }
    }
}

struct Search<'c, 'a> {
    candidates: &'c [Candidate<'a>],
    /// For each scope who covers it; the scopes with the fewest ways first.
    ways: Vec<(usize, Vec<&'c Candidate<'a>>)>,
    best: Vec<&'c Candidate<'a>>,
    work: u64,
    /// What one step costs.
    step: u64,
}

impl<'c, 'a> Search<'c, 'a> {
    fn new(candidates: &'c [Candidate<'a>], scopes: usize) -> Self {
        let ways = |scope| candidates.iter().filter(|candidate| candidate.covered.has(scope)).collect();
        let mut ways: Vec<(usize, Vec<_>)> = (0..scopes).map(|scope| (scope, ways(scope))).collect();
        ways.sort_by_key(|(_, ways)| ways.len());
        let step = candidates.len() * scopes.div_ceil(64) + scopes;
        let step = u64::try_from(step).unwrap_or(u64::MAX);
        Self { candidates, ways, best: greedy(candidates, scopes), work: WORK, step }
    }

    /// Tries each way to cover the scope that has the fewest ways, and goes on with what is then left.
    fn improve(&mut self, chosen: &mut Vec<&'c Candidate<'a>>, left: &Marks) {
        if left.is_empty() {
            // Only a smaller choice comes this far.
            self.best.clone_from(chosen);
            return;
        }
        let Some(work) = self.work.checked_sub(self.step) else { return };
        self.work = work;
        let most = self.candidates.iter().map(|candidate| left.in_common(&candidate.covered)).max().unwrap_or(1).max(1);
        let at_least = usize::try_from(left.count().div_ceil(most)).unwrap_or(usize::MAX);
        if chosen.len() + at_least >= self.best.len() {
            return;
        }
        let Some(hardest) = self.ways.iter().position(|(scope, _)| left.has(*scope)) else { return };
        for number in 0.. {
            let Some(candidate) = self.ways.get(hardest).and_then(|(_, ways)| ways.get(number)).copied() else {
                return;
            };
            chosen.push(candidate);
            self.improve(chosen, &left.without(&candidate.covered));
            chosen.pop();
        }
    }
}

/// A mark for each of some scopes.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Marks(Vec<u64>);

impl Marks {
    fn of(marks: impl Iterator<Item = bool>) -> Self {
        let mut words = Vec::new();
        for (index, mark) in marks.enumerate() {
            if index % 64 == 0 {
                words.push(0);
            }
            if let Some(word) = words.last_mut() {
                *word |= u64::from(mark) << (index % 64);
            }
        }
        Self(words)
    }

    fn all(count: usize) -> Self {
        Self::of((0..count).map(|_| true))
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn in_common(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a & b).count_ones()).sum()
    }

    fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & !b).collect())
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_nothing_alone_is_left_out() {
        let set = ScopeSet::parse(["GET:a.it/x", "GET:a.it/*", "GET:b.it/*", "GET:*/y"]).unwrap();
        let scopes: Vec<Scope> =
            ["GET:a.it/x", "GET:a.it/y", "GET:b.it/y"].iter().map(|scope| scope.parse().unwrap()).collect();
        let candidates = candidates(&set, &scopes.iter().collect::<Vec<_>>());
        // As a greedy choice that nobody improved may be: one too many.
        let all: Vec<_> = candidates.iter().collect();
        let least: ScopeSet =
            narrowed(all, &candidates, scopes.len()).iter().map(|candidate| candidate.pattern).collect();
        assert!(least.len() == 2 && scopes.iter().all(|scope| least.covers(scope)), "{least}");
    }
}
