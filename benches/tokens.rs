//! The cost of getting a cached token, and what happens to many callers during a request for a token.
#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used)]

mod asked;
mod coarse;
mod ratio;
mod server;

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use coarse::coarse;
use gettone::clock::{Clock, Sleep, SystemClock};
use gettone::keliweb::{self, Fatture};
use gettone::openapi::{self, v1::Oauth, v2};
use gettone::{AccessToken, ScopeSet, reqwest};
use ratio::{row, title};
use server::Server;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const AWAY: Duration = Duration::from_millis(50);
/// A call that took this long waited for an exchange. Other work of the machine takes less.
const STALLED: Duration = Duration::from_millis(AWAY.as_millis() as u64 / 2);
const CALLERS: usize = 16;
const REFRESHES: usize = 10;

fn main() {
    if !asked::for_figures() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let near = Server::start(Duration::ZERO);
    let far = Server::start(AWAY);

    hits(&runtime, &near);
    empty(&runtime, &far);
    refresh(&runtime, &far);
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn oauth(server: &Server) -> Oauth {
    let credentials = openapi::Credentials::new("test@example.com", "key");
    Oauth::builder(credentials).base_url(server.url()).http_client(http()).build().unwrap()
}

fn scopes(number: usize) -> ScopeSet {
    ScopeSet::parse((0..number).map(|number| format!("GET:h{number}.openapi.it/base"))).unwrap()
}

/// Runs a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// The minimum: a token and its expiry, read without a lock.
struct Bare(ArcSwap<(AccessToken, Duration)>);

impl Bare {
    fn new(now: Duration) -> Self {
        Self(ArcSwap::from_pointee((AccessToken::new("token"), now + Duration::from_secs(86_400))))
    }

    fn get(&self, now: Duration) -> Option<AccessToken> {
        let held = self.0.load();
        (now < held.1).then(|| held.0.clone())
    }
}

fn hits(runtime: &Runtime, server: &Server) {
    title("A cached token");
    let clock = SystemClock::default();
    let (held, held_coarse) = (Bare::new(clock.monotonic()), Bare::new(coarse().0));
    // Reads the clocks that the client reads, so that the difference is the client's.
    let bare = || held_coarse.get(black_box(coarse()).0);
    let oauth = oauth(server);
    let (one, ten) = (scopes(1), scopes(10));
    let (handle, of_ten) = (oauth.token_for(&one), oauth.token_for(&ten));
    runtime.block_on(async { (handle.get().await.unwrap(), of_ten.get().await.unwrap()) });
    let credentials = keliweb::Credentials::new("id", "secret", "test@example.com", "password");
    let fatture = Fatture::builder(credentials).base_url(server.url()).http_client(http()).build().unwrap();
    runtime.block_on(fatture.token()).unwrap();

    row("a handle, against a bare ArcSwap, same clock", bare, || at_once(handle.get()).unwrap());
    row("the same, with an exact clock (bar 1.2x)", || held.get(clock.monotonic()), || at_once(handle.get()).unwrap());
    row("Fatture::token, against a bare ArcSwap, same clock", bare, || at_once(fatture.token()).unwrap());
    row("by a set of 1, against a handle (bar 4x)", || at_once(handle.get()), || at_once(oauth.token(&one)));
    row("by a set of 10, against a handle", || at_once(of_ten.get()), || at_once(oauth.token(&ten)));

    let credentials = openapi::Credentials::new("test@example.com", "key");
    let second = v2::Oauth::builder(credentials).base_url(server.url()).http_client(http()).build().unwrap();
    let second_handle = second.token_for(&one);
    runtime.block_on(second_handle.get()).unwrap();
    row("version 2, a handle, against version 1 (bar 1x)", || at_once(handle.get()), || at_once(second_handle.get()));
    row("version 2, by a set of 1, against version 1", || at_once(oauth.token(&one)), || at_once(second.token(&one)));
}

fn empty(runtime: &Runtime, server: &Server) {
    title("1,000 callers and no token, 50 ms away");
    let (client, url) = (http(), format!("{}/token", server.url()));
    let one = scopes(1);
    let bare = || {
        let request = client.post(&url).body(r#"{"scopes":[]}"#);
        runtime.block_on(async { request.send().await.unwrap().bytes().await.unwrap() })
    };
    let before = server.requests();
    let rounds = std::cell::Cell::new(0);
    row("the last of them, against one request (bar 1.2x)", bare, || {
        rounds.set(rounds.get() + 1);
        let oauth = oauth(server);
        runtime.block_on(async {
            let callers: JoinSet<_> = (0..1000).map(|_| get(oauth.clone(), one.clone())).collect();
            callers.join_all().await
        })
    });
    let requests = server.requests() - before;
    println!("requests for {} such crowds, with as many bare ones or some more: {requests}", rounds.get());
}

async fn get(oauth: Oauth, scopes: ScopeSet) -> AccessToken {
    oauth.token(&scopes).await.unwrap()
}

/// The machine's clock, which the benchmark can move forward.
#[derive(Debug, Default)]
struct Shifted {
    machine: SystemClock,
    seconds: AtomicU64,
}

impl Shifted {
    fn by(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::Relaxed))
    }
}

