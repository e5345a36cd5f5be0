//! One cell of the table: a call, and whether it ends as the table says.

use std::fmt;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock, Sleep};
use gettone::{Error, reqwest};
use serde_json::Value;

use crate::common::fake::{Do, FakeService, Identity, Received};
use crate::common::services::openapi_v1::{self, BASE};
use crate::common::services::openapi_v2::{self, RESOURCE};
use crate::common::services::{Client, Held, Http, PLANTED, Service, Setup, Way, keliweb, laws};
use crate::common::{leaks, now, unix, until};
use crate::fault::Fault;
use crate::service::{CLOSE, DAY, RESET, first, good, in_a_line, operation};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

pub struct Cell {
    pub fault: &'static str,
    pub call: Call,
    /// Whether the fault lasts, or good answers follow it.
    pub lasts: bool,
    pub expected: Expected,
}

/// A call of a cell.
#[derive(Clone, Copy)]
pub struct Call {
    pub service: &'static Service,
    pub way: Way,
}

impl Call {
    /// Whether the service created the token although the request failed.
    fn finds_the_lost(&self) -> bool {
        self.way.name.ends_with(", lost")
    }

    /// Returns the token that the service created although the request failed.
    fn lost_token(&self) -> Option<Value> {
        let is_second = std::ptr::eq(self.service, &openapi_v2::SERVICE);
        self.finds_the_lost().then(|| match is_second {
            // Its name is the one of the request.
            true => {
                let (chance, since) = (fastrand::Rng::with_seed(SEED).u128(..), Duration::from_secs(unix(now())));
                let number = chance ^ since.as_nanos() ^ (u128::from(std::process::id()) << 96);
                let name = format!("gettone-{number:032x}");
                openapi_v2::token("lost0123456789abcdef0123", &name, &[RESOURCE], now() + DAY, "lost-refresh")
            }
            // The token's text contains the time of its creation, as in the vendor's samples.
            false => {
                let token = format!("{:08x}0123456789abcdef", unix(now()));
                openapi_v1::token(token, [BASE], unix(now() + first_lifetime()))
            }
        })
    }

    /// Returns how many requests of each operation there are if the first one fails and the others do not.
    pub fn recovered(&self) -> Vec<usize> {
        // A token that cannot be extended is one that can be made.
        let extends = self.way.column == "extend";
        vec![1; if extends { 2 } else { self.way.operations.len() - usize::from(self.finds_the_lost()) }]
    }

    /// Returns the lifetime of the token that the client gets first.
    fn lifetime(&self) -> Duration {
        match self.service.name {
            name if name == keliweb::SERVICE.name => HOUR,
            name if name == openapi_v1::SERVICE.name => first_lifetime(),
            _ => DAY,
        }
    }

    /// Whether the client's only calls are those for its token.
    fn is_of_worker(&self) -> bool {
        self.way.name.starts_with("worker.")
    }

    /// Whether it returns a cached token.
    fn is_cached(&self) -> bool {
        self.way.name.contains('.')
    }

    /// Whether a refresh ends the token that the client holds, so that callers wait for the next one, but not for long.
    fn ends_what_is_held(&self) -> bool {
        ["refresh", "refresh_token"].contains(&self.way.operations[0])
    }

    /// Returns what can be printed of the result, or the token.
    async fn make(&self, client: &dyn Client) -> Result<String, Error> {
        let name = self.way.name.split(',').next().unwrap();
        let returned = client.call(name, &PLANTED).await?;
        Ok(if self.is_cached() { returned.text() } else { returned.shown() })
    }
}

/// How a call must end.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// What the error says, see [`said`]; `None` for a success.
    pub says: Option<String>,
    /// How many requests there are of each of the operations of the way.
    pub requests: Vec<usize>,
}

/// How a call ended.
struct Outcome {
    result: Result<String, Error>,
    requests: Vec<Received>,
    waits: Vec<Duration>,
    took: Duration,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, call, lasts, .. } = self;
        let (label, way) = (call.service.label, call.way.name);
        write!(f, "{fault}, which {} | {label} {way}", if *lasts { "lasts" } else { "passes" })
    }
}

