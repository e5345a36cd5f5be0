//! Stores: what they are asked, in which order, and what their failures cost.

use super::*;

#[tokio::test]
async fn a_slow_store_holds_up_nobody_and_the_exchange_ends_when_it_has_answered() {
    let gate = Arc::new(Semaphore::new(0));
    let store = FakeStore { saving: Way::Waits(Arc::clone(&gate)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    // All that waited have the token, although the store has not answered.
    for token in fixture.callers("a", 10).join_all().await {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    assert!(TokenStore::load(&store.kept, "name of a").await.unwrap().is_none());
    let cache = fixture.cache.clone();
    let settled = tokio::spawn(async move { cache.wait_idle().await });
    fixture.waiting("a", 1).await;
    assert!(!settled.is_finished() && fixture.slot("a").is_busy());
    gate.add_permits(1);
    settled.await.unwrap();
    assert_eq!(TokenStore::load(&store.kept, "name of a").await.unwrap().unwrap().access_token.expose(), "a#1");
    assert_eq!(fixture.fetches(), 1);
}

/// A service whose refresh ends the token before: each call with that one would be refused.
#[tokio::test]
async fn the_next_token_is_handed_out_while_the_store_hangs() {
    let gate = Arc::new(Semaphore::new(1));
    let store = FakeStore { saving: Way::Waits(Arc::clone(&gate)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store)));
    fixture.source.ends_previous.store(true, Ordering::SeqCst);
    assert_eq!(fixture.get("a").await, "a#1");
    fixture.idle("a").await;
    fixture.clock.advance(57 * MINUTE);
    assert_eq!(fixture.get("a").await, "a#2");
    assert!(fixture.slot("a").is_busy());
    for _ in 0..100 {
        assert_eq!(fixture.at_once("a").as_deref(), Some("a#2"));
    }
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_token_that_is_cleared_while_the_store_saves_it_does_not_come_back() {
    let gate = Arc::new(Semaphore::new(0));
    let store = FakeStore { saving: Way::Waits(Arc::clone(&gate)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    let cache = fixture.cache.clone();
    let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
    fixture.waiting("a", 1).await;
    assert_eq!(fixture.at_once("a"), None);
    gate.add_permits(1);
    clearing.await.unwrap().unwrap();
    let kept = TokenStore::load(&store.kept, "name of a").await.unwrap();
    assert!(kept.is_none_or(|token| token.access_token.expose() != "a#1"));
}

#[tokio::test]
async fn two_clients_of_one_store_fetch_once_and_go_on_with_what_the_other_has() {
    // Shared by an `Arc` of its own, as somebody may have it.
    let store = Arc::new(MemoryStore::new());
    let one = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let other = one.beside(&store);
    let gate = one.close("a");
    let (of_one, of_other) = (one.callers("a", 10), other.callers("a", 10));
    one.waiting("a", 10).await;
    other.waiting("a", 10).await;
    gate.add_permits(2);
    for token in of_one.join_all().await.into_iter().chain(of_other.join_all().await) {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(one.fetches(), 1);
    // One of them refreshes; the other takes it from the store.
    gate.add_permits(2);
    one.clock.advance(57 * MINUTE);
    one.get("a").await;
    one.idle("a").await;
    assert_eq!(one.fetches(), 2);
    other.get("a").await;
    other.idle("a").await;
    assert_eq!((one.get("a").await, other.get("a").await), ("a#2".to_owned(), "a#2".to_owned()));
    assert_eq!(one.fetches(), 2);
    // What one was refused, it does not take from the store again; what the other made of it, it does.
    one.cache.invalidate(&AccessToken::new("a#2"));
    assert_eq!(one.get("a").await, "a#3");
    other.cache.invalidate(&AccessToken::new("a#2"));
    assert_eq!(other.get("a").await, "a#3");
    assert_eq!(one.fetches(), 3);
}

#[tokio::test]
async fn a_new_process_goes_on_with_what_is_stored() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let now = fixture.clock.now();
    let keep = async |age: Duration| {
        TokenStore::save(&store, "name of a", &stored("kept", now - age, HOUR)).await.unwrap();
        fixture.beside(&store)
    };
    // Good: no request.
    let young = keep(10 * MINUTE).await;
    assert_eq!((young.get("a").await.as_str(), young.fetches()), ("kept", 0));
    // Near its end: handed out, and refreshed meanwhile.
    let old = keep(57 * MINUTE).await;
    assert_eq!(old.get("a").await, "kept");
    old.get("a").await;
    old.idle("a").await;
    assert_eq!((old.get("a").await.as_str(), old.fetches()), ("a#1", 1));
    // Over: renewed.
    let over = keep(2 * HOUR).await;
    assert_eq!(over.get("a").await, "a#2");
    let previous = fixture.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.renewal.unwrap().refresh_token.expose(), "r-kept");
}

#[tokio::test]
async fn a_stored_token_from_the_future_is_not_trusted() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let now = fixture.clock.now();
    TokenStore::save(&store, "name of a", &stored("future", now + 30 * MINUTE, HOUR)).await.unwrap();
    assert_eq!(fixture.get("a").await, "a#1");
    // Clocks that do not quite agree are another thing; but no token lives longer than its lifetime.
    TokenStore::save(&store, "name of b", &stored("skewed", now + 30 * SECOND, HOUR)).await.unwrap();
    assert_eq!(fixture.get("b").await, "skewed");
    fixture.clock.advance(HOUR);
    assert_ne!(fixture.get("b").await, "skewed");
}

#[tokio::test]
async fn a_broken_store_costs_nobody_a_token() {
    let fixture = Fixture::with_store(Some(AnyStore::new(FakeStore {
        saving: Way::Fails,
        all_else: Way::Fails,
        ..FakeStore::default()
    })));
    assert_eq!(fixture.get("a").await, "a#1");
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    fixture.clock.advance(2 * HOUR);
    assert_eq!(fixture.get("a").await, "a#2");
    assert_eq!(fixture.source.previous.lock().unwrap()[1].as_ref().unwrap().access_token.expose(), "a#1");
    let error = fixture.cache.clear(Which::All).await.unwrap_err();
    assert!(error.is_store() && error.to_string().contains("no disk"), "{error}");
    assert_eq!(fixture.get("a").await, "a#3", "in memory it was forgotten");
}

/// The runtime's time goes on by itself where everybody waits for it.
#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_costs_nobody_a_token() {
    let fixture = Fixture::with_store(Some(AnyStore::new(FakeStore {
        saving: Way::NeverAnswers,
        all_else: Way::NeverAnswers,
        ..FakeStore::default()
    })));
    assert_eq!(fixture.get("a").await, "a#1");
    assert!(fixture.cache.clear(Which::All).await.unwrap_err().is_store());
}

#[tokio::test]
async fn what_could_not_be_saved_leaves_nothing_old_in_the_store() {
    let store = FakeStore { saving: Way::Fails, ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let old = stored("old", fixture.clock.now() - 2 * HOUR, HOUR);
    TokenStore::save(&store.kept, "name of a", &old).await.unwrap();
    assert_eq!(fixture.get("a").await, "a#1");
    assert_eq!(TokenStore::load(&store.kept, "name of a").await.unwrap(), None);
    // What it can be renewed with is in memory alone.
    fixture.clock.advance(2 * HOUR);
    fixture.get("a").await;
    let previous = fixture.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), "a#1");
}

#[tokio::test]
async fn what_the_store_has_counts_also_after_the_time_of_day_was_corrected() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    // Three hours back; another process has renewed the token since.
    fixture.clock.set(fixture.clock.now() - 3 * HOUR);
    let newer = stored("newer", fixture.clock.now() - 2 * HOUR, HOUR);
    TokenStore::save(&store, "name of a", &newer).await.unwrap();
    fixture.clock.advance(HOUR);
    fixture.get("a").await;
    let previous = fixture.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), "newer");
}
