//! Which program may send a refresh token, and what it does without one.

use super::*;

/// A lock that cannot be had does not make two programs send the same refresh token.
#[tokio::test(start_paused = true)]
async fn without_a_lock_only_one_program_sends_the_refresh_token() {
    let world = World::new();
    let mut programs = Vec::new();
    for _ in 0..4 {
        programs.push(world.started_with(|call| if call == "lock" { Call::Fails } else { Call::Works }).await);
    }
    for turn in 1..20 {
        world.advance(57 * MINUTE);
        let mut tasks = JoinSet::new();
        for program in &programs {
            let program = program.clone();
            tasks.spawn(async move { token(&program).await });
        }
        let tokens: std::collections::HashSet<_> = tasks.join_all().await.into_iter().collect();
        world.service.assert_nothing_sent_twice();
        assert!(tokens.len() <= 4 && world.service.sent().len() <= turn, "{:?}", world.service.sent());
        // A program that could not claim used the password, or adopted the token that it found. Now all find the same token.
        for program in &programs {
            world.advance(Duration::ZERO);
            token(program).await;
        }
    }
}

/// The normal case: one exchange for each turn, and one token for all.
#[tokio::test(start_paused = true)]
async fn programs_with_a_lock_make_one_refresh_for_each_turn() {
    let world = World::new();
    let mut programs = Vec::new();
    for _ in 0..4 {
        programs.push(world.started_with(|_| Call::Works).await);
    }
    for turn in 1..=20 {
        world.advance(57 * MINUTE);
        let mut tasks = JoinSet::new();
        for program in &programs {
            let program = program.clone();
            tasks.spawn(async move { token(&program).await });
        }
        for token in tasks.join_all().await {
            assert_eq!(token, format!("t{}", turn + 1));
        }
        assert_eq!(world.service.sent().len(), turn);
    }
    world.service.assert_nothing_sent_twice();
    assert_eq!(world.service.passwords(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unused_refresh_token_is_given_back() {
    let world = World::new();
    let program = world.started_with(|_| Call::Works).await;
    world.service.is_away.store(true, Ordering::SeqCst);
    world.advance(2 * HOUR);
    assert!(program.get(&Account).await.is_err());
    program.wait_idle().await;
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r1"));
    // Another program can use it.
    world.service.is_away.store(false, Ordering::SeqCst);
    assert_eq!(token(&world.program()).await, "t2");
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1));
}

/// It cannot be given back, but the program that claimed it still has it.
#[tokio::test(start_paused = true)]
async fn a_program_knows_its_own_claim_again() {
    for end in [Call::Fails, Call::LosesAnswer] {
        let world = World::new();
        let program = world.started_with(first("save", 1, end)).await;
        world.service.is_away.store(true, Ordering::SeqCst);
        world.advance(2 * HOUR);
        assert!(program.get(&Account).await.is_err());
        program.wait_idle().await;
        assert_eq!(world.stored_refresh_token().await.is_some(), end == Call::LosesAnswer);
        world.service.is_away.store(false, Ordering::SeqCst);
        world.advance(HOUR);
        assert_eq!(token(&program).await, "t2");
        assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1), "{end:?}");
    }
}

/// A program is killed between its claim and its save: the refresh token in its memory is lost.
async fn die_with_a_claim(world: &World) {
    let claim = world.record().await;
    let (first, _) = claim.token.unwrap();
    let marks =
        Marks { id: Some("dead".into()), claimed_at: Some(world.service.clock.now()), name: None, keep_until: None };
    let claimed = ReportingStore::new(AnyStore::new(world.store.clone()), None);
    assert!(matches!(claimed.replace(NAME, Some(&claim.version), &first, &marks).await, Ok(Replaced::Done(_))));
}

#[tokio::test(start_paused = true)]
async fn after_a_program_died_with_its_claim_one_other_uses_the_password() {
    let world = World::new();
    let programs = [world.started_with(|_| Call::Works).await, world.started_with(|_| Call::Works).await];
    world.advance(57 * MINUTE);
    die_with_a_claim(&world).await;
    for program in &programs {
        program.get(&Account).await.unwrap();
        assert_eq!(token(program).await, "t2");
    }
    assert_eq!((world.service.sent(), world.service.passwords()), (vec![], 2));
}

