//! Retries and their waits, beyond the table of `faults.rs`. No test waits: time stands still, or is moved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::fake::{Answer, Do, FakeService};
use common::services::{EXAMPLE, Http, RetrySafety, Setup};
use common::{Still, fatture, http, oauth, oauth_v2, operations};
use gettone::clock::ManualClock;
use gettone::keliweb::Fatture;
use gettone::openapi::v1::Oauth;
use gettone::openapi::v2::{self, TokenUpdate};
use gettone::{AccessToken, Retry};

fn clients(url: &str) -> (Oauth, Fatture, Arc<ManualClock>) {
    let (builder, clock) = oauth(url).still();
    let fatture = fatture(url).clock(Arc::clone(&clock) as _).http_client(http()).build().unwrap();
    (builder.http_client(http()).build().unwrap(), fatture, clock)
}

#[tokio::test]
async fn an_error_says_if_an_earlier_attempt_is_ambiguous() {
    let service =
        FakeService::new([Do::answer("504 Gateway Timeout", "", ""), Do::answer("401 Unauthorized", "", "")]).await;
    let (_, fatture, _) = clients(&service.url());
    let error = fatture.password_grant().await.unwrap_err();
    assert!(error.is_ambiguous() && error.is_unauthorized(), "{error:?}");
    let expected =
        "Keliweb Fatture password_grant: HTTP 401 Unauthorized (an earlier attempt may have been carried out)";
    assert_eq!(error.to_string(), expected);
    assert_eq!((service.calls(), error.service()), (2, Some("Keliweb Fatture")));
}

#[tokio::test]
async fn the_waits_double_and_have_jitter() {
    let mut seen = Vec::new();
    for _ in 0..20 {
        let service = FakeService::answering_with(Answer::empty(503)).await;
        let (builder, clock) = oauth(&service.url()).retry(Retry::default().max_attempts(8)).still();
        builder.build().unwrap().credit().await.unwrap_err();
        let waits = clock.waits();
        for (wait, base) in waits.iter().zip([200, 400, 800, 1600, 3200, 5000, 5000]) {
            let base = Duration::from_millis(base);
            assert!((base..=base * 2).contains(wait), "{wait:?} for {base:?}");
        }
        assert_eq!(waits.len(), 7);
        seen.push(waits[0]);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 1, "no jitter");
}

#[tokio::test]
async fn the_longest_retry_after_can_be_set() {
    let seconds = Duration::from_secs;
    for (asked, waits) in [(2, vec![seconds(2)]), (3, vec![])] {
        let service = FakeService::answering_with(Answer::empty(429).header("retry-after", &asked.to_string())).await;
        let retry = Retry::default().max_attempts(2).max_retry_after(seconds(2));
        let (builder, clock) = oauth(&service.url()).retry(retry).still();
        let error = builder.build().unwrap().credit().await.unwrap_err();
        assert!(error.is_rate_limited());
        assert_eq!((service.calls(), error.retry_after()), (waits.len() + 1, Some(seconds(asked))));
        assert_eq!(clock.waits(), waits);
    }
}

#[tokio::test]
async fn the_timeout_of_a_call_bounds_its_retries() {
    let service = FakeService::answering_with(Answer::empty(503).header("retry-after", "6")).await;
    let (builder, clock) = oauth(&service.url()).timeout(Duration::from_secs(10)).still();
    let error = builder.build().unwrap().credit().await.unwrap_err();
    // After six of ten seconds there is no time to wait another six.
    assert_eq!((clock.waits(), service.calls()), (vec![Duration::from_secs(6)], 2));
    assert_eq!(error.status().unwrap(), 503);
}

#[tokio::test]
async fn the_number_of_attempts_can_be_set() {
    for (retry, calls) in
        [(Retry::none(), 1), (Retry::default().max_attempts(0), 1), (Retry::default().max_attempts(6), 6)]
    {
        let service = FakeService::answering_with(Answer::empty(503)).await;
        let (builder, _) = oauth(&service.url()).retry(retry).still();
        builder.build().unwrap().credit().await.unwrap_err();
        assert_eq!(service.calls(), calls);
    }
}

#[tokio::test]
async fn a_missing_token_after_an_ambiguous_deletion_counts_as_deleted() {
    let missing = r#"{"success":false,"message":"Missing Token","error":150,"data":null}"#;
    let not_found = Do::answer("404 Not Found", "content-type: application/json\r\n", missing);
    let gateway = Do::answer("504 Gateway Timeout", "", "");
    let throttled = Do::answer("429 Too Many Requests", "", "");
    let token = AccessToken::new("5f8041e42efdfc468b6e60ea");
    for (script, deleted) in [
        (vec![Do::Hang, not_found.clone()], true),
        (vec![gateway, not_found.clone()], true),
        (vec![Do::Hang, throttled.clone(), not_found.clone()], true),
        // No earlier attempt can have deleted the token.
        (vec![throttled, not_found.clone()], false),
        (vec![not_found], false),
    ] {
        let service = FakeService::new(script.clone()).await;
        let (oauth, ..) = clients(&service.url());
        let result = oauth.delete_token(&token).await;
        assert_eq!(result.is_ok(), deleted, "{script:?}: {result:?}");
        assert_eq!(service.calls(), script.len());
        let service = FakeService::new(script.clone()).await;
        let result = second(&service).delete_token(&token).await;
        assert_eq!(result.is_ok(), deleted, "{script:?}: {result:?}");
        assert_eq!(service.calls(), script.len());
    }
}

fn second(service: &FakeService) -> v2::Oauth {
    oauth_v2(&service.url()).still().0.http_client(http()).build().unwrap()
}

