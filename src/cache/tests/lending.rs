//! Tokens that serve more keys than the one that they were fetched for.

use super::*;

#[tokio::test]
async fn a_broader_token_serves_a_narrower_request() {
    let house = House::new();
    assert_eq!(house.get("broad").await, "broad#1");
    assert_eq!(house.get("narrow").await, "broad#1");
    assert_eq!(house.get("other").await, "other#2");
    // It ends where it ends, and is dropped where it is dropped.
    house.cache.invalidate(&AccessToken::new("broad#1"));
    assert_eq!(house.get("narrow").await, "narrow#3");
    assert_eq!(house.get("broad").await, "broad#4");
}

#[tokio::test]
async fn who_lives_on_a_loan_waits_for_the_lender_and_both_make_one_request() {
    for first in ["narrow", "broad"] {
        let house = House::new();
        house.get("broad").await;
        house.get("narrow").await;
        house.clock.advance(57 * MINUTE);
        for key in [first, "narrow", "broad", "narrow"] {
            assert_eq!(house.at_once(key).as_deref(), Some("broad#1"));
        }
        house.idle("narrow").await;
        house.idle("broad").await;
        assert_eq!((house.get("narrow").await.as_str(), house.get("broad").await.as_str()), ("broad#2", "broad#2"));
        assert_eq!(house.fetches(), 2);
    }
}

#[tokio::test]
async fn who_has_a_token_of_his_own_borrows_but_never_waits() {
    let house = House::new();
    assert_eq!(house.get("narrow").await, "narrow#1");
    house.clock.advance(30 * MINUTE);
    assert_eq!(house.get("broad").await, "broad#2");
    house.clock.advance(27 * MINUTE);
    house.get("narrow").await;
    house.idle("narrow").await;
    assert_eq!(house.get("narrow").await, "broad#2");
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn a_lender_that_fails_is_a_failure_of_both_and_neither_makes_it_worse() {
    let house = House::new();
    house.get("broad").await;
    house.get("narrow").await;
    house.fail(unavailable());
    house.clock.advance(57 * MINUTE);
    for _ in 0..10 {
        house.get("narrow").await;
        house.idle("narrow").await;
        house.get("broad").await;
        house.idle("broad").await;
    }
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn a_lender_in_its_last_minutes_is_tried_again_when_its_token_ends() {
    for _ in 0..20 {
        let house = House::new();
        house.get("broad").await;
        house.get("narrow").await;
        house.fail(unavailable());
        house.clock.advance(59 * MINUTE + 49 * SECOND);
        house.get("narrow").await;
        house.idle("narrow").await;
        house.recover();
        house.clock.advance(2 * SECOND);
        house.get("broad").await;
    }
}

#[tokio::test]
async fn only_slots_that_are_still_there_are_asked_for_a_token() {
    let house = House::new();
    let lenders = || {
        let lenders = house.cache.lenders(&"narrow".to_owned());
        lenders.iter().map(|slot| slot.key.clone()).collect::<Vec<_>>()
    };
    for number in 0..5 {
        house.get(&format!("broad-{number}")).await;
    }
    // Their tokens, and what they could be renewed with, come to their ends, but for one whose slot somebody holds.
    let _handle = house.cache.handle(&"broad-3".to_owned());
    house.clock.advance(241 * HOUR);
    house.get("broad-new").await;
    assert_eq!(lenders().len(), 6);
    for number in 0..200 {
        house.get(&format!("other-{number}")).await;
    }
    assert_eq!(lenders(), ["broad-3", "broad-new"]);
    assert_eq!(house.get("narrow").await, "broad-new#6");
    // One that was dropped comes back as a new one.
    house.get("broad-0").await;
    assert_eq!(lenders(), ["broad-3", "broad-new", "broad-0"]);
}
