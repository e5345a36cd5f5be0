//! Tokens that are cleared, deleted or changed while an exchange is in flight.

use super::*;

/// `clear` runs while an exchange of a broad key saves its token. A narrow key has borrowed that token.
#[tokio::test]
async fn a_token_borrowed_during_clear_is_not_returned_afterwards() {
    for is_new in [false, true] {
        let saving = Arc::new(Semaphore::new(0));
        let store = FakeStore { saving: StoreBehavior::Waits(Arc::clone(&saving)), ..FakeStore::default() };
        let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
        if !is_new {
            // The slot exists, and is empty.
            fixture.slot("narrow");
        }
        let gate = fixture.hold("broad");
        let callers = fixture.spawn_callers("broad", 1);
        until(|| fixture.fetches() == 1).await;
        let cache = fixture.cache.clone();
        let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
        fixture.wait_for_waiters("broad", 2).await;
        // The exchange publishes its token, and the store takes its time to save it.
        gate.add_permits(100);
        drop(callers.join_all().await);
        let first = fixture.get("narrow").await;
        assert!(first.starts_with("broad#"), "it may before `clear` returns");
        saving.add_permits(100);
        gate.add_permits(100);
        clearing.await.unwrap().unwrap();
        // Either both slots have a later token, or both are empty.
        assert_eq!(fixture.get_now("narrow"), fixture.get_now("broad"), "new: {is_new}, {first}");
        assert_ne!(fixture.get_now("narrow").as_deref(), Some("broad#1"), "cleared, and still returned");
    }
}

/// A store whose `remove` hangs for one name.
#[derive(Debug)]
struct HangsForOneName(MemoryStore);

impl TokenStore for HangsForOneName {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        TokenStore::load(&self.0, name).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        TokenStore::replace(&self.0, name, seen, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        if name.ends_with(" hangs") {
            std::future::pending::<()>().await;
        }
        TokenStore::remove(&self.0, name).await
    }
}

/// The store hangs for one key while another key's exchange is in flight. Its token must not stay.
#[tokio::test(start_paused = true)]
async fn an_in_flight_token_is_cleared_even_if_the_store_hangs_for_another_key() {
    let fixture = Fixture::with_store(Some(AnyStore::new(HangsForOneName(MemoryStore::new()))));
    fixture.get("hangs").await;
    fixture.wait_idle("hangs").await;
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 1);
    until(|| fixture.fetches() == 2).await;
    let cache = fixture.cache.clone();
    let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
    fixture.wait_for_waiters("a", 2).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(100);
    drop(callers.join_all().await);
    let error = clearing.await.unwrap().unwrap_err();
    assert!(error.is_store(), "{error}");
    // `clear` promises this even if it returns an error.
    assert_ne!(fixture.get_now("a").as_deref(), Some("a#1"), "{error}");
}

/// `clear` is called without a runtime, while an exchange is in flight on one.
#[test]
fn an_in_flight_token_is_cleared_even_without_a_runtime() {
    let fixture = Fixture::with_store(Some(AnyStore::new(MemoryStore::new())));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let gate = fixture.hold("a");
    let inside = runtime.enter();
    assert_eq!(fixture.get_now("a"), None);
    drop(inside);
    while fixture.fetches() == 0 {
        std::thread::yield_now();
    }
    let Poll::Ready(result) = poll_once(fixture.cache.clear(Which::All)) else { panic!("it waits") };
    let error = result.unwrap_err();
    gate.add_permits(100);
    runtime.block_on(fixture.cache.wait_idle());
    assert_ne!(runtime.block_on(async { fixture.get_now("a") }).as_deref(), Some("a#1"), "{error}");
}

/// A store that grants no lock: after some time it says that the record has changed.
#[derive(Debug)]
struct SlowLock(MemoryStore, Duration);

impl TokenStore for SlowLock {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        TokenStore::load(&self.0, name).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        TokenStore::replace(&self.0, name, seen, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        TokenStore::remove(&self.0, name).await
    }

    async fn lock(&self, _: &str, _: Option<&Version>) -> Result<Locked, StoreError> {
        let _ = tokio::time::timeout(self.1, std::future::pending::<()>()).await;
        Ok(Locked::Changed)
    }
}

