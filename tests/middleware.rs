//! The layer for `reqwest-middleware`: a token on each request, and what follows a 401.
#![cfg(feature = "middleware")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::fake::{Answer, Do, FakeService};
use common::services::keliweb;
use common::{API_KEY, Still, http, mint, minted, success, until};
use gettone::clock::ManualClock;
use gettone::openapi::v1::Oauth;
use gettone::{AccessToken, Error, ScopeSet};
use http::Extensions;
use reqwest::header::{AUTHORIZATION, HOST};
use reqwest::{Body, Client, Method, Request, Response, StatusCode, Version};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use serde_json::json;

const GRANTED: [&str; 4] = ["GET:127.0.0.1/root", "GET:127.0.0.1/base", "POST:127.0.0.1/base", "GET:127.0.0.1/other"];

/// A token service, a client of it that authorizes requests to 127.0.0.1, and its time.
struct Setup {
    tokens: FakeService,
    oauth: Oauth,
    clock: Arc<ManualClock>,
}

impl Setup {
    async fn new() -> Self {
        Self::with(mint(&GRANTED).await)
    }

    fn with(tokens: FakeService) -> Self {
        let (builder, clock) = common::oauth(&tokens.url()).http_client(http()).still();
        let oauth = builder.scopes(ScopeSet::parse(["*:127.0.0.1/*"]).unwrap()).build().unwrap();
        Self { tokens, oauth, clock }
    }

    fn http(&self) -> ClientWithMiddleware {
        layered(&self.oauth, http())
    }

    /// Returns the token that requests get now.
    async fn token(&self) -> AccessToken {
        self.oauth.token(&ScopeSet::parse(["*:127.0.0.1/*"]).unwrap()).await.unwrap()
    }

    /// Requests a token, and lets it age.
    async fn aged(self, age: Duration) -> Self {
        self.token().await;
        self.clock.advance(age);
        self
    }

