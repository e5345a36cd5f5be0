//! What follows a failure: pauses, and who is told of it.

use super::*;

#[tokio::test]
async fn the_waits_after_failures_double_to_a_minute() {
    let fixture = Fixture::new();
    fixture.fail(unavailable());
    let mut bounds = (SECOND, 2 * SECOND);
    for fetches in 1..=12 {
        fixture.error("a").await;
        assert_eq!(fixture.fetches(), fetches);
        fixture.clock.advance(bounds.0 - Duration::from_millis(1));
        fixture.error("a").await;
        assert_eq!(fixture.fetches(), fetches, "too early after failure {fetches}");
        fixture.clock.advance(bounds.1 - bounds.0 + Duration::from_millis(1));
        bounds = ((bounds.0 * 2).min(MINUTE), (bounds.1 * 2).min(2 * MINUTE));
    }
}

#[tokio::test]
async fn a_refused_password_is_not_sent_again_for_five_minutes_and_then_less_and_less() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    assert!(fixture.error("a").await.is_invalid_grant());
    for wait in [5, 10, 20, 40, 60, 60] {
        let fetches = fixture.fetches();
        fixture.clock.advance(wait * MINUTE - SECOND);
        for _ in 0..100 {
            assert!(fixture.error("a").await.is_invalid_grant());
        }
        assert_eq!(fixture.fetches(), fetches);
        fixture.clock.advance(wait * MINUTE + SECOND);
        fixture.error("a").await;
        assert_eq!(fixture.fetches(), fetches + 1);
    }
}

#[tokio::test]
async fn what_the_service_asks_to_wait_is_waited() {
    let fixture = Fixture::new();
    fixture.fail(Error::new(Kind::RateLimited).with_retry_after(Some(HOUR)));
    fixture.error("a").await;
    fixture.clock.advance(HOUR - SECOND);
    fixture.error("a").await;
    assert_eq!(fixture.fetches(), 1);
    fixture.clock.advance(SECOND);
    fixture.error("a").await;
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_failed_refresh_never_displaces_a_valid_token_and_tries_back_off() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    fixture.fail(unavailable());
    fixture.clock.advance(55 * MINUTE + 30 * SECOND);
    // The token is handed out for another 4 minutes and 20 seconds.
    for _ in 0..259 {
        assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
        fixture.idle("a").await;
        fixture.clock.advance(SECOND);
    }
    let tries = fixture.fetches() - 1;
    assert!((6..=11).contains(&tries), "{tries} tries");
    // At its end it is tried at once, by somebody who waits for it.
    fixture.clock.advance(2 * SECOND);
    assert!(fixture.error("a").await.is_transient());
    assert_eq!(fixture.fetches(), tries + 2);
    fixture.recover();
    fixture.clock.advance(2 * MINUTE);
    assert!(fixture.get("a").await.starts_with("a#"));
}

#[tokio::test]
async fn a_token_that_is_over_when_it_comes_is_an_error_and_no_busy_loop() {
    let fixture = Fixture::new();
    fixture.live(Duration::ZERO);
    for second in 0..3600 {
        let error = fixture.error("a").await;
        assert!(error.is_decode() && error.to_string().contains("already expired"), "{error}");
        fixture.clock.advance(SECOND);
        assert!(fixture.fetches() <= 1 + second / 300, "less and less, as after any failure");
    }
    fixture.clock.advance(2 * HOUR);
    // What it can be renewed with is not lost.
    fixture.live(HOUR);
    fixture.clock.advance(11 * MINUTE);
    fixture.get("a").await;
    let previous = fixture.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), format!("a#{}", fixture.fetches() - 1));
}

#[tokio::test]
async fn what_is_waited_for_is_an_hour_at_the_most() {
    let fixture = Fixture::new();
    fixture.fail(Error::new(Kind::RateLimited).with_retry_after(Some(Duration::MAX)));
    fixture.error("a").await;
    fixture.recover();
    fixture.clock.advance(HOUR);
    assert_eq!(fixture.get("a").await, "a#2");
}

#[tokio::test]
async fn what_would_fail_again_waits_longer_than_what_may_pass() {
    let forbidden = Error::new(Kind::Refused).with_status(reqwest::StatusCode::FORBIDDEN);
    let down = Error::new(Kind::Refused).with_status(reqwest::StatusCode::INTERNAL_SERVER_ERROR);
    for (error, lasting) in [
        (Error::new(Kind::Unauthorized), true),
        (wrong_password(), true),
        (Error::new(Kind::InvalidGrant { credentials: false }), true),
        (Error::new(Kind::Rejected), true),
        (Error::new(Kind::NotGranted), true),
        (Error::decode("odd"), true),
        (forbidden, true),
        (down, false),
        (unavailable(), false),
        (Error::new(Kind::Timeout), false),
        (Error::new(Kind::Connect { timeout: false }), false),
        (Error::new(Kind::Interrupted), false),
        (Error::new(Kind::NotFound), false),
    ] {
        let fixture = Fixture::new();
        fixture.fail(error.clone());
        fixture.error("a").await;
        fixture.clock.advance(5 * MINUTE - SECOND);
        fixture.error("a").await;
        assert_eq!(fixture.fetches(), if lasting { 1 } else { 2 }, "{error:?}");
    }
}

#[tokio::test]
async fn a_success_ends_the_row_of_failures_and_the_last_error_is_what_is_said() {
    let fixture = Fixture::new();
    for number in 1..=6 {
        fixture.fail(unavailable().with_message(format!("failure {number}")));
        assert!(fixture.error("a").await.to_string().ends_with(&format!("failure {number}")));
        fixture.clock.advance(2 * MINUTE);
    }
    fixture.recover();
    fixture.get("a").await;
    fixture.clock.advance(2 * HOUR);
    fixture.fail(unavailable());
    fixture.error("a").await;
    fixture.recover();
    fixture.clock.advance(2 * SECOND);
    fixture.get("a").await;
}

