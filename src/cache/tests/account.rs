//! What is refused to an account holds for all keys.

use super::*;

#[tokio::test]
async fn what_concerns_the_account_holds_for_all_keys() {
    for (error, wait) in
        [(Error::new(Kind::RateLimited).with_retry_after(Some(HOUR)), HOUR), (wrong_password(), 5 * MINUTE)]
    {
        let house = House::new();
        house.get("good").await;
        house.fail(error);
        let told = house.error("a").await.kind();
        house.clock.advance(wait - SECOND);
        for key in ["a", "b", "c"] {
            assert_eq!(house.error(key).await.kind(), told);
        }
        assert_eq!(house.fetches(), 2);
        // One key tries, and the others wait for what comes of it.
        house.clock.advance(5 * MINUTE + SECOND);
        let gate = house.close("b");
        let b = house.callers("b", 1);
        until(|| house.fetches() >= 3).await;
        let others: Vec<_> = ["a", "c", "d"].map(|key| house.callers(key, 10)).into();
        for key in ["a", "c", "d"] {
            house.waiting(key, 10).await;
        }
        gate.add_permits(1);
        for callers in others.into_iter().chain([b]) {
            assert!(
                callers.join_all().await.iter().all(|token| token.as_ref().is_err_and(|error| error.kind() == told))
            );
        }
        assert_eq!(house.fetches(), 3);
        // Until it goes well.
        house.recover();
        house.clock.advance(HOUR);
        for key in ["a", "c", "d"] {
            house.get(key).await;
        }
        assert_eq!(house.fetches(), 6);
    }
}

#[tokio::test]
async fn of_those_that_were_refused_together_only_one_counts() {
    let house = House::new();
    house.fail(wrong_password());
    let gates = ["a", "b", "c"].map(|key| house.close(key));
    let callers = ["a", "b", "c"].map(|key| house.callers(key, 1));
    until(|| house.fetches() >= 3).await;
    gates.iter().for_each(|gate| gate.add_permits(9));
    for callers in callers {
        assert!(callers.join_all().await[0].is_err());
    }
    house.recover();
    house.clock.advance(10 * MINUTE);
    for key in ["a", "b", "c"] {
        house.get(key).await;
    }
}

#[tokio::test]
async fn a_try_that_did_not_come_through_is_no_reason_for_all_to_try() {
    let house = House::new();
    house.fail(wrong_password());
    house.error("a").await;
    house.clock.advance(10 * MINUTE);
    house.fail(unavailable());
    house.error("a").await;
    house.error("b").await;
    assert_eq!(house.fetches(), 2);
    // What is refused to one key is no matter of the others.
    house.clock.advance(2 * SECOND);
    house.fail(Error::new(Kind::Rejected));
    house.error("a").await;
    house.error("b").await;
    house.error("c").await;
    assert_eq!(house.fetches(), 5);
}
