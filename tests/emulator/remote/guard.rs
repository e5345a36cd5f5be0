//! Who may use the interface: programs on this machine, never a page in a browser.

use std::time::Duration;

use gettone::emulator::{Emulator, Fault};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{fault, start};
use crate::common::http;
use crate::fixture::start_with;

#[tokio::test]
async fn the_interface_and_the_page_are_off_unless_a_program_turns_them_on() {
    let fixture = crate::fixture::start().await;
    for path in ["/_emulator/state", "/_emulator", "/"] {
        assert_eq!(fixture.send(http().get(fixture.emulator.url(path))).await.status, 404);
    }
    assert_eq!(fixture.emulator.count("unknown"), 3);
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_read_nor_change_anything() {
    let fixture = start().await;
    let port = fixture.emulator.address().port();
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("LOCALHOST:{port}")];
    let foreign = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("evil127.0.0.1:{port}"),
        format!("user@127.0.0.1:{port}"),
        format!("0.0.0.0:{port}"),
        // The emulator does not listen there, but another server may.
        format!("[::1]:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port ^ 1),
        "localhost:80".to_owned(),
        "null".to_owned(),
        String::new(),
    ];
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = http().post(fixture.emulator.url("/_emulator/faults"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-type", "application/json").body(fault("lost_response").to_string());
        let answer = fixture.send(request).await;
        // Nobody is told that another site may read this.
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
        answer.status
    };
    for host in &own {
        assert_eq!(ask(&[("host", host)]).await, 204, "{host}");
        let origin = format!("http://{host}");
        assert_eq!(
            ask(&[("host", host), ("origin", &origin), ("sec-fetch-site", "same-origin")]).await,
            204,
            "{origin}"
        );
    }
    assert_eq!(ask(&[("sec-fetch-site", "none")]).await, 204);
    let waiting = fixture.state().await["faults"].as_array().unwrap().len();
    assert_eq!(waiting, 7);
    for host in &foreign {
        assert_eq!(ask(&[("host", host)]).await, 421, "{host}");
        for origin in [format!("http://{host}"), format!("https://{host}"), host.clone()] {
            assert_eq!(ask(&[("origin", &origin)]).await, 403, "{origin}");
        }
    }
    // Another origin on this machine.
    assert_eq!(ask(&[("host", &own[0]), ("origin", &format!("http://{}", own[1]))]).await, 403);
    let https = format!("https://{}", own[0]);
    assert_eq!(ask(&[("origin", &https)]).await, 403);
    for site in ["cross-site", "same-site", "same-origin-not"] {
        assert_eq!(ask(&[("sec-fetch-site", site)]).await, 403, "{site}");
    }
    assert_eq!(fixture.state().await["faults"].as_array().unwrap().len(), waiting, "nothing was changed");
    // A preflight is rejected too, so that a browser does not send what it asks for.
    let preflight = http().request("OPTIONS".parse().unwrap(), fixture.emulator.url("/_emulator/reset"));
    let preflight = preflight.header("origin", "https://evil.example").header("access-control-request-method", "POST");
    assert_eq!(fixture.send(preflight).await.status, 403);
}

#[tokio::test]
async fn a_host_of_the_catalog_gets_neither_the_page_nor_the_interface() {
    let fixture = start().await;
    for (path, status) in [("/", 401), ("/_emulator/state", 421)] {
        let request = http().get(fixture.emulator.url(path)).header("host", "imprese.openapi.it");
        assert_eq!(fixture.send(request).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_to_read_is_rejected() {
    let fixture = start().await;
    let mut stream = TcpStream::connect(fixture.emulator.address()).await.unwrap();
    let head = format!(
        "PUT /_emulator/credit HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n",
        fixture.emulator.address()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sent = tokio::spawn(async move { while writer.write_all(&[b'x'; 1 << 16]).await.is_ok() {} });
    let mut first = [0; 12];
    tokio::time::timeout(Duration::from_secs(60), reader.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(first, *b"HTTP/1.1 413");
    sent.abort();
}

#[tokio::test]
async fn requests_of_the_interface_are_not_recorded_and_never_fail() {
    let fixture = start().await;
    fixture.emulator.fail_next(10, Fault::LostRequest);
    fixture.emulator.set_latency(Duration::from_secs(100_000));
    for path in ["/_emulator/state", "/_emulator/requests", "/_emulator/nothing", "/"] {
        let status = fixture.send(http().get(fixture.emulator.url(path))).await.status;
        assert_eq!(status, if path.ends_with("nothing") { 404 } else { 200 }, "{path}");
    }
    assert!(fixture.emulator.requests().is_empty());
    assert_eq!(fixture.state().await["faults"], json!([{ "kind": "lost_request", "times": 10, "on": "" }]));
}

/// Nothing that a request can contain ends the emulator, or changes it in part.
#[tokio::test]
async fn a_wrong_body_is_named_and_changes_nothing() {
    let fixture = start_with(Emulator::builder().control(true)).await;
    let before = fixture.state().await;
    let settings = fixture.control("GET", "/settings", Value::Null).await.body;
    let huge = json!(1e300);
    for (method, path, body, expected) in [
        ("POST", "/faults", json!({}), "missing field `kind`"),
        (
            "POST",
            "/faults",
            json!({ "kind": "statuses" }),
            "unknown variant `statuses`, expected one of `status`, `html`",
        ),
        ("POST", "/faults", json!({ "kind": "status" }), "needs a \"status\""),
        ("POST", "/faults", json!({ "kind": "html", "status": 502, "retry_after": 1 }), "\"retry_after\" goes with"),
        ("POST", "/faults", json!({ "kind": "lost_request", "status": 500 }), "neither \"status\" nor"),
        ("POST", "/faults", json!({ "kind": "status", "status": 101 }), "from 200 to 599"),
        ("POST", "/faults", json!({ "kind": "status", "status": 70_000 }), "70000"),
        (
            "POST",
            "/faults",
            json!({ "kind": "status", "status": 503, "time": 1 }),
            "unknown field `time`, expected one of",
        ),
        ("POST", "/faults", json!({ "kind": "lost_request", "times": -1 }), "-1"),
        ("POST", "/faults", json!({ "kind": "lost_request", "times": 0 }), "1 or more"),
        ("POST", "/faults", json!({ "kind": "lost_request", "on": "post /tokens" }), "a method in capitals"),
        ("POST", "/faults", json!({ "kind": "lost_request", "on": "POST tokens" }), "a method in capitals"),
        ("PUT", "/latency", json!({ "seconds": -1 }), "from 0 to 3600"),
        ("PUT", "/latency", json!({ "seconds": 3601 }), "from 0 to 3600"),
        ("PUT", "/latency", json!({ "seconds": "1" }), "invalid type: string"),
        ("POST", "/advance", json!({ "seconds": huge }), "\"seconds\" is 1"),
        ("PUT", "/activation-delay", json!({ "seconds": huge }), "\"seconds\" is 1"),
        ("PUT", "/credit", json!({}), "missing field `amount`"),
        ("PUT", "/credit", json!({ "amount": -1 }), "\"amount\" is -1"),
        ("PUT", "/credit", json!({ "amount": huge }), "\"amount\" is 1"),
        ("PUT", "/grants", json!({ "scopes": ["nothing"] }), "nothing"),
        ("PUT", "/grants", json!({ "scopes": "GET:a.it/b" }), "invalid type: string"),
        ("PUT", "/single", json!({ "token": "x" }), "missing field `single`"),
        ("POST", "/callbacks", json!({ "scope": "x", "url": "y", "status": 200 }), "x"),
        (
            "POST",
            "/callbacks",
            json!({ "scope": "GET:a.it/b", "url": "y".repeat(2_049), "status": 200 }),
            "`url` has 2049 bytes; expected at most 2048",
        ),
        ("POST", "/revoke", json!({ "all": true }), "takes no body"),
        ("DELETE", "/faults", json!([]), "takes no body"),
        (
            "PATCH",
            "/settings",
            json!({ "price": 9, "token_envelope": "flut" }),
            "\"token_envelope\" is \"flut\"; expected one of flat, wrapped",
        ),
        ("PATCH", "/settings", json!({ "strict": true, "price": -1 }), "\"price\" is -1"),
        (
            "PATCH",
            "/settings",
            json!({ "strict": true, "limits": [{ "pattern": "*:a.it/*", "calls": true }] }),
            "\"calls\" is",
        ),
        ("PATCH", "/settings", json!({ "strict": true, "disabled": ["?"] }), "?"),
        ("PATCH", "/settings", json!({ "throttle": -1 }), "-1"),
        ("GET", "/requests?limit=x", Value::Null, "\"limit\": invalid digit"),
        ("GET", "/requests?limit=1&limit=2", Value::Null, "occurs twice"),
        ("GET", "/tokens?api=openapi", Value::Null, "expected one of production, sandbox"),
        ("GET", "/tokens?is_valid=1", Value::Null, "true or false"),
        ("GET", "/state?x=1", Value::Null, "takes no query"),
    ] {
        let answer = fixture.control(method, path, body.clone()).await;
        let message = answer.body["message"].as_str().unwrap();
        assert_eq!(answer.status, 400, "{method} {path} {body}: {message}");
        let place = format!("{method} /_emulator{}: ", path.split('?').next().unwrap());
        assert!(message.starts_with(&place) && message.contains(expected), "{body}: {message}");
    }
    // No text, no JSON, and JSON that is too deep.
    for body in [&b"\xff\xfe"[..], b"", b"{", b"null", "[".repeat(60_000).as_bytes()] {
        let request = http().put(fixture.emulator.url("/_emulator/credit")).header("content-type", "application/json");
        assert_eq!(fixture.send(request.body(body.to_vec())).await.status, 400);
    }
    assert_eq!(fixture.state().await, before);
    assert_eq!(fixture.control("GET", "/settings", Value::Null).await.body, settings);
}

#[tokio::test]
async fn a_thousand_faults_wait_and_no_more() {
    let fixture = start().await;
    for _ in 0..1_000 {
        fixture.change("POST", "/faults", fault("lost_request")).await;
    }
    let answer = fixture.control("POST", "/faults", fault("lost_request")).await;
    assert!(answer.status == 400 && answer.body["message"].as_str().unwrap().contains("clear them"), "{answer:?}");
    fixture.change("DELETE", "/faults", Value::Null).await;
    fixture.change("POST", "/faults", fault("lost_request")).await;
}
