//! A year in which a service is away again and again, for hours or for days, each time in another way:
//! `cargo test --features full --test end_to_end year -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock};
use gettone::emulator::{Emulator, Fault};
use gettone::openapi::{self, Ttl, v2};
use gettone::{AccessToken, Error};

use crate::common::http;
use crate::world::{fatture, oauth};
use crate::{GET, scopes};

/// How often the program asks for a token.
const STEP: Duration = Duration::from_secs(5 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// On which day an outage begins, how long it lasts, and what happens to each request meanwhile.
const OUTAGES: [(u32, Duration, Fault); 10] = [
    (20, Duration::from_secs(10 * 60), Fault::Status(500)),
    (50, HOUR, Fault::Html(503)),
    (80, Duration::from_secs(6 * 60 * 60), Fault::LostRequest),
    (110, Duration::from_secs(6 * 60 * 60), Fault::LostResponse),
    (140, DAY, Fault::StatusWithRetryAfter(429, HOUR)),
    (170, DAY, Fault::TruncatedResponse),
    // Longer than any token lives.
    (200, Duration::from_secs(3 * 24 * 60 * 60), Fault::Status(502)),
    (240, Duration::from_secs(3 * 24 * 60 * 60), Fault::LostResponse),
    // Longer than Keliweb's refresh tokens live.
    (280, Duration::from_secs(12 * 24 * 60 * 60), Fault::LostRequest),
    // A service that takes the client for a stranger.
    (330, DAY, Fault::Status(401)),
];

/// What happened in a year.
#[derive(Debug, Default)]
struct Year {
    calls: u32,
    /// The calls that got an error.
    failed: u32,
    /// The requests during outages.
    requests: usize,
}

/// Returns how long the client may go on without a token after an outage. It waits as long as the service asked for, and up to an hour after
/// a failure that seems permanent.
fn patience(fault: Fault) -> Duration {
    match fault {
        Fault::Status(401) | Fault::StatusWithRetryAfter(..) => HOUR,
        _ => 2 * STEP,
    }
}

/// Asks for a token all year long.
///
/// A call may fail only during an outage or soon after it, and only if the program holds no token that is valid.
async fn year(emulator: &Emulator, clock: &ManualClock, token: impl AsyncFn() -> Result<AccessToken, Error>) -> Year {
    let began = clock.monotonic();
    let mut year = Year::default();
    let mut last: Option<AccessToken> = None;
    for (day, length, fault) in OUTAGES {
        let (begin, end) = (began + day * DAY, began + day * DAY + length);
        while clock.monotonic() < begin {
            last = Some(step(&mut year, clock, &token).await.unwrap());
        }
        let before = emulator.requests().len();
        emulator.fail_next(usize::MAX, fault);
        while clock.monotonic() < end {
            match step(&mut year, clock, &token).await {
                Ok(token) => last = Some(token),
                Err(error) => {
                    year.failed += 1;
                    let held = last.as_ref().filter(|token| lives(emulator, clock, token));
                    assert!(held.is_none(), "day {day}, {fault:?}: an error in spite of a valid token: {error}");
                }
            }
        }
        year.requests += emulator.requests().len() - before;
        emulator.clear_faults();
        let ended = clock.monotonic();
        last = loop {
            match step(&mut year, clock, &token).await {
                Ok(token) => break Some(token),
                Err(error) => {
                    year.failed += 1;
                    let since = clock.monotonic() - ended;
                    assert!(since <= patience(fault), "day {day}, {fault:?}: after {since:?} still {error}");
                }
            }
        };
        assert!(last.as_ref().is_some_and(|token| lives(emulator, clock, token)), "day {day}, {fault:?}: a dead token");
    }
    while clock.monotonic() < began + 365 * DAY {
        step(&mut year, clock, &token).await.unwrap();
    }
    year
}

/// Lets the time of one step pass, and asks for a token. What runs in the background ends meanwhile.
async fn step(
    year: &mut Year,
    clock: &ManualClock,
    token: &impl AsyncFn() -> Result<AccessToken, Error>,
) -> Result<AccessToken, Error> {
    clock.advance(STEP);
    year.calls += 1;
    token().await
}

/// Returns whether the service accepts a token for another minute, so that the client has no reason to hold it back.
fn lives(emulator: &Emulator, clock: &ManualClock, token: &AccessToken) -> bool {
    let until = clock.now() + Duration::from_secs(60);
    let is_it = |issued: &gettone::emulator::IssuedToken| issued.token.expose() == token.expose();
    emulator.tokens().iter().any(|issued| is_it(issued) && issued.is_valid && issued.expires_at > until)
}

async fn service() -> (Emulator, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)));
    let emulator = Emulator::builder().clock(Arc::clone(&clock) as _).throttle(None).start().await.unwrap();
    (emulator, clock)
}

#[tokio::test]
#[ignore = "it takes minutes"]
async fn version_1_survives_a_year_of_outages() {
    let (emulator, clock) = service().await;
    let oauth = oauth(&emulator).clock(emulator.clock()).ttl(Ttl::days(1).unwrap()).build().unwrap();
    let scopes = scopes(&[GET]);
    let year = year(&emulator, &clock, async || oauth.token(&scopes).await).await;
    println!("{year:?}, {} tokens created", emulator.count("create_token"));
}

#[tokio::test]
#[ignore = "it takes minutes"]
async fn version_2_survives_a_year_of_outages() {
    let (emulator, clock) = service().await;
    let account = emulator.account();
    let credentials = openapi::Credentials::new(account.email(), account.production_key().clone());
    let builder = v2::Oauth::builder(credentials).base_url(emulator.production_v2_url()).http_client(http());
    let oauth = builder.clock(emulator.clock()).ttl(Ttl::days(1).unwrap()).build().unwrap();
    let scopes = scopes(&[GET]);
    let year = year(&emulator, &clock, async || oauth.token(&scopes).await).await;
    println!("{year:?}, {} tokens created", emulator.count("create_token"));
}

#[tokio::test]
#[ignore = "it takes minutes"]
async fn keliweb_survives_a_year_of_outages() {
    let (emulator, clock) = service().await;
    let fatture = fatture(&emulator).clock(emulator.clock()).build().unwrap();
    let year = year(&emulator, &clock, async || fatture.token().await).await;
    println!("{year:?}, {} refreshes, {} password grants", emulator.count("refresh"), emulator.count("password_grant"));
}
