//! Which requests get a token, and which never do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, OnceLock};

use common::fake::{Answer, Do, FakeService};
use common::{API_KEY, fatture, http, mint, minted, oauth, success};
use gettone::openapi::v1::Oauth;
use gettone::{Error, Scope, ScopeSet};
use reqwest::header::{AUTHORIZATION, HOST, HeaderValue};
use reqwest::{Client, Method, Request, Url};
use serde_json::{Value, json};

fn request(method: &str, url: &str) -> Request {
    Request::new(Method::from_bytes(method.as_bytes()).unwrap(), url.parse().unwrap())
}

fn get(url: &str) -> Request {
    request("GET", url)
}

fn sent(request: &Request) -> Vec<&str> {
    request.headers().get_all(AUTHORIZATION).iter().map(|value| value.to_str().unwrap()).collect()
}

/// Builds a client of a token service, for requests that these patterns cover.
fn client(service: &FakeService, scopes: Option<&[&str]>) -> Oauth {
    let builder = oauth(&service.url()).http_client(http());
    match scopes {
        Some(scopes) => builder.scopes(ScopeSet::parse(scopes).unwrap()),
        None => builder,
    }
    .build()
    .unwrap()
}

#[tokio::test]
async fn a_comma_in_a_url_is_encoded_in_a_scope() {
    const BELOW: &str = "https://imprese.openapi.it/base/12345670124,12485671007?fields=a,b";
    const FIRST: &str = "https://imprese.openapi.it/a,b/c";
    for (scopes, url, asked) in [
        (None, BELOW, "GET:imprese.openapi.it/base"),
        (
            Some(&["GET:imprese.openapi.it/base/12345670124%2C12485671007"][..]),
            BELOW,
            "GET:imprese.openapi.it/base/12345670124%2C12485671007",
        ),
        (Some(&["*:imprese.openapi.it/*"]), BELOW, "*:imprese.openapi.it/*"),
        (None, FIRST, "GET:imprese.openapi.it/a%2Cb"),
        (Some(&["GET:imprese.openapi.it/a%2Cb"]), FIRST, "GET:imprese.openapi.it/a%2Cb"),
        (Some(&["*:imprese.openapi.it/*"]), FIRST, "*:imprese.openapi.it/*"),
    ] {
        let service = mint(&[asked]).await;
        let mut request = get(url);
        client(&service, scopes).authorize(&mut request).await.unwrap();
        assert_eq!(asked_for(&service), json!([asked]), "{url}");
        assert_eq!((sent(&request), request.url().as_str()), (vec!["Bearer token-1"], url));
    }
}

/// Returns the scopes of the one request for a token.
fn asked_for(service: &FakeService) -> Value {
    let asked = service.request();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/token"));
    serde_json::from_str::<Value>(&asked.body).unwrap()["scopes"].clone()
}

/// Returns the error of a request that gets no token. The client requests none, and leaves the request and its headers unchanged.
async fn refused(scopes: Option<&[&str]>, method: &str, url: &str) -> Error {
    let service = mint(&["GET:imprese.openapi.it/base"]).await;
    let oauth = client(&service, scopes);
    let error = oauth.authorize(&mut request(method, url)).await.expect_err(url);
    let mut request = request(method, url);
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("own"));
    request.headers_mut().insert("x-own", HeaderValue::from_static("yes"));
    let before = format!("{request:?}");
    oauth.authorize(&mut request).await.expect_err(url);
    assert_eq!(format!("{request:?}"), before, "{url}");
    assert_eq!(service.calls(), 0, "{url}");
    assert!(error.is_invalid_input() && error.status().is_none() && error.service().is_none(), "{url}: {error:?}");
    error
}

#[tokio::test]
async fn a_request_gets_a_token_for_the_scope_that_it_needs() {
    let service = mint(&["POST:imprese.openapi.it/advance"]).await;
    let mut request = request("POST", "https://imprese.openapi.it/advance/a/b?x=1#y");
    request.headers_mut().insert("x-own", HeaderValue::from_static("yes"));
    *request.body_mut() = Some("body".into());
    let token = client(&service, None).authorize(&mut request).await.unwrap();
    assert_eq!(token.expose(), "token-1");
    assert_eq!(asked_for(&service), json!(["POST:imprese.openapi.it/advance"]));
    assert_eq!(sent(&request), ["Bearer token-1"]);
    assert_eq!((request.headers().len(), &request.headers()["x-own"]), (3, &HeaderValue::from_static("yes")));
    assert_eq!(request.headers()["accept"], "application/json");
    assert_eq!(request.url().as_str(), "https://imprese.openapi.it/advance/a/b?x=1#y");
    assert_eq!(request.body().unwrap().as_bytes().unwrap(), b"body");
}

