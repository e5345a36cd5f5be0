//! Exchanges on runtimes that stop, stall or are missing.

use super::*;

#[tokio::test]
async fn an_idle_cache_leaves_no_task_running() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    fixture.clock.advance(HOUR);
    fixture.get("a").await;
    fixture.wait_idle("a").await;
    until(|| tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0).await;
}

#[tokio::test]
async fn a_panic_in_an_exchange_is_an_error_and_leaves_the_slot_free() {
    let fixture = Fixture::new();
    fixture.source.panics.store(true, Ordering::SeqCst);
    let error = fixture.get_error("a").await;
    assert!(error.is_transient() && error.to_string().contains("was stopped"), "{error}");
    fixture.get_error("a").await;
    assert_eq!(fixture.fetches(), 1, "the slot backs off as after any failure");
    fixture.source.panics.store(false, Ordering::SeqCst);
    fixture.clock.advance(2 * SECOND);
    assert_eq!(fixture.get("a").await, "a#2");
}

#[test]
fn a_runtime_dropped_during_an_exchange_leaves_nothing_locked() {
    let fixture = Fixture::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let gate = fixture.hold("a");
    first.block_on(async {
        fixture.get_now("a");
        until(|| fixture.fetches() >= 1).await;
    });
    // A caller waits for it on another runtime.
    let callers = second.block_on(async {
        let callers = fixture.spawn_callers("a", 10);
        fixture.wait_for_waiters("a", 10).await;
        callers
    });
    drop(first);
    gate.add_permits(10);
    assert!(second.block_on(callers.join_all()).iter().all(Result::is_ok));
    assert_eq!(fixture.fetches(), 2);
}

#[test]
fn a_stopped_runtime_is_an_error_and_causes_no_endless_loop() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    // The whole runtime, not just a shutdown begun: a timer polled meanwhile panics.
    drop(runtime);
    let _inside = handle.enter();
    let key = "a".to_owned();
    let mut future = pin!(fixture.cache.get(&key));
    let result = loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break result;
        }
    };
    assert!(result.unwrap_err().is_transient());
    assert_eq!(fixture.fetches(), 0);
}

#[test]
fn without_a_runtime_a_cached_token_is_returned_and_a_missing_one_is_an_error() {
    let fixture = Fixture::new();
    let key = "a".to_owned();
    let Poll::Ready(Err(error)) = poll_once(fixture.cache.get(&key)) else { panic!("an error at once") };
    assert!(error.is_invalid_input() && error.to_string().contains("no tokio runtime"), "{error}");
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(fixture.get("a"));
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    // The same in the refresh window.
    fixture.clock.advance(57 * MINUTE);
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
}

#[test]
fn a_runtime_that_runs_only_during_calls_is_enough() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..24 * 60 {
        runtime.block_on(fixture.get("a"));
        fixture.clock.advance(MINUTE);
    }
    assert!((24..=27).contains(&fixture.fetches()), "{} in a day", fixture.fetches());
}

