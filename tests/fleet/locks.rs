//! Locks that are held for long, and locks that end too early.

use std::thread::sleep;
use std::time::Duration;

use super::common::engine::{Engine, Fault, Mode};
use super::frame::{Asked, Counts, Fleet, MINUTE, PATIENCE, Setup, at_once, until};
use super::server::{Proxied, Sent, key, record};

/// Long enough that a busy machine does not keep a holder from its extensions, which come three times in it.
const LOCK_LIFE: Duration = Duration::from_millis(1_500);

fn fleet(engine: Engine) -> Fleet<Proxied> {
    // No command fails while the proxy holds it.
    let setup = Setup { clients: 1, lock_life: Some(LOCK_LIFE), timeout: Some(PATIENCE), ..Setup::default() };
    let mut fleet = Fleet::without_programs(Proxied::start(engine), setup);
    // The first one through the proxy.
    let addresses = [fleet.place.proxy.url(), fleet.place.server.url(), fleet.place.server.url()];
    fleet.members = addresses.iter().map(|address| fleet.program(address)).collect();
    fleet.one_token();
    fleet
}

/// Begins a turn in which the first program refreshes, and the others wait for it. `meanwhile` is called before they do.
fn begin_turn(fleet: &mut Fleet<Proxied>, meanwhile: impl Fn(&Proxied)) -> Vec<Asked> {
    fleet.emulator.set_latency(10 * LOCK_LIFE);
    fleet.advance(61 * MINUTE);
    let before = fleet.counts();
    let mut asked = vec![fleet.members[0].ask("get 10")];
    until("a refresh", || fleet.counts() != before);
    meanwhile(&fleet.place);
    asked.extend(fleet.members[1..].iter().map(|member| member.ask("get 10")));
    asked
}

#[test]
fn a_lock_is_held_for_an_exchange_of_ten_times_its_life() {
    at_once(Engine::all(), |engine| {
        let mut fleet = fleet(engine);
        let asked = begin_turn(&mut fleet, |_| ());
        let server = &fleet.place.server;
        let (key, claim) = (key(server, "lock").unwrap(), record(server));
        let holder = || server.command(&["GET", &key]);
        let first = holder();
        loop {
            let now = holder();
            if record(server) != claim {
                break;
            }
            // It was not released yet.
            assert_eq!(now, first);
            sleep(Duration::from_millis(5));
        }
        asked.iter().for_each(|asked| drop(asked.tokens()));
        fleet.one_token();
        assert_eq!(fleet.counts(), Counts { passwords: 1, refreshes: 1, refused: 0 });
    });
}

#[test]
fn a_program_whose_lock_ends_too_early_gets_no_refresh_token_sent_twice() {
    at_once(Engine::all(), |engine| {
        let mut fleet = fleet(engine);
        let asked = begin_turn(&mut fleet, |place| {
            (0..1_000).for_each(|_| place.plan(Sent::Extend, 1, Fault::CutBefore));
        });
        asked.iter().for_each(|asked| drop(asked.tokens()));
        fleet.one_token();
        assert!(fleet.place.proxy.fired() > 0);
        let counts = fleet.counts_since(Counts { passwords: 1, refreshes: 0, refused: 0 });
        // Another one took it for dead.
        assert_eq!(counts, Counts { passwords: 1, refreshes: 1, refused: 0 });
    });
}

#[test]
fn a_claim_that_comes_too_late_is_none() {
    at_once(Engine::all(), |engine| {
        let mut fleet = fleet(engine);
        fleet.advance(61 * MINUTE);
        // With it, the proxy holds the extensions of the lock.
        fleet.place.plan(Sent::Replace, 1, Fault::Hold);
        let first = fleet.members[0].ask("get 10");
        until("the claim", || fleet.place.proxy.fired() == 1);
        let others: Vec<_> = fleet.members[1..].iter().map(|member| member.ask("get 10")).collect();
        others.iter().for_each(|asked| drop(asked.tokens()));
        fleet.place.proxy.set(Mode::Pass);
        first.tokens();
        fleet.one_token();
        assert_eq!(fleet.counts(), Counts { passwords: 1, refreshes: 1, refused: 0 });
    });
}
