//! What an answer means: the one place that reads failures.
//!
//! Both services are read tolerantly. What their documents say and what was seen in the field stands in `spec/`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, Kind};
use crate::redact::escapes::text_of;
use crate::redact::{CODE_LENGTH, MESSAGE_LENGTH, Secrets, tidy};

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
        let is_flat = dialect == Dialect::Envelope(Asked::Flat);
        let refused = says.refused() || (is_flat && says.is_bare_message());
        let is_success = self.status.is_success();
        // Neither service answers with a page for people, unless it cannot do what it is for: maintenance, a proxy's notice.
        let is_page = is_success && self.is_html();
        if is_success && !refused && !is_page {
            return None;
        }
        let code = says.code.as_deref();
        let kind = match dialect {
            _ if is_page => Kind::Unavailable,
            Dialect::Grant(_) if matches!(self.status.as_u16(), 302 | 303) && !self.leads_to_login() => {
                Kind::Unavailable
            }
            _ if refused && is_success => classify(dialect, documented_status(code), code),
            _ => classify(dialect, self.status, code),
        };
        let says_something = says.message.is_some() || says.code.is_some();
        let secrets = if says_something { secrets() } else { Secrets::default() };
        let said = says.message.map(|message| tidy(&message, &secrets, MESSAGE_LENGTH)).filter(|said| !said.is_empty());
        // A word of the field is no secret, although a secret may be such a word.
        let code = says.code.map(|code| if is_known(&code) { code } else { tidy(&code, &secrets, CODE_LENGTH) });
        let error = Error::new(kind).with_status(self.status).with_code(code).with_retry_after(self.retry_after());
        Some(match said {
            Some(said) => error.with_service_message(said),
            None if self.status.is_redirection() => error.with_message("a redirect, which is not followed"),
            None if self.is_html() => error.with_message("an HTML page in place of an answer"),
            None => error,
        })
    }

    /// Whether a redirect leads to a page to log in on: Laravel's is `/login`.
    fn leads_to_login(&self) -> bool {
        let location = self.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        location.is_some_and(is_login_page)
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

/// Whether a reference to a page (RFC 3986, section 4.1) is to one on which people log in.
pub(crate) fn is_login_page(reference: &str) -> bool {
    let path = reference.split(['?', '#']).next().unwrap_or_default();
    path.trim_end_matches('/').rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case("login"))
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

/// Where a status alone would mislead, the operation and the code decide.
fn classify(dialect: Dialect, status: StatusCode, code: Option<&str>) -> Kind {
    match (dialect, status.as_u16(), code.map(number)) {
        (_, 429, _) => Kind::RateLimited,
        (_, 502..=504, _) => Kind::Unavailable,

        (Dialect::Grant(_), _, Some("invalid_client")) => Kind::Unauthorized,
        // Old and new Passport for the same thing.
        (Dialect::Grant(Grant::Refresh), 401, Some("invalid_request")) => Kind::InvalidGrant { credentials: false },
        (Dialect::Grant(Grant::Refresh), 200 | 400 | 401, Some("invalid_grant")) => {
            Kind::InvalidGrant { credentials: false }
        }
        (Dialect::Grant(Grant::Password), 200 | 400 | 401, Some("invalid_grant" | "invalid_credentials")) => {
            Kind::InvalidGrant { credentials: true }
        }
        // Laravel sends to its login page; another redirect says that the service has moved.
        (Dialect::Grant(_), 302 | 303, _) => Kind::Unauthorized,

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

/// Whether a code is one of those that are documented: by the vendor, or by RFC 6749, section 5.2, and the server software.
fn is_known(code: &str) -> bool {
    documented_status(Some(code)) != StatusCode::OK
        || matches!(
            code,
            "invalid_request"
                | "invalid_client"
                | "invalid_grant"
                | "invalid_credentials"
                | "unauthorized_client"
                | "unsupported_grant_type"
                | "invalid_scope"
        )
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
    /// There is an `error`, whatever it is.
    error: bool,
    /// There is a field of the envelope, if only a null.
    envelope: bool,
    /// There is something beside what is said.
    content: bool,
}

impl Says {
    /// A body that is not a JSON object says nothing. In one that is, nothing that is odd keeps the rest from being heard.
    fn read(body: &[u8]) -> Self {
        let body = text_of(body);
        let Fields { mut says, data } = serde_json::from_str(&body).unwrap_or_default();
        // `GET /scopes` may have all of it one level down.
        says.envelope |= !data.is_empty();
        for data in data {
            // PHP writes what is empty in two ways.
            let is_empty = matches!(data.get(), "null" | "[]" | "{}");
            says.content |= !is_empty;
            if let Ok(Fields { says: Self { success: Some(success), code, message, .. }, .. }) = from_raw(data) {
                says.succeeded(Some(success));
                says.code = says.code.or(code);
                says.message = says.message.or(message);
            }
        }
        let said = says.message.take().into_iter().chain(says.details.drain(..));
        says.message = said.reduce(|all, detail| all + "; " + &detail);
        says
    }

    /// The service says no under a status of success, as users have seen it do.
    fn refused(&self) -> bool {
        match self.success {
            Some(success) => !success,
            None => (self.code.is_some() || self.error) && !self.content,
        }
    }

    /// There are words, and nothing else of the vendor's envelope: the answer of something before the service.
    fn is_bare_message(&self) -> bool {
        !self.envelope && !self.content && self.message.is_some()
    }

    /// What is said in two places is a success if neither says no.
    fn succeeded(&mut self, success: Option<bool>) {
        self.success = match (self.success, success) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
    }

    fn field(&mut self, name: &str, value: &RawValue) {
        self.envelope |= matches!(name, "success" | "error");
        match name {
            "success" => self.succeeded(yes_or_no(value)),
            "error" => {
                let code = match Word::of(value) {
                    Word::Other => inner_code(value),
                    word => word.code(),
                };
                // PHP takes these for nothing.
                self.error |= !matches!(value.get(), "null" | "false" | "0" | "\"\"" | "\"0\"" | "[]" | "{}");
                self.code = code.or(self.code.take());
            }
            // Newer versions of the server software have the one, older ones the other; some have the same in both.
            "error_description" => self.message = text(value).or(self.message.take()),
            "message" => self.message = self.message.take().or_else(|| text(value)),
            "hint" => self.details.extend(text(value)),
            "errors" => self.details.extend(fields(value)),
            "token" | "access_token" => self.content = true,
            _ => {}
        }
    }
}

/// An object as it says something, and what it has in `data`.
#[derive(Default)]
struct Fields<'a> {
    says: Says,
    data: Vec<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some((Text(name), value)) = map.next_entry::<Text, &RawValue>()? {
                    match name.as_str() {
                        "data" => fields.data.push(value),
                        name => fields.says.field(name, value),
                    }
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

fn from_raw<'a, T: Deserialize<'a>>(value: &'a RawValue) -> serde_json::Result<T> {
    serde_json::from_str(value.get())
}

/// A string, with everything unescaped that can be: half of a surrogate pair is no text, and no reason to show the rest as it was
/// sent, where a secret with escapes in it would not be found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lenient;

        impl Visitor<'_> for Lenient {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            /// What serde_json gives of a string that is asked for as bytes: UTF-8, and half of a pair likewise (WTF-8).
            fn visit_bytes<E>(self, text: &[u8]) -> Result<Text, E> {
                let mut string = String::with_capacity(text.len());
                for chunk in text.utf8_chunks() {
                    string.push_str(chunk.valid());
                    // Half of a pair has three bytes, none of which is UTF-8.
                    if !chunk.invalid().is_empty() && !string.ends_with(char::REPLACEMENT_CHARACTER) {
                        string.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Text(string))
            }
        }

        deserializer.deserialize_bytes(Lenient)
    }
}

/// A value, as far as it can be said in a word.
enum Word {
    Flag(bool),
    Number(String),
    Text(String),
    Other,
}

impl Word {
    /// What may be a code: a number other than 0, or a text.
    fn code(self) -> Option<String> {
        match self {
            Self::Number(code) | Self::Text(code) if !matches!(code.as_str(), "" | "0") => Some(code),
            _ => None,
        }
    }

    fn of(value: &RawValue) -> Self {
        let json = value.get();
        match json.bytes().next() {
            Some(b't' | b'f') => Self::Flag(json == "true"),
            // As it was sent: not every number of JSON is one here.
            Some(b'-' | b'0'..=b'9') => Self::Number(json.to_owned()),
            Some(b'"') => from_raw(value).map_or(Self::Other, |Text(text)| Self::Text(text)),
            _ => Self::Other,
        }
    }
}

/// The `success` of an envelope, as PHP and people write it; nothing if it is neither.
pub(crate) fn yes_or_no(value: &RawValue) -> Option<bool> {
    match Word::of(value) {
        Word::Flag(success) => Some(success),
        Word::Number(success) | Word::Text(success) => match success.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" | "" => Some(false),
            _ => None,
        },
        Word::Other => None,
    }
}

/// The code in an `error` that is an object or an array.
fn inner_code(value: &RawValue) -> Option<String> {
    let fields: BTreeMap<Text, &RawValue> = from_raw(value).unwrap_or_default();
    let first = || from_raw::<Vec<&RawValue>>(value).ok()?.first().copied();
    let code = fields.iter().find(|(name, _)| name.0 == "code").map(|(_, code)| *code).or_else(first)?;
    Word::of(code).code()
}

fn text(value: &RawValue) -> Option<String> {
    match Word::of(value) {
        Word::Text(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

/// Laravel's `errors`: for each field what is wrong with it.
fn fields(errors: &RawValue) -> impl Iterator<Item = String> {
    let errors: BTreeMap<Text, &RawValue> = from_raw(errors).unwrap_or_default();
    errors.into_iter().filter_map(|(Text(field), reasons)| {
        let reasons: Vec<&RawValue> = from_raw(reasons).ok()?;
        match Word::of(reasons.first()?) {
            Word::Text(reason) => Some(format!("{field}: {reason}")),
            _ => None,
        }
    })
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
    fn a_secret_is_taken_out_of_a_body_that_is_not_utf_8() {
        let said = |body: &[u8]| Says::read(body).message;
        assert_eq!(said(b"{\"message\":\"la password \xe8 errata\"}").as_deref(), Some("la password è errata"));
        for body in [
            &b"{\"message\":\"no pass/\xe8-77aa\"}"[..],
            b"{\"message\":\"no pass%2F%E8-77aa\"}",
            b"{\"error_description\":\"no pass\\/\xe8-77aa\",\"x\":\"\xff\"}",
            b"{\"hint\":\"no PASS/\xc8-77AA\",\"\xff\":\"\x80\"}",
        ] {
            let answer =
                Answer { status: StatusCode::FORBIDDEN, headers: &HeaderMap::new(), body, now: SystemTime::UNIX_EPOCH };
            let secrets = || {
                let mut secrets = Secrets::default();
                secrets.add("pass/è-77aa");
                secrets
            };
            let error = answer.failure(Dialect::Envelope(Asked::Other), secrets).unwrap();
            assert_eq!(error.message(), Some("no [redacted]"), "{}", body.escape_ascii());
        }
    }
}
