//! Sets of patterns, and what can be asked of them.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{Host, Path};
use super::{Method, Scope, ScopePattern};
use crate::error::Error;

/// A set of [`ScopePattern`]s: what to ask a token for, or what one is good for. Sorted by host, without duplicates.
///
/// A question to a set is answered by looking up what can matter, so that its cost hardly grows with the size of the set.
///
/// As text the patterns stand one after the other with a space between them (RFC 6749, section 3.3); with serde the set is an
/// array, and is also read from such a text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline, with = "Vec<ScopePattern>"))]
pub struct ScopeSet(Arc<[ScopePattern]>, Hashed);

/// The hash of the patterns, worked out once: sets are looked up for each request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hashed(u64);

impl ScopeSet {
    /// Of patterns that are in order, each once.
    fn sorted(patterns: Arc<[ScopePattern]>) -> Self {
        let mut hasher = DefaultHasher::new();
        patterns.hash(&mut hasher);
        Self(patterns, Hashed(hasher.finish()))
    }

    /// Parses each pattern.
    ///
    /// ```
    /// use gettone::ScopeSet;
    ///
    /// let set = ScopeSet::parse(["GET:imprese.openapi.it/base", "*:comparabili.openapi.it/*"])?;
    /// assert_eq!(set.len(), 2);
    /// # Ok::<(), gettone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) for the first text that is not a pattern, with what is wrong with it and where.
    pub fn parse<I>(patterns: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        patterns.into_iter().map(|pattern| pattern.as_ref().parse::<ScopePattern>()).collect()
    }

    /// The patterns, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, ScopePattern> {
        self.0.iter()
    }

    /// How many patterns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the pattern is a member, as it is.
    #[must_use]
    pub fn contains(&self, pattern: &ScopePattern) -> bool {
        self.0.binary_search(pattern).is_ok()
    }

    /// Whether a member covers the scope.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        if self.len() <= FEW {
            self.iter().any(|member| member.covers(scope))
        } else {
            self.narrowest_covering(scope).is_some()
        }
    }

    /// The member that lets a scope through. If there are several, none of the others is narrower.
    ///
    /// ```
    /// use gettone::{Scope, ScopeSet};
    ///
    /// let set = ScopeSet::parse(["*:*.openapi.it/*", "GET:imprese.openapi.it/*"])?;
    /// let scope: Scope = "GET:imprese.openapi.it/base".parse()?;
    /// assert_eq!(set.narrowest_covering(&scope).unwrap().as_str(), "GET:imprese.openapi.it/*");
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn narrowest_covering(&self, scope: &Scope) -> Option<&ScopePattern> {
        self.covering(scope).next()
    }

    /// Returns the members that cover the scope, each after those that it includes.
    pub(super) fn covering(&self, scope: &Scope) -> impl Iterator<Item = &ScopePattern> {
        let method = scope.method();
        self.above(scope.0.host(), scope.0.path())
            .filter(move |member| member.0.method.is_none_or(|known| known == method))
    }

    /// Whether all that these patterns cover is covered by this set. `&ScopeSet` is such patterns, and so is `[&pattern]`.
    ///
    /// It is a statement about all scopes that there can be, not about those of a catalogue. The members count together: five
    /// patterns with a method each include the one with `*`.
    pub fn includes<'a>(&self, patterns: impl IntoIterator<Item = &'a ScopePattern>) -> bool {
        patterns.into_iter().all(|pattern| self.includes_one(pattern))
    }

    /// The hosts of a pattern and its paths are each one thing, of which a member has all or not; only methods can be put
    /// together from several members.
    fn includes_one(&self, pattern: &ScopePattern) -> bool {
        let mut missing = methods(pattern.0.method);
        let mut above = self.above(pattern.0.host(), pattern.0.path());
        above.any(|member| {
            missing &= !methods(member.0.method);
            missing == 0
        })
    }

    /// Whether there can be a scope that both this set and one of the patterns cover. Looks at each member.
    pub fn intersects<'a>(&self, patterns: impl IntoIterator<Item = &'a ScopePattern>) -> bool {
        patterns.into_iter().any(|pattern| self.iter().any(|member| member.intersects(pattern)))
    }

    /// The members whose hosts and paths include these, from the narrowest to the widest.
    fn above<'s, 'q>(&'s self, host: Host<'q>, path: Path<'q>) -> impl Iterator<Item = &'s ScopePattern> + use<'s, 'q> {
        host.up().flat_map(move |host| {
            // The members of a host stand together, and in them those of a path.
            let members = run(&self.0, move |member| member.0.host().cmp(&host));
            let paths = if members.is_empty() { None } else { Some(path.up()) };
            paths.into_iter().flatten().flat_map(move |path| run(members, move |member| member.0.path().cmp(&path)))
        })
    }

    /// Whether each of these patterns is a member, or a member with an asterisk stands for it. Unlike for
    /// [`includes`](Self::includes), a path does not stand for what lies below it: the service may know both as scopes of their
    /// own.
    pub(crate) fn names<'a>(&self, patterns: impl IntoIterator<Item = &'a ScopePattern>) -> bool {
        let named =
            |pattern: &ScopePattern| self.above(pattern.0.host(), pattern.0.path()).any(|member| member.names(pattern));
        patterns.into_iter().all(named)
    }

    /// The set without the wildcards that another member stands for.
    pub(crate) fn without_named_wildcards(&self) -> Self {
        self.without(|pattern, member| pattern.has_wildcard() && member.names(pattern))
    }

    /// The set without the patterns that another member makes needless, which is asked with each pattern and each member above it.
    pub(super) fn without(&self, is_needless: impl Fn(&ScopePattern, &ScopePattern) -> bool) -> Self {
        let is_kept = |pattern: &&ScopePattern| {
            let mut above = self.above(pattern.0.host(), pattern.0.path());
            !above.any(|member| member != *pattern && is_needless(pattern, member))
        };
        self.iter().filter(is_kept).cloned().collect()
    }

    /// The scopes of a catalogue that this set covers, in the catalogue's order and without duplicates.
    pub fn expand<'a>(&self, catalogue: impl IntoIterator<Item = &'a Scope>) -> impl Iterator<Item = Scope> {
        super::once_each(catalogue.into_iter().filter(|scope| self.covers(scope))).cloned()
    }

    /// What a grant lacks of this set: the members that the grant does not include.
    ///
    /// A token is granted concrete scopes, to which the service expands what was asked for. So of a member with an asterisk
    /// nothing is said to lack if the grant has any scope that the member covers. With the account's catalogue at hand
    /// nothing is left open: ask what the grant lacks of the expanded set.
    ///
    /// ```
    /// use gettone::{Scope, ScopeSet};
    ///
    /// let requested = ScopeSet::parse(["GET:imprese.openapi.it/base", "*:comparabili.openapi.it/*", "GET:sms.openapi.com/*"])?;
    /// let granted = ScopeSet::parse(["GET:imprese.openapi.it/base", "GET:comparabili.openapi.it/root"])?;
    /// assert_eq!(requested.missing_from(&granted), ScopeSet::parse(["GET:sms.openapi.com/*"])?);
    ///
    /// let catalogue: Vec<Scope> =
    ///     vec!["GET:comparabili.openapi.it/root".parse()?, "POST:comparabili.openapi.it/root".parse()?];
    /// let expanded: ScopeSet = requested.expand(&catalogue).collect();
    /// assert_eq!(expanded.missing_from(&granted), ScopeSet::parse(["POST:comparabili.openapi.it/root"])?);
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn missing_from(&self, granted: &Self) -> Self {
        let lacks = |member: &&ScopePattern| {
            let expanded = || member.has_wildcard() && granted.iter().any(|grant| member.includes(grant));
            !granted.includes_one(member) && !expanded()
        };
        self.iter().filter(lacks).cloned().collect()
    }
}

