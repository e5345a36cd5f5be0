//! Failures: how long the cache backs off, and which callers get the error.

use super::*;

#[tokio::test]
async fn the_delay_after_failures_doubles_up_to_a_minute() {
    let fixture = Fixture::new();
    fixture.fail(unavailable());
    let mut bounds = (SECOND, 2 * SECOND);
    for fetches in 1..=12 {
        fixture.get_error("a").await;
        assert_eq!(fixture.fetches(), fetches);
        fixture.clock.advance(bounds.0 - Duration::from_millis(1));
        fixture.get_error("a").await;
        assert_eq!(fixture.fetches(), fetches, "too early after failure {fetches}");
        fixture.clock.advance(bounds.1 - bounds.0 + Duration::from_millis(1));
        bounds = ((bounds.0 * 2).min(MINUTE), (bounds.1 * 2).min(2 * MINUTE));
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_sent_again_for_five_minutes_and_then_ever_less_often() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    assert!(fixture.get_error("a").await.is_invalid_grant());
    for wait in [5, 10, 20, 40, 60, 60] {
        let fetches = fixture.fetches();
        fixture.clock.advance(wait * MINUTE - SECOND);
        for _ in 0..100 {
            assert!(fixture.get_error("a").await.is_invalid_grant());
        }
        assert_eq!(fixture.fetches(), fetches);
        fixture.clock.advance(wait * MINUTE + SECOND);
        fixture.get_error("a").await;
        assert_eq!(fixture.fetches(), fetches + 1);
    }
}

#[tokio::test]
async fn retry_after_is_honored() {
    let fixture = Fixture::new();
    fixture.fail(Error::new(Kind::RateLimited).with_retry_after(Some(HOUR)));
    fixture.get_error("a").await;
    fixture.clock.advance(HOUR - SECOND);
    fixture.get_error("a").await;
    assert_eq!(fixture.fetches(), 1);
    fixture.clock.advance(SECOND);
    fixture.get_error("a").await;
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_valid_token_and_backs_off() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    fixture.fail(unavailable());
    fixture.clock.advance(55 * MINUTE + 30 * SECOND);
    // Callers get the token for another 4 minutes and 20 seconds.
    for _ in 0..259 {
        assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
        fixture.wait_idle("a").await;
        fixture.clock.advance(SECOND);
    }
    let tries = fixture.fetches() - 1;
    assert!((6..=11).contains(&tries), "{tries} tries");
    // When it has expired, a waiting caller sends a request at once.
    fixture.clock.advance(2 * SECOND);
    assert!(fixture.get_error("a").await.is_transient());
    assert_eq!(fixture.fetches(), tries + 2);
    fixture.recover();
    fixture.clock.advance(2 * MINUTE);
    assert!(fixture.get("a").await.starts_with("a#"));
}

#[tokio::test]
async fn a_token_that_arrives_expired_is_an_error_and_causes_no_busy_loop() {
    let fixture = Fixture::new();
    fixture.set_lifetime(Duration::ZERO);
    for second in 0..3600 {
        let error = fixture.get_error("a").await;
        assert!(error.is_decode() && error.to_string().contains("already expired"), "{error}");
        fixture.clock.advance(SECOND);
        assert!(fixture.fetches() <= 1 + second / 300, "ever less often, as after any failure");
    }
    fixture.clock.advance(2 * HOUR);
    // Its refresh token is not lost.
    fixture.set_lifetime(HOUR);
    fixture.clock.advance(11 * MINUTE);
    fixture.get("a").await;
    let previous = fixture.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), format!("a#{}", fixture.fetches() - 1));
}

#[tokio::test]
async fn retry_after_is_limited_to_an_hour() {
    let fixture = Fixture::new();
    fixture.fail(Error::new(Kind::RateLimited).with_retry_after(Some(Duration::MAX)));
    fixture.get_error("a").await;
    fixture.recover();
    fixture.clock.advance(HOUR);
    assert_eq!(fixture.get("a").await, "a#2");
}

#[tokio::test]
async fn a_permanent_failure_backs_off_longer_than_a_temporary_one() {
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
        fixture.get_error("a").await;
        fixture.clock.advance(5 * MINUTE - SECOND);
        fixture.get_error("a").await;
        assert_eq!(fixture.fetches(), if lasting { 1 } else { 2 }, "{error:?}");
    }
}

#[tokio::test]
async fn a_success_ends_a_series_of_failures_and_callers_get_the_last_error() {
    let fixture = Fixture::new();
    for number in 1..=6 {
        fixture.fail(unavailable().with_message(format!("failure {number}")));
        assert!(fixture.get_error("a").await.to_string().ends_with(&format!("failure {number}")));
        fixture.clock.advance(2 * MINUTE);
    }
    fixture.recover();
    fixture.get("a").await;
    fixture.clock.advance(2 * HOUR);
    fixture.fail(unavailable());
    fixture.get_error("a").await;
    fixture.recover();
    fixture.clock.advance(2 * SECOND);
    fixture.get("a").await;
}

