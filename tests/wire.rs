//! What clients send, and what they never send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "rustls")]
#[path = "wire/certificates.rs"]
mod certificates;
mod common;
#[path = "wire/credentials.rs"]
mod credentials;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use common::fake::{Answer, Do, FakeService, Identity};
use common::services::{EXAMPLE, Http, Setup, openapi_v2};
use common::{API_KEY, EMAIL, Still, fatture, now, oauth, oauth_v2, operations, success, success_of};
use gettone::openapi::v1::{Oauth, TokenUpdate};
use gettone::openapi::{Credentials, Period, v2};
use gettone::{AccessToken, Retry, ScopeSet};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn a_token_is_one_segment_of_the_path_whatever_it_contains() {
    for (token, segment) in [
        ("a/b", "a%2Fb"),
        ("a/../../scopes", "a%2F..%2F..%2Fscopes"),
        ("../credit", "..%2Fcredit"),
        ("a?scope=b", "a%3Fscope=b"),
        ("a#b", "a%23b"),
        ("a\r\nX-Evil: 1", "a%0D%0AX-Evil:%201"),
        ("a b\tc\0", "a%20b%09c%00"),
        ("%2e%2e", "%252e%252e"),
        ("%2F", "%252F"),
        ("...", "..."),
        ("è€", "%C3%A8%E2%82%AC"),
        ("a;b=c&d@e:f", "a;b=c&d@e:f"),
    ] {
        let service = FakeService::new([Do::answer("500 Internal Server Error", "", "")]).await;
        let oauth = oauth(&service.url()).build().unwrap();
        let token = AccessToken::new(token);
        let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base"]).unwrap();
        oauth.find_token(&token).await.unwrap_err();
        oauth.delete_token(&token).await.unwrap_err();
        oauth.replace_token(&token, &scopes, now()).await.unwrap_err();
        oauth.update_token(&token, TokenUpdate::new().scopes(&scopes)).await.unwrap_err();
        let second = oauth_v2(&service.url()).build().unwrap();
        second.find_token(&token).await.unwrap_err();
        second.delete_token(&token).await.unwrap_err();
        second.update_token(&token, v2::TokenUpdate::new().name("x")).await.unwrap_err();
        second.refresh_token(&token, &"r".into()).await.unwrap_err();
        second.get_scope(token.expose()).await.unwrap_err();
        second.get_callback(token.expose()).await.unwrap_err();
        second.get_subscription(token.expose()).await.unwrap_err();
        second.stats_api(token.expose(), Period::total()).await.unwrap_err();
        let places = ["GET /token", "DELETE /token", "PUT /token", "PATCH /token"].into_iter().chain([
            "GET /tokens",
            "DELETE /tokens",
            "PATCH /tokens",
            "PATCH /tokens",
            "GET /scopes",
            "GET /callbacks",
            "GET /subscriptions",
            "GET /stats/apis",
        ]);
        for (request, place) in service.requests().iter().zip(places) {
            let lines: Vec<_> = request.lines().collect();
            assert_eq!(lines[0], format!("{place}/{segment} HTTP/1.1"));
            assert!(!lines.iter().any(|line| line.to_lowercase().starts_with("x-evil")), "{request}");
        }
        assert_eq!(service.calls(), 12);
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_a_segment_is_rejected() {
    let service = FakeService::answering_with(Answer::empty(500)).await;
    for token in ["", ".", "..", "a\\..\\..\\scopes", "\\"] {
        let error = service.oauth().delete_token(&AccessToken::new(token)).await.unwrap_err();
        assert!(error.is_invalid_input() && error.operation() == Some("delete_token"), "{token}: {error:?}");
        assert!(service.oauth().find_token(&AccessToken::new(token)).await.unwrap_err().is_invalid_input());
        // Without a token, a deletion would be one of the whole list.
        let (second, access_token) = (service.oauth_v2(), AccessToken::new(token));
        for (error, operation) in [
            (second.delete_token(&access_token).await.unwrap_err(), "delete_token"),
            (second.find_token(&access_token).await.unwrap_err(), "find_token"),
            (second.update_token(&access_token, v2::TokenUpdate::new().name("x")).await.unwrap_err(), "update_token"),
            (second.refresh_token(&access_token, &"r".into()).await.unwrap_err(), "refresh_token"),
            (second.get_scope(token).await.unwrap_err(), "get_scope"),
            (second.get_callback(token).await.unwrap_err(), "get_callback"),
            (second.get_subscription(token).await.unwrap_err(), "get_subscription"),
            (second.stats_api(token, Period::total()).await.unwrap_err(), "get_stats_api"),
        ] {
            assert!(error.is_invalid_input() && error.operation() == Some(operation), "{token}: {error:?}");
        }
    }
    assert_eq!(service.calls(), 0);
}

#[tokio::test]
async fn a_base_url_may_have_a_path() {
    for base in ["/openapi", "/openapi/"] {
        let service = FakeService::answering_with(success("get_credit")).await;
        oauth(&(service.url() + base)).build().unwrap().credit().await.unwrap();
        assert_eq!(service.request().target, "/openapi/credit");
    }
}

#[test]
fn credentials_go_over_https_or_to_loopback() {
    let build = |url: &str| oauth(url).build().map(drop);
    for url in [
        "https://oauth.openapi.it",
        "https://10.0.0.1:8443/x",
        "http://localhost:1",
        "http://127.0.0.1:1",
        "http://127.9.9.9:1/",
        "http://[::1]:1",
        "HTTP://LocalHost:1",
    ] {
        build(url).unwrap();
    }
    for (url, reason) in [
        ("http://oauth.openapi.it", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("http://127.0.0.1.example.com", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("http://[::2]", "plain http"),
        ("http://0.0.0.0", "plain http"),
        ("ftp://oauth.openapi.it", "scheme `ftp`"),
        ("oauth.openapi.it", "not a URL"),
        ("", "not a URL"),
        ("https://user@oauth.openapi.it", "must not contain a user or password"),
        ("https://user:hunter2@oauth.openapi.it", "must not contain a user or password"),
        ("https://oauth.openapi.it/?x=1", "must not have a query or a fragment"),
        ("https://oauth.openapi.it/#x", "must not have a query or a fragment"),
    ] {
        let error = build(url).unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains(reason), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"));
        assert!(fatture(url).build().unwrap_err().is_invalid_input(), "{url}");
        assert!(oauth_v2(url).build().unwrap_err().is_invalid_input(), "{url}");
        let worker = openapi_v2::worker(&EXAMPLE, &Setup::new(url));
        assert!(worker.build().unwrap_err().is_invalid_input(), "{url}");
    }
}

#[test]
fn invalid_credentials_are_rejected() {
    for (email, key, reason) in [
        ("", API_KEY, "empty"),
        (EMAIL, "", "empty"),
        ("a:b@example.com", API_KEY, "a colon in the e-mail address"),
        ("a@example.com\r\n", API_KEY, "a line break"),
        (EMAIL, "key\n", "a line break"),
    ] {
        let error = Oauth::builder(Credentials::new(email, key)).build().unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains(reason), "{error}");
    }
    for (name, token, refresh_token) in [("", "t", "r"), ("n", "", "r"), ("n", "t", "")] {
        let pair = v2::RefreshCredentials::new(name, token, refresh_token);
        let error = v2::RefreshClient::builder(pair).build().unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains("is empty"), "{error}");
    }
    let error = v2::Oauth::builder(Credentials::new(EMAIL, "")).build().unwrap_err();
    assert!(error.is_invalid_input() && error.to_string().contains("empty"), "{error}");
    for missing in 0..4 {
        let mut fields = ["id", "secret", "name", "password"];
        fields[missing] = "";
        let [id, secret, name, password] = fields;
        let credentials = gettone::keliweb::Credentials::new(id, secret, name, password);
        let error = gettone::keliweb::Fatture::builder(credentials).build().unwrap_err();
        let expected = ["client id", "client secret", "user name", "password"][missing];
        assert_eq!(error.to_string(), format!("Keliweb Fatture credentials: the {expected} is empty"));
    }
}

#[tokio::test]
async fn the_user_agent_can_be_extended() {
    let own = concat!("gettone/", env!("CARGO_PKG_VERSION"));
    let service = FakeService::answering_with(success("get_credit")).await;
    oauth(&service.url()).user_agent("invoices/2.1").build().unwrap().credit().await.unwrap();
    assert_eq!(service.request().header("user-agent"), Some(format!("invoices/2.1 {own}").as_str()));
    assert!(oauth(&service.url()).user_agent("a\r\nb: c").build().unwrap_err().is_invalid_input());
}

#[tokio::test]
async fn a_given_http_client_is_used() {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("x-own", "yes".parse().unwrap());
    let own = reqwest::Client::builder().no_proxy().default_headers(headers).user_agent("own/1").build().unwrap();
    let service = FakeService::answering_with(success("get_credit")).await;
    oauth(&service.url()).http_client(own).build().unwrap().credit().await.unwrap();
    let asked = service.request();
    assert_eq!(asked.header("x-own"), Some("yes"));
    assert_eq!(asked.header("user-agent"), Some(concat!("gettone/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(asked.header("accept"), Some("application/json"));
}

#[tokio::test]
async fn an_http_client_that_follows_redirects_is_an_error() {
    let elsewhere = FakeService::answering_with(success("get_credit")).await;
    let service = FakeService::answering_with(Answer::empty(302).header("location", &elsewhere.url())).await;
    let follows = reqwest::Client::builder().no_proxy().build().unwrap();
    let error = oauth(&service.url()).http_client(follows).build().unwrap().credit().await.unwrap_err();
    assert!(error.to_string().contains("redirect::Policy::none()"), "{error}");
    assert_eq!((service.calls(), elsewhere.calls()), (1, 1));
    // The error has the status of the redirect's target.
    assert_eq!(error.status().unwrap(), 200);
    assert!(!error.is_decode() && !error.is_transient() && !error.is_unauthorized(), "{error:?}");
}

const CHILD: &str = "GETTONE_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[tokio::test]
async fn what_keeps_credentials_safe_cannot_be_configured_away() {
    for operation in operations() {
        let elsewhere = FakeService::answering_with(success_of(operation)).await;
        let proxy = FakeService::new([Do::Hang]).await;
        let service = FakeService::answering_with(Answer::empty(307).header("location", &elsewhere.url())).await;
        let follow = |http: reqwest::ClientBuilder| http.redirect(reqwest::redirect::Policy::limited(5));
        let through = reqwest::Proxy::all(proxy.url()).unwrap();
        let unsafe_http = move |http: reqwest::ClientBuilder| follow(http).referer(true).proxy(through.clone());
        let setup = Setup { http: Http::Own(Arc::new(unsafe_http)), ..Setup::new(service.url()) };
        assert_eq!(operation.call(&EXAMPLE, &setup).await.unwrap_err().status().unwrap(), 307);
        assert_eq!((service.calls(), elsewhere.calls(), proxy.calls()), (1, 0, 0), "{operation}");
    }
    // Nor what is sent once.
    for operation in operations() {
        let service = FakeService::answering_with(Answer::empty(500)).await;
        let everything = |http: reqwest::ClientBuilder| {
            let again = reqwest::retry::for_host("127.0.0.1").no_budget().classify_fn(|answer| answer.retryable());
            http.retry(again)
        };
        let setup = Setup { http: Http::Own(Arc::new(everything)), ..Setup::new(service.url()) };
        assert_eq!(operation.call(&EXAMPLE, &setup).await.unwrap_err().status().unwrap(), 500);
        assert_eq!(service.calls(), 1, "{operation}");
    }
    // Other settings stay.
    let service = FakeService::answering_with(success("get_credit")).await;
    let headers = [(reqwest::header::HeaderName::from_static("x-own"), "yes".parse().unwrap())].into_iter().collect();
    oauth(&service.url()).http(|http| http.default_headers(headers)).build().unwrap().credit().await.unwrap();
    assert_eq!(service.request().header("x-own"), Some("yes"));
}

#[tokio::test]
async fn an_untrusted_certificate_ends_the_call() {
    let service = FakeService::new([Do::answer("200 OK", "", r#"{"data":{"credit":1.5}}"#).over_tls()]).await;
    let url = service.tls_url();
    let (builder, clock) = oauth(&url).still();
    let error = builder.build().unwrap().credit().await.unwrap_err();
    assert!(error.is_connect() && !error.is_transient() && !error.is_timeout(), "{error:?}");
    let host = url.replace("https://", "");
    let said = format!("Openapi.it Oauth get_credit: no connection to {host}: the TLS handshake failed: ");
    let advice = "; if a proxy of your company intercepts TLS, install its root certificate on this machine, or pass it by \
                  `Builder::http` and reqwest's `tls_certs_merge`";
    // The rest of the message comes from the TLS library.
    let text = error.to_string();
    let reason = text.strip_prefix(&said).and_then(|rest| rest.strip_suffix(advice));
    assert!(reason.is_some_and(|reason| reason.contains("certificate")), "{error}");
    assert_eq!((service.connections(), service.calls(), clock.waits().len()), (1, 0, 0));

    let root = Identity::local().certificate();
    let trusts = oauth(&url).http(|http| http.tls_certs_merge([root])).build().unwrap();
    assert_eq!(trusts.credit().await.unwrap().to_string(), "1.50");
    assert_eq!((service.connections(), service.request().header("authorization")), (2, Some(common::BASIC)));
}

#[tokio::test]
async fn https_begins_with_a_handshake_and_sends_nothing_in_the_clear() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        stream.read_buf(&mut bytes).await.unwrap();
        bytes
    });
    let error = oauth(&url).retry(Retry::none()).build().unwrap().credit().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    let bytes = server.await.unwrap();
    // A record of the type "handshake" (RFC 8446, section 5.1).
    assert_eq!(bytes[..2], [0x16, 0x03]);
    assert!(!String::from_utf8_lossy(&bytes).to_lowercase().contains("authorization"));
}

/// Runs a test again in a child process, with these variables.
fn in_a_process(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn https_goes_through_the_proxy_of_the_environment() {
    if is_child() {
        // Nobody has a name below `.invalid` (RFC 2606, section 2).
        let oauth = oauth("https://oauth.invalid").retry(Retry::none()).build().unwrap();
        assert!(oauth.credit().await.unwrap_err().is_connect());
        return;
    }
    let proxy = FakeService::new([Do::answer("502 Bad Gateway", "", "")]).await;
    in_a_process("https_goes_through_the_proxy_of_the_environment", &[("HTTPS_PROXY", &proxy.url())]);
    let requests = proxy.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("CONNECT oauth.invalid:443 HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(!requests[0].to_lowercase().contains("\r\nauthorization"), "{}", requests[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loopback_address_is_not_asked_through_a_proxy() {
    if is_child() {
        oauth(&std::env::var("GETTONE_TEST_URL").unwrap()).build().unwrap().credit().await.unwrap();
        return;
    }
    let proxy = FakeService::new([Do::answer("502 Bad Gateway", "", "")]).await;
    let service = FakeService::answering_with(success("get_credit")).await;
    let (proxy_url, url) = (proxy.url(), service.url());
    let variables = [("HTTP_PROXY", proxy_url.as_str()), ("ALL_PROXY", &proxy_url), ("GETTONE_TEST_URL", &url)];
    in_a_process("a_loopback_address_is_not_asked_through_a_proxy", &variables);
    assert_eq!((service.calls(), proxy.calls()), (1, 0));
}

#[test]
fn credentials_from_the_environment_say_what_is_missing() {
    if is_child() {
        let error = Credentials::from_env().unwrap_err();
        assert!(error.is_invalid_input());
        assert_eq!(error.to_string(), "environment variables: OPENAPI_API_KEY is not set");
        let error = gettone::keliweb::Credentials::from_env().unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variables: KELIWEB_CLIENT_SECRET is not set, KELIWEB_USERNAME is empty, KELIWEB_PASSWORD is empty"
        );
        return;
    }
    let variables =
        [("OPENAPI_EMAIL", EMAIL), ("KELIWEB_CLIENT_ID", "id"), ("KELIWEB_USERNAME", ""), ("KELIWEB_PASSWORD", " ")];
    in_a_process("credentials_from_the_environment_say_what_is_missing", &variables);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_a_connect_timeout() {
    let service = FakeService::new([Do::Silence]).await;
    let url = service.url().replace("http:", "https:");
    let builder = oauth(&url).connect_timeout(Duration::from_secs(5)).timeout(Duration::from_secs(60));
    let oauth = builder.retry(Retry::none()).build().unwrap();
    let error = service.until(Duration::from_secs(6), oauth.credit()).await.unwrap_err();
    assert!(error.is_connect() && error.is_timeout() && error.is_transient(), "{error:?}");
    let host = service.address;
    assert_eq!(error.to_string(), format!("Openapi.it Oauth get_credit: no connection to {host} in time"));
}

#[tokio::test]
async fn a_connection_error_names_the_host_and_the_reason_and_nothing_else_of_a_url() {
    const SECRET: &str = "hunter2";
    let nobody = FakeService::new([Do::Refuse]).await;
    let token = AccessToken::new(format!("token-{SECRET}"));
    let there = oauth(&format!("{}/{SECRET}", nobody.url())).retry(Retry::none()).build().unwrap();
    let refused = there.delete_token(&token).await.unwrap_err();
    let expected = format!("Openapi.it Oauth delete_token: no connection to {}: Connection refused", nobody.address);
    assert!(refused.to_string().starts_with(&expected), "{refused}");

    let behind = async |proxy: &FakeService| {
        let proxy = reqwest::Proxy::all(format!("http://robot:{SECRET}@{}/{SECRET}", proxy.address)).unwrap();
        let oauth = oauth(&format!("https://oauth.invalid/{SECRET}")).http(|http| http.proxy(proxy));
        oauth.retry(Retry::none()).build().unwrap().delete_token(&token).await.unwrap_err()
    };
    let no_proxy = behind(&nobody).await;
    let begin = "Openapi.it Oauth delete_token: no connection to oauth.invalid:443: the proxy failed: ";
    let advice = "; check its address, user and password, in `HTTPS_PROXY` or where you build the HTTP client";
    let said = no_proxy.to_string();
    assert!(said.starts_with(&format!("{begin}Connection refused")) && said.ends_with(advice), "{said}");
    assert!(no_proxy.is_transient(), "{no_proxy:?}");
    let mut errors = vec![refused, no_proxy];
    for (status, reason) in [
        ("407 Proxy Authentication Required", "tunnel error: proxy authorization required"),
        ("403 Forbidden", "tunnel error: unsuccessful"),
        ("502 Bad Gateway", "tunnel error: unsuccessful"),
    ] {
        let proxy = FakeService::new([Do::answer(status, "", SECRET)]).await;
        let error = behind(&proxy).await;
        assert!(error.is_connect() && !error.is_transient(), "{error:?}");
        assert_eq!(error.to_string(), format!("{begin}{reason}{advice}"));
        errors.push(error);
    }
    for error in errors {
        let printed = format!("{error} {error:?} {error:#?}");
        assert!(!printed.contains(SECRET) && !printed.contains("robot"), "{printed}");
    }
}

#[tokio::test]
async fn an_http_client_that_rejects_the_address_is_invalid_input_and_not_retried() {
    let service = FakeService::answering_with(success("get_credit")).await;
    let only_https = reqwest::Client::builder().no_proxy().https_only(true).build().unwrap();
    let (builder, clock) = oauth(&service.url()).http_client(only_https).still();
    let error = builder.build().unwrap().credit().await.unwrap_err();
    assert!(error.is_invalid_input() && !error.is_transient() && error.status().is_none(), "{error:?}");
    assert_eq!((service.calls(), clock.waits().len()), (0, 0));
}

#[tokio::test]
async fn a_response_of_exactly_the_limit_is_read() {
    let body = |length: usize| {
        let body = r#"{"data":{"credit":1},"more":""}"#;
        body.replace("\"\"", &format!("\"{}\"", "x".repeat(length - body.len())))
    };
    for (length, read) in [(4 << 20, true), ((4 << 20) + 1, false)] {
        let service =
            FakeService::new([Do::answer("200 OK", "content-type: application/json\r\n", &body(length))]).await;
        let result = oauth(&service.url()).build().unwrap().credit().await;
        assert_eq!(result.is_ok(), read, "{length}: {result:?}");
    }
}

#[tokio::test]
async fn a_response_that_is_too_large_keeps_its_status() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_owned();
    let service = FakeService::new([Do::Flood(head)]).await;
    let error = oauth(&service.url()).build().unwrap().credit().await.unwrap_err();
    assert_eq!(error.status().unwrap(), 200);
    assert!(error.to_string().ends_with("the response is larger than 4 MiB"), "{error}");
}

#[test]
fn a_timeout_of_zero_is_rejected() {
    let builder = || Oauth::builder(Credentials::new(EMAIL, API_KEY));
    let none = Duration::ZERO;
    for (builder, name) in [
        (builder().timeout(none), "timeout"),
        (builder().connect_timeout(none), "connect_timeout"),
        (builder().retry(Retry::default().attempt_timeout(none)), "attempt_timeout"),
        // Also where it is not used.
        (builder().http_client(reqwest::Client::new()).connect_timeout(none), "connect_timeout"),
        (builder().retry(Retry::none().attempt_timeout(none)), "attempt_timeout"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_input());
        assert_eq!(error.to_string(), format!("{name}: zero leaves no time for any call; choose a longer time"));
    }
    let least = Duration::from_nanos(1);
    let retry = Retry::default().attempt_timeout(least).max_retry_after(none).max_attempts(0);
    builder().timeout(least).connect_timeout(least).retry(retry).build().unwrap();
    let keliweb = gettone::keliweb::Credentials::new("id", "secret", "name", "password");
    let error = gettone::keliweb::Fatture::builder(keliweb).timeout(none).build().unwrap_err();
    assert!(error.to_string().starts_with("timeout: zero"), "{error}");
}

#[test]
fn an_empty_set_of_scopes_is_rejected() {
    let builder = || Oauth::builder(Credentials::new(EMAIL, API_KEY));
    let error = builder().scopes(ScopeSet::default()).build().unwrap_err();
    assert!(error.is_invalid_input());
    assert_eq!(
        error.to_string(),
        "scopes: an empty set, which covers no request; name at least one pattern, or do not call `scopes`"
    );
    builder().scopes(ScopeSet::parse(["*:*/*"]).unwrap()).build().unwrap();
    let url = "https://oauth.openapi.com";
    let second = oauth_v2(url).scopes(ScopeSet::default()).build().unwrap_err();
    let worker = openapi_v2::worker(&EXAMPLE, &Setup::new(url)).scopes(ScopeSet::default()).build().unwrap_err();
    for error in [second, worker] {
        assert_eq!(
            error.to_string(),
            "scopes: an empty set, which covers no request; name at least one pattern, or do not call `scopes`"
        );
    }
}

#[test]
fn a_password_alone_is_a_user_in_the_url_too() {
    let error = oauth("https://:hunter2@oauth.openapi.it").build().unwrap_err();
    assert!(
        error.to_string().contains("must not contain a user or password") && !error.to_string().contains("hunter2"),
        "{error}"
    );
}

#[test]
fn a_base_url_wins_over_an_environment() {
    use gettone::openapi::Environment::Sandbox;
    let builder = || Oauth::builder(Credentials::new(EMAIL, API_KEY));
    for builder in [
        builder().base_url("https://service.example.com").environment(Sandbox),
        builder().environment(Sandbox).base_url("https://service.example.com"),
    ] {
        let client = format!("{:?}", builder.build().unwrap());
        assert!(client.contains("base_url: \"https://service.example.com\""), "{client}");
    }
    let pair = || v2::RefreshCredentials::new("worker", EXAMPLE.token, EXAMPLE.refresh_token);
    let second = v2::Oauth::builder(Credentials::new(EMAIL, API_KEY)).environment(Sandbox);
    let second = format!("{:?}", second.base_url("https://service.example.com").build().unwrap());
    let worker = v2::RefreshClient::builder(pair()).environment(Sandbox);
    let worker = format!("{:?}", worker.base_url("https://service.example.com").build().unwrap());
    for client in [second, worker] {
        assert!(client.contains("base_url: \"https://service.example.com\""), "{client}");
    }
    let production = builder().environment(gettone::openapi::Environment::Production).build().unwrap();
    assert!(format!("{production:?}").contains("base_url: \"https://oauth.openapi.it\""), "{production:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_from_the_environment_are_sent_unchanged() {
    use gettone::keliweb;
    if is_child() {
        let url = std::env::var("GETTONE_TEST_URL").unwrap();
        let fatture = keliweb::Fatture::builder(keliweb::Credentials::from_env().unwrap()).base_url(&url);
        fatture.build().unwrap().password_grant().await.unwrap_err();
        let oauth = Oauth::builder(Credentials::from_env().unwrap()).base_url(&url);
        oauth.build().unwrap().credit().await.unwrap_err();
        return;
    }
    let service = FakeService::answering_with(Answer::empty(403)).await;
    let url = service.url();
    let variables = [
        ("GETTONE_TEST_URL", url.as_str()),
        ("KELIWEB_CLIENT_ID", "id"),
        ("KELIWEB_CLIENT_SECRET", "secret"),
        ("KELIWEB_USERNAME", "name"),
        // A trailing space may be part of the password.
        ("KELIWEB_PASSWORD", "password "),
        ("OPENAPI_EMAIL", EMAIL),
        ("OPENAPI_API_KEY", API_KEY),
    ];
    in_a_process("credentials_from_the_environment_are_sent_unchanged", &variables);
    let requests = service.requests();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [
        field("client_id", "id"),
        field("client_secret", "secret"),
        field("grant_type", "password"),
        field("password", "password "),
        field("username", "name"),
    ];
    assert_eq!(requests[0].form(), expected);
    assert_eq!(requests[1].header("authorization"), Some(common::BASIC));
}

#[cfg(unix)]
#[test]
fn an_error_names_a_variable_that_is_not_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    if is_child() {
        let error = Credentials::from_env().unwrap_err();
        assert_eq!(error.to_string(), "environment variables: OPENAPI_EMAIL is not UTF-8, OPENAPI_API_KEY is not set");
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "an_error_names_a_variable_that_is_not_utf_8", "--nocapture"]).env(CHILD, "1");
    command.env_remove("OPENAPI_API_KEY").env("OPENAPI_EMAIL", std::ffi::OsStr::from_bytes(b"\xff"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_without_a_response_says_what_happened() {
    for (act, said) in
        [(Do::Hang, "the connection broke before the response was complete"), (Do::Sleep, "no response in time")]
    {
        let service = FakeService::new([act]).await;
        let oauth = oauth(&service.url()).timeout(Duration::from_secs(5)).retry(Retry::none()).build().unwrap();
        let error = service.until(Duration::from_secs(6), oauth.credit()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Openapi.it Oauth get_credit: {said}"));
        assert!(std::error::Error::source(&error).is_some() && format!("{error:?}").contains("source"), "{error:?}");
    }
}

/// Calls all services on runtimes without IO or without timers.
#[test]
fn an_incomplete_runtime_is_an_error_and_no_panic() {
    use tokio::runtime::Builder;

    let build = |io: bool, time: bool| {
        let mut builder = Builder::new_current_thread();
        if io {
            builder.enable_io();
        }
        if time {
            builder.enable_time();
        }
        builder.build().unwrap()
    };
    // Nothing listens there.
    let url = "http://127.0.0.1:1";
    for (runtime, missing) in [
        (build(true, false), "has no timers"),
        (build(false, false), "has no timers"),
        (build(false, true), "enable_all"),
    ] {
        let (oauth, fatture) = (oauth(url).build().unwrap(), fatture(url).build().unwrap());
        let second = oauth_v2(url).build().unwrap();
        let worker = openapi_v2::worker(&EXAMPLE, &Setup::new(url)).build().unwrap();
        let scopes = ScopeSet::parse([openapi_v2::RESOURCE]).unwrap();
        for error in [
            runtime.block_on(second.wallet()).unwrap_err(),
            runtime.block_on(async { second.stream_tokens().next().await }).unwrap().unwrap_err(),
            runtime.block_on(second.token(&scopes)).unwrap_err(),
            runtime.block_on(worker.token()).unwrap_err(),
            runtime.block_on(oauth.credit()).unwrap_err(),
            runtime.block_on(fatture.password_grant()).unwrap_err(),
            runtime.block_on(fatture.token()).unwrap_err(),
        ] {
            assert!(error.to_string().contains(missing), "{error}");
            assert_eq!(error.is_invalid_input(), missing == "has no timers", "{error}");
        }
        runtime.block_on(fatture.wait_idle());
        runtime.block_on(fatture.clear()).unwrap();
    }
}
