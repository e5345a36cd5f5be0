//! Random schedules of several machines with one account and one store: kills, stops, lost calls, failovers, a flushed store, clocks that
//! jump. No refresh token is sent twice, and in the end all machines have one token.
//!
//! `GETTONE_SEEDS=10000 cargo test --lib schedules` runs as many schedules of all faults together, and a quarter of it of each kind.
//! `GETTONE_SEED=7` runs one.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::AtomicU64;

use super::claims::{Account, Call, NAME, Program, Service, program};
use super::*;

/// What may happen in a schedule.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    kills: bool,
    stops: bool,
    cuts: bool,
    failovers: bool,
    /// Whether a write waits for the replica.
    waits_for_replica: bool,
    flushes: bool,
    clocks: bool,
}

/// An engine with one replica, which is behind by a random time.
struct Engine {
    rng: fastrand::Rng,
    faults: Faults,
    /// Milliseconds.
    now: u64,
    record: Option<(u64, StoredToken)>,
    replica: Option<(u64, StoredToken)>,
    /// The number of the lock, and when it ends.
    lock: Option<(u64, u64)>,
    last_number: u64,
    /// The faults that happened.
    events: usize,
}

/// Long enough that a machine which is not stopped extends its lock in time.
const LOCK_TIME: u64 = 15_000;

impl Engine {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn version(&self) -> Option<Version> {
        self.record.as_ref().map(|(version, _)| Version::new(version.to_string()))
    }

    /// Returns what becomes of a call.
    fn fate(&mut self) -> Call {
        if !self.faults.cuts || self.rng.u32(..8) > 0 {
            return Call::Works;
        }
        self.events += 1;
        if self.rng.bool() { Call::Fails } else { Call::LosesAnswer }
    }
}

/// The engine as one machine reaches it.
#[derive(Clone)]
struct Connection {
    engine: Arc<Mutex<Engine>>,
    is_killed: Arc<AtomicBool>,
    /// The number of the lock that the machine knows it has.
    held: Arc<AtomicU64>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    async fn call<T>(&self, work: impl FnOnce(&mut Engine) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let (before, fate, after) = {
            let mut engine = self.engine.lock().unwrap();
            (engine.rng.usize(..3), engine.fate(), engine.rng.usize(..3))
        };
        for _ in 0..before {
            tokio::task::yield_now().await;
        }
        let done = match fate {
            Call::Fails => Err("cut off".into()),
            Call::Works => work(&mut self.engine.lock().unwrap()),
            Call::LosesAnswer | Call::NeverAnswers | Call::Late => {
                let lost = work(&mut self.engine.lock().unwrap());
                // After the engine is unlocked: a lost lock is never released.
                std::mem::forget(lost);
                Err("cut off".into())
            }
        };
        for _ in 0..after {
            tokio::task::yield_now().await;
        }
        done
    }
}

/// A lock that ends by itself if its machine was killed.
struct Guard {
    connection: Connection,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut engine = self.connection.engine.lock().unwrap();
        if !self.connection.is_killed.load(Ordering::SeqCst)
            && engine.lock.is_some_and(|(number, ..)| number == self.number)
        {
            engine.lock = None;
        }
    }
}

impl TokenStore for Connection {
    async fn load(&self, _: &str) -> Result<Option<Record>, StoreError> {
        self.call(|engine| {
            let record = engine.record.clone();
            Ok(record.map(|(version, token)| Record::new(Version::new(version.to_string()), token)))
        })
        .await
    }

    async fn replace(&self, _: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        self.call(|engine| {
            if engine.version().as_ref() != seen {
                return Ok(Replaced::Conflict);
            }
            let number = engine.number();
            engine.record = Some((number, token.clone()));
            if engine.faults.waits_for_replica {
                engine.replica = engine.record.clone();
            }
            Ok(Replaced::Done(Version::new(number.to_string())))
        })
        .await
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        self.call(|engine| {
            engine.record = None;
            Ok(())
        })
        .await
    }

    async fn lock(&self, _: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        for _ in 0..2_000 {
            let locked = self.call(|engine| {
                if engine.version().as_ref() != seen {
                    return Ok(Some((Locked::Changed, 0)));
                }
                if engine.lock.is_some_and(|(_, until)| engine.now < until) {
                    return Ok(None);
                }
                let number = engine.number();
                engine.lock = Some((number, engine.now + LOCK_TIME));
                let guard = Guard { connection: self.clone(), number };
                Ok(Some((Locked::Held(StoreLock::new(guard)), number)))
            });
            if let Some((locked, number)) = locked.await? {
                self.held.store(number, Ordering::SeqCst);
                return Ok(locked);
            }
            tokio::task::yield_now().await;
        }
        Ok(Locked::Busy)
    }
}

