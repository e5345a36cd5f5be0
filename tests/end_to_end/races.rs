//! Tokens that are deleted, revoked, changed or cleared while tasks of the same client ask for new keys.

use std::time::Duration;

use gettone::emulator::Emulator;
use gettone::openapi::{
    Ttl,
    v1::{Oauth, TokenUpdate},
};
use gettone::store::MemoryStore;
use gettone::{AccessToken, ScopeSet};

use crate::world::oauth;

const ROUNDS: usize = 400;

fn set(scopes: &[String]) -> ScopeSet {
    ScopeSet::parse(scopes).unwrap()
}

/// Returns the scopes of one caller, which the token for all of them serves.
fn narrow(number: usize) -> ScopeSet {
    set(&[format!("GET:127.0.0.1/echo/{number}")])
}

fn broad() -> ScopeSet {
    set(&(0..8).map(|number| format!("GET:127.0.0.1/echo/{number}")).collect::<Vec<_>>())
}

fn client(emulator: &Emulator, store: Option<MemoryStore>) -> Oauth {
    let builder = oauth(emulator);
    match store {
        Some(store) => builder.store(store).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

async fn end(oauth: &Oauth, token: &AccessToken, way: usize) {
    match way {
        0 => oauth.delete_token(token).await.unwrap(),
        1 => assert!(oauth.revoke_created().await.unwrap() >= 1),
        2 => oauth.clear().await.unwrap(),
        3 => oauth.invalidate(token),
        // It lives on with other scopes than the client knows.
        _ => {
            let update = TokenUpdate::new().scopes(&narrow(99)).ttl(Ttl::days(1).unwrap());
            oauth.update_token(token, update).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_that_was_ended_is_never_returned_afterwards() {
    let mut stale = Vec::new();
    // A fresh emulator now and then, so that none gets too many requests.
    let mut emulator = Emulator::start().await.unwrap();
    for number in 0..ROUNDS {
        let way = number % 5;
        if number % 50 == 49 {
            emulator = Emulator::start().await.unwrap();
        }
        let oauth = client(&emulator, (number % 2 == 0).then(MemoryStore::new));
        let token = oauth.token(&broad()).await.unwrap();
        let asking: Vec<_> = (0..3)
            .map(|caller| {
                let oauth = oauth.clone();
                tokio::spawn(async move { oauth.token(&narrow(caller)).await.unwrap() })
            })
            .collect();
        end(&oauth, &token, way).await;
        for caller in 0..8 {
            if oauth.token(&narrow(caller)).await.unwrap() == token {
                stale.push((number, way, caller));
            }
        }
        for task in asking {
            task.await.unwrap();
        }
        oauth.revoke_created().await.unwrap();
    }
    assert!(stale.is_empty(), "(round, way, caller): {stale:?}");
}

#[tokio::test]
async fn a_token_that_another_client_deleted_is_not_taken_from_the_store() {
    let (emulator, store) = (Emulator::start().await.unwrap(), MemoryStore::new());
    let (worker, admin) = (client(&emulator, Some(store.clone())), client(&emulator, Some(store)));
    let token = worker.token(&narrow(1)).await.unwrap();
    worker.wait_idle().await;
    for listed in &admin.list_tokens().await.unwrap() {
        admin.delete_token(listed.token()).await.unwrap();
    }
    let next = admin.token(&narrow(1)).await.unwrap();
    assert_ne!(next, token);
    assert_eq!(emulator.count("create_token"), 2);
}

#[tokio::test]
async fn a_cancelled_deletion_leaves_no_dead_token_in_the_cache() {
    let emulator = Emulator::start().await.unwrap();
    let oauth = client(&emulator, None);
    let token = oauth.token(&narrow(1)).await.unwrap();
    // The emulator carries it out at once, and answers late.
    emulator.set_latency(Duration::from_millis(300));
    let deleting = tokio::spawn({
        let (oauth, token) = (oauth.clone(), token.clone());
        async move { oauth.delete_token(&token).await }
    });
    while emulator.count("delete_token") == 0 {
        tokio::task::yield_now().await;
    }
    deleting.abort();
    assert!(deleting.await.unwrap_err().is_cancelled());
    emulator.set_latency(Duration::ZERO);
    assert_ne!(oauth.token(&narrow(1)).await.unwrap(), token);
}

/// A caller finds a token in the account's list before the client that requested it has the response.
#[tokio::test]
async fn a_token_that_is_deleted_or_changed_before_its_response_arrives_is_not_returned() {
    for is_deleted in [true, false] {
        let emulator = Emulator::start().await.unwrap();
        let oauth = client(&emulator, None);
        emulator.set_latency(Duration::from_millis(300));
        let asking = tokio::spawn({
            let oauth = oauth.clone();
            async move { oauth.token(&narrow(1)).await.unwrap() }
        });
        while emulator.count("create_token") == 0 {
            tokio::task::yield_now().await;
        }
        emulator.set_latency(Duration::ZERO);
        let listed = oauth.list_tokens().await.unwrap();
        let token = listed[0].token();
        end(&oauth, token, if is_deleted { 0 } else { 4 }).await;
        assert!(!asking.is_finished(), "the machine is too slow for this test");
        assert_ne!(&asking.await.unwrap(), token, "deleted: {is_deleted}");
    }
}
