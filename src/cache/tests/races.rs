//! Races: callers request tokens while these are cleared, deleted or rejected.

use super::*;

#[derive(Debug, Clone, Copy)]
enum End {
    Clear,
    Delete,
    Invalidate,
}

impl End {
    /// Ends a token, then requests every key and a new one. No caller may get that token, whatever runs concurrently.
    async fn run(self, cache: Cache<Arc<Source>>, ended: AccessToken, keys: Vec<String>) -> Result<(), String> {
        match self {
            Self::Clear => cache.clear(Which::All).await.unwrap(),
            Self::Delete => cache.clear(Which::Ended([ended.clone()].into())).await.unwrap(),
            Self::Invalidate => cache.invalidate(&ended),
        }
        for key in keys.iter().chain(&[format!("narrow after {self:?}")]) {
            if cache.get(key).await.unwrap() == ended {
                return Err(format!("{self:?}: {key} got it"));
            }
        }
        Ok(())
    }
}

/// Requests new keys while the token that would serve them ends, once or in three ways at once.
async fn round(ends: &[End], store: Option<MemoryStore>) -> Result<(), String> {
    let fixture = Fixture::with_store(store.map(AnyStore::new));
    let ended = AccessToken::new(fixture.get("broad").await);
    let keys: Vec<String> = (0..3).map(|caller| format!("narrow {caller}")).collect();
    let asking: Vec<_> = keys
        .iter()
        .map(|key| {
            let (cache, key) = (fixture.cache.clone(), key.clone());
            tokio::spawn(async move { cache.get(&key).await.map(drop).map_err(|error| error.to_string()) })
        })
        .collect();
    let ending = ends.iter().map(|end| tokio::spawn(end.run(fixture.cache.clone(), ended.clone(), keys.clone())));
    for task in asking.into_iter().chain(ending.collect::<Vec<_>>()) {
        task.await.unwrap()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_that_ended_is_never_returned_afterwards() {
    use End::{Clear, Delete, Invalidate};

    let mut stale = Vec::new();
    for number in 0..10_000 {
        let ends: &[End] = [&[Clear][..], &[Delete], &[Invalidate], &[Delete, Clear, Invalidate]][number % 4];
        let store = (number % 2 == 0).then(MemoryStore::new);
        stale.extend(round(ends, store).await.map_err(|error| format!("round {number}: {error}")).err());
    }
    assert_eq!(stale.len(), 0, "{}", stale[..stale.len().min(5)].join("\n"));
}

#[tokio::test]
async fn a_token_that_ended_is_not_loaded_from_a_store_again() {
    let store = MemoryStore::new();
    let ours = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let theirs = ours.second_process(&store);
    let token = AccessToken::new(theirs.get("a").await);
    // This client never requested the token. It only knows that the token was deleted.
    ours.cache.clear(Which::Ended([token.clone()].into())).await.unwrap();
    assert_eq!(ours.get("a").await, "a#2");
    // The same if the client has the token and the store cannot remove it.
    let store = FakeStore { other_calls: StoreBehavior::Works, ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    let broken = Fixture::with_store(Some(AnyStore::new(NoRemoval(store.kept.clone()))));
    let token = broken.get("a").await;
    assert_eq!(token, "a#1", "loaded from the store");
    assert!(broken.cache.clear(Which::All).await.unwrap_err().is_store());
    assert!(kept(&store.kept, "name of a").await.is_some(), "it is still there");
    assert_eq!((broken.get("a").await.as_str(), broken.fetches()), ("a#1", 1), "its own source fetched none");
    assert_eq!(broken.source.previous.lock().unwrap().len(), 1);
}

/// A store that cannot remove a record.
#[derive(Debug)]
pub(super) struct NoRemoval(pub(super) MemoryStore);

impl TokenStore for NoRemoval {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        TokenStore::load(&self.0, name).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        TokenStore::replace(&self.0, name, seen, token).await
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        Err("no disk".into())
    }
}

#[tokio::test]
async fn an_ended_token_that_the_service_returns_again_is_valid_again() {
    let fixture = Fixture::new();
    let token = AccessToken::new("a#2");
    fixture.cache.clear(Which::Ended([token.clone()].into())).await.unwrap();
    fixture.get("a").await;
    fixture.cache.invalidate(&AccessToken::new("a#1"));
    assert_eq!(fixture.get("a").await, "a#2");
}
