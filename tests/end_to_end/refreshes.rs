//! A refresh at Keliweb Fatture ends the previous access token: which token callers get meanwhile, and how many calls are rejected.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::ManualClock;
use gettone::emulator::Emulator;
use gettone::keliweb::Fatture;
use gettone::store::MemoryStore;
use gettone::{AccessToken, Builder};
use tokio::sync::Semaphore;

use crate::common::http;
use crate::common::store::FakeStore;
use crate::world::fatture;

/// Starts the service, whose time stands still until it is moved.
async fn service() -> (Emulator, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)));
    let emulator = Emulator::builder().clock(Arc::clone(&clock) as _).throttle(None).start().await.unwrap();
    (emulator, clock)
}

fn builder(emulator: &Emulator) -> Builder<Fatture> {
    fatture(emulator).clock(emulator.clock())
}

/// Returns whether the service accepts a token.
async fn is_taken(emulator: &Emulator, token: &AccessToken) -> bool {
    let request = http().get(emulator.url("/api/invoices")).header("accept", "application/json");
    let status = request.bearer_auth(token.expose()).send().await.unwrap().status().as_u16();
    assert!([200, 401].contains(&status), "{status}");
    status == 200
}

const MINUTES: Duration = Duration::from_secs(56 * 60);

/// A hundred calls during each of fifty refreshes, whose responses come some milliseconds after the old token has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_during_a_refresh_is_rejected() {
    let (emulator, clock) = service().await;
    let fatture = builder(&emulator).build().unwrap();
    let emulator = Arc::new(emulator);
    fatture.token().await.unwrap();
    emulator.set_latency(Duration::from_millis(10));
    let mut of_before = 0;
    for round in 0..50 {
        let before = fatture.token().await.unwrap();
        clock.advance(MINUTES);
        let calls: tokio::task::JoinSet<_> = (0..100)
            .map(|_| {
                let (emulator, fatture) = (Arc::clone(&emulator), fatture.clone());
                async move {
                    let token = fatture.token().await.unwrap();
                    is_taken(&emulator, &token).await
                }
            })
            .collect();
        let refused = calls.join_all().await.into_iter().filter(|taken| !taken).count();
        assert_eq!(refused, 0, "refused after refresh {round}");
        // A call that got its token before the refresh is rejected.
        of_before += usize::from(!is_taken(&emulator, &before).await);
    }
    assert_eq!((emulator.count("refresh"), emulator.count("password_grant"), of_before), (50, 1, 50));
}

/// Eight processes, each of which calls once a second.
#[tokio::test]
async fn each_process_of_a_shared_store_is_rejected_once_per_refresh_at_most() {
    const PROCESSES: usize = 8;
    let (emulator, clock) = service().await;
    let store = MemoryStore::new();
    let process = || builder(&emulator).store(store.clone()).build().unwrap();
    let processes: Vec<_> = (0..PROCESSES).map(|_| process()).collect();
    for _ in 0..5 {
        let (before, mut refused) = (emulator.count("refresh"), [0; PROCESSES]);
        let mut seconds = 0;
        // Until some time after the refresh.
        while emulator.count("refresh") == before || seconds % 120 != 0 {
            for (process, refused) in processes.iter().zip(&mut refused) {
                let token = process.token().await.unwrap();
                // No process tells its client about a rejection: each client has to look at the store by itself.
                *refused += usize::from(!is_taken(&emulator, &token).await);
                clock.advance(Duration::from_millis(125));
            }
            seconds += 1;
            if seconds == 1 {
                clock.advance(Duration::from_secs(53 * 60 + 50));
            }
        }
        assert!(refused.iter().all(|times| *times <= 1), "{refused:?}");
        assert_eq!(emulator.count("refresh"), before + 1);
    }
    assert_eq!(emulator.count("password_grant"), 1);
}

/// A program that begins while the stored token is about to be refreshed, such as one that cron starts.
#[tokio::test]
async fn the_first_call_of_a_program_waits_for_the_refresh_that_it_begins() {
    let (emulator, clock) = service().await;
    let store = MemoryStore::new();
    let process = || builder(&emulator).store(store.clone()).build().unwrap();
    let first = process();
    let before = first.token().await.unwrap();
    first.wait_idle().await;
    clock.advance(MINUTES);
    let second = process();
    let token = second.token().await.unwrap();
    // The refresh has ended the stored token.
    assert!(token != before && is_taken(&emulator, &token).await && !is_taken(&emulator, &before).await);
    assert_eq!((emulator.count("refresh"), emulator.count("password_grant")), (1, 1));
}

#[tokio::test]
async fn while_a_store_saves_no_call_is_rejected_and_wait_idle_waits_for_it() {
    let (emulator, clock) = service().await;
    // Each save needs a permit.
    let gate = Arc::new(Semaphore::new(1));
    let permits = Arc::clone(&gate);
    let store = FakeStore::new(move |call, _| {
        let permits = Arc::clone(&permits);
        async move {
            if call == "save" {
                permits.acquire().await?.forget();
            }
            Ok(())
        }
    });
    let fatture = builder(&emulator).store(store.clone()).build().unwrap();
    let first = fatture.token().await.unwrap();
    fatture.wait_idle().await;
    clock.advance(MINUTES);
    for _ in 0..100 {
        let token = fatture.token().await.unwrap();
        assert!(token != first && is_taken(&emulator, &token).await);
    }
    assert_eq!(emulator.count("refresh"), 1);
    // Until the store has the token, the program must not end.
    let ending = fatture.clone();
    let ending = tokio::spawn(async move { ending.wait_idle().await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!ending.is_finished());
    gate.add_permits(1);
    ending.await.unwrap();
    let restarted = builder(&emulator).store(store.memory).build().unwrap();
    assert_eq!(restarted.token().await.unwrap(), fatture.token().await.unwrap());
    assert_eq!((emulator.count("refresh"), emulator.count("password_grant")), (1, 1));
}
