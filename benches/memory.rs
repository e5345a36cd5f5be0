//! The memory of a client with many keys, and what is left of a million tokens that were created by hand: `cargo bench --bench
//! memory`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod asked;
mod server;

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use gettone::openapi::{Credentials, Ttl, v1::Oauth};
use gettone::{ScopeSet, reqwest};
use server::Server;

fn main() {
    if !asked::for_figures() {
        return;
    }
    let server = Server::start(Duration::ZERO);
    println!("memory for each key, in bytes; the reference is a HashMap<String, (String, Instant)> of the same tokens");
    println!("{:>9} {:>12} {:>12} {:>8}", "keys", "reference", "this", "ratio");
    for keys in [100, 1_000, 10_000] {
        let (bare, ours) = (bare(keys), ours(&server, keys));
        println!("{keys:>9} {bare:>12.0} {ours:>12.0} {:>7.2}x", ours / bare);
    }
    made_by_hand(&server);
}

/// Creates tokens with `create_token`. They belong to the caller: the client stores none, and the last costs what the first did.
fn made_by_hand(server: &Server) {
    const CALLS: u32 = 200_000;
    let (runtime, oauth) = client(server);
    let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base"]).unwrap();
    let ttl = Ttl::days(365).unwrap();
    let make = || drop(runtime.block_on(oauth.create_token(&scopes, ttl)).unwrap());
    make();
    println!("\n`create_token`: the bytes that stay of all calls so far, and the time for each since the line before");
    println!("{:>9} {:>12} {:>12} {:>8}", "calls", "bytes", "us", "ratio");
    let (mut stays, mut first) = (0, None);
    for point in 1..=5 {
        let started = Instant::now();
        stays += measure(|| (0..CALLS).for_each(|_| make())).bytes_current;
        let each = started.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS);
        println!("{:>9} {stays:>12} {each:>12.1} {:>7.2}x", point * CALLS, each / *first.get_or_insert(each));
    }
}

/// Returns a client that does everything on this thread, whose allocations are counted.
fn client(server: &Server) -> (tokio::runtime::Runtime, Oauth) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let builder = Oauth::builder(Credentials::new("test@example.com", "key")).base_url(server.url());
    (runtime, builder.http_client(http).build().unwrap())
}

fn key(number: usize) -> String {
    format!("GET:service{number}.openapi.it/base")
}

fn bare(keys: usize) -> f64 {
    let token = |number| (format!("t{number}"), Instant::now());
    let mut map = HashMap::new();
    let info = measure(|| map.extend((0..keys).map(|number| (key(number), token(number)))));
    black_box(map);
    info.bytes_current as f64 / keys as f64
}

fn ours(server: &Server, keys: usize) -> f64 {
    let (runtime, oauth) = client(server);
    let fetch = |number: usize| {
        let scopes = ScopeSet::parse([key(number)]).unwrap();
        runtime.block_on(oauth.token(&scopes)).unwrap();
    };
    // The memory of a client with one key is not the cost of a key.
    fetch(keys);
    let info = measure(|| (0..keys).for_each(fetch));
    info.bytes_current as f64 / keys as f64
}
