//! Tokens that the service rejected.

use super::*;

#[tokio::test]
async fn invalidate_drops_that_token_and_never_a_newer_one() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    let old = AccessToken::new("a#1");
    fixture.cache.invalidate(&AccessToken::new("something else"));
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    fixture.cache.invalidate(&old);
    assert_eq!(fixture.get("a").await, "a#2");
    // Fifty callers report the old token late.
    for _ in 0..50 {
        fixture.cache.invalidate(&old);
    }
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#2"));
    assert_eq!(fixture.fetches(), 2);
    assert_eq!(fixture.source.previous.lock().unwrap()[1].as_ref().unwrap().access_token, old);
}

#[tokio::test]
async fn if_each_new_token_is_rejected_tokens_are_dropped_ever_less_often() {
    let fixture = Fixture::new();
    // A caller reports a rejection each second for an hour.
    for second in 0..3600 {
        let token = AccessToken::new(fixture.get("a").await);
        // Callers that were not rejected still get the token.
        assert_eq!(fixture.get_now("a").as_deref(), Some(token.expose()), "after {second} s");
        fixture.cache.invalidate(&token);
        fixture.clock.advance(SECOND);
    }
    let fetches = fixture.fetches();
    assert!((12..=24).contains(&fetches), "{fetches} tokens in an hour");
    // After ten minutes without a rejection, the next one drops the token again.
    fixture.clock.advance(11 * MINUTE);
    let token = AccessToken::new(fixture.get("a").await);
    fixture.cache.invalidate(&token);
    assert_ne!(fixture.get("a").await, token.expose());
}

#[tokio::test]
async fn late_rejections_of_a_dropped_token_do_not_count() {
    let fixture = Fixture::new();
    for token in ["a#1", "a#2", "a#3"] {
        assert_eq!(fixture.get("a").await, token);
        for _ in 0..50 {
            fixture.cache.invalidate(&AccessToken::new(token));
        }
        // Longer than the second or the third token is kept.
        fixture.clock.advance(9 * SECOND);
    }
    assert_eq!(fixture.get("a").await, "a#4");
}

#[tokio::test]
async fn ten_minutes_without_a_rejection_start_the_count_anew() {
    let fixture = Fixture::new();
    let reject = async || {
        let token = fixture.get("a").await;
        fixture.cache.invalidate(&AccessToken::new(token.clone()));
        fixture.get("a").await != token
    };
    for _ in 0..3600 {
        reject().await;
        fixture.clock.advance(SECOND);
    }
    fixture.clock.advance(9 * MINUTE + 50 * SECOND);
    reject().await;
    assert!(!reject().await, "not yet");
    fixture.clock.advance(10 * MINUTE);
    assert!(reject().await);
    fixture.clock.advance(3 * SECOND);
    assert!(reject().await, "the count starts anew");
}
