//! What the tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "tracing")]
pub mod capture;
pub mod leaks;
pub mod raw;
pub mod service;
pub mod spec;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use gettone::clock::ManualClock;
use gettone::keliweb::{self, Fatture};
use gettone::openapi::{
    self, Period, Ttl,
    v1::{Oauth, TokenUpdate},
};
use gettone::{AccessToken, Builder, Error, RefreshToken, ScopeSet, Service};
use httpmock::prelude::*;
use httpmock::{HttpMockRequest, HttpMockResponse};

use spec::Fixture;

// The values of the specs' examples.
pub const CLIENT_ID: &str = "4a6af340-2672-11ec-8114-3ba47a898cf0";
pub const CLIENT_SECRET: &str = "UhoPgAS8rnAm57J8dLXWqKDTFnwjzS30pLzE572Z";
pub const USERNAME: &str = "test@example.com";
pub const PASSWORD: &str = "xxxxxxx";
pub const EMAIL: &str = "test@example.com";
pub const API_KEY: &str = "0123456789abcdef";
/// `test@example.com:0123456789abcdef` in base64, written out so that the crate's own encoding is not what checks it.
pub const BASIC: &str = "Basic dGVzdEBleGFtcGxlLmNvbTowMTIzNDU2Nzg5YWJjZGVm";

/// A mock that answers with each of its answers in turn, the last one again and again, and keeps what it was asked.
pub struct Mock {
    server: MockServer,
    requests: Arc<Mutex<Vec<HttpMockRequest>>>,
}

