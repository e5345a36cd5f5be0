//! The logs of an account: calls that failed, and callbacks that were delivered.

use std::net::IpAddr;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::Call;
use super::answer::{Failure, data, time};
use super::page::Page;
use crate::emulator::message::Response;
use crate::emulator::openapi::ledger::Ledger;
use crate::emulator::openapi::log::Log;
use crate::emulator::openapi::unique_id;
use crate::scope::Scope;

const CALLBACK_NOT_FOUND: Failure = Failure::coded(404, 200, "Callback not found");

#[derive(Default)]
pub(crate) struct Logs {
    errors: Log<(String, Failed)>,
    callbacks: Log<Callback>,
}

/// A call that failed.
pub(crate) struct Failed {
    /// The method, the host and the first segment of the path.
    pub(crate) scope: String,
    pub(crate) domain: String,
    pub(crate) at: SystemTime,
    pub(crate) status: u16,
    /// The code; `null` if there is none.
    pub(crate) code: Value,
    pub(crate) message: &'static str,
    pub(crate) address: IpAddr,
}

struct Callback {
    id: String,
    scope: Scope,
    url: String,
    status: u16,
    at: SystemTime,
}

impl Logs {
    pub(crate) fn fail(&mut self, failed: Failed) {
        self.errors.push((unique_id(failed.at), failed));
    }

    /// Adds a callback and returns its id.
    pub(crate) fn add_callback(&mut self, scope: Scope, url: String, status: u16, now: SystemTime) -> String {
        let id = unique_id(now);
        self.callbacks.push(Callback { id: id.clone(), scope, url, status, at: now });
        id
    }
}

pub(super) fn errors(ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let page = Page::parse(call, Failure::coded(400, 190, "Query error"))?;
    let errors = ledger.logs.errors.newest_first().filter(|(_, failed)| page.has(&failed.scope));
    let entries = page.of(errors).map(|(id, failed)| {
        let mut entry = json!({
            "id": id,
            "scope": failed.scope,
            "domain": failed.domain,
            "errorAt": time(failed.at),
            "httpResponseCode": failed.status,
            "message": failed.message,
            "ip": failed.address,
        });
        if let (Value::Object(fields), false) = (&mut entry, failed.code.is_null()) {
            fields.insert("errorCode".to_owned(), failed.code.clone());
        }
        entry
    });
    Ok(data(&entries.collect::<Vec<_>>().into()))
}

pub(super) fn callbacks(ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let page = Page::parse(call, Failure::coded(400, 210, "Query error"))?;
    let callbacks = ledger.logs.callbacks.newest_first().filter(|callback| page.has(callback.scope.as_str()));
    let entries = page.of(callbacks).map(|callback| {
        json!({
            "id": callback.id,
            "scope": callback.scope,
            "url": callback.url,
            // A text here, and a number in the detail.
            "httpResponseCode": callback.status.to_string(),
            "startedAt": time(callback.at),
            "completedAt": time(callback.at),
        })
    });
    Ok(data(&entries.collect::<Vec<_>>().into()))
}

pub(super) fn callback(ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let found = ledger.logs.callbacks.newest_first().find(|callback| callback.id == call.parameter);
    let callback = found.ok_or(CALLBACK_NOT_FOUND)?;
    Ok(data(&json!({
        "id": callback.id,
        "scope": callback.scope,
        "domain": callback.scope.host(),
        "active": false,
        "startedAt": time(callback.at),
        "createdAt": time(callback.at),
        "completedAt": time(callback.at),
        "httpResponseCode": callback.status,
        "data": {},
        "custom": null,
        "headers": { "Content-Type": "application/json" },
        "elapsedTime": 0,
        "attempt": 1,
        "retry": 0,
        "field": "webhookUrl",
        "method": "POST",
        "url": callback.url,
    })))
}
