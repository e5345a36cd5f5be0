//! The forms of responses.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::emulator::clock::rfc3339;
use crate::emulator::message::Response;

/// A failure as version 2 sends it. Where no code is documented, it has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) code: Option<u16>,
    pub(super) message: &'static str,
}

impl Failure {
    pub(super) const fn new(status: u16, code: Option<u16>, message: &'static str) -> Self {
        Self { status, code, message }
    }

    /// Returns a documented failure.
    pub(super) const fn coded(status: u16, code: u16, message: &'static str) -> Self {
        Self::new(status, Some(code), message)
    }

    pub(super) fn response(self) -> Response {
        let body = json!({ "success": false, "message": self.message, "error": self.code, "data": null });
        Response::json(self.status, &body)
    }
}

/// Returns the response that has only `data`.
pub(super) fn data(data: &Value) -> Response {
    Response::json(200, &json!({ "data": data }))
}

/// Returns a time as all responses but those with a flat token show it.
pub(super) fn time(at: SystemTime) -> Value {
    rfc3339(at, "+00:00").into()
}
