//! Stores that panic or mix up names.

use super::*;

/// A store that panics in one of its calls, before or after its first await.
#[derive(Debug)]
struct Panicking {
    kept: MemoryStore,
    call: &'static str,
    at_once: bool,
}

impl Panicking {
    fn go(&self, call: &'static str) -> impl Future<Output = ()> + use<> {
        let is_meant = self.call == call;
        assert!(!(is_meant && self.at_once), "as the test set it up");
        async move {
            tokio::task::yield_now().await;
            assert!(!is_meant, "as the test set it up");
        }
    }
}

impl TokenStore for Panicking {
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send {
        let go = self.go("load");
        async move {
            go.await;
            TokenStore::load(&self.kept, name).await
        }
    }

    fn replace(
        &self,
        name: &str,
        seen: Option<&Version>,
        token: &StoredToken,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send {
        let go = self.go("replace");
        async move {
            go.await;
            TokenStore::replace(&self.kept, name, seen, token).await
        }
    }

    fn remove(&self, name: &str) -> impl Future<Output = Result<(), StoreError>> + Send {
        let go = self.go("remove");
        async move {
            go.await;
            TokenStore::remove(&self.kept, name).await
        }
    }

    fn lock(&self, _: &str, _: Option<&Version>) -> impl Future<Output = Result<Locked, StoreError>> + Send {
        struct Unlock(bool);

        impl Drop for Unlock {
            fn drop(&mut self) {
                assert!(!self.0, "as the test set it up");
            }
        }

        let (go, is_unlock) = (self.go("lock"), self.call == "unlock");
        async move {
            go.await;
            Ok(Locked::Held(StoreLock::new(Unlock(is_unlock))))
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_costs_no_caller_a_token() {
    for (call, at_once) in
        ["load", "replace", "remove", "lock", "unlock"].into_iter().flat_map(|it| [(it, true), (it, false)])
    {
        let reported = Arc::new(Mutex::new(Vec::new()));
        let report = {
            let reported = Arc::clone(&reported);
            move |error: &Error| reported.lock().unwrap().push(error.to_string())
        };
        let store = Panicking { kept: MemoryStore::new(), call, at_once };
        let fixture = Fixture::reporting(AnyStore::new(store), Arc::new(report));
        for number in 1..4 {
            assert_eq!(fixture.get("a").await, format!("a#{number}"), "{call}");
            // The pauses between two tries to save.
            for _ in 0..MINUTE.as_secs() {
                if fixture.slot("a").is_busy() {
                    tokio::time::advance(SECOND).await;
                }
            }
            assert!(!fixture.slot("a").is_busy(), "{call}");
            fixture.clock.advance(2 * HOUR);
        }
        let reported = std::mem::take(&mut *reported.lock().unwrap());
        let expected = format!("the store panicked in `{call}`");
        assert!(reported.iter().all(|error| error.contains(&expected)), "{reported:?}");
        assert_eq!(reported.is_empty(), matches!(call, "remove" | "unlock"), "{call}: {reported:?}");
        let cleared = fixture.cache.clear(Which::All).await;
        assert_eq!(cleared.is_err(), call == "remove", "{call}: {cleared:?}");
    }
}

/// A store that returns the record of another name.
#[derive(Debug, Clone, Default)]
struct MixesUpNames(MemoryStore);

impl TokenStore for MixesUpNames {
    async fn load(&self, _: &str) -> Result<Option<Record>, StoreError> {
        TokenStore::load(&self.0, "the only one").await
    }

    async fn replace(&self, _: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        TokenStore::replace(&self.0, "the only one", seen, token).await
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        TokenStore::remove(&self.0, "the only one").await
    }
}

#[tokio::test]
async fn a_record_under_another_name_is_not_returned() {
    let reported = Arc::new(AtomicUsize::new(0));
    let report = {
        let reported = Arc::clone(&reported);
        move |error: &Error| {
            assert!(error.to_string().contains("saved under another name"), "{error}");
            reported.fetch_add(1, Ordering::SeqCst);
        }
    };
    let fixture = Fixture::reporting(AnyStore::new(MixesUpNames::default()), Arc::new(report));
    assert_eq!((fixture.get("a").await, fixture.get("b").await), ("a#1".into(), "b#2".into()));
    assert_eq!(reported.load(Ordering::SeqCst), 2, "once before and once after the lock");
    assert_eq!(fixture.source.previous.lock().unwrap()[1], None, "another key's refresh token is not used");
}

/// A store's future that panics when it is dropped.
#[tokio::test(start_paused = true)]
async fn a_store_future_that_panics_when_dropped_costs_no_caller_a_token() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "as the test set it up");
        }
    }
    /// A future with a destructor.
    struct Armed<T>(Option<T>, #[allow(dead_code)] Bomb);
    impl<T: Unpin> Future for Armed<T> {
        type Output = T;
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
            Poll::Ready(self.0.take().unwrap())
        }
    }
    #[derive(Debug)]
    struct Panicking(&'static str);
    impl TokenStore for Panicking {
        fn load(&self, _: &str) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send {
            Armed(Some(Ok(None)), Bomb(self.0 == "load"))
        }
        fn replace(
            &self,
            _: &str,
            _: Option<&Version>,
            _: &StoredToken,
        ) -> impl Future<Output = Result<Replaced, StoreError>> + Send {
            Armed(Some(Ok(Replaced::Done(Version::new("1")))), Bomb(self.0 == "replace"))
        }
        fn remove(&self, _: &str) -> impl Future<Output = Result<(), StoreError>> + Send {
            Armed(Some(Ok(())), Bomb(self.0 == "remove"))
        }
        fn lock(&self, _: &str, _: Option<&Version>) -> impl Future<Output = Result<Locked, StoreError>> + Send {
            Armed(Some(Ok(Locked::Held(StoreLock::new(())))), Bomb(self.0 == "lock"))
        }
    }
    let mut broken = Vec::new();
    for call in ["load", "replace", "remove", "lock"] {
        let fixture = Fixture::with_store(Some(AnyStore::new(Panicking(call))));
        if let Err(error) = fixture.cache.get(&"a".to_owned()).await {
            broken.push(format!("{call}: get: {error}"));
        }
        fixture.cache.wait_idle().await;
        if let Err(error) = fixture.cache.clear(Which::All).await
            && !error.is_store()
        {
            broken.push(format!("{call}: clear: {error}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A store's error that panics when it is printed or dropped.
#[tokio::test]
async fn a_store_error_that_panics_costs_no_caller_a_token() {
    struct Nasty(&'static str);
    impl fmt::Display for Nasty {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            assert!(self.0 != "display", "as the test set it up");
            Ok(())
        }
    }
    impl fmt::Debug for Nasty {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Ok(())
        }
    }
    impl std::error::Error for Nasty {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            assert!(self.0 != "source", "as the test set it up");
            None
        }
    }
    impl Drop for Nasty {
        fn drop(&mut self) {
            assert!(self.0 != "drop", "as the test set it up");
        }
    }
    #[derive(Debug)]
    struct Failing(&'static str);
    impl TokenStore for Failing {
        async fn load(&self, _: &str) -> Result<Option<Record>, StoreError> {
            Err(Box::new(Nasty(self.0)))
        }
        async fn replace(&self, _: &str, _: Option<&Version>, _: &StoredToken) -> Result<Replaced, StoreError> {
            Ok(Replaced::Done(Version::new("1")))
        }
        async fn remove(&self, _: &str) -> Result<(), StoreError> {
            Ok(())
        }
    }
    // A subscriber formats the error, as with `tracing` in use.
    #[cfg(feature = "tracing")]
    let _listening = tracing::subscriber::set_default(
        tracing_subscriber::FmtSubscriber::builder()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(std::io::sink)
            .finish(),
    );
    let mut broken = Vec::new();
    for (way, is_reporting) in ["display", "source", "drop"].into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let fixture = if is_reporting {
            Fixture::reporting(AnyStore::new(Failing(way)), Arc::new(|_: &Error| ()))
        } else {
            Fixture::with_store(Some(AnyStore::new(Failing(way))))
        };
        if let Err(error) = fixture.cache.get(&"a".to_owned()).await {
            broken.push(format!("{way}, reporting {is_reporting}: {error}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
