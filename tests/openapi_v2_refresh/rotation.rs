//! Each refresh token is sent once, and the pair that it brings is used from then on.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::Retry;
use gettone::clock::ManualClock;
use gettone::openapi::v2::{NewToken, RefreshCredentials};
use gettone::openapi::{Ttl, v2};
use gettone::store::MemoryStore;
use serde_json::json;
use tokio::task::JoinSet;

use crate::account_v2::{FakeAccount, Fault};
use crate::{BASE, DAY, IN_WINDOW, assert_lost, once, pair, sent, start, token, worker};

#[tokio::test]
async fn a_pair_whose_end_is_known_is_used_until_its_window_and_then_refreshed() {
    let service = start().await;
    let worker = worker(&service, true);
    assert_eq!(token(&worker).await, "t0");
    service.seconds(DAY - 601);
    assert_eq!(token(&worker).await, "t0");
    assert!(service.requests().is_empty());
    service.seconds(541);
    // The service ends the old token, so callers get the new one.
    assert_eq!(worker.token().await.unwrap().expose(), "t1");
    worker.wait_idle().await;
    assert_eq!(service.requests(), ["PATCH /tokens/t0"]);
    let asked = service.state().asked[0].clone();
    assert_eq!((asked.authorization.as_str(), asked.body), ("Bearer r0", json!({})));
    for number in 1..5 {
        service.take_requests();
        assert_eq!(token(&worker).await, format!("t{number}"));
        service.seconds(IN_WINDOW);
        assert_eq!(token(&worker).await, format!("t{}", number + 1));
        assert_eq!(service.requests(), [format!("PATCH /tokens/t{number}")]);
        assert_eq!(sent(&service), [format!("r{number}")]);
    }
    assert_eq!(service.living(), ["t5"]);
}

#[tokio::test]
async fn a_pair_whose_end_is_unknown_or_past_is_refreshed_before_it_is_returned() {
    for end in [None, Some(0), Some(DAY)] {
        let service = start().await;
        let credentials = RefreshCredentials::new("worker", "t0", "r0");
        let at = |seconds| crate::common::now() - Duration::from_secs(seconds);
        let credentials = end.map_or(credentials.clone(), |ago| credentials.clone().expires_at(at(ago)));
        let worker = service.worker(credentials).build().unwrap();
        assert_eq!(token(&worker).await, "t1");
        assert_eq!(token(&worker).await, "t1");
        assert_eq!(service.requests(), ["PATCH /tokens/t0"]);
        assert_eq!(sent(&service), ["r0"]);
    }
}

/// A token that is about to expire anyway.
#[tokio::test]
async fn a_pair_is_returned_even_seconds_before_its_end() {
    for seconds in [1, 2, 5, 30] {
        let service = start().await;
        let end = crate::common::now() + Duration::from_secs(seconds);
        let credentials = RefreshCredentials::new("worker", "t0", "r0").expires_at(end);
        let worker = service.worker(credentials).build().unwrap();
        assert_eq!(token(&worker).await, "t0", "{seconds}");
        service.seconds(seconds);
        assert_eq!(token(&worker).await, "t1", "{seconds}");
        assert_eq!(sent(&service), ["r0"]);
    }
}

#[tokio::test]
async fn an_expired_token_is_refreshed_too() {
    let service = start().await;
    service.state().tokens[0].expire += 100 * DAY;
    let worker = worker(&service, true);
    token(&worker).await;
    service.seconds(2 * DAY);
    assert_eq!(token(&worker).await, "t1");
    assert_eq!(sent(&service), ["r0"]);
}

/// Such as that of a machine without a battery, which starts in 1970 and then asks for the time.
#[tokio::test]
async fn a_clock_that_jumps_by_years_costs_no_pair() {
    const YEAR: Duration = Duration::from_secs(366 * DAY);
    let right = crate::common::now();
    for has_store in [false, true] {
        for (told, first, then) in [
            (false, SystemTime::UNIX_EPOCH + YEAR, right),
            (true, SystemTime::UNIX_EPOCH + YEAR, right),
            (false, right, right + 2 * YEAR),
            (true, right, right + 2 * YEAR),
            (true, right, right - 2 * YEAR),
        ] {
            let service = start().await;
            let clock = Arc::new(ManualClock::new(first));
            let builder = service.worker(pair(&service, told)).clock(Arc::clone(&clock) as _);
            let builder = if has_store { builder.store(MemoryStore::new()) } else { builder };
            let worker = builder.build().unwrap();
            let expected = if told { ["t0", "t1"] } else { ["t1", "t2"] };
            assert_eq!(token(&worker).await, expected[0]);
            clock.set(then);
            clock.advance(Duration::from_secs(IN_WINDOW));
            assert_eq!(token(&worker).await, expected[1], "{has_store} {told} {then:?}");
        }
    }
}

