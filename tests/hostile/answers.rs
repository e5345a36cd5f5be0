//! Any answer to any call: a status, headers and a body that nobody thought of.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::ManualClock;
use gettone::door::{self, Answer};
use gettone::keliweb::{self, Fatture, TokenPair};
use gettone::openapi::{
    self, Period, Ttl,
    v1::{Counters, Credit, Oauth, Token, TokenList, TokenUpdate},
};
use gettone::reqwest::StatusCode;
use gettone::reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use gettone::{AccessToken, Error, RefreshToken, Scope, ScopeList, ScopeSet, reqwest};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::secrets::{EMAIL, FAMILIES, Family, assert_clean, assert_clean_error, splice};
use super::{block_on, http, memory};

/// All that can be asked.
pub const OPERATIONS: [&str; 14] = [
    "password_grant",
    "refresh",
    "create_token",
    "list_tokens",
    "find_token",
    "replace_token",
    "update_token",
    "delete_token",
    "list_scopes",
    "get_credit",
    "counters_total",
    "counters_day",
    "counters_month",
    "counters_year",
];

/// The headers that are read somewhere.
const HEADERS: [HeaderName; 4] = [CONTENT_TYPE, RETRY_AFTER, DATE, CONTENT_LENGTH];

/// Those that mean something, most often success.
pub const STATUSES: [u16; 24] = [
    200, 200, 200, 200, 200, 201, 204, 302, 400, 401, 402, 403, 404, 406, 422, 429, 500, 502, 503, 504, 100, 206, 304,
    999,
];

/// A call and its answer. In the body, the bytes of `FORMS` stand for the secrets that the request had.
#[derive(Debug, Clone, Default)]
pub struct Exchange<'a> {
    pub operation: u8,
    /// Which secrets.
    pub family: u8,
    pub status: u16,
    pub headers: [Option<Cow<'a, [u8]>>; 4],
    pub body: Cow<'a, [u8]>,
}

impl<'a> Exchange<'a> {
    /// Any bytes are one: four that say what to ask, which secrets, the status and the headers; a line for each of these
    /// headers; the body.
    pub fn read(input: &'a [u8]) -> Self {
        let (&[operation, family, status, flags], mut rest) = input.split_first_chunk().unwrap_or((&[0; 4], input));
        let status = STATUSES.get(usize::from(status)).copied().unwrap_or(100 + u16::from(status) % 180 * 5);
        let headers = [0, 1, 2, 3].map(|number| {
            let set = flags >> number & 1 == 1;
            set.then(|| {
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let (line, below) = rest.split_at(end);
                rest = below.get(1..).unwrap_or_default();
                line.into()
            })
        });
        Self { operation, family, status, headers, body: rest.into() }
    }

    /// What is read as this, nearly: a start for a fuzzer.
    pub fn write(&self) -> Vec<u8> {
        let status = STATUSES.iter().position(|status| *status == self.status).unwrap_or(100);
        let flags = self.headers.iter().enumerate().fold(0, |flags, (number, header)| match header {
            Some(_) => flags | 1 << number,
            None => flags,
        });
        let mut bytes = vec![self.operation, self.family, status.try_into().unwrap(), flags];
        for header in self.headers.iter().flatten() {
            bytes.extend_from_slice(header);
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn operation(&self) -> &'static str {
        OPERATIONS[usize::from(self.operation) % OPERATIONS.len()]
    }

    pub fn family(&self) -> &'static Family {
        &FAMILIES[usize::from(self.family) % FAMILIES.len()]
    }

    pub fn answer(&self, secrets: &[String]) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in HEADERS.into_iter().zip(&self.headers) {
            if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_bytes(value).ok()) {
                headers.insert(name, value);
            }
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        Answer { status, headers, body: splice(&self.body, secrets) }
    }
}

/// Tells of an answer if a property does not hold.
struct Shown<'a>(&'a str, &'a Answer);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(operation, Answer { status, headers, body }) = self;
            let start = body.get(..2_000).unwrap_or(body);
            eprintln!("{operation} was answered {status} {headers:?} {}", start.escape_ascii());
        }
    }
}

/// What a call gave.
#[derive(Debug)]
pub enum Given {
    Pair(TokenPair),
    Token(Token),
    Tokens(TokenList),
    Found(Option<Token>),
    Deleted,
    Scopes(ScopeList),
    Credit(Credit),
    Counters(Counters),
}

