//! Callers share one exchange, and none waits without need.

use super::*;

#[tokio::test]
async fn a_token_is_fetched_once_and_returned_until_its_refresh_window() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("a").await, "a#1");
    for _ in 0..100 {
        assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    }
    fixture.clock.advance(53 * MINUTE);
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    fixture.wait_idle("a").await;
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn keys_with_the_same_normal_form_share_a_token() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("a").await, "a#1");
    assert_eq!(fixture.get("A").await, "a#1");
    assert_eq!(fixture.get("b").await, "b#2");
    assert_eq!(fixture.cache.all_slots().len(), 2);
}

#[tokio::test]
async fn a_slow_key_never_blocks_another() {
    let fixture = Fixture::new();
    let gate = fixture.hold("slow");
    let mut slow = fixture.spawn_callers("slow", 1);
    fixture.wait_for_waiters("slow", 1).await;
    assert_eq!(fixture.get("quick").await, "quick#2");
    assert_eq!(fixture.get_now("quick").as_deref(), Some("quick#2"));
    gate.add_permits(1);
    assert_eq!(slow.join_next().await.unwrap().unwrap().unwrap().expose(), "slow#1");
}

#[tokio::test]
async fn a_hit_through_a_handle_needs_no_lock() {
    let fixture = Fixture::new();
    let handle = fixture.cache.handle(&"a".to_owned());
    handle.get().await.unwrap();
    let _locked = fixture.cache.0.slots.write().unwrap();
    assert!(poll_once(handle.get()).is_ready());
}

#[tokio::test]
async fn nobody_waits_for_a_refresh_while_a_token_is_valid() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let gate = fixture.hold("a");
    fixture.clock.advance(55 * MINUTE + 30 * SECOND);
    for _ in 0..16 {
        assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    }
    until(|| fixture.fetches() >= 2).await;
    for _ in 0..16 {
        assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    }
    gate.add_permits(1);
    fixture.wait_idle("a").await;
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#2"));
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_thousand_callers_wait_for_one_fetch() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 1000);
    fixture.wait_for_waiters("a", 1000).await;
    gate.add_permits(1);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn a_thousand_callers_share_one_failure_and_nothing_sticks() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    fixture.fail(unavailable().with_message("down"));
    let callers = fixture.spawn_callers("a", 1000);
    fixture.wait_for_waiters("a", 1000).await;
    gate.add_permits(1000);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap_err().to_string(), unavailable().with_message("down").to_string());
    }
    assert_eq!(fixture.fetches(), 1);
    // While the slot is backing off, each caller gets the same error at once.
    let error = fixture.get_error("a").await;
    assert!(error.is_backing_off() && error.to_string().starts_with("down"), "{error}");
    assert_eq!(fixture.fetches(), 1);
    fixture.recover();
    fixture.clock.advance(2 * SECOND);
    assert_eq!(fixture.get("a").await, "a#2");
}

#[tokio::test]
async fn waiters_get_the_failure_even_if_they_wake_late() {
    let fixture = Fixture::new();
    fixture.fail(unavailable());
    let (cache, key) = (fixture.cache.clone(), "a".to_owned());
    let mut callers: Vec<_> = (0..10).map(|_| Box::pin(cache.get(&key))).collect();
    let mut look = || -> Vec<_> {
        let mut context = Context::from_waker(Waker::noop());
        callers.iter_mut().map(|caller| caller.as_mut().poll(&mut context)).collect()
    };
    assert!(look().iter().all(Poll::is_pending));
    fixture.wait_idle("a").await;
    // None of them has been polled yet. When they are, the delay after the failure has passed.
    fixture.clock.advance(HOUR);
    assert!(look().iter().all(|looked| matches!(looked, Poll::Ready(Err(_)))));
    fixture.wait_idle("a").await;
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn a_waiter_does_not_get_the_failure_of_a_refresh_that_began_with_a_usable_token() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let gate = fixture.hold("a");
    fixture.fail(unavailable());
    fixture.clock.advance(56 * MINUTE);
    fixture.get_now("a");
    until(|| fixture.fetches() >= 2).await;
    // The exchange stalls until the token has expired.
    fixture.clock.advance(10 * MINUTE);
    let callers = fixture.spawn_callers("a", 50);
    fixture.wait_for_waiters("a", 50).await;
    gate.add_permits(1);
    until(|| fixture.fetches() >= 3).await;
    fixture.recover();
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(fixture.fetches(), 3);
}