/// A program on a machine of its own.
struct Machine {
    number: usize,
    runtime: tokio::runtime::Runtime,
    cache: Cache<Program>,
    clock: Arc<ManualClock>,
    connection: Connection,
    callers: Vec<tokio::task::JoinHandle<Result<AccessToken, Error>>>,
    /// Until when it stands still, in the engine's milliseconds.
    stopped_until: u64,
}

impl Machine {
    fn start(number: usize, engine: &Arc<Mutex<Engine>>, service: &Arc<Service>, now: SystemTime) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let connection = Connection { engine: Arc::clone(engine), is_killed: Arc::default(), held: Arc::default() };
        let store = ReportingStore::new(AnyStore::new(connection.clone()), None);
        let time = Time::User(Arc::clone(&clock) as _);
        let cache = Cache::new(program(service, time.clone(), true), Some(store), time);
        Self { number, runtime, cache, clock, connection, callers: Vec::new(), stopped_until: 0 }
    }

    fn call(&mut self) {
        let cache = self.cache.clone();
        self.callers.push(self.runtime.spawn(async move { cache.get(&Account).await }));
    }

    /// Lets the machine do a little, and its time pass.
    fn step(&self, turns: usize, time: Duration) {
        self.clock.advance(time);
        self.runtime.block_on(async {
            tokio::time::advance(time).await;
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        });
        // The lock is extended while its machine runs.
        let mut engine = self.connection.engine.lock().unwrap();
        let until = engine.now + LOCK_TIME;
        let held = self.connection.held.load(Ordering::SeqCst);
        if let Some(lock) = engine.lock.as_mut().filter(|(number, _)| *number == held) {
            lock.1 = until;
        }
    }

    /// Returns the tokens that callers have got. All of them do, as the service is well.
    fn tokens(&mut self) -> Vec<String> {
        let (done, waiting) = std::mem::take(&mut self.callers).into_iter().partition(|caller| caller.is_finished());
        self.callers = waiting;
        let tokens = done.into_iter().map(|caller| self.runtime.block_on(caller).unwrap().unwrap());
        tokens.map(|token| token.expose().to_owned()).collect()
    }

    fn kill(self) {
        self.connection.is_killed.store(true, Ordering::SeqCst);
        drop(self.runtime);
    }
}

/// Runs a schedule. Returns the refresh tokens that were sent, how often the password was, and how many faults there were.
fn run(seed: u64, faults: Faults) -> (Vec<String>, usize, usize) {
    let engine = Engine {
        rng: fastrand::Rng::with_seed(seed),
        faults,
        now: 0,
        record: None,
        replica: None,
        lock: None,
        last_number: 0,
        events: 0,
    };
    let (engine, mut rng) = (Arc::new(Mutex::new(engine)), fastrand::Rng::with_seed(!seed));
    let service = Service::new();
    // The true time, which no machine need have.
    let mut now = service.clock.now();
    let mut machines: Vec<_> = (0..4).map(|number| Machine::start(number, &engine, &service, now)).collect();
    let mut is_calm = false;
    for step in 0..450 {
        if step == 400 {
            // From now on all is well.
            is_calm = true;
            engine.lock().unwrap().faults = Faults { waits_for_replica: faults.waits_for_replica, ..Faults::default() };
            machines.iter().for_each(|machine| machine.clock.set(now));
        }
        let index = rng.usize(..machines.len());
        let mut event = |chance: u32| {
            let happens = !is_calm && rng.u32(..chance) == 0;
            engine.lock().unwrap().events += usize::from(happens);
            happens
        };
        if faults.kills && event(25) {
            machines.remove(index).kill();
            machines.push(Machine::start(4 + step, &engine, &service, now));
        }
        if faults.stops && event(25) {
            machines[index].stopped_until = engine.lock().unwrap().now + 3 * LOCK_TIME;
        }
        if faults.failovers && event(40) {
            let mut engine = engine.lock().unwrap();
            (engine.record, engine.lock) = (engine.replica.clone(), None);
        }
        if faults.flushes && event(60) {
            let mut engine = engine.lock().unwrap();
            (engine.record, engine.replica, engine.lock) = (None, None, None);
        }
        if faults.clocks && event(60) {
            let ahead = rng.bool();
            let machine = &machines[index];
            machine.clock.set(if ahead { now + HOUR } else { now - HOUR });
        }
        if rng.u32(..40) == 0 {
            // The tokens enter their refresh window, or expire.
            let time = if rng.bool() { 57 * MINUTE } else { 2 * HOUR };
            now += time;
            machines.iter().for_each(|machine| machine.clock.advance(time));
            service.clock.advance(time);
        }
        if rng.u32(..10) == 0 {
            let mut engine = engine.lock().unwrap();
            engine.replica = engine.record.clone();
        }
        let time = Duration::from_millis(rng.u64(..300));
        now += time;
        service.clock.advance(time);
        let is_stopped = {
            let mut engine = engine.lock().unwrap();
            engine.now += u64::try_from(time.as_millis()).unwrap();
            !is_calm && engine.now < machines[index].stopped_until
        };
        machines
            .iter()
            .filter(|machine| machine.number != machines[index].number)
            .for_each(|machine| machine.clock.advance(time));
        if is_stopped {
            machines[index].clock.advance(time);
            continue;
        }
        if machines[index].callers.len() < 3 {
            machines[index].call();
        }
        let turns = rng.usize(..12);
        machines[index].step(turns, time);
        machines[index].tokens();
    }
    // Everybody finishes what it is at.
    let settle = |machines: &mut Vec<Machine>| {
        for turn in 0..100 {
            // Saves go on for some seconds after their callers.
            if turn >= 20 && machines.iter().all(|machine| machine.callers.is_empty()) {
                break;
            }
            for machine in machines.iter_mut() {
                engine.lock().unwrap().now += 250;
                machine.step(40, Duration::from_millis(250));
                machine.tokens();
            }
        }
        assert!(machines.iter().all(|machine| machine.callers.is_empty()), "seed {seed}: a caller waits");
    };
    settle(&mut machines);
    machines.iter().for_each(|machine| machine.clock.advance(2 * HOUR));
    service.clock.advance(2 * HOUR);
    machines.iter_mut().for_each(Machine::call);
    settle(&mut machines);
    let mut last = HashSet::new();
    for machine in &mut machines {
        machine.call();
        machine.step(40, Duration::ZERO);
        last.extend(machine.tokens());
    }
    assert_eq!(last.len(), 1, "seed {seed}: {last:?}");
    let kept = ReportingStore::new(AnyStore::new(machines[0].connection.clone()), None);
    let record = machines[0].runtime.block_on(kept.load(NAME)).unwrap().unwrap();
    let (token, marks) = record.token.unwrap();
    assert!(marks.claimed_at.is_none() && token.renewal.is_some(), "seed {seed}: a claim is left");
    assert!(last.contains(token.access_token.expose()), "seed {seed}");
    let events = engine.lock().unwrap().events;
    (service.sent(), service.passwords(), events)
}

