//! The store in Redis or Valkey, for several machines.

mod address;
mod builder;
mod engine;
mod failure;
mod server;
mod unconfirmed;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use redis::{FromRedisValue, Value};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use self::address::{Kind, Target};
use self::builder::{Described, Settings};
use self::engine::Engine;
use self::failure::{Cause, Failure};
use self::server::Request;
use self::unconfirmed::Unconfirmed;
use super::{Locked, Record, Replaced, Sealing, StoreError, StoreLock, StoredToken, TokenStore, Version, unique_text};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::secret::Secret;
use crate::{runtime, trace};

pub use builder::RedisStoreBuilder;

/// A store in Redis or Valkey, for any number of programs on any number of machines. Clones are the same store.
///
/// ```no_run
/// use gettone::keliweb::{Credentials, Fatture};
/// use gettone::store::RedisStore;
///
/// # async fn run() -> Result<(), gettone::Error> {
/// let store = RedisStore::connect("rediss://:password@redis.example.com:6379").await?;
/// let fatture = Fatture::builder(Credentials::from_env()?).store(store).build()?;
/// # Ok(())
/// # }
/// ```
///
/// | URL | what it connects to |
/// |---|---|
/// | `redis://host:6379/0` | a server, here with the number of a database |
/// | `redis://user:password@host` | the same, as a user; percent-encode `/`, `?`, `#`, `@`, `:` and `%` in a password |
/// | `rediss://host` | the same, with TLS (feature `rustls` or `native-tls`) |
/// | `redis+sentinel://host1,host2/name/0` | the primary that these sentinels know by this name |
/// | `redis+cluster://host1,host2` | a cluster, of which these are some of the nodes |
/// | `unix:///path?db=0` | a server on this machine |
///
/// `valkey` and `valkeys` are the same as `redis` and `rediss`; `rediss+sentinel` and `rediss+cluster` use TLS.
///
/// - **Keys** have the form `gettone:{hash}:token` and `gettone:{hash}:lock`. The hash is that of the record's name, so a key shows no
///   account. Both keys of a name are in the same slot of a cluster. A key expires with its tokens, or with its lock.
/// - **Records** are sealed with the account's credentials, unless you choose another [`sealing`](RedisStoreBuilder::sealing).
/// - **A lock** lasts for 15 s. Its holder extends it every 5 s, for at most 170 s, so the lock of a program that was killed ends soon.
///   Other clients check for a new record, and for the lock, every half second.
/// - **Each command** may take 1 s ([`timeout`](RedisStoreBuilder::timeout)). If the server is unreachable, clients work without the store.
///   If the store has moved to another server, as after a failover, the next command finds that one.
/// - **Replication** is asynchronous: see [`replicas`](RedisStoreBuilder::replicas).
/// - **The server** needs `EVAL`, and must not evict keys: set `maxmemory-policy noeviction`, or give the store a server of its own. If a
///   record is evicted, the next client requests a token with the credentials.
/// - **Permissions**: `ACL SETUSER invoices on >password ~gettone:* +eval +get +set +del +pexpire +hget +hset +hmget` is enough. Add
///   `+wait` with replicas, `+select` with a database other than 0, and `+asking` with a cluster. On sentinels that demand a login, the user
///   needs `+sentinel|get-master-addr-by-name`.
///
/// You may use a client from several runtimes, one after the other or at once.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    engine: Engine,
    settings: Settings,
    unconfirmed: Unconfirmed,
    described: Described,
    /// When the server last answered.
    answered_at: Mutex<Option<Instant>>,
}

// Each script has one key, so that it works while a cluster moves the slot, and can be sent twice: all its values are the caller's own.

/// `ARGV`: the version that was seen (empty: no record), the new version, the life of the record, the record.
const REPLACE: &str = "local version = redis.call('HGET', KEYS[1], 'v') or ''
if version ~= ARGV[1] and version ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 't', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

/// Writes a version again, so that `WAIT` counts the replicas that have it. `ARGV`: the version.
const CONFIRM: &str = "if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1])
return 1";

/// `ARGV`: the id of the lock, its life.
const LOCK: &str = "local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

