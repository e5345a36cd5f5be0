//! What the tests share: the service, the place of the store, and the programs.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gettone::clock::{Clock, ManualClock};
use gettone::emulator::{Api, Emulator};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

#[cfg(feature = "redis")]
use crate::common::engine::{Engine, Options, Server};
use crate::program::{self, CLIENTS, LOCK_LIFE, REPLICAS, SERVICE, STORE, TIMEOUT};

pub const MINUTE: Duration = Duration::from_secs(60);

/// How long an immediate answer may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How much longer than necessary a caller may wait, since the machine is busy.
pub const SLACK: Duration = Duration::from_secs(4);

/// Where the programs have their store.
#[derive(Debug)]
pub enum Place {
    File(Folder),
    #[cfg(feature = "redis")]
    Server(Engine, Box<Server>),
}

impl Place {
    /// Returns a file, and each server that this machine has.
    pub fn all() -> Vec<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("gettone-fleet-{}-{number}", std::process::id()));
        let mut all = vec![Self::File(Folder(folder))];
        #[cfg(feature = "redis")]
        all.extend(Engine::all().into_iter().map(Self::start));
        all
    }

    #[cfg(feature = "redis")]
    pub fn start(engine: Engine) -> Self {
        Self::Server(engine, Box::new(Server::start(engine, Options::new())))
    }

    pub fn address(&self) -> String {
        match self {
            Self::File(folder) => folder.0.join("tokens.json").to_str().unwrap().to_owned(),
            #[cfg(feature = "redis")]
            Self::Server(_, server) => server.url(),
        }
    }

    /// Returns a text that changes with each write of the record.
    pub fn record(&self) -> String {
        match self {
            Self::File(_) => std::fs::read_to_string(self.address()).unwrap_or_default(),
            #[cfg(feature = "redis")]
            Self::Server(_, server) => crate::server::record(server),
        }
    }

    /// Whether a lock ends by itself if its holder stands still.
    pub fn has_short_locks(&self) -> bool {
        !matches!(self, Self::File(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("file"),
            #[cfg(feature = "redis")]
            Self::Server(engine, _) => write!(f, "{engine:?}"),
        }
    }
}

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a test with each of these, all at the same time.
pub fn at_once<T: Send>(each: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    let (test, name) = (&test, thread::current().name().unwrap_or_default().to_owned());
    thread::scope(|scope| {
        for one in each {
            // A panic names the thread, and so the test.
            thread::Builder::new().name(name.clone()).spawn_scoped(scope, move || test(one)).unwrap();
        }
    });
}

/// Returns how many rounds a test with random moments runs.
pub fn rounds(usual: usize) -> usize {
    std::env::var("GETTONE_ROUNDS").map_or(usual, |rounds| rounds.parse().unwrap())
}

/// How the programs of a fleet are started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Clients in each program, all with the same store.
    pub clients: usize,
    /// How long a lock lasts that its holder does not extend. `None`: as long as that of users.
    pub lock_life: Option<Duration>,
    /// How long a command may take. `None`: as long as those of users.
    pub timeout: Option<Duration>,
    pub replicas: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self { clients: 2, lock_life: None, timeout: None, replicas: 0 }
    }
}

/// Programs that share the tokens of one account.
pub struct Fleet<P: fmt::Display = Place> {
    pub members: Vec<Member>,
    pub place: P,
    pub emulator: Emulator,
    pub rng: Rng,
    seed: u64,
    setup: Setup,
    clock: Arc<ManualClock>,
    seconds: u64,
    /// What the test is doing, for the message if it fails.
    pub doing: String,
    pub runtime: Runtime,
}

/// The requests that the service got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub passwords: usize,
    /// Refresh tokens that the service accepted, each at most once.
    pub refreshes: usize,
    /// Refresh tokens that the service refused. It issued each of them, so somebody had sent them before.
    pub refused: usize,
}

impl Counts {
    /// Returns what the service got from this moment to another.
    pub fn until(self, now: Self) -> Self {
        Self {
            passwords: now.passwords - self.passwords,
            refreshes: now.refreshes - self.refreshes,
            refused: now.refused - self.refused,
        }
    }
}

impl Fleet {
    /// Starts this many programs with their store in this place.
    pub fn start(place: Place, size: usize, setup: Setup) -> Self {
        let address = place.address();
        let mut fleet = Self::without_programs(place, setup);
        fleet.members = (0..size).map(|_| fleet.program(&address)).collect();
        fleet
    }
}

