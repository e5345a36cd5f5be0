//! What the tests need to know of each service and each of its operations.
//!
//! To add a service, write a module like [`keliweb`] and a line in [`SERVICES`]. The fuzz targets include this folder through
//! `tests/hostile`, so it uses only what `fuzz/Cargo.toml` has too.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod keliweb;
pub mod laws;
pub mod openapi_v1;
pub mod openapi_v2;

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock};
use gettone::{AccessToken, Builder, Error, Retry, Scope, reqwest};

pub static SERVICES: [&Service; 3] = [&keliweb::SERVICE, &openapi_v1::SERVICE, &openapi_v2::SERVICE];

/// Lists every operation of every service.
pub fn operations() -> impl Iterator<Item = &'static Operation> + Clone {
    SERVICES.into_iter().flat_map(|service| service.operations)
}

/// Returns the operation of this name. If several services have one, the label of the service is in front: `v2 list_tokens`.
pub fn operation(name: &str) -> &'static Operation {
    let (label, bare) = name.split_once(' ').map_or((None, name), |(label, bare)| (Some(label), bare));
    let is_meant =
        |operation: &&Operation| operation.name == bare && label.is_none_or(|label| label == operation.service.label);
    let mut meant = operations().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(operation), None) => operation,
        (None, _) => panic!("no such operation: {name}"),
        (Some(one), Some(other)) => panic!("{name} may be {one} or {other}"),
    }
}

/// Returns the place of an operation among all.
pub fn place_of(operation: &Operation) -> usize {
    operations().position(|known| std::ptr::eq(known, operation)).unwrap()
}

/// A service, as the tests see it.
pub struct Service {
    /// As errors name it.
    pub name: &'static str,
    /// A word for it, without blanks.
    pub label: &'static str,
    /// The text of its spec.
    pub spec: &'static str,
    /// The secrets that its spec has as examples.
    pub example: &'static Secrets,
    /// The optional parameters that the client sends with each request that can have them.
    pub always: &'static [&'static str],
    pub operations: &'static [Operation],
    /// What a client can call beside the operations. The name of one that is an operation with an optional parameter ends in `?` and that
    /// parameter.
    pub ways: &'static [Way],
    /// An operation that leaves nothing behind at the service.
    pub harmless: &'static str,
    /// What a call returns for each response that the spec has as an example.
    pub documented: &'static [Documented],
    /// The exceptions of this service from the table of `tests/faults.rs`.
    pub exceptions: &'static [Exception],
    pub connect: Connect,
}

/// Builds a client of a service.
pub type Connect = fn(&Secrets, &Setup) -> Result<Box<dyn Client>, Error>;

/// An operation, as the tests see it.
pub struct Operation {
    pub service: &'static Service,
    /// As errors and spans name it.
    pub name: &'static str,
    /// Its `operationId` in the spec.
    pub id: &'static str,
    pub method: &'static str,
    /// As in the spec, with parameters in braces.
    pub path: &'static str,
    /// A text that only the bodies of this operation have, where others share its method and path.
    pub mark: &'static str,
    /// The example in the spec that a call of the tests sends as its body.
    pub request: Option<&'static str>,
    /// An example in the spec of a response with the status 200.
    pub success: &'static str,
    pub retry: RetrySafety,
    /// The secrets that a request holds.
    pub sends: &'static [SecretKind],
    /// The scheme of the header `Authorization`.
    pub scheme: Option<Scheme>,
    /// The status of failure that this operation returns as a success: what was asked for does not exist.
    pub absence: Option<u16>,
}

/// How a request authenticates, if a header does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// With the e-mail address and the API key.
    Basic,
    /// With the refresh token.
    Bearer,
}

impl Scheme {
    fn of(header: &str) -> Option<Self> {
        match header.split(' ').next() {
            Some("Basic") => Some(Self::Basic),
            Some("Bearer") => Some(Self::Bearer),
            _ => None,
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.service.label, self.name)
    }
}

