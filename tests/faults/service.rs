//! What a service answers when all is well, and what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gettone::clock::{Clock, ManualClock};
use serde_json::{Value, json};

use crate::common::raw::{Reply, answer};
use crate::common::{OPERATIONS, leaks, now, success, unix};

const JSON: &str = "content-type: application/json\r\n";
pub const CLOSE: &str = "connection: close\r\n";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The operation that a request asks for.
pub fn operation(request: &str) -> &'static str {
    let mut line = request.split(' ');
    let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let path: Vec<&str> = target.split(['/', '?']).skip(1).collect();
    match (method, path.as_slice()) {
        ("POST", ["oauth", "token"]) if request.contains("grant_type=password") => "password_grant",
        ("POST", ["oauth", "token"]) => "refresh",
        ("POST", ["token"]) => "create_token",
        ("GET", ["token"]) => "list_tokens",
        ("GET", ["token", query]) if query.starts_with("scope=") => "list_tokens",
        ("GET", ["token", _]) => "find_token",
        ("PUT", ["token", _]) => "replace_token",
        ("PATCH", ["token", _]) => "update_token",
        ("DELETE", ["token", _]) => "delete_token",
        ("GET", ["scopes"]) => "list_scopes",
        ("GET", ["credit"]) => "get_credit",
        ("GET", ["counters", "total"]) => "counters_total",
        ("GET", ["counters", "day", _]) => "counters_day",
        ("GET", ["counters", "month", _]) => "counters_month",
        ("GET", ["counters", "year", _]) => "counters_year",
        _ if request.is_empty() => RESET,
        _ => "something else",
    }
}

/// In place of a request that nobody read.
pub const RESET: &str = "reset";

/// `1 refresh, 4 password_grant`
pub fn in_a_line(operations: &[&str]) -> String {
    let runs = operations.chunk_by(|one, next| one == next);
    let all: Vec<String> = runs.map(|run| format!("{} {}", run.len(), run[0])).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// What is documented as the answer to each operation; a token that was made, with this lifetime, and lost when the time began is
/// among those of the account, if there is one. Where the end of a token depends on when it was made, it does here.
pub fn good(time: &Arc<ManualClock>, lost: Option<Duration>, headers: &'static str) -> Reply {
    static EXAMPLES: OnceLock<BTreeMap<&str, String>> = OnceLock::new();
    let examples = || OPERATIONS.into_iter().map(|name| (name, success(name).text().to_owned())).collect();
    let time = Arc::clone(time);
    Reply::new(move |request| {
        let name = operation(request);
        let Some(example) = EXAMPLES.get_or_init(examples).get(name) else {
            return answer("400 Bad Request", CLOSE, "");
        };
        let mut body: Value = serde_json::from_str(example).unwrap();
        let end = unix(time.now() + DAY);
        match name {
            "create_token" => body["expire"] = json!(end),
            "list_tokens" => {
                let token = lost.map(|lifetime| {
                    let end = unix(now() + lifetime);
                    // It tells when it was made, as the vendor's samples do.
                    let token = format!("{:08x}0123456789abcdef", unix(now()));
                    json!({ "scopes": ["GET:imprese.openapi.it/base"], "expire": end, "token": token })
                });
                body["data"].as_array_mut().unwrap().extend(token);
            }
            _ => {}
        }
        answer("200 OK", &format!("{JSON}{headers}"), &body.to_string())
    })
}

/// The token that a client holds before.
pub fn first(time: &Arc<ManualClock>) -> Reply {
    let time = Arc::clone(time);
    Reply::new(move |request| {
        let body = match operation(request) {
            "create_token" => json!({
                "scopes": ["GET:imprese.openapi.it/base"], "expire": unix(time.now() + DAY), "token": leaks::ISSUED_ACCESS,
            }),
            _ => json!({
                "token_type": "Bearer", "expires_in": 3600, "access_token": leaks::ISSUED_ACCESS,
                "refresh_token": leaks::REFRESH_TOKEN,
            }),
        };
        answer("200 OK", &format!("{JSON}{CLOSE}"), &body.to_string())
    })
}
