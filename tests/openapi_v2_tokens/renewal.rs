//! How a cached token is renewed before it expires.

use gettone::Retry;
use gettone::openapi::v2::{Renewal, TokenLimits};
use gettone::openapi::{Decimal, Ttl};
use gettone::store::MemoryStore;
use serde_json::json;

use crate::account_v2::{FakeAccount, Fault, Patching};
use crate::common::BASIC;
use crate::{X, Y, enabled, once, set, token};

/// In the refresh window of a token for a day, a minute before its end.
const IN_WINDOW: u64 = 86_400 - 60;
const CREATE: &str = "POST /tokens";
const EXTEND: &str = "PATCH /tokens/t1";

#[tokio::test]
async fn a_token_is_extended_in_the_background_and_stays_the_same() {
    for retry in [Retry::none(), Retry::default()] {
        let service = FakeAccount::start().await;
        let oauth = service.builder().retry(retry).build().unwrap();
        token(&oauth, &[X]).await;
        let end = service.state().tokens[0].expire;
        // Not before the window of ten minutes.
        service.seconds(86_400 - 601);
        assert_eq!(token(&oauth, &[X]).await, "t1");
        assert_eq!(service.take_requests(), [CREATE]);
        service.seconds(541);
        let gate = service.hold("PATCH", false);
        for _ in 0..10 {
            assert_eq!(oauth.token(&set(&[X])).await.unwrap().expose(), "t1");
        }
        service.arrived(1).await;
        assert_eq!(oauth.token(&set(&[X])).await.unwrap().expose(), "t1", "callers do not wait");
        gate.add_permits(10);
        oauth.wait_idle().await;
        assert_eq!(service.requests(), [EXTEND]);
        let asked = service.state().asked[0].clone();
        assert_eq!((asked.body, asked.authorization.as_str()), (json!({ "ttl": 86_400 }), BASIC));
        assert_eq!(service.state().tokens[0].expire, end + IN_WINDOW);
        // From there, it is as good as new.
        service.take_requests();
        service.seconds(86_400 - 601);
        assert_eq!(token(&oauth, &[X]).await, "t1");
        assert!(service.requests().is_empty());
        service.seconds(541);
        assert_eq!(token(&oauth, &[X]).await, "t1");
        assert_eq!(service.requests(), [EXTEND]);
        assert_eq!(service.living(), ["t1"]);
        assert_eq!(oauth.revoke_created().await.unwrap(), 1);
        assert!(service.living().is_empty());
    }
}

#[tokio::test]
async fn the_set_lifetime_is_requested_again() {
    for ttl in [60, 3_600, 30 * 86_400, 365 * 86_400] {
        let service = FakeAccount::start().await;
        let oauth = service.builder().ttl(Ttl::seconds(ttl).unwrap()).build().unwrap();
        token(&oauth, &[X]).await;
        for _ in 0..20 {
            service.seconds(u64::from(ttl) - (u64::from(ttl) / 30).min(60));
            assert_eq!(token(&oauth, &[X]).await, "t1", "{ttl}");
        }
        assert_eq!(service.bodies("PATCH"), vec![json!({ "ttl": ttl }); 20]);
        assert_eq!(service.count(CREATE), 1);
    }
}

#[tokio::test]
async fn an_extension_needs_no_catalog_and_keeps_the_wildcard() {
    for omits in [vec![], vec!["scopes"], vec!["scopes", "name", "createdAt", "refreshToken", "limits"]] {
        let service = FakeAccount::start().await;
        service.state().catalog = enabled(&[X, "POST:a.it/x"]);
        service.state().omits = omits;
        let oauth = service.oauth();
        token(&oauth, &["*:a.it/*"]).await;
        service.state().catalog.clear();
        service.seconds(IN_WINDOW);
        assert_eq!(token(&oauth, &["*:a.it/*"]).await, "t1");
        assert_eq!(service.requests(), ["GET /scopes", CREATE, EXTEND]);
        service.seconds(3_600);
        for served in [&["*:a.it/*"][..], &["GET:a.it/*"], &[X]] {
            assert_eq!(token(&oauth, served).await, "t1");
        }
        assert_eq!(service.requests().len(), 3);
    }
}

/// A set that uses the token of a broader set waits for its extension.
#[tokio::test]
async fn a_borrowed_token_is_extended_once_for_all() {
    let service = FakeAccount::start().await;
    let oauth = service.oauth();
    for scopes in [&[X, Y][..], &[X], &[Y]] {
        assert_eq!(token(&oauth, scopes).await, "t1");
    }
    for first in [&[X][..], &[X, Y], &[Y]] {
        service.seconds(IN_WINDOW);
        for scopes in [first, &[X, Y], &[X], &[Y]] {
            assert_eq!(token(&oauth, scopes).await, "t1");
        }
    }
    assert_eq!((service.count(CREATE), service.count("PATCH")), (1, 3));
}

