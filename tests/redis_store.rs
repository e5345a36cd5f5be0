//! The store in Redis and Valkey, against real servers of both.
#![cfg(all(unix, feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

/// Only what these tests need.
#[path = "common"]
mod common {
    #![allow(dead_code, unused_imports)]

    #[cfg(feature = "tracing")]
    pub mod capture;
    pub mod engine;
}

#[cfg(feature = "emulator")]
#[path = "redis_store/clients.rs"]
mod clients;
#[path = "redis_store/cluster.rs"]
mod cluster;
#[path = "redis_store/failures.rs"]
mod failures;
#[path = "redis_store/locks.rs"]
mod locks;
#[path = "redis_store/misconfigured.rs"]
mod misconfigured;
#[path = "redis_store/replicas.rs"]
mod replicas;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[path = "redis_store/tls.rs"]
mod tls;

use std::time::Duration;

use common::engine::{Engine, Monitor, Options, Reply, Server};
use gettone::store::{Locked, RedisStore, Replaced, StoreError, StoreLock, StoredToken, TokenStore, Version};
use serde_json::json;

/// The name of a record. It contains an account, which no key may show.
const NAME: &str = "keliweb test@example.com invoices";
const SECRET: &str = "secret-access-5c1d";
const PASSWORD: &str = "password-77aa-long";
/// No command takes that long, not even on a busy machine.
const SECOND: Duration = Duration::from_secs(1);

/// A token that lasts for an hour.
fn token(text: &str) -> StoredToken {
    token_for(text, Duration::from_secs(3600))
}

fn token_for(text: &str, life: Duration) -> StoredToken {
    let obtained = 1_634_169_600_000_u64;
    let end = obtained + u64::try_from(life.as_millis()).unwrap();
    let json =
        json!({ "version": 2, "obtained_at": obtained, "expires_at": end, "discard_after": end, "sealed": text });
    StoredToken::from_json(&json.to_string()).unwrap()
}

/// A token as an unsealed store has it.
fn plain_token(text: &str) -> StoredToken {
    let json = json!({ "version": 1, "access_token": text, "obtained_at": 0, "expires_at": 3_600_000 });
    StoredToken::from_json(&json.to_string()).unwrap()
}

/// Sets a store up for a busy machine.
async fn open(url: &str) -> RedisStore {
    RedisStore::builder(url).timeout(10 * SECOND).connect().await.unwrap()
}

/// Returns the version and the text of the record.
async fn loaded(store: &RedisStore) -> Option<(Version, String)> {
    let record = store.load(NAME).await.unwrap()?;
    Some((record.version().clone(), record.token().unwrap().to_json().expose().to_owned()))
}

async fn replace(store: &RedisStore, seen: Option<&Version>, text: &str) -> Replaced {
    store.replace(NAME, seen, &token(text)).await.unwrap()
}

/// Replaces the record that was seen, which must succeed.
async fn save(store: &RedisStore, seen: Option<&Version>, text: &str) -> Version {
    match replace(store, seen, text).await {
        Replaced::Done(version) => version,
        _ => panic!("the record is another than {seen:?}"),
    }
}

async fn lock(store: &RedisStore, seen: Option<&Version>) -> StoreLock {
    match store.lock(NAME, seen).await.unwrap() {
        Locked::Held(lock) => lock,
        other => panic!("not held but {other:?}"),
    }
}

fn text(error: StoreError) -> String {
    let own = error.downcast_ref::<gettone::Error>().unwrap();
    assert!(own.is_store());
    clean(&format!("{error} {error:?}"));
    error.to_string()
}

#[track_caller]
fn clean(text: &str) {
    for secret in [SECRET, PASSWORD, "5c1d", "77aa", "test@example.com"] {
        assert!(!text.contains(secret), "it shows {secret}: {text}");
    }
    assert!(!text.contains('\n'), "{text}");
}

/// Returns all keys of a server.
fn keys(server: &Server) -> Vec<String> {
    let mut keys: Vec<_> = server.command(&["KEYS", "*"]).array().iter().map(|key| key.text().to_owned()).collect();
    keys.sort();
    keys
}

/// Returns the key of the token of the record.
fn token_key(server: &Server) -> String {
    keys(server).into_iter().find(|key| key.ends_with(":token")).unwrap()
}

