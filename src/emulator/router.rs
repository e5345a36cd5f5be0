//! The emulator's state, and the service that a request goes to.

use std::time::{Duration, SystemTime};

use super::api::{Api, KELIWEB, PRODUCTION, PRODUCTION_V2, SANDBOX, SANDBOX_V2};
use super::fault::{Delivery, FaultQueue};
use super::keliweb::{self, Keliweb};
use super::message::{Request, Response};
use super::openapi::{self, Openapi};
use super::record::{IssuedToken, Record, RecordedRequest};
use crate::secret::Secret;

/// What the emulator starts with.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) openapi: openapi::Settings,
    pub(super) keliweb: keliweb::Settings,
    /// The emulator's own URL, without a path.
    pub(super) base_url: String,
}

pub(super) struct State {
    pub(super) openapi: Openapi,
    pub(super) keliweb: Keliweb,
    pub(super) faults: FaultQueue,
    pub(super) latency: Duration,
    pub(super) record: Record,
}

impl State {
    pub(super) fn new(settings: Settings, now: SystemTime) -> Self {
        let Settings { openapi, keliweb, base_url } = settings;
        Self {
            openapi: Openapi::new(openapi, now),
            keliweb: Keliweb::new(keliweb, format!("{base_url}{KELIWEB}")),
            faults: FaultQueue::default(),
            latency: Duration::ZERO,
            record: Record::default(),
        }
    }

    /// Processes and records a request. Returns the response, how much of it arrives, and by how much it is delayed.
    pub(super) fn process(&mut self, request: &Request, now: SystemTime) -> (Response, Delivery, Duration) {
        let (api, path) = self.route(request);
        let fault = self.faults.take(&request.method, [&request.path, path]);
        let (operation, failure): (_, fn(u16, &str) -> Response) = match api {
            Api::Production | Api::Sandbox | Api::ProductionV2 | Api::SandboxV2 => {
                (openapi::operation(api, request, path), openapi::failure)
            }
            Api::Keliweb => (keliweb::operation(request, path), keliweb::failure),
            Api::Echo => ("echo", openapi::failure),
            Api::Unknown => ("unknown", openapi::failure),
        };
        let response = match fault.and_then(|fault| fault.response(failure)) {
            Some(response) => response,
            None => self.respond(request, api, path, now),
        };
        let delivery = fault.map_or(Delivery::Whole, |fault| fault.delivery(&response));
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        self.record.add(RecordedRequest {
            api,
            operation,
            method: request.method.clone(),
            path: Secret::new(format!("{}{query}", request.path)),
            user_agent: Some(request.header("user-agent")).filter(|agent| !agent.is_empty()).map(str::to_owned),
            status: (delivery != Delivery::Reset).then_some(response.status),
            at: now,
        });
        (response, delivery, self.latency)
    }

    /// Returns the API that a request is for, and the path below the API's prefix.
    fn route<'a>(&self, request: &'a Request) -> (Api, &'a str) {
        let path = request.path.as_str();
        if self.openapi.protects(request) {
            return (Api::Echo, path);
        }
        let below = |prefix: &str| path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
        if let Some(rest) = below(PRODUCTION) {
            (Api::Production, rest)
        } else if let Some(rest) = below(SANDBOX) {
            (Api::Sandbox, rest)
        } else if let Some(rest) = below(PRODUCTION_V2) {
            (Api::ProductionV2, rest)
        } else if let Some(rest) = below(SANDBOX_V2) {
            (Api::SandboxV2, rest)
        } else if let Some(rest) = below(KELIWEB) {
            (Api::Keliweb, rest)
        } else if keliweb::protects(path) {
            (Api::Keliweb, path)
        } else {
            (Api::Unknown, path)
        }
    }

    fn respond(&mut self, request: &Request, api: Api, path: &str, now: SystemTime) -> Response {
        match api {
            Api::Production | Api::Sandbox => self.openapi.v1(request, path, api == Api::Sandbox, now),
            Api::ProductionV2 | Api::SandboxV2 => self.openapi.v2(request, path, api == Api::SandboxV2, now),
            Api::Echo => self.openapi.echo(request, now),
            Api::Keliweb => self.keliweb.respond(request, path, now),
            Api::Unknown => openapi::failure(404, "Not Found"),
        }
    }

    pub(super) fn issued(&self, now: SystemTime) -> Vec<IssuedToken> {
        let mut issued = self.openapi.issued(now);
        issued.extend(self.keliweb.issued(now));
        issued
    }

    pub(super) fn revoke_all(&mut self) {
        self.openapi.revoke_all();
        self.keliweb.revoke_all();
    }
}
