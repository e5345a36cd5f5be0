//! Determines what a response means. HTTP defines most of it; a service adds the meaning of its own statuses and codes by
//! [`ResponseRules`].

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};

use super::failure::FailureBody;
use crate::error::{Error, Kind};
use crate::redact::{CODE_LENGTH, MESSAGE_LENGTH, Secrets, tidy};

/// The rules of a service for the responses to an operation, beyond HTTP.
#[derive(Debug)]
pub(crate) struct ResponseRules {
    /// Returns the kind of a failure, if the status alone would give the wrong one.
    pub(crate) classify: fn(&Failure<'_>) -> Option<Kind>,
    /// The service's own codes, each with its documented status, since a failure may come under a status of success. An error shows a code
    /// of this list unchanged, because it is no secret.
    pub(crate) codes: &'static [(&'static str, StatusCode)],
    /// Whether a success has no content that distinguishes it from a failure, so that each response is searched for a failure first.
    pub(crate) is_flat: bool,
}

/// The parts of a failed response that [`ResponseRules::classify`] needs.
pub(crate) struct Failure<'a> {
    /// The status, or the documented status of the code if the response came under a status of success.
    pub(crate) status: StatusCode,
    /// The service's code, without the fraction that users have seen after a number.
    pub(crate) code: Option<&'a str>,
    /// The target of a redirect.
    pub(crate) location: Option<&'a str>,
}

impl ResponseRules {
    /// The rules of HTTP alone.
    pub(crate) const HTTP: Self = Self { classify: |_| None, codes: &[], is_flat: false };

    fn documented_status(&self, code: Option<&str>) -> StatusCode {
        let documented = self.codes.iter().find(|(known, _)| Some(*known) == code.map(number));
        documented.map_or(StatusCode::OK, |(_, status)| *status)
    }

    /// Returns whether a code is documented, by the service or by RFC 6749, section 5.2.
    fn is_documented(&self, code: &str) -> bool {
        // Behind the number, users have seen a short fraction. Anything longer may be a secret of the request.
        let is_fraction = |rest: &str| rest.len() <= 3 && rest.bytes().all(|byte| byte.is_ascii_digit());
        let (word, rest) = code.split_once('.').unwrap_or((code, ""));
        let is_own = self.codes.iter().any(|(known, _)| *known == word);
        (is_own && is_fraction(rest)) || OAUTH_CODES.contains(&code)
    }
}

/// The error codes of OAuth 2.0 (RFC 6749, section 5.2).
const OAUTH_CODES: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// A response, as far as it has been read.
pub(crate) struct RawResponse<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The time when it arrived.
    pub(crate) now: SystemTime,
}

impl RawResponse<'_> {
    /// Returns the failure that the response reports, if any.
    ///
    /// `secrets` returns the secrets of the request, in case the service repeats one.
    pub(crate) fn failure(&self, rules: &ResponseRules, secrets: impl FnOnce() -> Secrets) -> Option<Error> {
        let body = FailureBody::read(self.body);
        let has_failed = body.is_failure() || (rules.is_flat && body.is_bare_message());
        let is_success = self.status.is_success();
        // No service responds with an HTML page, unless it is down for maintenance or a proxy in front of it responds.
        let is_page = is_success && self.is_html();
        if is_success && !has_failed && !is_page {
            return None;
        }
        let code = body.code.as_deref();
        let status = if has_failed && is_success { rules.documented_status(code) } else { self.status };
        let failure = Failure { status, code: code.map(number), location: self.location() };
        let kind = if is_page { Kind::Unavailable } else { classify(rules, &failure) };
        let has_text = body.message.is_some() || body.code.is_some();
        let secrets = if has_text { secrets() } else { Secrets::default() };
        let message =
            body.message.map(|message| tidy(&message, &secrets, MESSAGE_LENGTH)).filter(|message| !message.is_empty());
        // A documented code is no secret, even if a secret happens to be the same word.
        let code =
            body.code.map(|code| if rules.is_documented(&code) { code } else { tidy(&code, &secrets, CODE_LENGTH) });
        let error = Error::new(kind).with_status(self.status).with_code(code).with_retry_after(self.retry_after());
        Some(match message {
            Some(message) => error.with_service_message(message),
            None if self.status.is_redirection() => error.with_message("a redirect, which the client does not follow"),
            None if self.is_html() => error.with_message("an HTML page instead of JSON"),
            None => error,
        })
    }

    fn location(&self) -> Option<&str> {
        self.headers.get(LOCATION)?.to_str().ok()
    }

    fn is_html(&self) -> bool {
        is_html(self.headers, self.body)
    }

    /// Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). Compares a date with the server's own clock if the response
    /// has it, because this machine's may be wrong.
    fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = httpdate::parse_http_date(value).ok()?;
        Some(until.duration_since(date(self.headers).unwrap_or(self.now)).unwrap_or_default())
    }
}

