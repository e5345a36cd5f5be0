//! The public values: what they accept, reject and print, and their schemas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "schemars")]
mod common;
#[cfg(feature = "schemars")]
#[path = "values/json.rs"]
mod json;
#[cfg(feature = "schemars")]
#[path = "values/schema.rs"]
mod schema;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock, SystemClock};
use gettone::openapi::v1::CounterLimit;
use gettone::openapi::v2::Limit;
use gettone::{Scope, ScopeList, ScopePattern, ScopeSet};

#[test]
fn a_set_is_the_same_however_it_is_built() {
    let set = ScopeSet::parse(["*:*/*", "GET:a.it/b", "POST:a.it/b"]).unwrap();
    let mixed = ["POST:a.it/b", "get:A.it/b", "*:*/*", "GET:a.it/b"];
    for other in [
        ScopeSet::parse(mixed).unwrap(),
        mixed.iter().map(|text| text.parse::<ScopePattern>().unwrap()).collect(),
        serde_json::from_value(mixed.as_slice().into()).unwrap(),
    ] {
        assert_eq!((&other, other.len()), (&set, 3));
        let texts: Vec<_> = other.iter().map(ScopePattern::as_str).collect();
        assert_eq!(serde_json::to_value(&other).unwrap(), serde_json::json!(texts));
    }
}

#[test]
fn a_list_keeps_its_order_and_its_duplicates() {
    let scope = |text: &str| text.parse::<Scope>().unwrap();
    let scopes = [scope("POST:a.it/b"), scope("POST:a.it/b"), scope("GET:a.it/b")];
    let list: ScopeList = scopes.iter().cloned().collect();
    assert_eq!(list.as_slice(), scopes);
    assert_eq!((&list).into_iter().cloned().collect::<Vec<_>>(), scopes);
    assert_eq!(list.into_iter().collect::<Vec<_>>(), scopes);
}

#[test]
fn a_scope_may_have_everything_that_dns_and_a_path_allow() {
    let label = "a".repeat(63);
    let host = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(host.len(), 253);
    for scope in [
        format!("GET:{host}/a"),
        "GET:a-b.xn--c-1.it/a".to_owned(),
        "GET:1.it/%20a".to_owned(),
        "DELETE:a.it/-._~!$&'()+;=:@/b%2C/.../..c".to_owned(),
    ] {
        assert_eq!(scope.parse::<Scope>().unwrap().as_str(), scope);
    }
    let one_more = format!("GET:{host}a/a");
    for scope in [&one_more, "GET:a-.it/a", "GET:a.-b.it/a", "GET:a.it/./a", "GET:a.it/.", "GET:a.it/a\u{7f}"] {
        assert!(scope.parse::<Scope>().unwrap_err().is_invalid_input(), "{scope}");
    }
}

#[test]
fn an_error_shows_the_start_of_an_invalid_scope() {
    let text = format!("FETCH:{}", "x".repeat(500));
    let error = text.parse::<Scope>().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("invalid scope \"FETCH:{}\"… at byte 0 ('F'): unknown method", "x".repeat(114))),
        "{error}"
    );
}

#[test]
fn display_output_can_be_padded() {
    assert_eq!(format!("{:>14}|", "GET:a.it/b".parse::<Scope>().unwrap()), "    GET:a.it/b|");
    assert_eq!(format!("{:<11}|{:<4}|", CounterLimit::Unlimited, CounterLimit::Limited(7)), "unlimited  |7   |");
    assert_eq!(format!("{:<11}|{:<4}|", Limit::<u64>::Unlimited, Limit::Limited(7)), "unlimited  |7   |");
    assert_eq!(format!("{:>8}|", Limit::<u64>::Unknown), " unknown|");
    assert_eq!(format!("{:?}", "*:*/*".parse::<ScopePattern>().unwrap()), "ScopePattern(*:*/*)");
}

#[test]
fn a_manual_clock_moves_only_when_it_is_moved() {
    let (start, second) = (SystemTime::UNIX_EPOCH, Duration::from_secs(1));
    let clock = ManualClock::new(start);
    assert_eq!((clock.now(), clock.monotonic()), (start, Duration::ZERO));
    clock.advance(second);
    assert_eq!((clock.now(), clock.monotonic(), clock.waits()), (start + second, second, vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_system_clock_waits_and_moves() {
    let (clock, hour) = (SystemClock::default(), Duration::from_secs(3600));
    for (limit, is_over) in [(hour - Duration::from_secs(1), false), (hour + Duration::from_secs(1), true)] {
        assert_eq!(tokio::time::timeout(limit, clock.sleep(hour)).await.is_ok(), is_over);
    }
    let before = clock.monotonic();
    let after = (0..10_000_000).map(|_| clock.monotonic()).find(|now| *now > before);
    assert!(after.is_some(), "time stands still");
}

/// Asserts that both times of a clock move together: between two looks at one of them, the other is between the two.
fn assert_moves_as_one(clock: &dyn Clock, advance: impl Fn(Duration) + Send + Sync) {
    let (start, began) = (clock.now(), clock.monotonic());
    let done = AtomicBool::new(false);
    let (torn, changes) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                advance(Duration::from_millis(1));
            }
        });
        let (mut last, mut torn, mut changes, mut reads) = (Duration::ZERO, None, 0, 0);
        // Until the clock has been read often enough while it moved; the last limit only ends a test that fails.
        while torn.is_none() && (reads < 200_000 || changes < 1_000 && reads < 100_000_000) {
            let before = clock.monotonic() - began;
            let now = clock.now().duration_since(start).unwrap();
            let after = clock.monotonic() - began;
            torn = (!(before..=after).contains(&now)).then_some((before, now, after));
            changes += usize::from(now != last);
            reads += 1;
            last = now;
        }
        done.store(true, Ordering::Relaxed);
        (torn, changes)
    });
    assert_eq!(torn, None);
    assert!(changes >= 1_000, "the clock moved {changes} times only");
}

#[test]
fn both_times_of_a_manual_clock_move_as_one() {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    assert_moves_as_one(&clock, |duration| clock.advance(duration));
}

#[cfg(feature = "emulator")]
#[tokio::test]
async fn both_times_of_the_emulators_clock_move_as_one() {
    let still = std::sync::Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let emulator = gettone::emulator::Emulator::builder().clock(still).start().await.unwrap();
    assert_moves_as_one(&*emulator.clock(), |duration| emulator.advance(duration));
}