fn lock_key(server: &Server) -> Option<String> {
    keys(server).into_iter().find(|key| key.ends_with(":lock"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_replaced_only_if_it_is_the_one_that_was_seen() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let (store, other) = (open(&server.url()).await, open(&server.url()).await);
        assert_eq!(loaded(&store).await, None);
        let first = save(&store, None, "1").await;
        assert_eq!(loaded(&other).await, Some((first.clone(), token("1").to_json().expose().to_owned())));
        // The record exists already; a version that never existed; the right version; the version before.
        assert_eq!(replace(&other, None, "2").await, Replaced::Conflict);
        assert_eq!(replace(&other, Some(&Version::new("0")), "2").await, Replaced::Conflict);
        let second = save(&other, Some(&first), "2").await;
        assert_ne!(first, second);
        assert_eq!(replace(&store, Some(&first), "3").await, Replaced::Conflict);
        assert_eq!(loaded(&store.clone()).await.unwrap(), (second.clone(), token("2").to_json().expose().to_owned()));
        store.remove(NAME).await.unwrap();
        store.remove(NAME).await.unwrap();
        assert_eq!(loaded(&store).await, None);
        assert_eq!(replace(&store, Some(&second), "3").await, Replaced::Conflict);
        let third = save(&store, None, "3").await;
        assert!(third != first && third != second);
        // Another name is another record.
        assert!(store.load("other").await.unwrap().is_none());
    }
}

#[cfg(feature = "emulator")]
#[tokio::test(flavor = "multi_thread")]
async fn the_laws_of_a_store_hold() {
    use gettone::store::{Sealing, laws};

    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store =
            RedisStore::builder(server.url()).timeout(10 * SECOND).sealing(Sealing::Off).connect().await.unwrap();
        laws::check(store.clone()).await.unwrap();
        laws::check_lock(store).await.unwrap();
        assert_eq!(keys(&server), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_sealed_is_not_written() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let error = open(&server.url()).await.replace(NAME, None, &plain_token(SECRET)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the record is not sealed, and is not saved; in a store around this one, return `sealing` of this one"
        );
        assert_eq!(keys(&server), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_replaces() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let mut seen = None;
        for round in 0..20 {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..8 {
                let (store, seen) = (open(&server.url()).await, seen.clone());
                tasks.spawn(async move { replace(&store, seen.as_ref(), &format!("{round}-{number}")).await });
            }
            let done: Vec<_> = tasks.join_all().await.into_iter().filter(|done| *done != Replaced::Conflict).collect();
            let [Replaced::Done(version)] = &done[..] else { panic!("{} have replaced it", done.len()) };
            seen = Some(version.clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_shows_no_account_and_ends_with_its_tokens() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = RedisStore::builder(server.url()).prefix("our tokens".replace(' ', "-")).connect().await.unwrap();
        // The check has removed what it wrote.
        assert_eq!(keys(&server), Vec::<String>::new());
        let monitor = Monitor::start(&server);
        let time_left = |key: &str| server.command(&["PTTL", key]).integer();
        // The life of the record follows the client's own clock, whatever the year; it is neither too short nor endless.
        let (minute, hour, year) = (60_000, 3_600_000, 365 * 24 * 3_600_000);
        for (life, least, most) in [
            (Duration::from_secs(3600), hour - minute, hour),
            (Duration::ZERO, 4 * minute, 5 * minute),
            (Duration::from_secs(3600 * 24 * 365 * 1_000), 99 * year, 101 * year),
        ] {
            store.remove(NAME).await.unwrap();
            let Replaced::Done(version) = store.replace(NAME, None, &token_for(SECRET, life)).await.unwrap() else {
                panic!("there is a record")
            };
            let key = token_key(&server);
            let left = time_left(&key);
            assert!((least..=most).contains(&left), "{left} of {life:?}");
            // Each of two names is in its own slot.
            let lock = lock(&store, Some(&version)).await;
            let tag = key.strip_prefix("our-tokens:{").unwrap().strip_suffix("}:token").unwrap();
            assert_eq!(lock_key(&server), Some(format!("our-tokens:{{{tag}}}:lock")));
            // SHA-256, in base64 for URLs.
            assert!(tag.len() == 43 && tag.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{tag}");
            drop(lock);
        }
        let said = monitor.lines().join("\n");
        assert!(said.contains("HMGET") || said.contains(SECRET), "{said}");
        assert!(!said.contains("example.com") && !said.contains("invoices"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_has_a_version_and_is_replaced() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open(&server.url()).await;
        let version = save(&store, None, SECRET).await;
        let key = token_key(&server);
        for damage in [&["HSET", &key, "t", "{"][..], &["HDEL", &key, "t"]] {
            server.command(damage);
            let record = store.load(NAME).await.unwrap().unwrap();
            assert_eq!(*record.version(), version);
            assert!(record.token().is_err());
        }
        let version = save(&store, Some(&version), "2").await;
        assert_eq!(loaded(&store).await.unwrap().0, version);
        // Somebody else's key.
        server.command(&["SET", &key, "x"]);
        let error = text(store.load(NAME).await.unwrap_err());
        assert!(
            error.ends_with(": a key of the store holds something else; choose another prefix, or delete it"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_leaves_a_connection_that_works() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open(&server.url()).await;
        for _ in 0..20 {
            let version = loaded(&store).await.map(|(version, _)| version);
            let token = token("1");
            let mut call = Box::pin(store.replace(NAME, version.as_ref(), &token));
            // The command was sent, and nobody waits for its answer.
            let _ = futures_poll(&mut call).await;
            drop(call);
            let found = loaded(&store).await.map(|(version, _)| version);
            assert!(found.is_some() || found == version);
        }
    }
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_and_a_socket_are_used() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open(&format!("{}/3", server.url())).await;
        let version = save(&store, None, "1").await;
        assert_eq!(keys(&server), Vec::<String>::new());
        let mut connection = server.connect().unwrap();
        connection.command(&["SELECT", "3"]).unwrap();
        assert_eq!(connection.command(&["DBSIZE"]).unwrap(), Reply::Integer(1));
        let socket = open(&format!("unix://{}?db=3", server.socket().display())).await;
        assert_eq!(loaded(&socket).await.unwrap().0, version);
    }
}

#[test]
fn debug_shows_where_and_not_who() {
    let url = format!("redis://alice:{PASSWORD}@127.0.0.1:1/2");
    let builder = RedisStore::builder(&url).password(PASSWORD).username("alice").prefix("ours");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Nobody listens there, which is no error.
    let store = runtime.block_on(builder.clone().connect()).unwrap();
    for (shown, name) in [(format!("{builder:?}"), "RedisStoreBuilder"), (format!("{store:?}"), "RedisStore")] {
        assert_eq!(
            shown,
            format!(r#"{name} {{ servers: ["127.0.0.1:1"], kind: Some(Single), database: 2, prefix: "ours", .. }}"#)
        );
    }
    clean(&format!("{:?}", RedisStore::builder("nothing")));
}
