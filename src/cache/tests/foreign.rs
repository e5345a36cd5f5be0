//! Stores and clocks of the user's that panic, and stores that mix up names.

use super::*;
use crate::clock::Sleep;

/// A store that panics in one of its calls, before or after it first waits.
#[derive(Debug)]
struct Panicking {
    kept: MemoryStore,
    call: &'static str,
    at_once: bool,
}

impl Panicking {
    fn go(&self, call: &'static str) -> impl Future<Output = ()> + use<> {
        let is_meant = self.call == call;
        assert!(!(is_meant && self.at_once), "as was asked");
        async move {
            tokio::task::yield_now().await;
            assert!(!is_meant, "as was asked");
        }
    }
}

impl TokenStore for Panicking {
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<StoredToken>, StoreError>> + Send {
        let go = self.go("load");
        async move {
            go.await;
            TokenStore::load(&self.kept, name).await
        }
    }

    fn save(&self, name: &str, token: &StoredToken) -> impl Future<Output = Result<(), StoreError>> + Send {
        let go = self.go("save");
        async move {
            go.await;
            TokenStore::save(&self.kept, name, token).await
        }
    }

    fn remove(&self, name: &str) -> impl Future<Output = Result<(), StoreError>> + Send {
        let go = self.go("remove");
        async move {
            go.await;
            TokenStore::remove(&self.kept, name).await
        }
    }

    fn lock(&self, name: &str) -> impl Future<Output = Result<StoreLock, StoreError>> + Send {
        struct Unlock(bool);

        impl Drop for Unlock {
            fn drop(&mut self) {
                assert!(!self.0, "as was asked");
            }
        }

        let (go, is_unlock) = (self.go("lock"), self.call == "unlock");
        let _ = name;
        async move {
            go.await;
            Ok(StoreLock::new(Unlock(is_unlock)))
        }
    }
}

#[tokio::test]
async fn a_store_that_panics_costs_nobody_a_token() {
    for (call, at_once) in
        ["load", "save", "remove", "lock", "unlock"].into_iter().flat_map(|it| [(it, true), (it, false)])
    {
        let said = Arc::new(Mutex::new(Vec::new()));
        let hear = {
            let said = Arc::clone(&said);
            move |error: &Error| said.lock().unwrap().push(error.to_string())
        };
        let store = Panicking { kept: MemoryStore::new(), call, at_once };
        let fixture = Fixture::reporting(AnyStore::new(store), Arc::new(hear));
        for number in 1..4 {
            assert_eq!(fixture.get("a").await, format!("a#{number}"), "{call}");
            fixture.idle("a").await;
            fixture.clock.advance(2 * HOUR);
        }
        let said = std::mem::take(&mut *said.lock().unwrap());
        let expected = format!("the store panicked in `{call}`");
        assert!(said.iter().all(|error| error.contains(&expected)), "{said:?}");
        assert_eq!(said.is_empty(), matches!(call, "remove" | "unlock"), "{call}: {said:?}");
        let forgotten = fixture.cache.clear(Which::All).await;
        assert_eq!(forgotten.is_err(), call == "remove", "{call}: {forgotten:?}");
    }
}

/// A clock that panics from some call on.
#[derive(Debug)]
struct Broken {
    clock: Arc<ManualClock>,
    calls: AtomicUsize,
}

impl Broken {
    fn count(&self) {
        let left = self.calls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_ok(), "as was asked");
    }
}

impl Clock for Broken {
    fn now(&self) -> SystemTime {
        self.count();
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.count();
        self.clock.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.count();
        self.clock.sleep(duration)
    }
}

#[tokio::test]
async fn a_clock_that_panics_ends_no_process_and_locks_nothing() {
    // Wherever it happens: at the caller's, in the exchange, or while a panic of the exchange is cleaned up after.
    for calls in 0..80 {
        for panics in [false, true] {
            let fixture = Fixture::new();
            let broken = Arc::new(Broken { clock: Arc::clone(&fixture.clock), calls: AtomicUsize::new(calls) });
            fixture.source.panics.store(panics, Ordering::SeqCst);
            let cache = Cache::new(Arc::clone(&fixture.source), None, Time::User(Arc::clone(&broken) as _));
            let asking = cache.clone();
            let asked = tokio::spawn(async move { asking.get(&"a".to_owned()).await }).await;
            match asked {
                // It came to the caller, whose clock it is.
                Err(error) => assert!(error.is_panic()),
                Ok(Err(error)) => assert!(error.is_transient() && !error.is_timeout(), "{error}"),
                Ok(Ok(token)) => assert!(!panics && token.expose().starts_with("a#")),
            }
            // Repaired, all is as after any failure.
            broken.calls.store(usize::MAX, Ordering::SeqCst);
            fixture.source.panics.store(false, Ordering::SeqCst);
            fixture.clock.advance(HOUR);
            assert!(cache.get(&"a".to_owned()).await.is_ok(), "{calls} {panics}");
        }
    }
}

