//! The control interface over HTTP, and the page that shows the state.

#[path = "remote/changes.rs"]
mod changes;
#[path = "remote/contract.rs"]
mod contract;
#[path = "remote/guard.rs"]
mod guard;
#[cfg(unix)]
#[path = "remote/guide.rs"]
mod guide;
#[cfg(unix)]
#[path = "remote/page.rs"]
mod page;

use gettone::emulator::Emulator;
use serde_json::{Value, json};

use crate::common::http;
use crate::fixture::{Fixture, Response, start_with};

/// An emulator with the control interface, and a clock that stands still.
async fn start() -> Fixture {
    start_with(Emulator::builder().control(true)).await
}

impl Fixture {
    /// Sends a request of the interface. `path` is below the prefix; `null` is no body.
    async fn control(&self, method: &str, path: &str, body: Value) -> Response {
        let request = http().request(method.parse().unwrap(), self.emulator.url(&format!("/_emulator{path}")));
        let request = match body {
            Value::Null => request,
            body => request.header("content-type", "application/json").body(body.to_string()),
        };
        self.send(request).await
    }

    /// The same for a change that responds with nothing.
    async fn change(&self, method: &str, path: &str, body: Value) {
        let answer = self.control(method, path, body).await;
        assert_eq!((answer.status, answer.body), (204, Value::Null), "{method} {path}");
    }

    async fn state(&self) -> Value {
        let answer = self.control("GET", "/state", Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

/// Returns the fault of this kind, for the next request.
fn fault(kind: &str) -> Value {
    json!({ "kind": kind })
}
