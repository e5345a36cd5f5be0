//! The one error of the crate: what failed, why, and what can be done about it.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;

/// Why a call failed.
///
/// One type for everything; the predicates say what can be done about it. It names the service, the operation, the status
/// and the service's own message. If there was no connection it names the host and port that were tried, and the reason. It
/// never shows a URL (at most the scope that a request needs), a body, a header or a secret. If a service repeats a secret of the
/// request in its message, the client takes it out, also in another case, in base64 or hexadecimal, behind several layers of
/// escapes, and in part; [the page on security](crate::guide::security) lists what it recognizes and what it does not.
///
/// Cheap to clone. [`source`](StdError::source) leads to what the HTTP library said, without the URL.
///
/// ```
/// # async fn credit(oauth: gettone::openapi::v1::Oauth) {
/// match oauth.credit().await {
///     Ok(credit) => println!("{credit} EUR left"),
///     Err(e) if e.is_unauthorized() => println!("wrong e-mail address or API key"),
///     Err(e) if e.is_rate_limited() => println!("again in {:?}", e.retry_after()),
///     Err(e) if e.is_transient() => println!("try again: {e}"),
///     Err(e) => println!("{e}"),
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    operation: Option<Operation>,
    status: Option<StatusCode>,
    code: Option<String>,
    message: Option<String>,
    /// The service's own words.
    service_message: Option<String>,
    retry_after: Option<Duration>,
    /// Nothing was sent: the error of an earlier attempt, while its pause lasts.
    is_backing_off: bool,
    after_uncertain_attempt: bool,
    /// What a room above adds, and reads again.
    detail: Option<Arc<dyn Any + Send + Sync>>,
    unreached: Option<Unreached>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What there was no connection to, and why.
#[derive(Debug, Clone)]
pub(crate) struct Unreached {
    /// The host and the port of the service, also if it was a proxy that could not be reached.
    pub(crate) host: String,
    /// What the operating system or the library for TLS said.
    pub(crate) reason: Option<String>,
}

