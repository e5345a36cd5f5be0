//! A server that loses all it has, or has no room.

use std::time::Duration;

use super::common::engine::{Engine, Server};
use super::frame::{Counts, Fleet, MINUTE, Place, Setup, at_once, until};
use super::server::key;

const PROGRAMS: usize = 3;

/// What happens to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Flushed,
    /// Killed, and started again with nothing.
    Restarted,
    /// It takes no more writes.
    Full,
    /// It takes them, and evicts every key.
    Evicting,
}

impl Loss {
    fn happen(self, server: &Server) {
        let set = |name, value| assert_eq!(server.command(&["CONFIG", "SET", name, value]), "OK".into());
        match self {
            Self::Flushed => assert_eq!(server.command(&["FLUSHALL"]), "OK".into()),
            Self::Restarted => server.restart(),
            Self::Full => set("maxmemory", "1"),
            Self::Evicting => {
                set("maxmemory-policy", "allkeys-lru");
                set("maxmemory", "1");
                until("the record is gone", || key(server, "token").is_none());
            }
        }
    }

    fn end(self, server: &Server) {
        let set = |name, value| assert_eq!(server.command(&["CONFIG", "SET", name, value]), "OK".into());
        set("maxmemory", "0");
        set("maxmemory-policy", "noeviction");
    }
}

#[test]
fn a_server_that_loses_everything_or_has_no_room_gets_nothing_sent_twice() {
    let losses = [Loss::Flushed, Loss::Restarted, Loss::Full, Loss::Evicting];
    let cases = losses.into_iter().flat_map(|loss| Engine::all().into_iter().map(move |engine| (loss, engine)));
    at_once(cases, |(loss, engine)| {
        let mut fleet = Fleet::start(Place::start(engine), PROGRAMS, Setup { clients: 1, ..Setup::default() });
        fleet.one_token();
        for (is_between, minutes) in [(true, 61), (true, 57), (false, 61), (false, 57)] {
            let when = if is_between { "before" } else { "in the middle of" };
            fleet.doing = format!("{loss:?} {when} a turn after {minutes} min");
            if is_between {
                loss.happen(fleet.place.server());
            }
            fleet.emulator.set_latency(Duration::from_millis(50));
            fleet.advance(minutes * MINUTE);
            let before = fleet.counts();
            let asked = fleet.ask_all("get 10");
            if !is_between {
                until("a refresh", || fleet.counts() != before);
                loss.happen(fleet.place.server());
            }
            asked.iter().for_each(|asked| drop(asked.tokens()));
            loss.end(fleet.place.server());
            fleet.idle();
            let counts = fleet.counts_since(before);
            assert_eq!(
                counts.refreshes,
                usize::from(!is_between),
                "{}: a refresh token that may be in the store",
                fleet.doing
            );
            let passwords = if loss == Loss::Flushed { 1 } else { PROGRAMS };
            assert!(counts.passwords <= passwords, "{}: {counts:?}", fleet.doing);

            let before = fleet.counts();
            fleet.advance(61 * MINUTE);
            fleet.ask_all("get 10").iter().for_each(|asked| drop(asked.tokens()));
            fleet.one_token();
            assert_eq!(fleet.counts_since(before), Counts { passwords: 0, refreshes: 1, refused: 0 });
        }
    });
}
