//! What follows a failure: pauses, and who is told of it.

use super::*;

#[tokio::test]
async fn the_waits_after_failures_double_to_a_minute() {
    let house = House::new();
    house.fail(unavailable());
    let mut bounds = (SECOND, 2 * SECOND);
    for fetches in 1..=12 {
        house.error("a").await;
        assert_eq!(house.fetches(), fetches);
        house.clock.advance(bounds.0 - Duration::from_millis(1));
        house.error("a").await;
        assert_eq!(house.fetches(), fetches, "too early after failure {fetches}");
        house.clock.advance(bounds.1 - bounds.0 + Duration::from_millis(1));
        bounds = ((bounds.0 * 2).min(MINUTE), (bounds.1 * 2).min(2 * MINUTE));
    }
}

#[tokio::test]
async fn a_refused_password_is_not_sent_again_for_five_minutes_and_then_less_and_less() {
    let house = House::new();
    house.fail(wrong_password());
    assert!(house.error("a").await.is_invalid_grant());
    for wait in [5, 10, 20, 40, 60, 60] {
        let fetches = house.fetches();
        house.clock.advance(wait * MINUTE - SECOND);
        for _ in 0..100 {
            assert!(house.error("a").await.is_invalid_grant());
        }
        assert_eq!(house.fetches(), fetches);
        house.clock.advance(wait * MINUTE + SECOND);
        house.error("a").await;
        assert_eq!(house.fetches(), fetches + 1);
    }
}

#[tokio::test]
async fn what_the_service_asks_to_wait_is_waited() {
    let house = House::new();
    house.fail(Error::new(Kind::RateLimited).with_retry_after(Some(HOUR)));
    house.error("a").await;
    house.clock.advance(HOUR - SECOND);
    house.error("a").await;
    assert_eq!(house.fetches(), 1);
    house.clock.advance(SECOND);
    house.error("a").await;
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn a_failed_refresh_never_displaces_a_valid_token_and_tries_back_off() {
    let house = House::new();
    house.get("a").await;
    house.fail(unavailable());
    house.clock.advance(55 * MINUTE + 30 * SECOND);
    // The token is handed out for another 4 minutes and 20 seconds.
    for _ in 0..259 {
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
        house.idle("a").await;
        house.clock.advance(SECOND);
    }
    let tries = house.fetches() - 1;
    assert!((6..=11).contains(&tries), "{tries} tries");
    // At its end it is tried at once, by somebody who waits for it.
    house.clock.advance(2 * SECOND);
    assert!(house.error("a").await.is_transient());
    assert_eq!(house.fetches(), tries + 2);
    house.recover();
    house.clock.advance(2 * MINUTE);
    assert!(house.get("a").await.starts_with("a#"));
}

#[tokio::test]
async fn a_token_that_is_over_when_it_comes_is_an_error_and_no_busy_loop() {
    let house = House::new();
    house.live(Duration::ZERO);
    for second in 0..3600 {
        let error = house.error("a").await;
        assert!(error.is_decode() && error.to_string().contains("already expired"), "{error}");
        house.clock.advance(SECOND);
        assert!(house.fetches() <= 1 + second / 300, "less and less, as after any failure");
    }
    house.clock.advance(2 * HOUR);
    // What it can be renewed with is not lost.
    house.live(HOUR);
    house.clock.advance(11 * MINUTE);
    house.get("a").await;
    let previous = house.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), format!("a#{}", house.fetches() - 1));
}

#[tokio::test]
async fn what_is_waited_for_is_an_hour_at_the_most() {
    let house = House::new();
    house.fail(Error::new(Kind::RateLimited).with_retry_after(Some(Duration::MAX)));
    house.error("a").await;
    house.recover();
    house.clock.advance(HOUR);
    assert_eq!(house.get("a").await, "a#2");
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
        (Error::lacking(crate::ScopeSet::default()), true),
        (Error::decode("odd"), true),
        (forbidden, true),
        (down, false),
        (unavailable(), false),
        (Error::new(Kind::Timeout), false),
        (Error::new(Kind::Connect { timeout: false }), false),
        (Error::new(Kind::Interrupted), false),
        (Error::new(Kind::NotFound), false),
    ] {
        let house = House::new();
        house.fail(error.clone());
        house.error("a").await;
        house.clock.advance(5 * MINUTE - SECOND);
        house.error("a").await;
        assert_eq!(house.fetches(), if lasting { 1 } else { 2 }, "{error:?}");
    }
}

#[tokio::test]
async fn a_success_ends_the_row_of_failures_and_the_last_error_is_what_is_said() {
    let house = House::new();
    for number in 1..=6 {
        house.fail(unavailable().with_message(format!("failure {number}")));
        assert!(house.error("a").await.to_string().ends_with(&format!("failure {number}")));
        house.clock.advance(2 * MINUTE);
    }
    house.recover();
    house.get("a").await;
    house.clock.advance(2 * HOUR);
    house.fail(unavailable());
    house.error("a").await;
    house.recover();
    house.clock.advance(2 * SECOND);
    house.get("a").await;
}

