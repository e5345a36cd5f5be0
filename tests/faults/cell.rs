//! One cell of the table: a call, and whether what comes of it is what the table says.

use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock, Moment, Sleep};
use gettone::keliweb::{self, Fatture};
use gettone::openapi::{self, v1::Oauth};
use gettone::{Builder, Error, Service, reqwest};

use crate::common::raw::{Do, Raw, certificate};
use crate::common::{leaks, now, until};
use crate::fault::Fault;
use crate::service::{CLOSE, RESET, first, good, in_a_line, operation};
use crate::way::{Clients, Held, Way};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

pub struct Cell {
    pub fault: &'static str,
    pub way: &'static Way,
    /// Whether the fault lasts, or is followed by good answers.
    pub lasts: bool,
    pub expected: Expected,
}

/// What is to come of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// What the error says, see [`said`]; `None` for a success.
    pub says: Option<String>,
    /// How many requests there are of each of the operations of the way.
    pub requests: Vec<usize>,
}

/// What came of a call.
struct Outcome {
    result: Result<String, Error>,
    requests: Vec<String>,
    waits: Vec<Duration>,
    took: Duration,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, way, lasts, .. } = self;
        write!(f, "{fault}, which {} | {}", if *lasts { "lasts" } else { "passes" }, way.name)
    }
}

