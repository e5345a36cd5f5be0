//! Locks: who has one, for how long, and how it ends.

use std::time::Duration;

use gettone::store::{Locked, RedisStore, TokenStore, Version};
use tokio::time::{Instant, timeout};

use super::common::engine::{Engine, Options, Reply, Server, eventually};
use super::{NAME, SECOND, lock, lock_key, open, save};

/// The life of a lock in these tests.
const LIFE: Duration = Duration::from_millis(600);

async fn open_quick(server: &Server, limit: Duration) -> RedisStore {
    RedisStore::builder(server.url()).timeout(10 * SECOND).lock_times(LIFE, limit).connect().await.unwrap()
}

/// Waits for some time of a server, which no clock of a test moves.
async fn pass(time: Duration) {
    let _ = timeout(time, std::future::pending::<()>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_held_until_it_is_released() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let (store, other) = (open(&server.url()).await, open(&server.url()).await);
        let held = lock(&store, None).await;
        // Nobody shortens it: 15 s.
        let left = server.command(&["PTTL", &lock_key(&server).unwrap()]).integer();
        assert!((10_000..=15_000).contains(&left), "{left}");
        let waiting = tokio::spawn(async move { lock(&other, None).await });
        pass(Duration::from_millis(300)).await;
        assert!(!waiting.is_finished());
        // Another name has another lock.
        assert!(matches!(store.lock("other", None).await.unwrap(), Locked::Held(_)));
        drop(held);
        let held = timeout(5 * SECOND, waiting).await.unwrap().unwrap();
        assert!(lock_key(&server).is_some());
        drop(held);
        eventually("the lock is released", || lock_key(&server).is_none().then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_of_a_new_record() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let (store, other) = (open(&server.url()).await, open(&server.url()).await);
        let held = lock(&store, None).await;
        let waiting = tokio::spawn(async move { other.lock(NAME, None).await.unwrap() });
        pass(Duration::from_millis(100)).await;
        let first = save(&store, None, "1").await;
        let told = timeout(5 * SECOND, waiting).await.unwrap().unwrap();
        assert!(matches!(told, Locked::Changed), "{told:?}");
        // If the record has changed already, the call returns at once and locks nothing, even if nobody has the lock.
        drop(held);
        eventually("the lock is released", || lock_key(&server).is_none().then_some(()));
        for seen in [None, Some(Version::new("0"))] {
            assert!(matches!(store.lock(NAME, seen.as_ref()).await.unwrap(), Locked::Changed));
        }
        assert_eq!(lock_key(&server), None);
        store.remove(NAME).await.unwrap();
        assert!(matches!(store.lock(NAME, Some(&first)).await.unwrap(), Locked::Changed));
        assert!(matches!(store.lock(NAME, None).await.unwrap(), Locked::Held(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_too_long_is_told_that_it_is_busy() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open(&server.url()).await;
        let _held = lock(&store, None).await;
        let impatient = open_quick(&server, LIFE).await;
        let start = Instant::now();
        let told = impatient.lock(NAME, None).await.unwrap();
        assert!(matches!(told, Locked::Busy), "{told:?}");
        assert!(start.elapsed() >= LIFE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_extended_while_it_is_held_but_not_forever() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open_quick(&server, 4 * LIFE).await;
        let start = Instant::now();
        let held = lock(&store, None).await;
        while start.elapsed() < 3 * LIFE {
            assert!(lock_key(&server).is_some(), "after {:?}", start.elapsed());
            pass(LIFE / 10).await;
        }
        eventually("the lock ends although it is held", || lock_key(&server).is_none().then_some(()));
        assert!(start.elapsed() > 4 * LIFE, "{:?}", start.elapsed());
        // The lock of somebody else, which the end of this one leaves alone.
        let other = open(&server.url()).await;
        let _others = lock(&other, None).await;
        drop(held);
        pass(LIFE).await;
        assert!(lock_key(&server).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_program_that_ends_ends_too() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let url = server.url();
        // The runtime ends with all its tasks, as in a program that ends. The guard outlives it.
        let held = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let store = RedisStore::builder(url).lock_times(LIFE, 100 * LIFE).connect().await.unwrap();
                lock(&store, None).await
            })
        });
        let _held = held.join().unwrap();
        assert!(lock_key(&server).is_some());
        let store = open(&server.url()).await;
        let start = Instant::now();
        let _next = lock(&store, None).await;
        assert!(start.elapsed() < 10 * LIFE, "{:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lost_the_lock_does_not_release_that_of_another() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let store = open_quick(&server, 100 * LIFE).await;
        let held = lock(&store, None).await;
        let key = lock_key(&server).unwrap();
        server.command(&["SET", &key, "somebody"]);
        // Even after the time of the next extension.
        pass(LIFE).await;
        assert_eq!(server.command(&["PTTL", &key]), Reply::Integer(-1));
        drop(held);
        pass(LIFE / 2).await;
        assert_eq!(server.command(&["GET", &key]), "somebody".into());
    }
}