/// Whatever failed, and whatever the service asks for: a wrong password, which is not sent again for minutes otherwise, a 429.
#[tokio::test]
async fn no_pause_outlasts_a_token_that_is_still_good() {
    let rate_limited = || Error::new(Kind::RateLimited).with_retry_after(Some(HOUR));
    for (error, most) in [(unavailable(), 20), (wrong_password(), 8), (rate_limited(), 8)] {
        for minutes in [55, 58, 59] {
            let house = House::new();
            house.get("a").await;
            house.fail(error.clone());
            house.clock.advance(minutes * MINUTE);
            let (mut last, mut tries) = (Duration::ZERO, 0);
            let begun = house.clock.monotonic();
            while house.at_once("a").is_some() {
                house.idle("a").await;
                if house.fetches() > 1 + tries {
                    (last, tries) = (house.clock.monotonic() - begun, house.fetches() - 1);
                }
                house.clock.advance(SECOND / 4);
            }
            // What is left of the hour, less the ten seconds in which the token is not handed out.
            let left = (60 - minutes) * MINUTE - 10 * SECOND;
            assert!(
                last > left * 3 / 4 && last < left,
                "{error:?} {minutes}: the last of {tries} tries after {last:?}"
            );
            assert!(tries <= most, "{error:?} {minutes}: {tries} tries");
            // One that comes through makes up for all of them.
            house.recover();
            house.clock.advance(2 * HOUR);
            house.get("a").await;
        }
    }
}

/// The attempts before the end of a token are brought forward, and do not make the pauses after it longer.
#[tokio::test]
async fn a_short_outage_at_the_end_of_a_token_is_followed_by_one_short_pause() {
    let house = House::new();
    house.get("a").await;
    house.clock.advance(55 * MINUTE + 40 * SECOND);
    house.fail(wrong_password());
    for _ in 0..6 * 60 {
        let _ = house.cache.get(&"a".to_owned()).await;
        house.idle("a").await;
        house.clock.advance(SECOND);
    }
    assert!(house.fetches() > 3, "{} fetches", house.fetches());
    house.recover();
    // Five to ten minutes after the last attempt.
    house.clock.advance(10 * MINUTE);
    house.get("a").await;
}

#[tokio::test]
async fn a_pause_of_the_account_does_not_outlast_the_token_of_a_key() {
    let house = House::new();
    for key in ["a", "b", "c"] {
        house.get(key).await;
    }
    house.clock.advance(56 * MINUTE);
    house.fail(wrong_password());
    house.error("without a token").await;
    assert_eq!(house.fetches(), 4);
    // Their tokens live for less than the pause of five minutes and more.
    let refresh = async || {
        for key in ["a", "b", "c"] {
            assert!(house.at_once(key).is_some());
            house.idle(key).await;
        }
    };
    refresh().await;
    assert_eq!(house.fetches(), 4, "it is too early for all");
    house.clock.advance(3 * MINUTE);
    refresh().await;
    assert_eq!(house.fetches(), 5, "one tries for all");
    house.recover();
    house.clock.advance(45 * SECOND);
    refresh().await;
    assert_eq!(house.fetches(), 8);
}

#[tokio::test]
async fn an_error_that_was_not_sent_again_says_so_and_counts_down() {
    for (error, wait) in [(unavailable(), SECOND), (wrong_password(), 5 * MINUTE)] {
        let house = House::new();
        house.fail(error);
        let first = house.error("a").await;
        assert!(!first.is_backing_off() && first.retry_after().is_none(), "{first:?}");
        let second = house.error("a").await;
        let left = second.retry_after().unwrap();
        assert!(second.is_backing_off() && (wait..=2 * wait).contains(&left), "{second:?}");
        let text = second.to_string();
        assert!(text.starts_with(&first.to_string()) && text.contains("not sent again"), "{text}");
        house.clock.advance(wait / 2);
        let third = house.error("a").await;
        assert_eq!((third.retry_after(), third.kind()), (Some(left - wait / 2), first.kind()));
        // Then it is sent.
        house.clock.advance(left - wait / 2);
        assert!(!house.error("a").await.is_backing_off());
        assert_eq!(house.fetches(), 2);
    }
    // Also where it is the account that waits.
    let house = House::new();
    house.fail(wrong_password());
    house.error("a").await;
    house.clock.advance(MINUTE);
    let other = house.error("b").await;
    assert!(other.is_backing_off() && other.retry_after().is_some_and(|left| left >= 4 * MINUTE), "{other:?}");
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_said_before_any_pause() {
    let house = House::new();
    house.fail(wrong_password());
    house.error("a").await;
    let error = house.error("").await;
    assert!(error.is_invalid_input() && !error.is_backing_off() && error.to_string() == "no key", "{error}");
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn an_error_of_an_exchange_names_the_service_and_the_operation() {
    let house = House::new();
    house.live(Duration::ZERO);
    let error = house.error("a").await;
    assert_eq!((error.service(), error.operation()), (Some("a service"), Some("an operation")));
    assert!(error.to_string().starts_with("a service an operation: "), "{error}");
    house.source.panics.store(true, Ordering::SeqCst);
    let error = house.error("b").await;
    assert_eq!((error.service(), error.operation()), (Some("a service"), Some("an operation")));
}
