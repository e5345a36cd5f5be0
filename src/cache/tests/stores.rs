//! Stores: which calls they get, in which order, and what their failures cost.

use super::*;

#[tokio::test]
async fn a_slow_store_delays_no_caller_and_the_exchange_ends_after_it_answers() {
    let gate = Arc::new(Semaphore::new(0));
    let store = FakeStore { saving: StoreBehavior::Waits(Arc::clone(&gate)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    // All waiters get the token, although the store call has not finished.
    for token in fixture.spawn_callers("a", 10).join_all().await {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    assert!(kept(&store.kept, "name of a").await.is_none());
    let cache = fixture.cache.clone();
    let idle = tokio::spawn(async move { cache.wait_idle().await });
    fixture.wait_for_waiters("a", 1).await;
    assert!(!idle.is_finished() && fixture.slot("a").is_busy());
    gate.add_permits(1);
    idle.await.unwrap();
    assert_eq!(kept(&store.kept, "name of a").await.unwrap().access_token.expose(), "a#1");
    assert_eq!(fixture.fetches(), 1);
}

/// A service whose refresh ends the previous token: it would reject each call with that one.
#[tokio::test]
async fn the_next_token_is_returned_while_the_store_hangs() {
    // For the first token and the claim.
    let gate = Arc::new(Semaphore::new(2));
    let store = FakeStore { saving: StoreBehavior::Waits(Arc::clone(&gate)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store)));
    fixture.source.ends_previous.store(true, Ordering::SeqCst);
    assert_eq!(fixture.get("a").await, "a#1");
    fixture.wait_idle("a").await;
    fixture.clock.advance(57 * MINUTE);
    assert_eq!(fixture.get("a").await, "a#2");
    assert!(fixture.slot("a").is_busy());
    for _ in 0..100 {
        assert_eq!(fixture.get_now("a").as_deref(), Some("a#2"));
    }
    assert_eq!(fixture.fetches(), 2);
}

/// The exchange that brought the token is still saving it when the token enters its refresh window.
#[tokio::test]
async fn callers_wait_for_the_refresh_and_not_for_the_save_before_it() {
    let gate = Arc::new(Semaphore::new(0));
    let store = FakeStore { saving: StoreBehavior::Waits(Arc::clone(&gate)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store)));
    fixture.source.ends_previous.store(true, Ordering::SeqCst);
    assert_eq!(fixture.get("a").await, "a#1");
    fixture.clock.advance(57 * MINUTE);
    let callers = fixture.spawn_callers("a", 5);
    fixture.wait_for_waiters("a", 5).await;
    assert_eq!(fixture.fetches(), 1);
    gate.add_permits(2);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#2");
    }
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_token_cleared_while_the_store_saves_it_does_not_come_back() {
    let gate = Arc::new(Semaphore::new(0));
    let store = FakeStore { saving: StoreBehavior::Waits(Arc::clone(&gate)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    let cache = fixture.cache.clone();
    let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
    fixture.wait_for_waiters("a", 1).await;
    assert_eq!(fixture.get_now("a"), None);
    gate.add_permits(1);
    clearing.await.unwrap().unwrap();
    let kept = kept(&store.kept, "name of a").await;
    assert!(kept.is_none_or(|token| token.access_token.expose() != "a#1"));
}

#[tokio::test]
async fn two_clients_of_one_store_fetch_once_and_share_their_tokens() {
    // Inside an `Arc` of the caller's own.
    let store = Arc::new(MemoryStore::new());
    let one = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let other = one.second_process(&store);
    let gate = one.hold("a");
    let (of_one, of_other) = (one.spawn_callers("a", 10), other.spawn_callers("a", 10));
    one.wait_for_waiters("a", 10).await;
    other.wait_for_waiters("a", 10).await;
    gate.add_permits(2);
    for token in of_one.join_all().await.into_iter().chain(of_other.join_all().await) {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(one.fetches(), 1);
    // One client refreshes; the other loads the token from the store.
    gate.add_permits(2);
    one.clock.advance(57 * MINUTE);
    one.get("a").await;
    one.wait_idle("a").await;
    assert_eq!(one.fetches(), 2);
    other.get("a").await;
    other.wait_idle("a").await;
    assert_eq!((one.get("a").await, other.get("a").await), ("a#2".to_owned(), "a#2".to_owned()));
    assert_eq!(one.fetches(), 2);
    // A client does not load a token again that was rejected for it. It does load the token that another client fetched
    // instead.
    one.cache.invalidate(&AccessToken::new("a#2"));
    assert_eq!(one.get("a").await, "a#3");
    other.cache.invalidate(&AccessToken::new("a#2"));
    assert_eq!(other.get("a").await, "a#3");
    assert_eq!(one.fetches(), 3);
}

#[tokio::test]
async fn a_new_process_uses_the_stored_token() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let now = fixture.clock.now();
    let keep = async |age: Duration| {
        keep(&store, "name of a", &stored("kept", now - age, HOUR)).await;
        fixture.second_process(&store)
    };
    // Fresh: no request.
    let young = keep(10 * MINUTE).await;
    assert_eq!((young.get("a").await.as_str(), young.fetches()), ("kept", 0));
    // In its refresh window: returned, and refreshed meanwhile.
    let old = keep(57 * MINUTE).await;
    assert_eq!(old.get("a").await, "kept");
    old.get("a").await;
    old.wait_idle("a").await;
    assert_eq!((old.get("a").await.as_str(), old.fetches()), ("a#1", 1));
    // Expired: refreshed.
    let expired = keep(2 * HOUR).await;
    assert_eq!(expired.get("a").await, "a#2");
    let previous = fixture.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.renewal.unwrap().refresh_token.expose(), "r-kept");
}

#[tokio::test]
async fn a_stored_token_from_the_future_is_not_trusted() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let now = fixture.clock.now();
    keep(&store, "name of a", &stored("future", now + 30 * MINUTE, HOUR)).await;
    assert_eq!(fixture.get("a").await, "a#1");
    // A small difference between two clocks is accepted; but no token outlives its lifetime.
    keep(&store, "name of b", &stored("skewed", now + 30 * SECOND, HOUR)).await;
    assert_eq!(fixture.get("b").await, "skewed");
    fixture.clock.advance(HOUR);
    assert_ne!(fixture.get("b").await, "skewed");
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_costs_no_caller_a_token() {
    let fixture = Fixture::with_store(Some(AnyStore::new(FakeStore {
        saving: StoreBehavior::Fails,
        other_calls: StoreBehavior::Fails,
        ..FakeStore::default()
    })));
    assert_eq!(fixture.get("a").await, "a#1");
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    fixture.clock.advance(2 * HOUR);
    assert_eq!(fixture.get("a").await, "a#2");
    assert_eq!(fixture.source.previous.lock().unwrap()[1].as_ref().unwrap().access_token.expose(), "a#1");
    let error = fixture.cache.clear(Which::All).await.unwrap_err();
    assert!(error.is_store() && error.to_string().contains("no disk"), "{error}");
    assert_eq!(fixture.get("a").await, "a#3", "memory was cleared");
}

/// Tokio's paused time advances by itself when every task waits.
#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_costs_no_caller_a_token() {
    let fixture = Fixture::with_store(Some(AnyStore::new(FakeStore {
        saving: StoreBehavior::NeverAnswers,
        other_calls: StoreBehavior::NeverAnswers,
        ..FakeStore::default()
    })));
    assert_eq!(fixture.get("a").await, "a#1");
    assert!(fixture.cache.clear(Which::All).await.unwrap_err().is_store());
}

#[tokio::test]
async fn the_store_record_is_used_even_after_the_system_clock_was_set_back() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    // Three hours back; another process has refreshed the token since.
    fixture.clock.set(fixture.clock.now() - 3 * HOUR);
    let newer = stored("newer", fixture.clock.now() - 2 * HOUR, HOUR);
    keep(&store, "name of a", &newer).await;
    fixture.clock.advance(HOUR);
    fixture.get("a").await;
    let previous = fixture.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), "newer");
}