impl Operation {
    /// Calls the operation with a client of its own.
    pub async fn call(&self, secrets: &Secrets, setup: &Setup) -> Result<Box<dyn Returned>, Error> {
        (self.service.connect)(secrets, setup)?.call(self.name, secrets).await
    }

    /// Whether a request is one of this operation. `authorization`: the value of that header.
    pub fn is_asked_by(&self, method: &str, target: &str, authorization: Option<&str>, body: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let fits = |(is, documented): (&str, &str)| is == documented || documented.starts_with('{') && !is.is_empty();
        method == self.method
            && authorization.and_then(Scheme::of) == self.scheme
            && path.split('/').count() == self.path.split('/').count()
            && path.split('/').zip(self.path.split('/')).all(fits)
            && body.contains(self.mark)
    }
}

/// When a request may be sent again: a column of the table of [`Retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetrySafety {
    /// After any failure that may pass.
    Idempotent,
    /// Unless its response was lost.
    Repeatable,
    /// Only if the service has not processed it.
    AtMostOnce,
}

impl RetrySafety {
    /// Returns the column of the table of `tests/faults.rs`.
    pub fn column(self) -> &'static str {
        match self {
            Self::Idempotent => "idempotent",
            Self::Repeatable => "repeatable",
            Self::AtMostOnce => "once",
        }
    }
}

/// A way to call a client: an operation, or a method that returns a cached token.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// What [`Client::call`] knows it by, up to a comma.
    pub name: &'static str,
    /// The column of the table of `tests/faults.rs`.
    pub column: &'static str,
    /// The operations that it asks the service for, in this order, the later ones only if an earlier one fails.
    pub operations: &'static [&'static str],
    pub held: Held,
}

/// The token that a client holds before a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Nothing,
    /// One that has expired.
    Expired,
    /// One that is valid, but is due for a refresh.
    NearItsEnd,
}

/// An operation's name or its `operationId`, the status and the name of an example, and what a call returns for it: [`Returned::text`], or
/// what the error says after its service, its operation and `HTTP`, with its predicates. A line for a name overrules one for an
/// `operationId`.
pub type Documented = (&'static str, u16, &'static str, Result<&'static str, &'static str>);

/// A fault, the name or the column of the ways that it is about, or `*` for all, the number of requests, and what the error says. An empty
/// text stands for what the table says. Later exceptions overrule earlier ones.
pub type Exception = (&'static str, &'static str, &'static str, &'static str);

/// A client of a service.
pub trait Client: fmt::Debug + Send + Sync {
    /// Calls an operation, or another of the service's ways, with these secrets and the arguments that the spec has as examples.
    fn call<'a>(&'a self, way: &'a str, secrets: &'a Secrets) -> Pending<'a, Result<Box<dyn Returned>, Error>>;

    fn wait_idle(&self) -> Pending<'_, ()>;
}

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a call returns.
pub trait Returned: fmt::Debug + Any + Send + Sync {
    /// Returns all that the value holds in one line, including what `Debug` hides.
    fn text(&self) -> String;

    /// Asserts that the value is well formed, and that it is what this body says.
    fn assert_is_in(&self, body: &[u8]);

    /// Returns the texts in it that may be printed whatever they are, such as its scopes.
    fn visible(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the value says that what was asked for does not exist.
    fn is_absence(&self) -> bool {
        false
    }
}

impl dyn Returned {
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }

    /// Returns all that can be printed of it, without what may be printed whatever it is.
    pub fn shown(&self) -> String {
        let mut visible: Vec<String> = self.visible().into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        visible.sort_by_key(|text| std::cmp::Reverse(text.len()));
        visible.into_iter().fold(format!("{self:?}\n{self:#?}"), |shown, text| {
            // A text is printed in quotes and with escapes, a scope as it is.
            shown.replace(&format!("{text:?}"), "").replace(&text, "")
        })
    }
}

fn returned<T: Returned>(result: Result<T, Error>) -> Result<Box<dyn Returned>, Error> {
    result.map(|value| Box::new(value) as _)
}

impl Returned for AccessToken {
    fn text(&self) -> String {
        self.expose().to_owned()
    }

    fn assert_is_in(&self, _: &[u8]) {
        laws::assert_sendable(self.expose());
    }
}