/// Returns whether a response is an HTML page. The body decides, because `text/html` is PHP's default for everything.
pub(crate) fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    match body.trim_ascii_start().first() {
        Some(b'<') => true,
        // JSON, or no content, as in a 204, for which PHP sends `text/html` too.
        Some(b'{' | b'[') | None => false,
        _ => headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))),
    }
}

/// Returns the time of the server's clock (RFC 9110, section 6.6.1).
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Returns the time of the server's clock, unless it was never set: this crate did not exist before 2020.
pub(crate) fn set_date(headers: &HeaderMap) -> Option<SystemTime> {
    const FIRST: Duration = Duration::from_secs(1_577_836_800);
    date(headers).filter(|date| *date >= SystemTime::UNIX_EPOCH + FIRST)
}

/// Returns the kind of a failure: that of the service's rules, or the usual one of its status.
fn classify(rules: &ResponseRules, failure: &Failure<'_>) -> Kind {
    match failure.status.as_u16() {
        429 => Kind::RateLimited,
        502..=504 => Kind::Unavailable,
        status => (rules.classify)(failure).unwrap_or(match status {
            401 => Kind::Unauthorized,
            404 => Kind::NotFound,
            400 | 406 | 422 => Kind::Rejected,
            _ => Kind::Refused,
        }),
    }
}

/// Returns a code without the fraction that users have seen after it.
fn number(code: &str) -> &str {
    code.split_once('.').map_or(code, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn retry_after(header: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(header).unwrap());
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:00:00 GMT").unwrap();
        RawResponse { status: StatusCode::TOO_MANY_REQUESTS, headers: &headers, body: b"", now }.retry_after()
    }

    #[test]
    fn retry_after_is_read_in_each_of_its_forms() {
        let minutes = |n: u64| Some(Duration::from_secs(60 * n));
        assert_eq!(retry_after("120", None), minutes(2));
        assert_eq!(retry_after(" 60 ", None), minutes(1));
        assert_eq!(retry_after("0", None), minutes(0));
        // IMF-fixdate, and the two obsolete forms that a recipient must accept (RFC 9110, section 5.6.7).
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", None), minutes(49));
        assert_eq!(retry_after("Sunday, 06-Nov-94 08:49:00 GMT", None), minutes(49));
        assert_eq!(retry_after("Sun Nov  6 08:49:00 1994", None), minutes(49));
        // A date in the past means now, and the server's clock counts.
        assert_eq!(retry_after("Sun, 06 Nov 1994 07:00:00 GMT", None), minutes(0));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", Some("Sun, 06 Nov 1994 08:48:00 GMT")), minutes(1));
        for nonsense in ["", "-1", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(retry_after(nonsense, None), None, "{nonsense}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_of_a_body_that_is_not_utf_8() {
        let said = |body: &[u8]| FailureBody::read(body).message;
        assert_eq!(said(b"{\"message\":\"la password \xe8 errata\"}").as_deref(), Some("la password è errata"));
        for body in [
            &b"{\"message\":\"no pass/\xe8-77aa\"}"[..],
            b"{\"message\":\"no pass%2F%E8-77aa\"}",
            b"{\"error_description\":\"no pass\\/\xe8-77aa\",\"x\":\"\xff\"}",
            b"{\"hint\":\"no PASS/\xc8-77AA\",\"\xff\":\"\x80\"}",
        ] {
            let response = RawResponse {
                status: StatusCode::FORBIDDEN,
                headers: &HeaderMap::new(),
                body,
                now: SystemTime::UNIX_EPOCH,
            };
            let secrets = || {
                let mut secrets = Secrets::default();
                secrets.add("pass/è-77aa");
                secrets
            };
            let error = response.failure(&ResponseRules::HTTP, secrets).unwrap();
            assert_eq!(error.message(), Some("no [redacted]"), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_secret_behind_a_documented_code_is_taken_out() {
        let rules = ResponseRules { codes: &[("110", StatusCode::NOT_ACCEPTABLE)], ..ResponseRules::HTTP };
        let code = |code: &str| {
            let body = format!(r#"{{"success":false,"error":"{code}"}}"#);
            let (status, headers) = (StatusCode::NOT_ACCEPTABLE, &HeaderMap::new());
            let response = RawResponse { status, headers, body: body.as_bytes(), now: SystemTime::UNIX_EPOCH };
            let secrets = || {
                let mut secrets = Secrets::default();
                secrets.add("0123456789abcdef");
                // A secret may be such a word: it is shown nevertheless.
                secrets.add("110");
                secrets
            };
            response.failure(&rules, secrets).unwrap().code().map(str::to_owned)
        };
        assert_eq!(code("110").as_deref(), Some("110"));
        assert_eq!(code("110.5").as_deref(), Some("110.5"));
        assert_eq!(code("110.0123456789abcdef").as_deref(), Some("[redacted].[redacted]"));
    }
}
