//! Exchanges on runtimes that stop, stand still or are missing.

use super::*;

#[tokio::test]
async fn no_task_is_left_when_nothing_is_to_be_done() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    fixture.clock.advance(HOUR);
    fixture.get("a").await;
    fixture.idle("a").await;
    until(|| tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0).await;
}

#[tokio::test]
async fn a_panic_in_the_exchange_is_an_error_and_the_next_try_is_free() {
    let fixture = Fixture::new();
    fixture.source.panics.store(true, Ordering::SeqCst);
    let error = fixture.error("a").await;
    assert!(error.is_transient() && error.to_string().contains("was stopped"), "{error}");
    fixture.error("a").await;
    assert_eq!(fixture.fetches(), 1, "it backs off as after any failure");
    fixture.source.panics.store(false, Ordering::SeqCst);
    fixture.clock.advance(2 * SECOND);
    assert_eq!(fixture.get("a").await, "a#2");
}

#[test]
fn a_runtime_that_is_dropped_amid_an_exchange_leaves_nothing_locked() {
    let fixture = Fixture::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let gate = fixture.close("a");
    first.block_on(async {
        fixture.at_once("a");
        until(|| fixture.fetches() >= 1).await;
    });
    // Somebody waits for it on another runtime.
    let callers = second.block_on(async {
        let callers = fixture.callers("a", 10);
        fixture.waiting("a", 10).await;
        callers
    });
    drop(first);
    gate.add_permits(10);
    assert!(second.block_on(callers.join_all()).iter().all(Result::is_ok));
    assert_eq!(fixture.fetches(), 2);
}

#[test]
fn a_runtime_that_ended_is_an_error_and_no_endless_loop() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    // All of it, and not merely begun: a timer that is polled meanwhile panics.
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
fn without_a_runtime_a_good_token_is_handed_out_and_a_missing_one_is_an_error() {
    let fixture = Fixture::new();
    let key = "a".to_owned();
    let Poll::Ready(Err(error)) = at_once(fixture.cache.get(&key)) else { panic!("an error at once") };
    assert!(error.is_invalid_input() && error.to_string().contains("no tokio runtime"), "{error}");
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(fixture.get("a"));
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    // Also where a refresh would begin.
    fixture.clock.advance(57 * MINUTE);
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
}

