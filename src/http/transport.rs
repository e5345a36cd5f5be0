//! Sends one call: sets headers, limits time and size, retries, and reads the response.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use progenitor_client::{Error as Generated, ResponseValue};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Request, Response, ResponseBuilderExt, StatusCode, Url};
use zeroize::Zeroizing;

use super::failure::is_searched_first;
use super::response::{RawResponse, ResponseRules, is_html, set_date};
use super::retry::{Retry, RetrySafety};
use super::secrets::SecretParts;
use crate::clock::{Moment, Time};
use crate::error::{Error, Kind, Operation, Unreached};
use crate::redact::reason;
use crate::runtime::{self, caught_in};
use crate::token::{RULES, misread_in_path};
use crate::trace::Span;

/// The largest response that the client reads. The largest known one, 270 scopes, has about 10 KiB.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// One call, which the hooks of the generated clients carry.
#[derive(Clone)]
pub(crate) struct Dispatch {
    transport: Arc<Transport>,
    call: &'static Call,
    credentials: Option<HeaderValue>,
    succeeded: Arc<OnceLock<Succeeded>>,
}

/// A request with a response under a status of success.
struct Succeeded {
    request: Box<Request>,
    sent: Moment,
    received: Moment,
    status: StatusCode,
    headers: HeaderMap,
}

/// The times of a request that succeeded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// The moment just before the request was sent.
    pub(crate) sent: Moment,
    /// The moment when the whole response had arrived.
    received: Moment,
    /// The time of the service's clock in the response.
    date: Option<SystemTime>,
}

impl Timing {
    /// Converts a time of the service to the clock of this machine. The response shows by how much the two differ. The true time may be
    /// up to [`slack`](Self::slack) later.
    pub(crate) fn here(&self, moment: SystemTime) -> SystemTime {
        let sent = self.sent.now;
        let here = match self.date.map(|date| moment.duration_since(date)) {
            Some(Ok(after)) => sent.checked_add(after),
            Some(Err(before)) => sent.checked_sub(before.duration()),
            None => Some(moment),
        };
        here.unwrap_or(moment)
    }

    /// Returns the time of the service's clock in the response, or that of this machine if the response has none.
    pub(crate) fn service_time(&self) -> SystemTime {
        self.date.unwrap_or(self.sent.now)
    }

    /// Returns how long the response took. The service read its clock at some moment in that time.
    pub(crate) fn slack(&self) -> Duration {
        self.received.monotonic.saturating_sub(self.sent.monotonic)
    }
}

/// The settings that all calls of a client share.
pub(crate) struct Transport {
    pub(crate) http: reqwest::Client,
    pub(crate) base_url: String,
    pub(crate) user_agent: HeaderValue,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) clock: Time,
}

impl Transport {
    /// Waits as long as the service asks for after a failure. Returns false, without a wait, if that is longer than the client waits.
    pub(crate) async fn wait_after(&self, error: &Error) -> bool {
        match self.retry.rest(error) {
            Some(Duration::ZERO) => true,
            Some(rest) => {
                self.clock.sleep(rest).await;
                true
            }
            None => false,
        }
    }
}

/// An operation of a service.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// The `operationId` of the spec.
    pub(crate) id: &'static str,
    pub(crate) rules: &'static ResponseRules,
    pub(crate) safety: RetrySafety,
    pub(crate) secrets: &'static SecretParts,
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Returns the value of `Authorization` for HTTP Basic (RFC 7617, section 2), marked as sensitive.
pub(crate) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    let mut value = HeaderValue::from_str(&Zeroizing::new(format!("Basic {}", *encoded))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns a value for one segment of a path, or why it cannot be one. The generated client percent-encodes it.
pub(crate) fn path_segment<'a>(what: &str, value: &'a str) -> Result<&'a str, Error> {
    match misread_in_path(value) {
        Some(reason) => Err(Error::invalid_input(format!("{what}: {reason}"))),
        None => Ok(value),
    }
}

impl Dispatch {
    /// Creates a call. `credentials` is the value of `Authorization`, for an operation that takes one.
    pub(crate) fn new(transport: &Arc<Transport>, call: &'static Call, credentials: Option<HeaderValue>) -> Self {
        Self { transport: Arc::clone(transport), call, credentials, succeeded: Arc::default() }
    }

