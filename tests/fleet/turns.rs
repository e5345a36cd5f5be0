//! Turns without a fault: one exchange for each, whoever makes it.

use std::time::Duration;

use super::frame::{Counts, Fleet, MINUTE, Place, Setup, at_once};

const TURNS: usize = 20;

#[test]
fn two_hundred_clients_in_four_processes_make_one_exchange_for_each_turn() {
    at_once(Place::all(), |place| {
        let mut fleet = Fleet::start(place, 4, Setup { clients: 5, ..Setup::default() });
        for turn in 0..=TURNS {
            fleet.doing = format!("turn {turn}");
            let asked = fleet.ask_all("get 50");
            asked.iter().for_each(|asked| drop(asked.tokens()));
            fleet.one_token();
            let counts = fleet.counts();
            assert_eq!(counts, Counts { passwords: 1, refreshes: turn, refused: 0 });
            // Once all must wait for the next token, and once all still have one.
            fleet.advance(if turn % 2 == 0 { 61 * MINUTE } else { 57 * MINUTE });
        }
    });
}

#[test]
fn no_process_has_more_than_one_call_refused_after_a_refresh() {
    // The first one's clock may be ahead, so that it refreshes while the others still use the token.
    let cases = [0, 20].into_iter().flat_map(|ahead| Place::all().into_iter().map(move |place| (ahead, place)));
    at_once(cases, |(ahead, place)| {
        let mut fleet = Fleet::start(place, 8, Setup { clients: 1, ..Setup::default() });
        fleet.one_token();
        fleet.doing = format!("{ahead} s ahead");
        let (start, mut refused) = (53 * MINUTE, [0; 8]);
        fleet.advance(start);
        let mut left = 15;
        for second in (2..).step_by(2) {
            fleet.advance(Duration::from_secs(2));
            fleet.members[0].ask(&format!("at {}", start.as_secs() + second + ahead)).done();
            for (call, refused) in fleet.ask_all("call").iter().zip(&mut refused) {
                match &*call.wait() {
                    "200" => {}
                    "401" => *refused += 1,
                    status => panic!("{status}"),
                }
            }
            left -= usize::from(fleet.counts().refreshes > 0);
            if left == 0 {
                break;
            }
        }
        assert_eq!(fleet.counts(), Counts { passwords: 1, refreshes: 1, refused: 0 });
        let [first, others @ ..] = refused;
        assert!(first <= 1 && others.iter().all(|refused| *refused <= 1), "{refused:?}");
        // Each of the others learns from a refused call that its old token has ended.
        assert_eq!(others.contains(&0), ahead == 0, "{refused:?}");
    });
}

/// The table of `benches/README.md`: `cargo test --features full --test fleet day -- --ignored --nocapture`.
#[cfg(feature = "redis")]
#[test]
#[ignore = "it takes minutes"]
fn a_day_of_sixty_four_processes() {
    use crate::common::engine::Engine;

    let commands = |fleet: &Fleet| -> u64 {
        let Place::Server(_, server) = &fleet.place else { return 0 };
        let stats = server.command(&["INFO", "commandstats"]).text().to_owned();
        let lines =
            stats.lines().filter(|line| !["info", "hello", "auth", "ping"].iter().any(|name| line.contains(name)));
        let calls = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok();
        lines.filter_map(calls).sum()
    };
    for engine in Engine::all() {
        for size in [1, 64] {
            let mut fleet = Fleet::start(Place::start(engine), size, Setup { clients: 1, ..Setup::default() });
            fleet.one_token();
            let before = commands(&fleet);
            // A call every five minutes for a day.
            for _ in 0..24 * 12 {
                fleet.advance(5 * MINUTE);
                fleet.ask_all("get 1").iter().for_each(|asked| drop(asked.tokens()));
                fleet.idle();
            }
            let (counts, commands) = (fleet.counts(), commands(&fleet) - before);
            let each = commands as f64 / (24 * size) as f64;
            println!(
                "| {engine:?} | {size} | {} | {} | {} | {commands} | {each:.1} |",
                counts.passwords, counts.refreshes, counts.refused
            );
        }
    }
}
