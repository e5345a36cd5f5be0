//! `revoke_created`, `clear` and `wait_idle`.

use gettone::Retry;
use gettone::openapi::Ttl;
use gettone::openapi::v2::{NewToken, Renewal};
use gettone::store::MemoryStore;

use crate::account_v2::{FakeAccount, Fault};
use crate::{X, Y, begun, once, set, token};

#[tokio::test]
async fn revoke_created_leaves_no_token_at_the_service_in_memory_or_in_the_store() {
    let (service, store) = (FakeAccount::start().await, MemoryStore::new());
    let oauth = service.builder().store(store.clone()).build().unwrap();
    token(&oauth, &[X]).await;
    token(&oauth.clone(), &[Y]).await;
    // A token that the client does not cache.
    oauth.create_token(NewToken::new(&set(&[X]), Ttl::days(1).unwrap()).name("gettone")).await.unwrap();
    // Another program has deleted one of them.
    service.state().tokens.remove(0);
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
    assert_eq!(service.living(), ["t3"]);
    assert_eq!(oauth.revoke_created().await.unwrap(), 0);
    let restarted = service.builder().store(store).build().unwrap();
    assert_eq!(token(&restarted, &[X]).await, "t4");
    assert_eq!(token(&oauth, &[X]).await, "t4", "from the store");
    assert_eq!(oauth.clone().revoke_created().await.unwrap(), 0, "the other client created it");
}

#[tokio::test]
async fn the_next_call_retries_a_deletion_that_failed() {
    for fault in [Fault::Status(500), Fault::Status(404), Fault::Status(403), Fault::LostRequest] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        token(&oauth, &[X]).await;
        token(&oauth, &[Y]).await;
        service.fail("DELETE", [fault]);
        oauth.revoke_created().await.unwrap_err();
        assert_eq!(service.living().len(), 1, "{fault:?}: the other one is deleted nevertheless");
        assert_eq!(oauth.revoke_created().await.unwrap(), 1);
        assert!(service.living().is_empty());
    }
}

#[tokio::test]
async fn a_deletion_without_a_response_is_one() {
    let service = FakeAccount::start().await;
    let oauth = once(&service);
    token(&oauth, &[X]).await;
    service.fail("DELETE", [Fault::LostResponse]);
    assert!(oauth.revoke_created().await.unwrap_err().is_ambiguous());
    assert_eq!(oauth.revoke_created().await.unwrap(), 0);
    assert_eq!(service.count("DELETE"), 2);
    oauth.revoke_created().await.unwrap();
    assert_eq!(service.count("DELETE"), 2);
}

#[tokio::test]
async fn a_token_that_could_not_be_deleted_when_it_was_granted_less_is_deleted_later() {
    let service = FakeAccount::start().await;
    service.state().denied = vec![Y];
    let oauth = once(&service);
    service.fail("DELETE", [Fault::Status(500)]);
    oauth.token(&set(&[X, Y])).await.unwrap_err();
    assert_eq!(service.living().len(), 1);
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
    assert!(service.living().is_empty());
}

#[tokio::test]
async fn clear_leaves_the_tokens_at_the_service() {
    let (service, store) = (FakeAccount::start().await, MemoryStore::new());
    let oauth = service.builder().store(store.clone()).build().unwrap();
    token(&oauth, &[X]).await;
    oauth.clear().await.unwrap();
    assert!(format!("{store:?}").contains("tokens: 0"));
    assert_eq!(token(&oauth, &[X]).await, "t2");
    assert_eq!(service.living(), ["t1", "t2"]);
    // Both are still the client's own.
    assert_eq!(oauth.revoke_created().await.unwrap(), 2);
}

#[tokio::test]
async fn a_cleared_token_is_not_extended() {
    let service = FakeAccount::start().await;
    let oauth = service.oauth();
    token(&oauth, &[X]).await;
    service.seconds(86_400 - 60);
    oauth.clear().await.unwrap();
    assert_eq!(token(&oauth, &[X]).await, "t2");
    assert_eq!(service.count("PATCH"), 0);
}

/// A renewal is in flight in the background: its token is deleted too.
#[tokio::test]
async fn a_token_that_arrives_during_revoke_created_or_clear_is_not_returned() {
    for renewal in [Renewal::Extend, Renewal::Replace] {
        for is_after in [false, true] {
            for revoke in [false, true] {
                for is_borrowed in [false, true] {
                    let service = FakeAccount::start().await;
                    let store = MemoryStore::new();
                    let oauth = service.builder().renewal(renewal).store(store.clone()).build().unwrap();
                    token(&oauth, &[X, Y]).await;
                    assert_eq!(token(&oauth, &[Y]).await, "t1");
                    service.seconds(86_400 - 60);
                    let renew = if renewal == Renewal::Extend { "PATCH" } else { "POST" };
                    let gate = service.hold(renew, is_after);
                    oauth.token(&set(if is_borrowed { &[Y] } else { &[X, Y] })).await.unwrap();
                    service.arrived(1).await;
                    let ending = oauth.clone();
                    let mut ending = Box::pin(async move {
                        if revoke { ending.revoke_created().await.map(drop) } else { ending.clear().await }
                    });
                    begun(&mut ending).await;
                    gate.add_permits(100);
                    ending.await.unwrap();
                    let living = service.living();
                    if revoke {
                        assert!(living.is_empty(), "{renewal:?} {is_after}: {living:?}");
                    }
                    let restarted = service.builder().store(store).build().unwrap();
                    for client in [&restarted, &oauth] {
                        for scopes in [&[X, Y][..], &[Y]] {
                            let next = token(client, scopes).await;
                            assert!(next != "t1" && !living.contains(&next), "{renewal:?} {is_after} {revoke}: {next}");
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn wait_idle_waits_for_the_renewal() {
    for renewal in [Renewal::Extend, Renewal::Replace] {
        let service = FakeAccount::start().await;
        let oauth = service.builder().renewal(renewal).retry(Retry::none()).build().unwrap();
        token(&oauth, &[X]).await;
        service.seconds(86_400 - 60);
        let gate = service.hold("P", false);
        oauth.token(&set(&[X])).await.unwrap();
        service.arrived(1).await;
        let mut waiting = Box::pin(oauth.wait_idle());
        begun(&mut waiting).await;
        gate.add_permits(10);
        waiting.await;
        service.hours(1);
        oauth.token(&set(&[X])).await.unwrap();
        assert_eq!(service.requests().len(), 2);
    }
}

/// A request for a token is on a runtime that no thread drives any more: nobody will ever know what became of it.
#[test]
fn revoke_created_finds_the_token_of_a_request_that_nobody_drives() {
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let alone = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (idle, driven) = (alone(), alone());
    let service = server.block_on(FakeAccount::start());
    let oauth = once(&service);
    let gate = service.hold("POST", true);
    idle.block_on(async {
        let asking = oauth.clone();
        let _asked = tokio::spawn(async move { asking.token(&set(&[X])).await });
        service.arrived(1).await;
    });
    driven.block_on(async {
        // The client gives the request up when it has taken longer than any may take.
        tokio::time::pause();
        oauth.wait_idle().await;
        tokio::time::resume();
        assert_eq!(oauth.revoke_created().await.unwrap(), 1);
        assert!(service.living().is_empty());
    });
    gate.add_permits(10);
}
