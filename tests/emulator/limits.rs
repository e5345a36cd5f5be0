//! Programs on the same machine that send too much, send half a request, or read no response.

use std::time::Duration;

use gettone::emulator::Emulator;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::common::http;
use crate::fixture::*;

/// Ends a test that hangs. An unoptimized build with a quadratic algorithm takes longer than this.
const LONGEST: Duration = Duration::from_secs(20);

/// The largest possible requests, for each operation that takes scopes.
#[tokio::test]
async fn a_request_for_very_many_scopes_is_fast() {
    type Named = (&'static str, fn(usize) -> String);
    let kinds: [Named; 4] = [
        ("endpoints", |n| format!("GET:h.it/endpoint{n}")),
        ("hosts", |n| format!("GET:host{n}.it/a")),
        ("wildcards", |n| format!("*:*.h{n}.it/*")),
        ("all the same", |_| "*:*/*".to_owned()),
    ];
    let catalogue = || (0..300).map(|n| format!("GET:service{n}.it/base").parse().unwrap());
    for (name, scope) in kinds {
        let fixture = start_with(Emulator::builder().catalog(catalogue())).await;
        let token = fixture.make(&[BASE]).await;
        let mut scopes: Vec<String> = (0..).take(30_000).map(scope).collect();
        while json!(scopes).to_string().len() > 1_000_000 {
            scopes.truncate(scopes.len() - 1_000);
        }
        let account = fixture.emulator.account();
        let ask = async |method: &str, path: &str| {
            let request =
                http().request(method.parse().unwrap(), format!("{}{path}", fixture.emulator.production_url()));
            let request = request.basic_auth(account.email(), Some(account.production_key().expose()));
            let answer = request.body(json!({ "scopes": scopes, "ttl": 60 }).to_string()).send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        };
        for (method, path) in
            [("POST", "/token"), ("PATCH", &format!("/token/{token}")), ("PUT", &format!("/token/{token}"))]
        {
            let (status, answer) =
                timeout(LONGEST, ask(method, path)).await.unwrap_or_else(|_| panic!("{name}: {method}"));
            assert_eq!(status, 200, "{name}: {method}");
            let granted = if method == "POST" { &answer["scopes"] } else { &answer["data"][0]["scopes"] };
            let expected = match name {
                "wildcards" => 0,
                // Including the scopes of `/echo`.
                "all the same" => 300 + 10,
                _ => scopes.len(),
            };
            assert_eq!(granted.as_array().unwrap().len(), expected, "{name}: {method}");
        }
    }
}

/// Whatever is missing, the connection is closed and the request is not processed.
#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_half_a_request_is_closed() {
    let head = "POST /production/token HTTP/1.1\r\nhost: 127.0.0.1\r\n";
    let whole = "GET /production/token HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    for (name, sent, answers) in [
        ("nothing", String::new(), 0),
        ("half a line", "POST /prod".to_owned(), 0),
        ("half of the headers", head.to_owned(), 0),
        ("no body", format!("{head}content-length: 100\r\n\r\n"), 0),
        ("half a body", format!("{head}content-length: 100\r\n\r\n{{\"scopes\":"), 0),
        ("half a chunk", format!("{head}transfer-encoding: chunked\r\n\r\n64\r\nabc"), 0),
        ("no second request", whole.to_owned(), 1),
        ("half a second request", format!("{whole}{head}"), 1),
    ] {
        let emulator = Emulator::start().await.unwrap();
        let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let (start, mut answer) = (Instant::now(), String::new());
        // The connection may be reset.
        let _ = timeout(Duration::from_secs(3600), stream.read_to_string(&mut answer))
            .await
            .unwrap_or_else(|_| panic!("{name}: the connection stays open"));
        let waited = start.elapsed().as_secs();
        assert!((29..=31).contains(&waited), "{name}: closed after {waited} s");
        assert_eq!(answer.matches("HTTP/1.1 401 ").count(), answers, "{name}: {answer}");
        assert_eq!(emulator.requests().len(), answers, "{name}");
    }
}

/// One byte every ten seconds: always progress, never a whole request.
#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_its_request_byte_by_byte_is_closed() {
    for whole in [
        "GET /production/token HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        "POST /production/token HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n\r\n",
    ] {
        let emulator = Emulator::start().await.unwrap();
        let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
        let head = whole.strip_suffix("\r\n\r\n").filter(|_| whole.starts_with("GET")).unwrap_or(whole);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = 0;
        while bytes < 100 {
            tokio::time::advance(Duration::from_secs(10)).await;
            let is_closed =
                matches!(timeout(Duration::from_secs(1), stream.read(&mut [0; 100])).await, Ok(Ok(0) | Err(_)));
            if is_closed || stream.write_all(b"x").await.is_err() {
                break;
            }
            bytes += 1;
        }
        assert!((1..=4).contains(&bytes), "{whole}: closed after {bytes} bytes");
        assert_eq!(emulator.requests().len(), 0);
    }
}

/// A client that sends requests and never reads.
#[tokio::test(start_paused = true)]
async fn a_connection_that_reads_no_response_is_closed() {
    let emulator = Emulator::start().await.unwrap();
    let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
    let request = "GET /production/token HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".repeat(1_000);
    // Until the buffers of both sides are full: then the emulator stops writing, and then reading.
    let error = timeout(Duration::from_secs(3600), async {
        loop {
            if let Err(error) = stream.write_all(request.as_bytes()).await {
                break error;
            }
        }
    });
    let error = error.await.expect("the connection stays open");
    let closed = [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::ConnectionReset];
    assert!(closed.contains(&error.kind()), "{error:?}");
}