#[tokio::test]
async fn a_dropped_caller_does_not_stop_the_exchange() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    {
        let key = "a".to_owned();
        let mut first: Pin<Box<dyn Future<Output = _>>> = Box::pin(fixture.cache.get(&key));
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let callers = fixture.spawn_callers("a", 49);
    fixture.wait_for_waiters("a", 49).await;
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn an_exchange_completes_and_is_saved_even_if_all_callers_are_dropped() {
    let store = MemoryStore::new();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    let gate = fixture.hold("a");
    let mut callers = fixture.spawn_callers("a", 5);
    fixture.wait_for_waiters("a", 5).await;
    callers.shutdown().await;
    gate.add_permits(1);
    fixture.wait_idle("a").await;
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    let kept = kept(&store, "name of a").await.unwrap();
    assert_eq!(kept.renewal.unwrap().refresh_token.expose(), "r-a#1");
}

#[tokio::test]
async fn slots_that_nobody_needs_are_dropped() {
    let fixture = Fixture::new();
    let kept = fixture.cache.handle(&"kept".to_owned());
    kept.get().await.unwrap();
    for number in 0..1000 {
        fixture.get(&format!("k{number}")).await;
        // Refresh tokens expire after ten days.
        fixture.clock.advance(24 * HOUR);
    }
    let slots = fixture.cache.all_slots().len();
    assert!(slots < 100, "{slots} of 1001 slots are left");
    assert!(fixture.cache.all_slots().iter().any(|slot| slot.key == "kept"));
    let (given, normal) = {
        let slots = fixture.cache.0.slots.read().unwrap();
        (slots.by_given_key.len(), slots.by_normal_key.len())
    };
    assert!(given <= 2 * normal + 32, "{given} given keys for {normal} slots");
}

/// A service whose refresh ends the previous token.
mod a_refresh_that_ends_the_previous_token {
    use super::*;

    fn with_refresh_that_ends_tokens() -> Fixture {
        let fixture = Fixture::new();
        fixture.source.ends_previous.store(true, Ordering::SeqCst);
        fixture
    }

    #[tokio::test]
    async fn makes_all_callers_wait_meanwhile() {
        let fixture = with_refresh_that_ends_tokens();
        assert_eq!(fixture.get("a").await, "a#1");
        let gate = fixture.hold("a");
        fixture.clock.advance(57 * MINUTE);
        // So does the caller that began it: its call would be sent after the refresh.
        let callers = fixture.spawn_callers("a", 50);
        fixture.wait_for_waiters("a", 50).await;
        assert_eq!(fixture.get_now("a"), None);
        gate.add_permits(1);
        for token in callers.join_all().await {
            assert_eq!(token.unwrap().expose(), "a#2");
        }
        assert_eq!(fixture.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn makes_callers_wait_at_most_two_seconds_in_total() {
        let fixture = with_refresh_that_ends_tokens();
        fixture.get("a").await;
        let gate = fixture.hold("a");
        fixture.clock.advance(57 * MINUTE);
        let begun = Instant::now();
        assert_eq!(fixture.get("a").await, "a#1");
        assert_eq!(begun.elapsed(), 2 * SECOND);
        // Later callers do not wait.
        for _ in 0..100 {
            assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
        }
        gate.add_permits(1);
        fixture.wait_idle("a").await;
        assert_eq!(fixture.get_now("a").as_deref(), Some("a#2"));
    }

    #[tokio::test]
    async fn returns_the_previous_token_to_all_waiters_if_it_fails() {
        let fixture = with_refresh_that_ends_tokens();
        fixture.get("a").await;
        let gate = fixture.hold("a");
        fixture.fail(unavailable());
        fixture.clock.advance(57 * MINUTE);
        let callers = fixture.spawn_callers("a", 10);
        fixture.wait_for_waiters("a", 10).await;
        gate.add_permits(1);
        for token in callers.join_all().await {
            assert_eq!(token.unwrap().expose(), "a#1");
        }
        // While the slot is backing off, no caller waits.
        assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
        assert_eq!(fixture.fetches(), 2);
    }

    /// A token with a lifetime of a second is in its refresh window soon after it arrives. Callers still get it, and do not
    /// loop.
    #[tokio::test]
    async fn causes_no_endless_loop_for_a_token_that_arrives_in_its_refresh_window() {
        let fixture = with_refresh_that_ends_tokens();
        fixture.set_lifetime(SECOND);
        let gate = fixture.hold("a");
        for number in 1..=3 {
            let callers = fixture.spawn_callers("a", 10);
            fixture.wait_for_waiters("a", 10).await;
            until(|| fixture.fetches() >= number).await;
            // The response takes a while. By then the next refresh is due.
            fixture.clock.advance(Duration::from_millis(450));
            gate.add_permits(1);
            let tokens = callers.join_all().await;
            assert!(tokens.iter().all(Result::is_ok), "{number}: {:?}", tokens[0]);
            assert!(fixture.fetches() <= number + 1, "{} fetches", fixture.fetches());
            gate.add_permits(1);
            fixture.wait_idle("a").await;
            fixture.clock.advance(MINUTE);
            fixture.source.fetches.store(number, Ordering::SeqCst);
        }
    }

    #[test]
    fn makes_no_caller_wait_without_a_runtime() {
        let fixture = with_refresh_that_ends_tokens();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(fixture.get("a"));
        fixture.clock.advance(57 * MINUTE);
        assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    }
}

/// A caller stalls after reading the state, for as long as a whole refresh takes.
#[tokio::test(start_paused = true)]
async fn a_stalled_caller_does_not_get_the_token_that_a_refresh_ended() {
    // For the first token and the claim.
    let saving = Arc::new(Semaphore::new(2));
    let store = FakeStore { saving: StoreBehavior::Waits(Arc::clone(&saving)), ..FakeStore::default() };
    let fixture = Fixture::with_store(Some(AnyStore::new(store)));
    fixture.source.ends_previous.store(true, Ordering::SeqCst);
    fixture.get("a").await;
    fixture.wait_idle("a").await;
    fixture.clock.advance(57 * MINUTE);
    let (slot, now) = (fixture.slot("a"), fixture.cache.0.time.moment());
    let before = slot.state.load_full();
    assert_eq!(fixture.get("a").await, "a#2");
    // The store takes its time, and no caller waits for the refresh anymore.
    tokio::time::advance(3 * SECOND).await;
    assert!(slot.is_busy());
    let cached = before.cached.as_ref().unwrap();
    assert!(!fixture.cache.may_return_in_refresh_window(&slot, &before, cached, &now));
}