#[tokio::test]
async fn a_thousand_callers_make_one_request() {
    for told in [false, true] {
        let service = start().await;
        let worker = worker(&service, told);
        if told {
            token(&worker).await;
            service.seconds(IN_WINDOW);
        }
        let gate = service.hold("PATCH", false);
        let callers: JoinSet<String> = (0..1000)
            .map(|_| {
                let worker = worker.clone();
                async move { worker.token().await.unwrap().expose().to_owned() }
            })
            .collect();
        service.arrived(1).await;
        gate.add_permits(10);
        assert_eq!(callers.join_all().await, ["t1"; 1000], "{told}");
        assert_eq!((sent(&service), service.refreshed_together()), (vec!["r0".to_owned()], 1));
    }
}

#[tokio::test]
async fn a_pair_comes_from_a_token_of_the_account() {
    for omits in [vec![], vec!["refreshToken"]] {
        let service = FakeAccount::start().await;
        let has_pair = omits.is_empty();
        service.state().omits = omits;
        let oauth = service.oauth();
        let new = NewToken::new(&gettone::ScopeSet::parse([BASE]).unwrap(), Ttl::hours(1).unwrap());
        let created: v2::Token = oauth.create_token(new).await.unwrap();
        let credentials = RefreshCredentials::from_token("worker", &created);
        assert_eq!(credentials.is_some(), has_pair);
        let Some(credentials) = credentials else { continue };
        let worker = service.worker(credentials).build().unwrap();
        service.take_requests();
        assert_eq!(token(&worker).await, "t1");
        service.seconds(3_600 - 100);
        assert_eq!(token(&worker).await, "t2");
        assert_eq!(service.requests(), ["PATCH /tokens/t1"]);
    }
}

/// The faults after which a refresh token may be used up.
const UNCERTAIN: [Fault; 9] = [
    Fault::LostResponse,
    Fault::Truncated,
    Fault::Broken,
    Fault::Undecodable,
    Fault::LostRequest,
    Fault::Status(500),
    Fault::Status(502),
    Fault::Status(503),
    Fault::Status(408),
];

/// The faults that say that a refresh token is worth nothing.
const REJECTED: [Fault; 5] =
    [Fault::Code(401, 130), Fault::Code(404, 160), Fault::Status(401), Fault::Hidden(130), Fault::Hidden(160)];

#[tokio::test]
async fn a_refresh_token_that_may_be_used_up_is_not_sent_again() {
    for fault in UNCERTAIN.into_iter().chain(REJECTED) {
        for told in [false, true] {
            for retry in [Retry::none(), Retry::default()] {
                let service = start().await;
                let worker = service.worker(pair(&service, told)).retry(retry).build().unwrap();
                if told {
                    assert_eq!(token(&worker).await, "t0");
                    service.seconds(2 * DAY);
                }
                service.fail("PATCH", [fault]);
                let error = worker.token().await.unwrap_err();
                assert_eq!(error.operation(), Some("refresh_token"), "{fault:?}");
                match fault {
                    Fault::Code(401, _) | Fault::Status(401) | Fault::Hidden(130) => {
                        assert!(error.is_invalid_grant(), "{error:?}")
                    }
                    Fault::Code(..) | Fault::Hidden(_) => assert!(error.is_not_found(), "{error:?}"),
                    Fault::Undecodable => assert!(error.is_decode(), "{error:?}"),
                    _ => assert!(error.is_ambiguous(), "{fault:?} {error:?}"),
                }
                for _ in 0..5 {
                    service.hours(1);
                    assert_lost(&worker.token().await.unwrap_err());
                }
                assert_eq!(sent(&service), ["r0"], "{fault:?} {told}");
            }
        }
    }
}

#[tokio::test]
async fn while_the_token_is_valid_a_failed_refresh_is_not_noticed() {
    for fault in UNCERTAIN.into_iter().chain(REJECTED) {
        let service = start().await;
        let worker = once(&service, true);
        assert_eq!(token(&worker).await, "t0");
        service.seconds(DAY - 300);
        service.fail("PATCH", [fault]);
        for second in 0..285 {
            assert_eq!(token(&worker).await, "t0", "{fault:?} {second}");
            service.seconds(1);
        }
        service.seconds(15);
        assert_lost(&worker.token().await.unwrap_err());
        assert_eq!(sent(&service), ["r0"]);
    }
}

