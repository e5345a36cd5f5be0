//! Any response to any call: any status, headers and body.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use gettone::Error;
use gettone::clock::ManualClock;
use gettone::reqwest::StatusCode;
use gettone::reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use gettone::test_transport::{self, Answer};

use super::secrets::{FAMILIES, assert_clean, assert_clean_error, splice};
use super::services::{Http, Operation, Returned, Secrets, Setup, laws, now, operations};
use super::{block_on, http, memory};

/// The headers that clients read.
const HEADERS: [HeaderName; 4] = [CONTENT_TYPE, RETRY_AFTER, DATE, CONTENT_LENGTH];

/// Statuses with a meaning, most often success.
pub const STATUSES: [u16; 24] = [
    200, 200, 200, 200, 200, 201, 204, 302, 400, 401, 402, 403, 404, 406, 422, 429, 500, 502, 503, 504, 100, 206, 304,
    999,
];

/// A call and its response. In the body, the bytes of `FORMS` stand for the secrets of the request.
#[derive(Debug, Clone, Default)]
pub struct Exchange<'a> {
    pub operation: u8,
    /// The index of its secrets.
    pub family: u8,
    pub status: u16,
    pub headers: [Option<Cow<'a, [u8]>>; 4],
    pub body: Cow<'a, [u8]>,
}

impl<'a> Exchange<'a> {
    /// Reads any bytes: four for the operation, the secrets, the status and the headers; a line for each of these headers; the body.
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

    /// Writes what is read as nearly this: a start for a fuzzer.
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

    pub fn operation(&self) -> &'static Operation {
        operations().nth(usize::from(self.operation) % operations().count()).unwrap()
    }

    pub fn family(&self) -> &'static Secrets {
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

/// Prints a response if a property does not hold.
struct Shown<'a>(&'a Operation, &'a Answer);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(operation, Answer { status, headers, body }) = self;
            let start = body.get(..2_000).unwrap_or(body);
            eprintln!("{operation} was answered {status} {headers:?} {}", start.escape_ascii());
        }
    }
}

/// Makes the call, and checks what it returns.
pub fn check(exchange: &Exchange<'_>) -> Result<Box<dyn Returned>, Error> {
    let operation = exchange.operation();
    let secrets = exchange.family().sent(operation);
    let answer = exchange.answer(&secrets);
    let (size, said) = (answer.body.len(), answer.clone());
    let _shown = Shown(operation, &said);
    // Built once for all.
    let _ = http();
    let (result, peak) = memory::peak(|| {
        test_transport::answering(move |_| answer.clone(), || block_on(call(operation, exchange.family())))
    });
    memory::assert_in_proportion(operation.name, peak, size);
    match &result {
        Ok(returned) => {
            assert_consistent(operation, returned.as_ref(), &said);
            assert_clean(operation.name, &returned.shown(), &secrets);
        }
        Err(error) => {
            assert_clean_error(operation.name, error, &secrets);
            assert_eq!((error.operation(), error.is_connect()), (Some(operation.name), false), "{error:?}");
        }
    }
    result
}

pub async fn call(operation: &Operation, family: &Secrets) -> Result<Box<dyn Returned>, Error> {
    let clock = Arc::new(ManualClock::new(now()));
    let setup = Setup { clock: Arc::clone(&clock) as _, http: Http::Given(http()), ..Setup::new(URL) };
    let returned = operation.call(family, &setup).await;
    // However long the service asks to wait.
    assert!(clock.waits().iter().sum::<Duration>() < Duration::from_secs(60) && clock.waits().len() < 4);
    returned
}

pub const URL: &str = "http://127.0.0.1:9/below";

/// Asserts that a success is one, and is what the body says.
fn assert_consistent(operation: &Operation, returned: &dyn Returned, answer: &Answer) {
    let body = answer.body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&answer.body);
    // A 204 has no content, whatever follows (RFC 9110, section 15.3.5).
    let body = if answer.status == StatusCode::NO_CONTENT { b"" } else { body };
    let is_success = answer.status.is_success();
    match operation.absence.filter(|_| returned.is_absence()) {
        // The one success under a status of failure.
        Some(status) => assert!(is_success || answer.status == status, "{}", answer.status),
        None => {
            assert!(is_success, "a success of {}", answer.status);
            assert!(!laws::says_no(body), "a success of a service that says no");
        }
    }
    returned.assert_is_in(body);
}
