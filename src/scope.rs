//! Scopes, `METHOD:host/path`: what a token is good for.

mod list;
mod method;
mod parse;
mod place;
mod reduce;
mod set;
mod text;

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::Error;

pub use list::ScopeList;
pub(crate) use list::{Entries, ScopeEntries, documented_scope_entries, read_scope_entries};
pub use method::ScopeMethod;
pub use set::ScopeSet;
use text::{Host, Text, Wild, WildHost};

/// An endpoint that a token can be good for: a method, a host and a path, as in `GET:imprese.openapi.it/base`.
///
/// `root` stands for the path `/`. Parsing puts the method in upper case and the host in lower case, and keeps the path as it is.
///
/// ```
/// use gettone::{ScopeMethod, Scope};
///
/// let scope: Scope = "get:Imprese.openapi.it/IT-full".parse()?;
/// assert_eq!(scope.to_string(), "GET:imprese.openapi.it/IT-full");
/// assert_eq!((scope.method(), scope.host(), scope.path()), (ScopeMethod::Get, "imprese.openapi.it", "IT-full"));
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Text);

/// A scope in which `*` may stand for all methods, all hosts or all endpoints, as in `*:comparabili.openapi.it/*`.
///
/// The vendor documents `*` as the method, `*` as the host, `*.` before the rest of a host, and `/*` as the path. A scope without
/// a wildcard is a pattern too.
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
///     "invalid scope \"GET:imprese.openapi.it/IT-*\" at byte 26 ('*'): `*` cannot stand for part of a path; write `/*` for all endpoints"
/// );
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopePattern(Text);

impl Scope {
    /// Parses a scope. Unlike [`from_str`](Self::from_str), it does not explain what is wrong with other text.
    #[inline]
    fn read(text: &str) -> Option<Self> {
        parse::parse(text, parse::Wildcards::Refused).ok().map(Self)
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> ScopeMethod {
        // Text that was parsed without wildcards has a method.
        self.0.method.unwrap_or(ScopeMethod::Get)
    }

    /// Returns the host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str()
    }

    /// Returns the path, without its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path_str()
    }

    /// Returns the scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl ScopePattern {
    /// Returns `*:*/*`, which covers every scope.
    ///
    /// ```
    /// use gettone::ScopePattern;
    ///
    /// assert_eq!(ScopePattern::everything().to_string(), "*:*/*");
    /// ```
    #[must_use]
    pub fn everything() -> Self {
        Self(Text { text: "*:*/*".into(), method: None, host: 2, path: 4, wild: Wild::of("*", "*", "*") })
    }

    /// Returns the pattern for all methods and endpoints of a host, `imprese.openapi.it`, or of all hosts below a domain,
    /// `*.openapi.it`.
    ///
    /// ```
    /// use gettone::{ScopeMethod, ScopePattern};
    ///
    /// let domain = ScopePattern::domain("imprese.openapi.it")?;
    /// assert_eq!(domain.to_string(), "*:imprese.openapi.it/*");
    /// assert_eq!(domain.with_method(ScopeMethod::Get).endpoint("base")?.to_string(), "GET:imprese.openapi.it/base");
    /// # Ok::<(), gettone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): `host` is not a host alone; it is a URL, for example, or has a port.
    pub fn domain(host: &str) -> Result<Self, Error> {
        parse::check_host(host).map_err(|flaw| flaw.into_error("host", host))?;
        format!("*:{host}/*").parse()
    }

    /// Returns this pattern for one method only.
    ///
    /// ```
    /// use gettone::{ScopeMethod, ScopePattern};
    ///
    /// let pattern = ScopePattern::domain("*.openapi.it")?.with_method(ScopeMethod::Get);
    /// assert_eq!(pattern.to_string(), "GET:*.openapi.it/*");
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn with_method(self, method: ScopeMethod) -> Self {
        let rest = self.0.text.split_once(':').map_or("*/*", |(_, rest)| rest);
        // A pattern with another method is still a pattern.
        format!("{method}:{rest}").parse().unwrap_or(self)
    }

    /// Returns this pattern for one endpoint and everything below it. The leading slash of the path may be left out.
    ///
    /// ```
    /// use gettone::ScopePattern;
    ///
    /// let pattern = ScopePattern::domain("imprese.openapi.it")?.endpoint("/IT-full")?;
    /// assert_eq!(pattern.to_string(), "*:imprese.openapi.it/IT-full");
    /// # Ok::<(), gettone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): `path` is not a path; it is empty, for example, or has a query.
    pub fn endpoint(self, path: &str) -> Result<Self, Error> {
        let path = path.strip_prefix('/').unwrap_or(path);
        parse::check_path(path).map_err(|flaw| flaw.into_error("path", path))?;
        format!("{}/{path}", self.0.text.split_once('/').map_or("*:*", |(before, _)| before)).parse()
    }

    /// Returns the method, or `None` for `*`.
    #[must_use]
    pub fn method(&self) -> Option<ScopeMethod> {
        self.0.method
    }

    /// Returns the host: `imprese.openapi.it`, `*.openapi.it` or `*`.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str()
    }

    /// Returns the path without its leading slash, or `*`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path_str()
    }

    /// Returns the pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns whether the pattern has a `*`. A pattern without one still covers everything below its path.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.wild.any()
    }

    /// Returns whether the pattern stands for the scope.
    ///
    /// | pattern | covers |
    /// |---|---|
    /// | `GET:h.it/a` | `GET:h.it/a` and everything below it, `GET:h.it/a/b`, but not `GET:h.it/ab` |
    /// | `*:h.it/a` | the same with every method |
    /// | `GET:h.it/*` | every path |
    /// | `GET:*.h.it/a` | every host with one or more labels before `.h.it`, but not `h.it` itself |
    /// | `GET:*/a` | every host |
    ///
    /// The vendor documents `*.` for one label; that it stands for several too is an assumption. That a path covers everything
    /// below it follows from the vendor's description of a scope, "METHOD:host/path-prefix".
    ///
    /// ```
    /// use gettone::ScopePattern;
    ///
    /// let pattern: ScopePattern = "GET:*.openapi.it/base".parse()?;
    /// assert!(pattern.covers(&"GET:imprese.openapi.it/base/12345670124".parse()?));
    /// assert!(!pattern.covers(&"GET:openapi.it/base".parse()?));
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        self.0.includes(&scope.0)
    }

    /// Returns whether this pattern covers every scope that the other covers.
    ///
    /// ```
    /// use gettone::{ScopeMethod, ScopePattern};
    ///
    /// let all = ScopePattern::domain("imprese.openapi.it")?;
    /// let get = all.clone().with_method(ScopeMethod::Get);
    /// assert!(all.includes(&get) && !get.includes(&all));
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.0.includes(&other.0)
    }

    /// Returns whether this pattern is the other, or has a wildcard that stands for it. Unlike for [`includes`](Self::includes),
    /// a path does not stand for what lies below it.
    pub(crate) fn names(&self, other: &Self) -> bool {
        self.includes(other) && (self.0.wild.path || self.path() == other.path())
    }

    /// Returns whether the pattern has this host, or has a domain, as in `*.openapi.it`, that the host is below.
    pub(crate) fn names_host(&self, host: &str) -> bool {
        self.0.wild.host != WildHost::Any && self.0.host().includes(Host::Exact(host))
    }

    /// Returns whether there can be a scope that both patterns cover.
    ///
    /// ```
    /// use gettone::ScopePattern;
    ///
    /// let get: ScopePattern = "GET:imprese.openapi.it/*".parse()?;
    /// let base: ScopePattern = "*:imprese.openapi.it/base".parse()?;
    /// assert!(get.intersects(&base) && !get.includes(&base) && !base.includes(&get));
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.0.intersects(&other.0)
    }

    /// Returns the scopes of a catalog that the pattern covers, in the catalog's order and without duplicates.
    ///
    /// ```
    /// use gettone::{Scope, ScopePattern};
    ///
    /// let catalog: Vec<Scope> = vec!["GET:imprese.openapi.it/base".parse()?, "GET:sms.openapi.com/root".parse()?];
    /// let domain = ScopePattern::domain("imprese.openapi.it")?;
    /// let covered: Vec<Scope> = domain.expand(&catalog).collect();
    /// assert_eq!(covered, catalog[..1]);
    /// # Ok::<(), gettone::Error>(())
    /// ```
    pub fn expand<'a>(&self, catalog: impl IntoIterator<Item = &'a Scope>) -> impl Iterator<Item = Scope> {
        once_each(catalog.into_iter().filter(|scope| self.covers(scope))).cloned()
    }
}