/// Calls, is answered, and looks at what comes of it.
pub fn check(exchange: &Exchange<'_>) -> Result<Given, Error> {
    let operation = exchange.operation();
    let secrets = exchange.family().sent(operation);
    let answer = exchange.answer(&secrets);
    let (size, said) = (answer.body.len(), answer.clone());
    let _shown = Shown(operation, &said);
    // Made once for all.
    let _ = http();
    let (result, peak) =
        memory::peak(|| door::answering(move |_| answer.clone(), || block_on(call(operation, exchange.family()))));
    memory::assert_in_proportion(operation, peak, size);
    match &result {
        Ok(given) => {
            consistent(given, &said);
            assert_clean(operation, &shown(given), &secrets);
        }
        Err(error) => {
            assert_clean_error(operation, error, &secrets);
            assert_eq!((error.operation(), error.is_connect()), (Some(operation), false), "{error:?}");
        }
    }
    result
}

/// What is printed of a success, without the scopes that are scopes: they are meant to be seen, whatever their paths are.
pub fn shown(given: &Given) -> String {
    let scopes: Vec<&Scope> = match given {
        Given::Token(token) | Given::Found(Some(token)) => token.scopes().iter().collect(),
        Given::Tokens(tokens) => tokens.iter().flat_map(|token| token.scopes().iter()).collect(),
        Given::Scopes(list) => list.iter().collect(),
        Given::Counters(counters) => counters.iter().map(|(scope, _)| scope).collect(),
        _ => Vec::new(),
    };
    scopes.into_iter().fold(format!("{given:?}\n{given:#?}"), |text, scope| text.replace(scope.as_str(), ""))
}

pub async fn call(operation: &str, family: &Family) -> Result<Given, Error> {
    let clock = Arc::new(ManualClock::new(now()));
    let given = call_with(operation, family, &clock).await;
    // Whatever the service asks for.
    assert!(clock.waits().iter().sum::<Duration>() < Duration::from_secs(60) && clock.waits().len() < 4);
    given
}

async fn call_with(operation: &str, family: &Family, clock: &Arc<ManualClock>) -> Result<Given, Error> {
    let credentials = keliweb::Credentials::new("id", family.client_secret, EMAIL, family.password);
    let fatture = Fatture::builder(credentials).base_url(URL).http_client(http()).clock(Arc::clone(clock) as _);
    let credentials = openapi::Credentials::new(EMAIL, family.api_key);
    let oauth = Oauth::builder(credentials).base_url(URL).http_client(http()).clock(Arc::clone(clock) as _).build()?;
    let (token, scopes) = (AccessToken::new(family.token), ScopeSet::parse(["GET:imprese.openapi.it/base"])?);
    match operation {
        "password_grant" => fatture.build()?.password_grant().await.map(Given::Pair),
        "refresh" => fatture.build()?.refresh(&RefreshToken::new(family.refresh_token)).await.map(Given::Pair),
        "create_token" => oauth.create_token(&scopes, Ttl::days(1)?).await.map(Given::Token),
        "list_tokens" => oauth.list_tokens().await.map(Given::Tokens),
        "find_token" => oauth.find_token(&token).await.map(Given::Found),
        "replace_token" => oauth.replace_token(&token, &scopes, now()).await.map(Given::Token),
        "update_token" => oauth.update_token(&token, TokenUpdate::new().scopes(&scopes)).await.map(Given::Token),
        "delete_token" => oauth.delete_token(&token).await.map(|()| Given::Deleted),
        "list_scopes" => oauth.list_scopes().await.map(Given::Scopes),
        "get_credit" => oauth.credit().await.map(Given::Credit),
        "counters_total" => oauth.counters(Period::total()).await.map(Given::Counters),
        "counters_day" => oauth.counters(Period::day(2022, 1, 1)?).await.map(Given::Counters),
        "counters_month" => oauth.counters(Period::month(2022, 1)?).await.map(Given::Counters),
        _ => oauth.counters(Period::year(2022)?).await.map(Given::Counters),
    }
}

pub const URL: &str = "http://127.0.0.1:9/below";

/// 2021-10-14T00:00:00Z.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_634_169_600)
}