#[tokio::test]
async fn an_accept_header_of_the_request_stays() {
    let service = mint(&["GET:imprese.openapi.it/base"]).await;
    let mut request = get("https://imprese.openapi.it/base");
    request.headers_mut().insert("accept", HeaderValue::from_static("application/pdf"));
    client(&service, None).authorize(&mut request).await.unwrap();
    let accepted: Vec<_> = request.headers().get_all("accept").iter().collect();
    assert_eq!(accepted, ["application/pdf"]);
}

#[tokio::test]
async fn the_header_is_sensitive_and_not_printed() {
    let keliweb = FakeService::answering_with(success("password_grant")).await;
    let openapi = mint(&["GET:imprese.openapi.it/base"]).await;
    let (mut one, mut other) = (get("https://imprese.openapi.it/base"), get(&keliweb.url()));
    client(&openapi, None).authorize(&mut one).await.unwrap();
    let token = keliweb.fatture().authorize(&mut other).await.unwrap();
    assert_eq!(sent(&other), [format!("Bearer {}", token.expose())]);
    for request in [&one, &one.try_clone().unwrap(), &other] {
        let value = &request.headers()[AUTHORIZATION];
        assert!(value.is_sensitive());
        let token = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        assert!(!format!("{request:?} {request:#?} {:?}", request.headers()).contains(token));
    }
}

#[tokio::test]
async fn an_existing_authorization_header_is_replaced() {
    let service = mint(&["GET:imprese.openapi.it/base"]).await;
    let mut request = get("https://imprese.openapi.it/base");
    request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("Bearer old"));
    request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("Basic older"));
    client(&service, None).authorize(&mut request).await.unwrap();
    assert_eq!(sent(&request), ["Bearer token-1"]);
}

#[tokio::test]
async fn the_vendors_domains_are_recognized_however_they_are_written() {
    for scopes in [None, Some(&["*:*/*"][..]), Some(&["*:*/*", "GET:example.com/x"][..])] {
        for (url, host) in [
            ("https://imprese.openapi.it/base", "imprese.openapi.it"),
            ("https://test.imprese.openapi.it/base", "test.imprese.openapi.it"),
            ("https://openapi.it/base", "openapi.it"),
            ("https://sms.openapi.com/base", "sms.openapi.com"),
            ("https://sms.altravia.com/base", "sms.altravia.com"),
            ("HTTPS://Imprese.OPENAPI.it/base", "imprese.openapi.it"),
            ("https://imprese.openapi.it./base", "imprese.openapi.it"),
            // A port or a user in the URL does not change the host.
            ("https://imprese.openapi.it:8443/base", "imprese.openapi.it"),
            ("https://evil.com@imprese.openapi.it/base", "imprese.openapi.it"),
            ("https://imprese\u{3002}openapi\u{ff0e}it/base", "imprese.openapi.it"),
            ("https://\u{ff49}mprese.openapi.it/base", "imprese.openapi.it"),
        ] {
            let scope = format!("GET:{host}/base");
            let service = mint(&[&scope]).await;
            let mut request = get(url);
            client(&service, scopes).authorize(&mut request).await.unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(asked_for(&service), scopes.map_or(json!([scope]), |_| json!(["*:*/*"])), "{url}");
            assert_eq!(sent(&request), ["Bearer token-1"]);
        }
    }
}

/// Hosts that look like the vendor's.
const STRANGERS: [&str; 20] = [
    "https://evilopenapi.it/base",
    "https://evil-openapi.it/base",
    "https://openapi.it.evil.com/base",
    "https://imprese.openapi.it.evil.com/base",
    "https://openapi.it@evil.com/base",
    "https://openapi.it:443@evil.com/base",
    "https://evil.com/openapi.it/base",
    "https://evil.com\\@openapi.it/base",
    "https://evil.com#@openapi.it/base",
    "https://evil.com?@openapi.it/base",
    "https://openapi.it.evil.com./base",
    "https://openapi.org/base",
    "https://openapi/base",
    "https://it/base",
    "https://xn--openapi-3fg.it/base",
    "https://\u{43e}penapi.it/base",
    "https://127.0.0.1/base",
    "https://[::1]/base",
    "https://[::ffff:127.0.0.1]:8443/base",
    "https://2130706433/base",
];