impl From<Scope> for ScopePattern {
    /// Converts a scope into the pattern that covers it and everything below its path.
    fn from(scope: Scope) -> Self {
        Self(scope.0)
    }
}

impl TryFrom<ScopePattern> for Scope {
    type Error = Error;

    /// Converts a pattern without wildcards into a scope.
    ///
    /// ```
    /// use gettone::{Scope, ScopePattern};
    ///
    /// let pattern: ScopePattern = "GET:imprese.openapi.it/base".parse()?;
    /// assert_eq!(Scope::try_from(pattern)?.path(), "base");
    /// assert!(Scope::try_from(ScopePattern::everything()).is_err());
    /// # Ok::<(), gettone::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the pattern has a wildcard.
    fn try_from(pattern: ScopePattern) -> Result<Self, Error> {
        if pattern.has_wildcard() { pattern.as_str().parse() } else { Ok(Self(pattern.0)) }
    }
}

/// Drops duplicates and keeps the order.
fn once_each<'a>(scopes: impl IntoIterator<Item = &'a Scope>) -> impl Iterator<Item = &'a Scope> {
    let mut seen = HashSet::new();
    scopes.into_iter().filter(move |scope| seen.insert(*scope))
}

/// Deserializes a text and parses it without a copy.
fn read_text<'de, D: Deserializer<'de>, T: FromStr<Err = Error>>(deserializer: D) -> Result<T, D::Error> {
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err = Error>> de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a scope, as in \"GET:imprese.openapi.it/base\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(PhantomData))
}

/// Quotes text for an error, and shortens it if it is long.
fn quote(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Implements what [`Scope`] and [`ScopePattern`] have in common.
macro_rules! text_type {
    ($type:ident, $wildcards:expr) => {
        impl FromStr for $type {
            type Err = Error;

            /// Parses `METHOD:host/path`.
            ///
            /// # Errors
            ///
            /// - [`is_invalid_input`](Error::is_invalid_input): the text has another form. The message says what is wrong, at which
            ///   byte, and what to write instead.
            fn from_str(text: &str) -> Result<Self, Error> {
                parse::parse(text, $wildcards).map(Self).map_err(|flaw| flaw.into_error("scope", text))
            }
        }

        impl TryFrom<&str> for $type {
            type Error = Error;

            /// Parses `METHOD:host/path`.
            ///
            /// # Errors
            ///
            /// Those of [`from_str`](Self::from_str).
            fn try_from(text: &str) -> Result<Self, Error> {
                text.parse()
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
                read_text(deserializer)
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
