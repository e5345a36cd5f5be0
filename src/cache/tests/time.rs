//! Lifetimes and expiry, whatever the clocks do.

use super::*;

#[tokio::test]
async fn a_new_token_is_not_in_its_refresh_window() {
    let fixture = Fixture::new();
    for lifetime in [SECOND, 5 * SECOND, MINUTE, HOUR, 24 * HOUR, 365 * 24 * HOUR] {
        fixture.set_lifetime(lifetime);
        let key = format!("{lifetime:?}");
        fixture.get(&key).await;
        let fetches = fixture.fetches();
        for _ in 0..1000 {
            fixture.get_now(&key).unwrap();
        }
        fixture.wait_idle(&key).await;
        assert_eq!(fixture.fetches(), fetches, "{lifetime:?}");
    }
}

#[tokio::test]
async fn the_lifetime_counts_from_before_the_request() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 1);
    fixture.wait_for_waiters("a", 1).await;
    fixture.clock.advance(50 * MINUTE);
    gate.add_permits(1);
    assert!(callers.join_all().await[0].is_ok());
    assert_eq!(fixture.get_now("a").as_deref(), Some("a#1"));
    fixture.clock.advance(10 * MINUTE);
    assert_eq!(fixture.get_now("a"), None);
}

#[tokio::test]
async fn a_clock_that_jumps_causes_neither_a_request_storm_nor_an_expired_token() {
    for (jump, name) in [(-1.0, "an hour back"), (1.0, "an hour on")] {
        let fixture = Fixture::new();
        fixture.get("a").await;
        let jumped = |now: SystemTime| if jump < 0.0 { now - HOUR } else { now + HOUR };
        fixture.clock.set(jumped(fixture.clock.now()));
        for _ in 0..100 {
            fixture.get("a").await;
            fixture.wait_idle("a").await;
        }
        // A token that seems expired is fetched again, but only once.
        assert_eq!(fixture.fetches(), if jump < 0.0 { 1 } else { 2 }, "{name}");
        let token = fixture.get("a").await;
        fixture.clock.advance(HOUR);
        assert_ne!(fixture.get("a").await, token, "{name}: the hour has passed, whatever the system clock says");
    }
}

#[tokio::test]
async fn a_token_that_expired_while_the_machine_slept_is_not_returned() {
    let fixture = Fixture::new();
    fixture.get("a").await;
    // The monotonic clock stood still.
    fixture.clock.set(fixture.clock.now() + 8 * HOUR);
    assert_eq!(fixture.get_now("a"), None);
    assert_eq!(fixture.get("a").await, "a#2");
    for _ in 0..100 {
        assert_eq!(fixture.get("a").await, "a#2");
    }
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test]
async fn sleep_during_an_exchange_counts_towards_the_age_of_its_token() {
    let fixture = Fixture::new();
    let gate = fixture.hold("a");
    let callers = fixture.spawn_callers("a", 1);
    fixture.wait_for_waiters("a", 1).await;
    fixture.clock.set(fixture.clock.now() + 2 * HOUR);
    gate.add_permits(1);
    assert!(callers.join_all().await[0].as_ref().unwrap_err().to_string().contains("already expired"));
}
