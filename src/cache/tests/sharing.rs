//! One exchange for all who ask at the same time, and nobody waits without need.

use super::*;

#[tokio::test]
async fn a_token_is_fetched_once_and_handed_out_until_it_is_near_its_end() {
    let house = House::new();
    assert_eq!(house.get("a").await, "a#1");
    for _ in 0..100 {
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    }
    house.clock.advance(53 * MINUTE);
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    house.idle("a").await;
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn keys_that_mean_the_same_have_one_token_and_others_have_their_own() {
    let house = House::new();
    assert_eq!(house.get("a").await, "a#1");
    assert_eq!(house.get("A").await, "a#1");
    assert_eq!(house.get("b").await, "b#2");
    assert_eq!(house.cache.all().len(), 2);
}

#[tokio::test]
async fn a_slow_key_never_blocks_another() {
    let house = House::new();
    let gate = house.close("slow");
    let mut slow = house.callers("slow", 1);
    house.waiting("slow", 1).await;
    assert_eq!(house.get("quick").await, "quick#2");
    assert_eq!(house.at_once("quick").as_deref(), Some("quick#2"));
    gate.add_permits(1);
    assert_eq!(slow.join_next().await.unwrap().unwrap().unwrap().expose(), "slow#1");
}

#[tokio::test]
async fn a_hit_through_a_handle_needs_no_lock() {
    let house = House::new();
    let handle = house.cache.handle(&"a".to_owned());
    handle.get().await.unwrap();
    let _locked = house.cache.0.slots.write().unwrap();
    assert!(at_once(handle.get()).is_ready());
}

#[tokio::test]
async fn nobody_waits_for_a_refresh_while_a_token_is_valid() {
    let house = House::new();
    house.get("a").await;
    let gate = house.close("a");
    house.clock.advance(55 * MINUTE + 30 * SECOND);
    for _ in 0..16 {
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    }
    until(|| house.fetches() >= 2).await;
    for _ in 0..16 {
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    }
    gate.add_permits(1);
    house.idle("a").await;
    assert_eq!(house.at_once("a").as_deref(), Some("a#2"));
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn a_thousand_callers_wait_for_one_fetch() {
    let house = House::new();
    let gate = house.close("a");
    let callers = house.callers("a", 1000);
    house.waiting("a", 1000).await;
    gate.add_permits(1);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn a_thousand_callers_share_one_failure_and_nothing_sticks() {
    let house = House::new();
    let gate = house.close("a");
    house.fail(unavailable().with_message("down"));
    let callers = house.callers("a", 1000);
    house.waiting("a", 1000).await;
    gate.add_permits(1000);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap_err().to_string(), unavailable().with_message("down").to_string());
    }
    assert_eq!(house.fetches(), 1);
    // While it is too early, everybody gets the same error at once.
    let error = house.error("a").await;
    assert!(error.is_backing_off() && error.to_string().starts_with("failed: down"), "{error}");
    assert_eq!(house.fetches(), 1);
    house.recover();
    house.clock.advance(2 * SECOND);
    assert_eq!(house.get("a").await, "a#2");
}

#[tokio::test]
async fn a_failure_is_for_those_that_waited_also_when_they_wake_late() {
    let house = House::new();
    house.fail(unavailable());
    let (cache, key) = (house.cache.clone(), "a".to_owned());
    let mut callers: Vec<_> = (0..10).map(|_| Box::pin(cache.get(&key))).collect();
    let mut look = || -> Vec<_> {
        let mut context = Context::from_waker(Waker::noop());
        callers.iter_mut().map(|caller| caller.as_mut().poll(&mut context)).collect()
    };
    assert!(look().iter().all(Poll::is_pending));
    house.idle("a").await;
    // None of them has looked yet; the wait after the failure is over when they do.
    house.clock.advance(HOUR);
    assert!(look().iter().all(|looked| matches!(looked, Poll::Ready(Err(_)))));
    house.idle("a").await;
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn who_waits_for_a_refresh_that_began_without_him_is_not_given_its_failure() {
    let house = House::new();
    house.get("a").await;
    let gate = house.close("a");
    house.fail(unavailable());
    house.clock.advance(56 * MINUTE);
    house.at_once("a");
    until(|| house.fetches() >= 2).await;
    // Nobody has driven it on until the token is over.
    house.clock.advance(10 * MINUTE);
    let callers = house.callers("a", 50);
    house.waiting("a", 50).await;
    gate.add_permits(1);
    until(|| house.fetches() >= 3).await;
    house.recover();
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(house.fetches(), 3);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let house = House::new();
    let gate = house.close("a");
    {
        let key = "a".to_owned();
        let mut first: Pin<Box<dyn Future<Output = _>>> = Box::pin(house.cache.get(&key));
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let callers = house.callers("a", 49);
    house.waiting("a", 49).await;
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn an_exchange_ends_and_is_kept_when_all_callers_are_gone() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    let gate = house.close("a");
    let mut callers = house.callers("a", 5);
    house.waiting("a", 5).await;
    callers.shutdown().await;
    gate.add_permits(1);
    house.idle("a").await;
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    let kept = TokenStore::load(&store, "name of a").await.unwrap().unwrap();
    assert_eq!(kept.renewal.unwrap().refresh_token.expose(), "r-a#1");
}

#[tokio::test]
async fn slots_that_nobody_can_miss_go_away() {
    let house = House::new();
    let kept = house.cache.handle(&"kept".to_owned());
    kept.get().await.unwrap();
    for number in 0..1000 {
        house.get(&format!("k{number}")).await;
        // Also what it could be renewed with is over after ten days.
        house.clock.advance(24 * HOUR);
    }
    let slots = house.cache.all().len();
    assert!(slots < 100, "{slots} of 1001 slots are left");
    assert!(house.cache.all().iter().any(|slot| slot.key == "kept"));
    let (given, normal) = {
        let slots = house.cache.0.slots.read().unwrap();
        (slots.given.len(), slots.normal.len())
    };
    assert!(given <= 2 * normal + 32, "{given} names for {normal} slots");
}

/// With a service whose refresh ends the token before.
mod a_refresh_that_ends_the_token_before {
    use super::*;

    fn dying() -> House {
        let house = House::new();
        house.source.ends_previous.store(true, Ordering::SeqCst);
        house
    }

    #[tokio::test]
    async fn is_waited_for_by_all_that_come_meanwhile() {
        let house = dying();
        assert_eq!(house.get("a").await, "a#1");
        let gate = house.close("a");
        house.clock.advance(57 * MINUTE);
        // Also by the one with whom it begins: its call would be sent after the refresh.
        let callers = house.callers("a", 50);
        house.waiting("a", 50).await;
        assert_eq!(house.at_once("a"), None);
        gate.add_permits(1);
        for token in callers.join_all().await {
            assert_eq!(token.unwrap().expose(), "a#2");
        }
        assert_eq!(house.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn is_waited_for_two_seconds_by_all_together() {
        let house = dying();
        house.get("a").await;
        let gate = house.close("a");
        house.clock.advance(57 * MINUTE);
        let begun = Instant::now();
        assert_eq!(house.get("a").await, "a#1");
        assert_eq!(begun.elapsed(), 2 * SECOND);
        // Those that come later wait no more.
        for _ in 0..100 {
            assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
        }
        gate.add_permits(1);
        house.idle("a").await;
        assert_eq!(house.at_once("a").as_deref(), Some("a#2"));
    }

    #[tokio::test]
    async fn that_fails_leaves_the_token_to_those_that_waited() {
        let house = dying();
        house.get("a").await;
        let gate = house.close("a");
        house.fail(unavailable());
        house.clock.advance(57 * MINUTE);
        let callers = house.callers("a", 10);
        house.waiting("a", 10).await;
        gate.add_permits(1);
        for token in callers.join_all().await {
            assert_eq!(token.unwrap().expose(), "a#1");
        }
        // During the pause nobody waits.
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
        assert_eq!(house.fetches(), 2);
    }

    /// A token that lives for a second is near its end when it comes. It is given all the same, and nobody goes round in circles.
    #[tokio::test]
    async fn of_a_token_that_is_near_its_end_when_it_comes_is_no_endless_loop() {
        let house = dying();
        house.live(SECOND);
        let gate = house.close("a");
        for number in 1..=3 {
            let callers = house.callers("a", 10);
            house.waiting("a", 10).await;
            until(|| house.fetches() >= number).await;
            // The answer takes a while, by the end of which the next refresh is due.
            house.clock.advance(Duration::from_millis(450));
            gate.add_permits(1);
            let given = callers.join_all().await;
            assert!(given.iter().all(Result::is_ok), "{number}: {:?}", given[0]);
            assert!(house.fetches() <= number + 1, "{} fetches", house.fetches());
            gate.add_permits(1);
            house.idle("a").await;
            house.clock.advance(MINUTE);
            house.source.fetches.store(number, Ordering::SeqCst);
        }
    }

    #[test]
    fn is_not_waited_for_without_a_runtime() {
        let house = dying();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(house.get("a"));
        house.clock.advance(57 * MINUTE);
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    }
}

/// A caller that was held up after its look at the token, for as long as a whole refresh took.
#[tokio::test(start_paused = true)]
async fn a_caller_that_was_held_up_is_not_given_the_token_that_the_refresh_ended() {
    let saving = Arc::new(Semaphore::new(1));
    let store = Double { saving: Way::Waits(Arc::clone(&saving)), ..Double::default() };
    let house = House::with_store(Some(Arc::new(store)));
    house.source.ends_previous.store(true, Ordering::SeqCst);
    house.get("a").await;
    house.idle("a").await;
    house.clock.advance(57 * MINUTE);
    let (slot, now) = (house.slot("a"), house.clock.coarse());
    let before = slot.state.load_full();
    assert_eq!(house.get("a").await, "a#2");
    // The store takes its time, and nobody waits for a refresh any more.
    tokio::time::advance(3 * SECOND).await;
    assert!(slot.is_busy());
    let held = before.held.as_ref().unwrap();
    assert!(!house.cache.outlives_refresh(&slot, &before, held, &now));
}