/// What the error says of itself: the service and the name of the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Found wrong here; nothing was sent.
    InvalidInput,
    /// Found wrong by the service.
    Rejected,
    Unauthorized,
    InvalidGrant {
        /// The grant was a user's name and password.
        credentials: bool,
    },
    NotFound,
    RateLimited,
    /// 502, 503, 504, or a page for people in place of an answer.
    Unavailable,
    /// Any other refusal of the service.
    Refused,
    /// No connection: the request was not sent.
    Connect {
        timeout: bool,
    },
    /// The other side could not be trusted, TLS not agreed on, or a proxy would not: nothing was sent.
    Tls,
    Timeout,
    /// The connection broke before the whole answer was there.
    Interrupted,
    /// A success whose body is not what the contract says.
    Decode,
    /// Less than was asked for.
    NotGranted,
    /// A store of tokens.
    Store,
    /// The task that did it was stopped.
    Aborted,
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(Arc::new(Inner {
            kind,
            operation: None,
            status: None,
            code: None,
            message: None,
            service_message: None,
            retry_after: None,
            is_backing_off: false,
            after_uncertain_attempt: false,
            detail: None,
            unreached: None,
            source: None,
        }))
    }

    /// Input that was refused before anything was sent.
    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidInput).with_message(message)
    }

    /// Something that was read is not what it should be.
    pub(crate) fn decode(message: impl Into<String>) -> Self {
        Self::new(Kind::Decode).with_message(message)
    }

    /// A success without content, where the contract has content.
    pub(crate) fn no_content(operation: Operation) -> Self {
        Self::new(Kind::Decode)
            .with_operation(operation)
            .with_status(StatusCode::NO_CONTENT)
            .with_message("an empty answer")
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn with_operation(self, operation: Operation) -> Self {
        self.with(|inner| inner.operation = Some(operation))
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        self.with(|inner| inner.status = Some(status))
    }

    pub(crate) fn with_code(self, code: Option<String>) -> Self {
        self.with(|inner| inner.code = code)
    }

    pub(crate) fn with_message(self, message: impl Into<String>) -> Self {
        self.with(|inner| inner.message = Some(message.into()))
    }

    pub(crate) fn with_service_message(self, message: String) -> Self {
        self.with(|inner| inner.service_message = Some(message))
    }

    pub(crate) fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        self.with(|inner| inner.retry_after = retry_after)
    }

    /// The same for a caller that comes while the pause after it lasts: nothing is sent for so long.
    pub(crate) fn backing_off(self, left: Duration) -> Self {
        self.with(|inner| {
            inner.is_backing_off = true;
            inner.retry_after = Some(left);
        })
    }

    pub(crate) fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.source = Some(Arc::new(source)))
    }

    pub(crate) fn with_shared_source(self, source: Arc<dyn StdError + Send + Sync>) -> Self {
        self.with(|inner| inner.source = Some(source))
    }

    pub(crate) fn with_detail(self, detail: impl Any + Send + Sync) -> Self {
        self.with(|inner| inner.detail = Some(Arc::new(detail)))
    }

    pub(crate) fn detail<T: Any>(&self) -> Option<&T> {
        self.0.detail.as_ref()?.downcast_ref()
    }

    pub(crate) fn with_unreached(self, unreached: Unreached) -> Self {
        self.with(|inner| inner.unreached = Some(unreached))
    }

    pub(crate) fn after_uncertain_attempt(self) -> Self {
        self.with(|inner| inner.after_uncertain_attempt = true)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// As [`is_ambiguous`](Self::is_ambiguous), of the attempts before the last.
    pub(crate) fn is_after_uncertain_attempt(&self) -> bool {
        self.0.after_uncertain_attempt
    }

    /// The service refused the credentials: status 401, `invalid_client`, a wrong user name or password, or (Keliweb
    /// Fatture) a redirect to its login page. Not a refused refresh token: that is
    /// [`is_invalid_grant`](Self::is_invalid_grant) alone.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.0.kind, Kind::Unauthorized | Kind::InvalidGrant { credentials: true })
    }

    /// The user name and password, or the refresh token, are wrong, expired or revoked: `invalid_grant` (RFC 6749,
    /// section 5.2), and what older versions of the server software say in its place.
    #[must_use]
    pub fn is_invalid_grant(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidGrant { .. })
    }

    /// Too many requests: status 429. See [`retry_after`](Self::retry_after).
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.0.kind == Kind::RateLimited
    }

    /// What was asked for does not exist: status 404, and for a token of Openapi.it also 402 with code 125.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.kind == Kind::NotFound
    }

    /// The time was up, while connecting or later.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Timeout | Kind::Connect { timeout: true })
    }

    /// There was no connection, no TLS over it, or no tunnel through a proxy. The last attempt was not sent; an earlier one may have been, see
    /// [`is_ambiguous`](Self::is_ambiguous).
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(self.0.kind, Kind::Connect { .. } | Kind::Tls)
    }

    /// Returns whether the service may have done what was asked, although nobody said so: after a timeout, a lost answer,
    /// status 408 or any 5xx, in this attempt or an earlier one of the same call.
    ///
    /// After such an error of `create_token` a token may have been made, and after one of `refresh` both tokens may be spent.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        let unclear = |status: StatusCode| status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
        self.0.after_uncertain_attempt
            || matches!(self.0.kind, Kind::Timeout | Kind::Interrupted | Kind::Unavailable | Kind::Aborted)
            || self.0.status.is_some_and(unclear)
    }

    /// The same call may succeed later: no connection, a timeout, a lost answer, status 429, 502, 503 or 504, or a maintenance page
    /// (HTML under a status of success, or a redirect to one). Whether it can do harm, [`is_ambiguous`](Self::is_ambiguous) says.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Connect { .. }
                | Kind::Timeout
                | Kind::Interrupted
                | Kind::RateLimited
                | Kind::Unavailable
                | Kind::Aborted
        )
    }

    /// The input is wrong. Either it was refused here, before anything was sent ([`status`](Self::status) is `None`), or by
    /// the service: status 400, 406 or 422, and for counters 404 with code 610.
    #[must_use]
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidInput | Kind::Rejected)
    }

    /// A [`TokenStore`](crate::store::TokenStore) could not do what it was asked, or a
    /// [`FileStore`](crate::store::FileStore) not be opened; [`source`](StdError::source) says why. Only calls that are about the
    /// store fail so: to fetch a token, none is needed.
    #[must_use]
    pub fn is_store(&self) -> bool {
        self.0.kind == Kind::Store
    }

    /// The service says that all is well, but its answer is not what the contract says, is too large to be read, or has a token
    /// that cannot be sent.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        self.0.kind == Kind::Decode
    }

    /// The status of the answer, if there was one. A service may say "failure" under a status of success.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The service's own code, as it came: a number of Openapi.it such as `"110"`, or an OAuth 2.0 error such as
    /// `"invalid_grant"` (RFC 6749, section 5.2).
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Returns the service's own message as one line, without secrets and cut after 300 characters. `None` if the service sent
    /// none, or was not reached.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.service_message.as_deref()
    }

    /// Returns how long to wait before the next attempt.
    ///
    /// Of an error that came from the service: what the service asks for (`Retry-After`; RFC 9110, section 10.2.3), counted from
    /// its answer. If [`is_backing_off`](Self::is_backing_off): what is left of the client's own pause; a call before that sends
    /// nothing.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns whether nothing was sent, because the client pauses after a failed attempt to get a token. Everything else that
    /// the error says is about that attempt, except [`retry_after`](Self::retry_after), which counts down to the next one.
    #[must_use]
    pub fn is_backing_off(&self) -> bool {
        self.0.is_backing_off
    }

    /// The service that was asked, `Openapi.it Oauth` or `Keliweb Fatture`. `None` if the error is not of a call.
    #[must_use]
    pub fn service(&self) -> Option<&'static str> {
        self.0.operation.map(|operation| operation.service)
    }

    /// The operation that failed: the `operationId` of the spec, for Keliweb Fatture `password_grant` or `refresh`. `None`
    /// if the error is not of a call.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation.map(|operation| operation.name)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(Operation { service, name }) = inner.operation {
            write!(f, "{service} {name}: ")?;
        }
        match (inner.kind, inner.status) {
            (Kind::InvalidInput, _) => {}
            (Kind::Connect { .. } | Kind::Tls, _) => {
                f.write_str("no connection")?;
                if let Some(Unreached { host, .. }) = &inner.unreached {
                    write!(f, " to {host}")?;
                }
                match inner.kind {
                    Kind::Connect { timeout: true } => f.write_str(" in time")?,
                    Kind::Tls => f.write_str(": the TLS handshake, or the tunnel through a proxy, failed")?,
                    _ => {}
                }
                if let Some(Unreached { reason: Some(reason), .. }) = &inner.unreached {
                    write!(f, ": {reason}")?;
                }
            }
            (Kind::Timeout, _) => f.write_str("no answer in time")?,
            (Kind::NotGranted, _) => {}
            (Kind::Store, _) => f.write_str("the store of tokens failed")?,
            (Kind::Aborted, _) => f.write_str("the task that fetches the token was stopped")?,
            (Kind::Interrupted, _) => f.write_str("the connection broke before the answer was complete")?,
            (_, Some(status)) => write!(f, "HTTP {status}")?,
            (_, None) => f.write_str("failed")?,
        }
        if let Some(code) = &inner.code {
            write!(f, ", code {code}")?;
        }
        match (inner.message.as_ref().or(inner.service_message.as_ref()), inner.kind) {
            (Some(message), Kind::InvalidInput | Kind::NotGranted) => f.write_str(message)?,
            (Some(message), _) => write!(f, ": {message}")?,
            (None, Kind::InvalidInput) => f.write_str("the request cannot be built")?,
            (None, _) => {}
        }
        if inner.after_uncertain_attempt {
            f.write_str(" (an earlier attempt may have been carried out)")?;
        }
        if inner.is_backing_off {
            f.write_str(" (not sent again: the next attempt is made ")?;
            match inner.retry_after.unwrap_or_default().as_secs() {
                0 => f.write_str("in less than a second)")?,
                seconds => write!(f, "in {seconds} s)")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            operation,
            status,
            code,
            message,
            service_message,
            retry_after,
            is_backing_off,
            after_uncertain_attempt,
            unreached,
            source,
            ..
        } = &*self.0;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", kind);
        if let Some(operation) = operation {
            debug.field("operation", &operation.name);
        }
        if let Some(status) = status {
            debug.field("status", &status.as_u16());
        }
        if let Some(code) = code {
            debug.field("code", code);
        }
        if let Some(message) = message.as_ref().or(service_message.as_ref()) {
            debug.field("message", message);
        }
        if let Some(retry_after) = retry_after {
            debug.field("retry_after", retry_after);
        }
        if *is_backing_off {
            debug.field("is_backing_off", is_backing_off);
        }
        if *after_uncertain_attempt {
            debug.field("after_uncertain_attempt", after_uncertain_attempt);
        }
        if let Some(Unreached { host, reason }) = unreached {
            debug.field("host", host).field("reason", reason);
        }
        if let Some(source) = source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
