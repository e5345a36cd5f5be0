//! Instructions of one call, counted by valgrind: for short calls steadier than time. Run `cargo bench --bench
//! instructions`. Without valgrind it prints that and does nothing.
#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used)]

mod asked;
mod coarse;
mod server;

use std::hint::black_box;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use coarse::coarse;
use gettone::openapi::{Credentials, v1::Oauth};
use gettone::{AccessToken, Scope, ScopePattern, ScopeSet, reqwest};
use serde::Deserialize;
use server::Server;

/// Two numbers of calls whose instructions are counted. The difference leaves out what happens only once.
const CALLS: [u64; 2] = [500, 2_500];

/// The name of each counted call, and its reference.
const ROWS: [(&str, &str, &str); 8] = [
    ("a pattern covers a scope", "covers", "strings"),
    ("a set of 10,000 covers a scope", "set", "strings"),
    ("a scope is parsed", "parse", "copy"),
    ("a token through a handle", "handle", "bare"),
    ("a token by a set of 1", "by-1", "handle"),
    ("a token by a set of 10", "by-10", "handle"),
    ("a token by a set of 1 among 10,000 keys", "among", "by-1"),
    ("a typed call (credit), against by hand", "typed", "by-hand"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run", name, calls, url] => run(name, calls.parse().unwrap(), url),
        _ if asked::for_figures() => count_all(),
        _ => {}
    }
}

fn count_all() {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("valgrind is not installed: nothing is counted");
        return;
    }
    // Not counted.
    let server = Server::start(Duration::ZERO);
    println!("{:<52} {:>12} {:>12} {:>8}", "instructions of one call", "reference", "this", "ratio");
    for (name, subject, reference) in ROWS {
        let (a, b) = (count(reference, &server.url()), count(subject, &server.url()));
        println!("{name:<52} {a:>12.0} {b:>12.0} {:>7.2}x", b / a);
    }
}

/// Returns the instructions of one call.
fn count(name: &str, url: &str) -> f64 {
    let [few, many] = CALLS.map(|calls| {
        let output = Command::new("valgrind")
            .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
            .arg(std::env::current_exe().unwrap())
            .args(["run", name, &calls.to_string(), url])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let refs = said.lines().find_map(|line| line.split_once("refs:")).unwrap_or_else(|| panic!("{said}")).1;
        refs.replace(',', "").trim().parse::<f64>().unwrap()
    });
    (many - few) / (CALLS[1] - CALLS[0]) as f64
}

fn ignore<T>(_: T) {}

/// Runs a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn run(name: &str, calls: u64, url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
    let set = |number: usize| ScopeSet::parse((0..number).map(|n| format!("GET:h{n}.openapi.it/base"))).unwrap();
    let oauth = || {
        let credentials = Credentials::new("test@example.com", "key");
        Oauth::builder(credentials).base_url(url).http_client(http.clone()).build().unwrap()
    };
    let text = "GET:imprese.openapi.it/base";
    let (pattern, scope): (ScopePattern, Scope) = (text.parse().unwrap(), text.parse().unwrap());
    let each = |act: &mut dyn FnMut()| (0..calls).for_each(|_| act());
    match name {
        "strings" => {
            let (a, b) = (text.to_owned(), text.to_owned());
            each(&mut || ignore(black_box(black_box(a.as_str()) == black_box(b.as_str()))));
        }
        "copy" => each(&mut || ignore(black_box(black_box(text).to_owned()))),
        "parse" => each(&mut || ignore(black_box(black_box(text).parse::<Scope>()))),
        "covers" => each(&mut || ignore(black_box(black_box(&pattern).covers(black_box(&scope))))),
        "set" => {
            let (set, scope) = (set(10_000), "GET:h7.openapi.it/base".parse().unwrap());
            each(&mut || ignore(black_box(black_box(&set).covers(black_box(&scope)))));
        }
        "bare" => {
            // Reads the clocks that the client reads, so that the difference is the client's.
            let end = coarse().0 + Duration::from_secs(86_400);
            let bare = ArcSwap::from_pointee((AccessToken::new("token"), end));
            each(&mut || {
                let held = bare.load();
                ignore(black_box((black_box(coarse()).0 < held.1).then(|| held.0.clone())));
            });
        }
        "handle" => {
            let handle = oauth().token_for(&set(1));
            runtime.block_on(handle.get()).unwrap();
            each(&mut || ignore(black_box(at_once(handle.get()))));
        }
        "by-1" | "by-10" => {
            let (oauth, set) = (oauth(), set(if name == "by-1" { 1 } else { 10 }));
            runtime.block_on(oauth.token(&set)).unwrap();
            each(&mut || ignore(black_box(at_once(oauth.token(&set)))));
        }
        "among" => {
            let oauth = oauth();
            for n in 0..10_000 {
                let one = ScopeSet::parse([format!("GET:other{n}.openapi.it/base")]).unwrap();
                drop(oauth.token_for(&one));
            }
            let set = set(1);
            runtime.block_on(oauth.token(&set)).unwrap();
            each(&mut || ignore(black_box(at_once(oauth.token(&set)))));
        }
        "typed" => {
            let oauth = oauth();
            each(&mut || ignore(black_box(runtime.block_on(oauth.credit()).unwrap())));
        }
        "by-hand" => {
            #[derive(Deserialize)]
            #[allow(dead_code)]
            struct Answer {
                data: Credit,
                success: bool,
                message: String,
                error: Option<u32>,
            }
            #[derive(Deserialize)]
            struct Credit {
                credit: f64,
            }
            let url = format!("{url}/credit");
            let call = async || {
                let request = http.get(&url).basic_auth("test@example.com", Some("key"));
                let response = request.send().await.unwrap().error_for_status().unwrap();
                let answer: Answer = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
                answer.data.credit
            };
            each(&mut || ignore(black_box(runtime.block_on(call()))));
        }
        name => panic!("no case `{name}`"),
    }
}
