//! What is refused to an account holds for all keys.

use super::*;

#[tokio::test]
async fn what_concerns_the_account_holds_for_all_keys() {
    for (error, wait) in
        [(Error::new(Kind::RateLimited).with_retry_after(Some(HOUR)), HOUR), (wrong_password(), 5 * MINUTE)]
    {
        let fixture = Fixture::new();
        fixture.get("good").await;
        fixture.fail(error);
        let told = fixture.error("a").await.kind();
        fixture.clock.advance(wait - SECOND);
        for key in ["a", "b", "c"] {
            assert_eq!(fixture.error(key).await.kind(), told);
        }
        assert_eq!(fixture.fetches(), 2);
        // One key tries, and the others wait for what comes of it.
        fixture.clock.advance(5 * MINUTE + SECOND);
        let gate = fixture.close("b");
        let b = fixture.callers("b", 1);
        until(|| fixture.fetches() >= 3).await;
        let others: Vec<_> = ["a", "c", "d"].map(|key| fixture.callers(key, 10)).into();
        for key in ["a", "c", "d"] {
            fixture.waiting(key, 10).await;
        }
        gate.add_permits(1);
        for callers in others.into_iter().chain([b]) {
            assert!(
                callers.join_all().await.iter().all(|token| token.as_ref().is_err_and(|error| error.kind() == told))
            );
        }
        assert_eq!(fixture.fetches(), 3);
        // Until it goes well.
        fixture.recover();
        fixture.clock.advance(HOUR);
        for key in ["a", "c", "d"] {
            fixture.get(key).await;
        }
        assert_eq!(fixture.fetches(), 6);
    }
}

#[tokio::test]
async fn of_those_that_were_refused_together_only_one_counts() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    let gates = ["a", "b", "c"].map(|key| fixture.close(key));
    let callers = ["a", "b", "c"].map(|key| fixture.callers(key, 1));
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
async fn a_try_that_did_not_come_through_is_no_reason_for_all_to_try() {
    let fixture = Fixture::new();
    fixture.fail(wrong_password());
    fixture.error("a").await;
    fixture.clock.advance(10 * MINUTE);
    fixture.fail(unavailable());
    fixture.error("a").await;
    fixture.error("b").await;
    assert_eq!(fixture.fetches(), 2);
    // What is refused to one key is no matter of the others.
    fixture.clock.advance(2 * SECOND);
    fixture.fail(Error::new(Kind::Rejected));
    fixture.error("a").await;
    fixture.error("b").await;
    fixture.error("c").await;
    assert_eq!(fixture.fetches(), 5);
}
