//! The transport of a client: headers, time limits, retries, and the reading of responses up to a size.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use progenitor_client::ResponseValue;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Request, Response, ResponseBuilderExt, StatusCode, Url};
use zeroize::Zeroizing;

use super::redact::{Secrets, reason};
use super::response::{RawResponse, ResponseRules, is_html, set_date};
use super::retry::{Retry, RetrySafety};
use crate::clock::{Moment, Time};
use crate::error::{Error, Kind, Operation, Unreached};
use crate::runtime::{self, caught_in};
use crate::token::{RULES, misread_in_path};
use crate::trace::Span;

/// An answer that is larger is not read. The largest that is known, 270 scopes, has some 10 KiB.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A shorter answer is asked what it says at once: a refusal may look like an empty list.
const SHORT: usize = 256;

/// One call: what the hooks of the generated clients carry.
#[derive(Clone)]
pub(crate) struct Dispatch {
    transport: Arc<Transport>,
    call: &'static Call,
    credentials: Option<HeaderValue>,
    answered: Arc<OnceLock<Answered>>,
}

/// A request that was answered with a status of success.
struct Answered {
    request: Request,
    sent: Moment,
    received: Moment,
    status: StatusCode,
    headers: HeaderMap,
}

/// The times of a request that succeeded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Just before it was sent.
    pub(crate) sent: Moment,
    /// When all of the answer had come.
    received: Moment,
    /// By the service's clock, when it answered.
    date: Option<SystemTime>,
}

impl Timing {
    /// A moment that the service names, by the clock of this machine. The two may differ; the answer tells by how much. It may
    /// be [`slack`](Self::slack) later than that.
    pub(crate) fn here(&self, moment: SystemTime) -> SystemTime {
        let sent = self.sent.now;
        let here = match self.date.map(|date| moment.duration_since(date)) {
            Some(Ok(after)) => sent.checked_add(after),
            Some(Err(before)) => sent.checked_sub(before.duration()),
            None => Some(moment),
        };
        here.unwrap_or(moment)
    }

    /// By the service's clock when it answered, if it said so; by this machine's if not.
    pub(crate) fn service_time(&self) -> SystemTime {
        self.date.unwrap_or(self.sent.now)
    }

    /// How long the answer took to come: the service read its clock at some moment of that.
    pub(crate) fn slack(&self) -> Duration {
        self.received.monotonic.saturating_sub(self.sent.monotonic)
    }
}

/// What is the same for all calls of a client.
pub(crate) struct Transport {
    pub(crate) http: reqwest::Client,
    pub(crate) base_url: String,
    pub(crate) user_agent: HeaderValue,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) clock: Time,
}

impl Transport {
    /// Waits before something else is asked for in place of what failed, if the service wants that. Says whether to ask at all.
    pub(crate) async fn rest_after(&self, error: &Error) -> bool {
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

/// What is particular to one operation. Each service has a list of its own.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// The `operationId` of the spec.
    pub(crate) id: &'static str,
    pub(crate) rules: &'static ResponseRules,
    pub(crate) safety: RetrySafety,
    pub(crate) secrets: &'static SecretParts,
}

/// The parts of a service's requests that are secrets, beside `Authorization`.
#[derive(Debug)]
pub(crate) struct SecretParts {
    /// What stands before a secret that is the last segment of a path.
    pub(crate) after: Option<&'static str>,
    /// The fields of a form.
    pub(crate) fields: &'static [&'static str],
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").field("call", &self.call).finish_non_exhaustive()
    }
}

