//! Stores, restarts, and processes that share a store.

use std::future::ready;

use gettone::Retry;
use gettone::openapi::v2::Oauth;
use gettone::store::MemoryStore;

use crate::account_v2::{FakeAccount, Fault, Patching};
use crate::common::store::FakeStore;
use crate::{X, set, token};

/// In the refresh window of a token for a day, a minute before its end.
const IN_WINDOW: u64 = 86_400 - 60;
const CREATE: &str = "POST /tokens";
const EXTEND: &str = "PATCH /tokens/t1";

fn program(service: &FakeAccount, store: &MemoryStore) -> Oauth {
    service.builder().store(store.clone()).build().unwrap()
}

#[tokio::test]
async fn processes_that_share_a_store_extend_a_token_once() {
    for patching in [Patching::Keeps, Patching::Renames] {
        let (service, store) = (FakeAccount::start().await, MemoryStore::new());
        service.state().patching = patching;
        let programs: Vec<_> = (0..5).map(|_| program(&service, &store)).collect();
        let mut expected = "t1".to_owned();
        for round in 0..4 {
            for program in &programs {
                token(program, &[X]).await;
                assert_eq!(token(program, &[X]).await, expected);
            }
            assert_eq!((service.count(CREATE), service.count("PATCH")), (1, round));
            service.seconds(IN_WINDOW);
            if patching == Patching::Renames {
                expected = format!("t{}", round + 2);
            }
        }
    }
}

/// All at once: one of them extends, the others wait for its record.
#[tokio::test]
async fn processes_that_share_a_store_extend_a_token_once_together() {
    let (service, store) = (FakeAccount::start().await, MemoryStore::new());
    let programs: Vec<_> = (0..5).map(|_| program(&service, &store)).collect();
    for program in &programs {
        token(program, &[X]).await;
    }
    service.seconds(IN_WINDOW);
    let gate = service.hold("PATCH", true);
    for program in &programs {
        program.token(&set(&[X])).await.unwrap();
    }
    service.arrived(1).await;
    gate.add_permits(100);
    for program in &programs {
        assert_eq!(token(program, &[X]).await, "t1");
    }
    service.hours(12);
    for program in &programs {
        assert_eq!(token(program, &[X]).await, "t1");
    }
    assert_eq!((service.count(CREATE), service.count("PATCH")), (1, 1));
}

/// The client that extended a token last deletes it with `revoke_created`, even if another process created it.
#[tokio::test]
async fn a_token_that_another_process_created_is_deleted_by_the_one_that_extended_it() {
    for patching in [Patching::Keeps, Patching::Renames] {
        // A new text that was lost is searched for by the name, which only the other process knows.
        for lost in [false, true].into_iter().filter(|lost| !lost || patching == Patching::Keeps) {
            let (service, store) = (FakeAccount::start().await, MemoryStore::new());
            service.state().patching = patching;
            let programs = [program(&service, &store), once_with(&service, &store)];
            token(&programs[0], &[X]).await;
            token(&programs[1], &[X]).await;
            service.seconds(IN_WINDOW);
            if lost {
                service.fail("PATCH", [Fault::LostResponse]);
            }
            token(&programs[1], &[X]).await;
            // Longer than the process that created it knows it to live.
            service.hours(12);
            assert_eq!(service.living().len(), 1);
            let mut deleted = 0;
            for program in &programs {
                deleted += program.revoke_created().await.unwrap();
            }
            assert!(
                deleted == 1 && service.living().is_empty(),
                "{patching:?} {lost}: {deleted} {:?}",
                service.living()
            );
        }
    }
}

fn once_with(service: &FakeAccount, store: &MemoryStore) -> Oauth {
    service.builder().store(store.clone()).retry(Retry::none()).build().unwrap()
}

/// A process that only loads a token is not responsible for it.
#[tokio::test]
async fn a_token_that_was_only_loaded_is_not_deleted() {
    for fault in [None, Some(Fault::Code(422, 110)), Some(Fault::Throttled(60)), Some(Fault::Status(401))] {
        let (service, store) = (FakeAccount::start().await, MemoryStore::new());
        let first = program(&service, &store);
        token(&first, &[X]).await;
        let second = program(&service, &store);
        token(&second, &[X]).await;
        let mut own = 0;
        if let Some(fault) = fault {
            // It tried to extend it, and the service did not do that.
            service.state().always = Some(("PATCH", fault));
            service.seconds(IN_WINDOW);
            token(&second, &[X]).await;
            service.state().always = None;
            own = service.count(CREATE) - 1;
        }
        assert_eq!(second.revoke_created().await.unwrap(), own, "{fault:?}");
        assert_eq!(service.living(), ["t1"], "{fault:?}");
    }
}

#[tokio::test]
async fn a_store_that_fails_does_not_keep_a_token_from_its_extension() {
    for failing in ["load", "save", "remove", "lock", ""] {
        let service = FakeAccount::start().await;
        let store = FakeStore::new(move |call, _| ready(if call == failing { Err(call.into()) } else { Ok(()) }));
        let oauth = service.builder().store(store.hurried(4)).build().unwrap();
        token(&oauth, &[X]).await;
        for _ in 0..3 {
            service.seconds(IN_WINDOW);
            assert_eq!(token(&oauth, &[X]).await, "t1", "{failing}");
        }
        assert_eq!((service.count(CREATE), service.count("PATCH")), (1, 3), "{failing}");
    }
}

/// A restarted program extends the token that its predecessor stored.
#[tokio::test]
async fn a_restarted_program_extends_the_stored_token() {
    let (service, store) = (FakeAccount::start().await, MemoryStore::new());
    for expected in [CREATE, EXTEND, EXTEND, EXTEND] {
        service.take_requests();
        assert_eq!(token(&program(&service, &store), &[X]).await, "t1");
        token(&program(&service, &store), &[X]).await;
        assert_eq!(service.requests(), [expected]);
        service.seconds(IN_WINDOW);
    }
}
