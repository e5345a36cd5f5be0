//! Which requests get the token, what follows a 401, and what is printed.

use gettone::ScopeSet;
use gettone::openapi::Environment;
use gettone::openapi::v2::{RefreshClient, RefreshCredentials};
use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::{Method, Request};

use crate::account_v2::{FakeAccount, Fault};
use crate::{BASE, DAY, LOST, pair, sent, start, token, worker};

fn request(method: &str, url: &str) -> Request {
    Request::new(Method::from_bytes(method.as_bytes()).unwrap(), url.parse().unwrap())
}

#[tokio::test]
async fn the_requests_to_the_vendors_hosts_get_the_token_and_no_others() {
    let local: Option<&[&str]> = Some(&["GET:127.0.0.1/base", "*:*.openapi.com/*"]);
    #[rustfmt::skip]
    let cases: &[(Option<&[&str]>, &str, &str, bool)] = &[
        (None,  "GET",  "https://company.openapi.com/IT-start/1", true),
        (None,  "POST", "https://imprese.openapi.it/base",        true),
        (None,  "GET",  "https://example.com/IT-start",           false),
        (None,  "GET",  "http://company.openapi.com/IT-start",    false),
        (None,  "GET",  "http://127.0.0.1:1/base",                false),
        (local, "GET",  "http://127.0.0.1:1/base/1",              true),
        (local, "POST", "http://127.0.0.1:1/base/1",              false),
        (local, "GET",  "http://127.0.0.1:1/other",               false),
        (local, "PUT",  "https://company.openapi.com/IT-start",   true),
        (local, "GET",  "https://imprese.openapi.it/base",        false),
    ];
    for (scopes, method, url, is_authorized) in cases {
        let service = start().await;
        let builder = service.worker(pair(&service, false));
        let builder = match scopes {
            Some(scopes) => builder.scopes(ScopeSet::parse(*scopes).unwrap()),
            None => builder,
        };
        let mut request = request(method, url);
        let result = builder.build().unwrap().authorize(&mut request).await;
        assert_eq!(result.is_ok(), *is_authorized, "{method} {url}: {result:?}");
        let header = request.headers().get(AUTHORIZATION);
        // All requests share the one token, and one that is refused requests none.
        assert_eq!(service.requests().len(), usize::from(*is_authorized));
        match result {
            Ok(token) => {
                let header = header.unwrap();
                assert_eq!((token.expose(), header.to_str().unwrap()), ("t1", "Bearer t1"));
                assert!(header.is_sensitive() && request.headers()[ACCEPT] == "application/json");
            }
            Err(error) => assert!(error.is_invalid_input() && header.is_none(), "{error:?}"),
        }
    }
}

#[cfg(feature = "middleware")]
#[tokio::test]
async fn after_a_401_the_middleware_refreshes_the_token_and_repeats_the_request() {
    let service = start().await;
    let worker = service.worker(pair(&service, true)).scopes(ScopeSet::parse([BASE]).unwrap()).build().unwrap();
    let http = reqwest_middleware::ClientBuilder::new(crate::common::http()).with(worker.middleware()).build();
    let call = || async { http.get(format!("{}/base/1", service.url())).send().await.unwrap() };
    assert_eq!(call().await.status(), 200);
    service.state().rejected.push("t0".to_owned());
    assert_eq!(call().await.status(), 200);
    assert_eq!(call().await.status(), 200);
    assert_eq!(service.requests(), ["GET /base/1", "GET /base/1", "PATCH /tokens/t0", "GET /base/1", "GET /base/1"]);
    assert_eq!(sent(&service), ["r0"]);
    // Without another token, the program gets the 401.
    service.hours(1);
    service.state().rejected.push("t1".to_owned());
    service.fail("PATCH", [Fault::LostResponse]);
    assert_eq!(call().await.status(), 401);
    service.hours(1);
    let error = http.get(format!("{}/base/1", service.url())).send().await.unwrap_err();
    assert!(error.to_string().contains(LOST), "{error}");
    assert_eq!(sent(&service), ["r0", "r1"]);
}

const TOKEN: &str = "secret-token-4711";
const REFRESH: &str = "refresh-of-secret-token-4711";

/// Asserts that a text holds no secret.
fn assert_clean(text: &str) {
    for part in [TOKEN, REFRESH, "4711", "secret-token"] {
        assert!(!text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn no_secret_is_printed() {
    for fault in [
        Fault::Echo,
        Fault::LostResponse,
        Fault::LostRequest,
        Fault::Truncated,
        Fault::Undecodable,
        Fault::Code(401, 130),
        Fault::Code(404, 160),
        Fault::Status(500),
        Fault::Throttled(60),
    ] {
        let service = FakeAccount::start().await;
        service.put(TOKEN, None, &[BASE], DAY);
        let credentials = RefreshCredentials::new("worker-7", TOKEN, REFRESH);
        assert_clean(&format!("{credentials:?} {credentials:#?}"));
        let builder = service.worker(credentials);
        assert_clean(&format!("{builder:?} {builder:#?}"));
        let worker = builder.build().unwrap();
        service.state().always = Some(("PATCH", fault));
        for _ in 0..3 {
            let error = worker.token().await.unwrap_err();
            let source = std::error::Error::source(&error).map(|source| format!("{source} {source:?}"));
            assert_clean(&format!("{error} {error:?} {error:#?} {:?} {:?} {source:?}", error.code(), error.message()));
            let shown = format!("{worker:?} {worker:#?}");
            assert_clean(&shown);
            assert!(shown.contains("worker-7") && shown.contains(&service.url()), "{shown}");
            service.hours(1);
        }
    }
}

#[tokio::test]
async fn a_pair_that_cannot_be_sent_is_invalid_and_nothing_is_sent() {
    for (name, token, refresh_token) in [("", "t", "r"), ("n", "", "r"), ("n", "t", "")] {
        let error = RefreshClient::builder(RefreshCredentials::new(name, token, refresh_token)).build().unwrap_err();
        assert!(error.is_invalid_input(), "{error:?}");
    }
    for (text, refresh_token) in [("..", "r"), (".", "r"), ("t", "r\nx")] {
        let service = start().await;
        let worker = service.worker(RefreshCredentials::new("n", text, refresh_token)).build().unwrap();
        for _ in 0..3 {
            let error = worker.token().await.unwrap_err();
            assert!(error.is_invalid_input() && !error.is_ambiguous(), "{error:?}");
            service.hours(1);
        }
        assert!(service.requests().is_empty());
    }
}

#[tokio::test]
async fn the_sandbox_has_its_own_address() {
    for (environment, expected) in [
        (Environment::Production, "https://oauth.openapi.com"),
        (Environment::Sandbox, "https://test.oauth.openapi.com"),
    ] {
        let builder = RefreshClient::builder(RefreshCredentials::new("n", "t", "r")).environment(environment);
        let shown = format!("{:?}", builder.http_client(crate::common::http()).build().unwrap());
        assert!(shown.contains(&format!("{expected:?}")), "{shown}");
    }
}

#[test]
fn outside_of_a_runtime_the_error_says_so_and_the_pair_is_kept() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let service = runtime.block_on(start());
    let worker = worker(&service, false);
    let mut outside = Box::pin(worker.token());
    let waker = std::task::Waker::noop();
    let std::task::Poll::Ready(Err(error)) = outside.as_mut().poll(&mut std::task::Context::from_waker(waker)) else {
        panic!("it waits for a runtime that is not there");
    };
    assert!(error.is_invalid_input(), "{error:?}");
    drop(outside);
    assert_eq!(runtime.block_on(token(&worker)), "t1");
}
