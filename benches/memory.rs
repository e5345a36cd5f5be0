//! What a client with many keys holds: `cargo bench --bench memory`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod asked;
mod server;

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use gettone::openapi::{Credentials, Oauth};
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

/// All on this thread, whose allocations are counted.
fn ours(server: &Server, keys: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let oauth = Oauth::builder(Credentials::new("test@example.com", "key"))
        .base_url(server.url())
        .http_client(http)
        .build()
        .unwrap();
    let fetch = |number: usize| {
        let scopes = ScopeSet::parse([key(number)]).unwrap();
        runtime.block_on(oauth.token(&scopes)).unwrap();
    };
    // What a client holds with one key is not what a key costs.
    fetch(keys);
    let info = measure(|| (0..keys).for_each(fetch));
    info.bytes_current as f64 / keys as f64
}
