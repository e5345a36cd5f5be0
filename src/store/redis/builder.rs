//! The settings of a Redis store.

use std::fmt;
use std::time::Duration;

use super::RedisStore;
use super::address::{Address, Kind, Login, Target};
use super::engine::Engine;
use super::failure::{Context, Failure};
use super::server::Access;
use crate::error::Error;
use crate::redact::Secrets;
use crate::runtime;
use crate::secret::Secret;
use crate::store::{LOCK_TIMEOUT, Sealing};

/// The settings of a [`RedisStore`].
///
/// ```no_run
/// use gettone::Secret;
/// use gettone::store::RedisStore;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let password = Secret::new(std::fs::read_to_string("/run/credentials/invoices.service/redis")?.trim_end());
/// let store = RedisStore::builder("rediss://redis.example.com:6379")
///     .username("invoices")
///     .password(password)
///     .root_certificate(std::fs::read("/etc/redis/ca.pem")?)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    target: Result<Target, &'static str>,
    login: Login,
    root_certificate: Option<Vec<u8>>,
    client_certificate: Option<(Vec<u8>, Secret)>,
    timeout: Duration,
    settings: Settings,
}

/// What the store itself needs.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) prefix: String,
    pub(super) replicas: usize,
    /// How long the server waits for the replicas.
    pub(super) replica_time: Duration,
    /// How long a lock lasts if its holder does not extend it.
    pub(super) lock_life: Duration,
    /// The longest time for which a lock is held, or waited for.
    pub(super) lock_limit: Duration,
    pub(super) sealing: Sealing,
}

impl RedisStoreBuilder {
    pub(super) fn new(target: Result<Target, &'static str>) -> Self {
        let settings = Settings {
            prefix: "gettone".to_owned(),
            replicas: 0,
            replica_time: Duration::ZERO,
            lock_life: Duration::from_secs(15),
            lock_limit: LOCK_TIMEOUT,
            sealing: Sealing::WithCredentials,
        };
        Self {
            target,
            login: Login::default(),
            root_certificate: None,
            client_certificate: None,
            timeout: Duration::from_secs(1),
            settings,
        }
    }

