//! Whole jobs of both clients against the emulator: step by step, in hundreds of random orders, and beside other tasks, processes and
//! programs.
#![cfg(feature = "emulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "end_to_end/model.rs"]
mod model;
#[path = "end_to_end/races.rs"]
mod races;
#[cfg(feature = "middleware")]
#[path = "end_to_end/recipes.rs"]
mod recipes;
#[path = "end_to_end/refreshes.rs"]
mod refreshes;
#[path = "end_to_end/shared_store.rs"]
mod shared_store;
#[path = "end_to_end/store_failures.rs"]
mod store_failures;
#[path = "end_to_end/two_programs.rs"]
mod two_programs;
#[path = "end_to_end/world.rs"]
mod world;
#[path = "end_to_end/year.rs"]
mod year;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use gettone::clock::{Clock, ManualClock, Sleep};
use gettone::emulator::{Api, Emulator, Fault};
use gettone::openapi::{Period, Ttl, v1::TokenUpdate};
use gettone::{AccessToken, Error, Scope, ScopeSet, reqwest};

use common::http;
use model::{Broken, Model};
use world::{Client, Kind, ServiceTime, World, fatture, oauth};

const GET: &str = "GET:127.0.0.1/echo";
const POST: &str = "POST:127.0.0.1/echo";

fn scopes(scopes: &[&str]) -> ScopeSet {
    ScopeSet::parse(scopes.iter().copied()).unwrap()
}

