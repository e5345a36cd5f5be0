//! Sets of patterns, and how to query them.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{Host, Path};
use super::{Scope, ScopeMethod, ScopePattern};
use crate::error::Error;

/// A set of [`ScopePattern`]s: what to request a token for, or what a token is good for. Sorted by host, without duplicates.
///
/// A set looks its members up, so that the cost of [`covers`](Self::covers) and [`includes`](Self::includes) hardly grows with
/// its size. Cloning a set is cheap.
///
/// As text, the patterns are separated by spaces (RFC 6749, section 3.3). With serde, a set is written as an array, and read from
/// an array or such a text.
///
/// ```
/// use gettone::{Scope, ScopePattern, ScopeSet};
///
/// let set = ScopeSet::parse(["GET:imprese.openapi.it/base", "*:comparabili.openapi.it/*"])?;
/// assert_eq!("*:comparabili.openapi.it/* GET:imprese.openapi.it/base".parse::<ScopeSet>()?, set);
/// assert!(set.covers(&"POST:comparabili.openapi.it/root".parse()?));
///
/// let scope: Scope = "GET:imprese.openapi.it/base".parse()?;
/// let domain = ScopePattern::domain("comparabili.openapi.it")?;
/// assert_eq!([scope.into(), domain].into_iter().collect::<ScopeSet>(), set);
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "schemars",
    derive(schemars::JsonSchema),
    schemars(inline, with = "Vec<ScopePattern>", description = "A set of scope patterns.")
)]
pub struct ScopeSet(Arc<[ScopePattern]>, Hashed);

/// The hash of the patterns. It is computed once, because the cache looks a set up for each request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hashed(u64);

impl ScopeSet {
    /// Takes patterns that are sorted and distinct.
    fn sorted(patterns: Arc<[ScopePattern]>) -> Self {
        let mut hasher = DefaultHasher::new();
        patterns.hash(&mut hasher);
        Self(patterns, Hashed(hasher.finish()))
    }

    /// Parses each text as a pattern.
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
    /// - [`is_invalid_input`](Error::is_invalid_input): one of the texts is not a pattern. The message is about the first of them.
    pub fn parse<I>(patterns: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        patterns.into_iter().map(|pattern| pattern.as_ref().parse::<ScopePattern>()).collect()
    }

