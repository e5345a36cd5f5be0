//! Requests that fail on purpose.

use std::time::Duration;

use super::message::Response;

/// A way in which a request fails.
///
/// ```
/// use std::time::Duration;
/// use gettone::emulator::{Emulator, Fault};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let emulator = Emulator::start().await?;
/// emulator.fail_next(2, Fault::Status(503)); // the next two requests, of any kind
/// emulator.fail_next_on(1, "POST /token", Fault::StatusWithRetryAfter(429, Duration::from_secs(5)));
/// emulator.fail_next_on(1, "/echo", Fault::LostResponse);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The service does not process the request and responds with this status, and a body like that of its own failures.
    Status(u16),
    /// Like [`Status`](Self::Status), with a `Retry-After` in whole seconds.
    StatusWithRetryAfter(u16, Duration),
    /// The service does not process the request; the response is an HTML page with this status, like that of a proxy.
    Html(u16),
    /// The service does not process the request; the connection is reset.
    LostRequest,
    /// The service processes the request; the connection is reset before the response.
    LostResponse,
    /// The service processes the request; the connection ends in the middle of the response's body.
    TruncatedResponse,
}

/// The part of a response that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Half,
    Reset,
}

impl Fault {
    /// Returns the response to a request that the service does not process. `failure` makes the service's own.
    pub(super) fn response(self, failure: fn(u16, &str) -> Response) -> Option<Response> {
        let reason = |status| {
            let known = http::StatusCode::from_u16(status).ok();
            known.and_then(|status| status.canonical_reason()).unwrap_or("Failed on purpose")
        };
        match self {
            Self::Status(status) => Some(failure(status, reason(status))),
            Self::StatusWithRetryAfter(status, wait) => {
                Some(failure(status, reason(status)).with("retry-after", wait.as_secs().to_string()))
            }
            Self::Html(status) => Some(Response::html(status, reason(status))),
            Self::LostRequest => Some(Response::empty(500)),
            Self::LostResponse | Self::TruncatedResponse => None,
        }
    }

    pub(super) fn delivery(self, response: &Response) -> Delivery {
        match self {
            Self::Status(_) | Self::StatusWithRetryAfter(..) | Self::Html(_) => Delivery::Whole,
            Self::TruncatedResponse if !response.body.is_empty() => Delivery::Half,
            Self::LostRequest | Self::LostResponse | Self::TruncatedResponse => Delivery::Reset,
        }
    }
}

/// The faults that have not happened yet, the oldest first.
#[derive(Default)]
pub(super) struct FaultQueue(Vec<Planned>);

#[derive(Clone)]
pub(super) struct Planned {
    pub(super) times: usize,
    pub(super) method: Option<String>,
    pub(super) path: String,
    pub(super) fault: Fault,
}

impl FaultQueue {
    /// Adds faults. `on` is a method and the beginning of a path, or one of the two; empty for every request.
    pub(super) fn plan(&mut self, times: usize, on: &str, fault: Fault) {
        let (method, path) = match on.split_once(' ') {
            Some((method, path)) => (Some(method), path),
            None if on.starts_with('/') || on.is_empty() => (None, on),
            None => (Some(on), ""),
        };
        self.0.push(Planned { times, method: method.map(str::to_owned), path: path.to_owned(), fault });
    }

    /// Takes the fault for a request, of which `paths` are the path with the service's prefix and without.
    pub(super) fn take(&mut self, method: &str, paths: [&str; 2]) -> Option<Fault> {
        let is_for = |planned: &Planned| {
            planned.times > 0
                && planned.method.as_deref().is_none_or(|known| known.eq_ignore_ascii_case(method))
                && paths.iter().any(|path| path.starts_with(&planned.path))
        };
        let found = self.0.iter_mut().find(|planned| is_for(planned))?;
        found.times -= 1;
        let fault = found.fault;
        self.0.retain(|planned| planned.times > 0);
        Some(fault)
    }

    pub(super) fn waiting(&self) -> &[Planned] {
        &self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