/// `ARGV`: the id of the lock, its life.
const EXTEND: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// `ARGV`: the id of the lock.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// The least life of a record, also if its client's clock is wrong.
const MIN_RECORD_LIFE: Duration = Duration::from_secs(5 * 60);
const MAX_RECORD_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The waits for a lock between two looks at it.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// How long a client that wants a lock waits for a server that was there a moment ago. Sentinel needs some two seconds to name another.
const FAILOVER: Duration = Duration::from_secs(3);

/// The keys of a name. The tag decides on the slot of a cluster.
#[derive(Clone)]
struct Keys {
    tag: String,
    token: String,
    lock: String,
}

impl RedisStore {
    /// Connects to the server of a URL. For more settings, use [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// The errors of [`RedisStoreBuilder::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Creates the settings of a store, with a URL of any of the forms above.
    pub fn builder(url: impl AsRef<str>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Target::parse(url.as_ref()))
    }

    /// Creates the settings of a store whose primary these sentinels know by a name. The URL of a sentinel has the form of a single
    /// server's; the default port is 26379.
    pub fn sentinel(urls: impl IntoIterator<Item = impl AsRef<str>>, primary: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Target::several(urls, Kind::Sentinel(primary.into())))
    }

    /// Creates the settings of a store in a cluster. Pass the URLs of some of its nodes; the store finds the others.
    pub fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Target::several(urls, Kind::Cluster))
    }

    async fn open(engine: Engine, settings: Settings, described: Described) -> Result<Self, Error> {
        let store = Self(Arc::new(Inner {
            engine,
            settings,
            unconfirmed: Unconfirmed::default(),
            described,
            answered_at: Mutex::default(),
        }));
        if let Err(mut failure) = store.0.check().await {
            if matches!(failure.cause, Cause::Closed | Cause::Silent)
                && let Some(mistake) = store.0.engine.diagnose(&failure).await
            {
                failure = mistake;
            }
            if failure.is_lasting() {
                return Err(failure.into_misconfiguration());
            }
            trace::cache::store_failed("connect to", &failure.into_error());
        }
        Ok(store)
    }
}

impl Inner {
    fn keys(&self, name: &str) -> Keys {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
        let tag = BASE64_URL_SAFE_NO_PAD.encode(hash);
        let prefix = &self.settings.prefix;
        Keys { token: format!("{prefix}:{{{tag}}}:token"), lock: format!("{prefix}:{{{tag}}}:lock"), tag }
    }

    /// Sends a command that waits for no replica.
    async fn run<T: FromRedisValue>(&self, keys: &Keys, request: Request) -> Result<T, Failure> {
        let done = self.engine.run(&keys.tag, request).await?;
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.read(done.value)
    }

    fn read<T: FromRedisValue>(&self, value: Value) -> Result<T, Failure> {
        redis::from_redis_value(value).map_err(|_| {
            self.engine.failed(Cause::Unknown, "an answer of another type than that of Redis; use another server")
        })
    }

    /// Loads the version and the text of a record.
    async fn load(&self, keys: &Keys) -> Result<(Option<String>, Option<Zeroizing<Vec<u8>>>), Failure> {
        let load = || {
            let request = Request::command(&["HMGET", &keys.token, "v", "t"]);
            self.run::<(Option<String>, Option<Vec<u8>>)>(keys, request)
        };
        let loaded = match load().await {
            // The connection was dead, and nothing said so.
            Err(failure) if failure.cause == Cause::Silent => load().await,
            loaded => loaded,
        };
        let (version, json) = loaded?;
        if let Some(version) = &version {
            self.confirm(keys, version).await?;
        }
        Ok((version, json.map(Zeroizing::new)))
    }

    /// Makes sure that enough replicas have a record that this store has written and could not confirm. Otherwise a client would take its
    /// claim for a safe one.
    async fn confirm(&self, keys: &Keys, version: &str) -> Result<(), Failure> {
        if self.unconfirmed.contains(&keys.token, version) {
            // If it writes nothing, somebody has replaced the record.
            self.write(keys, Request::script(CONFIRM, &keys.token, &[version])).await?;
            self.unconfirmed.remove(&keys.token, version);
        }
        Ok(())
    }