async fn call(method: reqwest::Method, url: String, token: &AccessToken) -> u16 {
    let request = http().request(method, url).header("accept", "application/json").bearer_auth(token.expose());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_openapi_token_is_created_cached_narrowed_renewed_and_deleted_and_calls_are_counted() {
    let emulator = Emulator::start().await.unwrap();
    let oauth = oauth(&emulator).clock(emulator.clock()).scopes(scopes(&[GET, POST])).build().unwrap();
    let echo = || emulator.url("/echo/me");
    let credit = oauth.credit().await.unwrap().amount();

    let first = oauth.token(&scopes(&[GET, POST])).await.unwrap();
    assert_eq!(oauth.token(&scopes(&[GET])).await.unwrap(), first);
    assert_eq!(call(reqwest::Method::POST, echo(), &first).await, 200);
    let mut request = http().get(echo()).build().unwrap();
    oauth.authorize(&mut request).await.unwrap();
    assert_eq!(http().execute(request).await.unwrap().status(), 200);
    assert_eq!((emulator.count("create_token"), emulator.count("echo")), (1, 2));

    let narrow = TokenUpdate::new().scopes(&scopes(&[GET])).ttl(Ttl::hours(1).unwrap());
    assert_eq!(oauth.update_token(&first, narrow).await.unwrap().scopes().iter().count(), 1);
    assert_eq!(call(reqwest::Method::POST, echo(), &first).await, 401);
    oauth.invalidate(&first);
    let second = oauth.token(&scopes(&[GET, POST])).await.unwrap();
    assert!(second != first && call(reqwest::Method::POST, echo(), &second).await == 200);

    emulator.advance(Duration::from_secs(24 * 3600));
    let third = oauth.token(&scopes(&[GET, POST])).await.unwrap();
    assert!(third != second && call(reqwest::Method::GET, echo(), &third).await == 200);

    let counters = oauth.counters(Period::total()).await.unwrap();
    let of = |scope: &str| counters.get(&scope.parse::<Scope>().unwrap()).unwrap().requests();
    assert_eq!((of(GET), of(POST)), (2, 2));
    let paid: u64 = counters.iter().map(|(_, counter)| counter.paid()).sum();
    let spent = credit - oauth.credit().await.unwrap().amount();
    assert_eq!(spent.to_string().parse::<f64>().unwrap(), paid as f64 / 100.0);

    assert_eq!(oauth.list_tokens().await.unwrap().len(), emulator.count_valid_tokens(Api::Production));
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
    assert_eq!(emulator.count_valid_tokens(Api::Production), 0);
    assert_eq!(call(reqwest::Method::GET, echo(), &third).await, 401);
}

#[tokio::test]
async fn a_keliweb_token_is_obtained_by_password_cached_refreshed_and_dropped() {
    let emulator = Emulator::start().await.unwrap();
    let fatture = fatture(&emulator).clock(emulator.clock()).build().unwrap();
    let api = || emulator.url("/keliweb/api/invoices");

    let first = fatture.token().await.unwrap();
    assert_eq!(fatture.token().await.unwrap(), first);
    let mut request = http().get(api()).build().unwrap();
    fatture.authorize(&mut request).await.unwrap();
    assert_eq!(http().execute(request).await.unwrap().status(), 200);

    emulator.advance(Duration::from_secs(3600));
    let second = fatture.token().await.unwrap();
    assert_eq!(call(reqwest::Method::GET, api(), &first).await, 401);
    assert_eq!(call(reqwest::Method::GET, api(), &second).await, 200);
    assert_eq!((emulator.count("password_grant"), emulator.count("refresh")), (1, 1));

    emulator.revoke_all();
    fatture.invalidate(&second);
    let third = fatture.token().await.unwrap();
    assert_eq!(call(reqwest::Method::GET, api(), &third).await, 200);
    assert_eq!((emulator.count("password_grant"), emulator.count("refresh")), (2, 2));
    fatture.clear().await.unwrap();
    fatture.token().await.unwrap();
    assert_eq!((emulator.count("password_grant"), emulator.count("refresh")), (3, 2));
}

#[test]
fn hundreds_of_schedules_of_openapi_keep_every_promise() {
    keep_every_promise(Kind::Openapi, [700, 150, 70]);
}

#[test]
fn hundreds_of_schedules_of_keliweb_keep_every_promise() {
    keep_every_promise(Kind::Keliweb, [300, 150, 50]);
}

/// Runs 200 random schedules, or with `GETTONE_SEED` that one alone, and prints its steps. More than `least` tokens are renewed, answers lost
/// and requests given up: a schedule in which nothing happens keeps every promise too.
fn keep_every_promise(kind: Kind, least: [usize; 3]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let alone = std::env::var("GETTONE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let mut broken = Vec::new();
    let (mut happened, mut ended_by_refresh) = ([0; 3], 0);
    for seed in alone.map_or(0..200, |seed| seed..seed + 1) {
        let mut trail = String::new();
        match runtime.block_on(schedule(seed, kind, &mut trail)) {
            Ok(model) => {
                let these = [model.renewed, model.answers_lost, model.given_up];
                happened.iter_mut().zip(these).for_each(|(sum, this)| *sum += this);
                ended_by_refresh += model.ended_by_refresh;
            }
            Err(why) => broken.push(format!("seed {seed}: {kind:?}: {why}")),
        }
        if alone.is_some() {
            println!("{kind:?}\n{trail}");
        }
    }
    println!("{kind:?}: renewed, lost, given up: {happened:?}; {ended_by_refresh} ended by a refresh");
    assert!(broken.is_empty(), "{} broken\n{}", broken.len(), broken.join("\n"));
    assert!(alone.is_some() || happened.iter().zip(least).all(|(sum, least)| *sum > least), "{happened:?}");
}

async fn schedule(seed: u64, kind: Kind, trail: &mut String) -> Result<Model, Broken> {
    let mut rng = Rng::with_seed(seed);
    // The client draws the same random numbers each time too.
    fastrand::seed(seed);
    let mut world = World::new(kind, &mut rng).await;
    let mut model = Model::new(world.ttl, world.has_store());
    let _ = writeln!(trail, "ttl {} store {}", world.ttl, world.has_store());
    let (mut faults, mut dropped) = (0, 0);
    for _ in 0..40 {
        let ttl = world.ttl * 1000;
        match rng.u8(..100) {
            0..50 => {
                let key = world.keys()[rng.usize(..world.keys().len())];
                let way = rng.u8(..3);
                faults += step(&mut world, &mut model, &mut rng, (key, way), trail).await?;
            }
            50..70 => {
                let spans =
                    [1000, 30_000, 300_000, ttl / 2, ttl * 92 / 100, ttl * 98 / 100, ttl, ttl + 1000, 10_800_000];
                let span = spans[rng.usize(..spans.len())];
                let _ = writeln!(trail, "advance {span}");
                world.advance(span);
            }
            70..74 => {
                let span = rng.i64(1..2 * ttl);
                let _ = writeln!(trail, "sleep {span}");
                world.sleep(span);
            }
            74..79 => {
                let most = if rng.bool() { 60_000 } else { 2 * ttl };
                let span = rng.i64(-most..most);
                let _ = writeln!(trail, "correct {span}");
                world.correct(span);
            }
            79..91 => {
                let kinds = [
                    Fault::Status(500),
                    Fault::Status(503),
                    Fault::Html(502),
                    Fault::StatusWithRetryAfter(429, Duration::from_secs(rng.u64(..60))),
                    Fault::Status(401),
                    Fault::LostRequest,
                    Fault::LostResponse,
                    Fault::LostResponse,
                    Fault::TruncatedResponse,
                ];
                let (lists, times, fault) = (rng.u8(..5) == 0, rng.usize(1..6), kinds[rng.usize(..kinds.len())]);
                let _ = writeln!(trail, "fail {lists} {times} {fault:?}");
                world.fail(lists, times, fault);
            }
            91..94 => {
                let _ = writeln!(trail, "no more faults");
                world.clear_faults();
            }
            94..96 => {
                let _ = writeln!(trail, "restart");
                model.restarted(|token| world.is_alive(token));
                world.restart();
                dropped += 1;
            }
            96..97 => {
                let _ = writeln!(trail, "revoked at the service");
                world.emulator.revoke_all();
            }
            97..98 => {
                let _ = writeln!(trail, "forget");
                world.clear().await.map_err(|error| error.to_string())?;
                model.forgotten();
                dropped += 1;
            }
            _ => revoke(&mut world, &mut model, trail).await?,
        }
        let may_live = model.may_live(faults, dropped);
        let living = world.living();
        if kind == Kind::Keliweb && living > may_live {
            return Err(format!("{living} pairs live where {may_live} may"));
        }
    }

    let _ = writeln!(trail, "the end");
    world.clear_faults();
    world.advance(5 * 3_600_000);
    for &key in world.keys() {
        // After a rejected token is dropped, the next one must be valid.
        let mut good = false;
        for _ in 0..2 {
            let before = world.now();
            let token = world.token(key, 1).await.map_err(|error| format!("no token in the end: {error}"))?;
            world.settle().await;
            let seen = world.look();
            model.called(key, (before, world.now()), &seen, Some(token.expose()))?;
            good = world.call(key, &token).await == 200;
            world.settle().await;
            if good {
                break;
            }
            world.invalidate(&token);
            model.invalidated(token.expose(), world.now());
            world.advance(11 * 60_000);
        }
        if !good {
            return Err("no good token in the end".to_owned());
        }
    }
    revoke(&mut world, &mut model, trail).await?;
    Ok(model)
}

/// Requests a token, and calls an endpoint with it. Returns how many faults the client met.
async fn step(
    world: &mut World,
    model: &mut Model,
    rng: &mut Rng,
    (key, way): (usize, u8),
    trail: &mut String,
) -> Result<usize, Broken> {
    let (before, asked_at) = (world.now(), world.service.now());
    let was_alive = world.alive();
    let token: Result<AccessToken, Error> = world.token(key, way).await;
    // A refresh in the background may move the clock further.
    world.settle().await;
    let (seen, after) = (world.look(), world.now());
    let told =
        token.as_ref().map(|token| token.expose()[token.expose().len() - 6..].to_owned()).map_err(ToString::to_string);
    let _ = writeln!(trail, "call {key} {way}: {told:?} {:?} {:?} {before:?}", seen.asked, seen.lists);
    let given = token.as_ref().ok().map(|token| token.expose());
    model.called(key, (before, after), &seen, given)?;
    let Ok(token) = token else { return Ok(seen.faults()) };
    let alive = world.is_alive(token.expose());
    let status = world.call(key, &token).await;
    world.settle().await;
    if (status == 200) != alive {
        return Err(format!("{status} for a token that is alive: {alive}"));
    }
    if status != 200 {
        // By the time of the call, not the one to which a refresh in the background moved the clock.
        let issued = world.emulator.tokens();
        let ended = issued.iter().any(|it| it.token.expose() == token.expose() && it.expires_at <= asked_at);
        if ended && !model.is_excused(token.expose(), after) {
            return Err("a token is sent that is over".to_owned());
        }
        // A refresh at Keliweb ends the previous token, also one that was returned just now. `refreshes.rs` tests that.
        let was_alive = was_alive.iter().any(|alive| alive.expose() == token.expose());
        model.ended_by_refresh += usize::from(was_alive && seen.renewed());
        if rng.u8(..10) < 7 {
            let _ = writeln!(trail, "refused, invalidated");
            world.invalidate(&token);
            model.invalidated(token.expose(), world.now());
        }
    }
    Ok(seen.faults())
}

async fn revoke(world: &mut World, model: &mut Model, trail: &mut String) -> Result<(), Broken> {
    let Client::Openapi { oauth, .. } = &world.client else { return Ok(()) };
    let result = oauth.revoke_created().await;
    let _ = writeln!(trail, "revoke: {result:?}");
    world.settle().await;
    let seen = world.look();
    match result {
        Ok(_) => model.revoked(|token| world.is_alive(token)),
        // The search for a lost token failed.
        Err(_) if seen.faults() > 0 => {
            model.half_revoked();
            Ok(())
        }
        Err(error) => Err(format!("not revoked: {error}")),
    }
}

/// Starts a service whose clock does not follow when the client's clock is set.
async fn apart() -> (Arc<ManualClock>, Emulator) {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    let clock = Arc::new(ManualClock::new(start));
    let service = ServiceTime::new(&clock, start);
    (clock, Emulator::builder().clock(Arc::new(service)).throttle(None).start().await.unwrap())
}

#[tokio::test]
async fn a_clock_that_is_set_forward_leaves_no_token_behind() {
    let (clock, emulator) = apart().await;
    let oauth = oauth(&emulator).clock(Arc::clone(&clock) as _).build().unwrap();
    oauth.token(&scopes(&[GET])).await.unwrap();
    clock.set(clock.now() + Duration::from_secs(2 * 86_400));
    oauth.token(&scopes(&[POST])).await.unwrap();
    oauth.revoke_created().await.unwrap();
    assert_eq!(emulator.count_valid_tokens(Api::Production), 0);
}

#[tokio::test]
async fn a_lost_token_is_found_after_the_clock_was_set() {
    let (clock, emulator) = apart().await;
    let oauth = oauth(&emulator).clock(Arc::clone(&clock) as _).retry(gettone::Retry::none()).build().unwrap();
    emulator.fail_next_on(1, "POST /token", Fault::LostResponse);
    emulator.fail_next_on(1, "GET /token", Fault::Status(503));
    oauth.token(&scopes(&[GET])).await.unwrap_err();
    clock.set(clock.now() - Duration::from_secs(60));
    oauth.revoke_created().await.unwrap();
    assert_eq!(emulator.count_valid_tokens(Api::Production), 0);
}

/// A clock that moves on whenever it is asked, as before and after a request.
#[derive(Debug)]
struct Slow {
    clock: Arc<ManualClock>,
    by: Mutex<Duration>,
}

impl Clock for Slow {
    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        let asked = self.clock.monotonic();
        self.clock.advance(*self.by.lock().unwrap());
        asked
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.clock.sleep(duration)
    }
}

#[tokio::test]
async fn a_lost_token_is_found_however_long_the_list_takes_to_come() {
    let (clock, emulator) = apart().await;
    clock.advance(Duration::from_secs(3600));
    let slow = Arc::new(Slow { clock, by: Mutex::default() });
    let oauth = oauth(&emulator).clock(Arc::clone(&slow) as _).retry(gettone::Retry::none()).build().unwrap();
    emulator.fail_next_on(1, "POST /token", Fault::LostResponse);
    emulator.fail_next_on(1, "GET /token", Fault::Status(503));
    oauth.token(&scopes(&[GET])).await.unwrap_err();
    *slow.by.lock().unwrap() = Duration::from_secs(15);
    assert_eq!(oauth.revoke_created().await.unwrap(), 1);
    assert_eq!(emulator.count_valid_tokens(Api::Production), 0);
}

#[tokio::test]
async fn a_rejected_token_does_not_come_back_from_the_store() {
    let (clock, emulator) = apart().await;
    let builder = oauth(&emulator).clock(Arc::clone(&clock) as _);
    let oauth = builder.store(gettone::store::MemoryStore::new()).build().unwrap();
    let own = oauth.token(&scopes(&[GET])).await.unwrap();
    let broad = oauth.token(&scopes(&[GET, POST])).await.unwrap();
    oauth.invalidate(&own);
    assert_eq!(oauth.token(&scopes(&[GET])).await.unwrap(), broad);
    clock.advance(Duration::from_secs(60));
    // The client drops the broad token too, and the store still has the first.
    oauth.invalidate(&broad);
    assert_ne!(oauth.token(&scopes(&[GET])).await.unwrap(), own);
}

#[tokio::test]
async fn two_tokens_that_were_lost_together_are_both_found() {
    let (clock, emulator) = apart().await;
    let oauth = oauth(&emulator).clock(Arc::clone(&clock) as _).retry(gettone::Retry::none()).build().unwrap();
    emulator.fail_next_on(2, "POST /token", Fault::LostResponse);
    emulator.fail_next_on(2, "GET /token", Fault::Status(503));
    oauth.token(&scopes(&[GET])).await.unwrap_err();
    oauth.token(&scopes(&[GET, POST])).await.unwrap_err();
    clock.advance(Duration::from_secs(10));
    // The client claims the broader one, which is newer.
    oauth.token(&scopes(&[GET])).await.unwrap();
    oauth.revoke_created().await.unwrap();
    assert_eq!(emulator.count_valid_tokens(Api::Production), 0);
}

#[tokio::test]
async fn a_lost_token_that_was_granted_less_is_not_left_behind() {
    let (clock, emulator) = apart().await;
    let oauth = oauth(&emulator).clock(Arc::clone(&clock) as _).build().unwrap();
    emulator.grant_only(scopes(&[GET]));
    emulator.fail_next_on(1, "POST /token", Fault::LostResponse);
    oauth.token(&scopes(&[GET, POST])).await.unwrap_err();
    oauth.revoke_created().await.unwrap();
    assert_eq!(emulator.count_valid_tokens(Api::Production), 0);
}

#[tokio::test]
async fn a_token_that_lives_for_seconds_is_not_returned_after_its_expiry() {
    let (clock, emulator) = apart().await;
    let seconds = Ttl::seconds(10).unwrap();
    let oauth = oauth(&emulator).clock(Arc::clone(&clock) as _).ttl(seconds).build().unwrap();
    // The service's expiries are whole seconds.
    clock.advance(Duration::from_millis(900));
    oauth.token(&scopes(&[GET])).await.unwrap();
    clock.advance(Duration::from_millis(9_200));
    let token = oauth.token(&scopes(&[GET])).await.unwrap();
    assert_eq!(call(reqwest::Method::GET, emulator.url("/echo/me"), &token).await, 200);
}