#[test]
fn a_runtime_of_one_thread_that_runs_for_each_call_alone_is_served() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..24 * 60 {
        runtime.block_on(fixture.get("a"));
        fixture.clock.advance(MINUTE);
    }
    assert!((24..=27).contains(&fixture.fetches()), "{} in a day", fixture.fetches());
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_nobody_drives_is_an_error_for_those_who_wait() {
    let fixture = Fixture::new();
    let _never = fixture.close("a");
    let key = "a".to_owned();
    let error = fixture.cache.get(&key).await.unwrap_err();
    assert!(error.is_timeout() && error.is_transient(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_nobody_drives_holds_up_neither_the_end_nor_the_forgetting() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let _never = fixture.close("a");
    fixture.clock.advance(57 * MINUTE);
    fixture.at_once("a");
    until(|| fixture.fetches() >= 2).await;
    let error = tokio::time::timeout(HOUR, fixture.cache.clear(Which::All)).await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(fixture.at_once("a"), None, "none is handed out");
    tokio::time::timeout(HOUR, fixture.cache.wait_idle()).await.unwrap();
    // Nor those who live on a loan.
    let fixture = Fixture::new();
    fixture.get("broad").await;
    fixture.get("narrow").await;
    let _never = fixture.close("broad");
    fixture.clock.advance(57 * MINUTE);
    let mut updates = fixture.slot("narrow").updates.subscribe();
    fixture.at_once("narrow");
    tokio::time::timeout(2 * HOUR, updates.changed()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_an_exchange_that_was_given_up_brings_is_taken_if_there_is_nothing_newer() {
    let fixture = Fixture::new();
    let stuck = fixture.close("a");
    fixture.cache.get(&"a".to_owned()).await.unwrap_err();
    stuck.add_permits(1);
    until(|| fixture.at_once("a").is_some()).await;
    assert_eq!((fixture.at_once("a").as_deref(), fixture.fetches()), (Some("a#1"), 1));

    // Whoever asks next begins another exchange, and takes what comes first.
    let fixture = Fixture::new();
    let stuck = fixture.close("a");
    fixture.cache.get(&"a".to_owned()).await.unwrap_err();
    let callers = fixture.callers("a", 3);
    fixture.waiting("a", 3).await;
    until(|| fixture.fetches() >= 2).await;
    stuck.add_permits(1);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    stuck.add_permits(1);
    fixture.idle("a").await;
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#2"));
}

#[tokio::test(start_paused = true)]
async fn what_an_exchange_that_was_given_up_brings_displaces_nothing_newer() {
    for forgotten in [false, true] {
        let fixture = Fixture::new();
        let stuck = fixture.close("a");
        fixture.cache.get(&"a".to_owned()).await.unwrap_err();
        let _other = fixture.close("a");
        let quick = fixture.close("a");
        quick.add_permits(1);
        if forgotten {
            fixture.cache.clear(Which::All).await.unwrap();
        } else {
            assert_eq!(fixture.get("a").await, "a#2");
        }
        stuck.add_permits(1);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let cached = fixture.slot("a").state.load().access_token().map(|token| token.expose().to_owned());
        assert_eq!(cached.as_deref(), if forgotten { None } else { Some("a#2") });
    }
}

#[test]
fn an_exchange_that_was_given_up_before_it_began_asks_nothing() {
    let fixture = Fixture::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (still, driven) = (runtime(), runtime());
    {
        let _inside = still.enter();
        assert_eq!(fixture.at_once("a"), None);
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
async fn whoever_waits_for_an_exchange_that_another_gives_up_begins_anew() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    let first = fixture.callers("a", 1);
    fixture.waiting("a", 1).await;
    tokio::time::advance(5 * MINUTE).await;
    let second = fixture.callers("a", 1);
    fixture.waiting("a", 2).await;
    assert!(first.join_all().await.iter().all(|result| result.as_ref().is_err_and(Error::is_timeout)));
    until(|| fixture.fetches() >= 2).await;
    gate.add_permits(2);
    for token in second.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#2");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_is_not_tried_for_ever_by_an_exchange_that_nobody_drives() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    fixture.error("a").await;
    fixture.recover();
    fixture.clock.advance(11 * MINUTE);
    let _never = fixture.close("a");
    assert!(fixture.error("a").await.is_timeout());
    assert_eq!(fixture.get("b").await, "b#3");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_takes_as_long_as_it_may_is_waited_for() {
    let fixture = Fixture::new();
    *fixture.source.longest.lock().unwrap() = 2 * HOUR;
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 3);
    fixture.waiting("a", 3).await;
    tokio::time::advance(HOUR).await;
    tokio::task::yield_now().await;
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn settled_is_when_no_exchange_is_under_way() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let gate = fixture.close("a");
    fixture.clock.advance(57 * MINUTE);
    fixture.at_once("a");
    let cache = fixture.cache.clone();
    let settled = tokio::spawn(async move { cache.wait_idle().await });
    fixture.waiting("a", 1).await;
    assert!(!settled.is_finished());
    gate.add_permits(1);
    settled.await.unwrap();
    assert_eq!((fixture.at_once("a").as_deref(), fixture.fetches()), (Some("a#2"), 2));
}

#[tokio::test(start_paused = true)]
async fn twenty_exchanges_that_nobody_drives_are_waited_for_together() {
    for forgets in [false, true] {
        for store in [None, Some(AnyStore::new(MemoryStore::new()))] {
            let fixture = Fixture::with_store(store);
            let keys: Vec<String> = (0..20).map(|number| format!("key {number}")).collect();
            let dead = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let inside = dead.enter();
            keys.iter().for_each(|key| assert_eq!(fixture.at_once(key), None));
            drop(inside);
            // One that is driven ends meanwhile.
            fixture.get("alive").await;
            let began = Instant::now();
            if forgets {
                assert!(fixture.cache.clear(Which::All).await.unwrap_err().is_timeout());
            } else {
                fixture.cache.wait_idle().await;
            }
            assert!(began.elapsed() <= fixture.cache.exchange_limit() + SECOND, "{forgets}: {:?}", began.elapsed());
            assert!(keys.iter().all(|key| !fixture.slot(key).is_busy()), "they were given up");
            // As if nothing had been under way.
            fixture.get("key 0").await;
            fixture.cache.clear(Which::All).await.unwrap();
            std::mem::forget(dead);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_waited_for_once_by_all_that_is_cleared() {
    let store = FakeStore { all_else: Way::NeverAnswers, ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store)));
    for number in 0..20 {
        fixture.get(&format!("key {number}")).await;
    }
    let began = Instant::now();
    let error = fixture.cache.clear(Which::All).await.unwrap_err();
    assert!(error.is_store() && error.to_string().contains("no answer in 30 s"), "{error}");
    assert!(began.elapsed() <= STORE_LOCK_TIMEOUT + 2 * STORE_CALL_TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(fixture.at_once("key 0"), None);
}

#[test]
fn a_runtime_without_timers_is_an_error_and_no_panic() {
    let fixture = Fixture::new();
    let timeless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = "a".to_owned();
    let error = timeless.block_on(fixture.cache.get(&key)).unwrap_err();
    assert!(error.is_invalid_input() && error.to_string().contains("without timers"), "{error}");
    assert_eq!(fixture.fetches(), 0);
    // With a token there is nothing to wait for.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(fixture.get("a"));
    for patient in [false, true] {
        fixture.source.ends_previous.store(patient, Ordering::SeqCst);
        fixture.clock.advance(if patient { Duration::ZERO } else { 57 * MINUTE });
        assert_eq!(timeless.block_on(fixture.get("a")), "a#1");
    }
    // Also where somebody else's refresh is under way, which would be waited for.
    let gate = fixture.close("a");
    runtime.block_on(async { fixture.at_once("a") });
    assert!(fixture.slot("a").is_busy());
    assert_eq!(timeless.block_on(fixture.get("a")), "a#1");
    gate.add_permits(1);
    runtime.block_on(fixture.cache.wait_idle());
    timeless.block_on(fixture.cache.wait_idle());
    timeless.block_on(fixture.cache.clear(Which::All)).unwrap();
    assert_eq!(runtime.block_on(async { fixture.at_once("a") }), None);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_may_take_as_long_as_anybody_says() {
    let fixture = Fixture::with_store(Some(AnyStore::new(MemoryStore::new())));
    *fixture.source.longest.lock().unwrap() = Duration::MAX;
    fixture.get("a").await;
    fixture.cache.wait_idle().await;
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(fixture.get("a").await, "a#2");
}
