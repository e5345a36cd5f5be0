//! Calls that change, refresh or delete a token that the client has cached. It never returns a token again that it no longer knows.

use std::future::ready;

use gettone::openapi::Ttl;
use gettone::openapi::v2::{Oauth, TokenUpdate};
use gettone::store::MemoryStore;
use gettone::{Error, RefreshToken, Retry};

use crate::account_v2::{FakeAccount, Fault, Patching};
use crate::common::store::FakeStore;
use crate::{X, Y, begun, once, set, token};

const IN_WINDOW: u64 = 86_400 - 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Lifetime,
    Scopes,
    Refresh,
    Delete,
}

const CHANGES: [Change; 4] = [Change::Lifetime, Change::Scopes, Change::Refresh, Change::Delete];

impl Change {
    async fn make(self, oauth: &Oauth) -> Result<(), Error> {
        let token = "t1".into();
        let update = TokenUpdate::new();
        match self {
            Self::Lifetime => oauth.update_token(&token, update.ttl(Ttl::days(2)?)).await.map(drop),
            Self::Scopes => oauth.update_token(&token, update.scopes(&set(&[X]))).await.map(drop),
            Self::Refresh => oauth.refresh_token(&token, &RefreshToken::new("r1")).await.map(drop),
            Self::Delete => oauth.delete_token(&token).await,
        }
    }

    fn method(self) -> &'static str {
        if self == Self::Delete { "DELETE" } else { "PATCH" }
    }
}

/// When a change meets an extension of the token by the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    None,
    /// The service has not received it.
    Sent,
    /// The service has carried it out, and its response is on the way.
    CarriedOut,
}

/// Asserts that the client returns another token for both sets from now on, and deletes all that it created.
async fn assert_never_returned(service: &FakeAccount, oauth: &Oauth, case: &str) {
    for _ in 0..3 {
        for scopes in [&[X, Y][..], &[Y]] {
            assert_ne!(token(oauth, scopes).await, "t1", "{case}");
        }
        service.hours(5);
    }
    oauth.revoke_created().await.unwrap();
    assert!(service.living().is_empty(), "{case}: {:?}", service.living());
}

