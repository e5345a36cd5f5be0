//! Two programs with one account: each gets and deletes only its own tokens.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use gettone::clock::{Clock, ManualClock};
use gettone::emulator::{Api, Emulator, Fault};
use gettone::openapi::{
    Ttl,
    v1::{Oauth, TokenUpdate},
};
use gettone::{AccessToken, Retry, ScopeSet};

use crate::world::oauth;

const GET: &str = "GET:127.0.0.1/echo";
const POST: &str = "POST:127.0.0.1/echo";

fn set(scopes: &[&str]) -> ScopeSet {
    ScopeSet::parse(scopes).unwrap()
}

fn program(emulator: &Emulator) -> Oauth {
    oauth(emulator).clock(emulator.clock()).retry(Retry::none()).build().unwrap()
}

fn issued(emulator: &Emulator) -> HashSet<AccessToken> {
    emulator.tokens().into_iter().map(|issued| AccessToken::new(issued.token.expose())).collect()
}

fn living(emulator: &Emulator) -> HashSet<AccessToken> {
    let alive = emulator.tokens().into_iter().filter(|issued| issued.is_valid);
    alive.map(|issued| AccessToken::new(issued.token.expose())).collect()
}

/// What happened in all schedules.
#[derive(Debug, Default)]
struct Sum {
    given: usize,
    foreign_given: usize,
    foreign_deleted: usize,
    /// Created, and not found at once.
    lost: usize,
    /// Created by a request whose response was lost, found and returned.
    found: usize,
    left_behind: usize,
}

/// Both request the same scopes, with the same lifetime, in the same seconds, and responses are lost, some after the token was created, some
/// before.
#[test]
fn in_a_thousand_schedules_no_token_of_the_other_program_is_returned_or_deleted() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut sum = Sum::default();
    let schedules: u64 = std::env::var("GETTONE_SCHEDULES").map_or(1_000, |number| number.parse().unwrap());
    for seed in 0..schedules {
        // The clients draw the same lifetimes each time too.
        fastrand::seed(seed);
        runtime.block_on(schedule(&mut Rng::with_seed(seed), &mut sum));
    }
    println!("{sum:?}");
    assert_eq!((sum.foreign_given, sum.foreign_deleted), (0, 0), "{sum:?}");
    // The schedules prove something only if tokens are lost, and found.
    let each =
        |number: usize, of_a_thousand: usize| number * 1_000 > of_a_thousand * usize::try_from(schedules).unwrap();
    assert!(each(sum.given, 3_000) && each(sum.found, 700), "{sum:?}");
    assert!(sum.left_behind * 100 < sum.found, "{sum:?}");
}

async fn schedule(rng: &mut Rng, sum: &mut Sum) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)));
    let emulator = Emulator::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).start().await.unwrap();
    let programs = [program(&emulator), program(&emulator)];
    // The tokens that each program's requests created.
    let mut made_by: [HashSet<AccessToken>; 2] = Default::default();
    for _ in 0..6 {
        let which = rng.usize(..2);
        let (oauth, other) = (&programs[which], 1 - which);
        match rng.u8(..4) {
            0 => {}
            1 => emulator.fail_next_on(1, "POST /token", Fault::Status([500, 502, 504, 408][rng.usize(..4)])),
            2 => emulator.fail_next_on(1, "POST /token", Fault::LostRequest),
            _ => emulator.fail_next_on(1 + rng.usize(..2), "POST /token", Fault::LostResponse),
        }
        if rng.u8(..6) == 0 {
            emulator.fail_next_on(1, "GET /token", Fault::Status(503));
        }
        let before = issued(&emulator);
        let token = oauth.token(&set(&[GET])).await;
        oauth.wait_idle().await;
        let made: Vec<_> = issued(&emulator).difference(&before).cloned().collect();
        sum.lost += made.len().saturating_sub(usize::from(token.is_ok()));
        if let Ok(token) = &token {
            sum.given += 1;
            sum.foreign_given += usize::from(made_by[other].contains(token));
            sum.found +=
                usize::from(made.contains(token) && emulator.requests().last().unwrap().operation == "list_tokens");
        }
        made_by[which].extend(made);
        emulator.clear_faults();
        if let (Ok(token), true) = (&token, rng.bool()) {
            oauth.invalidate(token);
        }
        clock.advance(Duration::from_secs([0, 1, 2, 7, 60][rng.usize(..5)]));
        if rng.u8(..5) == 0 {
            let before = living(&emulator);
            oauth.revoke_created().await.unwrap();
            let deleted: HashSet<_> = before.difference(&living(&emulator)).cloned().collect();
            sum.foreign_deleted += deleted.intersection(&made_by[other]).count();
        }
    }
    for (oauth, other) in programs.iter().zip([1, 0]) {
        let before = living(&emulator);
        oauth.revoke_created().await.unwrap();
        let deleted: HashSet<_> = before.difference(&living(&emulator)).cloned().collect();
        sum.foreign_deleted += deleted.intersection(&made_by[other]).count();
    }
    sum.left_behind += emulator.count_valid_tokens(Api::Production);
}