/// A deletion.
impl Returned for () {
    fn text(&self) -> String {
        "deleted".to_owned()
    }

    fn assert_is_in(&self, _: &[u8]) {}
}

/// The secrets of a client and of its calls.
#[derive(Debug)]
pub struct Secrets {
    pub client_secret: &'static str,
    pub password: &'static str,
    pub refresh_token: &'static str,
    pub api_key: &'static str,
    pub token: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    ClientSecret,
    Password,
    RefreshToken,
    ApiKey,
    /// The e-mail address and the API key, which a header has in base64.
    Login,
    Token,
}

impl Secrets {
    pub fn get(&self, kind: SecretKind) -> String {
        match kind {
            SecretKind::ClientSecret => self.client_secret.to_owned(),
            SecretKind::Password => self.password.to_owned(),
            SecretKind::RefreshToken => self.refresh_token.to_owned(),
            SecretKind::ApiKey => self.api_key.to_owned(),
            SecretKind::Login => format!("{EMAIL}:{}", self.api_key),
            SecretKind::Token => self.token.to_owned(),
        }
    }

    /// Returns the secrets that a request of this operation holds.
    pub fn sent(&self, operation: &Operation) -> Vec<String> {
        operation.sends.iter().map(|kind| self.get(*kind)).collect()
    }
}

/// Those of the examples in the specs.
pub const EXAMPLE: Secrets = Secrets {
    client_secret: "UhoPgAS8rnAm57J8dLXWqKDTFnwjzS30pLzE572Z",
    password: "xxxxxxx",
    refresh_token: "def50200cb918cb70defe79d45f1f2193c4c0a959fd78a5c3123e5d3f33f3b8af6b1080f6c745",
    api_key: "0123456789abcdef",
    token: "5f8041e42efdfc468b6e60ea",
};

/// Secrets that are easy to find wherever they are shown.
pub const PLANTED: Secrets = Secrets {
    client_secret: "client-secret-c1f0",
    password: "pass word/è-77aa",
    refresh_token: "refresh-token-e4c6",
    api_key: "api-key-31e8",
    token: "access/token-9b2d",
};

// What the specs have as examples and is no secret.
pub const CLIENT_ID: &str = "4a6af340-2672-11ec-8114-3ba47a898cf0";
pub const EMAIL: &str = "test@example.com";

/// How a client is set up, beside its credentials.
#[derive(Clone)]
pub struct Setup {
    pub url: String,
    pub clock: Arc<dyn Clock>,
    pub retry: Retry,
    pub http: Http,
}

#[derive(Clone)]
pub enum Http {
    /// The crate's own client, set up further by this.
    Own(Configure),
    Given(reqwest::Client),
}

pub type Configure = Arc<dyn Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send + Sync>;

impl Setup {
    /// Has the crate's own HTTP client and time that stands still.
    pub fn new(url: impl Into<String>) -> Self {
        let clock = Arc::new(ManualClock::new(now()));
        Self { url: url.into(), clock, retry: Retry::default(), http: Http::Own(Arc::new(|http| http)) }
    }

    pub fn apply<C: gettone::Service>(&self, builder: Builder<C>) -> Builder<C> {
        let builder = builder.base_url(&self.url).clock(Arc::clone(&self.clock)).retry(self.retry.clone());
        match &self.http {
            Http::Own(configure) => {
                let configure = Arc::clone(configure);
                builder.http(move |http| configure(http))
            }
            Http::Given(http) => builder.http_client(http.clone()),
        }
    }
}

/// Returns the moment at which time stands still: 2021-10-14T00:00:00Z.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_634_169_600)
}

pub fn unix(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Writes a moment as in RFC 3339, in whole seconds: `2021-10-14T00:00:00Z`.
pub fn iso(moment: SystemTime) -> String {
    let (days, second) = (unix(moment) / 86_400, unix(moment) % 86_400);
    // A year begins in March here, so that the day of a leap year is its last one; and 400 years are always 146097 days.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (400 * era + year + month / 10, (month + 2) % 12 + 1);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}
