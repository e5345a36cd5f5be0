//! Tokens that serve more keys than the one that they were fetched for.

use super::*;

#[tokio::test]
async fn a_broader_token_serves_a_narrower_request() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("broad").await, "broad#1");
    assert_eq!(fixture.get("narrow").await, "broad#1");
    assert_eq!(fixture.get("other").await, "other#2");
    // It ends where it ends, and is dropped where it is dropped.
    fixture.cache.invalidate(&AccessToken::new("broad#1"));
    assert_eq!(fixture.get("narrow").await, "narrow#3");
    assert_eq!(fixture.get("broad").await, "broad#4");
}

#[tokio::test]
async fn who_lives_on_a_loan_waits_for_the_lender_and_both_make_one_request() {
    for first in ["narrow", "broad"] {
        let fixture = Fixture::new();
        fixture.get("broad").await;
        fixture.get("narrow").await;
        fixture.clock.advance(57 * MINUTE);
        for key in [first, "narrow", "broad", "narrow"] {
            assert_eq!(fixture.at_once(key).as_deref(), Some("broad#1"));
        }
        fixture.idle("narrow").await;
        fixture.idle("broad").await;
        assert_eq!((fixture.get("narrow").await.as_str(), fixture.get("broad").await.as_str()), ("broad#2", "broad#2"));
        assert_eq!(fixture.fetches(), 2);
    }
}

#[tokio::test]
async fn who_has_a_token_of_his_own_borrows_but_never_waits() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("narrow").await, "narrow#1");
    fixture.clock.advance(30 * MINUTE);
    assert_eq!(fixture.get("broad").await, "broad#2");
    fixture.clock.advance(27 * MINUTE);
    fixture.get("narrow").await;
    fixture.idle("narrow").await;
    assert_eq!(fixture.get("narrow").await, "broad#2");
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_lender_that_fails_is_a_failure_of_both_and_neither_makes_it_worse() {
    let fixture = Fixture::new();
    fixture.get("broad").await;
    fixture.get("narrow").await;
    fixture.fail(unavailable());
    fixture.clock.advance(57 * MINUTE);
    for _ in 0..10 {
        fixture.get("narrow").await;
        fixture.idle("narrow").await;
        fixture.get("broad").await;
        fixture.idle("broad").await;
    }
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_lender_in_its_last_minutes_is_tried_again_when_its_token_ends() {
    for _ in 0..20 {
        let fixture = Fixture::new();
        fixture.get("broad").await;
        fixture.get("narrow").await;
        fixture.fail(unavailable());
        fixture.clock.advance(59 * MINUTE + 49 * SECOND);
        fixture.get("narrow").await;
        fixture.idle("narrow").await;
        fixture.recover();
        fixture.clock.advance(2 * SECOND);
        fixture.get("broad").await;
    }
}

#[tokio::test]
async fn only_slots_that_are_still_there_are_asked_for_a_token() {
    let fixture = Fixture::new();
    let lenders = || {
        let lenders = fixture.cache.lenders(&"narrow".to_owned());
        lenders.iter().map(|slot| slot.key.clone()).collect::<Vec<_>>()
    };
    for number in 0..5 {
        fixture.get(&format!("broad-{number}")).await;
    }
    // Their tokens, and what they could be renewed with, come to their ends, but for one whose slot somebody holds.
    let _handle = fixture.cache.handle(&"broad-3".to_owned());
    fixture.clock.advance(241 * HOUR);
    fixture.get("broad-new").await;
    assert_eq!(lenders().len(), 6);
    for number in 0..200 {
        fixture.get(&format!("other-{number}")).await;
    }
    assert_eq!(lenders(), ["broad-3", "broad-new"]);
    assert_eq!(fixture.get("narrow").await, "broad-new#6");
    // One that was dropped comes back as a new one.
    fixture.get("broad-0").await;
    assert_eq!(lenders(), ["broad-3", "broad-new", "broad-0"]);
}