/// The time limit for locks holds for all keys together, not for each.
#[tokio::test(start_paused = true)]
async fn clear_waits_once_for_a_lock_that_is_never_granted() {
    let fixture = Fixture::with_store(Some(AnyStore::new(SlowLock(MemoryStore::new(), Duration::MAX))));
    let callers: Vec<_> = (0..20).map(|number| fixture.spawn_callers(&format!("key {number}"), 1)).collect();
    for caller in callers {
        assert!(caller.join_all().await.iter().all(Result::is_ok));
    }
    fixture.cache.wait_idle().await;
    let began = Instant::now();
    fixture.cache.clear(Which::All).await.unwrap();
    assert!(began.elapsed() <= 2 * STORE_LOCK_TIMEOUT, "{:?} for 20 keys", began.elapsed());
}

/// The time limit for the lock holds for all attempts together, not for each.
#[tokio::test(start_paused = true)]
async fn an_exchange_waits_once_for_the_lock_of_a_record_that_changes_again_and_again() {
    let fixture = Fixture::with_store(Some(AnyStore::new(SlowLock(MemoryStore::new(), MINUTE))));
    let began = Instant::now();
    assert_eq!(fixture.get("a").await, "a#1");
    assert_eq!(began.elapsed(), STORE_LOCK_TIMEOUT);
}

/// A token is deleted between the service's response and its publication.
#[tokio::test]
async fn a_token_deleted_before_its_response_arrives_is_not_returned() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 1);
    until(|| fixture.fetches() == 1).await;
    // Another program finds it in the account's list and deletes it: the service has already created it.
    fixture.cache.clear(Which::Ended([AccessToken::new("a#1")].into())).await.unwrap();
    gate.add_permits(100);
    drop(callers.join_all().await);
    assert_ne!(fixture.get("a").await, "a#1", "it was deleted");
}

/// The same for a token that is changed.
#[tokio::test]
async fn a_token_changed_before_its_response_arrives_is_not_returned() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 1);
    until(|| fixture.fetches() == 1).await;
    fixture.cache.clear(Which::Changed([AccessToken::new("a#1")].into())).await.unwrap();
    gate.add_permits(100);
    drop(callers.join_all().await);
    assert_ne!(fixture.get("a").await, "a#1", "it was changed, and the cache has its old scopes and expiry");
}

/// The list of ended tokens overflows, and a store still has a token that it could not remove.
#[tokio::test]
async fn a_token_that_a_store_could_not_remove_is_not_loaded_again_even_after_many_others() {
    let fixture = Fixture::with_store(Some(AnyStore::new(races::NoRemoval(MemoryStore::new()))));
    fixture.get("a").await;
    assert!(fixture.cache.clear(Which::All).await.unwrap_err().is_store());
    for number in 0..3_000 {
        fixture.cache.clear(Which::Ended([AccessToken::new(format!("x{number}"))].into())).await.unwrap();
    }
    assert_ne!(fixture.get("a").await, "a#1");
}

/// Random sequences over one store, two caches and several keys: nothing stays busy or hangs, and no ended token comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn random_sequences_leave_nothing_busy_and_bring_no_token_back() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut stale = Vec::new();
    for round in 0..1_500 {
        let store = MemoryStore::new();
        let one = Fixture::with_store(Some(AnyStore::new(store.clone())));
        let other = one.second_process(&store);
        let mut tasks = JoinSet::new();
        for _ in 0..12 {
            let fixture = if rng.bool() { &one } else { &other };
            let cache = fixture.cache.clone();
            let clock = Arc::clone(&fixture.clock);
            let key = ["broad", "broad2", "narrow", "narrow2", "a"][rng.usize(0..5)].to_owned();
            let what = rng.usize(0..7);
            tasks.spawn(async move {
                match what {
                    0..=2 => drop(cache.get(&key).await),
                    3 => {
                        if let Ok(token) = cache.get(&key).await {
                            cache.invalidate(&token);
                        }
                    }
                    4 => drop(cache.clear(Which::All).await),
                    5 => {
                        if let Ok(token) = cache.get(&key).await {
                            drop(cache.clear(Which::Ended([token.clone()].into())).await);
                            for key in ["broad", "broad2", "narrow", "narrow2", "a"] {
                                if let Ok(again) = cache.get(&key.to_owned()).await {
                                    assert_ne!(again, token, "{key}");
                                }
                            }
                        }
                    }
                    _ => clock.advance(28 * MINUTE),
                }
            });
        }
        while let Some(done) = tokio::time::timeout(10 * SECOND, tasks.join_next()).await.expect("it hangs") {
            if done.is_err() {
                stale.push(round);
            }
        }
        for fixture in [&one, &other] {
            tokio::time::timeout(10 * SECOND, fixture.cache.wait_idle()).await.expect("it hangs");
        }
    }
    assert!(stale.is_empty(), "{stale:?}");
}