    /// Replaces a record. Returns whether it was the one that was seen.
    async fn replace(
        &self,
        keys: &Keys,
        seen: Option<&Version>,
        new: &str,
        life: Duration,
        json: &Secret,
    ) -> Result<bool, Failure> {
        let life = life.clamp(MIN_RECORD_LIFE, MAX_RECORD_LIFE).as_millis().to_string();
        let seen = seen.map_or("", Version::as_str);
        if self.settings.replicas > 0 {
            // Before: the answer may be lost.
            self.unconfirmed.add(&keys.token, new);
        }
        let request = Request::script(REPLACE, &keys.token, &[seen, new, &life, json.expose()]);
        let is_done = self.write(keys, Request { record: Some(json.clone()), ..request }).await?;
        self.unconfirmed.remove(&keys.token, new);
        Ok(is_done)
    }

    /// Sends a script that writes a record, and waits for the replicas. Returns whether it has written.
    async fn write(&self, keys: &Keys, request: Request) -> Result<bool, Failure> {
        let Settings { replicas: wanted, replica_time, .. } = self.settings;
        let replicas = (wanted > 0).then_some((wanted, replica_time));
        let done = self.engine.run(&keys.tag, Request { replicas, ..request }).await?;
        let is_done = self.read(done.value)?;
        if is_done && done.replicas < wanted {
            let text = format!("only {} of {wanted} replicas have the record; repair the replicas", done.replicas);
            return Err(self.engine.failed(Cause::Refused, &text));
        }
        if !is_done && done.is_repeated {
            // The first attempt may have written the record, and another client may have replaced it since.
            return Err(self.engine.failed(Cause::Closed, "the answer was lost; repair the connection"));
        }
        Ok(is_done)
    }

    async fn remove(&self, keys: &Keys) -> Result<(), Failure> {
        self.run(keys, Request::command(&["DEL", &keys.token])).await
    }

    /// Tries once to take the lock. Returns `None` if there is another record than the one that was seen.
    async fn try_lock(&self, keys: &Keys, seen: Option<&Version>, id: &str) -> Result<Option<bool>, Failure> {
        let version: Option<String> = self.run(keys, Request::command(&["HGET", &keys.token, "v"])).await?;
        if version.as_deref() != seen.map(Version::as_str) {
            return Ok(None);
        }
        let life = self.settings.lock_life.as_millis().to_string();
        self.run(keys, Request::script(LOCK, &keys.lock, &[id, &life])).await.map(Some)
    }

    /// Extends a lock until its guard is dropped, and then releases it.
    async fn hold(&self, keys: &Keys, id: &str, mut guard: oneshot::Receiver<()>) {
        let Settings { lock_life, lock_limit, .. } = self.settings;
        let (end, life) = (runtime::after(lock_limit), lock_life.as_millis().to_string());
        let mut pause = lock_life / 3;
        // A holder that is not done by then hangs.
        while Instant::now() < end {
            if timeout(pause, &mut guard).await.is_ok() {
                break;
            }
            pause = match self.run(keys, Request::script(EXTEND, &keys.lock, &[id, &life])).await {
                Ok(true) => lock_life / 3,
                Ok(false) => {
                    let failure = self.engine.failed(Cause::Refused, "the lock has ended; another client may hold it");
                    trace::cache::store_failed("extend the lock of", &failure.into_error());
                    return;
                }
                // Soon, before it ends.
                Err(_) => lock_life / 15,
            };
        }
        if !guard.is_terminated() {
            let _ = guard.await;
        }
        // If it fails, the lock ends by itself.
        let _ = self.run::<bool>(keys, Request::script(RELEASE, &keys.lock, &[id])).await;
    }