/// Whether a success is one, and has all that the body has.
fn consistent(given: &Given, answer: &Answer) {
    let body = answer.body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&answer.body);
    // An answer without content has none, whatever follows (RFC 9110, section 15.3.5): nothing of it ever comes over a wire.
    let body = if answer.status == StatusCode::NO_CONTENT { b"" } else { body };
    let data = Data::read(body);
    if let Given::Found(None) = given {
        // The one success under a status of failure.
        assert!(answer.status.is_success() || answer.status == StatusCode::PAYMENT_REQUIRED, "{}", answer.status);
        return;
    }
    assert!(answer.status.is_success(), "a success of {}", answer.status);
    assert!(!says_no(body), "a success of a service that says no");
    match given {
        Given::Pair(pair) => {
            assert!(now().checked_add(pair.expires_in()).is_some());
            assert_sendable(pair.access_token().expose());
            assert!(pair.refresh_token().is_none_or(|token| (1..=LONGEST_TOKEN).contains(&token.expose().len())));
            assert_hidden(&pair, pair.access_token().expose(), pair.token_type());
        }
        Given::Token(token) | Given::Found(Some(token)) => well_formed(token),
        Given::Tokens(tokens) => {
            tokens.iter().for_each(well_formed);
            let count = tokens.len() + tokens.unrecognized().len();
            assert_eq!(data.and_then(Data::len).unwrap_or(count), count);
        }
        Given::Scopes(list) => {
            rereads(list);
            assert_eq!(data.map(Data::nested).and_then(Data::len).unwrap_or(count(list)), count(list));
        }
        Given::Counters(counters) => {
            let count = counters.len() + counters.unrecognized().len();
            assert_eq!(data.and_then(Data::len).unwrap_or(count), count);
            for (scope, counter) in counters {
                assert_eq!(&scope.to_string().parse::<Scope>().unwrap(), scope);
                assert!(counters.get(scope).is_some() && !counter.limit().to_string().is_empty());
            }
        }
        Given::Credit(credit) => {
            assert_eq!(credit.to_string().parse(), Ok(credit.amount()));
        }
        Given::Found(None) | Given::Deleted => {}
    }
}

fn count(list: &ScopeList) -> usize {
    list.len() + list.unrecognized().len()
}

/// What was read as scopes is read again as the same, and what was not is not.
fn rereads(list: &ScopeList) {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    let again: ScopeList = serde_json::from_value(texts.into()).unwrap();
    assert_eq!(again.as_slice(), list.as_slice());
    let again: ScopeList = serde_json::from_value(list.unrecognized().into()).unwrap();
    assert_eq!(again.unrecognized(), list.unrecognized());
}

fn well_formed(token: &Token) {
    rereads(token.scopes());
    let end = token.expires_at().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(end < Duration::from_secs(253_402_300_800), "after the year 9999");
    assert_sendable(token.token().expose());
    assert_hidden(token, token.token().expose(), &format!("{:?}", token.scopes()));
}

const LONGEST_TOKEN: usize = 8 * 1024;

/// Whatever token a success hands out can stand in a header and in a path.
fn assert_sendable(token: &str) {
    assert!(!token.is_empty() && token.len() <= LONGEST_TOKEN, "{} bytes", token.len());
    let header = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
    let words: Vec<&str> = header.to_str().expect("visible ASCII").split_whitespace().collect();
    assert_eq!(words, ["Bearer", token]);
    let encoded = utf8_percent_encode(token, NON_ALPHANUMERIC);
    for segment in [encoded.to_string(), token.replace(['/', '?', '#', '%'], "_")] {
        let url = reqwest::Url::parse(&format!("{URL}/token/{segment}/after")).expect("a URL");
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        assert_eq!((segments.len(), segments[1], segments[3]), (4, "token", "after"), "{token:?}");
    }
}

/// A token that came is not printed, unless it stands elsewhere too.
fn assert_hidden(printed: &impl std::fmt::Debug, token: &str, elsewhere: &str) {
    let text = format!("{printed:?}");
    assert!(token.len() < 20 || elsewhere.contains(token) || !text.contains(token), "{text}");
}

/// A reader of bodies that is not the crate's own. It reads some of them only.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl<'a> Data<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        // An array would do for a structure as well, field by field.
        body.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(body).ok())?
    }

    /// How many there are of what is listed. `None` if nothing is.
    fn len(self) -> Option<usize> {
        let text = self.data.get();
        match text.as_bytes().first()? {
            b'[' => serde_json::from_str::<Vec<IgnoredAny>>(text).ok().map(|entries| entries.len()),
            // The entries of a map may have the same name twice.
            b'{' => serde_json::from_str::<Names>(text).ok().map(|names| names.0),
            _ => None,
        }
    }

    /// What is inside, if there is another one inside.
    fn nested(self) -> Self {
        Self::read(self.data.get().as_bytes()).unwrap_or(self)
    }
}

struct Names(usize);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> serde::de::Visitor<'de> for All {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut count = 0;
                while map.next_entry::<String, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Names(count))
            }
        }

        deserializer.deserialize_map(All)
    }
}

/// Whether a body says `"success": false` on its first level, whatever else is in it.
fn says_no(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Success {
        success: Value,
    }

    serde_json::from_slice(body).is_ok_and(|Success { success }| success == Value::Bool(false))
}