    /// Returns the times of the call, once it has succeeded.
    pub(crate) fn timing(&self) -> Timing {
        match self.succeeded.get() {
            Some(Succeeded { sent, received, headers, .. }) => {
                Timing { sent: *sent, received: *received, date: set_date(headers) }
            }
            None => {
                let now = self.transport.clock.moment();
                Timing { sent: now, received: now, date: None }
            }
        }
    }

    /// Sends a request, with retries. The generated client always gets a response: a success with its whole body, or one that carries the
    /// error for [`finish`]. The generated client's own errors would print bodies and URLs.
    pub(crate) async fn exec(&self, request: Request, id: &'static str) -> reqwest::Result<Response> {
        debug_assert_eq!(id, self.call.id, "the generated client called another operation");
        let span = Span::new(self.call.operation);
        let started = self.transport.clock.monotonic();
        let elapsed = || self.transport.clock.monotonic().saturating_sub(started);
        // In a box: with the request inside, the future below would be so large that it costs more to allocate.
        let request = Box::new(request);
        let sent = async {
            match runtime::current() {
                // A resolver of the user may panic, and reqwest panics on a runtime without I/O.
                Ok(_) => caught_in(|| self.send(request, &span, elapsed)).await.unwrap_or_else(|_| {
                    let message =
                        "the HTTP client panicked: if the tokio runtime has no I/O, build it with `enable_all`";
                    (1, Err(self.error(Kind::Interrupted).with_message(message)))
                }),
                Err(error) => (0, Err(error.with_operation(self.call.operation))),
            }
        };
        let (attempt, result) = span.of(sent).await;
        let status = match &result {
            Ok(response) => Some(response.status()),
            Err(error) => error.status(),
        };
        span.finish(attempt, status, elapsed);
        Ok(result.unwrap_or_else(|error| {
            let mut carrier = http::Response::new("");
            *carrier.status_mut() = StatusCode::IM_A_TEAPOT;
            carrier.extensions_mut().insert(error);
            carrier.into()
        }))
    }

    /// Returns the number of attempts and the result of the last one.
    async fn send(
        &self,
        mut request: Box<Request>,
        span: &Span,
        elapsed: impl Fn() -> Duration,
    ) -> (u32, Result<Response, Error>) {
        self.prepare(request.headers_mut());
        let Transport { clock, retry, timeout, .. } = &*self.transport;
        let left = || timeout.saturating_sub(elapsed());
        let mut delays = retry.delays();
        let mut uncertain = false;
        let mut attempt = 1;
        let mut limit = self.call.safety.attempt_timeout(retry, attempt, *timeout);
        loop {
            let sent = clock.moment();
            let error = match self.attempt(&request, limit).await {
                Ok((status, headers, body)) => {
                    let response = success(request.url(), status, body);
                    let received = clock.moment();
                    // Cannot fail: a `Dispatch` is for one call.
                    let _ = self.succeeded.set(Succeeded { request, sent, received, status, headers });
                    return (attempt, response.map_err(|_| self.error(Kind::InvalidInput)));
                }
                Err(error) if uncertain => error.after_uncertain_attempt(),
                Err(error) => error,
            };
            uncertain |= error.is_ambiguous();
            let Some(delay) = self.call.safety.delay(&error, &mut delays, retry, left()) else {
                return (attempt, Err(error));
            };
            span.retrying(attempt, &error, delay);
            clock.sleep(delay).await;
            attempt += 1;
            limit = self.call.safety.attempt_timeout(retry, attempt, left());
        }
    }

    fn prepare(&self, headers: &mut HeaderMap) {
        headers.insert(USER_AGENT, self.transport.user_agent.clone());
        if let Some(credentials) = &self.credentials {
            headers.insert(AUTHORIZATION, credentials.clone());
        }
    }

