//! Lives and ends, whatever the clocks do.

use super::*;

#[tokio::test]
async fn a_token_that_has_just_come_is_not_in_the_window_of_its_refresh() {
    let fixture = Fixture::new();
    for lifetime in [SECOND, 5 * SECOND, MINUTE, HOUR, 24 * HOUR, 365 * 24 * HOUR] {
        fixture.live(lifetime);
        let key = format!("{lifetime:?}");
        fixture.get(&key).await;
        let fetches = fixture.fetches();
        for _ in 0..1000 {
            fixture.at_once(&key).unwrap();
        }
        fixture.idle(&key).await;
        assert_eq!(fixture.fetches(), fetches, "{lifetime:?}");
    }
}

#[tokio::test]
async fn the_life_counts_from_before_the_request() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 1);
    fixture.waiting("a", 1).await;
    fixture.clock.advance(50 * MINUTE);
    gate.add_permits(1);
    assert!(callers.join_all().await[0].is_ok());
    assert_eq!(fixture.at_once("a").as_deref(), Some("a#1"));
    fixture.clock.advance(10 * MINUTE);
    assert_eq!(fixture.at_once("a"), None);
}

#[tokio::test]
async fn a_clock_that_jumps_causes_no_storm_and_no_token_that_is_known_to_be_over() {
    for (jump, name) in [(-1.0, "an hour back"), (1.0, "an hour on")] {
        let fixture = Fixture::new();
        fixture.get("a").await;
        let jumped = |now: SystemTime| if jump < 0.0 { now - HOUR } else { now + HOUR };
        fixture.clock.set(jumped(fixture.clock.now()));
        for _ in 0..100 {
            fixture.get("a").await;
            fixture.idle("a").await;
        }
        // A token that seems to be over is fetched once more, and that is all.
        assert_eq!(fixture.fetches(), if jump < 0.0 { 1 } else { 2 }, "{name}");
        let token = fixture.get("a").await;
        fixture.clock.advance(HOUR);
        assert_ne!(fixture.get("a").await, token, "{name}: the hour is over whatever the time of day says");
    }
}

#[tokio::test]
async fn a_machine_that_slept_does_not_hand_out_what_ended_meanwhile() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    // The time that moves forward stood still.
    fixture.clock.set(fixture.clock.now() + 8 * HOUR);
    assert_eq!(fixture.at_once("a"), None);
    assert_eq!(fixture.get("a").await, "a#2");
    for _ in 0..100 {
        assert_eq!(fixture.get("a").await, "a#2");
    }
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn a_machine_that_slept_during_the_exchange_counts_it_in() {
    let fixture = Fixture::new();
    let gate = fixture.close("a");
    let callers = fixture.callers("a", 1);
    fixture.waiting("a", 1).await;
    fixture.clock.set(fixture.clock.now() + 2 * HOUR);
    gate.add_permits(1);
    assert!(callers.join_all().await[0].as_ref().unwrap_err().to_string().contains("already expired"));
}
