//! Tokens that the service refused.

use super::*;

#[tokio::test]
async fn invalidating_drops_that_token_and_never_a_newer_one() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let old = AccessToken::new("a#1");
    fixture.cache.invalidate(&AccessToken::new("something else"));
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    fixture.cache.invalidate(&old);
    assert_eq!(fixture.get("a").await, "a#2");
    // Fifty callers that had the old one say so late.
    for _ in 0..50 {
        fixture.cache.invalidate(&old);
    }
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#2"));
    assert_eq!(fixture.fetches(), 2);
    assert_eq!(fixture.source.previous.lock().unwrap()[1].as_ref().unwrap().access_token, old);
}

#[tokio::test]
async fn where_one_token_after_the_other_is_refused_they_are_dropped_less_and_less() {
    let fixture = Fixture::new();
    // Each second somebody is refused, for an hour.
    for second in 0..3600 {
        let token = AccessToken::new(fixture.get("a").await);
        // Those that are not refused go on with what there is.
        assert_eq!(fixture.at_once("a").as_deref(), Some(token.expose()), "after {second} s");
        fixture.cache.invalidate(&token);
        fixture.clock.advance(SECOND);
    }
    let fetches = fixture.fetches();
    assert!((12..=24).contains(&fetches), "{fetches} tokens in an hour");
    // Ten minutes without: a refusal is believed again.
    fixture.clock.advance(11 * MINUTE);
    let token = AccessToken::new(fixture.get("a").await);
    fixture.cache.invalidate(&token);
    assert_ne!(fixture.get("a").await, token.expose());
}

#[tokio::test]
async fn a_token_that_was_dropped_is_not_refused_again_by_those_who_are_late() {
    let fixture = Fixture::new();
    for token in ["a#1", "a#2", "a#3"] {
        assert_eq!(fixture.get("a").await, token);
        for _ in 0..50 {
            fixture.cache.invalidate(&AccessToken::new(token));
        }
        // Longer than any token was kept for the second or the third time.
        fixture.clock.advance(9 * SECOND);
    }
    assert_eq!(fixture.get("a").await, "a#4");
}

#[tokio::test]
async fn ten_minutes_without_a_refusal_are_forgiven() {
    let fixture = Fixture::new();
    let refuse = async || {
        let token = fixture.get("a").await;
        fixture.cache.invalidate(&AccessToken::new(token.clone()));
        fixture.get("a").await != token
    };
    for _ in 0..3600 {
        refuse().await;
        fixture.clock.advance(SECOND);
    }
    fixture.clock.advance(9 * MINUTE + 50 * SECOND);
    refuse().await;
    assert!(!refuse().await, "not yet");
    fixture.clock.advance(10 * MINUTE);
    assert!(refuse().await);
    fixture.clock.advance(3 * SECOND);
    assert!(refuse().await, "the row begins anew");
}
