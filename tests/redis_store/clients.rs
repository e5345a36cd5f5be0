//! Clients of the emulator that share a token through a server.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::ManualClock;
use gettone::emulator::{CLIENT_ID, CLIENT_SECRET, Emulator, PASSWORD, USERNAME};
use gettone::keliweb::{Credentials, Fatture};
use gettone::reqwest::{Client, Method, Request};

use super::common::engine::{Engine, Monitor, Options, Server};
use super::{keys, lock_key, open};

/// Returns the header that a call gets.
async fn authorized(fatture: &Fatture, url: &str) -> String {
    let mut request = Request::new(Method::GET, url.parse().unwrap());
    fatture.authorize(&mut request).await.unwrap();
    request.headers()["authorization"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_share_a_token_and_the_server_shows_nothing_of_it() {
    for engine in Engine::all() {
        let server = Server::start(engine, Options::new());
        let monitor = Monitor::start(&server);
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let emulator = Emulator::builder().clock(clock.clone()).start().await.unwrap();
        let url = emulator.url("/api/invoices");
        let mut clients = Vec::new();
        for _ in 0..2 {
            let credentials = Credentials::new(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD);
            let builder = Fatture::builder(credentials).base_url(emulator.keliweb_url()).clock(clock.clone());
            let http = Client::builder().no_proxy().build().unwrap();
            clients.push(builder.http_client(http).store(open(&server.url()).await).build().unwrap());
        }
        let mut seen = Vec::new();
        for hour in 0..3 {
            let first = authorized(&clients[hour % 2], &url).await;
            clients[hour % 2].wait_idle().await;
            // Right now, not some time later.
            assert_eq!(lock_key(&server), None);
            assert_eq!(authorized(&clients[(hour + 1) % 2], &url).await, first);
            assert_eq!((emulator.count("password_grant"), emulator.count("refresh")), (1, hour));
            seen.push(first.strip_prefix("Bearer ").unwrap().to_owned());
            clock.advance(Duration::from_secs(3600));
        }
        assert_eq!(keys(&server).len(), 1);
        let said = format!(
            "{}\n{:?}\n{}",
            monitor.lines().join("\n"),
            server.slowlog(),
            String::from_utf8_lossy(&server.rdb_bytes())
        );
        assert!(said.contains("HSET") && said.contains("g1."), "{said}");
        for secret in seen.iter().map(String::as_str).chain([CLIENT_SECRET, USERNAME, PASSWORD, CLIENT_ID]) {
            // As a whole word, since some of them are short.
            let is_word = |at: usize| {
                let next = said[at + secret.len()..].chars().next();
                let before = said[..at].chars().next_back();
                ![next, before].into_iter().flatten().any(char::is_alphanumeric)
            };
            assert!(!said.match_indices(secret).any(|(at, _)| is_word(at)), "the server shows {secret}");
        }
    }
}