impl Cell {
    /// What of the cell is not as it should be.
    pub fn differences(&self, listener: &TcpListener) -> Vec<String> {
        // One for each cell, so that its time is nobody else's.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            // Time that is paused jumps to the next end of a wait whenever there is only the network to wait for, unless a thread
            // is busy.
            let (busy, idle) = std::sync::mpsc::channel::<()>();
            let thread = tokio::task::spawn_blocking(move || idle.recv());
            let found = self.run(listener).await;
            drop(busy);
            let _ = thread.await;
            found
        })
    }

    async fn run(&self, listener: &TcpListener) -> Vec<String> {
        let time = Arc::new(ManualClock::new(now()));
        let fault = Fault::new(self.fault, &time);
        let raw = Arc::new(Raw::listening(listener, self.script(&fault, &time)));
        let clock = Arc::new(Time { time: Arc::clone(&time), raw: Arc::clone(&raw) });
        let clients = clients(&raw, fault.is_of_tls(), &clock);
        // The lifetimes that the client asks for are drawn by chance: they are the same in each cell.
        fastrand::seed(SEED);
        self.prepare(&fault, &clients, &time).await;
        fastrand::seed(SEED);

        let (requests, waits, started) = (raw.calls(), time.waits().len(), time.monotonic());
        let result = clock.until(self.way.call(&clients)).await;
        if self.way.held == Held::NearItsEnd {
            clock.until(clients.wait_idle(self.way)).await;
        }
        let (requests, waits) = (raw.requests().split_off(requests), time.waits().split_off(waits));
        let outcome = Outcome { result, requests, waits, took: time.monotonic() - started };
        let mut found = self.compare(&fault, &outcome);

        if self.way.is_cached() {
            let before = raw.calls();
            let again = clock.until(self.way.call(&clients)).await;
            found.extend((raw.calls() != before).then(|| "the next call is not without a request".to_owned()));
            found.extend(self.compare_next(&outcome, &again));
        }
        if fault.is_a_flood() {
            until(|| raw.flooded().is_some()).await;
            // What was sent beyond the limit of 4 MiB sits in the buffers of the two sockets.
            let flooded = raw.flooded().unwrap_or_default();
            found.extend((flooded > 32 << 20).then(|| format!("{flooded} bytes were read")));
        }
        found
    }

    /// What the service does with each connection.
    fn script(&self, fault: &Fault, time: &Arc<ManualClock>) -> Vec<Do> {
        let secure = |act: Do| if fault.is_of_tls() { Do::Secure(Box::new(act)) } else { act };
        let lost = self.way.finds_the_lost().then(first_lifetime);
        let well = secure(Do::Reply(good(time, lost, CLOSE)));
        let mut script = Vec::new();
        if self.way.held != Held::Nothing {
            script.push(secure(Do::Reply(first(time))));
        }
        let kept = fault.is_on_kept_connection();
        script.push(match kept {
            true => Do::Keep(good(time, None, ""), Box::new(fault.act.clone())),
            false => fault.act.clone(),
        });
        match (self.lasts, kept) {
            (true, true) if !matches!(fault.act, Do::Close) => script.push(fault.act.clone()),
            (true, false) => {}
            _ => script.push(well),
        }
        script
    }

    /// Brings the client to where the cell begins.
    async fn prepare(&self, fault: &Fault, clients: &Clients, time: &ManualClock) {
        if self.way.held != Held::Nothing {
            assert_eq!(self.way.call(clients).await.unwrap(), leaks::ISSUED_ACCESS);
            let lifetime = if self.way.is_of_keliweb() { HOUR } else { first_lifetime() };
            let left = if self.way.held == Held::Over { Duration::ZERO } else { 200 * SECOND };
            time.advance(lifetime - left);
        }
        if fault.is_on_kept_connection() {
            clients.use_connection(self.way).await.unwrap();
            // The client gets to know what becomes of it.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn compare(&self, fault: &Fault, outcome: &Outcome) -> Vec<String> {
        let Outcome { result, requests, waits, took } = outcome;
        let mut found = Vec::new();
        let mut same = |what: &str, is: String, should: String| {
            if is != should {
                found.push(format!("{what}: {is}, and not {should}"));
            }
        };
        let says = match &self.expected.says {
            Some(says) if self.way.held != Held::NearItsEnd => says.clone(),
            _ => "a success".to_owned(),
        };
        same("result", result.as_ref().map_or_else(said, |_| "a success".to_owned()), says);
        let names: Vec<&str> = requests.iter().map(|request| operation(request)).collect();
        same("requests", in_a_line(&names), in_a_line(&self.requests(fault)));
        if let (Held::NearItsEnd, Ok(token)) = (self.way.held, result) {
            // A refresh at Keliweb Fatture ends the token that is held, so callers wait for the next one, but not for long.
            let is_new = self.way.is_of_keliweb() && self.expected.says.is_none() && !fault.is_slow();
            let is_kept = token == leaks::ISSUED_ACCESS;
            same("a new token", (!is_kept).to_string(), is_new.to_string());
        }
        if let Err(error) = result {
            let service = if self.way.is_of_keliweb() { "Keliweb Fatture" } else { "Openapi.it Oauth" };
            let last = self.way.operations[self.expected.requests.len() - 1];
            let named = (error.service(), error.operation());
            same("the error is of", format!("{named:?}"), format!("{:?}", (Some(service), Some(last))));
        }
        found.extend(self.odd_waits(waits));
        found.extend(self.odd_time(*took));
        let unequal = |pair: &[String]| operation(&pair[0]) == operation(&pair[1]) && pair[0] != pair[1];
        found.extend(requests.windows(2).any(unequal).then(|| "a repeat is not the same request".to_owned()));
        let shown = match result {
            // The token itself.
            Ok(_) if self.way.is_cached() => String::new(),
            Ok(shown) => shown.clone(),
            Err(error) => all_of(error),
        };
        found.extend(leaks::leak(&shown).map(|secret| format!("`{secret}` is shown")));
        found
    }

    /// The call after it: a token is kept, and after a failure there is a pause.
    fn compare_next(&self, outcome: &Outcome, again: &Result<String, Error>) -> Option<String> {
        let is_new = |token: &String| token != leaks::ISSUED_ACCESS;
        let right = match (&outcome.result, again) {
            (Ok(_), Ok(token)) if self.way.held == Held::NearItsEnd => is_new(token) == self.expected.says.is_none(),
            (Ok(token), Ok(again)) => token == again && is_new(token),
            (Err(error), Err(again)) => {
                let same = again.to_string().starts_with(&error.to_string()) && again.status() == error.status();
                same && again.is_backing_off() && again.retry_after().is_some()
            }
            _ => false,
        };
        (!right).then(|| format!("the next call comes to something else, {:?}", again.as_ref().map(|_| "a token")))
    }

    /// The requests that there should be. What comes before a connection does not arrive.
    fn requests(&self, fault: &Fault) -> Vec<&'static str> {
        let requests = self.way.operations.iter().zip(&self.expected.requests);
        let mut requests: Vec<_> = requests.flat_map(|(name, count)| std::iter::repeat_n(*name, *count)).collect();
        let faults = if self.lasts { requests.len() } else { 1 };
        if !fault.is_after_sending() {
            requests.drain(..faults);
        } else if matches!(fault.act, Do::Reset) {
            requests[..faults].fill(RESET);
        }
        requests
    }

    /// One wait before each repeat: as long as was asked for, or twice the one before, with as much again by chance at the
    /// most. What comes after a fault in its place waits only if that was asked for.
    fn odd_waits(&self, waits: &[Duration]) -> Option<String> {
        let own = |repeat: usize| Duration::from_millis(200 << repeat);
        let mut least: Vec<Duration> = Vec::new();
        for (place, requests) in self.expected.requests.iter().enumerate() {
            least.extend(self.asked().filter(|_| place == 1));
            least.extend((0..requests - 1).map(own));
        }
        let fits = |wait: &Duration, own: Duration| match self.asked() {
            Some(asked) if asked > 2 * own || asked == own => *wait == asked,
            _ => (own..=2 * own).contains(wait),
        };
        let right = waits.len() == least.len() && waits.iter().zip(least).all(|(wait, own)| fits(wait, own));
        (!right).then(|| format!("waits: {waits:?}"))
    }

    /// What the fault asks to wait.
    fn asked(&self) -> Option<Duration> {
        let (_, form) = self.fault.split_once("Retry-After ")?;
        let words = form.strip_prefix("RFC 850 ").unwrap_or(form).split(' ');
        words.filter_map(|word| word.parse().ok()).next().map(Duration::from_secs)
    }

    /// A call ends within a minute, and not before if that is how long it waits for an answer.
    fn odd_time(&self, took: Duration) -> Option<String> {
        let minutes = self.expected.requests.len() as u32 * MINUTE;
        let silent = self.expected.says.as_deref().is_some_and(|says| says.starts_with("timeout"));
        let least = if silent { minutes } else { Duration::ZERO };
        // It moves in steps of a second.
        let right = (least..=minutes + 5 * SECOND).contains(&took);
        (!right).then(|| format!("time: {took:?}"))
    }
}

