//! What an answer means: the one place that reads failures.
//!
//! Both services are read tolerantly. What their documents say and what was seen in the field stands in `spec/`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
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
        let secrets = secrets();
        let said = says.message.map(|message| tidy(&message, &secrets, MESSAGE_LENGTH)).filter(|said| !said.is_empty());
        let code = says.code.map(|code| tidy(&code, &secrets, CODE_LENGTH));
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
        Some(b'{' | b'[') => false,
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
    /// A body that is not a JSON object says nothing. In one that is, nothing that is odd keeps the rest from being heard.
    fn read(body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let Fields { mut says, data } = serde_json::from_str(&body).unwrap_or_default();
        // `GET /scopes` may have all of it one level down.
        for data in data {
            says.content |= data.get() != "null";
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

    fn field(&mut self, name: &str, value: &RawValue) {
        match name {
            "success" => self.succeeded(yes_or_no(value)),
            "error" => {
                let code = match Word::of(value) {
                    Word::Number(code) => Some(code),
                    Word::Text(code) if !code.is_empty() => Some(code),
                    _ => None,
                };
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
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
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

/// A value, as far as it can be said in a word.
enum Word {
    Flag(bool),
    Number(String),
    Text(String),
    Other,
}

impl Word {
    fn of(value: &RawValue) -> Self {
        let json = value.get();
        match json.bytes().next() {
            Some(b't' | b'f') => Self::Flag(json == "true"),
            // As it was sent: not every number of JSON is one here.
            Some(b'-' | b'0'..=b'9') => Self::Number(json.to_owned()),
            // Half of a surrogate pair is no text, but better than none.
            Some(b'"') => Self::Text(from_raw(value).unwrap_or_else(|_| json.trim_matches('"').to_owned())),
            _ => Self::Other,
        }
    }
}

/// The `success` of an envelope; nothing if it is neither.
pub(crate) fn yes_or_no(value: &RawValue) -> Option<bool> {
    match Word::of(value) {
        Word::Flag(success) => Some(success),
        Word::Text(success) if success.eq_ignore_ascii_case("true") => Some(true),
        Word::Text(success) if success.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn text(value: &RawValue) -> Option<String> {
    match Word::of(value) {
        Word::Text(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

/// Laravel's `errors`: for each field what is wrong with it.
fn fields(errors: &RawValue) -> impl Iterator<Item = String> {
    let errors: BTreeMap<String, &RawValue> = from_raw(errors).unwrap_or_default();
    errors.into_iter().filter_map(|(field, reasons)| {
        let reasons: Vec<&RawValue> = from_raw(reasons).ok()?;
        match Word::of(reasons.first()?) {
            Word::Text(reason) => Some(format!("{field}: {reason}")),
            _ => None,
        }
    })
}

/// The secrets of a request, in each encoding in which a service may repeat them. Escapes are recognized while matching.
#[derive(Default)]
pub(crate) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    pub(crate) fn add(&mut self, secret: &str) {
        // Blanks at the ends reveal nothing, and a text that was tidied has lost them.
        let core = secret.trim_matches(is_blank);
        if !core.is_empty() {
            let forms = [core.to_owned(), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
            self.0.extend(forms.map(Zeroizing::new));
        }
    }

    /// Returns the length of the longest secret that a text begins with.
    fn at_start_of(&self, text: &str) -> Option<usize> {
        self.0.iter().filter_map(|secret| length_in(text.as_bytes(), secret)).max()
    }
}

/// Returns the length of a secret at the start of a one-line text, whichever of its characters are escaped, each in its own way.
fn length_in(text: &[u8], secret: &str) -> Option<usize> {
    let mut characters = secret.chars();
    // Several ends, because a `%`, `\` or `&` of the secret may stand for itself or begin an escape. Nothing is allocated
    // where the first character differs.
    let mut ends: Vec<usize> = ends_of(characters.next()?, text, 0).collect();
    let mut next = Vec::new();
    for character in characters {
        if ends.is_empty() {
            return None;
        }
        next.extend(ends.drain(..).flat_map(|end| ends_of(character, text, end)));
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut ends, &mut next);
    }
    ends.into_iter().max()
}

/// Returns where a character that starts at this place may end: as it is, escaped, or lost in the blank before it.
fn ends_of(character: char, text: &[u8], start: usize) -> impl Iterator<Item = usize> {
    let rest = text.get(start..).unwrap_or_default();
    let plain = if is_blank(character) { ' ' } else { character };
    let is_plain = rest.starts_with(plain.encode_utf8(&mut [0; 4]).as_bytes());
    let is_lost = is_blank(character) && start.checked_sub(1).and_then(|before| text.get(before)) == Some(&b' ');
    let lengths = [is_plain.then(|| plain.len_utf8()), escape_of(character, rest), is_lost.then_some(0)];
    lengths.into_iter().flatten().map(move |length| start + length)
}

/// Returns whether [`one_line`] replaces a character with a space.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// Returns the length of the escape at the start of a text if it stands for this character: of a URL, a form, JSON or HTML.
fn escape_of(character: char, text: &[u8]) -> Option<usize> {
    match text {
        [b'+', ..] if character == ' ' => Some(1),
        [b'%', ..] => escape_of_url(character, text),
        [b'\\', rest @ ..] => escape_of_json(character, rest).map(|length| 1 + length),
        [b'&', rest @ ..] => escape_of_html(character, rest).map(|length| 1 + length),
        _ => None,
    }
}

fn escape_of_url(character: char, text: &[u8]) -> Option<usize> {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).as_bytes();
    let mut groups = text.chunks(3);
    let is_next = |byte: &u8| match groups.next() {
        Some([b'%', digits @ ..]) => digits.len() == 2 && number_of(digits, 16) == Some((*byte).into()),
        _ => false,
    };
    bytes.iter().all(is_next).then_some(3 * bytes.len())
}

/// What follows the backslash (RFC 8259, section 7). PHP escapes `/` and all that is not ASCII, unless told otherwise.
fn escape_of_json(character: char, text: &[u8]) -> Option<usize> {
    let letter = match character {
        // The apostrophe is not JSON's, but PHP's and that of several languages.
        '"' | '\\' | '/' | '\'' => character,
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        _ => '\0',
    };
    match text {
        [b'u', ..] => {
            let mut buffer = [0; 2];
            let units = character.encode_utf16(&mut buffer);
            // `uXXXX`, or a surrogate pair: `uXXXX\uXXXX`.
            let length = 6 * units.len() - 1;
            let mut groups = text.get(..length)?.chunks(6);
            let is_next = |unit: &u16| match groups.next() {
                Some([b'u', a, b, c, d] | [b'u', a, b, c, d, b'\\']) => {
                    number_of(&[*a, *b, *c, *d], 16) == Some((*unit).into())
                }
                _ => false,
            };
            units.iter().all(is_next).then_some(length)
        }
        // JSON that was then escaped for HTML.
        [b'&', rest @ ..] if character == '"' => escape_of_html(character, rest).map(|length| 1 + length),
        [first, ..] => (char::from(*first) == letter).then_some(1),
        [] => None,
    }
}

/// What follows the ampersand, with its semicolon.
fn escape_of_html(character: char, text: &[u8]) -> Option<usize> {
    /// Longer than any name of [`entity_of`] and than any number, with a few leading zeros.
    const LONGEST: usize = 12;
    let end = text.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let is_meant = match text.get(..end)? {
        [b'#', b'x' | b'X', digits @ ..] => number_of(digits, 16) == Some(character.into()),
        [b'#', digits @ ..] => number_of(digits, 10) == Some(character.into()),
        name => entity_of(character).is_some_and(|known| known.as_bytes() == name),
    };
    is_meant.then_some(end + 1)
}

/// Returns the number that these digits are. Unlike the standard library it refuses a sign.
fn number_of(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u32, |number, digit| number.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?))
}

/// Returns the name that PHP's `htmlentities` gives a character of Latin-1 or of Windows-1252 (HTML 4.01, section 24).
fn entity_of(character: char) -> Option<&'static str> {
    Some(match character {
        '"' => "quot",
        '&' => "amp",
        '\'' => "apos",
        '<' => "lt",
        '>' => "gt",
        '\u{a0}'..='\u{ff}' => {
            let number = usize::try_from(u32::from(character)).ok()?;
            return LATIN_1.get(number.checked_sub(0xa0)?).copied();
        }
        'Œ' => "OElig",
        'œ' => "oelig",
        'Š' => "Scaron",
        'š' => "scaron",
        'Ÿ' => "Yuml",
        'ƒ' => "fnof",
        'ˆ' => "circ",
        '˜' => "tilde",
        '–' => "ndash",
        '—' => "mdash",
        '‘' => "lsquo",
        '’' => "rsquo",
        '‚' => "sbquo",
        '“' => "ldquo",
        '”' => "rdquo",
        '„' => "bdquo",
        '†' => "dagger",
        '‡' => "Dagger",
        '•' => "bull",
        '…' => "hellip",
        '‰' => "permil",
        '‹' => "lsaquo",
        '›' => "rsaquo",
        '€' => "euro",
        '™' => "trade",
        _ => return None,
    })
}

/// From U+00A0 to U+00FF.
#[rustfmt::skip]
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy", "reg", "macr",
    "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12",
    "frac34", "iquest",
    "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave",
    "Iacute", "Icirc", "Iuml",
    "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml",
    "Yacute", "THORN", "szlig",
    "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave",
    "iacute", "icirc", "iuml",
    "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml",
    "yacute", "thorn", "yuml",
];

/// Returns what a library says of a failure as one line, without the secrets of the request.
pub(crate) fn reason(text: &str, secrets: &Secrets) -> Option<String> {
    Some(tidy(text, secrets, REASON_LENGTH)).filter(|reason| !reason.is_empty())
}

/// The most of a service's message that an error repeats, in characters.
const MESSAGE_LENGTH: usize = 300;
const CODE_LENGTH: usize = 64;
const REASON_LENGTH: usize = 160;

/// Text of a service as one line without the secrets. They go first: cut in half, they would not be found. Where one begins
/// before another has ended, both go.
fn tidy(text: &str, secrets: &Secrets, length: usize) -> String {
    let line = one_line(text);
    let (mut clean, mut hidden) = (String::new(), 0);
    for (place, character) in line.char_indices() {
        if let Some(length) = secrets.at_start_of(&line[place..]) {
            if place >= hidden {
                clean.push_str("[redacted]");
            }
            hidden = hidden.max(place + length);
        }
        if place >= hidden {
            clean.push(character);
        }
        // Of four bytes each: enough to be cut.
        if clean.len() > 4 * length {
            break;
        }
    }
    if let Some((end, _)) = clean.char_indices().nth(length) {
        clean.truncate(end);
        clean.push('…');
    }
    clean
}

/// The words of a text with a space between them.
fn one_line(text: &str) -> String {
    // It may be a secret.
    let printable: Zeroizing<String> =
        Zeroizing::new(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
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
        let mut secrets = Secrets::default();
        secrets.add("s3cret");
        secrets.add("two  words");
        assert_eq!(tidy("wrong\r\n\tkey\u{1b}[31m s3cret!", &secrets, 300), "wrong key [31m [redacted]!");
        assert_eq!(tidy(&"è".repeat(400), &secrets, 300).chars().count(), 301);
        // However many spaces come back.
        assert_eq!(tidy("two words, two   words", &secrets, 300), "[redacted], [redacted]");
        assert_eq!(reason("no host\n s3cret", &secrets).unwrap(), "no host [redacted]");
        assert_eq!((reason("", &secrets), reason(&"x".repeat(1_000), &secrets).unwrap().len()), (None, 163));
        // A secret that straddles the end is gone as well.
        assert!(!tidy(&("x".repeat(297) + "s3cret"), &secrets, 300).contains("s3c"));
    }

    /// What is left of a text that is a secret in some form, between two words.
    fn taken_out(secret: &str, form: &str) -> String {
        let mut secrets = Secrets::default();
        secrets.add(secret);
        tidy(&format!("no: {form}, it is"), &secrets, 300)
    }

    #[test]
    fn a_secret_is_taken_out_however_it_is_escaped() {
        let secret = r#"a/b"è&<'>\%🦀€"#;
        for form in [
            secret,
            // PHP's `json_encode`, without flags, with JSON_HEX_* and with JSON_UNESCAPED_*.
            r#"a\/b\"\u00e8&<'>\\%\ud83e\udd80\u20ac"#,
            r#"a\/b\u0022\u00E8\u0026\u003C\u0027\u003E\\%\uD83E\uDD80\u20AC"#,
            r#"a/b\"è&<'>\\%🦀€"#,
            // `htmlspecialchars`, of which the apostrophe is written in three ways, and `htmlentities`.
            r#"a/b&quot;è&amp;&lt;&#039;&gt;\%🦀€"#,
            r#"a/b&quot;è&amp;&lt;&apos;&gt;\%🦀€"#,
            r#"a/b&quot;&egrave;&amp;&lt;&#39;&gt;\%🦀&euro;"#,
            r#"a&#47;b&#34;&#232;&#38;&#60;&#x27;&#x3e;&#x5C;&#37;&#x1F980;&#8364;"#,
            r#"a&#x2f;b&#x22;&#xE8;&#X26;&#x003c;&#0039;&gt;&#92;&#37;&#129408;&#x20AC;"#,
            // JSON in HTML.
            r#"a\/b\&quot;\u00e8&amp;&lt;'&gt;\\%\ud83e\udd80\u20ac"#,
            // Each character in another way.
            r#"%61\/b&quot;%C3%A8&<\u0027&gt;\\%25%f0%9f%a6%80&euro;"#,
            r#"\u0061%2Fb"\u00e8%26&lt;'%3e%5C%🦀%E2%82%AC"#,
        ] {
            assert_eq!(taken_out(secret, form), "no: [redacted], it is", "{form}");
        }
        // A character that may begin an escape, and does not.
        for (secret, form) in [
            ("&amp;/", r"&amp;\/"),
            ("&amp;/", r"&amp;amp;/"),
            ("%25é", "%25&eacute;"),
            (r"\u0041/", r"\u0041&#47;"),
            (r"\\\/", r"\\\\\\\/"),
            (r"\\\/", r"\\\%2F"),
        ] {
            assert_eq!(taken_out(secret, form), "no: [redacted], it is", "{secret} as {form}");
        }
    }

    #[test]
    fn blanks_of_a_secret_may_be_escaped_or_lost() {
        let secret = " one\ttwo  three\r\n\u{1}\u{a0}four ";
        for form in [
            secret,
            "one two three four",
            r"one\ttwo  three\r\n\u0001\u00a0four",
            r"one\ttwo three\r\n\u0001\u00A0four",
            "one&#9;two three&#13;&#10;\u{1}&nbsp;four",
            "one%09two  three%0D%0A%01%C2%A0four",
            "one%09two++three%0D%0A%01%C2%A0four",
        ] {
            let clean = taken_out(secret, form).replace(" ,", ",").replace("[redacted] ", "[redacted]");
            assert_eq!(clean, "no: [redacted], it is", "{form}");
        }
        for (secret, other) in [("one two", "onetwo"), ("one two", r"one\ntwo"), ("one  two", "one+two")] {
            assert_eq!(taken_out(secret, other), format!("no: {other}, it is"));
        }
    }

    #[test]
    fn what_only_resembles_an_escape_is_left_alone() {
        for (secret, other) in [
            ("è", r"\u00e9"),
            ("è", r"\u00e"),
            ("è", r"\ue8"),
            ("è", "&eacute;"),
            ("è", "&egrave"),
            ("è", "&#233;"),
            ("è", "&#xe8"),
            ("è", "&#;"),
            ("è", "&#x;"),
            ("è", "&#00000000000232;"),
            ("è", "%C3%+A8"),
            ("\n", "%+A"),
            ("🦀", r"\ud83e"),
            ("🦀", r"\ud83e/udd80"),
            ("/", "\\"),
        ] {
            assert_eq!(taken_out(secret, other), format!("no: {other}, it is"), "{secret}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_escapes_is_read() {
        let mut secrets = Secrets::default();
        for begins in [r"\", "%", "&"] {
            secrets.add(&(begins.repeat(64) + "!"));
        }
        let text = [r"\", "%25", "&amp;", r"\u005c", "%"].map(|escape| escape.repeat(1_024)).concat();
        // Trying every reading one by one would take exponential time.
        assert_eq!(tidy(&text, &secrets, text.len()), text);
    }

    #[test]
    fn the_names_of_latin_1_stand_at_their_numbers() {
        for (character, name) in [
            ('\u{a0}', "nbsp"),
            ('°', "deg"),
            ('À', "Agrave"),
            ('Ð', "ETH"),
            ('ß', "szlig"),
            ('à', "agrave"),
            ('è', "egrave"),
            ('÷', "divide"),
            ('ÿ', "yuml"),
        ] {
            assert_eq!(entity_of(character), Some(name));
        }
        assert_eq!((entity_of('a'), entity_of('\u{100}')), (None, None));
    }
}
