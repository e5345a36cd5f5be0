//! Failures that concern the whole account: all keys back off together.

use super::*;

#[tokio::test]
async fn an_account_wide_failure_makes_all_keys_back_off() {
    for (error, wait) in
        [(Error::new(Kind::RateLimited).with_retry_after(Some(HOUR)), HOUR), (wrong_password(), 5 * MINUTE)]
    {
        let fixture = Fixture::new();
        fixture.get("good").await;
        fixture.fail(error);
        let first = fixture.get_error("a").await.kind();
        fixture.clock.advance(wait - SECOND);
        for key in ["a", "b", "c"] {
            assert_eq!(fixture.get_error(key).await.kind(), first);
        }
        assert_eq!(fixture.fetches(), 2);
        // One key probes the service, and the others wait for its result.
        fixture.clock.advance(5 * MINUTE + SECOND);
        let gate = fixture.hold("b");
        let b = fixture.spawn_callers("b", 1);
        until(|| fixture.fetches() >= 3).await;
        let others: Vec<_> = ["a", "c", "d"].map(|key| fixture.spawn_callers(key, 10)).into();
        for key in ["a", "c", "d"] {
            fixture.wait_for_waiters(key, 10).await;
        }
        gate.add_permits(1);
        for callers in others.into_iter().chain([b]) {
            assert!(
                callers.join_all().await.iter().all(|token| token.as_ref().is_err_and(|error| error.kind() == first))
            );
        }
        assert_eq!(fixture.fetches(), 3);
        // Until a request succeeds.
        fixture.recover();
        fixture.clock.advance(HOUR);
        for key in ["a", "c", "d"] {
            fixture.get(key).await;
        }
        assert_eq!(fixture.fetches(), 6);
    }
}

#[tokio::test]
async fn concurrent_failures_count_once() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    let gates = ["a", "b", "c"].map(|key| fixture.hold(key));
    let callers = ["a", "b", "c"].map(|key| fixture.spawn_callers(key, 1));
    until(|| fixture.fetches() >= 3).await;
    gates.iter().for_each(|gate| gate.add_permits(9));
    for callers in callers {
        assert!(callers.join_all().await[0].is_err());
    }
    fixture.recover();
    fixture.clock.advance(10 * MINUTE);
    for key in ["a", "b", "c"] {
        fixture.get(key).await;
    }
}

#[tokio::test]
async fn a_probe_that_did_not_reach_the_service_keeps_all_keys_backing_off() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    fixture.get_error("a").await;
    fixture.clock.advance(10 * MINUTE);
    fixture.fail(unavailable());
    fixture.get_error("a").await;
    fixture.get_error("b").await;
    assert_eq!(fixture.fetches(), 2);
    // A failure of one key does not concern the others.
    fixture.clock.advance(2 * SECOND);
    fixture.fail(Error::new(Kind::Rejected));
    fixture.get_error("a").await;
    fixture.get_error("b").await;
    fixture.get_error("c").await;
    assert_eq!(fixture.fetches(), 5);
}