impl<P: fmt::Display> Fleet<P> {
    pub fn without_programs(place: P, setup: Setup) -> Self {
        let clock = Arc::new(ManualClock::new(program::beginning()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let builder = Emulator::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).throttle(None);
        let emulator = runtime.block_on(builder.start()).unwrap();
        let seed = std::env::var("GETTONE_SEED").map_or(16, |seed| seed.parse().unwrap());
        let (members, rng, doing) = (Vec::new(), Rng::with_seed(seed), String::new());
        Self { members, place, emulator, rng, seed, setup, clock, seconds: 0, doing, runtime }
    }

    /// Starts a program with its store at this address, and the time of the others.
    pub fn program(&self, address: &str) -> Member {
        let member = Member::start(&self.emulator.keliweb_url(), address, &self.setup);
        member.ask(&format!("at {}", self.seconds)).done();
        member
    }

    /// Moves the time of the service and of all programs, but for those that were killed.
    pub fn advance(&mut self, duration: Duration) {
        self.clock.advance(duration);
        self.seconds += duration.as_secs();
        let moved: Vec<_> = self.members.iter().map(|member| member.ask(&format!("at {}", self.seconds))).collect();
        moved.iter().for_each(Asked::done);
    }

    /// Sends an order to all programs.
    pub fn ask_all(&self, order: &str) -> Vec<Asked> {
        self.members.iter().map(|member| member.ask(order)).collect()
    }

    /// Waits until no program requests or saves a token.
    pub fn idle(&self) {
        self.ask_all("idle").iter().for_each(Asked::done);
    }

    /// Waits until all is quiet, and returns the token that every caller of every program then has, which the service accepts.
    pub fn one_token(&self) -> String {
        self.idle();
        let tokens: BTreeSet<_> = self.ask_all("get 10").iter().flat_map(Asked::tokens).collect();
        assert_eq!(tokens.len(), 1, "not one token for all: {:?}", self.numbers(&tokens));
        let token = tokens.into_iter().next().unwrap();
        let issued = self.emulator.tokens();
        let found = issued.iter().find(|issued| issued.token.expose() == token).unwrap();
        assert!(found.is_valid, "the service has ended the token of all: {:?}", self.numbers(&[token].into()));
        token
    }

    /// Returns which tokens of the service these are, by their places in the order in which it issued them.
    fn numbers(&self, tokens: &BTreeSet<String>) -> Vec<Option<usize>> {
        let issued = self.emulator.tokens();
        tokens.iter().map(|token| issued.iter().position(|issued| issued.token.expose() == token)).collect()
    }

    pub fn counts(&self) -> Counts {
        let requests = self.emulator.requests();
        let count = |operation: &str, is_taken: bool| {
            let is_counted = |status| (status == Some(200)) == is_taken;
            requests.iter().filter(|sent| sent.operation == operation && is_counted(sent.status)).count()
        };
        assert_eq!(count("password_grant", false), 0, "a password was refused");
        Counts {
            passwords: count("password_grant", true),
            refreshes: count("refresh", true),
            refused: count("refresh", false),
        }
    }

    /// Returns the requests since then, after it has checked that no refresh token was sent twice.
    #[track_caller]
    pub fn counts_since(&self, before: Counts) -> Counts {
        let now = self.counts();
        assert_eq!(now.refused, 0, "a refresh token was sent twice");
        before.until(now)
    }
}

/// The state before a turn in which something happens to a program or a server.
pub struct Before {
    pub counts: Counts,
    pub latency: Duration,
    record: String,
}

impl<P: fmt::Display> Fleet<P> {
    /// Moves the time into the refresh window of the token, or past its end, and makes the service slow or not.
    pub fn begin_turn(&mut self, record: impl Fn(&P) -> String) -> Before {
        let latency = Duration::from_millis(self.rng.choice([0, 15, 40]).unwrap());
        let minutes = if self.rng.bool() { 61 } else { 57 };
        self.doing = format!("after {minutes} min, the service takes {latency:?}");
        self.emulator.set_latency(latency);
        self.advance(minutes * MINUTE);
        Before { counts: self.counts(), latency, record: record(&self.place) }
    }

    /// Waits for nothing, for a claim, or until the service has a refresh token, in the order of the rounds. Returns how much later the
    /// moment of this round is.
    pub fn wait_for_moment(&mut self, round: usize, before: &Before, record: impl Fn(&P) -> String) -> Duration {
        let (begin, width) = match round % 3 {
            // More than a refresh takes without the answer of the service.
            0 => ("the beginning", before.latency + Duration::from_millis(30)),
            1 => {
                until("a claim", || record(&self.place) != before.record);
                ("the claim", Duration::from_millis(1))
            }
            _ => {
                until("a refresh", || self.counts() != before.counts);
                ("the refresh", before.latency.max(Duration::from_millis(1)))
            }
        };
        let moment = Duration::from_micros(self.rng.u64(..width.as_micros() as u64));
        self.doing = format!("round {round}, {moment:?} after {begin}, {}", self.doing);
        moment
    }
}

/// Prints what the test did and what the programs printed, if the test fails.
impl<P: fmt::Display> Drop for Fleet<P> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("with {}, seed {}: {}", self.place, self.seed, self.doing);
            for request in self.emulator.requests().iter().filter(|request| request.api == Api::Keliweb) {
                let at = request.at.duration_since(program::beginning()).unwrap_or_default();
                println!("  {:>7} s {} {:?}", at.as_secs(), request.operation, request.status);
            }
            for (number, member) in self.members.iter().enumerate() {
                let notes = &member.said.state.lock().unwrap().notes;
                for (time, note) in &notes[notes.len().saturating_sub(30)..] {
                    println!("  program {number}: {:>7} ms {note}", time.as_millis());
                }
            }
        }
        // Before the service, which the programs would otherwise miss.
        self.members.clear();
    }
}