#[tokio::test]
async fn a_token_that_was_or_may_have_been_changed_is_not_returned_again() {
    for change in CHANGES {
        for fault in [
            None,
            Some(Fault::LostResponse),
            Some(Fault::LostRequest),
            Some(Fault::Truncated),
            Some(Fault::Broken),
            Some(Fault::Status(500)),
            Some(Fault::Undecodable),
            // Somebody has deleted the token.
            Some(Fault::Status(404)),
        ] {
            for extension in [Extension::None, Extension::Sent, Extension::CarriedOut] {
                for has_store in [false, true] {
                    let case = format!("{change:?} {fault:?} {extension:?} {has_store}");
                    let (service, store) = (FakeAccount::start().await, MemoryStore::new());
                    let builder = service.builder().retry(Retry::none());
                    let builder = if has_store { builder.store(store.clone()) } else { builder };
                    let oauth = builder.build().unwrap();
                    token(&oauth, &[X, Y]).await;
                    assert_eq!(token(&oauth, &[Y]).await, "t1");
                    let gate = service.hold("PATCH", extension == Extension::CarriedOut);
                    if extension != Extension::None {
                        service.seconds(IN_WINDOW);
                        oauth.token(&set(&[X, Y])).await.unwrap();
                        service.arrived(1).await;
                    }
                    // The change itself is not held back.
                    service.state().gate = None;
                    if fault == Some(Fault::Status(404)) {
                        service.state().tokens.clear();
                    } else {
                        service.fail(change.method(), fault);
                    }
                    let mut changing = Box::pin(change.make(&oauth));
                    if extension != Extension::None {
                        begun(&mut changing).await;
                    }
                    gate.add_permits(10);
                    let result = changing.await;
                    // Without content that distinguishes it, any success of a deletion is one.
                    let is_ok = fault.is_none() || (fault == Some(Fault::Undecodable) && change == Change::Delete);
                    assert_eq!(result.is_ok(), is_ok, "{case}: {result:?}");
                    if has_store {
                        let restarted = service.builder().store(store).build().unwrap();
                        assert_ne!(token(&restarted, &[X, Y]).await, "t1", "{case}");
                        restarted.revoke_created().await.unwrap();
                    }
                    assert_never_returned(&service, &oauth, &case).await;
                    let extensions = usize::from(extension != Extension::None);
                    let changes = usize::from(change != Change::Delete);
                    assert!(
                        service.count("PATCH /tokens/t1") <= extensions + changes,
                        "{case}: {:?}",
                        service.requests()
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_was_certainly_not_changed_is_kept() {
    for change in CHANGES {
        for fault in
            [Fault::Status(403), Fault::Status(401), Fault::Code(422, 110), Fault::Status(404), Fault::Throttled(60)]
        {
            let service = FakeAccount::start().await;
            let oauth = once(&service);
            token(&oauth, &[X, Y]).await;
            service.fail(change.method(), [fault]);
            change.make(&oauth).await.unwrap_err();
            for scopes in [&[X, Y][..], &[Y]] {
                assert_eq!(token(&oauth, scopes).await, "t1", "{change:?} {fault:?}");
            }
            assert_eq!(service.count("POST"), 1);
            assert_eq!(oauth.revoke_created().await.unwrap(), 1);
        }
    }
}

/// The program drops the call. The service carries it out before, or later.
#[tokio::test]
async fn a_token_whose_change_was_cut_off_is_not_returned_again() {
    for change in CHANGES {
        for is_after in [false, true] {
            for is_late in [false, true] {
                for omits in [vec![], vec!["scopes"]] {
                    let case = format!("{change:?} {is_after} {is_late} {omits:?}");
                    let service = FakeAccount::start().await;
                    let oauth = once(&service);
                    token(&oauth, &[X, Y]).await;
                    assert_eq!(token(&oauth, &[Y]).await, "t1");
                    service.state().omits = omits;
                    if is_late {
                        service.seconds(IN_WINDOW);
                    }
                    let gate = service.hold(change.method(), is_after);
                    {
                        let mut changing = Box::pin(change.make(&oauth));
                        tokio::select! {
                            biased;
                            _ = &mut changing => panic!("nobody let it through"),
                            () = service.arrived(1) => {}
                        }
                    }
                    service.state().gate = None;
                    // An extension would meet the change, which is still on its way.
                    assert_ne!(token(&oauth, &[X, Y]).await, "t1", "{case}");
                    assert_eq!(
                        service.count("PATCH /tokens/t1"),
                        usize::from(is_after && change != Change::Delete),
                        "{case}"
                    );
                    gate.add_permits(10);
                    let sent = usize::from(change != Change::Delete);
                    crate::common::until(|| service.count(change.method()) >= 1).await;
                    assert_never_returned(&service, &oauth, &case).await;
                    assert_eq!(service.count("PATCH /tokens/t1"), sent, "{case}");
                }
            }
        }
    }
}

/// The store keeps the record, because it fails to remove it.
#[tokio::test]
async fn a_changed_token_that_the_store_keeps_is_not_extended() {
    for change in [Change::Lifetime, Change::Scopes] {
        for omits in [vec![], vec!["scopes"]] {
            let service = FakeAccount::start().await;
            service.state().omits = omits;
            let fails = |call| if call == "remove" { Err("cannot remove".into()) } else { Ok(()) };
            let store = FakeStore::new(move |call, _| ready(fails(call)));
            let oauth = service.builder().store(store).build().unwrap();
            token(&oauth, &[X, Y]).await;
            service.seconds(IN_WINDOW);
            assert!(change.make(&oauth).await.unwrap_err().is_store());
            service.take_requests();
            assert_ne!(token(&oauth, &[X, Y]).await, "t1", "{change:?}");
            assert_eq!(service.requests(), ["POST /tokens"], "{change:?}");
        }
    }
}

/// A token that the service returns under another text is the same token, and the client does not know its scopes.
#[tokio::test]
async fn neither_text_of_a_changed_token_is_returned() {
    for change in [Change::Lifetime, Change::Scopes] {
        let service = FakeAccount::start().await;
        service.state().patching = Patching::Renames;
        let oauth = service.oauth();
        token(&oauth, &[X, Y]).await;
        change.make(&oauth).await.unwrap();
        assert_eq!(service.living(), ["t2"]);
        assert_eq!(token(&oauth, &[X, Y]).await, "t3");
        assert_eq!(oauth.revoke_created().await.unwrap(), 2, "{change:?}: the changed one too");
        assert!(service.living().is_empty());
    }
}

/// The lifetime that a program set by hand counts for what `revoke_created` deletes, even without a response.
#[tokio::test]
async fn revoke_created_deletes_a_token_whose_lifetime_was_changed_by_hand() {
    for fault in [None, Some(Fault::LostResponse), Some(Fault::Broken), Some(Fault::Undecodable)] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        token(&oauth, &[X]).await;
        service.fail("PATCH", fault);
        let _ = oauth.update_token(&"t1".into(), TokenUpdate::new().ttl(Ttl::days(30).unwrap())).await;
        service.hours(15 * 24);
        assert_eq!(service.living(), ["t1"]);
        assert_eq!(oauth.revoke_created().await.unwrap(), 1, "{fault:?}");
        assert!(service.living().is_empty());
    }
}

#[tokio::test]
async fn calls_for_tokens_that_are_not_cached_change_nothing() {
    let service = FakeAccount::start().await;
    let oauth = once(&service);
    token(&oauth, &[X]).await;
    for number in 0..4 {
        service.put(&format!("other-{number}"), None, &[X], 86_400);
    }
    let update = TokenUpdate::new().ttl(Ttl::days(2).unwrap());
    // By the program's own wish, also tokens of others.
    oauth.update_token(&"other-0".into(), update.clone()).await.unwrap();
    service.fail("PATCH", [Fault::LostResponse]);
    oauth.update_token(&"other-1".into(), update).await.unwrap_err();
    oauth.refresh_token(&"other-2".into(), &RefreshToken::new("refresh-of-other-2")).await.unwrap();
    oauth.delete_token(&"other-3".into()).await.unwrap();
    assert_eq!(token(&oauth, &[X]).await, "t1");
    assert_eq!(service.count("POST"), 1);
    // None of them is the client's own.
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
    assert_eq!(service.living(), ["other-0", "other-1", "t2"]);
}

#[tokio::test]
async fn deleting_a_token_that_is_not_cached_waits_for_nothing() {
    let service = FakeAccount::start().await;
    let oauth = service.oauth();
    service.put("other", None, &[X], 86_400);
    let _gate = service.hold("POST", false);
    let (scopes, other) = (set(&[Y]), "other".into());
    let mut asking = Box::pin(oauth.token(&scopes));
    begun(&mut asking).await;
    tokio::select! {
        deleted = oauth.delete_token(&other) => deleted.unwrap(),
        _ = asking => panic!("nobody let it through"),
    }
}

#[tokio::test]
async fn a_refresh_by_hand_sends_its_refresh_token_once_and_no_key() {
    for fault in [
        None,
        Some(Fault::LostResponse),
        Some(Fault::Status(503)),
        Some(Fault::Status(500)),
        Some(Fault::Code(401, 130)),
    ] {
        let service = FakeAccount::start().await;
        let oauth = service.oauth();
        token(&oauth, &[X]).await;
        service.fail("PATCH", fault);
        let result = oauth.refresh_token(&"t1".into(), &"r1".into()).await;
        assert_eq!(service.count("PATCH"), 1, "{fault:?}");
        let asked = service.state().asked.last().unwrap().clone();
        assert_eq!((asked.authorization.as_str(), asked.body), ("Bearer r1", serde_json::json!({})));
        match (fault, result) {
            (None, result) => assert_eq!(result.unwrap().token().expose(), "t2"),
            (Some(Fault::Code(..)), Err(error)) => assert!(error.is_invalid_grant() && !error.is_unauthorized()),
            (Some(_), Err(error)) => assert!(error.is_ambiguous() && !error.is_invalid_grant(), "{error}"),
            (fault, result) => panic!("{fault:?} {result:?}"),
        }
    }
}