impl Cell {
    /// Runs the cell, and returns what differs from the table.
    pub fn differences(&self, listener: &TcpListener) -> Vec<String> {
        // A runtime for each cell, so that each has its own time.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            // When every task waits for the network, paused time would jump to the end of the next wait. A busy thread prevents that.
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
        let service = Arc::new(FakeService::listening(listener, self.script(&fault, &time)));
        let clock = Arc::new(Time { time: Arc::clone(&time), service: Arc::clone(&service) });
        let is_shared = self.call.is_of_worker() && fault.is_on_kept_connection();
        let setup = setup(&service, fault.is_of_tls(), is_shared, &clock);
        let client = (self.call.service.connect)(&PLANTED, &setup).unwrap();
        let client = client.as_ref();
        // The client draws the lifetimes of tokens by chance: they are the same in each cell.
        fastrand::seed(SEED);
        self.prepare(&fault, client, &time).await;
        fastrand::seed(SEED);

        let (requests, waits, started) = (service.calls(), time.waits().len(), time.monotonic());
        let result = clock.until(self.call.make(client)).await;
        if self.call.way.held == Held::NearItsEnd {
            clock.until(client.wait_idle()).await;
        }
        let (requests, waits) = (service.requests().split_off(requests), time.waits().split_off(waits));
        let outcome = Outcome { result, requests, waits, took: time.monotonic() - started };
        let mut found = self.compare(&fault, &outcome);

        if self.call.is_cached() {
            let before = service.calls();
            let again = clock.until(self.call.make(client)).await;
            found.extend((service.calls() != before).then(|| "the next call sends a request".to_owned()));
            found.extend(self.compare_next(&outcome, &again));
        }
        if fault.is_a_flood() {
            until(|| service.flooded().is_some()).await;
            // The bytes beyond the limit of 4 MiB are in the buffers of the two sockets.
            let flooded = service.flooded().unwrap_or_default();
            found.extend((flooded > 32 << 20).then(|| format!("{flooded} bytes were read")));
        }
        found
    }

    /// Returns what the service does with each connection.
    fn script(&self, fault: &Fault, time: &Arc<ManualClock>) -> Vec<Do> {
        let secure = |act: Do| if fault.is_of_tls() { act.over_tls() } else { act };
        let of = self.call.service;
        let well = secure(Do::Reply(good(of, time, self.call.lost_token(), CLOSE)));
        let mut script = Vec::new();
        if self.call.way.held != Held::Nothing {
            script.push(secure(Do::Reply(first(of, time))));
        }
        let kept = fault.is_on_kept_connection();
        script.push(match kept {
            true => Do::Keep(good(of, time, None, ""), Box::new(fault.act.clone())),
            false => fault.act.clone(),
        });
        match (self.lasts, kept) {
            (true, true) if !matches!(fault.act, Do::Close) => script.push(fault.act.clone()),
            (true, false) => {}
            _ => script.push(well),
        }
        script
    }

    /// Gives the client the token and the connection that it has before the call.
    async fn prepare(&self, fault: &Fault, client: &dyn Client, time: &ManualClock) {
        if self.call.way.held != Held::Nothing {
            assert_eq!(self.call.make(client).await.unwrap(), leaks::ISSUED_ACCESS);
            let left = if self.call.way.held == Held::Expired { Duration::ZERO } else { 200 * SECOND };
            time.advance(self.call.lifetime() - left);
        }
        if fault.is_on_kept_connection() {
            client.call(self.call.service.harmless, &PLANTED).await.unwrap();
            // The client notices what happens to the connection.
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
            Some(says) if self.call.way.held != Held::NearItsEnd => says.clone(),
            _ => "a success".to_owned(),
        };
        same("result", result.as_ref().map_or_else(said, |_| "a success".to_owned()), says);
        let operation = |request: &Received| operation(self.call.service, request);
        let names: Vec<&str> = requests.iter().map(operation).collect();
        same("requests", in_a_line(&names), in_a_line(&self.requests(fault)));
        if let (Held::NearItsEnd, Ok(token)) = (self.call.way.held, result) {
            let is_new = self.call.ends_what_is_held() && self.expected.says.is_none() && !fault.is_slow();
            let is_kept = token == leaks::ISSUED_ACCESS;
            same("a new token", (!is_kept).to_string(), is_new.to_string());
        }
        if let Err(error) = result {
            let last = self.call.way.operations[self.expected.requests.len() - 1];
            let named = (error.service(), error.operation());
            same("the error is of", format!("{named:?}"), format!("{:?}", (Some(self.call.service.name), Some(last))));
        }
        found.extend(self.odd_waits(waits));
        found.extend(self.odd_time(*took));
        let unequal = |pair: &[Received]| operation(&pair[0]) == operation(&pair[1]) && pair[0] != pair[1];
        found.extend(requests.windows(2).any(unequal).then(|| "a repeat is not the same request".to_owned()));
        let shown = match result {
            // The token itself.
            Ok(_) if self.call.is_cached() => String::new(),
            Ok(shown) => shown.clone(),
            Err(error) => laws::printed(error),
        };
        found.extend(leaks::leak(&shown).map(|secret| format!("`{secret}` is shown")));
        found
    }