/// Without a password, the others wait for its save as long as that may take. Then the refresh token is lost.
#[tokio::test(start_paused = true)]
async fn without_a_password_an_error_says_how_long_the_claim_of_another_program_lasts() {
    let mut world = World::new();
    drop(world.started_with(|_| Call::Works).await);
    world.has_password = false;
    world.advance(2 * HOUR);
    die_with_a_claim(&world).await;
    for (later, left) in [(Duration::ZERO, Some(150)), (Duration::from_millis(119_500), Some(31)), (MINUTE, None)] {
        world.advance(later);
        let error = world.program().get(&Account).await.unwrap_err();
        assert_eq!((error.is_store(), error.is_transient()), (left.is_some(), left.is_some()), "{error}");
        if let Some(left) = left {
            assert!(error.to_string().ends_with(&format!("may do for another {left} s")), "{error}");
        }
    }
    assert_eq!((world.service.sent(), world.service.passwords()), (vec![], 1));
}

/// They know nothing of the record when they want the lock, which the store then does not give them.
#[tokio::test(start_paused = true)]
async fn programs_whose_first_look_fails_wait_for_the_lock_all_the_same() {
    let world = World::new();
    let mut programs = Vec::new();
    for _ in 0..4 {
        let looks = Arc::new(AtomicUsize::new(usize::MAX));
        let counted = Arc::clone(&looks);
        let fails = move || counted.fetch_sub(1, Ordering::SeqCst) == 1;
        let script = move |call| if call == "load" && fails() { Call::Fails } else { Call::Works };
        programs.push((world.started_with(script).await, looks));
    }
    world.advance(61 * MINUTE);
    die_with_a_claim(&world).await;
    world.service.password_gate.forget_permits(usize::MAX);
    let mut tasks = JoinSet::new();
    for (program, looks) in programs {
        looks.store(1, Ordering::SeqCst);
        tasks.spawn(async move { token(&program).await });
    }
    until(|| world.service.passwords() > 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.service.password_gate.add_permits(1_000);
    assert_eq!(tasks.join_all().await, ["t2"; 4]);
    assert_eq!((world.service.sent(), world.service.passwords()), (vec![], 2));
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_claim_is_not_returned() {
    let world = World::new();
    let program = world.started_with(|_| Call::Works).await;
    world.advance(57 * MINUTE);
    world.service.hold();
    let refreshing = {
        let program = program.clone();
        tokio::spawn(async move { token(&program).await })
    };
    until(|| world.service.sent().len() == 1).await;
    let new = world.program();
    let waiting = tokio::spawn(async move { token(&new).await });
    until(|| world.calls.lock().unwrap().iter().filter(|call| **call == "lock").count() == 3).await;
    world.service.gate.add_permits(1_000);
    assert_eq!(refreshing.await.unwrap(), "t2");
    assert_eq!((waiting.await.unwrap().as_str(), world.service.passwords()), ("t2", 1));
}

/// The record is evicted. Somebody may have used its refresh token meanwhile.
#[tokio::test(start_paused = true)]
async fn a_refresh_token_whose_record_is_gone_is_not_sent() {
    let world = World::new();
    let program = world.started_with(|_| Call::Works).await;
    TokenStore::remove(&world.store, NAME).await.unwrap();
    world.advance(57 * MINUTE);
    assert_eq!(token(&program).await, "t2");
    assert_eq!((world.service.sent(), world.service.passwords()), (vec![], 2));
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
}

/// Without a password there is no other way, and one program wins.
#[tokio::test(start_paused = true)]
async fn without_a_password_a_refresh_token_whose_record_is_gone_is_claimed_and_sent() {
    let mut world = World::new();
    let programs = [world.started_with(|_| Call::Works).await];
    world.has_password = false;
    let programs =
        [world.started_with(|_| Call::Works).await, world.started_with(|_| Call::Works).await, programs[0].clone()];
    TokenStore::remove(&world.store, NAME).await.unwrap();
    world.advance(57 * MINUTE);
    for program in &programs[..2] {
        program.get(&Account).await.unwrap();
        assert_eq!(token(program).await, "t2");
    }
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1));
}

