//! What an answer means: the one place that reads failures.
//!
//! Both services are read tolerantly. What their documents say and what was seen in the field stands in `spec/`.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::{Error, Kind};

/// Which rules an operation's answers follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OAuth 2.0 as Laravel Passport speaks it.
    Grant(Grant),
    /// Openapi.it's `success`, `message`, `error`.
    Envelope(Asked),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    Password,
    Refresh,
}

/// What an operation of Openapi.it is about, as far as it changes the meaning of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One token, looked for: 402 with code 125 is its "not found".
    Token,
    /// Counters of a period: 404 with code 610 means that the period is wrong.
    Counters,
    /// An answer without `data`, whose type cannot tell a refusal from a success.
    Flat,
    Other,
}

impl Dialect {
    /// Whether an answer with a status of success is asked what it says before it is read as what it should be. All others
    /// cannot be read as that if they say no.
    pub(crate) fn is_judged_at_once(self) -> bool {
        self == Self::Envelope(Asked::Flat)
    }
}

/// An answer, as far as it was read.
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// When it came.
    pub(crate) now: SystemTime,
}

impl Answer<'_> {
    /// The failure that the answer tells of, if it does.
    ///
    /// `secrets` gives those that the request held, should the service repeat one.
    pub(crate) fn failure(&self, dialect: Dialect, secrets: impl FnOnce() -> Secrets) -> Option<Error> {
        let says = Says::read(self.body);
        let refused = says.refused();
        let login_page = matches!(dialect, Dialect::Grant(_)) && self.is_html();
        if self.status.is_success() && !refused && !login_page {
            return None;
        }
        let kind = if self.status.is_success() && login_page {
            Kind::Unauthorized
        } else {
            let status =
                if refused && self.status.is_success() { documented_status(says.code.as_deref()) } else { self.status };
            classify(dialect, status, says.code.as_deref())
        };
        let secrets = secrets();
        let message = match says.message {
            Some(message) => Some(tidy(&message, &secrets, MESSAGE_LENGTH)),
            None if self.status.is_redirection() => Some("a redirect, which is not followed".to_owned()),
            None if self.is_html() => Some("an HTML page in place of an answer".to_owned()),
            None => None,
        };
        let code = says.code.map(|code| tidy(&code, &secrets, CODE_LENGTH));
        let error = Error::new(kind).with_status(self.status).with_code(code).with_retry_after(self.retry_after());
        Some(match message {
            Some(message) if !message.is_empty() => error.with_message(message),
            _ => error,
        })
    }

    /// The body decides: PHP says `text/html` of whatever it is not told otherwise.
    fn is_html(&self) -> bool {
        match self.body.trim_ascii_start().first() {
            Some(b'<') => true,
            Some(b'{' | b'[') => false,
            _ => self.headers.get(CONTENT_TYPE).is_some_and(|value| {
                value.as_bytes().get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
            }),
        }
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

/// What the server's clock said (RFC 9110, section 6.6.1).
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Where a status alone would mislead, the operation and the code decide.
fn classify(dialect: Dialect, status: StatusCode, code: Option<&str>) -> Kind {
    match (dialect, status.as_u16(), code.map(number)) {
        (_, 429, _) => Kind::RateLimited,
        (_, 502..=504, _) => Kind::Unavailable,

        (Dialect::Grant(_), _, Some("invalid_client")) => Kind::Unauthorized,
        // Old and new Passport for the same thing.
        (Dialect::Grant(Grant::Refresh), 401, Some("invalid_request")) => Kind::InvalidGrant { credentials: false },
        (Dialect::Grant(Grant::Refresh), 400 | 401, Some("invalid_grant")) => Kind::InvalidGrant { credentials: false },
        (Dialect::Grant(Grant::Password), 400 | 401, Some("invalid_grant" | "invalid_credentials")) => {
            Kind::InvalidGrant { credentials: true }
        }
        // Laravel sends to its login page.
        (Dialect::Grant(_), 300..=399, _) => Kind::Unauthorized,

        (Dialect::Envelope(Asked::Token), 402, Some("125")) => Kind::NotFound,
        (Dialect::Envelope(Asked::Counters), 404, Some("610")) => Kind::Rejected,

        (_, 401, _) => Kind::Unauthorized,
        (_, 404, _) => Kind::NotFound,
        (_, 400 | 406 | 422, _) => Kind::Rejected,
        _ => Kind::Refused,
    }
}

/// The status that Openapi.it documents for a code, for a failure that came under a status of success.
fn documented_status(code: Option<&str>) -> StatusCode {
    match code.map(number) {
        Some("110" | "270" | "310") => StatusCode::NOT_ACCEPTABLE,
        Some("125") => StatusCode::PAYMENT_REQUIRED,
        Some("140" | "160" | "280") => StatusCode::FORBIDDEN,
        Some("150" | "170" | "290" | "320" | "610") => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// A code without the fraction that users have seen after it.
fn number(code: &str) -> &str {
    code.split_once('.').map_or(code, |(number, _)| number)
}

/// What a body says of success and failure, in any of the forms that are known.
#[derive(Default)]
struct Says {
    success: Option<bool>,
    code: Option<String>,
    message: Option<String>,
    details: Vec<String>,
    /// There is something beside what is said.
    content: bool,
}

impl Says {
    /// A body that is not a JSON object says nothing.
    fn read(body: &[u8]) -> Self {
        let mut says = serde_json::from_slice::<Nested>(body).ok().and_then(|nested| nested.0).unwrap_or_default();
        let said = says.message.take().into_iter().chain(says.details.drain(..));
        says.message = said.reduce(|all, detail| all + "; " + &detail);
        says
    }

    /// The service says no under a status of success, as users have seen it do.
    fn refused(&self) -> bool {
        match self.success {
            Some(success) => !success,
            None => self.code.is_some() && !self.content,
        }
    }

    /// What is said in two places is a success if neither says no.
    fn succeeded(&mut self, success: Option<bool>) {
        self.success = match (self.success, success) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
    }

    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "success" => {
                let success = yes_or_no(&map.next_value()?);
                self.succeeded(success);
            }
            "error" => {
                let code = match map.next_value()? {
                    Value::Number(code) => Some(code.to_string()),
                    Value::String(code) if !code.is_empty() => Some(code),
                    _ => None,
                };
                self.code = code.or(self.code.take());
            }
            // Newer versions of the server software have the one, older ones the other; some have the same in both.
            "error_description" => self.message = text(map.next_value()?).or(self.message.take()),
            "message" => self.message = self.message.take().or(text(map.next_value()?)),
            "hint" => self.details.extend(text(map.next_value()?)),
            "errors" => self.details.extend(fields(&map.next_value()?)),
            // `GET /scopes` may have all of it one level down.
            "data" => {
                let inner = map.next_value::<Nested>()?;
                self.content |= inner.1;
                if let Some(Self { success: Some(success), code, message, .. }) = inner.0 {
                    self.succeeded(Some(success));
                    self.code = self.code.take().or(code);
                    self.message = self.message.take().or(message);
                }
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
                self.content |= matches!(name, "token" | "access_token");
            }
        }
        Ok(())
    }
}

/// An object that may say something, or anything else; and whether it is more than null.
struct Nested(Option<Says>, bool);

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Nested;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Nested, A::Error> {
                let mut says = Says::default();
                while let Some(name) = map.next_key::<String>()? {
                    says.field(&name, &mut map)?;
                }
                Ok(Nested(Some(says), true))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Nested, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Nested(None, true))
            }

            fn visit_unit<E>(self) -> Result<Nested, E> {
                Ok(Nested(None, false))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Nested, E> {
                Ok(Nested(None, true))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Nested, E> {
                Ok(Nested(None, true))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Nested, E> {
                Ok(Nested(None, true))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Nested, E> {
                Ok(Nested(None, true))
            }

            fn visit_str<E>(self, _: &str) -> Result<Nested, E> {
                Ok(Nested(None, true))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// The `success` of an envelope; nothing if it is neither.
pub(crate) fn yes_or_no(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(success) => Some(*success),
        Value::String(success) if success.eq_ignore_ascii_case("true") => Some(true),
        Value::String(success) if success.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

/// Laravel's `errors`: for each field what is wrong with it.
fn fields(errors: &Value) -> impl Iterator<Item = String> {
    let errors = errors.as_object().into_iter().flatten();
    errors.filter_map(|(field, reasons)| Some(format!("{field}: {}", reasons.get(0)?.as_str()?)))
}

/// The secrets of a request, longest first.
pub(crate) type Secrets = Vec<Zeroizing<String>>;

/// The most of a service's message that an error repeats, in characters.
const MESSAGE_LENGTH: usize = 300;
const CODE_LENGTH: usize = 64;

/// Text of a service as one line without the secrets. They go first: cut in half, they would not be found.
fn tidy(text: &str, secrets: &Secrets, length: usize) -> String {
    let mut line = one_line(text);
    for secret in secrets {
        line = line.replace(&*one_line(secret), "[redacted]");
    }
    if let Some((end, _)) = line.char_indices().nth(length) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// The words of a text with a space between them.
fn one_line(text: &str) -> String {
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    printable.split_whitespace().collect::<Vec<_>>().join(" ")
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
        Answer { status: StatusCode::TOO_MANY_REQUESTS, headers: &headers, body: b"", now }.retry_after()
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
    fn a_message_is_one_short_line_without_secrets() {
        let secrets = vec![Zeroizing::new("s3cret".to_owned()), Zeroizing::new("two  words".to_owned())];
        assert_eq!(tidy("wrong\r\n\tkey\u{1b}[31m s3cret!", &secrets, 300), "wrong key [31m [redacted]!");
        assert_eq!(tidy(&"è".repeat(400), &secrets, 300).chars().count(), 301);
        // However many spaces come back.
        assert_eq!(tidy("two words, two   words", &secrets, 300), "[redacted], [redacted]");
        // A secret that straddles the end is gone as well.
        assert!(!tidy(&("x".repeat(297) + "s3cret"), &secrets, 300).contains("s3c"));
    }
}
