//! Calls of a store that fail, or whose answer is lost.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_found() {
    let world = World::new();
    let program = world.started_with(first("claim", 1, Call::LosesAnswer)).await;
    world.advance(57 * MINUTE);
    assert_eq!(token(&program).await, "t2");
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1));
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_not_carried_out_is_made_again() {
    let world = World::new();
    let program = world.started_with(first("claim", 1, Call::Fails)).await;
    world.advance(57 * MINUTE);
    assert_eq!(token(&program).await, "t2");
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1));
}

/// The store fails from the claim on: nobody knows whether the refresh token is still there.
#[tokio::test(start_paused = true)]
async fn a_program_that_cannot_tell_whether_it_has_claimed_uses_the_password() {
    for claim in [Call::Fails, Call::LosesAnswer] {
        let world = World::new();
        let has_claimed = Arc::new(AtomicBool::new(false));
        let program = world
            .started_with({
                let has_claimed = Arc::clone(&has_claimed);
                move |call| match call {
                    "claim" if !has_claimed.swap(true, Ordering::SeqCst) => claim,
                    _ if has_claimed.load(Ordering::SeqCst) => Call::Fails,
                    _ => Call::Works,
                }
            })
            .await;
        world.advance(57 * MINUTE);
        assert_eq!(token(&program).await, "t2");
        assert_eq!((world.service.sent(), world.service.passwords()), (vec![], 2), "{claim:?}");
        // The new pair never got to the store, so it is the program's own.
        world.advance(57 * MINUTE);
        assert_eq!(token(&program).await, "t3");
        assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r2".to_owned()], 2), "{claim:?}");
    }
}

/// One password for the program, and then its own refresh tokens.
#[tokio::test(start_paused = true)]
async fn a_program_whose_store_is_away_from_the_start_refreshes_its_own_tokens() {
    let world = World::new();
    let program = world.program_with(|_| Call::Fails);
    for turn in 1..=5 {
        assert_eq!(token(&program).await, format!("t{turn}"));
        world.advance(57 * MINUTE);
    }
    assert_eq!((world.service.sent().len(), world.service.passwords()), (4, 1));
    world.service.assert_nothing_sent_twice();
    assert!(!world.calls.lock().unwrap().contains(&"remove"));
}

/// The store is back with the token of another program: there is one token for all.
#[tokio::test(start_paused = true)]
async fn a_program_whose_store_comes_back_takes_the_token_that_it_finds_there() {
    let world = World::new();
    let is_away = Arc::new(AtomicBool::new(true));
    let program = world.program_with({
        let is_away = Arc::clone(&is_away);
        move |_| if is_away.load(Ordering::SeqCst) { Call::Fails } else { Call::Works }
    });
    assert_eq!(token(&program).await, "t1");
    assert_eq!(token(&world.program()).await, "t2");
    is_away.store(false, Ordering::SeqCst);
    world.advance(40 * MINUTE);
    assert_eq!(token(&world.program()).await, "t2");
    world.advance(17 * MINUTE);
    let other = world.program();
    other.get(&Account).await.unwrap();
    assert_eq!(token(&other).await, "t3");
    assert_eq!((token(&program).await, world.service.passwords()), ("t3".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_save_whose_answer_is_lost_loses_no_token() {
    let world = World::new();
    let program = world.started_with(first("save", 1, Call::LosesAnswer)).await;
    world.advance(57 * MINUTE);
    assert_eq!(token(&program).await, "t2");
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
    let calls = world.calls.lock().unwrap().clone();
    assert!(calls.ends_with(&["save", "load"]), "{calls:?}");
    // The next one claims it.
    world.advance(2 * HOUR);
    assert_eq!(token(&world.program()).await, "t3");
    assert_eq!((world.service.sent().len(), world.service.passwords()), (2, 1));
}

/// The token was saved, and the answer was lost. Until the program tries again, another one, which took it for dead, has used the refresh
/// token, and the store has lost everything.
#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_was_used_meanwhile_is_not_saved_again() {
    let world = World::new();
    let program = world.program_with(first("save", 1, Call::LosesAnswer));
    let saving = {
        let program = program.clone();
        tokio::spawn(async move { token(&program).await })
    };
    until(|| world.calls.lock().unwrap().contains(&"save")).await;
    world.advance(61 * MINUTE);
    let other = world.program_with(|call| if call == "lock" { Call::Fails } else { Call::Works });
    assert_eq!(token(&other).await, "t2");
    TokenStore::remove(&world.store, NAME).await.unwrap();
    assert_eq!(saving.await.unwrap(), "t1");
    assert!(TokenStore::load(&world.store, NAME).await.unwrap().is_none());
    assert_eq!(token(&program).await, "t3", "by the password");
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 2));
}

#[tokio::test(start_paused = true)]
async fn a_failed_save_is_tried_again_and_nothing_is_removed() {
    let world = World::new();
    let program = world.started_with(first("save", 3, Call::Fails)).await;
    world.advance(57 * MINUTE);
    let began = Instant::now();
    assert_eq!(token(&program).await, "t2");
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
    // One that fails for longer leaves the claim.
    let program = world.program_with(first("save", 4, Call::Fails));
    world.advance(2 * HOUR);
    assert_eq!(token(&program).await, "t3");
    let (_, marks) = world.record().await.token.unwrap();
    assert!(marks.claimed_at.is_some());
    assert!(!world.calls.lock().unwrap().contains(&"remove"));
    // The program that has the pair puts its claim over the old one, so that a save that comes late changes nothing.
    world.advance(57 * MINUTE);
    assert_eq!(token(&program).await, "t4");
    assert_eq!((world.stored_refresh_token().await.as_deref(), world.service.passwords()), (Some("r4"), 1));
    world.service.assert_nothing_sent_twice();
}

/// A program is held up after its claim, and another takes it for dead.
#[tokio::test(start_paused = true)]
async fn a_program_that_was_taken_for_dead_adopts_the_token_of_the_other() {
    let world = World::new();
    let no_lock = |call| if call == "lock" { Call::Fails } else { Call::Works };
    let slow = world.started_with(no_lock).await;
    let quick = world.started_with(no_lock).await;
    world.advance(57 * MINUTE);
    world.service.hold();
    let waiting = {
        let slow = slow.clone();
        tokio::spawn(async move { token(&slow).await })
    };
    until(|| world.service.sent().len() == 1).await;
    assert_eq!(token(&quick).await, "t2", "by the password");
    world.service.gate.add_permits(1_000);
    waiting.await.unwrap();
    assert_eq!((token(&slow).await, token(&quick).await), ("t2".to_owned(), "t2".to_owned()));
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 2));
}
