//! The answers of a service without faults, and the requests that it gets.

use std::sync::Arc;
use std::time::Duration;

use gettone::clock::{Clock, ManualClock};
use serde_json::{Value, json};

use crate::common::fake::{Received, Reply, answer};
use crate::common::services::{Operation, Service};
use crate::common::{iso, leaks, success_of, unix};

const JSON: &str = "content-type: application/json\r\n";
pub const CLOSE: &str = "connection: close\r\n";
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the operation that a request is of.
fn find(service: &Service, request: &Received) -> Option<&'static Operation> {
    let Received { method, target, body, .. } = request;
    let authorization = request.header("authorization");
    service.operations.iter().find(|operation| operation.is_asked_by(method, target, authorization, body))
}

/// Returns the name of the operation that a request is of.
pub fn operation(service: &Service, request: &Received) -> &'static str {
    match find(service, request) {
        Some(operation) => operation.name,
        None if request.is_empty() => RESET,
        None => "something else",
    }
}

/// Stands for a request that nobody read.
pub const RESET: &str = "reset";

/// Writes `1 refresh, 4 password_grant`.
pub fn in_a_line(operations: &[&str]) -> String {
    let runs = operations.chunk_by(|one, next| one == next);
    let all: Vec<String> = runs.map(|run| format!("{} {}", run.len(), run[0])).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// Answers each operation with its documented success. This token is among those of the account.
pub fn good(service: &'static Service, time: &Arc<ManualClock>, lost: Option<Value>, headers: &'static str) -> Reply {
    succeeding(service, time, headers, move |operation| {
        let mut body: Value = serde_json::from_str(success_of(operation).text()).unwrap();
        if operation.name == "list_tokens" {
            body["data"].as_array_mut().unwrap().extend(lost.clone());
        }
        body
    })
}

/// Answers with the token that a client holds before.
pub fn first(service: &'static Service, time: &Arc<ManualClock>) -> Reply {
    succeeding(service, time, CLOSE, |operation| leaks::issuing(operation, leaks::REFRESH_TOKEN))
}

/// Answers each operation with this body. If it is a token whose end the service names, that is in a day.
fn succeeding(
    service: &'static Service,
    time: &Arc<ManualClock>,
    headers: &'static str,
    body: impl Fn(&Operation) -> Value + Send + Sync + 'static,
) -> Reply {
    let time = Arc::clone(time);
    Reply::new(move |request| {
        let Some(operation) = find(service, request) else { return answer("400 Bad Request", CLOSE, "") };
        let mut body = body(operation);
        if let Some(end) = body.get_mut("expire") {
            *end = json!(unix(time.now() + DAY));
        }
        if let Some(end) = body.get_mut("expireAt") {
            *end = json!(iso(time.now() + DAY));
        }
        answer("200 OK", &format!("{JSON}{headers}"), &body.to_string())
    })
}