/// Whatever failed, and whatever the service asks for: a wrong password, which is not sent again for minutes otherwise, a 429.
#[tokio::test]
async fn no_pause_outlasts_a_token_that_is_still_good() {
    let rate_limited = || Error::new(Kind::RateLimited).with_retry_after(Some(HOUR));
    for (error, most) in [(unavailable(), 20), (wrong_password(), 8), (rate_limited(), 8)] {
        for minutes in [55, 58, 59] {
            let fixture = Fixture::new();
            fixture.get("a").await;
            fixture.fail(error.clone());
            fixture.clock.advance(minutes * MINUTE);
            let (mut last, mut tries) = (Duration::ZERO, 0);
            let begun = fixture.clock.monotonic();
            while fixture.at_once("a").is_some() {
                fixture.idle("a").await;
                if fixture.fetches() > 1 + tries {
                    (last, tries) = (fixture.clock.monotonic() - begun, fixture.fetches() - 1);
                }
                fixture.clock.advance(SECOND / 4);
            }
            // What is left of the hour, less the ten seconds in which the token is not handed out.
            let left = (60 - minutes) * MINUTE - 10 * SECOND;
            assert!(
                last > left * 3 / 4 && last < left,
                "{error:?} {minutes}: the last of {tries} tries after {last:?}"
            );
            assert!(tries <= most, "{error:?} {minutes}: {tries} tries");
            // One that comes through makes up for all of them.
            fixture.recover();
            fixture.clock.advance(2 * HOUR);
            fixture.get("a").await;
        }
    }
}

/// The attempts before the end of a token are brought forward, and do not make the pauses after it longer.
#[tokio::test]
async fn a_short_outage_at_the_end_of_a_token_is_followed_by_one_short_pause() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    fixture.clock.advance(55 * MINUTE + 40 * SECOND);
    fixture.fail(wrong_password());
    for _ in 0..6 * 60 {
        let _ = fixture.cache.get(&"a".to_owned()).await;
        fixture.idle("a").await;
        fixture.clock.advance(SECOND);
    }
    assert!(fixture.fetches() > 3, "{} fetches", fixture.fetches());
    fixture.recover();
    // Five to ten minutes after the last attempt.
    fixture.clock.advance(10 * MINUTE);
    fixture.get("a").await;
}

#[tokio::test]
async fn a_pause_of_the_account_does_not_outlast_the_token_of_a_key() {
    let fixture = Fixture::new();
    for key in ["a", "b", "c"] {
        fixture.get(key).await;
    }
    fixture.clock.advance(56 * MINUTE);
    fixture.fail(wrong_password());
    fixture.error("without a token").await;
    assert_eq!(fixture.fetches(), 4);
    // Their tokens live for less than the pause of five minutes and more.
    let refresh = async || {
        for key in ["a", "b", "c"] {
            assert!(fixture.at_once(key).is_some());
            fixture.idle(key).await;
        }
    };
    refresh().await;
    assert_eq!(fixture.fetches(), 4, "it is too early for all");
    fixture.clock.advance(3 * MINUTE);
    refresh().await;
    assert_eq!(fixture.fetches(), 5, "one tries for all");
    fixture.recover();
    fixture.clock.advance(45 * SECOND);
    refresh().await;
    assert_eq!(fixture.fetches(), 8);
}

#[tokio::test]
async fn an_error_that_was_not_sent_again_says_so_and_counts_down() {
    for (error, wait) in [(unavailable(), SECOND), (wrong_password(), 5 * MINUTE)] {
        let fixture = Fixture::new();
        fixture.fail(error);
        let first = fixture.error("a").await;
        assert!(!first.is_backing_off() && first.retry_after().is_none(), "{first:?}");
        let second = fixture.error("a").await;
        let left = second.retry_after().unwrap();
        assert!(second.is_backing_off() && (wait..=2 * wait).contains(&left), "{second:?}");
        let text = second.to_string();
        assert!(text.starts_with(&first.to_string()) && text.contains("not sent again"), "{text}");
        fixture.clock.advance(wait / 2);
        let third = fixture.error("a").await;
        assert_eq!((third.retry_after(), third.kind()), (Some(left - wait / 2), first.kind()));
        // Then it is sent.
        fixture.clock.advance(left - wait / 2);
        assert!(!fixture.error("a").await.is_backing_off());
        assert_eq!(fixture.fetches(), 2);
    }
    // Also where it is the account that waits.
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    fixture.error("a").await;
    fixture.clock.advance(MINUTE);
    let other = fixture.error("b").await;
    assert!(other.is_backing_off() && other.retry_after().is_some_and(|left| left >= 4 * MINUTE), "{other:?}");
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_said_before_any_pause() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    fixture.error("a").await;
    let error = fixture.error("").await;
    assert!(error.is_invalid_input() && !error.is_backing_off() && error.to_string() == "no key", "{error}");
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn an_error_of_an_exchange_names_the_service_and_the_operation() {
    let fixture = Fixture::new();
    fixture.live(Duration::ZERO);
    let error = fixture.error("a").await;
    assert_eq!((error.service(), error.operation()), (Some("a service"), Some("an operation")));
    assert!(error.to_string().starts_with("a service an operation: "), "{error}");
    fixture.source.panics.store(true, Ordering::SeqCst);
    let error = fixture.error("b").await;
    assert_eq!((error.service(), error.operation()), (Some("a service"), Some("an operation")));
}
