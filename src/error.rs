//! The error type of the crate: what failed, why, and what to do.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;

/// The error that every call returns.
///
/// | predicate | what happened | what to do |
/// |---|---|---|
/// | [`is_unauthorized`](Self::is_unauthorized) | the service rejected the credentials | correct them |
/// | [`is_invalid_grant`](Self::is_invalid_grant) | the service rejected the user name and password, or the refresh token | correct them; for a refresh token, use the password or the API key |
/// | [`is_not_found`](Self::is_not_found) | what you named does not exist | |
/// | [`is_invalid_input`](Self::is_invalid_input) | the client or the service rejected the call | correct the call as the message says |
/// | [`is_rate_limited`](Self::is_rate_limited) | the service received too many requests | wait for [`retry_after`](Self::retry_after) |
/// | [`is_connect`](Self::is_connect) | no connection | check the host, the proxy and the certificates |
/// | [`is_timeout`](Self::is_timeout) | the time limit ran out | try again later |
/// | [`is_transient`](Self::is_transient) | the failure may pass | try again later, unless the call is ambiguous |
/// | [`is_ambiguous`](Self::is_ambiguous) | the service may have carried out the call | check before you retry |
/// | [`is_backing_off`](Self::is_backing_off) | nothing was sent: the client pauses after a failure | wait for [`retry_after`](Self::retry_after) |
/// | [`is_decode`](Self::is_decode) | the client cannot use the response | if a token had expired when it arrived, check the machine's clock; otherwise report it |
/// | [`not_granted`](Self::not_granted) | the service granted less than requested, or a wildcard stands for nothing | request less |
/// | [`is_store`](Self::is_store) | a token store failed | repair the store |
///
/// More than one predicate may hold. [The guide](crate::guide::errors) lists the statuses behind each of them.
///
/// `Display` names the service, the operation, the status, and the service's own code and message. Without a connection it names the
/// host, the port and the reason. `Debug`, which `unwrap` prints, begins with the same text. [`source`](StdError::source) returns the error
/// of the HTTP library.
///
/// An error never shows a URL (at most the scopes that were requested), a body, a header or a secret. If a service repeats a secret of
/// the request in its message, the client removes it; [the guide](crate::guide::security#what-is-printed-and-traced) lists the forms
/// that it recognizes.
///
/// Cheap to clone.
///
/// ```
/// # async fn credit(oauth: gettone::openapi::v2::Oauth) {
/// match oauth.wallet().await {
///     Ok(wallet) => println!("{} EUR left", wallet.credit()),
///     Err(e) if e.is_unauthorized() => println!("wrong e-mail address or API key"),
///     Err(e) if e.is_rate_limited() => println!("wait for {:?}", e.retry_after()),
///     Err(e) if e.is_transient() => println!("try again later: {e}"),
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
    /// The service's message. `message` is the client's own.
    service_message: Option<String>,
    retry_after: Option<Duration>,
    /// Whether nothing was sent: this is the error of an earlier attempt, and the client still pauses.
    is_backing_off: bool,
    after_uncertain_attempt: bool,
    /// A value that another module attaches and reads again.
    detail: Option<Arc<dyn Any + Send + Sync>>,
    unreached: Option<Unreached>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The host that a request did not reach, and why.
#[derive(Debug, Clone)]
pub(crate) struct Unreached {
    /// The host and port of the service, even if the connection to a proxy failed.
    pub(crate) host: String,
    /// Whether a proxy failed. The HTTP library does not say which one.
    pub(crate) is_proxy: bool,
    /// The text of the operating system or the TLS library.
    pub(crate) reason: Option<String>,
}

impl Unreached {
    /// Returns what to do about the failures that a company's network causes.
    fn advice(&self) -> Option<&'static str> {
        let reason = self.reason.as_deref().unwrap_or_default();
        // In the words of rustls, of OpenSSL, and of the TLS libraries of macOS and Windows.
        if ["UnknownIssuer", "certificate verify failed", "not trusted"].iter().any(|words| reason.contains(words)) {
            Some(
                "if a proxy of your company intercepts TLS, install its root certificate on this machine, or pass it by \
                 `Builder::http` and reqwest's `tls_certs_merge`",
            )
        } else if self.is_proxy {
            Some("check its address, user and password, in `HTTPS_PROXY` or where you build the HTTP client")
        } else {
            None
        }
    }
}