/// Returns the seeds to try: a part of all, or the one of `GETTONE_SEED`.
fn seeds(part: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("GETTONE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("GETTONE_SEEDS").unwrap_or(200) / part,
    }
}

#[track_caller]
fn assert_sent_once(seed: u64, sent: &[String]) {
    let distinct: HashSet<_> = sent.iter().collect();
    assert_eq!(distinct.len(), sent.len(), "seed {seed}: {sent:?}");
}

#[test]
fn without_faults_the_password_is_used_once() {
    for seed in seeds(4) {
        let (sent, passwords, _) = run(seed, Faults::default());
        assert_sent_once(seed, &sent);
        assert_eq!(passwords, 1, "seed {seed}");
    }
}

#[test]
fn kills_and_stops_cost_one_password_each_at_most() {
    for seed in seeds(4) {
        for faults in [Faults { kills: true, ..Faults::default() }, Faults { stops: true, ..Faults::default() }] {
            let (sent, passwords, events) = run(seed, faults);
            assert_sent_once(seed, &sent);
            assert!(passwords <= 1 + events, "seed {seed}: {passwords} passwords after {events} faults");
        }
    }
}

#[test]
fn no_fault_makes_anybody_send_a_refresh_token_twice() {
    for seed in seeds(1) {
        let faults = Faults {
            kills: seed % 2 == 0,
            stops: seed % 3 == 0,
            cuts: true,
            failovers: seed % 5 == 0,
            waits_for_replica: true,
            flushes: seed % 7 == 0,
            clocks: seed % 11 == 0,
        };
        let (sent, passwords, events) = run(seed, faults);
        assert_sent_once(seed, &sent);
        assert!(passwords <= 1 + events, "seed {seed}: {passwords} passwords after {events} faults");
    }
}

/// After a failover that loses a claim, the refresh token is sent again, and the service rejects it, as documented.
#[test]
fn a_failover_that_loses_a_claim_costs_one_password_at_most() {
    let mut twice = 0;
    for seed in seeds(4) {
        let (sent, passwords, events) = run(seed, Faults { failovers: true, ..Faults::default() });
        assert!(passwords <= 1 + events, "seed {seed}: {passwords} passwords after {events} failovers");
        twice += usize::from(sent.iter().collect::<HashSet<_>>().len() < sent.len());
    }
    assert!(twice > 0, "a claim that is not waited for is never lost: the schedules try nothing");
}