    /// Compares the next call: a token is cached, and after a failure there is a pause.
    fn compare_next(&self, outcome: &Outcome, again: &Result<String, Error>) -> Option<String> {
        let is_new = |token: &String| token != leaks::ISSUED_ACCESS;
        let right = match (&outcome.result, again) {
            (Ok(_), Ok(token)) if self.call.way.held == Held::NearItsEnd => {
                is_new(token) == self.expected.says.is_none()
            }
            (Ok(token), Ok(again)) => token == again && is_new(token),
            (Err(error), Err(again)) => {
                let same = again.to_string().starts_with(&error.to_string()) && again.status() == error.status();
                same && again.is_backing_off() && again.retry_after().is_some()
            }
            _ => false,
        };
        (!right).then(|| format!("the next call returns something else, {:?}", again.as_ref().map(|_| "a token")))
    }

    /// Returns the requests that there should be. Without a connection none arrives.
    fn requests(&self, fault: &Fault) -> Vec<&'static str> {
        let requests = self.call.way.operations.iter().zip(&self.expected.requests);
        let mut requests: Vec<_> = requests.flat_map(|(name, count)| std::iter::repeat_n(*name, *count)).collect();
        let faults = if self.lasts { requests.len() } else { 1 };
        if !fault.is_after_sending() {
            requests.drain(..faults);
        } else if matches!(fault.act, Do::Reset) {
            requests[..faults].fill(RESET);
        }
        requests
    }

    /// Compares the waits: one before each repeat, as long as was asked for, or twice the one before, with up to as much again by chance.
    /// Another operation waits only if that was asked for.
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

    /// Returns how long the fault asks to wait.
    fn asked(&self) -> Option<Duration> {
        let (_, form) = self.fault.split_once("Retry-After ")?;
        let words = form.strip_prefix("RFC 850 ").unwrap_or(form).split(' ');
        words.filter_map(|word| word.parse().ok()).next().map(Duration::from_secs)
    }

    /// Compares the time: a call ends within a minute, and takes all of it if no answer comes.
    fn odd_time(&self, took: Duration) -> Option<String> {
        let minutes = self.expected.requests.len() as u32 * MINUTE;
        let silent = self.expected.says.as_deref().is_some_and(|says| says.starts_with("timeout"));
        let least = if silent { minutes } else { Duration::ZERO };
        // The time moves in steps of a second.
        let right = (least..=minutes + 5 * SECOND).contains(&took);
        (!right).then(|| format!("time: {took:?}"))
    }
}

const SEED: u64 = 7;

/// Returns the lifetime that a client asks for first: a day, and up to six hours less.
fn first_lifetime() -> Duration {
    let mut chance = fastrand::Rng::with_seed(SEED);
    24 * HOUR - Duration::from_secs(chance.u32(10..=6 * 60 * 60).into())
}

/// Says the status, the predicates and the wait of an error, in this order.
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

/// Time that stands still, and moves on while the service keeps the client waiting.
#[derive(Debug)]
struct Time {
    time: Arc<ManualClock>,
    service: Arc<FakeService>,
}

impl Time {
    async fn until<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        loop {
            tokio::select! {
                biased;
                result = &mut call => return result,
                () = self.service.keeps_waiting() => {}
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

    fn monotonic(&self) -> Duration {
        self.time.monotonic()
    }

    /// A service that refuses connections listens again when the client waits.
    fn sleep(&self, duration: Duration) -> Sleep {
        self.service.open();
        self.time.sleep(duration)
    }
}

/// `is_shared`: whether all clients of a service share their connections.
fn setup(service: &FakeService, tls: bool, is_shared: bool, clock: &Arc<Time>) -> Setup {
    // The crate's own HTTP client, so that its settings are tested; but it knows no certificate but ours.
    let of_tests = |http: reqwest::ClientBuilder| http.tls_certs_only([Identity::local().certificate()]);
    // OpenSSL reads all certificates whenever a client is built, so there it is one for all.
    static SHARED: OnceLock<reqwest::Client> = OnceLock::new();
    let shared = || {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        of_tests(http.connect_timeout(10 * SECOND)).build().unwrap()
    };
    let http = match cfg!(feature = "native-tls") {
        false if is_shared => Http::Given(shared()),
        false => Http::Own(Arc::new(of_tests)),
        true => Http::Given(SHARED.get_or_init(shared).clone()),
    };
    let url = if tls { service.tls_url() } else { service.url() };
    Setup { clock: Arc::clone(clock) as _, http, ..Setup::new(url) }
}