/// Whatever the failure and its `Retry-After`: wrong credentials, which are otherwise not sent again for minutes, or a 429.
#[tokio::test]
async fn a_slot_never_backs_off_for_longer_than_its_token_is_usable() {
    let rate_limited = || Error::new(Kind::RateLimited).with_retry_after(Some(HOUR));
    for (error, most) in [(unavailable(), 20), (wrong_password(), 8), (rate_limited(), 8)] {
        for minutes in [55, 58, 59] {
            let fixture = Fixture::new();
            fixture.get("a").await;
            fixture.fail(error.clone());
            fixture.clock.advance(minutes * MINUTE);
            let (mut last, mut tries) = (Duration::ZERO, 0);
            let begun = fixture.clock.monotonic();
            while fixture.get_now("a").is_some() {
                fixture.wait_idle("a").await;
                if fixture.fetches() > 1 + tries {
                    (last, tries) = (fixture.clock.monotonic() - begun, fixture.fetches() - 1);
                }
                fixture.clock.advance(SECOND / 4);
            }
            // The rest of the hour, less the ten seconds in which callers no longer get the token.
            let left = (60 - minutes) * MINUTE - 10 * SECOND;
            assert!(
                last > left * 3 / 4 && last < left,
                "{error:?} {minutes}: the last of {tries} tries after {last:?}"
            );
            assert!(tries <= most, "{error:?} {minutes}: {tries} tries");
            // One success ends the backing off.
            fixture.recover();
            fixture.clock.advance(2 * HOUR);
            fixture.get("a").await;
        }
    }
}

/// Attempts that are brought forward before a token expires do not lengthen the delays after it.
#[tokio::test]
async fn an_outage_just_before_expiry_is_followed_by_one_short_delay() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    fixture.clock.advance(55 * MINUTE + 40 * SECOND);
    fixture.fail(wrong_password());
    for _ in 0..6 * 60 {
        let _ = fixture.cache.get(&"a".to_owned()).await;
        fixture.wait_idle("a").await;
        fixture.clock.advance(SECOND);
    }
    assert!(fixture.fetches() > 3, "{} fetches", fixture.fetches());
    fixture.recover();
    // Five to ten minutes after the last attempt.
    fixture.clock.advance(10 * MINUTE);
    fixture.get("a").await;
}

#[tokio::test]
async fn an_account_never_backs_off_for_longer_than_the_token_of_a_key_is_usable() {
    let fixture = Fixture::new();
    for key in ["a", "b", "c"] {
        fixture.get(key).await;
    }
    fixture.clock.advance(56 * MINUTE);
    fixture.fail(wrong_password());
    fixture.get_error("without a token").await;
    assert_eq!(fixture.fetches(), 4);
    // Their tokens expire before the account's delay of at least five minutes ends.
    let refresh = async || {
        for key in ["a", "b", "c"] {
            assert!(fixture.get_now(key).is_some());
            fixture.wait_idle(key).await;
        }
    };
    refresh().await;
    assert_eq!(fixture.fetches(), 4, "all keys are backing off");
    fixture.clock.advance(3 * MINUTE);
    refresh().await;
    assert_eq!(fixture.fetches(), 5, "one probes for all");
    fixture.recover();
    fixture.clock.advance(45 * SECOND);
    refresh().await;
    assert_eq!(fixture.fetches(), 8);
}

#[tokio::test]
async fn an_error_while_backing_off_says_that_nothing_was_sent_and_counts_down() {
    for (error, wait) in [(unavailable(), SECOND), (wrong_password(), 5 * MINUTE)] {
        let fixture = Fixture::new();
        fixture.fail(error);
        let first = fixture.get_error("a").await;
        assert!(!first.is_backing_off() && first.retry_after().is_none(), "{first:?}");
        let second = fixture.get_error("a").await;
        let left = second.retry_after().unwrap();
        assert!(second.is_backing_off() && (wait..=2 * wait).contains(&left), "{second:?}");
        let text = second.to_string();
        assert!(text.starts_with(&first.to_string()) && text.contains("nothing was sent"), "{text}");
        fixture.clock.advance(wait / 2);
        let third = fixture.get_error("a").await;
        assert_eq!((third.retry_after(), third.kind()), (Some(left - wait / 2), first.kind()));
        // After the delay, a request is sent.
        fixture.clock.advance(left - wait / 2);
        assert!(!fixture.get_error("a").await.is_backing_off());
        assert_eq!(fixture.fetches(), 2);
    }
    // The same if the account is backing off.
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    fixture.get_error("a").await;
    fixture.clock.advance(MINUTE);
    let other = fixture.get_error("b").await;
    assert!(other.is_backing_off() && other.retry_after().is_some_and(|left| left >= 4 * MINUTE), "{other:?}");
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn an_invalid_key_is_reported_even_while_backing_off() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    fixture.get_error("a").await;
    let error = fixture.get_error("").await;
    assert!(error.is_invalid_input() && !error.is_backing_off() && error.to_string() == "no key", "{error}");
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test]
async fn an_error_of_an_exchange_names_its_service_and_operation() {
    let fixture = Fixture::new();
    fixture.set_lifetime(Duration::ZERO);
    let error = fixture.get_error("a").await;
    assert_eq!((error.service(), error.operation()), (Some("a service"), Some("an operation")));
    assert!(error.to_string().starts_with("a service an operation: "), "{error}");
    fixture.source.panics.store(true, Ordering::SeqCst);
    let error = fixture.get_error("b").await;
    assert_eq!((error.service(), error.operation()), (Some("a service"), Some("an operation")));
}
