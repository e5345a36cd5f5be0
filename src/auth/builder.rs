//! Builds the client of any service.

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

/// The trait of all clients: [`openapi::v2::Oauth`](crate::openapi::v2::Oauth), [`openapi::v2::RefreshClient`](crate::openapi::v2::RefreshClient),
/// [`openapi::v1::Oauth`](crate::openapi::v1::Oauth) and [`keliweb::Fatture`](crate::keliweb::Fatture). Sealed.
#[allow(private_bounds)] // This seals it.
pub trait Service: Assemble {
    /// The credentials of an account.
    type Credentials: fmt::Debug;
}

/// The part of building a client that each service does in its own way.
pub(crate) trait Assemble: Sized {
    /// The settings of this service alone.
    type Options: Default;

    /// The default address of the service.
    const BASE_URL: &'static str;

    /// Checks the credentials and the settings of this service.
    fn check(credentials: &Self::Credentials, options: &Self::Options) -> Result<(), Error>
    where
        Self: Service;

    /// Builds the client from its parts.
    fn assemble(parts: Parts<Self>) -> Result<Self, Error>
    where
        Self: Service;
}

/// The parts of a client.
pub(crate) struct Parts<C: Service> {
    pub(crate) credentials: C::Credentials,
    pub(crate) options: C::Options,
    pub(crate) transport: Arc<Transport>,
    pub(crate) store: Option<ReportingStore>,
}

/// The settings of a client.
///
/// | setting | default |
/// |---|---|
/// | [`base_url`](Self::base_url) | the production environment of the service |
/// | [`connect_timeout`](Self::connect_timeout) | 10 s |
/// | [`timeout`](Self::timeout) of a call, with all attempts and waits | 60 s |
/// | [`retry`](Self::retry) | see [`Retry`] |
/// | [`store`](Self::store) | none |
/// | proxy | `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, as reqwest reads them; none for plain http, which is for loopback addresses |
///
/// The client follows no redirects, unless you give it a [`http_client`](Self::http_client) that does.
///
/// ```
/// use std::time::Duration;
/// use gettone::openapi::{Credentials, v2::Oauth};
///
/// let oauth = Oauth::builder(Credentials::new("test@example.com", "key"))
///     .timeout(Duration::from_secs(20))
///     .user_agent("invoices/2.1")
///     .build()?;
/// # let _ = oauth;
/// # Ok::<(), gettone::Error>(())
/// ```
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

    /// Sets another address for the service, such as that of a mock. It overrides every other setting of an address.
    ///
    /// The client sends credentials there, so it must be `https`, or `http` to a loopback address (`localhost`, `127.0.0.0/8`, `[::1]`). It
    /// may have a path, to which the client appends the paths of the operations. It must not have a user, a query or a fragment.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Sets how long connecting may take, TLS included. Not zero. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a call may take: all attempts, the waits between them, and reading the response. Not zero. Default: 60 s.
    ///
    /// A call for a cached token may take [several calls](crate::guide::tokens#how-long-a-call-waits).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets when a call is retried.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Puts the name of your program in front of this crate's in `User-Agent`: `invoices/2.1 gettone/0.1.0`.
    #[must_use]
    pub fn user_agent(mut self, product: impl Into<String>) -> Self {
        self.user_agent = Some(product.into());
        self
    }

    /// Configures the HTTP client that requests tokens, for example with a proxy, certificates or a resolver of your own. The client that you
    /// send your own requests with needs [the same settings](crate::guide::tokens#behind-a-company-proxy).
    ///
    /// You cannot change the settings that keep credentials safe: no redirects, no `Referer`, and no proxy for plain http. Nor can you let
    /// the HTTP client send anything again: [`retry`](Self::retry) does that. Has no effect together with
    /// [`http_client`](Self::http_client).
    ///
    /// ```
    /// use gettone::openapi::{Credentials, v2::Oauth};
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

    /// Uses an HTTP client of your own with all of its settings, including the time to connect. If you only want to change settings, use
    /// [`http`](Self::http), which is safer.
    ///
    /// # Security
    ///
    /// Build it with `redirect(redirect::Policy::none())` and `referer(false)`. Otherwise a redirect takes the credentials to another host
    /// or to plain http, before this client sees it and returns an error. Give it no retries of its own either. For an `http://` address also call `no_proxy()`. Otherwise a
    /// proxy of the environment sees the credentials.
    ///
    /// ```
    /// use gettone::openapi::{Credentials, v2::Oauth};
    ///
    /// let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).referer(false).build().unwrap();
    /// let oauth = Oauth::builder(Credentials::new("test@example.com", "key")).http_client(http).build()?;
    /// # let _ = oauth;
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn http_client(mut self, client: Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Keeps the cached tokens in a store, even after the client is dropped. By default they are dropped with the client.
    ///
    /// # Security
    ///
    /// A store whose records are not [sealed](crate::guide::security#sealed-records) gives its tokens to every client with the same address
    /// and account name (for Keliweb Fatture also the same client id, for a [`RefreshClient`](crate::openapi::v2::RefreshClient) the name of
    /// its pair). A client that gets a token has not proved that it knows the password.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), gettone::Error> {
    /// use gettone::keliweb::{Credentials, Fatture};
    /// use gettone::store::FileStore;
    ///
    /// let store = FileStore::open("/var/lib/invoices/tokens.json").await?;
    /// let fatture = Fatture::builder(Credentials::from_env()?).store(store).build()?;
    /// # let _ = fatture;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(AnyStore::new(store));
        self
    }

    /// Calls a function when the [store](Self::store) fails while the client requests a token, and when a
    /// [`FileStore`](crate::store::FileStore) finds its file or a record damaged.
    ///
    /// No call returns such an error, because the client continues with what it has in memory. (`clear`, the calls that delete or change
    /// tokens, and `token` of a [`RefreshClient`](crate::openapi::v2::RefreshClient) return their own.) The client that loads first reports a
    /// damaged file, once. The [error](Error::is_store) says what failed and what to do, and contains no secret. The function runs in the
    /// middle of an exchange and must not block. With the feature `tracing` there is an event too.
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

    /// Sets the clock, for tests. Default: [`SystemClock`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::SystemTime;
    /// use gettone::clock::ManualClock;
    /// use gettone::openapi::{Credentials, v2::Oauth};
    ///
    /// let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    /// let oauth = Oauth::builder(Credentials::new("test@example.com", "key")).clock(clock.clone()).build()?;
    /// # let _ = oauth;
    /// # Ok::<(), gettone::Error>(())
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Builds the client. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input):
    ///
    /// - the credentials are incomplete;
    /// - credentials may not be sent to the [address](Self::base_url);
    /// - a time limit is zero;
    /// - the set of scopes is empty;
    /// - the user agent has a character that is not allowed in a header;
    /// - the crate was built without TLS, or TLS cannot be set up.
    pub fn build(self) -> Result<C, Error> {
        let limits = [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("attempt_timeout", self.retry.longest_attempt()),
        ];
        if let Some((name, _)) = limits.iter().find(|(_, limit)| limit.is_zero()) {
            return Err(Error::invalid_input(format!(
                "{name}: zero leaves no time for any call; choose a longer time"
            )));
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