/// Without a password, a store that fails costs an error and not the pair.
#[tokio::test(start_paused = true)]
async fn without_a_password_nothing_is_sent_while_the_claim_is_unknown() {
    for claim in [Call::Fails, Call::LosesAnswer] {
        let mut world = World::new();
        drop(world.started_with(|_| Call::Works).await);
        world.has_password = false;
        let state = Arc::new(AtomicUsize::new(0));
        let program = world
            .started_with({
                let state = Arc::clone(&state);
                move |call| match (call, state.load(Ordering::SeqCst)) {
                    ("claim", 0) => {
                        state.store(1, Ordering::SeqCst);
                        claim
                    }
                    (_, 1) => Call::Fails,
                    _ => Call::Works,
                }
            })
            .await;
        world.advance(2 * HOUR);
        let error = program.get(&Account).await.unwrap_err();
        assert!(error.is_store(), "{error}");
        program.wait_idle().await;
        assert_eq!(world.service.sent(), Vec::<String>::new());
        // The store is back, with or without the claim.
        state.store(2, Ordering::SeqCst);
        world.advance(HOUR);
        assert_eq!(token(&program).await, "t2");
        assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1), "{claim:?}");
        assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
    }
}

/// The client waits until the lock has been released, so that a program may end then.
#[tokio::test(start_paused = true)]
async fn the_release_of_a_lock_is_awaited() {
    #[derive(Debug, Clone, Default)]
    struct Releasing(MemoryStore, Arc<AtomicUsize>);

    impl TokenStore for Releasing {
        async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
            TokenStore::load(&self.0, name).await
        }

        async fn replace(
            &self,
            name: &str,
            seen: Option<&Version>,
            token: &StoredToken,
        ) -> Result<Replaced, StoreError> {
            TokenStore::replace(&self.0, name, seen, token).await
        }

        async fn remove(&self, name: &str) -> Result<(), StoreError> {
            TokenStore::remove(&self.0, name).await
        }

        async fn lock(&self, _: &str, _: Option<&Version>) -> Result<Locked, StoreError> {
            let released = Arc::clone(&self.1);
            Ok(Locked::Held(StoreLock::with_release((), async move {
                tokio::task::yield_now().await;
                released.fetch_add(1, Ordering::SeqCst);
            })))
        }
    }

    let store = Releasing::default();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    fixture.cache.wait_idle().await;
    assert_eq!(store.1.load(Ordering::SeqCst), 1);
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(store.1.load(Ordering::SeqCst), 2);
}

/// The runtime of a program ends while the store saves a token: another program may find that token there.
#[test]
fn a_token_whose_save_was_cut_off_is_claimed_before_it_is_sent() {
    let world = World::new();
    let new_runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let no_lock = |call| if call == "lock" { Call::Fails } else { Call::Works };
    let program = world.program_with(move |call| if call == "save" { Call::NeverAnswers } else { no_lock(call) });
    let runtime = new_runtime();
    runtime.block_on(async { program.get(&Account).await.unwrap() });
    drop(runtime);
    let runtime = new_runtime();
    runtime.block_on(async {
        assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r1"));
        let other = world.program_with(no_lock);
        assert_eq!(token(&other).await, "t1");
        world.advance(57 * MINUTE);
        world.service.hold();
        let refreshing = tokio::spawn({
            let other = other.clone();
            async move { token(&other).await }
        });
        until(|| world.service.sent().len() == 1).await;
        // The other one has claimed and sent it.
        program.get(&Account).await.unwrap();
        until(|| world.service.passwords() == 2).await;
        world.service.gate.add_permits(1_000);
        refreshing.await.unwrap();
    });
    world.service.assert_nothing_sent_twice();
}