#[tokio::test(start_paused = true)]
async fn an_exchange_on_a_stalled_runtime_is_an_error_for_its_waiters() {
    let fixture = Fixture::new();
    let _never = fixture.hold("a");
    let key = "a".to_owned();
    let error = fixture.cache.get(&key).await.unwrap_err();
    assert!(error.is_timeout() && error.is_transient(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_on_a_stalled_runtime_blocks_neither_clear_nor_wait_idle() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let _never = fixture.hold("a");
    fixture.clock.advance(57 * MINUTE);
    fixture.get_now("a");
    until(|| fixture.fetches() >= 2).await;
    let error = tokio::time::timeout(HOUR, fixture.cache.clear(Which::All)).await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(fixture.get_now("a"), None, "no token is returned");
    tokio::time::timeout(HOUR, fixture.cache.wait_idle()).await.unwrap();
    // The same for slots that borrowed their token.
    let fixture = Fixture::new();
    fixture.get("broad").await;
    fixture.get("narrow").await;
    let _never = fixture.hold("broad");
    fixture.clock.advance(57 * MINUTE);
    let mut updates = fixture.slot("narrow").updates.subscribe();
    fixture.get_now("narrow");
    tokio::time::timeout(2 * HOUR, updates.changed()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_exchange_may_still_publish_if_nothing_newer_was_published() {
    let fixture = Fixture::new();
    let stuck = fixture.hold("a");
    fixture.cache.get(&"a".to_owned()).await.unwrap_err();
    stuck.add_permits(1);
    until(|| fixture.get_now("a").is_some()).await;
    assert_eq!((fixture.get_now("a").as_deref(), fixture.fetches()), (Some("a#1"), 1));

    // The next caller begins another exchange, and gets the token that arrives first.
    let fixture = Fixture::new();
    let stuck = fixture.hold("a");
    fixture.cache.get(&"a".to_owned()).await.unwrap_err();
    let callers = fixture.spawn_callers("a", 3);
    fixture.wait_for_waiters("a", 3).await;
    until(|| fixture.fetches() >= 2).await;
    stuck.add_permits(1);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    stuck.add_permits(1);
    fixture.wait_idle("a").await;
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#2"));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_exchange_replaces_nothing_newer() {
    for clears in [false, true] {
        let fixture = Fixture::new();
        let stuck = fixture.hold("a");
        fixture.cache.get(&"a".to_owned()).await.unwrap_err();
        let _other = fixture.hold("a");
        let quick = fixture.hold("a");
        quick.add_permits(1);
        if clears {
            fixture.cache.clear(Which::All).await.unwrap();
        } else {
            assert_eq!(fixture.get("a").await, "a#2");
        }
        stuck.add_permits(1);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let cached = fixture.slot("a").state.load().access_token().map(|token| token.expose().to_owned());
        assert_eq!(cached.as_deref(), if clears { None } else { Some("a#2") });
    }
}

#[test]
fn an_exchange_abandoned_before_it_ran_sends_nothing() {
    let fixture = Fixture::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (still, driven) = (runtime(), runtime());
    {
        let _inside = still.enter();
        assert_eq!(fixture.get_now("a"), None);
    }
    let key = "a".to_owned();
    assert!(driven.block_on(fixture.cache.get(&key)).unwrap_err().is_timeout());
    still.block_on(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(fixture.fetches(), 0);
    assert_eq!(driven.block_on(fixture.get("a")), "a#1");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_begins_another_exchange_if_another_caller_abandons_the_first() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    let first = fixture.spawn_callers("a", 1);
    fixture.wait_for_waiters("a", 1).await;
    tokio::time::advance(5 * MINUTE).await;
    let second = fixture.spawn_callers("a", 1);
    fixture.wait_for_waiters("a", 2).await;
    assert!(first.join_all().await.iter().all(|result| result.as_ref().is_err_and(Error::is_timeout)));
    until(|| fixture.fetches() >= 2).await;
    gate.add_permits(2);
    for token in second.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_on_a_stalled_runtime_does_not_block_the_account_forever() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    fixture.get_error("a").await;
    fixture.recover();
    fixture.clock.advance(11 * MINUTE);
    let _never = fixture.hold("a");
    assert!(fixture.get_error("a").await.is_timeout());
    assert_eq!(fixture.get("b").await, "b#3");
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_an_exchange_as_long_as_it_may_take() {
    let fixture = Fixture::new();
    *fixture.source.longest.lock().unwrap() = 2 * HOUR;
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 3);
    fixture.wait_for_waiters("a", 3).await;
    tokio::time::advance(HOUR).await;
    tokio::task::yield_now().await;
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn wait_idle_returns_when_no_exchange_is_in_flight() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let gate = fixture.hold("a");
    fixture.clock.advance(57 * MINUTE);
    fixture.get_now("a");
    let cache = fixture.cache.clone();
    let idle = tokio::spawn(async move { cache.wait_idle().await });
    fixture.wait_for_waiters("a", 1).await;
    assert!(!idle.is_finished());
    gate.add_permits(1);
    idle.await.unwrap();
    assert_eq!((fixture.get_now("a").as_deref(), fixture.fetches()), (Some("a#2"), 2));
}

#[tokio::test(start_paused = true)]
async fn twenty_stalled_exchanges_share_one_time_limit() {
    for clears in [false, true] {
        for store in [None, Some(AnyStore::new(MemoryStore::new()))] {
            let fixture = Fixture::with_store(store);
            let keys: Vec<String> = (0..20).map(|number| format!("key {number}")).collect();
            let dead = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let inside = dead.enter();
            keys.iter().for_each(|key| assert_eq!(fixture.get_now(key), None));
            drop(inside);
            // An exchange on a live runtime ends meanwhile.
            fixture.get("alive").await;
            let began = Instant::now();
            if clears {
                assert!(fixture.cache.clear(Which::All).await.unwrap_err().is_timeout());
            } else {
                fixture.cache.wait_idle().await;
            }
            assert!(began.elapsed() <= fixture.cache.exchange_limit() + SECOND, "{clears}: {:?}", began.elapsed());
            assert!(keys.iter().all(|key| !fixture.slot(key).is_busy()), "they were abandoned");
            // The cache works as if nothing had been in flight.
            fixture.get("key 0").await;
            fixture.cache.clear(Which::All).await.unwrap();
            std::mem::forget(dead);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clear_waits_once_for_a_store_that_never_answers() {
    let store = FakeStore { other_calls: StoreBehavior::NeverAnswers, ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store)));
    for number in 0..20 {
        fixture.get(&format!("key {number}")).await;
    }
    fixture.cache.wait_idle().await;
    let began = Instant::now();
    let error = fixture.cache.clear(Which::All).await.unwrap_err();
    assert!(error.is_store() && error.to_string().contains("no response in 30 s"), "{error}");
    assert!(began.elapsed() <= STORE_LOCK_TIMEOUT + 2 * STORE_CALL_TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(fixture.get_now("key 0"), None);
}

#[test]
fn a_runtime_without_timers_is_an_error_not_a_panic() {
    let fixture = Fixture::new();
    let timeless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = "a".to_owned();
    let error = timeless.block_on(fixture.cache.get(&key)).unwrap_err();
    assert!(error.is_invalid_input() && error.to_string().contains("has no timers"), "{error}");
    assert_eq!(fixture.fetches(), 0);
    // With a usable token there is nothing to wait for.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(fixture.get("a"));
    for patient in [false, true] {
        fixture.source.ends_previous.store(patient, Ordering::SeqCst);
        fixture.clock.advance(if patient { Duration::ZERO } else { 57 * MINUTE });
        assert_eq!(timeless.block_on(fixture.get("a")), "a#1");
    }
    // The same while another task's refresh is in flight, for which a caller would otherwise wait.
    let gate = fixture.hold("a");
    runtime.block_on(async { fixture.get_now("a") });
    assert!(fixture.slot("a").is_busy());
    assert_eq!(timeless.block_on(fixture.get("a")), "a#1");
    gate.add_permits(1);
    runtime.block_on(fixture.cache.wait_idle());
    timeless.block_on(fixture.cache.wait_idle());
    timeless.block_on(fixture.cache.clear(Which::All)).unwrap();
    assert_eq!(runtime.block_on(async { fixture.get_now("a") }), None);
}

#[tokio::test(start_paused = true)]
async fn a_source_may_set_any_time_limit() {
    let fixture = Fixture::with_store(Some(AnyStore::new(MemoryStore::new())));
    *fixture.source.longest.lock().unwrap() = Duration::MAX;
    fixture.get("a").await;
    fixture.cache.wait_idle().await;
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(fixture.get("a").await, "a#2");
}
