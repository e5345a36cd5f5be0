//! A command is lost, or the answer to one that was carried out. The store loses nothing.

use std::time::Duration;

use super::common::engine::{Engine, Fault, Monitor};
use super::frame::{Counts, Fleet, MINUTE, Setup, at_once};
use super::server::{Proxied, Sent, key};

/// Longer than a program waits for an answer, as that of users, also on a machine with much else to do.
const LOCK_LIFE: Duration = Duration::from_secs(5);

/// The commands, and which of them in a turn. The first that replaces the record is the claim, the second is the save.
const COMMANDS: [(&str, Sent, usize); 9] = [
    ("the first load", Sent::Load, 1),
    ("the load with the lock", Sent::Load, 4),
    ("the look before the lock", Sent::Look, 1),
    ("the lock", Sent::Lock, 1),
    ("the second lock", Sent::Lock, 2),
    ("the claim", Sent::Replace, 1),
    ("the save", Sent::Replace, 2),
    ("the extension", Sent::Extend, 1),
    ("the release", Sent::Release, 1),
];

#[test]
fn whatever_command_is_lost_no_token_is() {
    let faults = [Fault::CutBefore, Fault::CutAfter, Fault::DropReplies];
    let cases = faults.into_iter().flat_map(|fault| COMMANDS.chunks(3).map(move |commands| (fault, commands)));
    let cases = cases.flat_map(|(fault, some)| Engine::all().into_iter().map(move |engine| (fault, some, engine)));
    at_once(cases, |(fault, commands, engine)| {
        let setup = Setup { clients: 1, lock_life: Some(LOCK_LIFE), ..Setup::default() };
        let mut fleet = Fleet::without_programs(Proxied::start(engine), setup);
        let (through, direct) = (fleet.place.proxy.url(), fleet.place.server.url());
        fleet.members = (0..3).map(|_| fleet.program(&through)).collect();
        fleet.one_token();
        let name = key(&fleet.place.server, "token").unwrap();
        for &(what, command, nth) in commands {
            fleet.doing = format!("{fault:?} of {what}");
            // An exchange that is long enough for an extension.
            let latency = if command == Sent::Extend { LOCK_LIFE / 2 } else { Duration::ZERO };
            fleet.emulator.set_latency(latency);
            let (before, fired) = (fleet.counts(), fleet.place.proxy.fired());
            fleet.advance(61 * MINUTE);
            fleet.place.plan(command, nth, fault);
            let monitor = Monitor::start(&fleet.place.server);
            fleet.ask_all("get 10").iter().for_each(|asked| drop(asked.tokens()));
            let token = fleet.one_token();
            assert_eq!(fleet.place.proxy.fired(), fired + 1, "there is no such command");
            let one_refresh = Counts { passwords: 0, refreshes: 1, refused: 0 };
            assert_eq!(fleet.counts_since(before), one_refresh);
            let removals: Vec<_> = monitor.lines().into_iter().filter(|line| removes(line, &name)).collect();
            assert_eq!(removals, Vec::<String>::new());
            // The store has what the programs have.
            let new = fleet.program(&direct);
            assert_eq!(new.ask("get 1").tokens(), [token].into());
            assert_eq!(fleet.counts_since(before), one_refresh);
        }
    });
}

/// Returns whether a command to a server removes this key.
fn removes(line: &str, key: &str) -> bool {
    ["DEL", "UNLINK", "EXPIRE"].iter().any(|command| line.to_uppercase().contains(&format!("\"{command}\"")))
        && line.contains(&format!("\"{key}\""))
}