    /// Iterates over the patterns, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ScopePattern> {
        self.0.iter()
    }

    /// Returns the number of patterns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the set has no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether exactly this pattern is a member. For patterns that a member stands for, see [`includes`](Self::includes).
    #[must_use]
    pub fn contains(&self, pattern: &ScopePattern) -> bool {
        self.0.binary_search(pattern).is_ok()
    }

    /// Returns whether a member covers the scope.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        if self.len() <= FEW {
            self.iter().any(|member| member.covers(scope))
        } else {
            self.narrowest_covering(scope).is_some()
        }
    }

    /// Returns the member that covers the scope: if several do, one that includes none of the others.
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

    /// Returns whether this set covers every scope that the patterns cover. Pass a `&ScopeSet`, or `[&pattern]` for a single one.
    ///
    /// This is about all scopes that can exist, not only those of a catalog. The members count together: five patterns with one
    /// method each include the one with `*`.
    ///
    /// ```
    /// use gettone::{ScopeMethod, ScopePattern, ScopeSet};
    ///
    /// let domain = ScopePattern::domain("imprese.openapi.it")?;
    /// let methods: ScopeSet = ScopeMethod::ALL.iter().map(|method| domain.clone().with_method(*method)).collect();
    /// assert!(methods.includes([&domain]) && !methods.contains(&domain));
    /// # Ok::<(), gettone::Error>(())
    /// ```
    pub fn includes<'a>(&self, patterns: impl IntoIterator<Item = &'a ScopePattern>) -> bool {
        patterns.into_iter().all(|pattern| self.includes_one(pattern))
    }

    /// Returns whether this set includes a pattern. A member has all hosts and paths of the pattern, or it does not help. Only
    /// methods can be put together from several members.
    fn includes_one(&self, pattern: &ScopePattern) -> bool {
        let mut missing = methods(pattern.0.method);
        let mut above = self.above(pattern.0.host(), pattern.0.path());
        above.any(|member| {
            missing &= !methods(member.0.method);
            missing == 0
        })
    }

    /// Returns whether there can be a scope that both this set and one of the patterns cover. Compares each member with each
    /// pattern.
    ///
    /// ```
    /// use gettone::{ScopePattern, ScopeSet};
    ///
    /// let granted = ScopeSet::parse(["GET:imprese.openapi.it/base", "GET:sms.openapi.com/*"])?;
    /// assert!(granted.intersects([&ScopePattern::domain("imprese.openapi.it")?]));
    /// assert!(!granted.intersects([&ScopePattern::domain("visure.openapi.it")?]));
    /// # Ok::<(), gettone::Error>(())
    /// ```
    pub fn intersects<'a>(&self, patterns: impl IntoIterator<Item = &'a ScopePattern>) -> bool {
        patterns.into_iter().any(|pattern| self.iter().any(|member| member.intersects(pattern)))
    }

    /// Returns the members whose host and path include these, from the narrowest to the widest.
    fn above<'s, 'q>(&'s self, host: Host<'q>, path: Path<'q>) -> impl Iterator<Item = &'s ScopePattern> + use<'s, 'q> {
        host.up().flat_map(move |host| {
            // The set is sorted by host, then by path.
            let members = run(&self.0, move |member| member.0.host().cmp(&host));
            let paths = if members.is_empty() { None } else { Some(path.up()) };
            paths.into_iter().flatten().flat_map(move |path| run(members, move |member| member.0.path().cmp(&path)))
        })
    }

    /// Returns whether each of the patterns is a member, or a member has a wildcard that stands for it. Unlike for
    /// [`includes`](Self::includes), a path does not stand for what lies below it: the service may have a scope for each.
    pub(crate) fn names<'a>(&self, patterns: impl IntoIterator<Item = &'a ScopePattern>) -> bool {
        let named =
            |pattern: &ScopePattern| self.above(pattern.0.host(), pattern.0.path()).any(|member| member.names(pattern));
        patterns.into_iter().all(named)
    }

    /// Returns the set without the wildcards that another member stands for.
    pub(crate) fn without_named_wildcards(&self) -> Self {
        self.without(|pattern, member| pattern.has_wildcard() && member.names(pattern))
    }

    /// Returns the set without the patterns for which `is_needless` is true with another member above them.
    pub(super) fn without(&self, is_needless: impl Fn(&ScopePattern, &ScopePattern) -> bool) -> Self {
        let is_kept = |pattern: &&ScopePattern| {
            let mut above = self.above(pattern.0.host(), pattern.0.path());
            !above.any(|member| member != *pattern && is_needless(pattern, member))
        };
        self.iter().filter(is_kept).cloned().collect()
    }

    /// Returns the scopes of a catalog that this set covers, in the catalog's order and without duplicates.
    ///
    /// ```
    /// use gettone::{Scope, ScopeSet};
    ///
    /// let catalog: Vec<Scope> = vec!["GET:imprese.openapi.it/base".parse()?, "GET:sms.openapi.com/root".parse()?];
    /// let set = ScopeSet::parse(["*:*.openapi.it/*", "GET:imprese.openapi.it/*"])?;
    /// assert!(set.expand(&catalog).eq(catalog[..1].iter().cloned()));
    /// # Ok::<(), gettone::Error>(())
    /// ```
    pub fn expand<'a>(&self, catalog: impl IntoIterator<Item = &'a Scope>) -> impl Iterator<Item = Scope> {
        super::once_each(catalog.into_iter().filter(|scope| self.covers(scope))).cloned()
    }

    /// Returns the members of this set that are missing from a grant: those that the grant does not include.
    ///
    /// The service expands the wildcards of a request and grants concrete scopes. A member with a wildcard therefore counts as
    /// granted if the grant has any scope that it covers. For an exact answer, [`expand`](Self::expand) the set with the
    /// account's catalog first.
    ///
    /// ```
    /// use gettone::{Scope, ScopeSet};
    ///
    /// let requested = ScopeSet::parse(["GET:imprese.openapi.it/base", "*:comparabili.openapi.it/*", "GET:sms.openapi.com/*"])?;
    /// let granted = ScopeSet::parse(["GET:imprese.openapi.it/base", "GET:comparabili.openapi.it/root"])?;
    /// assert_eq!(requested.missing_from(&granted), ScopeSet::parse(["GET:sms.openapi.com/*"])?);
    ///
    /// let catalog: Vec<Scope> =
    ///     vec!["GET:comparabili.openapi.it/root".parse()?, "POST:comparabili.openapi.it/root".parse()?];
    /// let expanded: ScopeSet = requested.expand(&catalog).collect();
    /// assert_eq!(expanded.missing_from(&granted), ScopeSet::parse(["POST:comparabili.openapi.it/root"])?);
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn missing_from(&self, granted: &Self) -> Self {
        let is_missing = |member: &&ScopePattern| {
            let expanded = || member.has_wildcard() && granted.iter().any(|grant| member.includes(grant));
            !granted.includes_one(member) && !expanded()
        };
        self.iter().filter(is_missing).cloned().collect()
    }
}

/// Up to this many members, comparing with each is faster than a lookup.
const FEW: usize = 32;

/// Returns the part of a sorted slice that compares as equal.
fn run<T>(sorted: &[T], compare: impl Fn(&T) -> std::cmp::Ordering) -> &[T] {
    let start = sorted.partition_point(|item| compare(item).is_lt());
    let rest = sorted.get(start..).unwrap_or_default();
    rest.get(..rest.partition_point(|item| compare(item).is_eq())).unwrap_or_default()
}

/// Returns a bit for each method that a pattern covers.
fn methods(method: Option<ScopeMethod>) -> u8 {
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

    /// Parses patterns with white space between them.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse).
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