/// An update may have been carried out when it is repeated, a refresh never.
#[tokio::test]
async fn an_update_is_repeated_after_a_504_and_a_refresh_is_not() {
    let gateway = Do::answer("504 Gateway Timeout", "", "");
    let token = AccessToken::new("656d1e2f8b3c2a001f7e4a12");
    let service = FakeService::new([gateway]).await;
    let error = second(&service).update_token(&token, TokenUpdate::new().name("x")).await.unwrap_err();
    assert!(error.is_ambiguous());
    assert_eq!(service.calls(), 4);
    let error = second(&service).refresh_token(&token, &"656d1e2f8b3c2a001f7e4a13".into()).await.unwrap_err();
    assert!(error.is_ambiguous());
    assert_eq!(service.calls(), 5);
}

#[tokio::test]
async fn the_cap_limits_retry_after_and_not_the_clients_own_waits() {
    let service = FakeService::answering_with(Answer::empty(503)).await;
    let (builder, clock) = oauth(&service.url()).retry(Retry::default().max_retry_after(Duration::ZERO)).still();
    builder.http_client(http()).build().unwrap().credit().await.unwrap_err();
    assert_eq!((service.calls(), clock.waits().len()), (4, 3));
}

#[tokio::test]
async fn a_wait_that_leaves_no_time_for_an_attempt_is_skipped() {
    let service = FakeService::answering_with(Answer::empty(503).header("retry-after", "10")).await;
    let (builder, clock) = oauth(&service.url()).timeout(Duration::from_secs(10)).still();
    builder.http_client(http()).build().unwrap().credit().await.unwrap_err();
    assert_eq!((service.calls(), clock.waits()), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_no_more_time_than_the_call() {
    let service = FakeService::new([Do::Sleep]).await;
    let attempts = Retry::none().attempt_timeout(Duration::from_secs(3600));
    let oauth = oauth(&service.url()).timeout(Duration::from_secs(20)).retry(attempts).build().unwrap();
    let error = service.until(Duration::from_secs(21), oauth.credit()).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
}

#[test]
fn the_defaults_are_as_documented() {
    let shown = format!("{:?}", oauth("https://oauth.openapi.it"));
    for default in [
        "connect_timeout: 10s",
        " timeout: 60s",
        "max_attempts: 4",
        "max_retry_after: 30s",
        "attempt_timeout: 20s",
        "user_agent: None",
    ] {
        assert!(shown.contains(default), "{default} is not in {shown}");
    }
}

#[tokio::test]
async fn a_404_of_a_wrong_address_is_not_a_deletion() {
    let service =
        FakeService::new([Do::Hang, Do::answer("404 Not Found", "content-type: text/html\r\n", "<html>nginx</html>")])
            .await;
    let (oauth, ..) = clients(&service.url());
    assert!(oauth.delete_token(&AccessToken::new("5f8041e42efdfc468b6e60ea")).await.unwrap_err().is_not_found());
    assert_eq!(service.calls(), 2);
    assert!(second(&service).delete_token(&AccessToken::new("t")).await.unwrap_err().is_not_found());
    assert_eq!(service.calls(), 3);
}

#[tokio::test]
async fn after_a_lost_deletion_only_not_found_counts_as_deleted() {
    let refused =
        r#"{"success":false,"message":"Only single tokens are enabled for this method","error":140,"data":null}"#;
    let service =
        FakeService::new([Do::Hang, Do::answer("403 Forbidden", "content-type: application/json\r\n", refused)]).await;
    let (oauth, ..) = clients(&service.url());
    let error = oauth.delete_token(&AccessToken::new("5f8041e42efdfc468b6e60ea")).await.unwrap_err();
    assert_eq!((error.code(), service.calls()), (Some("140"), 2));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_callers_own_client_is_a_lost_response() {
    let own = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let own = own.pool_max_idle_per_host(0).read_timeout(Duration::from_secs(5)).build().unwrap();
    for operation in operations() {
        let service = FakeService::new([Do::Sleep]).await;
        let setup = Setup { http: Http::Given(own.clone()), ..Setup::new(service.url()) };
        let error = service.until(Duration::from_secs(6), operation.call(&EXAMPLE, &setup)).await.unwrap_err();
        assert!(error.is_timeout(), "{operation}: {error:?}");
        let calls = if operation.retry == RetrySafety::Idempotent { 4 } else { 1 };
        assert_eq!(service.calls(), calls, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_timed_out_is_ambiguous() {
    let missing = r#"{"success":false,"message":"Missing Token","error":150,"data":null}"#;
    let not_found = Do::answer("404 Not Found", "content-type: application/json\r\n", missing);
    let service = FakeService::new([Do::Sleep, not_found]).await;
    let attempts = Retry::default().attempt_timeout(Duration::from_secs(5));
    let oauth = oauth(&service.url()).retry(attempts).http_client(http()).build().unwrap();
    let token = AccessToken::new("5f8041e42efdfc468b6e60ea");
    service.until(Duration::from_secs(6), oauth.delete_token(&token)).await.unwrap();
    assert_eq!(service.calls(), 2);
}

#[test]
fn the_settings_are_kept() {
    let seconds = Duration::from_secs;
    let retry = Retry::default().max_attempts(7).max_retry_after(seconds(8)).attempt_timeout(seconds(9));
    let shown = format!("{retry:?}");
    for setting in ["max_attempts: 7", "max_retry_after: 8s", "attempt_timeout: 9s"] {
        assert!(shown.contains(setting), "{setting} is not in {shown}");
    }
}
