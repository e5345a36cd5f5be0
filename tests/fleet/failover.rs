//! The primary is killed, and the sentinels promote a replica, which may not have the last writes.

use std::fmt;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use gettone::store::{RedisStore, Replaced, StoredToken, TokenStore, Version};

use super::common::engine::{Engine, Options, Sentinels, Server};
use super::frame::{Counts, Fleet, MINUTE, PATIENCE, Setup, at_once, rounds};
use super::server::record;

struct Watched {
    engine: Engine,
    servers: Sentinels,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} and sentinels", self.engine)
    }
}

impl Watched {
    fn server(&self, port: u16) -> &Server {
        self.servers.servers().iter().find(|server| server.port() == port).unwrap()
    }

    /// Starts a primary, replicas, and sentinels of which only one begins a failover. Two that do may promote two replicas, and agree only
    /// after 20 s.
    fn start(engine: Engine, replicas: usize) -> Self {
        let servers = Sentinels::start(engine, replicas, Options::new());
        for (number, sentinel) in servers.sentinels().iter().enumerate() {
            let (name, value) = if number == 0 { ("quorum", "1") } else { ("down-after-milliseconds", "10000") };
            assert_eq!(sentinel.command(&["SENTINEL", "SET", Sentinels::NAME, name, value]), "OK".into());
        }
        Self { engine, servers }
    }

    fn address(&self) -> String {
        let ports = self.servers.ports().into_iter().map(|port| format!("127.0.0.1:{port}"));
        format!("redis+sentinel://{}/{}", ports.collect::<Vec<_>>().join(","), Sentinels::NAME)
    }
}

/// A program that needs a token looks for a writable server for three seconds. This is a little less, since it looks now and then.
const WAIT: Duration = Duration::from_millis(2_250);

/// Kills the primary in the middle of a turn, in each round. Calls `check` with the requests to the service meanwhile, and with how long no
/// server accepted a write.
fn fail_over(replicas: usize, check: impl Fn(Counts, Duration) + Sync) {
    at_once(Engine::all(), |engine| {
        // One is promoted.
        let place = Watched::start(engine, 1 + replicas);
        let address = place.address();
        let mut fleet = Fleet::without_programs(place, Setup { clients: 1, replicas, ..Setup::default() });
        fleet.members = (0..4).map(|_| fleet.program(&address)).collect();
        fleet.one_token();
        let store =
            fleet.runtime.block_on(RedisStore::builder(&address).prefix("probe").replicas(replicas).connect()).unwrap();
        for round in 0..rounds(3) {
            let primary = fleet.place.servers.master_port();
            let record = |place: &Watched| record(place.server(primary));
            let before = fleet.begin_turn(record);
            // No other server gets what the primary writes from now on.
            let mut lagging = Vec::new();
            if round % 4 == 2 {
                lagging.extend(fleet.place.servers.replicas().into_iter().map(Server::port));
            }
            lagging.iter().for_each(|port| fleet.place.server(*port).stop());
            if !lagging.is_empty() {
                // Otherwise they read it when they go on.
                fleet.place.server(primary).command(&["CLIENT", "KILL", "TYPE", "replica"]);
            }
            let mut asked: Vec<_> = fleet.members[1..].iter().map(|member| member.ask("get 10")).collect();
            sleep(fleet.wait_for_moment(round, &before, record));
            fleet.place.server(primary).kill();
            lagging.iter().for_each(|port| fleet.place.server(*port).cont());
            let (written, failed_over) = thread::scope(|scope| {
                let (killed, servers) = (Instant::now(), &fleet.place.servers);
                let failover = scope.spawn(move || {
                    servers.wait_for_failover(primary);
                    killed.elapsed()
                });
                fleet.runtime.block_on(write(&store, &format!("round {round}")));
                (killed.elapsed(), failover.join().unwrap())
            });
            // The sentinels may need a second election.
            let limit = Duration::from_secs(5).max(failed_over + Duration::from_secs(1));
            assert!(written <= limit, "written after {written:?}, and the failover was after {failed_over:?}");
            // One that comes as soon as there is a new primary.
            asked.push(fleet.members[0].ask("get 10"));
            asked.iter().for_each(|asked| drop(asked.tokens()));
            fleet.idle();
            let now = fleet.counts();
            check(before.counts.until(now), written);

            fleet.place.servers.revive();
            fleet.emulator.set_latency(Duration::ZERO);
            fleet.advance(61 * MINUTE);
            fleet.ask_all("get 10").iter().for_each(|asked| drop(asked.tokens()));
            fleet.one_token();
            let then = now.until(fleet.counts());
            // Sentinels sometimes promote two replicas, and later drop what one of them has.
            assert!(then.refreshes + then.passwords == 1 && then.refused == 0, "{then:?}");
        }
    });
}

#[test]
fn a_failover_gets_nothing_sent_twice_if_a_replica_has_each_claim() {
    fail_over(1, |counts, _| assert_eq!(counts.refused, 0, "a refresh token was sent twice"));
}

/// A longer failover costs each program a password grant: it does not wait forever.
#[test]
fn a_failover_costs_one_password_at_most() {
    fail_over(0, |counts, written| {
        let passwords = if written < WAIT { 1 } else { 4 };
        assert!(counts.passwords <= passwords && counts.refused <= 1, "{counts:?}, written after {written:?}");
    });
}

/// Writes until it succeeds.
async fn write(store: &RedisStore, name: &str) {
    let json = r#"{"version":2,"obtained_at":0,"expires_at":3600000,"discard_after":3600000,"sealed":"t"}"#;
    let (token, start) = (StoredToken::from_json(json).unwrap(), Instant::now());
    let mut seen: Option<Version> = None;
    loop {
        let failure = match store.replace(name, seen.as_ref(), &token).await {
            Ok(Replaced::Done(_)) => return,
            // The write was made, and not confirmed.
            Ok(_) => match store.load(name).await {
                Ok(record) => {
                    seen = record.map(|record| record.version().clone());
                    continue;
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        assert!(start.elapsed() < PATIENCE, "{failure}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