const SEED: u64 = 7;

/// The lifetime that a client asks for first: a day, and up to six hours less.
fn first_lifetime() -> Duration {
    let mut chance = fastrand::Rng::with_seed(SEED);
    24 * HOUR - Duration::from_secs(chance.u32(10..=6 * 60 * 60).into())
}

/// What an error says of itself: its status, its predicates, and how long to wait. In this order.
fn said(error: &Error) -> String {
    let status = error.status().map(|status| status.as_u16().to_string());
    let predicates = [
        ("unauthorized", error.is_unauthorized()),
        ("invalid_grant", error.is_invalid_grant()),
        ("not_found", error.is_not_found()),
        ("invalid_input", error.is_invalid_input()),
        ("rate_limited", error.is_rate_limited()),
        ("connect", error.is_connect()),
        ("timeout", error.is_timeout()),
        ("decode", error.is_decode()),
        ("not_granted", error.not_granted().is_some()),
        ("store", error.is_store()),
        ("transient", error.is_transient()),
        ("perhaps_done", error.is_ambiguous()),
    ];
    let said = predicates.into_iter().filter(|(_, is)| *is).map(|(name, _)| name.to_owned());
    let wait = error.retry_after().map(|wait| format!("wait:{}", wait.as_secs()));
    status.into_iter().chain(said).chain(wait).collect::<Vec<_>>().join(" ")
}

/// All that an error can be made to say.
fn all_of(error: &Error) -> String {
    let mut text = format!("{error}\n{error:#}\n{error:?}\n{error:#?}\n{:?} {:?}", error.code(), error.operation());
    let mut source = error.source();
    while let Some(error) = source {
        write!(text, "\n{error}\n{error:#}\n{error:?}\n{error:#?}").unwrap();
        source = error.source();
    }
    text
}

/// Time that stands still, and moves on while the service keeps the client waiting.
#[derive(Debug)]
struct Time {
    time: Arc<ManualClock>,
    raw: Arc<Raw>,
}

impl Time {
    async fn until<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        loop {
            tokio::select! {
                biased;
                result = &mut call => return result,
                () = self.raw.stalled() => {}
            }
            // The client measures with the one, and the HTTP library with the other.
            self.time.advance(SECOND);
            tokio::time::advance(SECOND).await;
        }
    }
}

impl Clock for Time {
    fn now(&self) -> SystemTime {
        self.time.now()
    }

    /// Asked whenever a token is handed out, also while another is on its way.
    fn coarse(&self) -> Moment {
        self.time.coarse()
    }

    /// The client looks at it whenever it has given up waiting.
    fn monotonic(&self) -> Duration {
        self.raw.given_up();
        self.time.monotonic()
    }

    /// A service that is not there comes when the client waits for it.
    fn sleep(&self, duration: Duration) -> Sleep {
        self.raw.open();
        self.time.sleep(duration)
    }
}

fn clients(raw: &Raw, tls: bool, clock: &Arc<Time>) -> Clients {
    fn at<C: Service>(builder: Builder<C>, url: &str, clock: &Arc<Time>) -> C {
        let builder = builder.base_url(url).clock(Arc::clone(clock) as _);
        // The crate's own, so that its settings are what is seen; only that it knows no certificate but ours.
        let of_tests = |http: reqwest::ClientBuilder| {
            http.tls_certs_only([reqwest::Certificate::from_der(certificate()).unwrap()])
        };
        // OpenSSL reads all that there are whenever one is built, so there it is one for all.
        static SHARED: OnceLock<reqwest::Client> = OnceLock::new();
        let shared = || {
            let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
            of_tests(http.connect_timeout(10 * SECOND)).build().unwrap()
        };
        match cfg!(feature = "native-tls") {
            false => builder.http(of_tests),
            true => builder.http_client(SHARED.get_or_init(shared).clone()),
        }
        .build()
        .unwrap()
    }
    let url = if tls { raw.url().replace("http:", "https:") } else { raw.url() };
    let oauth = Oauth::builder(openapi::Credentials::new("test@example.com", leaks::API_KEY));
    let credentials = keliweb::Credentials::new("id", leaks::CLIENT_SECRET, "test@example.com", leaks::PASSWORD);
    Clients { oauth: at(oauth, &url, clock), fatture: at(Fatture::builder(credentials), &url, clock), url }
}
