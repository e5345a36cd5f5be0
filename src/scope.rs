//! What a token is good for: `METHOD:host/path`.

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
pub(crate) use list::{Entries, ScopeEntries, read_scope_entries};
pub use method::Method;
pub use set::ScopeSet;
use text::{Host, Text, Wild, WildHost};

/// One endpoint: a method, a host and a path, as in `GET:imprese.openapi.it/base`. `root` stands for the path `/`.
///
/// The method is kept in upper case and the host in lower case, however they were written; the path is kept as it is.
///
/// ```
/// use gettone::{Method, Scope};
///
/// let scope: Scope = "get:Imprese.openapi.it/IT-full".parse()?;
/// assert_eq!(scope.to_string(), "GET:imprese.openapi.it/IT-full");
/// assert_eq!((scope.method(), scope.host(), scope.path()), (Method::Get, "imprese.openapi.it", "IT-full"));
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

impl Scope {
    /// The HTTP method.
    #[must_use]
    pub fn method(&self) -> Method {
        // A scope that was parsed without wildcards has one.
        self.0.method.unwrap_or(Method::Get)
    }

    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str()
    }

    /// The path, without its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path_str()
    }

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl ScopePattern {
    /// `*:*/*`: everything.
    ///
    /// ```
    /// use gettone::{Method, ScopePattern};
    ///
    /// assert_eq!(ScopePattern::everything().to_string(), "*:*/*");
    /// let domain = ScopePattern::domain("imprese.openapi.it")?;
    /// assert_eq!(domain.to_string(), "*:imprese.openapi.it/*");
    /// assert_eq!(domain.clone().with_method(Method::Get).to_string(), "GET:imprese.openapi.it/*");
    /// assert_eq!(domain.with_method(Method::Get).endpoint("base")?.to_string(), "GET:imprese.openapi.it/base");
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn everything() -> Self {
        Self(Text { text: "*:*/*".into(), method: None, host: 2, path: 4, wild: Wild::of("*", "*", "*") })
    }

    /// All methods and all endpoints of a host, or of all below a domain: `imprese.openapi.it`, `*.openapi.it`.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if it is not a host alone: a URL or a path is none.
    pub fn domain(host: &str) -> Result<Self, Error> {
        parse::check_host(host).map_err(|flaw| flaw.into_error("host", host))?;
        format!("*:{host}/*").parse()
    }

    /// The same for one method.
    #[must_use]
    pub fn with_method(self, method: Method) -> Self {
        let rest = self.0.text.split_once(':').map_or("*/*", |(_, rest)| rest);
        // A method before what was a pattern is a pattern.
        format!("{method}:{rest}").parse().unwrap_or(self)
    }

    /// The same for one endpoint, and what lies below it.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if it is not a path.
    pub fn endpoint(self, path: &str) -> Result<Self, Error> {
        let path = path.strip_prefix('/').unwrap_or(path);
        parse::check_path(path).map_err(|flaw| flaw.into_error("path", path))?;
        format!("{}/{path}", self.0.text.split_once('/').map_or("*:*", |(before, _)| before)).parse()
    }

    /// The one method; `None` for the asterisk.
    #[must_use]
    pub fn method(&self) -> Option<Method> {
        self.0.method
    }

    /// The host, or `*`, or `*.` and the rest of a host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str()
    }

    /// The path, or `*`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path_str()
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether there is an asterisk in it. Without one it still covers what lies below its path.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.wild.any()
    }

    /// Whether the pattern lets a scope through.
    ///
    /// | pattern | covers |
    /// |---|---|
    /// | `GET:h.it/a` | `GET:h.it/a` and all below it, `GET:h.it/a/b`, but not `GET:h.it/ab` |
    /// | `*:h.it/a` | the same with every method |
    /// | `GET:h.it/*` | every path |
    /// | `GET:*.h.it/a` | every host with one or more labels before `.h.it`, but not `h.it` itself |
    /// | `GET:*/a` | every host |
    ///
    /// The asterisks are as the vendor documents them, `*.` for one label; that it stands for more of them too is assumed. That a path
    /// covers what lies below it follows from the vendor's description of a scope, "METHOD:host/path-prefix".
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        self.0.includes(&scope.0)
    }

    /// Whether the pattern covers every scope that the other covers.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.0.includes(&other.0)
    }

    /// Whether the pattern is the other, or stands for it by an asterisk.
    pub(crate) fn names(&self, other: &Self) -> bool {
        self.includes(other) && (self.0.wild.path || self.path() == other.path())
    }

    /// Whether this host is written out in the pattern, or is one of those below a domain that is.
    pub(crate) fn names_host(&self, host: &str) -> bool {
        self.0.wild.host != WildHost::Any && self.0.host().includes(Host::Exact(host))
    }

    /// Whether there can be a scope that both cover.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.0.intersects(&other.0)
    }

    /// The scopes of a catalogue that the pattern covers, in the catalogue's order and without duplicates.
    ///
    /// ```
    /// use gettone::{Scope, ScopePattern};
    ///
    /// let catalogue: Vec<Scope> = vec!["GET:imprese.openapi.it/base".parse()?, "GET:sms.openapi.com/root".parse()?];
    /// let domain = ScopePattern::domain("imprese.openapi.it")?;
    /// let concrete: Vec<Scope> = domain.expand(&catalogue).collect();
    /// assert_eq!(concrete, catalogue[..1]);
    /// # Ok::<(), gettone::Error>(())
    /// ```
    pub fn expand<'a>(&self, catalogue: impl IntoIterator<Item = &'a Scope>) -> impl Iterator<Item = Scope> {
        once_each(catalogue.into_iter().filter(|scope| self.covers(scope))).cloned()
    }
}

impl From<Scope> for ScopePattern {
    fn from(scope: Scope) -> Self {
        Self(scope.0)
    }
}

impl TryFrom<ScopePattern> for Scope {
    type Error = Error;

    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if there is an asterisk in the pattern.
    fn try_from(pattern: ScopePattern) -> Result<Self, Error> {
        if pattern.has_wildcard() { pattern.as_str().parse() } else { Ok(Self(pattern.0)) }
    }
}

/// The scopes in their order, each the first time that it stands there.
fn once_each<'a>(scopes: impl IntoIterator<Item = &'a Scope>) -> impl Iterator<Item = &'a Scope> {
    let mut seen = HashSet::new();
    scopes.into_iter().filter(move |scope| seen.insert(*scope))
}

/// Reads a text and parses it, without a copy between.
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

/// Text that was not understood, for an error: quoted, and not too much of it.
fn quote(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// What the two types that are a text have in common.
macro_rules! text_type {
    ($type:ident, $wildcards:expr) => {
        impl FromStr for $type {
            type Err = Error;

            /// # Errors
            ///
            /// [`is_invalid_input`](Error::is_invalid_input), with what is wrong, the byte where it is wrong, and what was expected
            /// there.
            fn from_str(text: &str) -> Result<Self, Error> {
                parse::parse(text, $wildcards).map(Self).map_err(|flaw| flaw.into_error("scope", text))
            }
        }

        impl TryFrom<&str> for $type {
            type Error = Error;

            /// # Errors
            ///
            /// As for [`from_str`](Self::from_str).
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
