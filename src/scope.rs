//! What a token is good for: `METHOD:host/path`.

mod list;
mod parse;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Error;

pub use list::ScopeList;
pub(crate) use list::{ScopeEntries, read_scope_entries};

/// One endpoint: a method, a host and a path, as in `GET:imprese.openapi.it/base`. `root` stands for the path `/`.
///
/// The method is kept in upper case and the host in lower case, however they were written; the path is kept as it is.
///
/// ```
/// use gettone::Scope;
///
/// let scope: Scope = "get:Imprese.openapi.it/IT-full".parse()?;
/// assert_eq!(scope.to_string(), "GET:imprese.openapi.it/IT-full");
/// assert_eq!((scope.method(), scope.host(), scope.path()), ("GET", "imprese.openapi.it", "IT-full"));
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Text);

/// A scope in which an asterisk may stand for all methods, all hosts or all endpoints, as in `*:comparabili.openapi.it/*`.
///
/// Documented by the vendor are `*` as the method, `*` as the host, `*.` before the rest of a host, and `/*` as the path.
/// A scope without an asterisk is a pattern too.
///
/// ```
/// use gettone::ScopePattern;
///
/// let pattern: ScopePattern = "*:*.openapi.it/*".parse()?;
/// assert_eq!(pattern.to_string(), "*:*.openapi.it/*");
///
/// let error = "GET:imprese.openapi.it/IT-*".parse::<ScopePattern>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "scope \"GET:imprese.openapi.it/IT-*\", byte 26: an asterisk stands for all endpoints, not for a part of a path; \
///      expected `/*`"
/// );
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopePattern(Text);

/// A set of [`ScopePattern`]s: what to ask a token for. Sorted, without duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline, with = "Vec<ScopePattern>"))]
pub struct ScopeSet(Arc<[ScopePattern]>);

/// A scope that was parsed, with the places of its parts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Text {
    text: Arc<str>,
    host: u8,
    path: u16,
}

impl Text {
    fn method(&self) -> &str {
        self.text.get(..usize::from(self.host) - 1).unwrap_or_default()
    }

    fn host(&self) -> &str {
        self.text.get(usize::from(self.host)..usize::from(self.path) - 1).unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.text.get(usize::from(self.path)..).unwrap_or_default()
    }
}

impl Scope {
    /// The HTTP method, in upper case.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.method()
    }

    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host()
    }

    /// The path, without its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl ScopePattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl From<Scope> for ScopePattern {
    fn from(scope: Scope) -> Self {
        Self(scope.0)
    }
}

impl ScopeSet {
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
    /// The first text that is not a pattern, with what is wrong with it and where.
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
}

impl FromIterator<ScopePattern> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = ScopePattern>>(patterns: I) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_unstable();
        patterns.dedup();
        Self(patterns.into())
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().map(ScopePattern::from).collect()
    }
}

impl From<ScopePattern> for ScopeSet {
    fn from(pattern: ScopePattern) -> Self {
        Self(Arc::new([pattern]))
    }
}

impl From<Scope> for ScopeSet {
    fn from(scope: Scope) -> Self {
        ScopePattern::from(scope).into()
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a ScopePattern;
    type IntoIter = std::slice::Iter<'a, ScopePattern>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<ScopePattern>::deserialize(deserializer).map(Self::from_iter)
    }
}

/// What the two types that are a text have in common.
macro_rules! text_type {
    ($type:ident, $wildcards:expr) => {
        impl FromStr for $type {
            type Err = Error;

            /// # Errors
            ///
            /// What is wrong, the byte where it is wrong, and what was expected there.
            fn from_str(text: &str) -> Result<Self, Error> {
                parse::parse(text, $wildcards).map(Self).map_err(|flaw| flaw.into_error(text))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self.as_str())
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "schemars")]
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

text_type!(Scope, parse::Wildcards::Refused);
text_type!(ScopePattern, parse::Wildcards::Allowed);