impl Mock {
    pub async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().collect();
        let server = MockServer::start_async().await;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        server
            .mock_async(|when, then| {
                when.any_request();
                then.respond_with(move |request: &HttpMockRequest| {
                    let mut seen = seen.lock().unwrap();
                    let answer = answers.get(seen.len()).or(answers.last()).expect("an answer").clone();
                    seen.push(request.clone());
                    let mut response = HttpMockResponse::builder().status(answer.status).body(answer.body);
                    for (name, value) in answer.headers {
                        response = response.header(name, value);
                    }
                    response.build()
                });
            })
            .await;
        Self { server, requests }
    }

    pub async fn answering_with(answer: impl Into<Answer>) -> Self {
        Self::answering([answer.into()]).await
    }

    pub fn url(&self) -> String {
        self.server.base_url()
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Asked> {
        self.requests.lock().unwrap().iter().map(Asked::new).collect()
    }

    pub fn calls(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The one request that there must have been.
    pub fn request(&self) -> Asked {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "exactly one request");
        requests.into_iter().next().unwrap()
    }

    pub fn oauth(&self) -> Oauth {
        oauth(&self.url()).http_client(http()).build().unwrap()
    }

    pub fn fatture(&self) -> Fatture {
        fatture(&self.url()).http_client(http()).build().unwrap()
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// Sorted by name, without `host` and `content-length`.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    fn new(request: &HttpMockRequest) -> Self {
        let uri = request.uri();
        let mut headers: Vec<_> = request.headers_vec().clone();
        headers.retain(|(name, _)| !matches!(name.as_str(), "host" | "content-length"));
        headers.sort();
        Self {
            method: request.method_str().to_owned(),
            target: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers,
            body: request.body_string(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The fields of a form, sorted.
    pub fn form(&self) -> Vec<(String, String)> {
        let mut fields: Vec<_> = form_urlencoded::parse(self.body.as_bytes()).into_owned().collect();
        fields.sort();
        fields
    }
}

/// What a mock is to answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self::typed(status, "application/json", body)
    }

    pub fn html(status: u16, body: &str) -> Self {
        Self::typed(status, "text/html; charset=UTF-8", body)
    }

    pub fn typed(status: u16, content_type: &str, body: impl ToString) -> Self {
        Self::empty(status).body(body).header("content-type", content_type)
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub fn body(mut self, body: impl ToString) -> Self {
        self.body = body.to_string();
        self
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn text(&self) -> &str {
        &self.body
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl From<Fixture> for Answer {
    fn from(fixture: Fixture) -> Self {
        Self::json(fixture.status, fixture.body)
    }
}

/// The fourteen things that can be asked of the two services.
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

/// Calls an operation with some arguments; what it gives back is dropped.
pub async fn call(operation: &str, oauth: &Oauth, fatture: &Fatture) -> Result<(), Error> {
    let token = AccessToken::new("5f8041e42efdfc468b6e60ea");
    let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base"])?;
    match operation {
        "password_grant" => fatture.password_grant().await.map(drop),
        "refresh" => fatture.refresh(&RefreshToken::new("def50200cb918cb7")).await.map(drop),
        "create_token" => oauth.create_token(&scopes, Ttl::days(1)?).await.map(drop),
        "list_tokens" => oauth.list_tokens().await.map(drop),
        "find_token" => oauth.find_token(&token).await.map(drop),
        "replace_token" => oauth.replace_token(&token, &scopes, now()).await.map(drop),
        "update_token" => oauth.update_token(&token, TokenUpdate::new().scopes(&scopes)).await.map(drop),
        "delete_token" => oauth.delete_token(&token).await,
        "list_scopes" => oauth.list_scopes().await.map(drop),
        "get_credit" => oauth.credit().await.map(drop),
        "counters_total" => oauth.counters(Period::total()).await.map(drop),
        "counters_day" => oauth.counters(Period::day(2022, 1, 1)?).await.map(drop),
        "counters_month" => oauth.counters(Period::month(2022, 1)?).await.map(drop),
        "counters_year" => oauth.counters(Period::year(2022)?).await.map(drop),
        other => panic!("no such operation: {other}"),
    }
}

/// A documented success of an operation.
pub fn success(operation: &str) -> Answer {
    let (spec, id) = match operation {
        "password_grant" | "refresh" => (spec::Spec::keliweb(), "request_token"),
        _ => (spec::Spec::openapi(), operation),
    };
    let answers = spec.answers();
    let (id, status, name) = answers.iter().find(|(known, status, _)| known == id && *status == 200).unwrap();
    spec.answer(id, *status, name).into()
}

/// One client for many tests: each one that is built reads the certificates of the system, which plain http does not need.
pub fn http() -> reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let build = || {
        // Each test has a runtime of its own, which a connection does not outlive.
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0);
        builder.no_proxy().build().unwrap()
    };
    CLIENT.get_or_init(build).clone()
}

/// Until something is so that others bring about: it fails after more turns of theirs than there can be need for.
pub async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..20_000_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to be");
}

pub fn oauth(url: &str) -> Builder<Oauth> {
    Oauth::builder(openapi::Credentials::new(EMAIL, API_KEY)).base_url(url).still().0
}

pub fn fatture(url: &str) -> Builder<Fatture> {
    let credentials = keliweb::Credentials::new(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD);
    Fatture::builder(credentials).base_url(url).still().0
}

/// Time that stands still, so that no test waits.
pub trait Still: Sized {
    fn still(self) -> (Self, Arc<ManualClock>);
}

impl<C: Service> Still for Builder<C> {
    fn still(self) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(now()));
        (self.clock(Arc::clone(&clock) as _), clock)
    }
}

/// The moment at which time stands: 2021-10-14T00:00:00Z.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_634_169_600)
}

pub fn unix(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What `POST /token` answers: a token for an hour. Its `Date` says that time stands still there too.
pub fn minted(token: &str, scopes: &[&str]) -> Answer {
    let body = serde_json::json!({ "scopes": scopes, "expire": unix(now()) + 3600, "token": token });
    Answer::json(200, body).header("date", "Thu, 14 Oct 2021 00:00:00 GMT")
}

/// A token service that makes another token each time: `token-1`, `token-2` and so on.
pub async fn mint(scopes: &[&str]) -> Mock {
    Mock::answering((1..=99).map(|number| minted(&format!("token-{number}"), scopes))).await
}

impl Mock {
    /// A mock whose answer depends on what it is asked.
    pub async fn deciding(decide: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let server = MockServer::start_async().await;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        server
            .mock_async(|when, then| {
                when.any_request();
                then.respond_with(move |request: &HttpMockRequest| {
                    seen.lock().unwrap().push(request.clone());
                    let answer = decide(&Asked::new(request));
                    let response = HttpMockResponse::builder().status(answer.status).body(answer.body);
                    answer.headers.into_iter().fold(response, |to, (name, value)| to.header(name, value)).build()
                });
            })
            .await;
        Self { server, requests }
    }
}
