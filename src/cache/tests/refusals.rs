//! Tokens that the service refused.

use super::*;

#[tokio::test]
async fn invalidating_drops_that_token_and_never_a_newer_one() {
    let house = House::new();
    house.get("a").await;
    let old = AccessToken::new("a#1");
    house.cache.invalidate(&AccessToken::new("something else"));
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    house.cache.invalidate(&old);
    assert_eq!(house.get("a").await, "a#2");
    // Fifty callers that had the old one say so late.
    for _ in 0..50 {
        house.cache.invalidate(&old);
    }
    assert_eq!(house.at_once("a").as_deref(), Some("a#2"));
    assert_eq!(house.fetches(), 2);
    assert_eq!(house.source.previous.lock().unwrap()[1].as_ref().unwrap().access_token, old);
}

#[tokio::test]
async fn where_one_token_after_the_other_is_refused_they_are_dropped_less_and_less() {
    let house = House::new();
    // Each second somebody is refused, for an hour.
    for second in 0..3600 {
        let token = AccessToken::new(house.get("a").await);
        // Those that are not refused go on with what there is.
        assert_eq!(house.at_once("a").as_deref(), Some(token.expose()), "after {second} s");
        house.cache.invalidate(&token);
        house.clock.advance(SECOND);
    }
    let fetches = house.fetches();
    assert!((12..=24).contains(&fetches), "{fetches} tokens in an hour");
    // Ten minutes without: a refusal is believed again.
    house.clock.advance(11 * MINUTE);
    let token = AccessToken::new(house.get("a").await);
    house.cache.invalidate(&token);
    assert_ne!(house.get("a").await, token.expose());
}

#[tokio::test]
async fn a_token_that_was_dropped_is_not_refused_again_by_those_who_are_late() {
    let house = House::new();
    for token in ["a#1", "a#2", "a#3"] {
        assert_eq!(house.get("a").await, token);
        for _ in 0..50 {
            house.cache.invalidate(&AccessToken::new(token));
        }
        // Longer than any token was kept for the second or the third time.
        house.clock.advance(9 * SECOND);
    }
    assert_eq!(house.get("a").await, "a#4");
}

#[tokio::test]
async fn ten_minutes_without_a_refusal_are_forgiven() {
    let house = House::new();
    let refuse = async || {
        let token = house.get("a").await;
        house.cache.invalidate(&AccessToken::new(token.clone()));
        house.get("a").await != token
    };
    for _ in 0..3600 {
        refuse().await;
        house.clock.advance(SECOND);
    }
    house.clock.advance(9 * MINUTE + 50 * SECOND);
    refuse().await;
    assert!(!refuse().await, "not yet");
    house.clock.advance(10 * MINUTE);
    assert!(refuse().await);
    house.clock.advance(3 * SECOND);
    assert!(refuse().await, "the row begins anew");
}