impl Clock for Shifted {
    fn now(&self) -> SystemTime {
        self.machine.now() + self.by()
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic() + self.by()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.machine.sleep(duration)
    }
}

/// The usual code by hand: the caller that finds the token expired requests another, and all others wait for the lock.
struct Locked {
    held: tokio::sync::Mutex<(String, u64)>,
    wanted: AtomicU64,
    http: reqwest::Client,
    url: String,
}

impl Locked {
    async fn get(&self) -> String {
        let mut held = self.held.lock().await;
        let wanted = self.wanted.load(Ordering::SeqCst);
        if held.1 < wanted {
            let answer = self.http.post(&self.url).body(r#"{"scopes":[]}"#).send().await.unwrap();
            *held = (answer.text().await.unwrap(), wanted);
        }
        held.0.clone()
    }
}

fn refresh(runtime: &Runtime, server: &Server) {
    println!(
        "\n{CALLERS} callers in a loop while a token is refreshed {REFRESHES} times, 50 ms away (bars: p99.9 under 10 us, no call of {STALLED:?} or more)"
    );
    println!(
        "{:<27} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "calls", "p50", "p99", "p99.9", "max", "stalled", "requests"
    );

    let url = format!("{}/token", server.url());
    let locked = Arc::new(Locked { held: Default::default(), wanted: AtomicU64::new(0), http: http(), url });
    report("a mutex around the exchange", server, || {
        let of_callers = Arc::clone(&locked);
        let call = move || {
            let locked = Arc::clone(&of_callers);
            async move { locked.get().await }
        };
        looped(runtime, call, || locked.wanted.fetch_add(1, Ordering::SeqCst))
    });

    let clock = Arc::new(Shifted::default());
    let credentials = openapi::Credentials::new("test@example.com", "key");
    let builder = Oauth::builder(credentials).base_url(server.url()).http_client(http()).clock(Arc::clone(&clock) as _);
    // So short that the client requests exactly this lifetime, without a random part.
    let builder = builder.ttl(openapi::Ttl::seconds(19 * 60).unwrap());
    let handle = builder.build().unwrap().token_for(&scopes(1));
    runtime.block_on(handle.get()).unwrap();
    report("a handle", server, || {
        let call = move || {
            let handle = handle.clone();
            async move { handle.get().await.unwrap() }
        };
        looped(runtime, call, || clock.seconds.fetch_add(19 * 60 - 80, Ordering::SeqCst))
    });
}

/// Calls in loops, while `due` makes a refresh due several times, with pauses. Returns the time of each call.
fn looped<F, T>(runtime: &Runtime, call: F, due: impl Fn() -> u64) -> Vec<u32>
where
    F: Fn() -> T + Clone + Send + 'static,
    T: Future<Output: PartialEq> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let callers: JoinSet<Vec<u32>> = (0..CALLERS)
        .map(|_| {
            let (call, stop) = (call.clone(), Arc::clone(&stop));
            async move {
                let mut times = Vec::with_capacity(1 << 20);
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    call().await;
                    times.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX));
                    tokio::task::yield_now().await;
                }
                times
            }
        })
        .collect();
    for _ in 0..REFRESHES {
        let before = runtime.block_on(call());
        due();
        while runtime.block_on(call()) == before {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(AWAY);
    }
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(callers.join_all()).into_iter().flatten().collect()
}

fn report(name: &str, server: &Server, measure: impl FnOnce() -> Vec<u32>) {
    let before = server.requests();
    let mut times = measure();
    times.sort_unstable();
    let at = |part: f64| shown(times[((times.len() - 1) as f64 * part) as usize]);
    let requests = server.requests() - before;
    // Too few among all calls for a percentile to show.
    let stalled = times.iter().filter(|time| u128::from(**time) >= STALLED.as_nanos()).count();
    println!(
        "{name:<27} {:>9} {:>9} {:>9} {:>9} {:>9} {stalled:>9} {requests:>9}",
        times.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn shown(nanoseconds: u32) -> String {
    match nanoseconds {
        n if n < 10_000 => format!("{n} ns"),
        n if n < 10_000_000 => format!("{} us", n / 1_000),
        n => format!("{} ms", n / 1_000_000),
    }
}
