//! Lives and ends, whatever the clocks do.

use super::*;

#[tokio::test]
async fn a_token_that_has_just_come_is_not_in_the_window_of_its_refresh() {
    let house = House::new();
    for lifetime in [SECOND, 5 * SECOND, MINUTE, HOUR, 24 * HOUR, 365 * 24 * HOUR] {
        house.live(lifetime);
        let key = format!("{lifetime:?}");
        house.get(&key).await;
        let fetches = house.fetches();
        for _ in 0..1000 {
            house.at_once(&key).unwrap();
        }
        house.idle(&key).await;
        assert_eq!(house.fetches(), fetches, "{lifetime:?}");
    }
}

#[tokio::test]
async fn the_life_counts_from_before_the_request() {
    let house = House::new();
    let gate = house.close("a");
    let callers = house.callers("a", 1);
    house.waiting("a", 1).await;
    house.clock.advance(50 * MINUTE);
    gate.add_permits(1);
    assert!(callers.join_all().await[0].is_ok());
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    house.clock.advance(10 * MINUTE);
    assert_eq!(house.at_once("a"), None);
}

#[tokio::test]
async fn a_clock_that_jumps_causes_no_storm_and_no_token_that_is_known_to_be_over() {
    for (jump, name) in [(-1.0, "an hour back"), (1.0, "an hour on")] {
        let house = House::new();
        house.get("a").await;
        let jumped = |now: SystemTime| if jump < 0.0 { now - HOUR } else { now + HOUR };
        house.clock.set(jumped(house.clock.now()));
        for _ in 0..100 {
            house.get("a").await;
            house.idle("a").await;
        }
        // A token that seems to be over is fetched once more, and that is all.
        assert_eq!(house.fetches(), if jump < 0.0 { 1 } else { 2 }, "{name}");
        let token = house.get("a").await;
        house.clock.advance(HOUR);
        assert_ne!(house.get("a").await, token, "{name}: the hour is over whatever the time of day says");
    }
}

#[tokio::test]
async fn a_machine_that_slept_does_not_hand_out_what_ended_meanwhile() {
    let house = House::new();
    house.get("a").await;
    // The time that moves forward stood still.
    house.clock.set(house.clock.now() + 8 * HOUR);
    assert_eq!(house.at_once("a"), None);
    assert_eq!(house.get("a").await, "a#2");
    for _ in 0..100 {
        assert_eq!(house.get("a").await, "a#2");
    }
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn a_machine_that_slept_during_the_exchange_counts_it_in() {
    let house = House::new();
    let gate = house.close("a");
    let callers = house.callers("a", 1);
    house.waiting("a", 1).await;
    house.clock.set(house.clock.now() + 2 * HOUR);
    gate.add_permits(1);
    assert!(callers.join_all().await[0].as_ref().unwrap_err().to_string().contains("already expired"));
}