/// A program changes a token that its client caches.
#[tokio::test]
async fn a_changed_token_is_not_returned_for_its_former_scopes() {
    let both = set(&[GET, POST]);
    for shorter in [false, true] {
        for replace in [false, true] {
            let emulator = Emulator::start().await.unwrap();
            let oauth = program(&emulator);
            let token = oauth.token(&both).await.unwrap();
            assert_eq!(oauth.token(&set(&[GET])).await.unwrap(), token);
            let (scopes, ttl) = if shorter { (both.clone(), 60) } else { (set(&[GET]), 80_000) };
            let changed = if replace {
                let end = emulator.clock().now() + Duration::from_secs(ttl);
                oauth.replace_token(&token, &scopes, end).await.unwrap()
            } else {
                let ttl = Ttl::seconds(ttl.try_into().unwrap()).unwrap();
                oauth.update_token(&token, TokenUpdate::new().scopes(&scopes).ttl(ttl)).await.unwrap()
            };
            assert_eq!(changed.token(), &token);
            let next = oauth.token(&both).await.unwrap();
            assert_ne!(next, token, "shorter: {shorter}, replace: {replace}");
            assert_eq!(emulator.count("create_token"), 2);
            // A narrower key that borrowed it drops it too.
            assert_eq!(oauth.token(&set(&[GET])).await.unwrap(), next);
            // The client still deletes both.
            assert_eq!(oauth.revoke_created().await.unwrap(), 2);
            assert_eq!(emulator.count_valid_tokens(Api::Production), 0);
        }
    }
}

/// An unconfirmed change may have been made, so the client drops the token. A rejected change was not made.
#[tokio::test]
async fn a_token_is_dropped_if_it_may_have_been_changed_and_kept_if_not() {
    // A 404 without the service's own code comes from a wrong address.
    for (fault, is_kept) in [(Fault::LostResponse, false), (Fault::Status(500), false), (Fault::Status(404), true)] {
        let emulator = Emulator::start().await.unwrap();
        let oauth = program(&emulator);
        let token = oauth.token(&set(&[GET, POST])).await.unwrap();
        emulator.fail_next_on(1, "PATCH", fault);
        oauth.update_token(&token, TokenUpdate::new().scopes(&set(&[GET]))).await.unwrap_err();
        assert_eq!(oauth.token(&set(&[GET, POST])).await.unwrap() == token, is_kept, "{fault:?}");
    }
}

/// After a lost response to a deletion, the client does not return the token any more, and still deletes it.
#[tokio::test]
async fn a_token_is_dropped_if_it_may_have_been_deleted_and_kept_if_not() {
    for (fault, is_kept, left) in
        [(Fault::LostResponse, false, 1), (Fault::Status(500), false, 2), (Fault::Status(404), true, 1)]
    {
        let emulator = Emulator::start().await.unwrap();
        let oauth = program(&emulator);
        let token = oauth.token(&set(&[GET, POST])).await.unwrap();
        emulator.fail_next_on(1, "DELETE", fault);
        oauth.delete_token(&token).await.unwrap_err();
        assert_eq!(oauth.token(&set(&[GET, POST])).await.unwrap() == token, is_kept, "{fault:?}");
        assert_eq!(
            (oauth.revoke_created().await.unwrap(), emulator.count_valid_tokens(Api::Production)),
            (left, 0),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_token_is_dropped_when_a_change_shows_that_it_no_longer_exists() {
    let emulator = Emulator::start().await.unwrap();
    let (oauth, other) = (program(&emulator), program(&emulator));
    let token = oauth.token(&set(&[GET])).await.unwrap();
    other.delete_token(&token).await.unwrap();
    let update = TokenUpdate::new().ttl(Ttl::hours(1).unwrap());
    assert!(oauth.update_token(&token, update).await.unwrap_err().is_not_found());
    assert_ne!(oauth.token(&set(&[GET])).await.unwrap(), token);
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
}

/// Fifty requests have a token that the services do not know yet: each waits, and the client keeps the token.
#[cfg(feature = "middleware")]
#[tokio::test]
async fn many_requests_wait_together_until_a_new_token_is_known() {
    let emulator = Emulator::start().await.unwrap();
    emulator.set_activation_delay(Duration::from_secs(10));
    let layer = oauth(&emulator).clock(emulator.clock()).scopes(set(&[GET])).build().unwrap().middleware();
    let client = reqwest_middleware::ClientBuilder::new(crate::common::http()).with(layer).build();
    let calls: tokio::task::JoinSet<_> = (0..50)
        .map(|_| {
            let (client, url) = (client.clone(), emulator.url("/echo"));
            async move { client.get(url).send().await.unwrap().status().as_u16() }
        })
        .collect();
    assert_eq!(calls.join_all().await, [200; 50]);
    assert_eq!(emulator.count("create_token"), 1);
}