#[tokio::test]
async fn a_host_that_only_looks_like_the_vendors_gets_no_token() {
    let anything: [Option<&[&str]>; 4] = [None, Some(&["*:*/*"]), Some(&["GET:*/base"]), Some(&["*:*.openapi.it/*"])];
    for scopes in anything {
        for url in STRANGERS {
            let error = refused(scopes, "GET", url).await.to_string();
            let host = url.parse::<Url>().unwrap().host_str().unwrap().to_owned();
            assert!(error.contains(&host) && error.contains("name it with `Builder::scopes`"), "{url}: {error}");
        }
    }
    for url in ["mailto:a@openapi.it", "data:text/plain,openapi.it", "unix:/openapi.it", "file:///openapi.it"] {
        let error = refused(None, "GET", url).await.to_string();
        assert!(error.contains("host \"\": "), "{url}: {error}");
    }
}

#[tokio::test]
async fn only_hosts_that_the_scopes_name_get_a_token() {
    let scopes: &[&str] = &["GET:imprese.openapi.it/*", "*:*.ufficiopostale.com/*", "POST:xn--80ak6aa92e.com/a"];
    for url in [
        "https://comparabili.openapi.it/base",
        "https://openapi.it/base",
        "https://sms.openapi.com/base",
        "https://a.imprese.openapi.it/base",
        "https://ufficiopostale.com/base",
        "https://evilufficiopostale.com/base",
        "https://.ufficiopostale.com/base",
        "https://ws.ufficiopostale.com.evil.com/base",
        "https://ws.ufficiopostale.com@evil.com/base",
        "https://apple.com/a",
    ] {
        let error = refused(Some(scopes), "GET", url).await.to_string();
        assert!(error.contains("name it with `Builder::scopes`"), "{url}: {error}");
    }
    for (method, url, pattern) in [
        ("GET", "https://imprese.openapi.it/base", "GET:imprese.openapi.it/*"),
        ("GET", "https://imprese.openapi.it./base", "GET:imprese.openapi.it/*"),
        ("PUT", "https://WS.ufficiopostale.com/a", "*:*.ufficiopostale.com/*"),
        ("PUT", "https://a.b.ufficiopostale.com:9/", "*:*.ufficiopostale.com/*"),
        ("POST", "https://\u{430}\u{440}\u{440}\u{4cf}\u{435}.com/a", "POST:xn--80ak6aa92e.com/a"),
    ] {
        let request = &mut request(method, url);
        let scope = Scope::for_request(request.method(), request.url()).unwrap();
        let service = mint(&[scope.as_str()]).await;
        client(&service, Some(scopes)).authorize(request).await.unwrap();
        assert_eq!((asked_for(&service), sent(request)), (json!([pattern]), vec!["Bearer token-1"]), "{url}");
    }
}

#[tokio::test]
async fn a_token_goes_over_https_or_to_loopback() {
    let scopes: &[&str] = &["*:*/*", "*:10.0.0.1/*", "*:*.localhost/*", "*:localhost/*", "*:127.0.0.1/*"];
    for url in [
        "http://imprese.openapi.it/base",
        "http://imprese.openapi.it:443/base",
        "http://127.0.0.1.openapi.it/base",
        "http://localhost.openapi.com/base",
        "http://10.0.0.1/base",
        "http://a.localhost/base",
        "http://localhost./base",
        "ftp://imprese.openapi.it/base",
        "ws://imprese.openapi.it/base",
        "wss://imprese.openapi.it/base",
        "foo://imprese.openapi.it/base",
        "foo://localhost/base",
    ] {
        let error = refused(Some(scopes), "GET", url).await.to_string();
        assert!(error.contains("sends tokens only over https, or over http to a loopback address"), "{url}: {error}");
    }
    for url in ["http://localhost:1/base", "http://127.0.0.1/base", "http://2130706433/base", "https://localhost/base"]
    {
        let mut request = get(url);
        let service = mint(&["GET:localhost/base", "GET:127.0.0.1/base"]).await;
        client(&service, Some(scopes)).authorize(&mut request).await.unwrap();
        assert_eq!(sent(&request), ["Bearer token-1"], "{url}");
    }
}

