//! What is forgotten, and what is not.

use super::*;

#[tokio::test]
async fn forgetting_leaves_nothing_behind() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    house.get("a").await;
    house.cache.forget(Which::All).await.unwrap();
    assert_eq!(TokenStore::load(&store, "name of a").await.unwrap(), None);
    assert_eq!(house.get("a").await, "a#2");
    assert_eq!(house.source.previous.lock().unwrap()[1], None);
    // Also what is known of failures: it is tried at once.
    house.fail(wrong_password());
    house.cache.forget(Which::All).await.unwrap();
    house.error("a").await;
    house.recover();
    house.cache.forget(Which::All).await.unwrap();
    assert_eq!(house.get("a").await, "a#4");
    assert_eq!(house.get("b").await, "b#5");
}

#[tokio::test]
async fn forgetting_waits_for_the_exchange_that_is_under_way() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    let gate = house.close("a");
    let callers = house.callers("a", 1);
    house.waiting("a", 1).await;
    let cache = house.cache.clone();
    let forgetting = tokio::spawn(async move { cache.forget(Which::All).await });
    house.waiting("a", 2).await;
    // Who asked may look after it was forgotten, and then asks again.
    gate.add_permits(2);
    forgetting.await.unwrap().unwrap();
    drop(callers.join_all().await);
    // Who asked before has the token, or another one that came after; what was forgotten is gone.
    let kept = TokenStore::load(&store, "name of a").await.unwrap();
    assert!(kept.is_none_or(|token| token.access_token.expose() != "a#1"));
}

#[tokio::test]
async fn only_what_is_meant_is_forgotten() {
    let house = House::new();
    house.get("a").await;
    house.get("b").await;
    let a = AccessToken::new("a#1");
    house.cache.forget(Which::Ended([a].into())).await.unwrap();
    assert_eq!(house.at_once("b").as_deref(), Some("b#2"));
    assert_eq!(house.get("a").await, "a#3");
}

#[tokio::test]
async fn without_a_store_what_comes_meanwhile_is_forgotten_too() {
    let house = House::new();
    let gate = house.close("a");
    let callers = house.callers("a", 1);
    house.waiting("a", 1).await;
    let cache = house.cache.clone();
    let forgetting = tokio::spawn(async move { cache.forget(Which::All).await });
    house.waiting("a", 2).await;
    gate.add_permits(3);
    forgetting.await.unwrap().unwrap();
    drop(callers.join_all().await);
    assert_ne!(house.get("a").await, "a#1");
}

/// What is withdrawn already is not withdrawn once more for each key.
#[tokio::test]
async fn many_keys_are_forgotten_in_a_few_passes() {
    let house = House::with_store(Some(Arc::new(MemoryStore::new())));
    for number in 0..500 {
        house.get(&format!("key {number}")).await;
    }
    let before = house.cache.0.ended.last();
    house.cache.forget(Which::All).await.unwrap();
    assert_eq!(house.cache.0.ended.last() - before, 1);
}
