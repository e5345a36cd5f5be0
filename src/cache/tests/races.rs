//! Tokens that are asked for while they are forgotten, deleted or refused.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Forget,
    Delete,
    Invalidate,
}

/// Asks for keys that nobody has asked for before, while the token that would serve them is ended. Nobody may get that token afterwards.
async fn round(number: usize, end: End, store: Option<MemoryStore>) -> Result<(), String> {
    let house = House::with_store(store.map(|store| Arc::new(store) as _));
    let ended = AccessToken::new(house.get("broad").await);
    let asking: Vec<_> = (0..3)
        .map(|caller| {
            let cache = house.cache.clone();
            tokio::spawn(async move { cache.get(&format!("narrow {number} {caller}")).await.unwrap() })
        })
        .collect();
    match end {
        End::Forget => house.cache.forget(Which::All).await.unwrap(),
        End::Delete => house.cache.forget(Which::Ended([ended.clone()].into())).await.unwrap(),
        End::Invalidate => house.cache.invalidate(&ended),
    }
    let after = house.at_once(&format!("narrow {number} 0"));
    for caller in asking {
        caller.await.unwrap();
    }
    let keys = (0..3).map(|caller| format!("narrow {number} {caller}")).chain(["broad".to_owned()]);
    for (key, token) in
        keys.map(|key| (house.at_once(&key), key)).map(|(token, key)| (key, token)).chain([("at once".into(), after)])
    {
        if token.as_deref() == Some(ended.expose()) {
            return Err(format!("round {number}, {end:?}: {key} got {token:?}"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_that_was_ended_is_never_handed_out_afterwards() {
    let mut stale = Vec::new();
    for number in 0..10_000 {
        let end = [End::Forget, End::Delete, End::Invalidate][number % 3];
        let store = (number % 2 == 0).then(MemoryStore::new);
        stale.extend(round(number, end, store).await.err());
    }
    assert_eq!(stale.len(), 0, "{}", stale[..stale.len().min(5)].join("\n"));
}

#[tokio::test]
async fn a_token_that_was_ended_is_not_taken_from_a_store_again() {
    let store = MemoryStore::new();
    let ours = House::with_store(Some(Arc::new(store.clone())));
    let theirs = ours.beside(&store);
    let token = AccessToken::new(theirs.get("a").await);
    // We never asked for it, and know nothing of it but that it was deleted.
    ours.cache.forget(Which::Ended([token.clone()].into())).await.unwrap();
    assert_eq!(ours.get("a").await, "a#2");
    // The same where we have it and the store cannot remove it.
    let store = Double { all_else: Way::Works, ..Double::default() };
    let house = House::with_store(Some(Arc::new(store.clone())));
    house.get("a").await;
    let broken = House::with_store(Some(Arc::new(NoRemoval(store.kept.clone()))));
    let token = broken.get("a").await;
    assert_eq!(token, "a#1", "taken from the store");
    assert!(broken.cache.forget(Which::All).await.unwrap_err().is_store());
    assert!(TokenStore::load(&store, "name of a").await.unwrap().is_some(), "it is there still");
    assert_eq!((broken.get("a").await.as_str(), broken.fetches()), ("a#1", 1), "one of its own source");
    assert_eq!(broken.source.previous.lock().unwrap().len(), 1);
}

/// A store that keeps what it has.
#[derive(Debug)]
struct NoRemoval(MemoryStore);

impl TokenStore for NoRemoval {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        TokenStore::load(&self.0, name).await
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        TokenStore::save(&self.0, name, token).await
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        Err("no disk".into())
    }
}

#[tokio::test]
async fn a_token_that_the_service_gives_again_is_good_again() {
    let house = House::new();
    let token = AccessToken::new("a#2");
    house.cache.forget(Which::Ended([token.clone()].into())).await.unwrap();
    house.get("a").await;
    house.cache.invalidate(&AccessToken::new("a#1"));
    assert_eq!(house.get("a").await, "a#2");
}
