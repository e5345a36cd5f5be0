//! What a response means. Each service says by [`ResponseRules`] what a status or a code means there; everything else is HTTP's.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};

use super::failure::FailureBody;
use super::redact::{CODE_LENGTH, MESSAGE_LENGTH, Secrets, tidy};
use crate::error::{Error, Kind};

/// What a service says of the responses to one of its operations, beyond HTTP.
#[derive(Debug)]
pub(crate) struct ResponseRules {
    /// Returns what a failure is if its status alone would mislead.
    pub(crate) classify: fn(&Failure<'_>) -> Option<Kind>,
    /// The service's own codes, each with the status that is documented for it: a failure may come under a status of success. A code
    /// of this list is shown as it came, because it is no secret.
    pub(crate) codes: &'static [(&'static str, StatusCode)],
    /// Whether a success has no content whose type tells it from a failure, so that each response is searched for a failure first.
    pub(crate) is_flat: bool,
}

/// A response that tells of a failure, as far as [`ResponseRules::classify`] needs it.
pub(crate) struct Failure<'a> {
    /// The status, or the one that is documented for the code if the response came under a status of success.
    pub(crate) status: StatusCode,
    /// The service's code, without the fraction that users have seen after a number.
    pub(crate) code: Option<&'a str>,
    /// Where a redirect leads.
    pub(crate) location: Option<&'a str>,
}

impl ResponseRules {
    fn documented_status(&self, code: Option<&str>) -> StatusCode {
        let documented = self.codes.iter().find(|(known, _)| Some(*known) == code.map(number));
        documented.map_or(StatusCode::OK, |(_, status)| *status)
    }

    /// Returns whether a code is documented, by the service or by RFC 6749, section 5.2.
    fn is_documented(&self, code: &str) -> bool {
        self.codes.iter().any(|(known, _)| *known == number(code)) || OAUTH_CODES.contains(&code)
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

/// A response, as far as it was read.
pub(crate) struct RawResponse<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// When it came.
    pub(crate) now: SystemTime,
}

impl RawResponse<'_> {
    /// Returns the failure that the response tells of, if it does.
    ///
    /// `secrets` returns those of the request, in case the service repeats one.
    pub(crate) fn failure(&self, rules: &ResponseRules, secrets: impl FnOnce() -> Secrets) -> Option<Error> {
        let body = FailureBody::read(self.body);
        let says_no = body.is_failure() || (rules.is_flat && body.is_bare_message());
        let is_success = self.status.is_success();
        // No service answers with a page for people, unless it is down for maintenance or a proxy stands before it.
        let is_page = is_success && self.is_html();
        if is_success && !says_no && !is_page {
            return None;
        }
        let code = body.code.as_deref();
        let status = if says_no && is_success { rules.documented_status(code) } else { self.status };
        let failure = Failure { status, code: code.map(number), location: self.location() };
        let kind = if is_page { Kind::Unavailable } else { classify(rules, &failure) };
        let has_text = body.message.is_some() || body.code.is_some();
        let secrets = if has_text { secrets() } else { Secrets::default() };
        let message =
            body.message.map(|message| tidy(&message, &secrets, MESSAGE_LENGTH)).filter(|message| !message.is_empty());
        // A documented word is no secret, although a secret may be such a word.
        let code =
            body.code.map(|code| if rules.is_documented(&code) { code } else { tidy(&code, &secrets, CODE_LENGTH) });
        let error = Error::new(kind).with_status(self.status).with_code(code).with_retry_after(self.retry_after());
        Some(match message {
            Some(message) => error.with_service_message(message),
            None if self.status.is_redirection() => error.with_message("a redirect, which is not followed"),
            None if self.is_html() => error.with_message("an HTML page instead of a response"),
            None => error,
        })
    }

    fn location(&self) -> Option<&str> {
        self.headers.get(LOCATION)?.to_str().ok()
    }

    fn is_html(&self) -> bool {
        is_html(self.headers, self.body)
    }

    /// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). A date is compared with the server's own clock if the
    /// answer tells it, because ours may be wrong.
    fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = httpdate::parse_http_date(value).ok()?;
        Some(until.duration_since(date(self.headers).unwrap_or(self.now)).unwrap_or_default())
    }
}

/// Whether an answer is a page for people. The body decides: PHP says `text/html` of whatever it is not told otherwise.
pub(crate) fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    match body.trim_ascii_start().first() {
        Some(b'<') => true,
        // PHP says so of an answer without content too, such as a 204.
        Some(b'{' | b'[') | None => false,
        _ => headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))),
    }
}

/// What the server's clock said (RFC 9110, section 6.6.1).
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// What the server's clock said, unless it was never set: before 2020 nobody asked for a token by this crate.
pub(crate) fn set_date(headers: &HeaderMap) -> Option<SystemTime> {
    const FIRST: Duration = Duration::from_secs(1_577_836_800);
    date(headers).filter(|date| *date >= SystemTime::UNIX_EPOCH + FIRST)
}

/// What every service means by a status, except where the service says something else.
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

/// A code without the fraction that users have seen after it.
fn number(code: &str) -> &str {
    code.split_once('.').map_or(code, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    const RULES: ResponseRules = ResponseRules { classify: |_| None, codes: &[], is_flat: false };

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
        // The past is now, and the server's clock counts.
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
            let answer = RawResponse {
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
            let error = answer.failure(&RULES, secrets).unwrap();
            assert_eq!(error.message(), Some("no [redacted]"), "{}", body.escape_ascii());
        }
    }
}