    /// Sets the user name. The default is the one in the URL.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.login.username = Some(username.into());
        self
    }

    /// Sets the password, so that you need not put it in the URL.
    ///
    /// With Sentinel, this is the password of the Redis servers, and the one in the URL is that of the sentinels. If you give only one of
    /// the two, the client uses it for both. A sentinel gets a password only if it demands one.
    pub fn password(mut self, password: impl Into<Secret>) -> Self {
        self.login.password = Some(password.into());
        self
    }

    /// Sets what all keys begin with. The default is `gettone`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.prefix = prefix.into();
        self
    }

    /// Sets how many replicas must have a record before a client uses it. The default is 0.
    ///
    /// Replication is asynchronous: if the primary fails, the last second of its writes may be lost. Another client may then send a refresh
    /// token a second time. With one replica (`WAIT`) the client sends no refresh token before a replica knows that it is claimed. If there
    /// are fewer replicas than that, clients request tokens with the credentials instead.
    ///
    /// The number of all replicas is certain to be enough. A lower number is enough only if all replicas have the same `replica-priority`,
    /// because Sentinel then promotes the replica that has received the most.
    pub fn replicas(mut self, count: usize) -> Self {
        self.settings.replicas = count;
        self
    }

    /// Sets whether clients seal the records, and with which key. The default is [`Sealing::WithCredentials`]: what `SLOWLOG`, `MONITOR`,
    /// a dump or a replica shows of a record is of no use without the credentials of its account. Unless it is [`Sealing::Off`], the store
    /// refuses a record that is not sealed.
    pub fn sealing(mut self, sealing: Sealing) -> Self {
        self.settings.sealing = sealing;
        self
    }

    /// Sets the certificates of the only authorities that the client trusts, as PEM. By default it trusts those that the operating system
    /// trusts.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Sets the certificate that the client shows to the server, and its private key, as PEM.
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Secret>) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Sets the time limit of one command, which includes connecting. The default is 1 s.
    ///
    /// If the server hangs, a client without a token waits for about four times this long, and then requests one without the store.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(Duration::from_secs(24 * 60 * 60));
        self
    }

    /// Shortens the life of a lock, and the longest wait for one, for tests.
    #[doc(hidden)]
    pub fn lock_times(mut self, life: Duration, limit: Duration) -> Self {
        (self.settings.lock_life, self.settings.lock_limit) = (life, limit);
        self
    }

    /// Connects, and checks that the store can do what it needs: it takes a lock, saves and loads a record, and removes both.
    ///
    /// If the server is merely unavailable (it does not respond, it is loading its data, it is full), that is no error, so that a program
    /// can start without it. The client then works without the store, reports each failure, and uses the store as soon as it responds.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input), with a message that says what to do:
    ///
    /// - a URL or a setting is wrong, or the call is outside a tokio runtime;
    /// - the server rejects the password, or demands one;
    /// - the user lacks a permission: the message has the minimal `ACL SETUSER` line;
    /// - the server's certificate is not trusted, or the server demands a client certificate;
    /// - the URL is for TLS and the port is not, or the reverse; or the crate has no TLS feature;
    /// - the program has two crypto providers of rustls, and has installed none of them;
    /// - the server is a replica, a sentinel, or part of a cluster, and the URL is not for that; or no sentinel knows the name;
    /// - the server lacks the database, or a command.
    ///
    /// [`is_store`](Error::is_store): the server sends a response that the store does not know.
    pub async fn connect(self) -> Result<RedisStore, Error> {
        runtime::current()?;
        let described = Described::of(&self);
        let (engine, settings) = self.build()?;
        RedisStore::open(engine, settings, described).await
    }

    fn build(self) -> Result<(Engine, Settings), Error> {
        let Self { target, login, root_certificate, client_certificate, timeout, mut settings } = self;
        let wrong = |text: &str| Error::invalid_input(format!("Redis store: {text}"));
        let target = target.map_err(|text| Error::invalid_input(format!("the URL of a Redis store: {text}")))?;
        let has_certificates = root_certificate.is_some() || client_certificate.is_some();
        if has_certificates && !target.is_tls {
            return Err(wrong("certificates, but a URL without TLS; write `rediss://`"));
        }
        let is_pem = |pem: &Vec<u8>| String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE-----");
        let mut certificates = root_certificate.iter().chain(client_certificate.iter().map(|(pem, _)| pem));
        if !certificates.all(is_pem) {
            return Err(wrong("a certificate is not PEM; pass a text with `-----BEGIN CERTIFICATE-----`"));
        }
        if settings.prefix.is_empty() || settings.prefix.contains(|c: char| "{}".contains(c) || c.is_whitespace()) {
            return Err(wrong("the prefix is empty, or has a brace or a blank; choose another"));
        }
        if timeout.is_zero() {
            return Err(wrong("a time limit of 0; choose a longer one"));
        }
        let permissions = settings.permissions(&target);
        let (from_url, has_own) = (target.login, login.password.is_some());
        let servers = Login {
            // The user name in the URL belongs to the password in it, if there is one.
            username: login
                .username
                .or_else(|| from_url.username.clone().filter(|_| !has_own || from_url.password.is_none())),
            password: login.password.or_else(|| from_url.password.clone()),
        };
        let sentinels = if from_url.password.is_some() { from_url } else { servers.clone() };
        let mut secrets = Secrets::default();
        for login in [&servers, &sentinels] {
            login.password.iter().for_each(|password| secrets.add(password.expose()));
            login.username.iter().for_each(|username| secrets.add(username));
        }
        let has_no_certificate = target.is_tls && client_certificate.is_none();
        let context = Context { secrets, permissions, script: None, has_no_certificate };
        let access = Access {
            is_tls: target.is_tls,
            root_certificate,
            client_certificate,
            login: servers,
            sentinel_login: sentinels,
            database: target.database,
            context,
        };
        if access.login.username.is_some() && access.login.password.is_none() {
            return Err(wrong("a user name without a password; add it to the URL"));
        }
        // Half of the time is for the way there and back.
        settings.replica_time = timeout / 2;
        let engine = Engine::new(target.kind, target.servers, access, timeout);
        Ok((engine.map_err(Failure::into_misconfiguration)?, settings))
    }
}

impl Settings {
    /// Returns what the user must be allowed.
    fn permissions(&self, target: &Target) -> String {
        let mut permissions = format!("~{}:* +eval +get +set +del +pexpire +hget +hset +hmget", self.prefix);
        let more = [
            (self.replicas > 0, " +wait"),
            (target.database != 0, " +select"),
            (target.kind == Kind::Cluster, " +asking"),
        ];
        more.iter().filter(|(is_needed, _)| *is_needed).for_each(|(_, command)| permissions.push_str(command));
        if matches!(target.kind, Kind::Sentinel(_)) {
            permissions.push_str(", and on the sentinels `+sentinel|get-master-addr-by-name`");
        }
        permissions
    }
}

/// What `Debug` shows of a store.
#[derive(Clone)]
pub(super) struct Described {
    servers: Vec<String>,
    kind: Option<Kind>,
    database: u32,
    prefix: String,
}

impl Described {
    fn of(builder: &RedisStoreBuilder) -> Self {
        let target = builder.target.as_ref().ok();
        Self {
            servers: target.iter().flat_map(|target| &target.servers).map(Address::to_string).collect(),
            kind: target.map(|target| target.kind.clone()),
            database: target.map_or(0, |target| target.database),
            prefix: builder.settings.prefix.clone(),
        }
    }

    pub(super) fn print(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("servers", &self.servers)
            .field("kind", &self.kind)
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Prints the servers and the prefix, and neither user nor password.
impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Described::of(self).print("RedisStoreBuilder", f)
    }
}
