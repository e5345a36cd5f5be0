//! Programs that share one store: which refresh tokens they send to Keliweb Fatture, and which passwords, when a call to the store fails.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gettone::ScopeSet;
use gettone::emulator::{Api, Emulator};
use gettone::keliweb::Fatture;
use gettone::store::TokenStore;

use crate::common::store::FakeStore;
use crate::world::{fatture, oauth};

const HOURS: Duration = Duration::from_secs(2 * 60 * 60);

async fn start() -> Emulator {
    Emulator::builder().throttle(None).start().await.unwrap()
}

fn program(emulator: &Emulator, store: impl TokenStore) -> Fatture {
    fatture(emulator).clock(emulator.clock()).store(store).build().unwrap()
}

async fn token(program: &Fatture) -> String {
    let token = program.token().await.unwrap();
    program.wait_idle().await;
    token.expose().to_owned()
}

/// Returns how many passwords and refresh tokens were sent, after it has checked that the service took all of them: it takes no refresh token
/// twice.
fn sent(emulator: &Emulator) -> [usize; 2] {
    let refused: Vec<_> = emulator.requests().into_iter().filter(|request| request.status != Some(200)).collect();
    assert!(refused.is_empty(), "{refused:?}");
    ["password_grant", "refresh"].map(|operation| emulator.count(operation))
}

/// Fails in each call of this name.
fn failing(name: &'static str) -> FakeStore {
    FakeStore::new(move |call, _| std::future::ready(if call == name { Err("away".into()) } else { Ok(()) }))
}

/// Carries out each call, and loses the answers of the first calls of this name.
fn losing(name: &'static str, times: usize) -> FakeStore {
    let left = AtomicUsize::new(times);
    let is_lost = move |call| {
        call == name && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    };
    failing("").after(move |call| if is_lost(call) { Err("no answer".into()) } else { Ok(()) })
}

/// The lock is for efficiency only: without it, one of the programs sends the refresh token, and each other one the password.
#[tokio::test]
async fn without_a_lock_one_of_several_programs_sends_the_refresh_token() {
    const PROGRAMS: usize = 4;
    let (emulator, store) = (start().await, failing("lock"));
    let programs: Vec<_> = (0..PROGRAMS).map(|_| program(&emulator, store.clone())).collect();
    let first = token(&programs[0]).await;
    for program in &programs {
        assert_eq!(token(program).await, first);
    }
    let mut passwords = 1;
    emulator.set_latency(Duration::from_millis(20));
    for turn in 1..=5 {
        emulator.advance(HOURS);
        let calls: tokio::task::JoinSet<_> = programs
            .iter()
            .map(|program| {
                let program = program.clone();
                async move { program.token().await.unwrap() }
            })
            .collect();
        calls.join_all().await;
        for program in &programs {
            program.wait_idle().await;
        }
        let [all, refreshes] = sent(&emulator);
        assert_eq!(refreshes, turn);
        assert!(all - passwords < PROGRAMS, "turn {turn}: {all}");
        passwords = all;
        // Whose token was saved last: all have that one.
        let mut given = HashSet::new();
        for program in &programs {
            given.insert(token(program).await);
        }
        assert_eq!(given.len(), 1, "turn {turn}");
        assert_eq!(token(&program(&emulator, store.clone())).await, *given.iter().next().unwrap());
        assert_eq!(sent(&emulator), [passwords, turn]);
    }
    assert!(passwords > 1, "the programs never got into each other's way");
}

/// A call that was carried out costs nothing if its answer is lost: the client looks, and finds what it has written.
#[tokio::test]
async fn a_lost_answer_of_a_store_loses_no_pair() {
    for (call, times) in [("claim", 1), ("claim", 100), ("save", 1), ("save", 100), ("lock", 100), ("remove", 100)] {
        let (emulator, store) = (start().await, losing(call, times).hurried(4));
        let one = program(&emulator, store.clone());
        let first = token(&one).await;
        for turn in 1..=3 {
            // Another program, and one that has just started, have the pair of the store.
            let other = program(&emulator, store.memory.clone());
            assert_eq!(token(&other).await, token(&one).await, "{call} {times}");
            emulator.advance(HOURS);
            let next = token(if turn == 2 { &other } else { &one }).await;
            assert_ne!(next, first);
            assert_eq!(sent(&emulator), [1, turn], "{call} {times}");
        }
    }
}

/// A program that cannot tell whether it has claimed the refresh token sends the password: another one may have claimed it.
#[tokio::test]
async fn a_refresh_token_is_not_sent_unless_it_was_claimed() {
    for call in ["claim", "load"] {
        let (emulator, store) = (start().await, failing(call).hurried(4));
        let other = program(&emulator, store.memory.clone());
        let (first, one) = (token(&other).await, program(&emulator, store.clone()));
        if call == "claim" {
            assert_eq!(token(&one).await, first);
        }
        emulator.advance(HOURS);
        token(&one).await;
        assert_eq!(sent(&emulator), [2, 0], "{call}");
        // The refresh token is still there, or the pair that has taken its place.
        emulator.advance(HOURS);
        token(&other).await;
        assert_eq!(sent(&emulator), [2, 1], "{call}");
    }
}

/// Of two tokens for the same scopes the one that was saved first is for all. The other one is still deleted in the end.
#[tokio::test]
async fn without_a_lock_the_tokens_of_openapi_become_one() {
    let (emulator, store) = (start().await, failing("lock"));
    let scopes = ScopeSet::parse(["GET:127.0.0.1/echo"]).unwrap();
    let programs = [(); 3].map(|()| oauth(&emulator).clock(emulator.clock()).store(store.clone()).build().unwrap());
    emulator.set_latency(Duration::from_millis(20));
    let (one, two, three) =
        tokio::join!(programs[0].token(&scopes), programs[1].token(&scopes), programs[2].token(&scopes));
    let made: HashSet<_> = [one, two, three].map(|token| token.unwrap().expose().to_owned()).into();
    let mut given = HashSet::new();
    for program in &programs {
        program.wait_idle().await;
        given.insert(program.token(&scopes).await.unwrap().expose().to_owned());
    }
    assert!(given.len() == 1 && given.is_subset(&made), "{given:?} {made:?}");
    assert_eq!((emulator.count("create_token"), emulator.count_valid_tokens(Api::Production)), (3, 3));
    for program in &programs {
        assert_eq!(program.revoke_created().await.unwrap(), 1);
    }
    assert_eq!(emulator.count_valid_tokens(Api::Production), 0);
}