    async fn attempt(&self, request: &Request, limit: Duration) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
        let mut copy = copy(request).ok_or_else(|| self.error(Kind::InvalidInput))?;
        *copy.timeout_mut() = Some(limit);
        let sent = execute(&self.transport.http, copy);
        let mut response = sent.await.map_err(|error| self.lost(request, error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        if response.url() != request.url() {
            let message =
                "the HTTP client followed a redirect: build your `reqwest::Client` with `redirect::Policy::none()`";
            return Err(self.error(Kind::Refused).with_status(status).with_message(message));
        }
        let body = read(&mut response).await;
        // If the body cannot be read, the status still means something.
        let read = body.as_deref().unwrap_or_default();
        if (!status.is_success() || is_searched_first(read, self.call.rules) || is_html(&headers, read))
            && let Some(error) = self.failure(request, status, &headers, read)
        {
            return Err(error);
        }
        let body = body.map_err(|unread| match unread {
            Unread::Broken(error) => self.lost(request, error),
            Unread::TooLarge => {
                let message = format!("the response is larger than {} MiB", MAX_RESPONSE >> 20);
                self.error(Kind::Decode).with_status(status).with_message(message)
            }
        })?;
        Ok((status, headers, body))
    }

    /// Returns the failure that a response reports, if any.
    fn failure(&self, request: &Request, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Error> {
        let response = RawResponse { status, headers, body, now: self.transport.clock.now() };
        let error = response.failure(self.call.rules, || self.call.secrets.of(request))?;
        Some(error.with_operation(self.call.operation))
    }

    /// Returns the error for a request without a complete response.
    fn lost(&self, request: &Request, error: reqwest::Error) -> Error {
        let kind = match (error.is_connect(), error.is_timeout()) {
            (true, false) if !is_network(&error) => Kind::Tls,
            (true, timeout) => Kind::Connect { timeout },
            (false, true) => Kind::Timeout,
            (false, false) if error.is_builder() => Kind::InvalidInput,
            // A loop of redirects, in a client of the user.
            (false, false) if error.is_redirect() => Kind::Refused,
            (false, false) => Kind::Interrupted,
        };
        let source = error.without_url();
        let lost = self.error(kind);
        let lost = match kind {
            Kind::Connect { .. } | Kind::Tls => lost.with_unreached(self.unreached(request, kind, &source)),
            _ => lost,
        };
        match kind {
            // TLS libraries repeat text of a certificate, which anyone may have made. The reason above is free of secrets.
            Kind::Tls => lost,
            _ => lost.with_source(source),
        }
    }

    fn error(&self, kind: Kind) -> Error {
        Error::new(kind).with_operation(self.call.operation)
    }

    /// Returns the host and port that a request did not reach, and the reason. The rest of the URL stays out.
    fn unreached(&self, request: &Request, kind: Kind, error: &reqwest::Error) -> Unreached {
        let url = request.url();
        let host = url.host_str().unwrap_or_default();
        let host = url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // The kind already shows a timeout.
        let cause = || reason(&root_cause(error).to_string(), &self.call.secrets.of(request));
        let reason = if kind == (Kind::Connect { timeout: true }) { None } else { cause() };
        Unreached { host, is_proxy: is_of_proxy(error), reason }
    }
}

/// Copies a request. `None` for a stream, which no generated client sends.
fn copy(request: &Request) -> Option<Request> {
    if request.body().is_some() {
        return request.try_clone();
    }
    // Costs half as much: `try_clone` makes a map of extensions, and drops it.
    let mut copy = Request::new(request.method().clone(), request.url().clone());
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Executes a request. Not an `async fn`, which would keep space for the request until the response arrives.
fn execute(http: &reqwest::Client, request: Request) -> impl Future<Output = Result<Response, reqwest::Error>> {
    #[cfg(any(test, gettone_test_transport))]
    let replaced = super::test_transport::answer(&request);
    let sent = http.execute(request);
    #[cfg(any(test, gettone_test_transport))]
    let sent = async {
        match replaced {
            Some(response) => Ok(response),
            None => sent.await,
        }
    };
    sent
}

enum Unread {
    Broken(reqwest::Error),
    TooLarge,
}

async fn read(response: &mut Response) -> Result<Bytes, Unread> {
    let mut body = Bytes::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > MAX_RESPONSE {
            return Err(Unread::TooLarge);
        }
        body = if body.is_empty() {
            // Most responses arrive in one piece.
            chunk
        } else {
            let mut joined = BytesMut::from(body);
            joined.extend_from_slice(&chunk);
            joined.freeze()
        };
    }
    // A byte order mark is not JSON, and some PHP servers send one.
    if body.starts_with(BYTE_ORDER_MARK) {
        body.advance(BYTE_ORDER_MARK.len());
    }
    Ok(body)
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Returns the innermost of an error's sources.
fn root_cause(error: &reqwest::Error) -> &dyn std::error::Error {
    let mut root_cause: &dyn std::error::Error = error;
    while let Some(cause) = root_cause.source() {
        root_cause = cause;
    }
    root_cause
}

/// Returns whether a proxy failed. hyper-util has no public type for that error.
fn is_of_proxy(error: &reqwest::Error) -> bool {
    let first: &dyn std::error::Error = error;
    let mut sources = std::iter::successors(Some(first), |error| error.source());
    sources.any(|error| error.to_string().starts_with("tunnel error"))
}

/// Returns whether the network failed to connect, and not TLS: TLS libraries report invalid data, or errors of their own.
fn is_network(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        source = match error.downcast_ref::<std::io::Error>() {
            None => error.source(),
            // An error that wraps another one, which `source` would skip.
            Some(around) if around.kind() == std::io::ErrorKind::Other => around.get_ref().map(|error| error as _),
            Some(error) => return error.kind() != std::io::ErrorKind::InvalidData,
        };
    }
    false
}

/// Returns a success as the generated client reads it. The specification has only 200 and 204, so any other status becomes 200: a token in
/// a 201 is not lost.
fn success(url: &Url, status: StatusCode, body: Bytes) -> Result<Response, http::Error> {
    let status = if status == StatusCode::NO_CONTENT { status } else { StatusCode::OK };
    // Without a URL, reqwest parses a made-up one.
    http::Response::builder().status(status).url(url.clone()).body(body).map(Response::from)
}

/// Returns the result of a call of a generated client. `None` is a response without content.
///
/// A response with a status of success is read once, as the documented type. Only if that fails, it is searched for a failure.
pub(crate) fn finish<T>(
    dispatch: &Dispatch,
    result: Result<ResponseValue<T>, Generated<()>>,
) -> Result<Option<T>, Error> {
    finish_or(dispatch, result, |_, error| Err(error))
}

/// Does the same as [`finish`], with a second reader for a response that is not the documented one.
pub(crate) fn finish_or<T>(
    dispatch: &Dispatch,
    result: Result<ResponseValue<T>, Generated<()>>,
    read: impl FnOnce(&[u8], serde_json::Error) -> serde_json::Result<T>,
) -> Result<Option<T>, Error> {
    let unreadable = |body: &[u8], message: String| {
        let Succeeded { request, status, headers, .. } = dispatch.succeeded.get()?;
        let decode = || Error::new(Kind::Decode).with_status(*status).with_message(message);
        Some(dispatch.failure(request, *status, headers, body).unwrap_or_else(decode))
    };
    let error = match result {
        Ok(value) => return Ok(Some(value.into_inner())),
        Err(Generated::UnexpectedResponse(response)) => match response.extensions().get::<Error>() {
            Some(error) => return Err(error.clone()),
            None => return Ok(None),
        },
        Err(Generated::InvalidResponsePayload(body, error)) => {
            let error = match read(&body, error) {
                Ok(value) => return Ok(Some(value)),
                Err(error) => error,
            };
            let message = match body.trim_ascii() {
                [] => "the response is empty".to_owned(),
                _ => format!("the response is not the documented one: {}", without_values(&error)),
            };
            unreadable(&body, message).unwrap_or_else(|| Error::new(Kind::Decode))
        }
        Err(Generated::CommunicationError(error)) => Error::new(Kind::InvalidInput).with_source(error.without_url()),
        // The other errors come from building the request. Their text may contain a secret.
        Err(_) => Error::new(Kind::InvalidInput).with_message("the request cannot be built"),
    };
    Err(error.with_operation(dispatch.call.operation))
}

/// Returns the text of an error of serde_json without values of the body.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!("line {} column {}", error.line(), error.column());
    if !error.is_data() || text.starts_with("missing field `") {
        return text;
    }
    if let Some(rule) = RULES.into_iter().find(|rule| text.starts_with(rule)) {
        return format!("{rule} at {place}");
    }
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => format!("unexpected value at {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basic_header_is_marked_as_sensitive() {
        let header = basic("test@example.com", "0123456789abcdef").unwrap();
        assert!(header.is_sensitive());
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
