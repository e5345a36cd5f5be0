//! What is forgotten, and what is not.

use super::*;

#[tokio::test]
async fn forgetting_leaves_nothing_behind() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(TokenStore::load(&store, "name of a").await.unwrap(), None);
    assert_eq!(fixture.get("a").await, "a#2");
    assert_eq!(fixture.source.previous.lock().unwrap()[1], None);
    // Also what is known of failures: it is tried at once.
    fixture.fail(wrong_password());
    fixture.cache.clear(Which::All).await.unwrap();
    fixture.error("a").await;
    fixture.recover();
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(fixture.get("a").await, "a#4");
    assert_eq!(fixture.get("b").await, "b#5");
}

#[tokio::test]
async fn forgetting_waits_for_the_exchange_that_is_under_way() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 1);
    fixture.waiting("a", 1).await;
    let cache = fixture.cache.clone();
    let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
    fixture.waiting("a", 2).await;
    // The caller may look after the clearing, twice, and then asks again each time.
    gate.add_permits(3);
    clearing.await.unwrap().unwrap();
    drop(callers.join_all().await);
    // Who asked before has the token, or another one that came after; what was forgotten is gone.
    let kept = TokenStore::load(&store, "name of a").await.unwrap();
    assert!(kept.is_none_or(|token| token.access_token.expose() != "a#1"));
}

#[tokio::test]
async fn only_what_is_meant_is_cleared() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    fixture.get("b").await;
    let a = AccessToken::new("a#1");
    fixture.cache.clear(Which::Ended([a].into())).await.unwrap();
    assert_eq!(fixture.at_once("b").as_deref(), Some("b#2"));
    assert_eq!(fixture.get("a").await, "a#3");
}

#[tokio::test]
async fn without_a_store_what_comes_meanwhile_is_cleared_too() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 1);
    fixture.waiting("a", 1).await;
    let cache = fixture.cache.clone();
    let clearing = tokio::spawn(async move { cache.clear(Which::All).await });
    fixture.waiting("a", 2).await;
    gate.add_permits(3);
    clearing.await.unwrap().unwrap();
    drop(callers.join_all().await);
    assert_ne!(fixture.get("a").await, "a#1");
}

/// What is withdrawn already is not withdrawn once more for each key.
#[tokio::test]
async fn many_keys_are_forgotten_in_a_few_passes() {
    let fixture = Fixture::with_store(Some(AnyStore::new(MemoryStore::new())));
    for number in 0..500 {
        fixture.get(&format!("key {number}")).await;
    }
    let before = fixture.cache.0.ended.last();
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(fixture.cache.0.ended.last() - before, 1);
}