    /// Does what clients do, with a record of no use. So each missing permission is found.
    async fn check(&self) -> Result<(), Failure> {
        let (keys, id) = (self.keys(&new_id()), new_id());
        self.try_lock(&keys, None, &id).await?;
        let life = self.settings.lock_life.as_millis().to_string();
        self.run::<bool>(&keys, Request::script(EXTEND, &keys.lock, &[&id, &life])).await?;
        let written = self.replace(&keys, None, &id, Duration::ZERO, &Secret::new("{}")).await;
        self.load(&keys).await?;
        self.remove(&keys).await?;
        self.run::<bool>(&keys, Request::script(RELEASE, &keys.lock, &[&id])).await?;
        self.check_eviction(&keys).await;
        written.map(drop)
    }

    /// Warns about a server that may evict records, if the user may ask.
    async fn check_eviction(&self, keys: &Keys) {
        let request = Request::command(&["CONFIG", "GET", "maxmemory*"]);
        let Ok(found) = self.run::<HashMap<String, String>>(keys, request).await else { return };
        let value = |name| found.get(name).map_or("", String::as_str);
        let (limit, policy) = (value("maxmemory"), value("maxmemory-policy"));
        if !matches!(limit, "" | "0") && policy != "noeviction" {
            let text = format!("the server evicts keys (`{policy}`); set its `maxmemory-policy` to `noeviction`");
            trace::cache::store_failed("keep", &self.engine.failed(Cause::Refused, &text).into_error());
        }
    }
}

/// Returns an id that nobody else chooses: a version, or the holder of a lock.
fn new_id() -> String {
    unique_text(SystemClock::default().now())
}

impl TokenStore for RedisStore {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        runtime::current()?;
        let (version, json) = self.0.load(&self.0.keys(name)).await.map_err(Failure::into_error)?;
        Ok(version.map(|version| match (Version::new(version), json) {
            (version, Some(json)) => match str::from_utf8(&json) {
                Ok(json) => Record::from_json(version, json),
                Err(_) => Record::unreadable(version, "the record in Redis is not text"),
            },
            (version, None) => Record::unreadable(version, "the record in Redis has no text"),
        }))
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        runtime::current()?;
        self.0.settings.sealing.check(token)?;
        // By the clock of the client that obtained the token, which may differ from that of the server.
        let life = token.discard_after().duration_since(token.obtained_at()).unwrap_or_default();
        let new = new_id();
        let replaced = self.0.replace(&self.0.keys(name), seen, &new, life, &token.to_json()).await;
        Ok(match replaced.map_err(Failure::into_error)? {
            true => Replaced::Done(Version::new(new)),
            false => Replaced::Conflict,
        })
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        runtime::current()?;
        Ok(self.0.remove(&self.0.keys(name)).await.map_err(Failure::into_error)?)
    }

    /// Waits for the lock of a name by polling.
    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        let runtime = runtime::current()?;
        let (keys, id, clock) = (self.0.keys(name), new_id(), SystemClock::default());
        let (end, mut pause) = (runtime::after(self.0.settings.lock_limit), MIN_PAUSE);
        // Until when a server that was there may be away: it may have moved.
        let recent = *self.0.answered_at.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = recent.is_some_and(|answered| answered.elapsed() < FAILOVER);
        let mut patience = recent.then(|| runtime::after(FAILOVER));
        loop {
            match self.0.try_lock(&keys, seen, &id).await {
                Ok(Some(true)) => break,
                Ok(Some(false)) if Instant::now() >= end => return Ok(Locked::Busy),
                Ok(Some(false)) => patience = Some(runtime::after(FAILOVER)),
                Ok(None) => return Ok(Locked::Changed),
                Err(failure) if failure.is_moving() && patience.is_some_and(|end| Instant::now() < end) => {}
                Err(failure) => return Err(failure.into_error().into()),
            }
            clock.sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            pause = MAX_PAUSE.min(2 * pause);
        }
        let (guard, dropped) = oneshot::channel();
        let inner = Arc::clone(&self.0);
        let task = runtime.spawn(async move { inner.hold(&keys, &id, dropped).await });
        Ok(Locked::Held(StoreLock::with_release(guard, async move { drop(task.await) })))
    }

    fn sealing(&self) -> Sealing {
        self.0.settings.sealing.clone()
    }
}

/// Prints the servers and the prefix, and neither user nor password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.described.print("RedisStore", f)
    }
}
