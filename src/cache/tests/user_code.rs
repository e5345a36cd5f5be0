//! User code that the cache calls: clocks that panic, and a subscriber that calls back.

use super::*;

/// A clock that panics at its nth reading only.
#[derive(Debug)]
struct PanicsOnce {
    inner: Arc<ManualClock>,
    left: std::sync::atomic::AtomicIsize,
}

impl Clock for PanicsOnce {
    fn now(&self) -> SystemTime {
        self.inner.now()
    }
    fn monotonic(&self) -> Duration {
        assert!(self.left.fetch_sub(1, Ordering::SeqCst) != 0, "as the test set it up");
        self.inner.monotonic()
    }
    fn sleep(&self, duration: Duration) -> crate::clock::Sleep {
        self.inner.sleep(duration)
    }
}

#[tokio::test]
async fn a_clock_that_panics_once_leaves_nothing_busy() {
    let mut busy = Vec::new();
    for with_store in [false, true] {
        for at in 0..120 {
            let fixture = Fixture::new();
            let inner = Arc::clone(&fixture.clock);
            let clock = Arc::new(PanicsOnce { inner: Arc::clone(&inner), left: (-1).into() });
            let store = with_store.then(|| ReportingStore::new(AnyStore::new(MemoryStore::new()), None));
            let cache = Cache::new(Arc::clone(&fixture.source), store, Time::User(Arc::clone(&clock) as _));
            clock.left.store(at, Ordering::SeqCst);
            for key in ["broad", "narrow", "a", "narrow"] {
                let cache = cache.clone();
                let _ = tokio::spawn(async move { cache.get(&key.to_owned()).await }).await;
            }
            inner.advance(57 * MINUTE);
            for key in ["narrow", "broad"] {
                let cache = cache.clone();
                let _ = tokio::spawn(async move { cache.get(&key.to_owned()).await }).await;
            }
            let clearing = cache.clone();
            let _ = tokio::spawn(async move {
                clearing.invalidate(&AccessToken::new("broad#1"));
                clearing.clear(Which::All).await
            })
            .await;
            clock.left.store(-1, Ordering::SeqCst);
            inner.advance(24 * HOUR);
            if tokio::time::timeout(MINUTE, cache.wait_idle()).await.is_err() {
                busy.push((with_store, at));
                continue;
            }
            for key in ["broad", "narrow", "a"] {
                match tokio::time::timeout(MINUTE, cache.get(&key.to_owned())).await {
                    Ok(Ok(_)) => {}
                    _ => busy.push((with_store, at)),
                }
            }
        }
    }
    assert!(busy.is_empty(), "{busy:?}");
}

/// A clock that panics from its nth reading on.
#[derive(Debug)]
struct KeepsPanicking {
    clock: Arc<ManualClock>,
    calls: AtomicUsize,
}

impl KeepsPanicking {
    fn count(&self) {
        let left = self.calls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_ok(), "as the test set it up");
    }
}

impl Clock for KeepsPanicking {
    fn now(&self) -> SystemTime {
        self.count();
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.count();
        self.clock.monotonic()
    }

    fn sleep(&self, duration: Duration) -> crate::clock::Sleep {
        self.count();
        self.clock.sleep(duration)
    }
}

#[tokio::test]
async fn a_clock_that_keeps_panicking_aborts_no_process_and_leaves_nothing_locked() {
    // Wherever it happens: in the caller, in the exchange, or while the exchange cleans up after a panic.
    for calls in 0..160 {
        for panics in [false, true] {
            let fixture = Fixture::new();
            let broken = Arc::new(KeepsPanicking { clock: Arc::clone(&fixture.clock), calls: AtomicUsize::new(calls) });
            fixture.source.panics.store(panics, Ordering::SeqCst);
            let cache = Cache::new(Arc::clone(&fixture.source), None, Time::User(Arc::clone(&broken) as _));
            let asking = cache.clone();
            let result = tokio::spawn(async move { asking.get(&"a".to_owned()).await }).await;
            match result {
                // The panic reached the caller, whose clock it is.
                Err(error) => assert!(error.is_panic()),
                Ok(Err(error)) => assert!(error.is_transient() && !error.is_timeout(), "{error}"),
                Ok(Ok(token)) => assert!(!panics && token.expose().starts_with("a#")),
            }
            // Once the clock works again, the cache recovers as after any failure.
            broken.calls.store(usize::MAX, Ordering::SeqCst);
            fixture.source.panics.store(false, Ordering::SeqCst);
            fixture.clock.advance(HOUR);
            assert!(cache.get(&"a".to_owned()).await.is_ok(), "{calls} {panics}");
        }
    }
}

/// A user's subscriber that ends another token while it handles an event.
#[cfg(feature = "tracing")]
#[test]
fn a_subscriber_may_invalidate_a_token_during_an_event() {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    struct Calls(Cache<Arc<Source>>, AtomicBool);

    impl<S: tracing::Subscriber> Layer<S> for Calls {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            // At the first event of the cache, whatever it is.
            if event.metadata().target() == "gettone::cache" && !self.1.swap(true, Ordering::SeqCst) {
                self.0.invalidate(&AccessToken::new("another"));
            }
        }
    }

    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let fixture = Fixture::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let token = AccessToken::new(runtime.block_on(fixture.get("a")));
        let calls = Calls(fixture.cache.clone(), AtomicBool::new(false));
        let subscriber = tracing_subscriber::registry().with(calls);
        tracing::subscriber::with_default(subscriber, || fixture.cache.invalidate(&token));
        let _ = done.send(());
    });
    is_done.recv_timeout(5 * SECOND).expect("it hangs: the lock of the ended tokens is held during an event");
}
