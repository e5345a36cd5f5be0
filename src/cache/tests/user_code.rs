//! Code of the user's that is called in the middle of something: a clock at any reading, a subscriber of events.

use super::*;

/// A clock that panics at its nth reading: does anything stay busy, hang, or stay locked?
#[derive(Debug)]
struct Ticking {
    inner: Arc<ManualClock>,
    left: std::sync::atomic::AtomicIsize,
}

impl Clock for Ticking {
    fn now(&self) -> SystemTime {
        self.inner.now()
    }
    fn monotonic(&self) -> Duration {
        assert!(self.left.fetch_sub(1, Ordering::SeqCst) != 0, "as was asked");
        self.inner.monotonic()
    }
    fn sleep(&self, duration: Duration) -> crate::clock::Sleep {
        self.inner.sleep(duration)
    }
}

#[tokio::test]
async fn a_clock_that_panics_at_any_reading_leaves_nothing_busy() {
    let mut busy = Vec::new();
    for with_store in [false, true] {
        for at in 0..60 {
            let fixture = Fixture::new();
            let inner = Arc::clone(&fixture.clock);
            let clock = Arc::new(Ticking { inner: Arc::clone(&inner), left: (-1).into() });
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

/// A subscriber of the user's that ends another token in the middle of an event.
#[cfg(feature = "tracing")]
#[test]
fn a_subscriber_may_give_a_token_up() {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    struct Calls(Cache<Arc<Source>>, AtomicBool);

    impl<S: tracing::Subscriber> Layer<S> for Calls {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            // Whatever the client says: one more token is given up, once.
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
    is_done.recv_timeout(5 * SECOND).expect("it hangs: the lock of the ended tokens is cached while an event is told");
}