#[tokio::test]
async fn if_the_answer_names_another_token_that_one_counts() {
    let service = FakeAccount::start().await;
    service.state().patching = Patching::Renames;
    let oauth = service.oauth();
    assert_eq!(token(&oauth, &[X]).await, "t1");
    for (before, expected) in [("t1", "t2"), ("t2", "t3")] {
        service.seconds(IN_WINDOW);
        // The one before, while the extension is in flight.
        assert_eq!(token(&oauth, &[X]).await, before);
        assert_eq!(token(&oauth, &[X]).await, expected);
    }
    assert_eq!(service.requests(), [CREATE, EXTEND, "PATCH /tokens/t2"]);
    assert_eq!(service.living(), ["t3"]);
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
    assert!(service.living().is_empty());
}

#[tokio::test]
async fn a_token_that_the_service_does_not_have_is_replaced() {
    let service = FakeAccount::start().await;
    let oauth = service.oauth();
    token(&oauth, &[X]).await;
    service.state().tokens.clear();
    service.seconds(IN_WINDOW);
    token(&oauth, &[X]).await;
    assert_eq!(token(&oauth, &[X]).await, "t2");
    assert_eq!(service.requests(), [CREATE, EXTEND, CREATE]);
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
    assert_eq!(service.count("DELETE"), 1, "t1 is gone for good");
}

#[tokio::test]
async fn a_token_that_the_service_refuses_to_extend_is_replaced() {
    for fault in
        [Fault::Code(422, 110), Fault::Code(400, 150), Fault::Status(404), Fault::Status(405), Fault::Undecodable]
    {
        let service = FakeAccount::start().await;
        service.state().always = Some(("PATCH", fault));
        let oauth = once(&service);
        token(&oauth, &[X]).await;
        service.seconds(IN_WINDOW);
        token(&oauth, &[X]).await;
        assert_eq!(token(&oauth, &[X]).await, "t2", "{fault:?}");
        assert_eq!(service.requests(), [CREATE, EXTEND, CREATE], "{fault:?}");
        let living = service.living().len();
        assert_eq!(oauth.revoke_created().await.unwrap(), living, "{fault:?}");
        assert!(service.living().is_empty());
    }
}

#[tokio::test]
async fn if_the_end_does_not_move_another_token_is_created_and_the_client_does_not_loop() {
    let service = FakeAccount::start().await;
    service.state().patching = Patching::DoesNotExtend;
    let oauth = service.oauth();
    token(&oauth, &[X]).await;
    for number in 1..5 {
        service.seconds(IN_WINDOW);
        service.take_requests();
        for _ in 0..50 {
            token(&oauth, &[X]).await;
        }
        assert_eq!(service.requests(), [format!("PATCH /tokens/t{number}"), CREATE.to_owned()]);
        assert_eq!(token(&oauth, &[X]).await, format!("t{}", number + 1));
    }
}

/// The vendor does not document from when the lifetime counts.
#[tokio::test]
async fn a_token_that_is_granted_less_after_the_extension_is_replaced() {
    let service = FakeAccount::start().await;
    let oauth = service.oauth();
    token(&oauth, &[X, Y]).await;
    service.state().tokens[0].scopes.pop();
    service.seconds(IN_WINDOW);
    token(&oauth, &[X, Y]).await;
    assert_eq!(token(&oauth, &[X, Y]).await, "t2");
    assert_eq!(service.requests(), [CREATE, EXTEND, CREATE]);
    assert_eq!(oauth.revoke_created().await.unwrap(), 2);
}

#[tokio::test]
async fn an_expired_token_is_not_extended() {
    for late in [0, 3_600, 400 * 86_400] {
        let service = FakeAccount::start().await;
        let oauth = service.oauth();
        token(&oauth, &[X]).await;
        service.seconds(86_400 + late);
        assert_eq!(token(&oauth, &[X]).await, "t2");
        assert_eq!(service.requests(), [CREATE, CREATE]);
    }
}