/// Up to this many members, asking each is faster than a lookup.
const FEW: usize = 32;

/// The part of a sorted slice for which the comparison says "equal".
fn run<T>(sorted: &[T], compare: impl Fn(&T) -> std::cmp::Ordering) -> &[T] {
    let start = sorted.partition_point(|item| compare(item).is_lt());
    let rest = sorted.get(start..).unwrap_or_default();
    rest.get(..rest.partition_point(|item| compare(item).is_eq())).unwrap_or_default()
}

/// A bit for each method that is meant.
fn methods(method: Option<Method>) -> u8 {
    method.map_or(0b1_1111, |method| 1 << method as u8)
}

impl Hash for ScopeSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.0.hash(state);
    }
}

impl Default for ScopeSet {
    fn default() -> Self {
        Self::sorted(Arc::default())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopeSet").field(&self.0).finish()
    }
}

impl FromIterator<ScopePattern> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = ScopePattern>>(patterns: I) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_unstable();
        patterns.dedup();
        Self::sorted(patterns.into())
    }
}

impl<'a> FromIterator<&'a ScopePattern> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = &'a ScopePattern>>(patterns: I) -> Self {
        patterns.into_iter().cloned().collect()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().map(ScopePattern::from).collect()
    }
}

impl<'a> FromIterator<&'a Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = &'a Scope>>(scopes: I) -> Self {
        scopes.into_iter().cloned().collect()
    }
}

impl From<ScopePattern> for ScopeSet {
    fn from(pattern: ScopePattern) -> Self {
        Self::sorted(Arc::new([pattern]))
    }
}

impl From<Scope> for ScopeSet {
    fn from(scope: Scope) -> Self {
        ScopePattern::from(scope).into()
    }
}

impl IntoIterator for ScopeSet {
    type Item = ScopePattern;
    type IntoIter = std::vec::IntoIter<ScopePattern>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().cloned().collect::<Vec<_>>().into_iter()
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a ScopePattern;
    type IntoIter = std::slice::Iter<'a, ScopePattern>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, pattern) in self.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{pattern}")?;
        }
        Ok(())
    }
}

impl FromStr for ScopeSet {
    type Err = Error;

    /// # Errors
    ///
    /// As for [`parse`](Self::parse).
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text.split_whitespace())
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Patterns;

        impl<'de> Visitor<'de> for Patterns {
            type Value = ScopeSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of scopes, or scopes with spaces between them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ScopeSet, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ScopeSet, A::Error> {
                let mut patterns = Vec::<ScopePattern>::new();
                while let Some(pattern) = items.next_element()? {
                    patterns.push(pattern);
                }
                Ok(patterns.into_iter().collect())
            }
        }

        deserializer.deserialize_any(Patterns)
    }
}
