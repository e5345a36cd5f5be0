//! One exchange for all who ask at the same time, and nobody waits without need.

use super::*;

#[tokio::test]
async fn a_token_is_fetched_once_and_handed_out_until_it_is_near_its_end() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("a").await, "a#1");
    for _ in 0..100 {
        assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    }
    fixture.clock.advance(53 * MINUTE);
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    fixture.idle("a").await;
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn keys_that_mean_the_same_have_one_token_and_others_have_their_own() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("a").await, "a#1");
    assert_eq!(fixture.get("A").await, "a#1");
    assert_eq!(fixture.get("b").await, "b#2");
    assert_eq!(fixture.cache.all_slots().len(), 2);
}

#[tokio::test]
async fn a_slow_key_never_blocks_another() {
    let fixture = Fixture::new();
    let gate = fixture.close("slow");
    let mut slow = fixture.callers("slow", 1);
    fixture.waiting("slow", 1).await;
    assert_eq!(fixture.get("quick").await, "quick#2");
    assert_eq!(fixture.at_once("quick").as_deref(), Some("quick#2"));
    gate.add_permits(1);
    assert_eq!(slow.join_next().await.unwrap().unwrap().unwrap().expose(), "slow#1");
}

#[tokio::test]
async fn a_hit_through_a_handle_needs_no_lock() {
    let fixture = Fixture::new();
    let handle = fixture.cache.handle(&"a".to_owned());
    handle.get().await.unwrap();
    let _locked = fixture.cache.0.slots.write().unwrap();
    assert!(at_once(handle.get()).is_ready());
}

#[tokio::test]
async fn nobody_waits_for_a_refresh_while_a_token_is_valid() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let gate = fixture.close("a");
    fixture.clock.advance(55 * MINUTE + 30 * SECOND);
    for _ in 0..16 {
        assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    }
    until(|| fixture.fetches() >= 2).await;
    for _ in 0..16 {
        assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    }
    gate.add_permits(1);
    fixture.idle("a").await;
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#2"));
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_thousand_callers_wait_for_one_fetch() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 1000);
    fixture.waiting("a", 1000).await;
    gate.add_permits(1);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn a_thousand_callers_share_one_failure_and_nothing_sticks() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    fixture.fail(unavailable().with_message("down"));
    let callers = fixture.callers("a", 1000);
    fixture.waiting("a", 1000).await;
    gate.add_permits(1000);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap_err().to_string(), unavailable().with_message("down").to_string());
    }
    assert_eq!(fixture.fetches(), 1);
    // While it is too early, everybody gets the same error at once.
    let error = fixture.error("a").await;
    assert!(error.is_backing_off() && error.to_string().starts_with("failed: down"), "{error}");
    assert_eq!(fixture.fetches(), 1);
    fixture.recover();
    fixture.clock.advance(2 * SECOND);
    assert_eq!(fixture.get("a").await, "a#2");
}

