//! How costs grow with what others can make large: `cargo bench --features emulator --bench growth`. Fails if one grows faster than
//! n log n.
#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used)]

mod asked;
mod ratio;
mod server;

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use gettone::clock::ManualClock;
use gettone::emulator::Emulator;
use gettone::openapi::{Credentials, v1::Oauth};
use gettone::{Retry, ScopeSet, reqwest};
use ratio::{growth, title};
use server::Server;
use tokio::runtime::Runtime;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The tolerance of a limit: caches fill up, and the machine has other work.
const MARGIN: f64 = 1.5;

fn main() -> ExitCode {
    if !asked::for_figures() {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let bars = Bars::default();
    lost(&runtime, &bars);
    new_keys(&runtime, &bars);
    large_requests(&runtime, &bars);
    messages(&runtime, &bars);
    bars.verdict()
}

/// The number of rows that exceeded their limits.
#[derive(Default)]
struct Bars(Cell<u32>);

impl Bars {
    /// Prints a row, in which the reference has the size `few` and the subject the size `many`. The limit is n log n.
    fn row<A, B>(
        &self,
        name: &str,
        (few, many): (usize, usize),
        reference: impl FnMut() -> A,
        subject: impl FnMut() -> B,
    ) {
        let work = |size: usize| size as f64 * (size as f64).log2();
        self.hold(work(many) / work(few), growth(name, reference, subject));
    }

    /// Prints a row whose cost should be the same for both. The limit is log n: `many` of them together cost n log n.
    fn flat<A, B>(
        &self,
        name: &str,
        (few, many): (usize, usize),
        reference: impl FnMut() -> A,
        subject: impl FnMut() -> B,
    ) {
        self.hold((many as f64).log2() / (few as f64).log2(), growth(name, reference, subject));
    }

    fn hold(&self, bar: f64, ratio: f64) {
        if ratio > bar * MARGIN {
            println!("{:>88}", format!("exceeds its limit of {:.1}x", bar * MARGIN));
            self.0.set(self.0.get() + 1);
        }
    }

    fn verdict(self) -> ExitCode {
        match self.0.get() {
            0 => ExitCode::SUCCESS,
            missed => {
                println!("\n{missed} rows exceed their limits");
                ExitCode::FAILURE
            }
        }
    }
}

/// A name, and a function that returns the nth of many.
type Kind<T> = (&'static str, fn(usize) -> T);

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn scopes(scopes: &[String]) -> ScopeSet {
    ScopeSet::parse(scopes).unwrap()
}

fn unix(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A client that has sent many requests whose responses were lost. Each may have created any of the many listed tokens.
struct Loser {
    oauth: Oauth,
    scopes: ScopeSet,
}

impl Loser {
    fn new(runtime: &Runtime, lost: usize, listed: usize) -> Self {
        let start = SystemTime::now();
        let clock = Arc::new(ManualClock::new(start));
        let losing = Arc::new(AtomicBool::new(true));
        let list: Arc<str> = list(unix(start), listed).into();
        let (time, is_losing) = (Arc::clone(&clock), Arc::clone(&losing));
        let server = Server::deciding(move |path, body| {
            let is_list = path.contains("scope=") || body.is_empty();
            match (is_losing.load(Ordering::SeqCst), is_list) {
                // Only the time of day moves during the request, so the client cannot know when its token was created.
                (true, false) => {
                    time.set(start + 6 * HOUR);
                    (503, "".into())
                }
                (true, true) => {
                    time.set(start);
                    (400, "".into())
                }
                (false, true) => (200, Arc::clone(&list)),
                (false, false) => {
                    let end = unix(start) + 24 * 60 * 60;
                    let made = format!(r#"{{"scopes":["GET:a.it/x"],"expire":{end},"token":"made","success":true}}"#);
                    (200, made.into())
                }
            }
        });
        let oauth = Oauth::builder(Credentials::new("test@example.com", "key"))
            .base_url(server.url())
            .http_client(http())
            .retry(Retry::none())
            .clock(Arc::clone(&clock) as _)
            .build()
            .unwrap();
        let scopes = scopes(&["GET:a.it/x".to_owned()]);
        runtime.block_on(async {
            for _ in 0..lost {
                clock.set(start);
                oauth.token(&scopes).await.unwrap_err();
                oauth.clear().await.unwrap();
            }
        });
        losing.store(false, Ordering::SeqCst);
        clock.set(start + 6 * HOUR);
        Self { oauth, scopes }
    }

    fn look(&self, runtime: &Runtime) {
        runtime.block_on(async {
            self.oauth.token(&self.scopes).await.unwrap();
            self.oauth.clear().await.unwrap();
        });
    }
}

/// Returns a list of tokens that may be the lost ones by their expiration times, and are not by their texts.
fn list(now: u64, count: usize) -> String {
    let token = |number: u64| {
        let end = now + 17 * 60 * 60 + number * 7 % (7 * 60 * 60);
        let text = format!("{:08x}{number:016x}", end - 24 * 60 * 60);
        format!(r#"{{"scopes":["GET:a.it/x"],"expire":{end},"token":"{text}"}}"#)
    };
    let tokens: Vec<String> = (0..count as u64).map(token).collect();
    format!(r#"{{"data":[{}],"success":true,"message":"","error":null}}"#, tokens.join(","))
}

fn lost(runtime: &Runtime, bars: &Bars) {
    title("matching lost requests with listed tokens (bar: n log n)");
    // The client remembers at most 256 lost requests.
    for ((few_lost, few_listed), (lost, listed)) in
        [((20, 100), (200, 1_000)), ((256, 1_000), (256, 10_000)), ((20, 10_000), (256, 10_000))]
    {
        let (few, many) = (Loser::new(runtime, few_lost, few_listed), Loser::new(runtime, lost, listed));
        bars.row(
            &format!("{few_lost} x {few_listed}, {lost} x {listed}"),
            (few_lost + few_listed, lost + listed),
            || few.look(runtime),
            || many.look(runtime),
        );
    }
}

fn new_keys(runtime: &Runtime, bars: &Bars) {
    let server = Server::start(Duration::ZERO);
    let client = || {
        let oauth = Oauth::builder(Credentials::new("test@example.com", "key")).base_url(server.url());
        oauth.http_client(http()).build().unwrap()
    };
    // As endpoints of different hosts, as endpoints of one host, and each with a member that all have.
    let kinds: [Kind<ScopeSet>; 3] = [
        ("hosts", |n| scopes(&[format!("GET:h{n}.openapi.it/a"), format!("GET:h{n}.openapi.it/b")])),
        ("paths", |n| scopes(&[format!("GET:h.openapi.it/a{n}"), format!("POST:h.openapi.it/a{n}")])),
        ("in common", |n| scopes(&["GET:h.openapi.it/base".to_owned(), format!("GET:h.openapi.it/a{n}")])),
    ];
    title("a token for a new set of scopes, among so many sets of several scopes (bar: log n)");
    for (name, set) in kinds {
        let among = |size: usize| {
            let (oauth, next) = (client(), Cell::new(0));
            let one_more = move |runtime: &Runtime| {
                runtime.block_on(oauth.token(&set(next.replace(next.get() + 1)))).unwrap();
            };
            (0..size).for_each(|_| one_more(runtime));
            one_more
        };
        for (few, many) in [(800, 8_000), (8_000, 80_000)] {
            let (a, b) = (among(few), among(many));
            bars.flat(&format!("{name}: {few}, {many}"), (few, many), || a(runtime), || b(runtime));
        }
    }
}

fn large_requests(runtime: &Runtime, bars: &Bars) {
    // On its own thread, in place of another machine.
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let emulator = Emulator::start().await.unwrap();
            let account = emulator.account();
            let account = (account.email().to_owned(), account.production_key().expose().to_owned());
            tell.send((emulator.production_url(), account)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let (url, (email, key)) = told.recv().unwrap();
    let http = http();
    let ask = |scopes: &str| {
        let request = http.post(format!("{url}/token")).basic_auth(&email, Some(&key)).body(scopes.to_owned());
        runtime.block_on(async {
            let answer = request.send().await.unwrap().error_for_status().unwrap();
            answer.bytes().await.unwrap().len()
        })
    };
    let kinds: [Kind<String>; 3] = [
        ("endpoints", |n| format!("\"GET:h.it/endpoint{n}\"")),
        ("hosts", |n| format!("\"GET:h{n}.openapi.it/a\"")),
        ("wildcards", |n| format!("\"*:*.h{n}.it/*\"")),
    ];
    title("the emulator's answer to so many scopes (bar: n log n)");
    for (name, scope) in kinds {
        let body = |count: usize| {
            let scopes = (0..count).map(scope).collect::<Vec<_>>().join(",");
            format!(r#"{{"scopes":[{scopes}],"ttl":3600}}"#)
        };
        for (few, many) in [(200, 2_000), (2_000, 20_000)] {
            let (a, b) = (body(few), body(many));
            bars.row(&format!("{name}: {few}, {many}"), (few, many), || ask(&a), || ask(&b));
        }
    }
}

fn messages(runtime: &Runtime, bars: &Bars) {
    title("an error with a message of so many bytes, in which secrets are looked for (bar: n log n)");
    // A text that is nearly a secret takes longest.
    let (email, key) = ("a".repeat(100), "a".repeat(100));
    let saying = |length: usize| {
        let text = "a".repeat(length);
        let server = Server::saying(format!(r#"{{"success":false,"message":"{text}","error":1,"data":null}}"#));
        let credentials = Credentials::new(email.clone() + "b@example.com", key.clone() + "b");
        Oauth::builder(credentials).base_url(server.url()).http_client(http()).build().unwrap()
    };
    let repeated = |length: usize| {
        let text = (key.clone() + "b").repeat(length / 101);
        let server = Server::saying(format!(r#"{{"success":false,"message":"{text}","error":1,"data":null}}"#));
        let credentials = Credentials::new(email.clone() + "b@example.com", key.clone() + "b");
        Oauth::builder(credentials).base_url(server.url()).http_client(http()).build().unwrap()
    };
    let kinds: [(&str, &dyn Fn(usize) -> Oauth); 2] = [("nearly secrets", &saying), ("secrets", &repeated)];
    for (name, client) in kinds {
        for (few, many) in [(1_000, 10_000), (10_000, 100_000)] {
            let (a, b) = (client(few), client(many));
            bars.row(
                &format!("{name}: {few}, {many}"),
                (few, many),
                || runtime.block_on(a.credit()).unwrap_err(),
                || runtime.block_on(b.credit()).unwrap_err(),
            );
        }
    }
}