/// A store that gives the record of another name.
#[derive(Debug, Clone, Default)]
struct Mixed(MemoryStore);

impl TokenStore for Mixed {
    async fn load(&self, _: &str) -> Result<Option<StoredToken>, StoreError> {
        TokenStore::load(&self.0, "the only one").await
    }

    async fn save(&self, _: &str, token: &StoredToken) -> Result<(), StoreError> {
        TokenStore::save(&self.0, "the only one", token).await
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        TokenStore::remove(&self.0, "the only one").await
    }
}

#[tokio::test]
async fn a_record_of_another_name_is_not_handed_out() {
    let said = Arc::new(AtomicUsize::new(0));
    let hear = {
        let said = Arc::clone(&said);
        move |error: &Error| {
            assert!(error.to_string().contains("that of another token"), "{error}");
            said.fetch_add(1, Ordering::SeqCst);
        }
    };
    let fixture = Fixture::reporting(AnyStore::new(Mixed::default()), Arc::new(hear));
    assert_eq!((fixture.get("a").await, fixture.get("b").await), ("a#1".into(), "b#2".into()));
    assert_eq!(said.load(Ordering::SeqCst), 2, "before the lock and after it");
    assert_eq!(fixture.source.previous.lock().unwrap()[1], None, "and no refresh token of another is spent");
}

/// a future of the store's that panics when it is dropped.
#[tokio::test]
async fn a_future_of_a_store_that_panics_when_it_is_dropped_costs_nobody_a_token() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "as was asked");
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
        fn load(&self, _: &str) -> impl Future<Output = Result<Option<StoredToken>, StoreError>> + Send {
            Armed(Some(Ok(None)), Bomb(self.0 == "load"))
        }
        fn save(&self, _: &str, _: &StoredToken) -> impl Future<Output = Result<(), StoreError>> + Send {
            Armed(Some(Ok(())), Bomb(self.0 == "save"))
        }
        fn remove(&self, _: &str) -> impl Future<Output = Result<(), StoreError>> + Send {
            Armed(Some(Ok(())), Bomb(self.0 == "remove"))
        }
        fn lock(&self, _: &str) -> impl Future<Output = Result<StoreLock, StoreError>> + Send {
            Armed(Some(Ok(StoreLock::new(()))), Bomb(self.0 == "lock"))
        }
    }
    let mut broken = Vec::new();
    for call in ["load", "save", "remove", "lock"] {
        let fixture = Fixture::with_store(Some(AnyStore::new(Panicking(call))));
        if let Err(error) = fixture.cache.get(&"a".to_owned()).await {
            broken.push(format!("{call}: get: {error}"));
        }
        fixture.cache.wait_idle().await;
        if let Err(error) = fixture.cache.clear(Which::All).await
            && !error.is_store()
        {
            broken.push(format!("{call}: forget: {error}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// an error of the store's that panics when it is printed or dropped.
#[tokio::test]
async fn an_error_of_a_store_that_panics_costs_nobody_a_token() {
    struct Nasty(&'static str);
    impl fmt::Display for Nasty {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            assert!(self.0 != "display", "as was asked");
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
            assert!(self.0 != "source", "as was asked");
            None
        }
    }
    impl Drop for Nasty {
        fn drop(&mut self) {
            assert!(self.0 != "drop", "as was asked");
        }
    }
    #[derive(Debug)]
    struct Failing(&'static str);
    impl TokenStore for Failing {
        async fn load(&self, _: &str) -> Result<Option<StoredToken>, StoreError> {
            Err(Box::new(Nasty(self.0)))
        }
        async fn save(&self, _: &str, _: &StoredToken) -> Result<(), StoreError> {
            Ok(())
        }
        async fn remove(&self, _: &str) -> Result<(), StoreError> {
            Ok(())
        }
    }
    // Somebody listens, as `tracing` has it.
    #[cfg(feature = "tracing")]
    let _listening = tracing::subscriber::set_default(
        tracing_subscriber::FmtSubscriber::builder()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(std::io::sink)
            .finish(),
    );
    let mut broken = Vec::new();
    for (way, heard) in ["display", "source", "drop"].into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let fixture = if heard {
            Fixture::reporting(AnyStore::new(Failing(way)), Arc::new(|_: &Error| ()))
        } else {
            Fixture::with_store(Some(AnyStore::new(Failing(way))))
        };
        if let Err(error) = fixture.cache.get(&"a".to_owned()).await {
            broken.push(format!("{way}, heard {heard}: {error}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