/// One program.
#[derive(Debug)]
pub struct Member {
    process: Child,
    orders: ChildStdin,
    said: Arc<Said>,
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Said {
    state: Mutex<SaidState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SaidState {
    answers: HashMap<usize, (String, Instant)>,
    /// The orders that it got, failures of its store, and whatever else it printed, each with its time.
    notes: Vec<(Duration, String)>,
    has_ended: bool,
}

impl SaidState {
    fn note(&mut self, note: String) {
        static START: OnceLock<Instant> = OnceLock::new();
        self.notes.push((START.get_or_init(Instant::now).elapsed(), note));
    }
}

impl Said {
    fn listen(&self, from: impl Read) {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut state = self.state.lock().unwrap();
            match line.strip_prefix("> ").and_then(|answer| answer.split_once(' ')) {
                Some((number, answer)) => {
                    state.answers.insert(number.parse().unwrap(), (answer.to_owned(), Instant::now()));
                }
                None if line.is_empty() => {}
                None => state.note(line),
            }
            self.changed.notify_all();
        }
    }
}

impl Member {
    fn start(service: &str, store: &str, setup: &Setup) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "program_of_a_fleet", "--ignored", "--nocapture"]);
        command.env(SERVICE, service).env(STORE, store).env(CLIENTS, setup.clients.to_string());
        command.env(REPLICAS, setup.replicas.to_string()).env_remove(LOCK_LIFE).env_remove(TIMEOUT);
        let times = [(LOCK_LIFE, setup.lock_life), (TIMEOUT, setup.timeout)];
        command.envs(times.into_iter().filter_map(|(name, time)| Some((name, time?.as_millis().to_string()))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (orders, said) = (process.stdin.take().unwrap(), Arc::<Said>::default());
        let (output, errors) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let (listener, other) = (Arc::clone(&said), Arc::clone(&said));
        thread::spawn(move || {
            listener.listen(output);
            listener.state.lock().unwrap().has_ended = true;
            listener.changed.notify_all();
        });
        thread::spawn(move || other.listen(errors));
        let member = Self { process, orders, said, next: AtomicUsize::new(1) };
        assert_eq!(member.answer_to(0, "start").wait(), "ready");
        member
    }

    /// Sends an order, and does not wait for its answer.
    pub fn ask(&self, order: &str) -> Asked {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.said.state.lock().unwrap().note(format!("< {order}"));
        // A killed program does not answer.
        let _ = writeln!(&self.orders, "{number} {order}");
        self.answer_to(number, order)
    }

    fn answer_to(&self, number: usize, order: &str) -> Asked {
        Asked { said: Arc::clone(&self.said), number, order: order.to_owned(), since: Instant::now() }
    }

    /// Kills the program at this moment.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops the program at this moment, until [`cont`](Self::cont).
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An order, and its answer when that comes.
#[derive(Debug)]
pub struct Asked {
    said: Arc<Said>,
    number: usize,
    order: String,
    since: Instant,
}

impl Asked {
    /// Waits for the answer, and returns it.
    #[track_caller]
    pub fn wait(&self) -> String {
        self.timed().0
    }

    /// Waits for the answer, and returns it and how long it took.
    #[track_caller]
    fn timed(&self) -> (String, Duration) {
        let state = self.said.state.lock().unwrap();
        let is_open = |state: &mut SaidState| !state.answers.contains_key(&self.number) && !state.has_ended;
        let (state, _) = self.said.changed.wait_timeout_while(state, PATIENCE, is_open).unwrap();
        match state.answers.get(&self.number) {
            Some((answer, at)) => (answer.clone(), *at - self.since),
            None => panic!("no answer to `{}`, has ended: {}", self.order, state.has_ended),
        }
    }

    #[track_caller]
    pub fn done(&self) {
        assert_eq!(self.wait(), "done");
    }

    /// Waits for tokens, and returns those that the callers got.
    #[track_caller]
    pub fn tokens(&self) -> BTreeSet<String> {
        self.tokens_within(PATIENCE).0
    }

    /// The same, for callers that must not wait for longer. Returns how long they waited.
    #[track_caller]
    pub fn tokens_within(&self, limit: Duration) -> (BTreeSet<String>, Duration) {
        let (answer, time) = self.timed();
        let tokens = answer.strip_prefix("tokens ").unwrap_or_else(|| panic!("`{}`: {answer}", self.order));
        assert!(time <= limit, "`{}` took {time:?}, and not {limit:?}", self.order);
        (tokens.split(' ').map(str::to_owned).collect(), time)
    }
}

/// Waits until a condition holds.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it did not happen: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
