//! How a client is built, for every service.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder};

use crate::clock::{Clock, SystemClock, Time};
use crate::error::Error;
use crate::http::client::{Configure, checked_base_url, http_client, user_agent};
use crate::http::retry::Retry;
use crate::http::transport::Transport;
use crate::store::{AnyStore, OnFailure, ReportingStore, TokenStore};

/// A client of a service: [`keliweb::Fatture`](crate::keliweb::Fatture) or [`openapi::v1::Oauth`](crate::openapi::v1::Oauth). Sealed.
#[allow(private_bounds)] // That is what seals it.
pub trait Service: Assemble {
    /// What the service knows an account by.
    type Credentials: fmt::Debug;
}

/// How a client of a service is put together.
pub(crate) trait Assemble: Sized {
    /// The settings that only this service has.
    type Options: Default;

    /// The address of the service, unless the program sets another one.
    const BASE_URL: &'static str;

    /// Checks what only this service knows of.
    fn check(credentials: &Self::Credentials, options: &Self::Options) -> Result<(), Error>
    where
        Self: Service;

    fn assemble(parts: Parts<Self>) -> Result<Self, Error>
    where
        Self: Service;
}

/// What a client is made of.
pub(crate) struct Parts<C: Service> {
    pub(crate) credentials: C::Credentials,
    pub(crate) options: C::Options,
    pub(crate) transport: Arc<Transport>,
    pub(crate) store: Option<ReportingStore>,
}

/// How a client is to be built.
///
/// | | default |
/// |---|---|
/// | address | the production of the service |
/// | time to connect | 10 s |
/// | time for a call, all attempts and waits together | 60 s |
/// | repeats | as in [`Retry`] |
/// | store of tokens | none |
/// | proxy | `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, as reqwest reads them; none for plain http, which is for loopback |
///
/// Redirects are never followed, unless a [`http_client`](Self::http_client) of your own does it.
pub struct Builder<C: Service> {
    credentials: C::Credentials,
    base_url: Option<String>,
    default_base_url: &'static str,
    http: Option<Client>,
    configure: Option<Configure>,
    connect_timeout: Duration,
    timeout: Duration,
    retry: Retry,
    user_agent: Option<String>,
    clock: Option<Arc<dyn Clock>>,
    store: Option<AnyStore>,
    on_store_failure: Option<OnFailure>,
    pub(crate) options: C::Options,
    client: PhantomData<fn() -> C>,
}

impl<C: Service> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("credentials", &self.credentials)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("user_agent", &self.user_agent)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl<C: Service> Builder<C> {
    pub(crate) fn new(credentials: C::Credentials) -> Self {
        Self {
            credentials,
            base_url: None,
            default_base_url: C::BASE_URL,
            http: None,
            configure: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            retry: Retry::default(),
            user_agent: None,
            clock: None,
            store: None,
            on_store_failure: None,
            options: C::Options::default(),
            client: PhantomData,
        }
    }

    pub(crate) fn default_base_url(mut self, url: &'static str) -> Self {
        self.default_base_url = url;
        self
    }

    /// Another address for the service, such as that of a mock. It wins over everything else that sets one.
    ///
    /// Credentials are sent there: it must be `https`, or `http` to a loopback address (`localhost`, `127.0.0.0/8`, `[::1]`).
    /// It may have a path, below which the operations then are; it has no user, query or fragment.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// How long connecting may take, TLS included. Not zero. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call may take: all attempts, the waits between them, and the reading of the answer. Not zero. Default: 60 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// When a call is tried again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Puts the name of your program before this crate's own in `User-Agent`, as in `invoices/2.1 gettone/0.1.0`.
    #[must_use]
    pub fn user_agent(mut self, product: impl Into<String>) -> Self {
        self.user_agent = Some(product.into());
        self
    }

