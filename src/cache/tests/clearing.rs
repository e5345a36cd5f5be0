//! Clearing: what it drops, and what it leaves.

use super::*;

#[tokio::test]
async fn clear_leaves_nothing_behind() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(kept(&store, "name of a").await, None);
    assert_eq!(fixture.get("a").await, "a#2");
    assert_eq!(fixture.source.previous.lock().unwrap()[1], None);
    // It drops failures too: the next caller sends a request at once.
    fixture.fail(wrong_password());
    fixture.cache.clear(Which::All).await.unwrap();
    fixture.get_error("a").await;
    fixture.recover();
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(fixture.get("a").await, "a#4");
    assert_eq!(fixture.get("b").await, "b#5");
}

#[tokio::test]
async fn clear_waits_for_the_in_flight_exchange() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 1);
    fixture.wait_for_waiters("a", 1).await;
    let cache = fixture.cache.clone();
    let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
    fixture.wait_for_waiters("a", 2).await;
    // The caller may wake after the clearing and begin another exchange, twice.
    gate.add_permits(3);
    clearing.await.unwrap().unwrap();
    drop(callers.join_all().await);
    // The caller has the token or a later one; the cleared one is gone from the store.
    let kept = kept(&store, "name of a").await;
    assert!(kept.is_none_or(|token| token.access_token.expose() != "a#1"));
}

#[tokio::test]
async fn clear_drops_only_the_selected_tokens() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    fixture.get("b").await;
    let a = AccessToken::new("a#1");
    fixture.cache.clear(Which::Ended([a].into())).await.unwrap();
    assert_eq!(fixture.get_now("b").as_deref(), Some("b#2"));
    assert_eq!(fixture.get("a").await, "a#3");
}

#[tokio::test]
async fn without_a_store_a_token_that_arrives_during_clear_is_dropped_too() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 1);
    fixture.wait_for_waiters("a", 1).await;
    let cache = fixture.cache.clone();
    let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
    fixture.wait_for_waiters("a", 2).await;
    gate.add_permits(3);
    clearing.await.unwrap().unwrap();
    drop(callers.join_all().await);
    assert_ne!(fixture.get("a").await, "a#1");
}

/// Tokens that are already withdrawn are not withdrawn again for each key.
#[tokio::test]
async fn clear_ends_the_tokens_of_many_keys_in_one_pass() {
    let fixture = Fixture::with_store(Some(AnyStore::new(MemoryStore::new())));
    for number in 0..500 {
        fixture.get(&format!("key {number}")).await;
    }
    let before = fixture.cache.0.ended.last();
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(fixture.cache.0.ended.last() - before, 1);
}
