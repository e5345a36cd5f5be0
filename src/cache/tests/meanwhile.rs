//! Tokens that are forgotten, deleted or changed while an exchange is under way.

use super::*;

/// `clear` while an exchange of a broad key saves what it has brought. A narrow key borrows that, and keeps it afterwards.
#[tokio::test]
async fn what_comes_while_all_is_cleared_is_not_on_loan_afterwards() {
    for is_new in [false, true] {
        let saving = Arc::new(Semaphore::new(0));
        let store = FakeStore { saving: Way::Waits(Arc::clone(&saving)), ..FakeStore::default() };
        let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
        if !is_new {
            // The slot exists, and holds nothing.
            fixture.slot("narrow");
        }
        let gate = fixture.close("broad");
        let callers = fixture.callers("broad", 1);
        until(|| fixture.fetches() == 1).await;
        let cache = fixture.cache.clone();
        let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
        fixture.waiting("broad", 2).await;
        // The exchange brings its token, and the store takes its time to keep it.
        gate.add_permits(100);
        drop(callers.join_all().await);
        let first = fixture.get("narrow").await;
        assert!(first.starts_with("broad#"), "before the clearing is over it may");
        saving.add_permits(100);
        gate.add_permits(100);
        clearing.await.unwrap().unwrap();
        // Either both have what came after it, or neither has anything.
        assert_eq!(fixture.at_once("narrow"), fixture.at_once("broad"), "new: {is_new}, {first}");
        assert_ne!(fixture.at_once("narrow").as_deref(), Some("broad#1"), "forgotten, and still handed out");
    }
}

/// A store in which one name hangs.
#[derive(Debug)]
struct Hanging(MemoryStore);

impl TokenStore for Hanging {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        TokenStore::load(&self.0, name).await
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        TokenStore::save(&self.0, name, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        if name.ends_with(" hangs") {
            std::future::pending::<()>().await;
        }
        TokenStore::remove(&self.0, name).await
    }
}

/// the store does not answer for one key, and another key's exchange is under way: what that brings stays.
#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_cleared_although_the_store_hangs_for_another_key() {
    let fixture = Fixture::with_store(Some(AnyStore::new(Hanging(MemoryStore::new()))));
    fixture.get("hangs").await;
    fixture.idle("hangs").await;
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 1);
    until(|| fixture.fetches() == 2).await;
    let cache = fixture.cache.clone();
    let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
    fixture.waiting("a", 2).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(100);
    drop(callers.join_all().await);
    let error = clearing.await.unwrap().unwrap_err();
    assert!(error.is_store(), "{error}");
    // "Whatever it is, none of these tokens is handed out any more."
    assert_ne!(fixture.at_once("a").as_deref(), Some("a#1"), "{error}");
}

/// `clear` where there is no runtime, while an exchange is under way on one.
#[test]
fn what_is_under_way_is_cleared_without_a_runtime_too() {
    let fixture = Fixture::with_store(Some(AnyStore::new(MemoryStore::new())));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let gate = fixture.close("a");
    let inside = runtime.enter();
    assert_eq!(fixture.at_once("a"), None);
    drop(inside);
    while fixture.fetches() == 0 {
        std::thread::yield_now();
    }
    let Poll::Ready(result) = at_once(fixture.cache.clear(Which::All)) else { panic!("it waits") };
    let error = result.unwrap_err();
    gate.add_permits(100);
    runtime.block_on(fixture.cache.wait_idle());
    assert_ne!(runtime.block_on(async { fixture.at_once("a") }).as_deref(), Some("a#1"), "{error}");
}

/// a lock that never comes is waited for key after key.
#[tokio::test(start_paused = true)]
async fn a_lock_that_never_comes_is_waited_for_once_by_all_that_is_cleared() {
    #[derive(Debug)]
    struct Locked(MemoryStore);

    impl TokenStore for Locked {
        async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
            TokenStore::load(&self.0, name).await
        }

        async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
            TokenStore::save(&self.0, name, token).await
        }

        async fn remove(&self, name: &str) -> Result<(), StoreError> {
            TokenStore::remove(&self.0, name).await
        }

        async fn lock(&self, _: &str) -> Result<StoreLock, StoreError> {
            std::future::pending().await
        }
    }

    let fixture = Fixture::with_store(Some(AnyStore::new(Locked(MemoryStore::new()))));
    let callers: Vec<_> = (0..20).map(|number| fixture.callers(&format!("key {number}"), 1)).collect();
    for caller in callers {
        assert!(caller.join_all().await.iter().all(Result::is_ok));
    }
    fixture.cache.wait_idle().await;
    let began = Instant::now();
    fixture.cache.clear(Which::All).await.unwrap();
    assert!(began.elapsed() <= 2 * STORE_LOCK_TIMEOUT, "{:?} for 20 keys", began.elapsed());
}

/// a token that is deleted between the service's answer and its publication.
#[tokio::test]
async fn a_token_that_is_deleted_before_its_answer_comes_is_not_handed_out() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 1);
    until(|| fixture.fetches() == 1).await;
    // Somebody finds it in the account's list, and deletes it: the service has made it already.
    fixture.cache.clear(Which::Ended([AccessToken::new("a#1")].into())).await.unwrap();
    gate.add_permits(100);
    drop(callers.join_all().await);
    assert_ne!(fixture.get("a").await, "a#1", "it was deleted");
}

/// The same for one that was changed.
#[tokio::test]
async fn a_token_that_is_changed_before_its_answer_comes_is_not_handed_out() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 1);
    until(|| fixture.fetches() == 1).await;
    fixture.cache.clear(Which::Changed([AccessToken::new("a#1")].into())).await.unwrap();
    gate.add_permits(100);
    drop(callers.join_all().await);
    assert_ne!(fixture.get("a").await, "a#1", "it was changed, and the cache has its old scopes and end");
}

/// the memory of ended tokens is overrun, and a store that could not remove one gives it back.
#[tokio::test]
async fn what_a_store_could_not_remove_is_not_taken_from_it_after_many_others() {
    let fixture = Fixture::with_store(Some(AnyStore::new(races::NoRemoval(MemoryStore::new()))));
    fixture.get("a").await;
    assert!(fixture.cache.clear(Which::All).await.unwrap_err().is_store());
    for number in 0..3_000 {
        fixture.cache.clear(Which::Ended([AccessToken::new(format!("x{number}"))].into())).await.unwrap();
    }
    assert_ne!(fixture.get("a").await, "a#1");
}

/// Random sequences over one store, two caches, many keys: nothing is left busy, nothing hangs, and nothing that was ended comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn random_sequences_leave_nothing_busy_and_bring_nothing_back() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut stale = Vec::new();
    for round in 0..1_500 {
        let store = MemoryStore::new();
        let one = Fixture::with_store(Some(AnyStore::new(store.clone())));
        let other = one.beside(&store);
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