/// The value of `Authorization` for HTTP Basic (RFC 7617, section 2), marked as sensitive.
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
    /// `credentials` is the value of `Authorization`, for an operation that takes one.
    pub(crate) fn new(transport: &Arc<Transport>, call: &'static Call, credentials: Option<HeaderValue>) -> Self {
        Self { transport: Arc::clone(transport), call, credentials, answered: Arc::default() }
    }

    /// The times of the call, once it has succeeded.
    pub(crate) fn timing(&self) -> Timing {
        match self.answered.get() {
            Some(Answered { sent, received, headers, .. }) => {
                Timing { sent: *sent, received: *received, date: set_date(headers) }
            }
            None => {
                let now = self.transport.clock.moment();
                Timing { sent: now, received: now, date: None }
            }
        }
    }

    /// Sends a request, again where that can do no harm. What the generated client gets back is always an answer: a success with
    /// its whole body, or a carrier of the error, which [`finish`] takes out again, as its own errors print bodies and URLs.
    pub(crate) async fn exec(&self, request: Request, id: &'static str) -> reqwest::Result<Response> {
        debug_assert_eq!(id, self.call.id, "the operation that was called is not the one that was meant");
        let span = Span::new(self.call.operation);
        let started = self.transport.clock.monotonic();
        let elapsed = || self.transport.clock.monotonic().saturating_sub(started);
        let sent = async {
            match runtime::current() {
                // A resolver of the user's may panic, and reqwest does on a runtime without I/O.
                Ok(_) => caught_in(|| self.send(request, &span, elapsed)).await.unwrap_or_else(|_| {
                    let message = "the HTTP client panicked; a tokio runtime needs `enable_all`";
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

    /// Also says how many attempts there were.
    async fn send(
        &self,
        mut request: Request,
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
                    // There is nothing in it yet: one wire is for one call.
                    let _ = self.answered.set(Answered { request, sent, received, status, headers });
                    return (attempt, response.map_err(|_| self.error(Kind::InvalidInput)));
                }
                Err(error) if uncertain => error.after_uncertain_attempt(),
                Err(error) => error,
            };
            uncertain |= error.is_ambiguous();
            let Some(delay) = self.call.safety.delay(&error, &mut delays, retry, left()) else {
                return (attempt, Err(error));
            };
            span.again(attempt, &error, delay);
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
        // Only a streamed body cannot be cloned, and the generated clients have none.
        let mut copy = request.try_clone().ok_or_else(|| self.error(Kind::InvalidInput))?;
        *copy.timeout_mut() = Some(limit);
        let sent = execute(&self.transport.http, copy);
        let mut response = sent.await.map_err(|error| self.lost(request, error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        if response.url() != request.url() {
            let message = "a redirect was followed; build the `reqwest::Client` with `redirect::Policy::none()`";
            return Err(self.error(Kind::Refused).with_status(status).with_message(message));
        }
        let body = read(&mut response).await;
        // What an unreadable body says is not known; the status is.
        let read = body.as_deref().unwrap_or_default();
        if (!status.is_success() || self.call.rules.is_flat || read.len() < SHORT || is_html(&headers, read))
            && let Some(error) = self.failure(request, status, &headers, read)
        {
            return Err(error);
        }
        let body = body.map_err(|unread| match unread {
            Unread::Broken(error) => self.lost(request, error),
            Unread::TooLarge => {
                let message = format!("an answer of more than {} MiB, which is not read", MAX_ANSWER >> 20);
                self.error(Kind::Decode).with_status(status).with_message(message)
            }
        })?;
        Ok((status, headers, body))
    }

    /// What an answer tells of a failure, if it does.
    fn failure(&self, request: &Request, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Error> {
        let response = RawResponse { status, headers, body, now: self.transport.clock.now() };
        let error = response.failure(self.call.rules, || self.secrets_of(request))?;
        Some(error.with_operation(self.call.operation))
    }

    /// A request without an answer, or without the whole of it.
    fn lost(&self, request: &Request, error: reqwest::Error) -> Error {
        let kind = match (error.is_connect(), error.is_timeout()) {
            (true, false) if !is_network(&error) => Kind::Tls,
            (true, timeout) => Kind::Connect { timeout },
            (false, true) => Kind::Timeout,
            (false, false) if error.is_builder() => Kind::InvalidInput,
            // A loop of them, in a client of the caller's own.
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
            // The libraries for TLS repeat what is in a certificate, which anybody may have made. The reason above was looked through.
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
        // The kind says already that the time was up.
        let cause = || reason(&deepest(error).to_string(), &self.secrets_of(request));
        Unreached { host, reason: if kind == (Kind::Connect { timeout: true }) { None } else { cause() } }
    }

    /// The secrets that a request holds: a service may repeat one when it fails.
    fn secrets_of(&self, request: &Request) -> Secrets {
        let mut secrets = Secrets::default();
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) {
            secrets.add(token);
        }
        if let Some(basic) = header.and_then(|value| value.strip_prefix("Basic ")) {
            let decoded =
                STANDARD.decode(basic).ok().and_then(|bytes| String::from_utf8(bytes).ok()).map(Zeroizing::new);
            if let Some((_, password)) = decoded.as_deref().and_then(|pair| pair.split_once(':')) {
                secrets.add(password);
            }
            // Not the pair as it is: the user name is no secret, and part of many a message.
            match &decoded {
                Some(pair) => secrets.add_base64(pair),
                None => secrets.add(basic),
            }
        }
        let SecretParts { after, fields } = self.call.secrets;
        if let Some((_, secret)) = after.and_then(|before| request.url().path().rsplit_once(before)) {
            secrets.add(&percent_encoding::percent_decode_str(secret).decode_utf8_lossy());
        }
        let form = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        for (name, value) in form_urlencoded::parse(form) {
            if fields.contains(&&*name) {
                secrets.add(&value);
            }
        }
        secrets
    }
}

/// Not an `async fn`, which would keep room for the request until the answer has come.
fn execute(http: &reqwest::Client, request: Request) -> impl Future<Output = Result<Response, reqwest::Error>> {
    #[cfg(any(test, gettone_door))]
    let answer = super::test_transport::answer(&request);
    let sent = http.execute(request);
    #[cfg(any(test, gettone_door))]
    let sent = async {
        match answer {
            Some(answer) => Ok(answer),
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
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Unread::TooLarge);
        }
        body = if body.is_empty() {
            // Most answers come in one piece.
            chunk
        } else {
            let mut joined = BytesMut::from(body);
            joined.extend_from_slice(&chunk);
            joined.freeze()
        };
    }
    // A byte order mark is no JSON, and some PHP has one.
    if body.starts_with(BYTE_ORDER_MARK) {
        body.advance(BYTE_ORDER_MARK.len());
    }
    Ok(body)
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Returns the innermost of an error's sources.
fn deepest(error: &reqwest::Error) -> &dyn std::error::Error {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(deeper) = deepest.source() {
        deepest = deeper;
    }
    deepest
}

/// Whether there was no connection because of the network, and not because of what was agreed on over it: the libraries for
/// TLS say what went wrong as data that is not valid, or with errors of their own.
fn is_network(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        source = match error.downcast_ref::<std::io::Error>() {
            None => error.source(),
            // An error around another one, which `source` would pass over.
            Some(around) if around.kind() == std::io::ErrorKind::Other => around.get_ref().map(|error| error as _),
            Some(error) => return error.kind() != std::io::ErrorKind::InvalidData,
        };
    }
    false
}

/// What the generated client reads. The contract knows 200 and 204; a 201 with the token in it would be no reason to lose the
/// token.
fn success(url: &Url, status: StatusCode, body: Bytes) -> Result<Response, http::Error> {
    let status = if status == StatusCode::NO_CONTENT { status } else { StatusCode::OK };
    // Without a URL, one is made up and parsed.
    http::Response::builder().status(status).url(url.clone()).body(body).map(Response::from)
}

/// What a call of a generated client came to. `None` is an answer without content.
///
/// An answer with a status of success is read once, as what it should be. What it says of a failure is only asked if it is not.
pub(crate) fn finish<T>(
    dispatch: &Dispatch,
    result: Result<ResponseValue<T>, progenitor_client::Error<()>>,
) -> Result<Option<T>, Error> {
    use progenitor_client::Error as Generated;

    let unreadable = |body: &[u8], message: String| {
        let Answered { request, status, headers, .. } = dispatch.answered.get()?;
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
            let message = match body.trim_ascii() {
                [] => "an empty answer".to_owned(),
                _ => format!("not the answer that is documented: {}", without_values(&error)),
            };
            unreadable(&body, message).unwrap_or_else(|| Error::new(Kind::Decode))
        }
        Err(Generated::CommunicationError(error)) => Error::new(Kind::InvalidInput).with_source(error.without_url()),
        // What is left comes from building the request; nothing of it is repeated, as a secret may be in it.
        Err(_) => Error::new(Kind::InvalidInput).with_message("the request cannot be built"),
    };
    Err(error.with_operation(dispatch.call.operation))
}

/// What serde_json says of a body, without what stood in the body.
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
        None => format!("another type at {place}"),
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