#[tokio::test]
async fn a_loopback_address_gets_a_token_only_if_the_scopes_name_it() {
    for url in ["http://localhost/base", "http://127.0.0.1/base", "https://localhost/base", "http://[::1]/base"] {
        for scopes in [None, Some(&["*:*/*"][..]), Some(&["*:imprese.openapi.it/*"][..])] {
            assert!(refused(scopes, "GET", url).await.to_string().contains("name it with `Builder::scopes`"), "{url}");
        }
    }
}

#[tokio::test]
async fn a_request_without_a_scope_gets_no_token() {
    for method in ["HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "PURGE"] {
        let error = refused(None, method, "https://imprese.openapi.it/base").await.to_string();
        assert!(error.contains(method) && error.contains("expected GET, POST, PUT, PATCH or DELETE"), "{error}");
    }
    for (url, reason) in [
        ("https://imprese.openapi.it//base", "an empty segment"),
        ("https://imprese.openapi.it/base%2Fother", "an encoded slash"),
        ("https://imprese.openapi.it/base/%252e%252e/other", "`..` is hidden"),
        ("https://imprese.openapi.it/ba%zz", "two hexadecimal digits"),
        ("https://imprese..openapi.it/base", "an empty label"),
        ("https://imprese.openapi.it../base", "an empty label"),
    ] {
        for scopes in [None, Some(&["*:*/*"][..])] {
            let error = refused(scopes, "GET", url).await.to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn a_request_whose_scope_is_not_covered_gets_no_token() {
    let scopes: &[&str] = &["GET:imprese.openapi.it/base", "PUT:imprese.openapi.it/*", "POST:*/sms"];
    for (method, url, scope) in [
        ("POST", "https://imprese.openapi.it/base", "POST:imprese.openapi.it/base"),
        ("GET", "https://imprese.openapi.it/other", "GET:imprese.openapi.it/other"),
        ("GET", "https://imprese.openapi.it/basement", "GET:imprese.openapi.it/basement"),
        ("GET", "https://imprese.openapi.it/Base", "GET:imprese.openapi.it/Base"),
        ("GET", "https://imprese.openapi.it/", "GET:imprese.openapi.it/root"),
        // One of the domains that the asterisk stands for.
        ("GET", "https://sms.openapi.com/sms", "GET:sms.openapi.com/sms"),
    ] {
        let error = refused(Some(scopes), method, url).await.to_string();
        assert!(error.contains(scope) && error.contains("not covered by the scopes of the client"), "{error}");
        assert!(error.contains("add it with `Builder::scopes`"), "{error}");
    }
}

#[tokio::test]
async fn the_client_requests_a_token_for_the_narrowest_pattern() {
    let scopes: &[&str] =
        &["*:*/*", "*:*.openapi.it/*", "GET:*.openapi.it/*", "*:imprese.openapi.it/*", "GET:imprese.openapi.it/base"];
    for (method, url, pattern) in [
        ("GET", "https://imprese.openapi.it/base/1", "GET:imprese.openapi.it/base"),
        ("POST", "https://imprese.openapi.it/base/1", "*:imprese.openapi.it/*"),
        ("GET", "https://imprese.openapi.it/other", "*:imprese.openapi.it/*"),
        ("GET", "https://comparabili.openapi.it/", "GET:*.openapi.it/*"),
        ("PUT", "https://comparabili.openapi.it/", "*:*.openapi.it/*"),
        ("PUT", "https://sms.openapi.com/", "*:*/*"),
    ] {
        let request = &mut request(method, url);
        let scope = Scope::for_request(request.method(), request.url()).unwrap();
        let service = mint(&[scope.as_str()]).await;
        client(&service, Some(scopes)).authorize(request).await.unwrap();
        assert_eq!(asked_for(&service), json!([pattern]), "{method} {url}");
    }
}

#[tokio::test]
async fn an_asterisk_as_the_host_does_not_stand_for_other_named_hosts() {
    let scopes: &[&str] = &["*:*/*", "GET:*/wide", "GET:example.com/a", "*:*.example.org/b"];
    for (method, url) in [
        ("POST", "https://example.com/a"),
        ("GET", "https://example.com/b"),
        ("GET", "https://example.com/wide"),
        ("GET", "https://EXAMPLE.com./ab"),
        ("GET", "https://openapi.it@example.com/"),
        ("GET", "https://a.example.org/a"),
        ("GET", "https://a.example.org/wide"),
    ] {
        let error = refused(Some(scopes), method, url).await.to_string();
        assert!(error.contains("not covered") && error.contains("`*` as the host stands for openapi.it"), "{error}");
    }
    for (method, url, pattern) in [
        ("GET", "https://example.com/a/b", "GET:example.com/a"),
        ("PUT", "https://a.example.org/b", "*:*.example.org/b"),
        ("GET", "https://sms.openapi.com/wide", "GET:*/wide"),
        ("PUT", "https://sms.openapi.com/wide", "*:*/*"),
    ] {
        let service = mint(&[pattern]).await;
        client(&service, Some(scopes)).authorize(&mut request(method, url)).await.unwrap();
        assert_eq!(asked_for(&service), json!([pattern]), "{method} {url}");
    }
}

#[tokio::test]
async fn all_requests_of_a_pattern_share_one_token() {
    let service = mint(&["GET:imprese.openapi.it/base", "GET:imprese.openapi.it/other"]).await;
    let oauth = client(&service, Some(&["*:imprese.openapi.it/*"]));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50 {
        let oauth = oauth.clone();
        tasks.spawn(async move {
            let path = if number % 2 == 0 { "base" } else { "other" };
            let mut request = get(&format!("https://imprese.openapi.it/{path}/{number}"));
            oauth.authorize(&mut request).await.unwrap();
            assert_eq!(sent(&request), ["Bearer token-1"]);
        });
    }
    tasks.join_all().await;
    assert_eq!(asked_for(&service), json!(["*:imprese.openapi.it/*"]));
}

#[tokio::test]
async fn a_cached_broader_token_is_used() {
    let granted = ["GET:imprese.openapi.it/base", "GET:imprese.openapi.it/other"];
    let broad = ScopeSet::parse(["*:imprese.openapi.it/*"]).unwrap();
    for scopes in [None, Some(&["GET:imprese.openapi.it/base", "GET:imprese.openapi.it/other"][..])] {
        let service = mint(&granted).await;
        let oauth = client(&service, scopes);
        oauth.token(&broad).await.unwrap();
        for path in ["base/1", "other/2", "base/3"] {
            let mut request = get(&format!("https://imprese.openapi.it/{path}"));
            oauth.authorize(&mut request).await.unwrap();
            assert_eq!(sent(&request), ["Bearer token-1"]);
        }
        assert_eq!(asked_for(&service), json!(["*:imprese.openapi.it/*"]));
    }
}

#[tokio::test]
async fn a_cached_narrower_token_is_not_used() {
    let service = mint(&["GET:imprese.openapi.it/base", "POST:imprese.openapi.it/base"]).await;
    let oauth = client(&service, None);
    let (mut first, mut other) = (get("https://imprese.openapi.it/base"), get("https://imprese.openapi.it/other"));
    oauth.authorize(&mut first).await.unwrap();
    assert!(oauth.authorize(&mut other).await.unwrap_err().not_granted().is_some());
    assert!(sent(&other).is_empty());
}

#[tokio::test]
async fn an_error_of_the_token_service_leaves_the_request_unchanged() {
    let refusal = Answer::json(401, json!({ "message": format!("key {API_KEY} is wrong"), "error": 5 }));
    let service = FakeService::answering_with(refusal).await;
    for keliweb in [false, true] {
        let mut request =
            get(if keliweb { service.url() } else { "https://imprese.openapi.it/base".to_owned() }.as_str());
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("own"));
        let error = match keliweb {
            true => service.fatture().authorize(&mut request).await.unwrap_err(),
            false => client(&service, None).authorize(&mut request).await.unwrap_err(),
        };
        assert!(error.is_unauthorized() && error.service().is_some(), "{error:?}");
        assert!(keliweb || !format!("{error} {error:?}").contains(API_KEY));
        assert_eq!(sent(&request), ["own"]);
    }
    assert_eq!(service.calls(), 2);
}

#[tokio::test]
async fn a_token_that_is_not_allowed_in_a_header_is_an_error_that_does_not_show_it() {
    for token in ["evil\r\nx-evil: 1", "evil\0", "evil\u{7f}"] {
        let service = FakeService::answering_with(minted(token, &["GET:imprese.openapi.it/base"])).await;
        let mut request = get("https://imprese.openapi.it/base");
        let error = client(&service, None).authorize(&mut request).await.unwrap_err();
        assert!(error.is_decode() && !format!("{error} {error:?}").contains("evil"), "{error:?}");
        assert!(sent(&request).is_empty());
    }
}

#[tokio::test]
async fn a_keliweb_token_goes_only_to_the_address_of_its_client() {
    let service = FakeService::answering_with(success("password_grant")).await;
    let port = service.url().parse::<Url>().unwrap().port().unwrap();
    for url in [
        format!("http://127.0.0.1:{}/api", port ^ 1),
        "http://127.0.0.1/api".to_owned(),
        format!("https://127.0.0.1:{port}/api"),
        format!("http://localhost:{port}/api"),
        format!("http://127.0.0.1.evil.com:{port}/api"),
        format!("http://127.0.0.1:{port}@evil.com/api"),
        format!("http://[::1]:{port}/api"),
        format!("ftp://127.0.0.1:{port}/api"),
        format!("foo://127.0.0.1:{port}/api"),
        format!("data:127.0.0.1:{port}"),
        format!("blob:http://127.0.0.1:{port}/api"),
        "https://fatture.keliweb.it/api".to_owned(),
        "https://imprese.openapi.it/base".to_owned(),
    ] {
        let mut request = get(&url);
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("own"));
        let error = service.fatture().authorize(&mut request).await.unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains("`Builder::base_url`"), "{url}: {error}");
        assert_eq!(sent(&request), ["own"], "{url}");
    }
    assert_eq!(service.calls(), 0);
    let fatture = fatture(&format!("{}/below", service.url())).http_client(http()).build().unwrap();
    for url in [
        format!("http://127.0.0.1:{port}/api?x=1#y"),
        format!("HTTP://2130706433:{port}/"),
        format!("http://evil.com@127.0.0.1:{port}/below"),
    ] {
        // Keliweb Fatture has no scopes, so any method is allowed.
        let mut request = request("OPTIONS", &url);
        fatture.authorize(&mut request).await.unwrap();
        assert!(sent(&request)[0].starts_with("Bearer "), "{url}");
    }
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn a_keliweb_token_does_not_go_to_hosts_that_look_like_its_own() {
    for url in [
        "http://fatture.keliweb.it/",
        "https://fatture.keliweb.it:8443/",
        "https://fatture.keliweb.it.evil.com/",
        "https://fatture.keliweb.it@evil.com/",
        "https://evil.fatture.keliweb.it/",
        "https://keliweb.it/",
        "https://fatture.keliweb.it./",
    ] {
        let fatture = fatture("https://fatture.keliweb.it").http_client(http()).build().unwrap();
        let mut request = get(url);
        let error = fatture.authorize(&mut request).await.unwrap_err();
        assert!(error.is_invalid_input() && sent(&request).is_empty(), "{url}: {error}");
    }
}

/// Returns an HTTP client with default settings, except for the proxies of this machine.
fn follows() -> Client {
    Client::builder().no_proxy().danger_accept_invalid_certs(true).build().unwrap()
}

const ANYWHERE: Option<&[&str]> = Some(&["*:127.0.0.1/*", "*:localhost/*"]);

fn see(status: u16, location: &str) -> Do {
    Do::answer(&format!("{status} Redirect"), &format!("location: {location}\r\n"), "")
}

fn has_token(request: &str) -> bool {
    request.to_ascii_lowercase().contains("authorization: bearer token-1\r\n")
}

/// Sends a request with a token, and returns for each request that arrived whether it had the token.
async fn with_token(client_of_own: &Client, from: &str, servers: [&FakeService; 2]) -> [Vec<bool>; 2] {
    let service = mint(&["GET:127.0.0.1/root", "GET:localhost/root"]).await;
    let mut request = get(from);
    client(&service, ANYWHERE).authorize(&mut request).await.unwrap();
    client_of_own.execute(request).await.unwrap();
    servers.map(|server| server.requests().iter().map(|request| has_token(request)).collect())
}

#[tokio::test]
async fn a_redirect_to_another_host_or_port_does_not_carry_the_token() {
    for status in [301, 302, 303, 307, 308] {
        // Another host and port; the same the other way round; another port alone. The scopes name all of them.
        for (from, to) in [("127.0.0.1", "localhost"), ("localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")] {
            let there = FakeService::new([Do::answer("200 OK", "", "")]).await;
            let here = FakeService::new([see(status, &format!("http://{to}:{}/root", there.address.port()))]).await;
            let url = format!("http://{from}:{}/", here.address.port());
            let seen = with_token(&follows(), &url, [&here, &there]).await;
            assert_eq!(seen, [vec![true], vec![false]], "{status} from {from} to {to}");
        }
    }
}

#[tokio::test]
async fn a_redirect_to_another_name_of_the_same_server_does_not_carry_the_token() {
    let port = Arc::new(OnceLock::<u16>::new());
    let known = Arc::clone(&port);
    let server = FakeService::deciding(move |asked| match asked.target.as_str() {
        "/" => Answer::empty(307).header("location", &format!("http://localhost:{}/there", known.get().unwrap())),
        _ => Answer::empty(200),
    });
    let server = server.await;
    port.set(server.url().parse::<Url>().unwrap().port().unwrap()).unwrap();
    let service = mint(&["GET:127.0.0.1/root"]).await;
    let mut request = get(&server.url());
    client(&service, ANYWHERE).authorize(&mut request).await.unwrap();
    follows().execute(request).await.unwrap();
    let seen = server.requests();
    let seen: Vec<_> = seen.iter().map(|asked| (asked.target.as_str(), asked.header("authorization"))).collect();
    assert_eq!(seen, [("/", Some("Bearer token-1")), ("/there", None)]);
}

#[tokio::test]
async fn a_redirect_to_plain_http_does_not_carry_the_token() {
    let plain = FakeService::new([Do::answer("200 OK", "", "")]).await;
    let redirect = see(302, &format!("http://localhost:{}/root", plain.address.port()));
    let secure = FakeService::new([redirect.over_tls()]).await;
    let service = mint(&["GET:localhost/root"]).await;
    let mut request = get(&secure.tls_url());
    client(&service, ANYWHERE).authorize(&mut request).await.unwrap();
    follows().execute(request).await.unwrap();
    assert!(has_token(&secure.request()) && !has_token(&plain.request()));
}

#[tokio::test]
async fn a_redirect_on_the_same_host_keeps_the_token() {
    let here = FakeService::new([see(302, "/second"), see(307, "/third"), Do::answer("200 OK", "", "")]).await;
    let nobody = FakeService::new([Do::Hang]).await;
    assert_eq!(with_token(&follows(), &here.url(), [&here, &nobody]).await, [vec![true; 3], vec![]]);
}

/// Starts a server that redirects to another one, which redirects to itself.
async fn chain() -> [FakeService; 2] {
    let there = FakeService::new([see(302, "/second"), see(302, "/third"), Do::answer("200 OK", "", "")]).await;
    let here = FakeService::new([see(302, &format!("http://localhost:{}/", there.address.port()))]).await;
    [here, there]
}

#[tokio::test]
async fn a_client_that_stays_at_its_origin_keeps_the_token_there() {
    let client = || Client::builder().no_proxy().redirect(gettone::same_origin()).build().unwrap();
    // A client that follows redirects to other hosts would send the token to the second address of the other server.
    let [here, there] = chain().await;
    assert_eq!(with_token(&client(), &here.url(), [&here, &there]).await, [vec![true], vec![]]);
    // The client follows at most ten redirects at its origin.
    let hops = |number| (0..number).map(|hop| see(302, &format!("/{hop}"))).chain([Do::answer("200 OK", "", "")]);
    for (number, requests) in [(10, 11), (11, 11)] {
        let here = FakeService::new(hops(number)).await;
        let result = client().get(here.url()).send().await;
        assert_eq!((result.is_ok(), here.calls()), (number == 10, requests));
    }
}

#[tokio::test]
async fn a_pattern_may_name_several_segments_of_a_path() {
    let scopes = Some(&["POST:postontarget.com/fields/country", "POST:postontarget.com/areas"][..]);
    for (path, asked) in [
        ("fields/country", Some("POST:postontarget.com/fields/country")),
        ("fields/country/", Some("POST:postontarget.com/fields/country")),
        ("fields/country/it?x=/y", Some("POST:postontarget.com/fields/country")),
        ("fields/c%6Funtry", Some("POST:postontarget.com/fields/country")),
        ("areas/a/b/c", Some("POST:postontarget.com/areas")),
        ("areas//fields", Some("POST:postontarget.com/areas")),
        // A URL may contain an asterisk, a scope may not.
        ("areas/ACME*", Some("POST:postontarget.com/areas")),
        ("fields", None),
        ("fields/", None),
        ("fields//country", None),
        ("fields/countryside", None),
        ("fields/region", None),
    ] {
        let url = format!("https://postontarget.com/{path}");
        match asked {
            Some(asked) => {
                let service = mint(&[asked]).await;
                client(&service, scopes).authorize(&mut request("POST", &url)).await.expect(&url);
                assert_eq!(asked_for(&service), json!([asked]), "{url}");
            }
            None => assert!(refused(scopes, "POST", &url).await.to_string().contains("not covered"), "{url}"),
        }
    }
}

/// Lists `Host` headers that name the host of a URL, and others that do not, or may not.
fn host_headers(url: &str) -> [Vec<Vec<Vec<u8>>>; 2] {
    let url: Url = url.parse().unwrap();
    let (host, port) = (url.host_str().unwrap(), url.port_or_known_default().unwrap());
    let own = format!("{host}:{port}");
    let mut same = vec![own.clone(), own.to_uppercase()];
    let mut other = vec![
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("{host}:{}", port ^ 1),
        format!("{host}:0{port}"),
        format!("{host}.:{port}"),
        format!("{host}:"),
        format!("u:p@{own}"),
        format!("evil.example@{own}"),
        format!("{own}@evil.example"),
        format!("{own}, evil.example"),
        format!("{own} "),
        format!(" {own}"),
        format!("{own}/"),
        format!("http://{own}"),
        format!("{own}\t"),
        format!("x{own}"),
        format!("{own}\u{e8}"),
        String::new(),
    ];
    // Without a port, the header means that of the scheme.
    if url.port().is_none() { &mut same } else { &mut other }.push(host.to_owned());
    let mut other: Vec<Vec<Vec<u8>>> = other.into_iter().map(|value| vec![value.into()]).collect();
    other.push(vec![[own.as_bytes(), b"\xff"].concat()]);
    other.extend(
        [[own.as_str(), "evil.example"], ["evil.example", &own], [&own, &own]].map(|two| two.map(Into::into).to_vec()),
    );
    [same.into_iter().map(|value| vec![value.into()]).collect(), other]
}

#[tokio::test]
async fn a_request_whose_host_header_names_another_host_gets_no_token() {
    let (service, keliweb) = (
        mint(&["GET:imprese.openapi.it/base", "GET:127.0.0.1/base"]).await,
        FakeService::answering_with(success("password_grant")).await,
    );
    let (oauth, fatture) = (client(&service, Some(&["*:*/*", "*:127.0.0.1/*"])), keliweb.fatture());
    for (url, is_keliweb) in [
        ("https://imprese.openapi.it/base".to_owned(), false),
        ("https://imprese.openapi.it:8443/base".to_owned(), false),
        ("https://imprese.openapi.it./base".to_owned(), false),
        // Also on this machine: a proxy there may route requests by their `Host`.
        ("http://127.0.0.1/base".to_owned(), false),
        (keliweb.url(), true),
    ] {
        let [same, other] = host_headers(&url);
        for (headers, is_same) in
            same.iter().map(|headers| (headers, true)).chain(other.iter().map(|headers| (headers, false)))
        {
            let calls = service.calls() + keliweb.calls();
            let mut request = get(&url);
            for header in headers {
                request.headers_mut().append(HOST, HeaderValue::from_bytes(header).unwrap());
            }
            let before = format!("{request:?}");
            let result = match is_keliweb {
                true => fatture.authorize(&mut request).await,
                false => oauth.authorize(&mut request).await,
            };
            let shown: Vec<_> = headers.iter().map(|header| header.escape_ascii().to_string()).collect();
            if is_same {
                result.unwrap_or_else(|error| panic!("{url} {shown:?}: {error}"));
                continue;
            }
            let error = result.expect_err(&format!("{url} {shown:?}"));
            assert!(error.is_invalid_input() && error.service().is_none(), "{error:?}");
            assert!(error.to_string().contains("`Host` header") && error.to_string().contains("remove it"), "{error}");
            // The client requests no token, and leaves the request unchanged.
            assert_eq!((format!("{request:?}"), service.calls() + keliweb.calls()), (before, calls));
        }
    }
}

#[tokio::test]
async fn a_cached_token_for_an_asterisk_is_not_sent_to_another_named_host() {
    let service = mint(&["GET:imprese.openapi.it/base", "GET:example.com/a"]).await;
    let oauth = client(&service, Some(&["*:*/*", "GET:example.com/a"]));
    let (mut first, mut other) = (get("https://imprese.openapi.it/base"), get("https://example.com/a"));
    oauth.authorize(&mut first).await.unwrap();
    oauth.authorize(&mut other).await.unwrap();
    assert_eq!((sent(&first), sent(&other)), (vec!["Bearer token-1"], vec!["Bearer token-2"]));
}