#[tokio::test]
async fn a_rejected_token_is_not_extended() {
    for has_store in [false, true] {
        let service = FakeAccount::start().await;
        let builder = service.builder();
        let builder = if has_store { builder.store(MemoryStore::new()) } else { builder };
        let oauth = builder.build().unwrap();
        token(&oauth, &[X]).await;
        service.seconds(IN_WINDOW);
        oauth.invalidate(&"t1".into());
        assert_eq!(token(&oauth, &[X]).await, "t2");
        assert_eq!(service.requests(), [CREATE, CREATE]);
        // Nor later, when the one after it was rejected too, and none could be created.
        service.fail(CREATE, [Fault::Throttled(60)]);
        service.hours(1);
        oauth.invalidate(&"t2".into());
        oauth.token(&set(&[X])).await.unwrap_err();
        service.hours(1);
        assert_eq!(token(&oauth, &[X]).await, "t3");
        assert_eq!(service.count("PATCH"), 0);
    }
}

#[tokio::test]
async fn a_token_that_is_rejected_while_it_is_extended_is_not_returned_again() {
    for is_after in [false, true] {
        let service = FakeAccount::start().await;
        let oauth = service.oauth();
        token(&oauth, &[X]).await;
        service.seconds(IN_WINDOW);
        let gate = service.hold("PATCH", is_after);
        oauth.token(&set(&[X])).await.unwrap();
        service.arrived(1).await;
        oauth.invalidate(&"t1".into());
        gate.add_permits(10);
        assert_eq!(token(&oauth, &[X]).await, "t2");
        service.hours(12);
        assert_eq!(token(&oauth, &[X]).await, "t2");
        assert_eq!(service.requests(), [CREATE, EXTEND, CREATE]);
    }
}

/// A lost response does no harm: the same request follows.
#[tokio::test]
async fn after_a_lost_response_the_extension_is_sent_again() {
    for fault in [Fault::LostResponse, Fault::LostRequest, Fault::Truncated, Fault::Status(502), Fault::Status(503)] {
        // At once, or in the next attempt of the cache.
        for retry in [Retry::default(), Retry::none()] {
            let service = FakeAccount::start().await;
            let oauth = service.builder().retry(retry).build().unwrap();
            token(&oauth, &[X]).await;
            service.seconds(IN_WINDOW - 240);
            service.fail("PATCH", [fault]);
            for _ in 0..4 {
                assert_eq!(token(&oauth, &[X]).await, "t1");
                service.seconds(30);
            }
            assert_eq!(service.requests(), [CREATE, EXTEND, EXTEND], "{fault:?}");
            service.hours(12);
            assert_eq!(token(&oauth, &[X]).await, "t1");
            assert_eq!(service.requests().len(), 3);
        }
    }
}

#[tokio::test]
async fn while_the_service_is_down_the_token_is_used_to_its_end() {
    for fault in [Fault::Status(503), Fault::LostRequest, Fault::Status(401), Fault::Throttled(3_600)] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        token(&oauth, &[X]).await;
        service.state().always = Some(("", fault));
        service.seconds(86_400 - 600);
        for second in 0..590 {
            assert_eq!(token(&oauth, &[X]).await, "t1", "{fault:?} {second}");
            service.seconds(1);
        }
        assert!(service.count("PATCH") < 20, "{fault:?}: {}", service.count("PATCH"));
        assert_eq!(service.count(CREATE), 1, "{fault:?}");
        oauth.token(&set(&[X])).await.unwrap_err();
    }
}

/// The service creates tokens, but fails to extend them.
#[tokio::test]
async fn no_caller_goes_without_a_token_because_extensions_fail() {
    for fault in [
        Fault::Status(500),
        Fault::Broken,
        Fault::Status(501),
        Fault::Status(408),
        Fault::Code(422, 100),
        Fault::Status(503),
        Fault::LostRequest,
        Fault::LostResponse,
    ] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        service.state().always = Some(("PATCH", fault));
        for second in 0..3 * 86_400 / 5 {
            let token = oauth.token(&set(&[X])).await;
            assert!(token.is_ok(), "{fault:?}: after {} s: {token:?}", second * 5);
            oauth.wait_idle().await;
            service.seconds(5);
        }
        assert!((3..=4).contains(&service.count(CREATE)), "{fault:?}: {}", service.count(CREATE));
        oauth.revoke_created().await.unwrap();
        assert!(service.living().is_empty(), "{fault:?}");
    }
}

