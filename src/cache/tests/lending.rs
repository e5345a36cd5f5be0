//! Broad keys: tokens that serve more keys than the one they were fetched for.

use super::*;

#[tokio::test]
async fn a_broad_token_serves_a_narrow_key() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("broad").await, "broad#1");
    assert_eq!(fixture.get("narrow").await, "broad#1");
    assert_eq!(fixture.get("other").await, "other#2");
    // A borrowed token is dropped with the original.
    fixture.cache.invalidate(&AccessToken::new("broad#1"));
    assert_eq!(fixture.get("narrow").await, "narrow#3");
    assert_eq!(fixture.get("broad").await, "broad#4");
}

#[tokio::test]
async fn a_slot_that_borrowed_its_token_waits_for_the_lending_slot_to_refresh_it() {
    for first in ["narrow", "broad"] {
        let fixture = Fixture::new();
        fixture.get("broad").await;
        fixture.get("narrow").await;
        fixture.clock.advance(57 * MINUTE);
        for key in [first, "narrow", "broad", "narrow"] {
            assert_eq!(fixture.get_now(key).as_deref(), Some("broad#1"));
        }
        fixture.wait_idle("narrow").await;
        fixture.wait_idle("broad").await;
        assert_eq!((fixture.get("narrow").await.as_str(), fixture.get("broad").await.as_str()), ("broad#2", "broad#2"));
        assert_eq!(fixture.fetches(), 2);
    }
}

#[tokio::test]
async fn a_slot_with_its_own_token_borrows_but_never_waits() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("narrow").await, "narrow#1");
    fixture.clock.advance(30 * MINUTE);
    assert_eq!(fixture.get("broad").await, "broad#2");
    fixture.clock.advance(27 * MINUTE);
    fixture.get("narrow").await;
    fixture.wait_idle("narrow").await;
    assert_eq!(fixture.get("narrow").await, "broad#2");
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn when_the_lending_slot_fails_both_slots_back_off_together() {
    let fixture = Fixture::new();
    fixture.get("broad").await;
    fixture.get("narrow").await;
    fixture.fail(unavailable());
    fixture.clock.advance(57 * MINUTE);
    for _ in 0..10 {
        fixture.get("narrow").await;
        fixture.wait_idle("narrow").await;
        fixture.get("broad").await;
        fixture.wait_idle("broad").await;
    }
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_lending_slot_that_failed_tries_again_when_its_token_expires() {
    for _ in 0..20 {
        let fixture = Fixture::new();
        fixture.get("broad").await;
        fixture.get("narrow").await;
        fixture.fail(unavailable());
        fixture.clock.advance(59 * MINUTE + 49 * SECOND);
        fixture.get("narrow").await;
        fixture.wait_idle("narrow").await;
        fixture.recover();
        fixture.clock.advance(2 * SECOND);
        fixture.get("broad").await;
    }
}

#[tokio::test]
async fn only_slots_that_still_exist_lend_tokens() {
    let fixture = Fixture::new();
    let lenders = || {
        let lenders = fixture.cache.lenders(&"narrow".to_owned());
        lenders.iter().map(|slot| slot.key.clone()).collect::<Vec<_>>()
    };
    for number in 0..5 {
        fixture.get(&format!("broad-{number}")).await;
    }
    // Tokens and refresh tokens expire. A handle keeps one of the slots.
    let _handle = fixture.cache.handle(&"broad-3".to_owned());
    fixture.clock.advance(241 * HOUR);
    fixture.get("broad-new").await;
    assert_eq!(lenders().len(), 6);
    for number in 0..200 {
        fixture.get(&format!("other-{number}")).await;
    }
    assert_eq!(lenders(), ["broad-3", "broad-new"]);
    assert_eq!(fixture.get("narrow").await, "broad-new#6");
    // A dropped slot is added again as a new one.
    fixture.get("broad-0").await;
    assert_eq!(lenders(), ["broad-3", "broad-new", "broad-0"]);
}
