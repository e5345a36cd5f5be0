//! Each fault of the table as bytes, with all secrets that a service could repeat.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::fake::{Do, Received, Reply, answer};
use crate::common::leaks;
use crate::service::CLOSE;

const JSON: &str = "content-type: application/json\r\n";
const HTML: &str = "content-type: text/html\r\n";

/// A fault of the table.
pub struct Fault {
    pub name: &'static str,
    pub act: Do,
}

impl Fault {
    /// Returns the fault of this name: a status, with details after a comma, or another one.
    pub fn new(name: &'static str, clock: &Arc<ManualClock>) -> Self {
        let head = |head: &str| format!("HTTP/1.1 200 OK\r\n{head}\r\n");
        let body = |body: String| Do::answer("200 OK", JSON, &body);
        let act = match name {
            "connection refused" => Do::Refuse,
            "TLS without an end" => Do::Silence,
            "no TLS" => Do::Blurt(answer("400 Bad Request", HTML, "<html>plain HTTP</html>")),
            "closed before it, kept connection" => Do::Close,
            "reset before the request" => Do::Reset,
            "reset after the request" | "reset after it, kept connection" => Do::ResetAfter,
            "closed after the request" | "closed after it, kept connection" => Do::Hang,
            "half a head" => Do::Say("HTTP/1.1 200 OK\r\ncontent-le".to_owned()),
            "head without an end" => Do::Flood("HTTP/1.1 200 OK\r\nx-long: ".to_owned()),
            "no HTTP" => Do::Say(format!("SSH-2.0-OpenSSH_9.2 {}\r\n\r\n", issued())),
            "100 and no more" => Do::Say("HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
            "odd Content-Length" => Do::Say(head("content-length: many\r\n") + &issued()),
            "two Content-Lengths" => Do::Say(head("content-length: 10\r\ncontent-length: 11\r\n") + &issued()),
            "half an answer" => Do::Say(head("content-length: 9999\r\n") + &issued()),
            "half of the chunks" => Do::Say(head("transfer-encoding: chunked\r\n") + "5\r\n{\"data\r\n9\r\n:"),
            "odd chunks" => Do::Say(head("transfer-encoding: chunked\r\n") + "many\r\n{\"data"),
            "no answer" => Do::Sleep,
            "slow drip, head" => Do::Drip("HTTP/1.1 200 OK\r\nx-slow: ".to_owned()),
            "slow drip, body" => Do::Drip(head("content-length: 1000000\r\n")),
            "huge body" => Do::Flood(head(JSON)),
            "huge body, announced" => Do::Flood(head("content-length: 99999999\r\n")),
            "401, huge body" => Do::Flood("HTTP/1.1 401 Unauthorized\r\n\r\n".to_owned()),
            "401, half of it" => Do::Say("HTTP/1.1 401 Unauthorized\r\ncontent-length: 999\r\n\r\n{\"mess".to_owned()),
            "503, half of it" => Do::Say("HTTP/1.1 503 No\r\ncontent-length: 999\r\n\r\n{\"mess".to_owned()),
            "bad JSON" => body(format!("{{data: {}}}", issued())),
            "cut JSON" => body(format!("{{\"data\":{{\"token\":{}", issued())),
            "wrong types" => body(wrong_types().to_string()),
            "HTML" => Do::answer("200 OK", HTML, &page()),
            "blank" => Do::answer("200 OK", JSON, "\n"),
            "empty" => Do::answer("200 OK", "", ""),
            "204" => Do::Say(format!("HTTP/1.1 204 No Content\r\n{CLOSE}\r\n")),
            "101" => {
                Do::Say("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned())
            }
            "success: false" => {
                reply("200", |said| json!({ "success": false, "message": said, "error": 999, "data": null }))
            }
            "403, success: true" => reply("403", |said| json!({ "success": true, "message": said, "data": {} })),
            _ => status(name, clock),
        };
        Self { name, act }
    }

    /// Whether it happens on a connection that was used before.
    pub fn is_on_kept_connection(&self) -> bool {
        self.name.ends_with("kept connection")
    }

    pub fn is_of_tls(&self) -> bool {
        self.name.contains("TLS")
    }

    /// Whether the service receives a request.
    pub fn is_after_sending(&self) -> bool {
        !self.is_of_tls() && !matches!(self.act, Do::Refuse)
    }

    /// Whether the client waits for something that does not come.
    pub fn is_slow(&self) -> bool {
        matches!(self.act, Do::Sleep | Do::Drip(_) | Do::Silence)
    }

    pub fn is_a_flood(&self) -> bool {
        matches!(self.act, Do::Flood(_))
    }
}

/// Answers with a status, and with a page, a code, a `Retry-After`, or only a message.
fn status(name: &'static str, clock: &Arc<ManualClock>) -> Do {
    let (status, more) = name.split_once(", ").unwrap_or((name, ""));
    if let Some(form) = more.strip_prefix("Retry-After ") {
        let (form, clock) = (form.to_owned(), Arc::clone(clock));
        return Do::Reply(Reply::new(move |request| {
            let body = json!({ "message": format!("Too Many Attempts. {}", told_back(request)) });
            answer(&line(status), &(retry_after(&form, clock.now()) + CLOSE), &body.to_string())
        }));
    }
    match more {
        "elsewhere" => Do::answer(&line(status), &format!("{CLOSE}location: /maintenance\r\n"), ""),
        "HTML" => Do::answer(&line(status), HTML, &page()),
        "" => reply(status, |said| json!({ "message": said, "data": null })),
        code => {
            let code = code.strip_prefix("code ").expect("a fault that is known");
            let code = code.parse::<u32>().map_or(json!(code), |code| json!(code));
            reply(
                status,
                move |said| json!({ "success": false, "message": said, "error": code, "hint": said, "data": null }),
            )
        }
    }
}

/// Answers with the secrets of the request. A redirect leads back to the service, which would count the request.
fn reply(status: &str, body: impl Fn(String) -> Value + Send + Sync + 'static) -> Do {
    let line = line(status);
    let redirects = status.starts_with('3');
    Do::Reply(Reply::new(move |request| {
        let mut headers = format!("{CLOSE}{JSON}x-told-back: {}\r\n", leaks::API_KEY);
        if redirects {
            let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            headers += &format!("location: http://{host}/login?was={}\r\n", leaks::API_KEY);
        }
        answer(&line, &headers, &body(told_back(request)).to_string())
    }))
}

fn line(status: &str) -> String {
    let code = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()).expect("a fault that is known");
    format!("{status} {}", code.canonical_reason().unwrap_or("Unknown"))
}

/// Lists every secret of a request, as it is and as it was sent.
fn told_back(request: &Received) -> String {
    let sent = [
        (leaks::CLIENT_SECRET, leaks::CLIENT_SECRET),
        ("pass+word%2F%C3%A8-77aa", leaks::PASSWORD),
        (leaks::REFRESH_TOKEN, leaks::REFRESH_TOKEN),
        ("access%2Ftoken-9b2d", leaks::ACCESS_TOKEN),
        (leaks::ISSUED_ACCESS, leaks::ISSUED_ACCESS),
        (leaks::BASIC, leaks::API_KEY),
    ];
    let held = sent.into_iter().filter(|(sent, _)| request.contains(sent));
    held.map(|(sent, secret)| format!("no: {sent} ({secret}) ")).collect()
}

fn issued() -> String {
    let (access, refresh) = (leaks::ISSUED_ACCESS, leaks::ISSUED_REFRESH);
    json!({ "access_token": access, "refresh_token": refresh, "token": access, "refreshToken": refresh }).to_string()
}

fn page() -> String {
    format!("<!doctype html><title>{}</title>{}", leaks::PASSWORD, issued())
}

/// A body that no operation reads, with secrets in unexpected places.
fn wrong_types() -> Value {
    json!({
        "data": leaks::ISSUED_ACCESS, "scopes": leaks::ISSUED_ACCESS, "expire": leaks::ISSUED_ACCESS, "token": [leaks::ISSUED_ACCESS],
        "token_type": 7, "expires_in": leaks::ISSUED_REFRESH, "access_token": { leaks::ISSUED_ACCESS: 1 }, "refresh_token": [],
        "expireAt": leaks::ISSUED_ACCESS, "refreshToken": [leaks::ISSUED_REFRESH],
        "success": "perhaps", "message": [leaks::ISSUED_REFRESH], "error": { leaks::ISSUED_REFRESH: 1 },
    })
}

/// Writes the header in one of its forms (RFC 9110, sections 10.2.3 and 5.6.7).
fn retry_after(form: &str, now: SystemTime) -> String {
    let date = |seconds: u64| httpdate::fmt_http_date(now + Duration::from_secs(seconds));
    // Sun, 06 Nov 1994 08:49:37 GMT
    let parts = |date: &str| -> Vec<String> { date.split([' ', ',']).map(str::to_owned).collect() };
    let value = match form {
        "date 7" => date(7),
        "date 31" => date(31),
        "RFC 850 date 7" => {
            let all = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
            let parts = parts(&date(7));
            let day = all.into_iter().find(|day| day.starts_with(&parts[0])).unwrap();
            format!("{day}, {}-{}-{} {} GMT", parts[2], parts[3], &parts[4][2..], parts[5])
        }
        "asctime date 7" => {
            let parts = parts(&date(7));
            format!("{} {} {:>2} {} {}", parts[0], parts[3], parts[2].trim_start_matches('0'), parts[5], parts[4])
        }
        // By a clock that is an hour ahead, with its date.
        "date 7 of theirs" => format!("{}\r\ndate: {}", date(3607), date(3600)),
        "date past" => httpdate::fmt_http_date(now - Duration::from_secs(3600)),
        "nonsense" => format!("soon {}", leaks::ISSUED_ACCESS),
        "blank" => String::new(),
        number => number.parse::<f64>().map(|_| number.to_owned()).expect("a form that is known"),
    };
    format!("retry-after: {value}\r\n")
}