#[tokio::test]
async fn a_failure_is_for_those_that_waited_also_when_they_wake_late() {
    let fixture = Fixture::new();
    fixture.fail(unavailable());
    let (cache, key) = (fixture.cache.clone(), "a".to_owned());
    let mut callers: Vec<_> = (0..10).map(|_| Box::pin(cache.get(&key))).collect();
    let mut look = || -> Vec<_> {
        let mut context = Context::from_waker(Waker::noop());
        callers.iter_mut().map(|caller| caller.as_mut().poll(&mut context)).collect()
    };
    assert!(look().iter().all(Poll::is_pending));
    fixture.idle("a").await;
    // None of them has looked yet; the wait after the failure is over when they do.
    fixture.clock.advance(HOUR);
    assert!(look().iter().all(|looked| matches!(looked, Poll::Ready(Err(_)))));
    fixture.idle("a").await;
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn who_waits_for_a_refresh_that_began_without_him_is_not_given_its_failure() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let gate = fixture.close("a");
    fixture.fail(unavailable());
    fixture.clock.advance(56 * MINUTE);
    fixture.at_once("a");
    until(|| fixture.fetches() >= 2).await;
    // Nobody has driven it on until the token is over.
    fixture.clock.advance(10 * MINUTE);
    let callers = fixture.callers("a", 50);
    fixture.waiting("a", 50).await;
    gate.add_permits(1);
    until(|| fixture.fetches() >= 3).await;
    fixture.recover();
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(fixture.fetches(), 3);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    {
        let key = "a".to_owned();
        let mut first: Pin<Box<dyn Future<Output = _>>> = Box::pin(fixture.cache.get(&key));
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let callers = fixture.callers("a", 49);
    fixture.waiting("a", 49).await;
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn an_exchange_ends_and_is_kept_when_all_callers_are_gone() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let gate = fixture.close("a");
    let mut callers = fixture.callers("a", 5);
    fixture.waiting("a", 5).await;
    callers.shutdown().await;
    gate.add_permits(1);
    fixture.idle("a").await;
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    let kept = TokenStore::load(&store, "name of a").await.unwrap().unwrap();
    assert_eq!(kept.renewal.unwrap().refresh_token.expose(), "r-a#1");
}

#[tokio::test]
async fn slots_that_nobody_can_miss_go_away() {
    let fixture = Fixture::new();
    let kept = fixture.cache.handle(&"kept".to_owned());
    kept.get().await.unwrap();
    for number in 0..1000 {
        fixture.get(&format!("k{number}")).await;
        // Also what it could be renewed with is over after ten days.
        fixture.clock.advance(24 * HOUR);
    }
    let slots = fixture.cache.all_slots().len();
    assert!(slots < 100, "{slots} of 1001 slots are left");
    assert!(fixture.cache.all_slots().iter().any(|slot| slot.key == "kept"));
    let (given, normal) = {
        let slots = fixture.cache.0.slots.read().unwrap();
        (slots.by_given_key.len(), slots.by_normal_key.len())
    };
    assert!(given <= 2 * normal + 32, "{given} names for {normal} slots");
}

/// With a service whose refresh ends the token before.
mod a_refresh_that_ends_the_token_before {
    use super::*;

    fn dying() -> Fixture {
        let fixture = Fixture::new();
        fixture.source.ends_previous.store(true, Ordering::SeqCst);
        fixture
    }

    #[tokio::test]
    async fn is_waited_for_by_all_that_come_meanwhile() {
        let fixture = dying();
        assert_eq!(fixture.get("a").await, "a#1");
        let gate = fixture.close("a");
        fixture.clock.advance(57 * MINUTE);
        // Also by the one with whom it begins: its call would be sent after the refresh.
        let callers = fixture.callers("a", 50);
        fixture.waiting("a", 50).await;
        assert_eq!(fixture.at_once("a"), None);
        gate.add_permits(1);
        for token in callers.join_all().await {
            assert_eq!(token.unwrap().expose(), "a#2");
        }
        assert_eq!(fixture.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn is_waited_for_two_seconds_by_all_together() {
        let fixture = dying();
        fixture.get("a").await;
        let gate = fixture.close("a");
        fixture.clock.advance(57 * MINUTE);
        let begun = Instant::now();
        assert_eq!(fixture.get("a").await, "a#1");
        assert_eq!(begun.elapsed(), 2 * SECOND);
        // Those that come later wait no more.
        for _ in 0..100 {
            assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
        }
        gate.add_permits(1);
        fixture.idle("a").await;
        assert_eq!(fixture.at_once("a").as_deref(), Some("a#2"));
    }

    #[tokio::test]
    async fn that_fails_leaves_the_token_to_those_that_waited() {
        let fixture = dying();
        fixture.get("a").await;
        let gate = fixture.close("a");
        fixture.fail(unavailable());
        fixture.clock.advance(57 * MINUTE);
        let callers = fixture.callers("a", 10);
        fixture.waiting("a", 10).await;
        gate.add_permits(1);
        for token in callers.join_all().await {
            assert_eq!(token.unwrap().expose(), "a#1");
        }
        // During the pause nobody waits.
        assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
        assert_eq!(fixture.fetches(), 2);
    }

    /// A token that lives for a second is near its end when it comes. It is given all the same, and nobody goes round in circles.
    #[tokio::test]
    async fn of_a_token_that_is_near_its_end_when_it_comes_is_no_endless_loop() {
        let fixture = dying();
        fixture.live(SECOND);
        let gate = fixture.close("a");
        for number in 1..=3 {
            let callers = fixture.callers("a", 10);
            fixture.waiting("a", 10).await;
            until(|| fixture.fetches() >= number).await;
            // The answer takes a while, by the end of which the next refresh is due.
            fixture.clock.advance(Duration::from_millis(450));
            gate.add_permits(1);
            let given = callers.join_all().await;
            assert!(given.iter().all(Result::is_ok), "{number}: {:?}", given[0]);
            assert!(fixture.fetches() <= number + 1, "{} fetches", fixture.fetches());
            gate.add_permits(1);
            fixture.idle("a").await;
            fixture.clock.advance(MINUTE);
            fixture.source.fetches.store(number, Ordering::SeqCst);
        }
    }

    #[test]
    fn is_not_waited_for_without_a_runtime() {
        let fixture = dying();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(fixture.get("a"));
        fixture.clock.advance(57 * MINUTE);
        assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    }
}

/// A caller that was cached up after its look at the token, for as long as a whole refresh took.
#[tokio::test(start_paused = true)]
async fn a_caller_that_was_held_up_is_not_given_the_token_that_the_refresh_ended() {
    let saving = Arc::new(Semaphore::new(1));
    let store = FakeStore { saving: Way::Waits(Arc::clone(&saving)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store)));
    fixture.source.ends_previous.store(true, Ordering::SeqCst);
    fixture.get("a").await;
    fixture.idle("a").await;
    fixture.clock.advance(57 * MINUTE);
    let (slot, now) = (fixture.slot("a"), fixture.cache.0.time.moment());
    let before = slot.state.load_full();
    assert_eq!(fixture.get("a").await, "a#2");
    // The store takes its time, and nobody waits for a refresh any more.
    tokio::time::advance(3 * SECOND).await;
    assert!(slot.is_busy());
    let cached = before.cached.as_ref().unwrap();
    assert!(!fixture.cache.may_return_in_refresh_window(&slot, &before, cached, &now));
}