    /// Sets up the HTTP client further, with a proxy, certificates or a resolver of your own.
    ///
    /// What keeps the credentials safe is set afterwards and stays: no redirects, no `Referer`, and no proxy for plain http.
    /// With a [`http_client`](Self::http_client) there is nothing to set up, and this does nothing.
    ///
    /// ```
    /// use gettone::openapi::{Credentials, v1::Oauth};
    ///
    /// let proxy = reqwest::Proxy::https("http://proxy.example.com:3128").unwrap();
    /// let oauth = Oauth::builder(Credentials::new("test@example.com", "key")).http(|http| http.proxy(proxy)).build()?;
    /// # let _ = oauth;
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn http(mut self, configure: impl FnOnce(ClientBuilder) -> ClientBuilder + Send + 'static) -> Self {
        self.configure = Some(Box::new(configure));
        self
    }

    /// Sends with a client that there is already. If it is only about its settings, [`http`](Self::http) is safer.
    ///
    /// # Security
    ///
    /// The settings of a client cannot be seen, so all of its own count, also the time to connect. Build it with
    /// `redirect(redirect::Policy::none())` and `referer(false)`: otherwise a redirect takes the credentials along, to another
    /// host or to plain http, before it is found out (an answer that came by a redirect is an error). With an `http://`
    /// address build it with `no_proxy()`: otherwise a proxy of the environment sees the credentials.
    #[must_use]
    pub fn http_client(mut self, client: Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Where the tokens that the client looks after outlive it. Without one they end with it.
    ///
    /// # Security
    ///
    /// A store gives its tokens to every client with the same address and account name (for Keliweb Fatture also the same
    /// client id): that somebody can make a client that gets a token says nothing of whether he knows the password.
    #[must_use]
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(AnyStore::new(store));
        self
    }

    /// Calls a function whenever the [store](Self::store) fails while a token is fetched, and when a [`FileStore`](crate::store::FileStore) found its file
    /// or a record in it damaged.
    ///
    /// Such a failure costs nobody a token, so no call returns it: the client goes on with what it has in memory. (`clear` and what
    /// deletes tokens return theirs.) A damaged file is reported once, by the client that loads from the store first. The error
    /// [says](Error::is_store) what failed and what to do; there is no secret in it. The function is called in the middle of an
    /// exchange and must not block. With the feature `tracing` there is an event too.
    ///
    /// ```
    /// use gettone::keliweb::{Credentials, Fatture};
    /// use gettone::store::MemoryStore;
    ///
    /// let credentials = Credentials::new("client id", "client secret", "test@example.com", "password");
    /// let fatture = Fatture::builder(credentials)
    ///     .store(MemoryStore::new())
    ///     .on_store_failure(|error| eprintln!("{error}"))
    ///     .build()?;
    /// # let _ = fatture;
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn on_store_failure(mut self, call: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_store_failure = Some(Arc::new(call));
        self
    }

    /// Takes the time from this clock. For tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Builds the client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if the credentials are incomplete, if the address is not one that
    /// credentials may be sent to, if a time limit is zero, if the set of scopes is empty, if the user agent cannot be a header, if
    /// the crate was built without TLS, or if TLS cannot be set up.
    pub fn build(self) -> Result<C, Error> {
        let limits = [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("attempt_timeout", self.retry.longest_attempt()),
        ];
        if let Some((name, _)) = limits.iter().find(|(_, limit)| limit.is_zero()) {
            return Err(Error::invalid_input(format!("{name}: zero, in which no call succeeds")));
        }
        C::check(&self.credentials, &self.options)?;
        let base_url = checked_base_url(self.base_url.as_deref().unwrap_or(self.default_base_url), C::BASE_URL)?;
        let http = match self.http {
            Some(http) => http,
            None => http_client(&base_url, self.connect_timeout, self.configure)?,
        };
        let transport = Transport {
            http,
            base_url: base_url.as_str().trim_end_matches('/').to_owned(),
            user_agent: user_agent(self.user_agent.as_deref())?,
            timeout: self.timeout,
            retry: self.retry,
            clock: self.clock.map_or_else(|| Time::System(SystemClock::default()), Time::User),
        };
        C::assemble(Parts {
            credentials: self.credentials,
            options: self.options,
            transport: Arc::new(transport),
            store: self.store.map(|store| ReportingStore::new(store, self.on_store_failure)),
        })
    }
}
