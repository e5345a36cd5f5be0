//! What a service answers when all is well, and what it is asked.

use std::sync::Arc;
use std::time::Duration;

use gettone::clock::{Clock, ManualClock};
use serde_json::{Value, json};

use crate::common::fake::{Received, Reply, answer};
use crate::common::services::openapi_v1::{self, BASE};
use crate::common::{leaks, now, operations, success, unix};

const JSON: &str = "content-type: application/json\r\n";
pub const CLOSE: &str = "connection: close\r\n";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the name of the operation that a request is of.
pub fn operation(request: &Received) -> &'static str {
    let Received { method, target, body, .. } = request;
    match operations().find(|operation| operation.is_asked_by(method, target, body)) {
        Some(operation) => operation.name,
        None if request.is_empty() => RESET,
        None => "something else",
    }
}

/// In place of a request that nobody read.
pub const RESET: &str = "reset";

/// Writes `1 refresh, 4 password_grant`.
pub fn in_a_line(operations: &[&str]) -> String {
    let runs = operations.chunk_by(|one, next| one == next);
    let all: Vec<String> = runs.map(|run| format!("{} {}", run.len(), run[0])).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// Answers each operation with its documented success. A token that was made and lost when the time began, with this lifetime, is among those
/// of the account.
pub fn good(time: &Arc<ManualClock>, lost: Option<Duration>, headers: &'static str) -> Reply {
    succeeding(time, headers, move |name| {
        let mut body: Value = serde_json::from_str(success(name).text()).unwrap();
        if let ("list_tokens", Some(lifetime)) = (name, lost) {
            // The token tells when it was made, as those in the vendor's samples do.
            let token = format!("{:08x}0123456789abcdef", unix(now()));
            body["data"].as_array_mut().unwrap().push(openapi_v1::token(token, [BASE], unix(now() + lifetime)));
        }
        body
    })
}

/// Answers with the token that a client holds before.
pub fn first(time: &Arc<ManualClock>) -> Reply {
    succeeding(time, CLOSE, |name| leaks::issuing(name, leaks::REFRESH_TOKEN))
}

/// Answers each operation with this body. If it is a token whose end the service names, that is in a day.
fn succeeding(
    time: &Arc<ManualClock>,
    headers: &'static str,
    body: impl Fn(&str) -> Value + Send + Sync + 'static,
) -> Reply {
    let time = Arc::clone(time);
    Reply::new(move |request| {
        let name = operation(request);
        if operations().all(|known| known.name != name) {
            return answer("400 Bad Request", CLOSE, "");
        }
        let mut body = body(name);
        if let Some(end) = body.get_mut("expire") {
            *end = json!(unix(time.now() + DAY));
        }
        answer("200 OK", &format!("{JSON}{headers}"), &body.to_string())
    })
}
