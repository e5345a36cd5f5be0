//! What is sent again, how often and after which wait. Time stands still: no test waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::raw::{Do, Raw};
use common::{Answer, Mock, OPERATIONS, Still, call, fatture, http, oauth, success};
use gettone::clock::ManualClock;
use gettone::keliweb::Fatture;
use gettone::openapi::Oauth;
use gettone::{AccessToken, Error, Retry};

fn clients(url: &str) -> (Oauth, Fatture, Arc<ManualClock>) {
    let (builder, clock) = oauth(url).still();
    let fatture = fatture(url).clock(Arc::clone(&clock) as _).http_client(http()).build().unwrap();
    (builder.http_client(http()).build().unwrap(), fatture, clock)
}

/// The columns of the table in the documentation of `Retry`.
#[derive(Clone, Copy, PartialEq)]
enum Column {
    Harmless,
    UnlessLost,
    OnlyIfNotProcessed,
}

fn column(operation: &str) -> Column {
    match operation {
        "create_token" | "refresh" => Column::OnlyIfNotProcessed,
        "replace_token" | "update_token" | "password_grant" => Column::UnlessLost,
        _ => Column::Harmless,
    }
}

#[tokio::test]
async fn each_status_is_repeated_where_that_can_do_no_harm() {
    for operation in OPERATIONS {
        let column = column(operation);
        let once = column == Column::OnlyIfNotProcessed;
        for (answer, repeated) in [
            (Answer::json(429, r#"{"message":"Too Many Attempts."}"#), true),
            (Answer::html(502, "<html>Bad Gateway</html>"), !once),
            (Answer::html(503, "<html>Service Unavailable</html>"), !once),
            (Answer::empty(503).header("retry-after", "1"), !once),
            (Answer::empty(504), !once),
            (Answer::empty(500), false),
            (Answer::empty(501), false),
            (Answer::json(400, r#"{"error":"invalid_request"}"#), false),
            (Answer::json(401, r#"{"error":"invalid_client"}"#), false),
            (Answer::empty(403), false),
            (Answer::empty(408), false),
        ] {
            let mock = Mock::answering_with(answer.clone()).await;
            let (oauth, fatture, clock) = clients(&mock.url());
            let error = call(operation, &oauth, &fatture).await.unwrap_err();
            let calls = if repeated { 4 } else { 1 };
            assert_eq!(mock.calls(), calls, "{operation} {answer:?}: {error}");
            assert_eq!(clock.waits().len(), calls - 1, "{operation} {answer:?}");
            // Only a gateway leaves open what became of the request.
            let gateway = error.status().is_some_and(|status| (502..=504).contains(&status.as_u16()));
            assert_eq!(error.may_have_been_carried_out(), gateway, "{operation} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_by_every_operation() {
    for operation in OPERATIONS {
        // Nobody listens where somebody just did.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (oauth, fatture, clock) = clients(&format!("http://{address}"));
        let error = call(operation, &oauth, &fatture).await.unwrap_err();
        assert!(error.is_connect() && error.is_transient() && !error.is_timeout(), "{operation}: {error:?}");
        assert!(!error.may_have_been_carried_out(), "{operation}: {error:?}");
        assert_eq!(clock.waits().len(), 3, "{operation}");
    }
}

#[tokio::test]
async fn an_error_says_if_an_earlier_attempt_may_have_been_carried_out() {
    let raw = Raw::new([Do::answer("504 Gateway Timeout", "", ""), Do::answer("401 Unauthorized", "", "")]).await;
    let (_, fatture, _) = clients(&raw.url());
    let error = fatture.password_grant().await.unwrap_err();
    assert!(error.may_have_been_carried_out() && error.is_unauthorized(), "{error:?}");
    let expected =
        "Keliweb Fatture password_grant: HTTP 401 Unauthorized (an earlier attempt may have been carried out)";
    assert_eq!(error.to_string(), expected);
    assert_eq!((raw.calls(), error.service()), (2, Some("Keliweb Fatture")));
}

#[tokio::test]
async fn after_a_lost_answer_only_reading_and_deleting_are_repeated() {
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"data\":".to_owned();
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"dat".to_owned();
    for operation in OPERATIONS {
        for act in [Do::Hang, Do::Reset, Do::Say(half.clone()), Do::Say(chunk.clone())] {
            let raw = Raw::new([act.clone()]).await;
            let (oauth, fatture, _) = clients(&raw.url());
            let error = call(operation, &oauth, &fatture).await.unwrap_err();
            assert!(
                error.is_transient() && !error.is_decode() && !error.is_connect(),
                "{operation} {act:?}: {error:?}"
            );
            assert!(error.may_have_been_carried_out(), "{operation} {act:?}: {error:?}");
            let calls = if column(operation) == Column::Harmless { 4 } else { 1 };
            assert_eq!(raw.calls(), calls, "{operation} {act:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_repeat_that_succeeds_is_a_success() {
    for operation in OPERATIONS {
        let refusal = Answer::json(429, r#"{"message":"Too Many Attempts."}"#);
        let mock = Mock::answering([refusal.clone(), refusal, success(operation)]).await;
        let (oauth, fatture, clock) = clients(&mock.url());
        call(operation, &oauth, &fatture).await.unwrap();
        assert_eq!((mock.calls(), clock.waits().len()), (3, 2), "{operation}");
        let requests = mock.requests();
        assert_eq!(requests[0].body, requests[2].body, "{operation}");
        assert_eq!(requests[0].headers, requests[2].headers, "{operation}");
    }
}

#[tokio::test]
async fn the_waits_double_and_differ_by_chance() {
    let mut seen = Vec::new();
    for _ in 0..20 {
        let mock = Mock::answering_with(Answer::empty(503)).await;
        let (builder, clock) = oauth(&mock.url()).retry(Retry::default().max_attempts(8)).still();
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

async fn retry_after(value: &str, retry: Retry) -> (Error, Vec<Duration>, usize) {
    let mock = Mock::answering_with(Answer::empty(429).header("retry-after", value)).await;
    let (builder, clock) = oauth(&mock.url()).retry(retry).still();
    let error = builder.build().unwrap().credit().await.unwrap_err();
    (error, clock.waits(), mock.calls())
}

#[tokio::test]
async fn retry_after_is_waited_for_up_to_the_cap() {
    let twice = || Retry::default().max_attempts(2);
    let seconds = Duration::from_secs;

    let (error, waits, calls) = retry_after("7", twice()).await;
    assert_eq!((waits, calls, error.retry_after()), (vec![seconds(7)], 2, Some(seconds(7))));

    let (error, waits, calls) = retry_after("30", twice()).await;
    assert_eq!((waits, calls, error.retry_after()), (vec![seconds(30)], 2, Some(seconds(30))));

    // Beyond the cap the caller is told at once.
    let (error, waits, calls) = retry_after("31", twice()).await;
    assert!(error.is_rate_limited());
    assert_eq!((waits, calls, error.retry_after()), (vec![], 1, Some(seconds(31))));

    let (error, waits, calls) = retry_after("3", twice().max_retry_after(seconds(2))).await;
    assert_eq!((waits, calls, error.retry_after()), (vec![], 1, Some(seconds(3))));

    // Shorter than the wait that is due anyway.
    let (_, waits, calls) = retry_after("0", twice()).await;
    assert!(waits[0] >= Duration::from_millis(200));
    assert_eq!(calls, 2);
}

#[tokio::test]
async fn retry_after_may_be_a_date() {
    // Time stands at 2021-10-14T00:00:00Z. The mock adds a `Date` of its own, which a raw answer does not.
    let answer =
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: Thu, 14 Oct 2021 00:00:09 GMT\r\ncontent-length: 0\r\n\r\n";
    let raw = Raw::new([Do::Say(answer.to_owned())]).await;
    let (builder, clock) = oauth(&raw.url()).retry(Retry::default().max_attempts(2)).still();
    let error = builder.build().unwrap().credit().await.unwrap_err();
    assert_eq!(clock.waits(), [Duration::from_secs(9)]);
    assert_eq!(error.retry_after(), Some(Duration::ZERO), "nine seconds later the moment has come");
    assert_eq!(raw.calls(), 2);
}

#[tokio::test]
async fn the_time_of_a_call_bounds_its_repeats() {
    let mock = Mock::answering_with(Answer::empty(503).header("retry-after", "6")).await;
    let (builder, clock) = oauth(&mock.url()).timeout(Duration::from_secs(10)).still();
    let error = builder.build().unwrap().credit().await.unwrap_err();
    // After six seconds there are four left, and another six do not fit.
    assert_eq!((clock.waits(), mock.calls()), (vec![Duration::from_secs(6)], 2));
    assert_eq!(error.status().unwrap(), 503);
}

#[tokio::test]
async fn the_number_of_attempts_can_be_set() {
    for (retry, calls) in
        [(Retry::none(), 1), (Retry::default().max_attempts(0), 1), (Retry::default().max_attempts(6), 6)]
    {
        let mock = Mock::answering_with(Answer::empty(503)).await;
        let (builder, _) = oauth(&mock.url()).retry(retry).still();
        builder.build().unwrap().credit().await.unwrap_err();
        assert_eq!(mock.calls(), calls);
    }
}

#[tokio::test]
async fn a_token_that_a_lost_answer_may_have_deleted_is_deleted() {
    let missing = r#"{"success":false,"message":"Missing Token","error":150,"data":null}"#;
    let not_found = Do::answer("404 Not Found", "content-type: application/json\r\n", missing);
    let gateway = Do::answer("504 Gateway Timeout", "", "");
    let throttled = Do::answer("429 Too Many Requests", "", "");
    let token = AccessToken::new("5f8041e42efdfc468b6e60ea");
    for (script, deleted) in [
        (vec![Do::Hang, not_found.clone()], true),
        (vec![gateway, not_found.clone()], true),
        (vec![Do::Hang, throttled.clone(), not_found.clone()], true),
        // Here nothing can have been deleted before.
        (vec![throttled, not_found.clone()], false),
        (vec![not_found], false),
    ] {
        let raw = Raw::new(script.clone()).await;
        let (oauth, ..) = clients(&raw.url());
        let result = oauth.delete_token(&token).await;
        assert_eq!(result.is_ok(), deleted, "{script:?}: {result:?}");
        assert_eq!(raw.calls(), script.len());
    }
}

#[tokio::test]
async fn a_gateway_that_asks_to_wait_may_still_have_sent_it_on() {
    for operation in OPERATIONS {
        for status in [502, 504] {
            let mock = Mock::answering_with(Answer::empty(status).header("retry-after", "1")).await;
            let (oauth, fatture, _) = clients(&mock.url());
            call(operation, &oauth, &fatture).await.unwrap_err();
            let calls = if column(operation) == Column::OnlyIfNotProcessed { 1 } else { 4 };
            assert_eq!(mock.calls(), calls, "{operation} {status}");
        }
    }
}

#[tokio::test]
async fn a_status_that_no_repeat_can_change_is_not_repeated() {
    for status in [505, 507, 511] {
        let mock = Mock::answering_with(Answer::empty(status)).await;
        let (oauth, ..) = clients(&mock.url());
        assert!(!oauth.credit().await.unwrap_err().is_transient());
        assert_eq!(mock.calls(), 1, "{status}");
    }
}

#[tokio::test]
async fn the_cap_is_for_what_the_service_asks_and_not_for_the_waits_of_our_own() {
    let mock = Mock::answering_with(Answer::empty(503)).await;
    let (builder, clock) = oauth(&mock.url()).retry(Retry::default().max_retry_after(Duration::ZERO)).still();
    builder.http_client(http()).build().unwrap().credit().await.unwrap_err();
    assert_eq!((mock.calls(), clock.waits().len()), (4, 3));
}

#[tokio::test]
async fn a_wait_that_leaves_no_time_for_an_attempt_is_not_made() {
    let mock = Mock::answering_with(Answer::empty(503).header("retry-after", "10")).await;
    let (builder, clock) = oauth(&mock.url()).timeout(Duration::from_secs(10)).still();
    builder.http_client(http()).build().unwrap().credit().await.unwrap_err();
    assert_eq!((mock.calls(), clock.waits()), (1, vec![]));
}

#[tokio::test]
async fn what_cannot_be_repeated_without_an_answer_has_all_the_time_of_the_call() {
    let retry = Retry::default().attempt_timeout(Duration::ZERO);
    for operation in OPERATIONS.into_iter().filter(|operation| column(operation) != Column::Harmless) {
        let mock = Mock::answering_with(success(operation)).await;
        let oauth = oauth(&mock.url()).retry(retry.clone()).http_client(http()).build().unwrap();
        let fatture = fatture(&mock.url()).retry(retry.clone()).http_client(http()).build().unwrap();
        call(operation, &oauth, &fatture).await.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
}

#[tokio::test]
async fn an_attempt_has_no_more_time_than_the_call() {
    let raw = Raw::new([Do::Sleep]).await;
    let attempts = Retry::none().attempt_timeout(Duration::from_secs(3600));
    let oauth = oauth(&raw.url()).timeout(Duration::from_millis(60)).retry(attempts).build().unwrap();
    // Only a failure of this test waits.
    let error = tokio::time::timeout(Duration::from_secs(20), oauth.credit()).await.expect("an end").unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
}

#[test]
fn the_defaults_are_those_that_are_documented() {
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
async fn a_wrong_address_does_not_pass_for_a_deleted_token() {
    let raw =
        Raw::new([Do::Hang, Do::answer("404 Not Found", "content-type: text/html\r\n", "<html>nginx</html>")]).await;
    let (oauth, ..) = clients(&raw.url());
    assert!(oauth.delete_token(&AccessToken::new("5f8041e42efdfc468b6e60ea")).await.unwrap_err().is_not_found());
    assert_eq!(raw.calls(), 2);
}

#[tokio::test]
async fn after_a_lost_deletion_only_missing_means_deleted() {
    let refused =
        r#"{"success":false,"message":"Only single tokens are enabled for this method","error":140,"data":null}"#;
    let raw = Raw::new([Do::Hang, Do::answer("403 Forbidden", "content-type: application/json\r\n", refused)]).await;
    let (oauth, ..) = clients(&raw.url());
    let error = oauth.delete_token(&AccessToken::new("5f8041e42efdfc468b6e60ea")).await.unwrap_err();
    assert_eq!((error.code(), raw.calls()), (Some("140"), 2));
}

#[tokio::test]
async fn a_silence_that_the_callers_own_client_ends_is_a_lost_answer() {
    let own = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let own = own.pool_max_idle_per_host(0).read_timeout(Duration::from_millis(60)).build().unwrap();
    for operation in OPERATIONS {
        let raw = Raw::new([Do::Sleep]).await;
        let oauth = oauth(&raw.url()).http_client(own.clone()).build().unwrap();
        let fatture = fatture(&raw.url()).http_client(own.clone()).build().unwrap();
        let error = call(operation, &oauth, &fatture).await.unwrap_err();
        assert!(error.is_timeout(), "{operation}: {error:?}");
        let calls = if column(operation) == Column::Harmless { 4 } else { 1 };
        assert_eq!(raw.calls(), calls, "{operation}");
    }
}

#[tokio::test]
async fn a_deletion_without_an_answer_in_time_may_have_been_done() {
    let missing = r#"{"success":false,"message":"Missing Token","error":150,"data":null}"#;
    let not_found = Do::answer("404 Not Found", "content-type: application/json\r\n", missing);
    let raw = Raw::new([Do::Sleep, not_found]).await;
    let attempts = Retry::default().attempt_timeout(Duration::from_millis(200));
    let oauth = oauth(&raw.url()).retry(attempts).http_client(http()).build().unwrap();
    oauth.delete_token(&AccessToken::new("5f8041e42efdfc468b6e60ea")).await.unwrap();
    assert_eq!(raw.calls(), 2);
}

#[test]
fn what_is_set_is_kept() {
    let seconds = Duration::from_secs;
    let retry = Retry::default().max_attempts(7).max_retry_after(seconds(8)).attempt_timeout(seconds(9));
    let shown = format!("{retry:?}");
    for setting in ["max_attempts: 7", "max_retry_after: 8s", "attempt_timeout: 9s"] {
        assert!(shown.contains(setting), "{setting} is not in {shown}");
    }
}
