//! A server that hangs, or is away.

use std::time::Duration;

use gettone::emulator::IssuedToken;

use super::common::engine::{Engine, Mode};
use super::frame::{Counts, Fleet, MINUTE, Setup, at_once, until};
use super::server::Proxied;

/// How a server does not answer.
#[derive(Debug, Clone, Copy)]
enum Hang {
    /// The process is stopped.
    Stopped,
    /// `CLIENT PAUSE`: it reads, but does not write.
    Paused,
    /// Nothing comes through, and nothing is closed.
    BlackHole,
    /// The port is closed.
    Refused,
}

impl Hang {
    fn begin(self, at: &Proxied) {
        match self {
            Self::Stopped => at.server.stop(),
            Self::Paused => assert_eq!(at.server.command(&["CLIENT", "PAUSE", "600000", "WRITE"]), "OK".into()),
            Self::BlackHole => at.proxy.set(Mode::Hold),
            Self::Refused => at.proxy.set(Mode::Refuse),
        }
    }

    fn end(self, at: &Proxied) {
        match self {
            Self::Stopped => at.server.cont(),
            Self::Paused => assert_eq!(at.server.command(&["CLIENT", "UNPAUSE"]), "OK".into()),
            Self::BlackHole | Self::Refused => at.proxy.set(Mode::Pass),
        }
    }
}

/// The longest wait of a caller without a token for one.
fn limit() -> Duration {
    // The machine may be busy with other work.
    Duration::from_secs(if std::env::var_os("CI").is_some() { 12 } else { 4 })
}

#[test]
fn a_hanging_server_costs_a_good_token_nothing_and_another_a_few_seconds() {
    hang(&[Hang::Stopped, Hang::BlackHole, Hang::Refused]);
}

#[test]
fn so_does_one_that_takes_no_writes() {
    hang(&[Hang::Paused]);
}

fn hang(hangs: &[Hang]) {
    let cases = hangs.iter().flat_map(|hang| Engine::all().into_iter().map(move |engine| (*hang, engine)));
    at_once(cases, |(hang, engine)| {
        let mut fleet = Fleet::without_programs(Proxied::start(engine), Setup::default());
        let address = fleet.place.proxy.url();
        fleet.members = (0..3).map(|_| fleet.program(&address)).collect();
        let token = fleet.one_token();
        fleet.doing = format!("{hang:?}");
        hang.begin(&fleet.place);
        let (before, commands) = (fleet.counts(), fleet.place.proxy.commands().len());
        for asked in fleet.ask_all("get 10") {
            assert_eq!(asked.tokens(), [token.clone()].into());
        }
        assert_eq!(fleet.place.proxy.commands().len(), commands, "a caller with a good token asked the server");

        // A program in the refresh window must not send the shared refresh token: that would end the shared token.
        fleet.advance(57 * MINUTE);
        fleet.members[0].ask("get 10").tokens_within(limit());
        until("it has a token of its own", || fleet.counts() != before);
        let is_valid = |issued: IssuedToken| issued.token.expose() == token && issued.is_valid;
        assert!(fleet.emulator.tokens().into_iter().any(is_valid), "the refresh token of all was sent");

        // Two without a token, and one that has just started.
        fleet.advance(4 * MINUTE);
        for asked in fleet.members[1..].iter().map(|member| member.ask("get 10")).collect::<Vec<_>>() {
            asked.tokens_within(limit());
        }
        let new = fleet.program(&address);
        new.ask("get 10").tokens_within(limit());
        fleet.members.push(new);
        assert_eq!(fleet.counts_since(before).refreshes, 0, "the refresh token of all was sent");

        hang.end(&fleet.place);
        fleet.idle();
        let before = fleet.counts();
        fleet.advance(61 * MINUTE);
        fleet.ask_all("get 10").iter().for_each(|asked| drop(asked.tokens()));
        fleet.one_token();
        assert_eq!(fleet.counts_since(before), Counts { passwords: 0, refreshes: 1, refused: 0 });
    });
}