/// The service and the operation that an error names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client rejected the input and sent nothing.
    InvalidInput,
    /// The service rejected the input.
    Rejected,
    Unauthorized,
    InvalidGrant {
        /// The grant was a password grant.
        credentials: bool,
    },
    NotFound,
    RateLimited,
    /// 502, 503, 504, or an HTML page instead of a response.
    Unavailable,
    /// Any other failure that the service reports.
    Refused,
    /// No connection. The request was not sent.
    Connect {
        timeout: bool,
    },
    /// The TLS handshake or the proxy tunnel failed. The request was not sent.
    Tls,
    Timeout,
    /// The connection broke before the response was complete.
    Interrupted,
    /// A success whose body is not the documented one.
    Decode,
    /// The service granted less than requested.
    NotGranted,
    /// A token store failed.
    Store,
    /// A token store failed that may work again without anybody's help.
    StoreUnavailable,
    /// The background task was stopped.
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

    /// Returns the error for input that the client rejects before it sends anything.
    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidInput).with_message(message)
    }

    /// Returns the error for a body or a record that the client cannot read.
    pub(crate) fn decode(message: impl Into<String>) -> Self {
        Self::new(Kind::Decode).with_message(message)
    }

    /// Returns the error for a success without content where the specification has content.
    pub(crate) fn no_content(operation: Operation) -> Self {
        Self::new(Kind::Decode)
            .with_operation(operation)
            .with_status(StatusCode::NO_CONTENT)
            .with_message("the response is empty")
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

    /// Returns this error for a caller during the pause after it. `left`: the rest of the pause.
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

    /// Returns the error alone. The source may be code of the user, which may panic when it is dropped.
    pub(crate) fn without_source(&self) -> Self {
        self.clone().with(|inner| inner.source = None)
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

    /// Returns whether an attempt before the last one was [ambiguous](Self::is_ambiguous).
    pub(crate) fn is_after_uncertain_attempt(&self) -> bool {
        self.0.after_uncertain_attempt
    }

    /// Returns whether the service rejected the credentials: status 401, `invalid_client`, a wrong user name or password, a redirect to the
    /// login page (Keliweb Fatture), or status 403 (version 2 of Openapi.it). For a rejected refresh token only
    /// [`is_invalid_grant`](Self::is_invalid_grant) holds.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.0.kind, Kind::Unauthorized | Kind::InvalidGrant { credentials: true })
    }

    /// Returns whether the user name and password, or the refresh token, are wrong, expired or revoked: `invalid_grant` (RFC 6749,
    /// section 5.2), or what older versions of the server software send instead; for a refresh token of Openapi.it, status 401 or 403. Also
    /// whether a [`RefreshClient`](crate::openapi::v2::RefreshClient) has no refresh token left.
    #[must_use]
    pub fn is_invalid_grant(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidGrant { .. })
    }

    /// Returns whether the service received too many requests: status 429. [`retry_after`](Self::retry_after) returns how long to wait.
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.0.kind == Kind::RateLimited
    }

    /// Returns whether what you named does not exist: status 404. A search for a token returns `None` instead, and a list is empty.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.kind == Kind::NotFound
    }

    /// Returns whether a [time limit](crate::guide::errors#time-limits) ran out, while connecting or later.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Timeout | Kind::Connect { timeout: true })
    }

    /// Returns whether there was no connection, the TLS handshake failed, or there was no tunnel through a proxy. The last attempt was not
    /// sent. An earlier one may have been: see [`is_ambiguous`](Self::is_ambiguous).
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(self.0.kind, Kind::Connect { .. } | Kind::Tls)
    }

    /// Returns whether the service may have carried out the call: after a timeout, a lost response, a maintenance page, status 408 or any
    /// 5xx, in the last attempt of the call or an earlier one; or if the background task that requests a token was stopped. After a call
    /// that only reads, such as `wallet`, it means nothing: call again.
    ///
    /// After such an error of `create_token` the token may exist, and after one of `refresh` or `refresh_token` both tokens may be spent.
    /// [The guide](crate::guide::errors#ambiguous-calls) says how to find out.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        let unclear = |status: StatusCode| status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
        self.0.after_uncertain_attempt
            || matches!(self.0.kind, Kind::Timeout | Kind::Interrupted | Kind::Unavailable | Kind::Aborted)
            || self.0.status.is_some_and(unclear)
    }

    /// Returns whether the same call may succeed later: no connection, a timeout, a lost response, status 429, 502, 503 or 504, a
    /// maintenance page (HTML under a status of success, or a redirect to one), or a stopped background task that requests a token. Also
    /// whether a `RedisStore` cannot be reached or is not ready, or another program has yet to save the token that it refreshes. If the call
    /// changes something, first see [`is_ambiguous`](Self::is_ambiguous).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Connect { .. }
                | Kind::Timeout
                | Kind::Interrupted
                | Kind::RateLimited
                | Kind::Unavailable
                | Kind::StoreUnavailable
                | Kind::Aborted
        )
    }

    /// Returns whether the call is wrong. Either the client rejected it before it sent anything ([`status`](Self::status) is `None`), or
    /// the service rejected it: status 400, 406 or 422, and for counters of version 1 of Openapi.it 404 with code 610. Also whether a host that
    /// gets no token from the middleware responded with status 401.
    #[must_use]
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.0.kind, Kind::InvalidInput | Kind::Rejected)
    }

    /// Returns whether a [`TokenStore`](crate::store::TokenStore) failed, or a [`FileStore`](crate::store::FileStore) did not open.
    /// [`source`](StdError::source) returns why. Only calls that change the store fail in this way, since a client requests tokens without a
    /// store that fails. A [`RefreshClient`](crate::openapi::v2::RefreshClient) cannot do that, so its `token` fails too.
    #[must_use]
    pub fn is_store(&self) -> bool {
        matches!(self.0.kind, Kind::Store | Kind::StoreUnavailable)
    }

    /// Returns whether the service reported a success that the client cannot use: the response is not the documented one or is larger
    /// than 4 MiB, or its token cannot be sent or has expired already.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        self.0.kind == Kind::Decode
    }

    /// Returns the status of the response, if there was one. A service may report a failure under a status of success.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// Returns the service's own code: a number of Openapi.it such as `"110"`, or an OAuth 2.0 error such as
    /// `"invalid_grant"` (RFC 6749, section 5.2). A number means something only together with the [service](Self::service) and the
    /// [operation](Self::operation).
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

    /// Returns how long to wait before the next call.
    ///
    /// - If the service failed: the time that it asks for in `Retry-After` (RFC 9110, section 10.2.3), counted from its response.
    /// - If the client [is backing off](Self::is_backing_off): what is left of its pause. A call before that sends nothing.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns whether the client sent nothing, because it [pauses after a failure](crate::guide::tokens#after-a-failure) to get a token.
    /// The rest of the error is about that failure, but [`retry_after`](Self::retry_after) counts down to the next attempt.
    #[must_use]
    pub fn is_backing_off(&self) -> bool {
        self.0.is_backing_off
    }

    /// Returns the service of the call: `Openapi.it Oauth v2`, `Openapi.it Oauth` (version 1) or `Keliweb Fatture`. `None` if the error does
    /// not come from a call.
    #[must_use]
    pub fn service(&self) -> Option<&'static str> {
        self.0.operation.map(|operation| operation.service)
    }

    /// Returns the operation that failed: the `operationId` of the spec, for Keliweb Fatture `password_grant` or `refresh`, and for an exchange
    /// of a refresh token of Openapi.it `refresh_token`. `None` if the error does not come from a call.
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
        let message = inner.message.as_ref().or(inner.service_message.as_ref());
        let mut is_message_alone = false;
        match (inner.kind, inner.status) {
            (Kind::InvalidInput | Kind::NotGranted, _) => is_message_alone = true,
            (Kind::Connect { .. } | Kind::Tls, _) => {
                f.write_str("no connection")?;
                let unreached = inner.unreached.as_ref();
                if let Some(Unreached { host, .. }) = unreached {
                    write!(f, " to {host}")?;
                }
                match inner.kind {
                    Kind::Connect { timeout: true } => f.write_str(" in time")?,
                    _ if unreached.is_some_and(|unreached| unreached.is_proxy) => f.write_str(": the proxy failed")?,
                    Kind::Tls => f.write_str(": the TLS handshake failed")?,
                    _ => {}
                }
                if let Some(Unreached { reason: Some(reason), .. }) = unreached {
                    write!(f, ": {reason}")?;
                }
                if let Some(advice) = unreached.and_then(Unreached::advice) {
                    write!(f, "; {advice}")?;
                }
            }
            (Kind::Timeout, _) => f.write_str("no response in time")?,
            (Kind::Store | Kind::StoreUnavailable, _) => f.write_str("the token store failed")?,
            (Kind::Aborted, _) => f.write_str("the background task that requests the token was stopped")?,
            (Kind::Interrupted, _) => f.write_str("the connection broke before the response was complete")?,
            (_, Some(status)) if status.is_success() && inner.kind != Kind::Decode && inner.message.is_none() => {
                write!(f, "HTTP {status}, but the response reports a failure")?;
            }
            (_, Some(status)) => write!(f, "HTTP {status}")?,
            (_, None) if message.is_some() && inner.code.is_none() => is_message_alone = true,
            (_, None) => f.write_str("failed")?,
        }
        if let Some(code) = &inner.code {
            write!(f, ", code {code}")?;
        }
        match message {
            Some(message) if is_message_alone => f.write_str(message)?,
            Some(message) => write!(f, ": {message}")?,
            None if inner.kind == Kind::InvalidInput => f.write_str("the request cannot be built")?,
            None => {}
        }
        if inner.after_uncertain_attempt {
            f.write_str(" (an earlier attempt may have been carried out)")?;
        }
        if inner.is_backing_off {
            f.write_str(" (nothing was sent: the client pauses after this error, for ")?;
            match inner.retry_after.unwrap_or_default().as_secs() {
                0 => f.write_str("less than another second)")?,
                seconds => write!(f, "another {seconds} s)")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, status, code, retry_after, source, .. } = &*self.0;
        let mut debug = f.debug_struct("Error");
        // `unwrap`, and a `main` that returns an error, print nothing but this.
        debug.field("text", &self.to_string()).field("kind", kind);
        if let Some(status) = status {
            debug.field("status", &status.as_u16());
        }
        if let Some(code) = code {
            debug.field("code", code);
        }
        if let Some(retry_after) = retry_after {
            debug.field("retry_after", retry_after);
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