/// An extension may have been carried out without a response: the token then lives on, longer than the client uses it.
#[tokio::test]
async fn a_token_that_may_have_been_extended_is_not_left_behind() {
    for fault in [Fault::LostResponse, Fault::Truncated, Fault::Broken, Fault::Undecodable] {
        let service = FakeAccount::start().await;
        let oauth = once(&service);
        token(&oauth, &[X]).await;
        service.seconds(IN_WINDOW);
        service.fail("PATCH", [fault]);
        token(&oauth, &[X]).await;
        service.hours(2);
        // It expired as far as the client knows.
        assert_eq!(token(&oauth, &[X]).await, "t2", "{fault:?}");
        assert_eq!(service.living(), ["t1", "t2"], "{fault:?}");
        assert_eq!(oauth.revoke_created().await.unwrap(), 2, "{fault:?}");
        assert!(service.living().is_empty(), "{fault:?}");
    }
}

/// The extension gives the token another text, and the response that names it is lost.
#[tokio::test]
async fn a_token_whose_new_text_was_lost_is_found_by_its_name() {
    for retry in [Retry::none(), Retry::default()] {
        let service = FakeAccount::start().await;
        service.state().patching = Patching::Renames;
        let oauth = service.builder().retry(retry).build().unwrap();
        token(&oauth, &[X]).await;
        service.put("other", Some("gettone"), &[X], 2 * 86_400);
        service.seconds(IN_WINDOW - 240);
        service.fail("PATCH", [Fault::LostResponse]);
        for _ in 0..4 {
            token(&oauth, &[X]).await;
            service.seconds(30);
        }
        assert_eq!(token(&oauth, &[X]).await, "t2");
        assert_eq!(service.count(CREATE), 1);
        assert_eq!(service.living(), ["t2", "other"]);
        assert_eq!(oauth.revoke_created().await.unwrap(), 1);
        assert_eq!(service.living(), ["other"]);
    }
}

#[tokio::test]
async fn revoke_created_finds_a_token_whose_new_text_was_lost() {
    for is_late in [false, true] {
        let service = FakeAccount::start().await;
        service.state().patching = Patching::Renames;
        let oauth = once(&service);
        token(&oauth, &[X]).await;
        service.seconds(IN_WINDOW);
        service.fail("PATCH", [Fault::LostResponse]);
        token(&oauth, &[X]).await;
        service.hours(if is_late { 12 } else { 0 });
        assert_eq!(oauth.revoke_created().await.unwrap(), 1, "{is_late}");
        assert!(service.living().is_empty());
        assert_eq!(oauth.revoke_created().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn replace_creates_another_token_and_leaves_the_one_before() {
    let service = FakeAccount::start().await;
    let oauth = service.builder().renewal(Renewal::Replace).build().unwrap();
    assert_eq!(token(&oauth, &[X]).await, "t1");
    service.seconds(IN_WINDOW);
    assert_eq!(oauth.token(&set(&[X])).await.unwrap().expose(), "t1");
    oauth.wait_idle().await;
    assert_eq!(token(&oauth, &[X]).await, "t2");
    assert_eq!(service.living(), ["t1", "t2"]);
    assert_eq!(service.requests(), [CREATE, CREATE]);
    let [first, second] = &service.bodies(CREATE)[..] else { panic!() };
    assert_eq!((&first["scopes"], &first["ttl"]), (&second["scopes"], &second["ttl"]));
    assert_ne!(first["name"], second["name"]);
    assert_eq!(oauth.revoke_created().await.unwrap(), 2);
}

#[tokio::test]
async fn tokens_whose_limits_can_be_used_up_are_replaced_and_others_extended() {
    let address = || [[203, 0, 113, 10].into()];
    for (limits, renewal, is_extended) in [
        (None, None, true),
        (Some(TokenLimits::new()), None, true),
        (Some(TokenLimits::new().ip(address())), None, true),
        (Some(TokenLimits::new().total_requests(10)), None, false),
        (Some(TokenLimits::new().wallet_requests(10)), None, false),
        (Some(TokenLimits::new().subscription_requests(10).ip(address())), None, false),
        (Some(TokenLimits::new().wallet_amount(Decimal::from(5))), None, false),
        (Some(TokenLimits::new().total_requests(10)), Some(Renewal::Extend), true),
        (None, Some(Renewal::Replace), false),
    ] {
        let service = FakeAccount::start().await;
        let builder = service.builder();
        let builder = if let Some(limits) = limits.clone() { builder.limits(limits) } else { builder };
        let builder = if let Some(renewal) = renewal { builder.renewal(renewal) } else { builder };
        let oauth = builder.build().unwrap();
        token(&oauth, &[X]).await;
        service.seconds(IN_WINDOW);
        token(&oauth, &[X]).await;
        let expected = if is_extended { EXTEND } else { CREATE };
        assert_eq!(service.requests(), [CREATE, expected], "{limits:?} {renewal:?}");
    }
}