/// The service has certainly not used the refresh token, or something in front of it refused the request.
#[tokio::test]
async fn a_refresh_token_that_is_unused_is_sent_again() {
    let others = [Fault::Status(403), Fault::Status(404)];
    for fault in [Fault::Throttled(90), Fault::Code(422, 110), Fault::Code(400, 150)].into_iter().chain(others) {
        for told in [false, true] {
            let service = start().await;
            let worker = once(&service, told);
            if told {
                token(&worker).await;
                service.seconds(DAY);
                service.state().tokens[0].expire += DAY;
            }
            service.fail("PATCH", [fault; 3]);
            for _ in 0..3 {
                let error = worker.token().await.unwrap_err();
                let is_other = others.contains(&fault) && !error.is_ambiguous();
                assert!(error.is_rate_limited() || error.is_invalid_input() || is_other, "{fault:?} {error:?}");
                service.hours(2);
            }
            assert_eq!(token(&worker).await, "t1", "{fault:?}");
            assert_eq!(sent(&service), ["r0"; 4]);
        }
    }
}

/// Nobody listens, so nothing was sent.
#[tokio::test]
async fn without_a_connection_the_refresh_token_is_kept() {
    let service = start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for told in [false, true] {
        let builder = service.worker(pair(&service, told)).base_url(format!("http://{closed}"));
        let worker = builder.retry(Retry::none()).build().unwrap();
        if told {
            token(&worker).await;
            service.seconds(2 * DAY);
        }
        for _ in 0..5 {
            let error = worker.token().await.unwrap_err();
            assert!(error.is_connect() && !error.is_invalid_grant() && !error.is_ambiguous(), "{error:?}");
            service.hours(1);
        }
    }
}

#[tokio::test]
async fn a_pair_without_a_refresh_token_is_used_to_its_end() {
    let service = start().await;
    service.state().omits = vec!["refreshToken", "scopes", "name"];
    let worker = once(&service, false);
    assert_eq!(token(&worker).await, "t1");
    service.seconds(DAY - 300);
    for _ in 0..28 {
        assert_eq!(token(&worker).await, "t1");
        service.seconds(10);
    }
    service.hours(1);
    for _ in 0..3 {
        assert_lost(&worker.token().await.unwrap_err());
        service.hours(1);
    }
    assert_eq!(sent(&service), ["r0"]);
}

#[tokio::test]
async fn an_invalidated_token_is_refreshed_and_a_newer_one_stays() {
    let service = start().await;
    let worker = worker(&service, true);
    let old = worker.token().await.unwrap();
    worker.invalidate(&old);
    assert_eq!(token(&worker).await, "t1");
    worker.invalidate(&old);
    assert_eq!(token(&worker).await, "t1");
    assert_eq!(sent(&service), ["r0"]);
    service.hours(1);
    worker.invalidate(&"t1".into());
    assert_eq!(token(&worker).await, "t2");
    assert_eq!(sent(&service), ["r0", "r1"]);
}

/// The runtime is dropped in the middle of a refresh.
#[test]
fn an_interrupted_refresh_is_not_sent_again() {
    for told in [false, true] {
        let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (server, first, second) = (runtime(), runtime(), runtime());
        let service = server.block_on(start());
        let worker = once(&service, told);
        if told {
            assert_eq!(first.block_on(token(&worker)), "t0");
            service.seconds(2 * DAY);
        }
        let gate = service.hold("PATCH", true);
        let asking = worker.clone();
        let asking = first.spawn(async move { asking.token().await });
        second.block_on(service.arrived(1));
        drop((asking, first));
        gate.add_permits(10);
        service.hours(1);
        assert_lost(&second.block_on(worker.token()).unwrap_err());
        assert_eq!(sent(&service), ["r0"]);
    }
}

/// The service answers after the caller has given up.
#[tokio::test]
async fn a_dropped_call_cancels_nothing() {
    let service = Arc::new(start().await);
    let worker = worker(&service, false);
    let gate = service.hold("PATCH", true);
    {
        let mut asking = Box::pin(worker.token());
        tokio::select! {
            biased;
            _ = &mut asking => panic!("nobody let it through"),
            () = service.arrived(1) => {}
        }
    }
    gate.add_permits(10);
    assert_eq!(token(&worker).await, "t1");
    assert_eq!(sent(&service), ["r0"]);
}