    /// Starts with a token that is old enough to be known everywhere.
    async fn wait_idle() -> Self {
        Self::new().await.aged(MINUTE).await
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn layered(oauth: &Oauth, client: Client) -> ClientWithMiddleware {
    ClientBuilder::new(client).with(oauth.middleware()).build()
}

fn seconds(seconds: &[u64]) -> Vec<Duration> {
    seconds.iter().copied().map(Duration::from_secs).collect()
}

fn refused() -> Answer {
    Answer::json(401, json!({ "message": "Unauthenticated." }))
}

fn wrong_token() -> Answer {
    Answer::json(401, json!({ "success": false, "message": "Wrong Token", "error": 125.22 }))
}

/// Lists the numbers of the tokens that a service received, 0 for none.
fn numbers(service: &FakeService) -> Vec<usize> {
    let number = |header: &str| header.strip_prefix("Bearer token-").unwrap().parse().unwrap();
    service.requests().iter().map(|asked| asked.header("authorization").map_or(0, number)).collect()
}

/// Returns a body that cannot be cloned, like a stream.
fn stream(text: &'static str) -> Body {
    Response::from(http::Response::new(text)).into()
}

/// Returns the error of this crate in one of the middleware.
fn own(error: &reqwest_middleware::Error) -> &Error {
    assert!(!format!("{error} {error:?} {error:#?}").contains("token-"), "{error:?}");
    match error {
        reqwest_middleware::Error::Middleware(error) => error.downcast_ref().expect("an error of this crate"),
        reqwest_middleware::Error::Reqwest(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn every_request_gets_the_token() {
    let (setup, service) = (Setup::new().await, FakeService::answering_with(Answer::empty(204)).await);
    for path in ["/", "/base/1", "/other?x=1"] {
        let answer = setup.http().get(service.url() + path).header("x-own", "yes").send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
    assert_eq!((numbers(&service), setup.tokens.calls()), (vec![1, 1, 1], 1));
    assert!(service.requests().iter().all(|asked| asked.header("x-own") == Some("yes")));
    assert!(setup.clock.waits().is_empty());
}

#[tokio::test]
async fn a_request_to_another_host_passes_unchanged() {
    let (setup, service) = (Setup::new().await, FakeService::answering([Answer::empty(204), Answer::empty(403)]).await);
    let url = service.url().replace("127.0.0.1", "localhost");
    // Also requests that have no scope.
    for (method, status) in [(Method::GET, 204), (Method::HEAD, 403), (Method::OPTIONS, 403)] {
        let answer = setup.http().request(method, format!("{url}//a")).header("x-own", "yes").send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
    for asked in service.requests() {
        assert_eq!((asked.header("authorization"), asked.header("x-own")), (None, Some("yes")));
    }
    assert_eq!((service.calls(), setup.tokens.calls()), (3, 0));
}

#[tokio::test]
async fn a_401_of_a_host_that_gets_no_token_is_an_error_that_says_so() {
    let (setup, service) = (Setup::new().await, FakeService::answering_with(refused()).await);
    let url = service.url().replace("127.0.0.1", "localhost") + "/secret-path?secret=1";
    let error = setup.http().get(&url).send().await.unwrap_err();
    let found = own(&error);
    assert_eq!((found.is_invalid_input(), found.status()), (true, Some(StatusCode::UNAUTHORIZED)));
    let text = found.to_string();
    assert!(text.contains("401 from localhost") && text.contains("`Builder::scopes`"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!((service.calls(), setup.tokens.calls()), (1, 0));
    // A program that handles it gets the response.
    let client = ClientBuilder::new(http()).with(setup.oauth.middleware().allow_other_hosts()).build();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    // A request with its own authorization gets the response too.
    assert_eq!(setup.http().get(&url).bearer_auth("x").send().await.unwrap().status(), 401);
    assert_eq!((service.calls(), setup.tokens.calls()), (3, 0));
}

#[tokio::test]
async fn a_request_with_its_own_authorization_passes_unchanged() {
    let (setup, service) = (Setup::wait_idle().await, FakeService::answering([refused(), wrong_token()]).await);
    for own in ["Basic eA==", "Bearer other", ""] {
        let answer = setup.http().get(service.url()).header(AUTHORIZATION, own).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(service.requests().last().unwrap().header("authorization"), Some(own));
    }
    assert_eq!((service.calls(), setup.tokens.calls()), (3, 1));
    assert_eq!(setup.token().await.expose(), "token-1");
}

#[tokio::test]
async fn after_a_401_the_request_is_sent_once_more_with_a_new_token() {
    for first in [refused(), wrong_token(), Answer::empty(401), Answer::html(401, "<html>")] {
        let (setup, service) =
            (Setup::wait_idle().await, FakeService::answering([first, Answer::json(200, "whole")]).await);
        let answer = setup.http().get(service.url()).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "whole"));
        assert_eq!((numbers(&service), setup.tokens.calls()), (vec![1, 2], 2));
        assert_eq!((setup.clock.waits(), setup.token().await.expose()), (vec![], "token-2"));
    }
}

#[tokio::test]
async fn the_second_401_is_returned() {
    let (setup, service) =
        (Setup::wait_idle().await, FakeService::answering([refused(), refused().body("second")]).await);
    let answer = setup.http().get(service.url()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (401, "second"));
    assert_eq!((numbers(&service), setup.tokens.calls()), (vec![1, 2], 2));
    // The second token stays for now, as it may be valid elsewhere; a little later it is dropped.
    setup.clock.advance(MINUTE);
    setup.http().get(service.url()).send().await.unwrap();
    assert_eq!(numbers(&service), [1, 2, 2, 3]);
}

#[tokio::test]
async fn the_body_of_no_other_status_is_read() {
    for status in [200, 400, 402, 403, 404, 407, 429, 500, 503] {
        let (setup, service) = (Setup::new().await, FakeService::answering_with(wrong_token().status(status)).await);
        let answer = setup.http().get(service.url()).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (status, wrong_token().text()));
        assert_eq!((service.calls(), setup.tokens.calls(), setup.clock.waits()), (1, 1, vec![]));
        assert_eq!(setup.token().await.expose(), "token-1");
    }
}

#[tokio::test]
async fn a_retry_sends_the_whole_request() {
    for (setup, again) in [(Setup::wait_idle().await, refused()), (Setup::new().await, wrong_token())] {
        let service = FakeService::answering([again.clone(), again, Answer::empty(200)]).await;
        let body = "x".repeat(100_000);
        let request = setup.http().post(service.url() + "/base?a=b").header("x-own", "1").header("x-own", "2");
        request.header("content-type", "text/plain").body(body.clone()).send().await.unwrap();
        let requests = service.requests();
        assert!(requests.len() > 1);
        for asked in &requests {
            assert_eq!((asked.method.as_str(), asked.target.as_str(), asked.body == body), ("POST", "/base?a=b", true));
            let others: Vec<_> = asked.headers.iter().filter(|(name, _)| name != "authorization").collect();
            let first: Vec<_> = requests[0].headers.iter().filter(|(name, _)| name != "authorization").collect();
            assert_eq!((others.len() >= 3, others), (true, first));
        }
    }
}

#[tokio::test]
async fn a_new_token_is_retried_after_wrong_token() {
    for (wrong, waits) in [(1, &[1][..]), (2, &[1, 2]), (3, &[1, 2, 4]), (4, &[1, 2, 4, 8])] {
        for text in ["Wrong Token", "WRONG TOKEN", "wrong token."] {
            let setup = Setup::new().await;
            let answer = Answer::json(401, json!({ "success": false, "message": text, "error": 125.22 }));
            let answers = std::iter::repeat_n(answer, wrong).chain([Answer::json(200, "{}")]);
            let service = FakeService::answering(answers).await;
            assert_eq!(setup.http().get(service.url()).send().await.unwrap().status(), 200);
            assert_eq!((numbers(&service), setup.tokens.calls()), (vec![1; wrong + 1], 1));
            assert_eq!(setup.clock.waits(), seconds(waits));
            assert_eq!(setup.token().await.expose(), "token-1");
        }
    }
}

#[tokio::test]
async fn a_new_token_is_dropped_after_the_last_wait() {
    let service = FakeService::answering(std::iter::repeat_n(wrong_token(), 5).chain([Answer::empty(200)])).await;
    let setup = Setup::new().await;
    assert_eq!(setup.http().get(service.url()).send().await.unwrap().status(), 200);
    assert_eq!((numbers(&service), setup.tokens.calls()), (vec![1, 1, 1, 1, 1, 2], 2));
    assert_eq!(setup.clock.waits(), seconds(&[1, 2, 4, 8]));
}

#[tokio::test]
async fn the_second_new_token_has_waits_of_its_own_and_is_the_last() {
    let (setup, service) = (Setup::new().await, FakeService::answering_with(wrong_token()).await);
    let answer = setup.http().get(service.url()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (401, wrong_token().text()));
    assert_eq!((numbers(&service), setup.tokens.calls()), (vec![1, 1, 1, 1, 1, 2, 2, 2, 2, 2], 2));
    assert_eq!(setup.clock.waits(), seconds(&[1, 2, 4, 8, 1, 2, 4, 8]));
}

#[tokio::test]
async fn a_token_is_new_for_fifteen_seconds() {
    for (age, waits) in [(14, &[1][..]), (15, &[]), (3599 / 2, &[])] {
        let setup = Setup::new().await.aged(Duration::from_secs(age)).await;
        let service = FakeService::answering([wrong_token(), Answer::empty(200)]).await;
        assert_eq!(setup.http().get(service.url()).send().await.unwrap().status(), 200);
        assert_eq!((setup.clock.waits(), setup.tokens.calls()), (seconds(waits), 2 - waits.len()), "{age}");
    }
}

#[tokio::test]
async fn a_new_token_is_renewed_at_once_after_another_401() {
    for first in [refused(), Answer::empty(401), Answer::json(401, r#"{"message":"Wrong","x":"Token"}"#)] {
        let (setup, service) = (Setup::new().await, FakeService::answering([first, Answer::empty(200)]).await);
        assert_eq!(setup.http().get(service.url()).send().await.unwrap().status(), 200);
        assert_eq!((numbers(&service), setup.tokens.calls(), setup.clock.waits()), (vec![1, 2], 2, vec![]));
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_cloned_is_sent_once() {
    for (young, answer, next) in
        [(false, refused(), 2), (false, wrong_token(), 2), (true, refused(), 2), (true, wrong_token(), 1)]
    {
        let setup = if young { Setup::new().await } else { Setup::wait_idle().await };
        let service = FakeService::answering_with(answer.clone()).await;
        let request = setup.http().post(service.url() + "/base").body(stream("a stream"));
        let got = request.send().await.unwrap();
        assert_eq!((got.status().as_u16(), got.text().await.unwrap().as_str()), (401, answer.text()));
        assert_eq!((service.request().body.as_str(), numbers(&service)), ("a stream", vec![1]));
        assert_eq!((setup.tokens.calls(), setup.clock.waits()), (1, vec![]));
        // A new token may become known, so it stays; any other is dropped.
        assert_eq!(setup.token().await.expose(), format!("token-{next}"));
    }
}

/// Returns an answer in chunks, with a header that occurs twice.
fn odd(status: &str) -> Do {
    let headers = "x-twice: a\r\nX-Other: b\r\nx-twice: c\r\nconnection: close\r\ntransfer-encoding: chunked";
    let body = "4\r\nwron\r\n8\r\ng token \r\n1\r\n.\r\n0\r\n\r\n";
    Do::Say(format!("HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}"))
}

#[tokio::test]
async fn a_response_whose_body_was_read_is_returned_whole() {
    let raw = FakeService::new([odd("401 Whatever")]).await;
    let setup = Setup::new().await;
    // The token is new, so the middleware reads the body; the request is a stream, so the 401 is returned.
    let layered = setup.http().post(raw.url() + "/base?x#y").body(stream("")).send().await.unwrap();
    let plain = http().post(raw.url() + "/base?x#y").body(stream("")).send().await.unwrap();
    assert_eq!((layered.status(), layered.version()), (plain.status(), plain.version()));
    assert_eq!((layered.url(), layered.remote_addr()), (plain.url(), plain.remote_addr()));
    assert_eq!((layered.headers(), layered.headers().get_all("x-twice").iter().count()), (plain.headers(), 2));
    let reason = |answer: &Response| answer.error_for_status_ref().unwrap_err().to_string();
    assert_eq!((reason(&layered), reason(&layered).contains("Whatever")), (reason(&plain), true));
    let (layered, plain) = (layered.bytes().await.unwrap(), plain.bytes().await.unwrap());
    assert_eq!((layered, &plain[..]), (plain.clone(), &b"wrong token ."[..]));
    assert_eq!((raw.calls(), setup.tokens.calls(), setup.token().await.expose()), (2, 1, "token-1"));
}

#[tokio::test]
async fn wrong_token_is_found_in_a_body_of_unknown_length() {
    let raw = FakeService::new([odd("401 Unauthorized"), Do::answer("200 OK", "", "")]).await;
    let setup = Setup::new().await;
    assert_eq!(setup.http().get(raw.url()).send().await.unwrap().status(), 200);
    assert_eq!((raw.calls(), setup.tokens.calls(), setup.clock.waits()), (2, 1, seconds(&[1])));
}

#[tokio::test]
async fn a_response_keeps_its_http_version() {
    let raw = FakeService::new([Do::Say("HTTP/1.0 401 Unauthorized\r\n\r\nwrong token".to_owned())]).await;
    let setup = Setup::new().await;
    let answer = setup.http().post(raw.url() + "/base").body(stream("")).send().await.unwrap();
    assert_eq!((answer.version(), answer.text().await.unwrap().as_str()), (Version::HTTP_10, "wrong token"));
}

/// Returns a chunked answer with so many bytes.
fn chunked(bytes: usize) -> Do {
    let chunks = format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(bytes / 1024);
    Do::Say(format!("HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"))
}

#[tokio::test]
async fn a_large_401_is_whole_with_and_without_a_length() {
    for bytes in [0, 1024, 63 * 1024, 64 * 1024, 65 * 1024, 3 << 20] {
        for act in [Do::answer("401 Unauthorized", "", &"x".repeat(bytes)), chunked(bytes)] {
            let (setup, raw) = (Setup::new().await, FakeService::new([act]).await);
            let answer = setup.http().get(raw.url()).send().await.unwrap();
            assert_eq!(answer.status(), 401);
            let body = answer.bytes().await.unwrap();
            assert_eq!((body.len(), body.iter().all(|byte| *byte == b'x')), (bytes, true));
            // A body that is too long to be read says nothing about the token, so it stays.
            let sent = if bytes > 64 * 1024 { 1 } else { 2 };
            assert_eq!((raw.calls(), setup.tokens.calls(), setup.clock.waits()), (sent, sent, vec![]));
            assert_eq!(setup.token().await.expose(), format!("token-{sent}"));
        }
    }
}

#[tokio::test]
async fn an_endless_401_is_not_read_to_its_end() {
    let raw = FakeService::new([Do::Flood("HTTP/1.1 401 Unauthorized\r\n\r\n".to_owned())]).await;
    let setup = Setup::new().await;
    let mut answer = setup.http().get(raw.url()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), raw.calls(), setup.tokens.calls()), (401, 1, 1));
    assert!(answer.chunk().await.unwrap().is_some_and(|chunk| chunk.iter().all(|byte| *byte == b'x')));
    drop(answer);
    until(|| raw.flooded().is_some()).await;
    let sent = raw.flooded().unwrap();
    // The bytes beyond the limit are in the buffers of the two sockets.
    assert!(sent < 32 << 20, "{sent} bytes were read");
}

/// How long the middleware waits for a body.
const TWO_SECONDS: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_401_whose_body_does_not_come_is_returned() {
    let sized = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 11\r\n\r\n";
    let chunked = "HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n";
    let to_the_end = "HTTP/1.1 401 Unauthorized\r\n\r\n";
    for (first, second) in [
        (sized.to_owned(), "wrong token"),
        (format!("{sized}wron"), "g token"),
        (format!("{chunked}4\r\nwro"), "n\r\n7\r\ng token\r\n0\r\n\r\n"),
        (format!("{chunked}4\r\nwron\r\n"), "7\r\ng token\r\n0\r\n\r\n"),
        (to_the_end.to_owned(), "wrong token"),
        (format!("{to_the_end}wrong toke"), "n"),
    ] {
        let raw = FakeService::new([Do::Pause(first.clone(), second.to_owned())]).await;
        let setup = Setup::new().await;
        assert_eq!(setup.token().await.expose(), "token-1");
        tokio::time::pause();
        let answer = raw.until(TWO_SECONDS, setup.http().get(raw.url()).send()).await.unwrap();
        tokio::time::resume();
        assert_eq!((answer.status().as_u16(), answer.url().as_str()), (401, format!("{}/", raw.url()).as_str()));
        assert_eq!(answer.content_length(), first.starts_with(sized).then_some(11));
        // The body is whole: what the middleware read, and what came later.
        raw.go_on();
        assert_eq!(answer.text().await.unwrap(), "wrong token", "{first:?}");
        // It says nothing about the token.
        assert_eq!((raw.calls(), setup.tokens.calls(), setup.clock.waits()), (1, 1, vec![]));
        assert_eq!(setup.token().await.expose(), "token-1");
    }
}

#[tokio::test]
async fn wrong_token_is_found_in_a_body_that_stalls_after_it() {
    let head = "HTTP/1.1 401 Unauthorized\r\n\r\nWrong Token, and".to_owned();
    let raw = FakeService::new([Do::Pause(head, String::new()), Do::answer("200 OK", "", "")]).await;
    let setup = Setup::new().await;
    setup.token().await;
    tokio::time::pause();
    let answer = raw.until(TWO_SECONDS, setup.http().get(raw.url()).send()).await.unwrap();
    assert_eq!((answer.status().as_u16(), raw.calls(), setup.tokens.calls()), (200, 2, 1));
    assert_eq!(setup.clock.waits(), seconds(&[1]));
}

#[tokio::test]
async fn the_timeout_of_a_request_covers_the_rest_of_the_body() {
    const LONG: Duration = Duration::from_secs(1_000_000);
    let head = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 11\r\n\r\nwron".to_owned();
    let raw = FakeService::new([Do::Pause(head, String::new())]).await;
    let setup = Setup::new().await;
    setup.token().await;
    tokio::time::pause();
    let request = setup.http().get(raw.url()).timeout(LONG);
    let mut answer = raw.until(TWO_SECONDS, request.send()).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "wron");
    tokio::time::advance(LONG).await;
    let error = answer.chunk().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
}

#[tokio::test]
async fn a_401_with_a_broken_body_is_still_a_401() {
    let half = |text: &str| format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: 1000\r\n\r\n{text}");
    let chunk = "HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz".to_owned();
    for act in [Do::Say(half("half")), Do::Say(chunk)] {
        // The request is retried, and the rest of the second response is returned.
        let (setup, raw) = (Setup::new().await, FakeService::new([act]).await);
        let mut answer = setup.http().get(raw.url()).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.url().as_str()), (401, format!("{}/", raw.url()).as_str()));
        assert_eq!((raw.calls(), setup.tokens.calls(), setup.clock.waits()), (2, 2, vec![]));
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "half");
        let error = answer.chunk().await.unwrap_err();
        assert!(error.is_decode() && !error.is_timeout(), "{error:?}");
    }
    // The part of the body that arrived may be enough.
    let raw = FakeService::new([Do::Say(half("wrong token")), Do::answer("200 OK", "", "")]).await;
    let setup = Setup::new().await;
    assert_eq!(setup.http().get(raw.url()).send().await.unwrap().status(), 200);
    assert_eq!((raw.calls(), setup.tokens.calls()), (2, 1));
}

#[tokio::test]
async fn without_a_token_the_error_is_the_one_of_the_crate() {
    let refusal = Answer::json(401, json!({ "message": format!("key {API_KEY} is wrong"), "error": 5 }));
    let (setup, service) = (
        Setup::with(FakeService::answering_with(refusal).await),
        FakeService::answering_with(Answer::empty(200)).await,
    );
    let error = setup.http().get(service.url()).send().await.unwrap_err();
    assert!(own(&error).is_unauthorized() && own(&error).code() == Some("5"), "{error:?}");
    assert!(!format!("{error} {error:?} {error:#?}").contains(API_KEY));
    assert_eq!((service.calls(), setup.tokens.calls()), (0, 1));
}

#[tokio::test]
async fn a_request_that_must_not_have_a_token_is_not_sent() {
    let setup = Setup::with(mint(&GRANTED).await);
    let service = FakeService::answering_with(Answer::empty(200)).await;
    for (method, path) in [(Method::HEAD, "/base"), (Method::OPTIONS, "/base"), (Method::GET, "//base")] {
        let error = setup.http().request(method, service.url() + path).send().await.unwrap_err();
        assert!(own(&error).is_invalid_input(), "{error:?}");
    }
    // Plain http to a host that the scopes name.
    let oauth = common::oauth(&setup.tokens.url()).build().unwrap();
    let error = layered(&oauth, http()).get("http://imprese.openapi.it/base").send().await.unwrap_err();
    assert!(own(&error).to_string().contains("sends tokens only over https"), "{error:?}");
    assert_eq!((service.calls(), setup.tokens.calls()), (0, 0));
}

#[tokio::test]
async fn a_request_whose_host_header_names_another_host_is_not_sent() {
    let (setup, service) = (Setup::new().await, FakeService::answering_with(Answer::empty(204)).await);
    let keliweb = FakeService::answering([success("password_grant"), Answer::empty(204)]).await;
    let fatture = ClientBuilder::new(http()).with(keliweb.fatture().middleware()).build();
    for (client, at) in [(setup.http(), &service), (fatture, &keliweb)] {
        let (url, authority, made) = (at.url(), at.url().replace("http://", ""), setup.tokens.calls());
        let send = async |headers: &[&str]| {
            headers.iter().fold(client.get(&url), |request, header| request.header(HOST, *header)).send().await
        };
        for wrong in ["evil.example", "127.0.0.1", "localhost", ""] {
            for headers in [&[wrong][..], &[wrong, &authority], &[&authority, wrong], &[&authority, &authority]] {
                let error = send(headers).await.unwrap_err();
                assert!(own(&error).is_invalid_input(), "{error:?}");
                assert!(own(&error).to_string().contains("the `Host` header"), "{error:?}");
            }
        }
        assert_eq!((at.calls(), setup.tokens.calls()), (0, made));
        assert_eq!(send(&[&authority]).await.unwrap().status(), 204);
        // A request with its own authorization passes unchanged.
        let request = client.get(&url).header(HOST, "evil.example").bearer_auth("x");
        assert_eq!(request.send().await.unwrap().status(), 204);
    }
}

#[tokio::test]
async fn without_a_new_token_the_401_is_returned() {
    for failure in
        [Answer::empty(500), Answer::json(401, "{}"), minted("evil\r\nx-evil: 1", &GRANTED), minted("token-2", &[])]
    {
        for young in [false, true] {
            let setup = Setup::with(FakeService::answering([minted("token-1", &GRANTED), failure.clone()]).await);
            let setup = if young { setup } else { setup.aged(MINUTE).await };
            let service = FakeService::answering_with(refused()).await;
            let answer = setup.http().get(service.url()).send().await.unwrap();
            assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (401, refused().text()));
            assert_eq!((numbers(&service), setup.tokens.calls() > 1), (vec![1], true));
            // The token is not sent again.
            let error = setup.http().get(service.url()).send().await.unwrap_err();
            assert_eq!((own(&error).to_string().contains("evil"), service.calls()), (false, 1));
        }
    }
}

#[tokio::test]
async fn requests_that_are_rejected_together_renew_the_token_once() {
    let setup = Setup::wait_idle().await;
    let service = FakeService::deciding(|asked| match asked.header("authorization") {
        Some("Bearer token-1") => refused(),
        _ => Answer::empty(200),
    });
    let service = service.await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..30 {
        tasks.spawn(setup.http().get(service.url()).send());
    }
    for answer in tasks.join_all().await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert_eq!((setup.tokens.calls(), numbers(&service).iter().max()), (2, Some(&2)));
}

/// A layer that counts the requests and those with a token, and may renew the token before it passes the first one on.
#[derive(Clone)]
struct Layer {
    renew: Option<Oauth>,
    seen: Arc<AtomicUsize>,
    with_token: Arc<AtomicUsize>,
}

impl Layer {
    fn new() -> Self {
        Self { renew: None, seen: Arc::default(), with_token: Arc::default() }
    }

    fn counts(&self) -> [usize; 2] {
        [self.seen.load(Ordering::Relaxed), self.with_token.load(Ordering::Relaxed)]
    }
}

#[async_trait::async_trait]
impl Middleware for Layer {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let first = self.seen.fetch_add(1, Ordering::Relaxed) == 0;
        if let Some(header) = request.headers().get(AUTHORIZATION) {
            self.with_token.fetch_add(1, Ordering::Relaxed);
            assert!(header.is_sensitive());
            if let (Some(oauth), true) = (&self.renew, first) {
                let token = header.to_str().unwrap().strip_prefix("Bearer ").unwrap();
                oauth.invalidate(&AccessToken::new(token));
                oauth.token(&ScopeSet::parse(["*:127.0.0.1/*"]).unwrap()).await.unwrap();
            }
        }
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn a_token_that_another_caller_renewed_is_used() {
    for first in [refused(), wrong_token()] {
        let (setup, service) = (Setup::wait_idle().await, FakeService::answering([first, Answer::empty(200)]).await);
        let layer = Layer { renew: Some(setup.oauth.clone()), ..Layer::new() };
        let client = ClientBuilder::new(http()).with(setup.oauth.middleware()).with(layer).build();
        assert_eq!(client.get(service.url()).send().await.unwrap().status(), 200);
        assert_eq!((numbers(&service), setup.tokens.calls(), setup.clock.waits()), (vec![1, 2], 2, vec![]));
    }
}

#[tokio::test]
async fn outer_layers_see_one_request_and_inner_layers_see_each_retry() {
    let (setup, service) = (Setup::wait_idle().await, FakeService::answering([refused(), Answer::empty(200)]).await);
    let (before, behind) = (Layer::new(), Layer::new());
    let client = ClientBuilder::new(http()).with(before.clone()).with(setup.oauth.middleware()).with(behind.clone());
    assert_eq!(client.build().get(service.url()).send().await.unwrap().status(), 200);
    assert_eq!((before.counts(), behind.counts()), ([1, 0], [2, 2]));
}

#[tokio::test]
async fn each_retry_keeps_the_extensions_of_the_request() {
    #[derive(Clone)]
    struct Seen(Arc<AtomicUsize>);

    struct Reader;

    #[async_trait::async_trait]
    impl Middleware for Reader {
        async fn handle(
            &self,
            request: Request,
            extensions: &mut Extensions,
            next: Next<'_>,
        ) -> reqwest_middleware::Result<Response> {
            extensions.get::<Seen>().unwrap().0.fetch_add(1, Ordering::Relaxed);
            assert_eq!(request.timeout(), Some(&MINUTE));
            let mut answer = next.run(request, extensions).await?;
            answer.extensions_mut().insert(42_u8);
            Ok(answer)
        }
    }

    let (setup, service) = (Setup::new().await, FakeService::answering([wrong_token()]).await);
    let client = ClientBuilder::new(http()).with(setup.oauth.middleware()).with(Reader).build();
    let seen = Seen(Arc::default());
    let request = client.get(service.url()).timeout(MINUTE).with_extension(seen.clone());
    let answer = request.send().await.unwrap();
    assert_eq!((seen.0.load(Ordering::Relaxed), answer.extensions().get::<u8>()), (10, Some(&42)));
}

#[tokio::test]
async fn endless_401s_do_not_make_endless_tokens() {
    for answer in [refused(), wrong_token()] {
        let (setup, service) = (Setup::new().await, FakeService::answering_with(answer).await);
        // One connection is enough for thousands of requests.
        let http = layered(&setup.oauth, Client::builder().no_proxy().build().unwrap());
        for _ in 0..100 {
            assert_eq!(http.get(service.url()).send().await.unwrap().status(), 401);
        }
        // The waits for a new token take time too.
        assert!(setup.tokens.calls() <= 8, "{} tokens", setup.tokens.calls());
        // A request each second for an hour.
        for _ in 0..3600 {
            setup.clock.advance(Duration::from_secs(1));
            let _ = http.get(service.url()).send().await;
        }
        assert!(setup.tokens.calls() <= 30, "{} tokens in an hour", setup.tokens.calls());
    }
}

#[tokio::test]
async fn an_endpoint_that_always_answers_401_does_not_stop_the_others() {
    let setup = Setup::wait_idle().await;
    let service = FakeService::deciding(|asked| if asked.target == "/other" { refused() } else { Answer::empty(200) });
    let service = service.await;
    for second in 0..600 {
        setup.clock.advance(Duration::from_secs(1));
        if second % 10 == 0 {
            let _ = setup.http().get(service.url() + "/other").send().await;
        }
        let answer = setup.http().get(service.url() + "/base").send().await;
        assert_eq!(answer.unwrap_or_else(|error| panic!("second {second}: {error}")).status(), 200);
    }
    assert!(setup.tokens.calls() <= 20, "{} tokens", setup.tokens.calls());
}

#[tokio::test]
async fn a_401_of_another_host_does_not_drop_the_token() {
    let follows = || Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    for (young, answer) in [(false, refused()), (true, refused()), (false, wrong_token()), (true, wrong_token())] {
        let setup = if young { Setup::new().await } else { Setup::wait_idle().await };
        let there = FakeService::answering_with(answer.clone()).await;
        for url in [there.url(), there.url().replace("127.0.0.1", "localhost")] {
            let before = there.calls();
            let here = FakeService::answering_with(Answer::empty(307).header("location", &format!("{url}/else"))).await;
            let got = layered(&setup.oauth, follows()).get(here.url()).send().await.unwrap();
            assert_eq!((got.status().as_u16(), got.url().path()), (401, "/else"));
            assert_eq!(got.text().await.unwrap(), answer.text());
            assert_eq!((numbers(&here), there.calls()), (vec![1], before + 1));
        }
        assert_eq!(numbers(&there), [0, 0]);
        assert_eq!((setup.tokens.calls(), setup.clock.waits(), setup.token().await.expose()), (1, vec![], "token-1"));
    }
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed_with_the_token() {
    let setup = Setup::wait_idle().await;
    let service = FakeService::deciding(|asked| match (asked.target.as_str(), asked.header("authorization")) {
        ("/", _) => Answer::empty(302).header("location", "/other"),
        (_, Some("Bearer token-1")) => refused(),
        _ => Answer::empty(200),
    });
    let service = service.await;
    let follows = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let answer = layered(&setup.oauth, follows).get(service.url()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), numbers(&service)), (200, vec![1, 1, 2, 2]));
}

#[tokio::test]
async fn a_connection_error_is_passed_on() {
    let setup = Setup::wait_idle().await;
    // On the first attempt, and after a 401.
    for script in [vec![Do::Reset], vec![Do::answer("401 Unauthorized", "", ""), Do::Reset]] {
        let calls = script.len();
        let raw = FakeService::new(script).await;
        let error = setup.http().get(raw.url()).send().await.unwrap_err();
        assert!(matches!(error, reqwest_middleware::Error::Reqwest(_)), "{error:?}");
        assert!(!format!("{error:?} {error:#?}").contains("token-"));
        assert_eq!(raw.calls(), calls);
    }
}

#[tokio::test]
async fn keliweb_renews_its_token_with_the_refresh_token() {
    let pair = |number: usize| Answer::json(200, keliweb::pair(&format!("token-{number}"), "next"));
    // The token service and the protected one have the same address.
    let grants = Arc::new(Mutex::new(Vec::new()));
    let asked_for = Arc::clone(&grants);
    let service = FakeService::deciding(move |asked| {
        if let Some((_, grant)) = asked.form().into_iter().find(|(name, _)| name == "grant_type") {
            let mut grants = asked_for.lock().unwrap();
            grants.push(grant);
            return pair(grants.len());
        }
        match asked.header("authorization") {
            Some("Bearer token-2") => Answer::empty(200),
            Some("Bearer token-1") => Answer::json(401, json!({ "message": "Unauthenticated." })),
            _ => Answer::empty(403),
        }
    });
    let service = service.await;
    let fatture = service.fatture();
    let client = ClientBuilder::new(http()).with(fatture.middleware()).build();
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert_eq!(client.request(method, service.url() + "/api").send().await.unwrap().status(), 200);
    }
    assert_eq!(*grants.lock().unwrap(), ["password", "refresh_token"]);
    // A request to another origin gets no token.
    let other = FakeService::answering_with(Answer::empty(403)).await;
    for url in [other.url(), service.url().replace("127.0.0.1", "localhost")] {
        assert_eq!(client.get(url + "/api").send().await.unwrap().status(), 403);
    }
    assert_eq!((numbers(&other), service.requests().last().unwrap().header("authorization")), (vec![0], None));
    assert_eq!(grants.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn two_services_share_a_client() {
    for first in [true, false] {
        let keliweb = FakeService::answering([success("password_grant"), Answer::empty(200)]).await;
        let (setup, service) = (Setup::new().await, FakeService::answering_with(Answer::empty(200)).await);
        let (url, builder) = (keliweb.url().replace("127.0.0.1", "localhost"), ClientBuilder::new(http()));
        let fatture = common::fatture(&url).http_client(http()).build().unwrap();
        let client = match first {
            true => builder.with(fatture.middleware()).with(setup.oauth.middleware()),
            false => builder.with(setup.oauth.middleware()).with(fatture.middleware()),
        };
        let client = client.build();
        for url in [&url, &service.url()] {
            assert_eq!(client.get(url).send().await.unwrap().status(), 200);
        }
        let (at_keliweb, at_service) = (keliweb.requests(), numbers(&service));
        assert!(!at_keliweb.last().unwrap().header("authorization").unwrap().contains("token-"));
        assert_eq!((at_keliweb.len(), at_service, setup.tokens.calls()), (2, vec![1], 1));
        // A 401 that remains after the retry passes the other middleware too.
        let refusing = FakeService::answering([success("password_grant"), refused()]).await;
        let url = refusing.url().replace("127.0.0.1", "localhost");
        let fatture = common::fatture(&url).http_client(http()).build().unwrap();
        let client = match first {
            true => ClientBuilder::new(http()).with(fatture.middleware()).with(setup.oauth.middleware()),
            false => ClientBuilder::new(http()).with(setup.oauth.middleware()).with(fatture.middleware()),
        };
        assert_eq!(client.build().get(&url).send().await.unwrap().status(), 401, "{first}");
    }
}

#[tokio::test]
async fn a_broader_token_that_was_rejected_is_not_used_again() {
    let tokens = FakeService::answering((1..9).map(|number| minted(&format!("token-{number}"), &GRANTED))).await;
    let (builder, clock) = common::oauth(&tokens.url()).http_client(http()).still();
    let scopes = ScopeSet::parse(["GET:127.0.0.1/root"]).unwrap();
    let oauth = builder.scopes(scopes).build().unwrap();
    let broad = ScopeSet::parse(["*:127.0.0.1/*"]).unwrap();
    assert_eq!(oauth.token(&broad).await.unwrap().expose(), "token-1");
    clock.advance(MINUTE);
    let service = FakeService::answering([refused(), Answer::empty(200)]).await;
    assert_eq!(layered(&oauth, http()).get(service.url()).send().await.unwrap().status(), 200);
    assert_eq!((numbers(&service), tokens.calls()), (vec![1, 2], 2));
    assert_eq!(oauth.token(&broad).await.unwrap().expose(), "token-3");
}

#[tokio::test]
async fn the_middleware_prints_nothing_of_its_client() {
    let (setup, keliweb) = (Setup::wait_idle().await, FakeService::answering_with(success("password_grant")).await);
    let fatture = keliweb.fatture();
    fatture.token().await.unwrap();
    for text in [format!("{:?}", setup.oauth.middleware()), format!("{:#?}", fatture.middleware().clone())] {
        assert_eq!(text, "Middleware");
    }
}

#[test]
fn the_middleware_can_be_cloned_and_shared() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<gettone::Middleware>();
}
