//! Version 2 takes two credentials: the e-mail address with the API key, and a refresh token. A request has one of them.

use std::sync::Arc;
use std::time::Duration;

use gettone::clock::{Clock, ManualClock};

use crate::common::fake::{Answer, FakeService, Received};
use crate::common::services::{Http, Operation, PLANTED, Setup, openapi_v2};
use crate::common::{EMAIL, http, iso, leaks, now};

/// Answers each operation of version 2 with its documented success. The end of a token is in a day by this clock.
fn version_2(request: &Received, clock: &ManualClock) -> Answer {
    let Received { method, target, body, .. } = request;
    let is_of = |known: &&Operation| known.is_asked_by(method, target, request.header("authorization"), body);
    let Some(operation) = openapi_v2::SERVICE.operations.iter().find(is_of) else { return Answer::empty(400) };
    let mut body = leaks::issuing(operation, leaks::ISSUED_REFRESH);
    if let Some(end) = body.get_mut("expireAt") {
        *end = iso(clock.now() + DAY).into();
    }
    Answer::json(200, body)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Asserts that each request has one credential: the refresh token if it is a refresh, else the e-mail address and the API key. Nothing of the
/// other one is in it. Returns how many refreshes there are.
fn assert_one_credential(requests: &[Received]) -> usize {
    let mut refreshes = 0;
    for request in requests {
        let headers: Vec<_> = request.headers.iter().filter(|(name, _)| name == "authorization").collect();
        let [(_, header)] = headers.as_slice() else { panic!("{} credentials: {request}", headers.len()) };
        let is_refresh = request.method == "PATCH" && request.body == "{}";
        refreshes += usize::from(is_refresh);
        let others: &[&str] = match is_refresh {
            true => {
                let tokens = [leaks::REFRESH_TOKEN, leaks::ISSUED_REFRESH].map(|token| format!("Bearer {token}"));
                assert!(tokens.contains(header), "{request}");
                &[leaks::API_KEY, leaks::BASIC, EMAIL, "Basic"]
            }
            false => {
                assert_eq!(*header, format!("Basic {}", leaks::BASIC), "{request}");
                &[leaks::REFRESH_TOKEN, leaks::ISSUED_REFRESH, "Bearer"]
            }
        };
        let shown = others.iter().find(|other| request.to_lowercase().contains(&other.to_lowercase()));
        assert_eq!(shown, None, "{request}");
    }
    refreshes
}

#[tokio::test]
async fn the_refresh_token_and_the_api_key_are_never_in_one_request() {
    let clock = Arc::new(ManualClock::new(now()));
    let time = Arc::clone(&clock);
    let service = FakeService::deciding(move |request| version_2(request, &time)).await;
    let all = openapi_v2::SERVICE.operations.iter().map(|operation| operation.name);
    let ways = openapi_v2::SERVICE.ways.iter().map(|way| way.name.split(',').next().unwrap());
    for name in all.chain(ways) {
        let before = service.calls();
        let setup = Setup { http: Http::Given(http()), clock: Arc::clone(&clock) as _, ..Setup::new(service.url()) };
        let client = (openapi_v2::SERVICE.connect)(&PLANTED, &setup).unwrap();
        client.call(name, &PLANTED).await.unwrap();
        let is_cached = name.contains('.');
        if is_cached {
            // The end of its lifetime: an extension with the key, or a refresh without.
            clock.advance(DAY - Duration::from_secs(200));
            client.call(name, &PLANTED).await.unwrap();
            client.wait_idle().await;
        }
        let requests = service.requests().split_off(before);
        assert_eq!(requests.len(), if is_cached { 2 } else { 1 }, "{name}");
        let refreshes = assert_one_credential(&requests);
        let expected = match name {
            "refresh_token" => 1,
            _ if name.starts_with("worker.") => 2,
            _ => 0,
        };
        assert_eq!(refreshes, expected, "{name}");
    }
}

/// A refused credential is not replaced by the other one, and a repeat has the same one.
#[tokio::test]
async fn a_failure_does_not_bring_the_other_credential() {
    for status in [401, 403, 404, 429, 503] {
        let service = FakeService::answering_with(Answer::empty(status)).await;
        let mut refreshes = 0;
        let all = openapi_v2::SERVICE.operations.iter().map(|operation| operation.name);
        for name in all.chain(["oauth.token", "oauth.authorize", "worker.token", "worker.authorize"]) {
            let before = service.calls();
            let setup = Setup { http: Http::Given(http()), ..Setup::new(service.url()) };
            let client = (openapi_v2::SERVICE.connect)(&PLANTED, &setup).unwrap();
            client.call(name, &PLANTED).await.unwrap_err();
            let found = assert_one_credential(&service.requests().split_off(before));
            let is_refresh = name == "refresh_token" || name.starts_with("worker.");
            assert_eq!(found > 0, is_refresh, "{name} {status}");
            refreshes += found;
        }
        // Only 429 says that the service has not processed the request.
        assert_eq!(refreshes, if status == 429 { 12 } else { 3 }, "{status}");
    }
}

/// An HTTP client of the user may have a credential of its own.
#[tokio::test]
async fn a_header_of_the_users_client_is_replaced_and_not_added_to() {
    let headers = [(reqwest::header::AUTHORIZATION, "Bearer own".parse().unwrap())].into_iter().collect();
    let own =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).default_headers(headers);
    let service = FakeService::deciding(|request| version_2(request, &ManualClock::new(now()))).await;
    let setup = Setup { http: Http::Given(own.build().unwrap()), ..Setup::new(service.url()) };
    for operation in openapi_v2::SERVICE.operations {
        operation.call(&PLANTED, &setup).await.unwrap();
    }
    assert_eq!(assert_one_credential(&service.requests()), 1);
    assert_eq!(service.calls(), openapi_v2::SERVICE.operations.len());
}