/// The store carries out a give-back when its program has claimed the refresh token again, and sends it.
#[tokio::test(start_paused = true)]
async fn a_claim_that_is_given_back_late_is_not_given_back() {
    let world = World::new();
    let program = world.started_with(first("save", 1, Call::Late)).await;
    world.service.is_away.store(true, Ordering::SeqCst);
    world.advance(2 * HOUR);
    assert!(program.get(&Account).await.is_err());
    program.wait_idle().await;
    let (seen, given_back) = world.late.lock().unwrap().last().unwrap().clone();
    world.service.is_away.store(false, Ordering::SeqCst);
    world.service.hold();
    world.advance(MINUTE);
    let refreshing = tokio::spawn(async move { token(&program).await });
    until(|| world.service.sent().len() == 1).await;
    let late = TokenStore::replace(&world.store, NAME, seen.as_ref(), &given_back).await.unwrap();
    assert_eq!(late, Replaced::Conflict);
    world.service.gate.add_permits(1_000);
    assert_eq!(refreshing.await.unwrap(), "t2");
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1));
}

/// The store has lost the claim, and has the refresh token that was sent. The client knows better.
#[tokio::test(start_paused = true)]
async fn a_record_from_before_a_failover_is_replaced_by_the_new_token() {
    let world = World::new();
    let store = world.store.clone();
    let before = world.program();
    assert_eq!(token(&before).await, "t1");
    let old = TokenStore::load(&store, NAME).await.unwrap().unwrap().token().unwrap().clone();
    let failover = Arc::new(AtomicUsize::new(0));
    let program = world
        .started_with({
            let failover = Arc::clone(&failover);
            move |call| {
                if call == "save" && failover.fetch_add(1, Ordering::SeqCst) == 0 { Call::Fails } else { Call::Works }
            }
        })
        .await;
    world.advance(57 * MINUTE);
    world.service.hold();
    let refreshing = tokio::spawn(async move { token(&program).await });
    until(|| world.service.sent().len() == 1).await;
    TokenStore::remove(&store, NAME).await.unwrap();
    let restored = TokenStore::replace(&store, NAME, None, &old).await.unwrap();
    assert!(matches!(restored, Replaced::Done(_)));
    world.service.gate.add_permits(1_000);
    assert_eq!(refreshing.await.unwrap(), "t2");
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
}

/// Without a password, a record that cannot be read may have the pair: nothing is sent, and nothing replaced.
#[tokio::test(start_paused = true)]
async fn without_a_password_a_record_that_cannot_be_read_stays() {
    #[derive(Debug)]
    struct Sealed(Arc<AtomicBool>, MemoryStore);

    impl TokenStore for Sealed {
        async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
            let record = TokenStore::load(&self.1, name).await?;
            Ok(record.map(|record| match self.0.load(Ordering::SeqCst) {
                true => Record::unreadable(record.version().clone(), "sealed with another key"),
                false => record,
            }))
        }

        async fn replace(
            &self,
            name: &str,
            seen: Option<&Version>,
            token: &StoredToken,
        ) -> Result<Replaced, StoreError> {
            assert!(!self.0.load(Ordering::SeqCst), "the pair in it would be lost");
            TokenStore::replace(&self.1, name, seen, token).await
        }

        async fn remove(&self, name: &str) -> Result<(), StoreError> {
            TokenStore::remove(&self.1, name).await
        }
    }

    let world = World::new();
    assert_eq!(token(&world.program()).await, "t1");
    let (is_sealed, time) = (Arc::new(AtomicBool::new(false)), Time::User(Arc::clone(&world.service.clock) as _));
    let store = AnyStore::new(Sealed(Arc::clone(&is_sealed), world.store.clone()));
    let source = program(&world.service, time.clone(), false);
    let program = Cache::new(source, Some(ReportingStore::new(store, None)), time);
    assert_eq!(token(&program).await, "t1");
    is_sealed.store(true, Ordering::SeqCst);
    world.advance(2 * HOUR);
    let error = program.get(&Account).await.unwrap_err();
    assert!(error.is_store() && world.service.sent().is_empty(), "{error}");
    is_sealed.store(false, Ordering::SeqCst);
    world.advance(HOUR);
    assert_eq!(token(&program).await, "t2");
}
