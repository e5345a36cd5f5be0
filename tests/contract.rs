//! The contract, operation by operation: the request exactly as documented, and every documented answer.
//!
//! The examples of the specs are the answers. `common/services` says what a call returns for each, so that to change one breaks a test; an
//! example that is missing there does too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use common::fake::{Answer, FakeService, Received};
use common::services::openapi_v1::{end, scopes, set};
use common::services::{
    CLIENT_ID, EXAMPLE, Http, Operation, Returned, SERVICES, Scheme, Service, Setup, Way, keliweb, openapi_v2,
    operation,
};
use common::spec::Spec;
use common::{API_KEY, BASIC, EMAIL, http, operations};
use gettone::keliweb::Fatture;
use gettone::openapi::v1::{Oauth, TokenUpdate};
use gettone::openapi::v2::{self, NewToken, RefreshClient, RefreshCredentials, TokenLimits};
use gettone::openapi::{Decimal, Environment, Ttl};
use gettone::{AccessToken, Error, ScopeSet};
use httpmock::MockServer;
use serde_json::{Value, json};

fn token() -> AccessToken {
    AccessToken::new(EXAMPLE.token)
}

/// Says in a line what a call of an operation returned.
fn outcome(operation: &Operation, returned: Result<Box<dyn Returned>, Error>) -> Result<String, String> {
    returned.map(|returned| returned.text()).map_err(|error| {
        let prefix = format!("{} {}: HTTP ", operation.service.name, operation.name);
        let text = error.to_string();
        let text = text.strip_prefix(&prefix).unwrap_or_else(|| panic!("{text} does not begin with {prefix}"));
        format!("{text} [{}]", kinds(&error))
    })
}

async fn assert_outcome(operation: &Operation, service: &FakeService, expected: Result<&str, &str>) {
    let outcome = outcome(operation, service.call(operation).await);
    assert_eq!(outcome.as_deref().map_err(String::as_str), expected, "{operation}");
}

fn kinds(error: &Error) -> String {
    let kinds = [
        ("unauthorized", error.is_unauthorized()),
        ("invalid grant", error.is_invalid_grant()),
        ("invalid input", error.is_invalid_input()),
        ("not found", error.is_not_found()),
        ("rate limited", error.is_rate_limited()),
        ("transient", error.is_transient()),
        ("decode", error.is_decode()),
    ];
    kinds.into_iter().filter(|(_, is)| *is).map(|(kind, _)| kind).collect::<Vec<_>>().join(", ")
}

/// Lists each operation with each example of its answers, and what it returns for it.
fn documented() -> Vec<(&'static Operation, u16, &'static str, Result<&'static str, &'static str>)> {
    let rows = |operation: &'static Operation| {
        let all = operation.service.documented;
        let is_overruled = move |status: &u16, example: &str| {
            all.iter().any(|(name, of, known, _)| *name == operation.name && (of, *known) == (status, example))
        };
        let rows = all.iter().filter(move |(name, status, example, _)| {
            *name == operation.name || *name == operation.id && !is_overruled(status, example)
        });
        rows.map(move |(_, status, example, expected)| (operation, *status, *example, *expected))
    };
    operations().flat_map(rows).collect()
}

/// The mock answers the documented request, by its method, its path, its query and its credentials, and no other.
#[tokio::test]
async fn every_documented_answer_is_read_as_what_it_means() {
    let server = MockServer::start_async().await;
    for (operation, status, example, expected) in documented() {
        let answer = Spec::of(operation.service).answer(operation.id, status, example);
        let mock = server
            .mock_async(|when, then| {
                let when = when.method(operation.method).path(documented_path(operation));
                let query = documented_query(operation, None);
                let when = query.iter().fold(when, |when, (name, value)| when.query_param(name, value));
                if let Some(authorization) = documented_authorization(operation) {
                    when.header("authorization", authorization);
                }
                let then = then.status(status).body(answer.text());
                answer.headers().iter().fold(then, |then, (name, value)| then.header(name, value));
            })
            .await;
        let setup = Setup { http: Http::Given(http()), ..Setup::new(server.base_url()) };
        let outcome = outcome(operation, operation.call(operation.service.example, &setup).await);
        assert_eq!(outcome.as_deref().map_err(String::as_str), expected, "{operation} {status} {example}");
        // The client retries after 429, and gets the same answer each time.
        assert_eq!(mock.calls_async().await, if status == 429 { 4 } else { 1 }, "{operation} {status} {example}");
        mock.delete_async().await;
    }
}

#[test]
fn every_example_of_the_specs_is_tested_once() {
    for operation in operations() {
        let tested = documented().into_iter().filter(|row| std::ptr::eq(row.0, operation));
        let mut tested: Vec<_> = tested.map(|(_, status, example, _)| (status, example.to_owned())).collect();
        tested.sort();
        let examples = Spec::of(operation.service).answers().into_iter().filter(|(id, ..)| id == operation.id);
        let mut examples: Vec<_> = examples.map(|(_, status, example)| (status, example)).collect();
        examples.sort();
        assert_eq!(tested, examples, "{operation}");
    }
    for service in SERVICES {
        let called: BTreeSet<_> = service.operations.iter().map(|operation| operation.id).collect();
        let spec = Spec::of(service);
        let described: BTreeSet<_> =
            spec.operations().map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(called, described, "{}", service.name);
        let known = |name: &str| service.operations.iter().any(|known| known.name == name || known.id == name);
        assert!(service.documented.iter().all(|(name, ..)| known(name)), "{}", service.name);
    }
}

#[tokio::test]
async fn a_204_means_that_there_is_no_token() {
    for (name, expected) in [("list_tokens", ""), ("find_token", "none")] {
        assert_eq!(
            Spec::openapi_v1().operation(name)["responses"]["204"]["description"].as_str().map(str::is_empty),
            Some(false)
        );
        let service = FakeService::answering_with(Answer::empty(204)).await;
        assert_outcome(operation(&format!("v1 {name}")), &service, Ok(expected)).await;
        assert_eq!(service.calls(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_redirect_to_the_login_page_is_a_failed_login() {
    let spec = Spec::keliweb();
    let location =
        spec.operation("request_token")["responses"]["302"]["headers"]["Location"]["example"].as_str().unwrap();
    assert_eq!(location, "https://fatture.keliweb.it/login");
    for operation in keliweb::SERVICE.operations {
        let answer = Answer::html(302, "<html>Redirecting</html>").header("location", location);
        let service = FakeService::answering_with(answer).await;
        let expected = "302 Found: a redirect, which the client does not follow [unauthorized]";
        assert_outcome(operation, &service, Err(expected)).await;
        assert_eq!(service.calls(), 1);
    }
}

/// Asserts what is sent beside the body, and nothing else.
fn assert_headers(request: &Received, operation: &Operation, content_type: Option<&str>) {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut expected = vec![header("accept", "application/json")];
    expected.extend(documented_authorization(operation).map(|value| header("authorization", &value)));
    expected.extend(content_type.map(|content_type| header("content-type", content_type)));
    expected.push(header("user-agent", concat!("gettone/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.headers, expected, "{operation}");
}

/// Returns the header `Authorization` of an operation, which is the only one with credentials.
fn documented_authorization(operation: &Operation) -> Option<String> {
    operation.scheme.map(|scheme| match scheme {
        Scheme::Basic => BASIC.to_owned(),
        Scheme::Bearer => format!("Bearer {}", operation.service.example.refresh_token),
    })
}

/// Returns the description of an operation in its spec.
fn described(operation: &Operation) -> Value {
    let spec = Spec::of(operation.service);
    let is_it = |(_, _, described): &(&str, &str, &Value)| described["operationId"] == operation.id;
    let (method, path, described) = spec.operations().find(is_it).unwrap();
    assert_eq!((method.to_uppercase().as_str(), path), (operation.method, operation.path), "{operation}");
    described.clone()
}

/// Lists the name, the place and the example of each parameter that an operation describes.
fn parameters(operation: &Operation) -> Vec<(String, String, String)> {
    let (spec, described) = (Spec::of(operation.service), described(operation));
    let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
    let shared = json!({ "$ref": "#/components/parameters/Token" });
    let shared = operation.path.contains("{token}").then_some(&shared);
    let of = |parameter| {
        let parameter = spec.resolve(parameter);
        let text = |key: &str| parameter[key].as_str().unwrap().to_owned();
        let example = parameter["example"].as_str().map_or_else(|| parameter["example"].to_string(), str::to_owned);
        (text("name"), text("in"), example)
    };
    parameters.iter().chain(shared).map(of).collect()
}

/// Returns the path of an operation, with the examples of its parameters.
fn documented_path(operation: &Operation) -> String {
    parameters(operation).into_iter().fold(operation.path.to_owned(), |path, (name, place, example)| {
        assert_eq!(path.contains(&format!("{{{name}}}")), place == "path", "{operation} {name}");
        path.replace(&format!("{{{name}}}"), &example)
    })
}

/// Returns the query of an operation, sorted: the examples of the parameters that the client always sends, and of this one.
fn documented_query(operation: &Operation, with: Option<&str>) -> Vec<(String, String)> {
    let is_sent = |name: &str| operation.service.always.contains(&name) || with == Some(name);
    let of_query = parameters(operation).into_iter().filter(|(name, place, _)| place == "query" && is_sent(name));
    let mut query: Vec<_> = of_query.map(|(name, _, example)| (name, example)).collect();
    assert!(with.is_none_or(|with| query.iter().any(|(name, _)| name == with)), "{operation} has no {with:?}");
    query.sort();
    query
}

/// Returns the path and the query of a request, decoded and sorted.
fn target(request: &Received) -> (String, Vec<(String, String)>) {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let mut query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    query.sort();
    (path.to_owned(), query)
}

/// Returns a body as the service reads it: the order of its scopes has no meaning.
fn meaning(mut body: Value) -> Value {
    if let Some(scopes) = body.get_mut("scopes").and_then(Value::as_array_mut) {
        scopes.sort_by_key(Value::to_string);
    }
    body
}

#[tokio::test]
async fn every_request_is_exactly_as_documented() {
    for operation in operations() {
        let spec = Spec::of(operation.service);
        let service = FakeService::answering_with(common::success_of(operation)).await;
        service.call(operation).await.unwrap();
        let request = service.request();
        assert_eq!(request.method, operation.method, "{operation}");
        assert_eq!(target(&request), (documented_path(operation), documented_query(operation, None)), "{operation}");
        // Each operation is told apart from the others of its service.
        let Received { method, target, body, .. } = &request;
        let is_of = |known: &&Operation| known.is_asked_by(method, target, request.header("authorization"), body);
        let known: Vec<_> = operation.service.operations.iter().filter(is_of).map(|known| known.name).collect();
        assert_eq!(known, [operation.name]);
        let Some(example) = operation.request else {
            assert_headers(&request, operation, None);
            assert_eq!(request.body, "", "{operation}");
            continue;
        };
        let content = spec.operation(operation.id)["requestBody"]["content"].as_object().unwrap();
        let content_type = content.keys().next().unwrap().as_str();
        assert_headers(&request, operation, Some(content_type));
        let sent: Value = match content_type {
            "application/json" => serde_json::from_str(&request.body).unwrap(),
            _ => request.form().into_iter().collect(),
        };
        assert_eq!(meaning(sent), meaning(spec.request(operation.id, example)), "{operation}");
    }
}

#[tokio::test]
async fn a_form_encodes_its_values() {
    let service = FakeService::answering_with(Spec::keliweb().answer("request_token", 200, "issued")).await;
    let password = "p&a=s s+w%ö\r\n\"'#?/;€";
    let credentials = gettone::keliweb::Credentials::new("id", "secret&grant_type=x", "a+b@example.com", password);
    Fatture::builder(credentials).base_url(service.url()).build().unwrap().password_grant().await.unwrap();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = vec![
        field("client_id", "id"),
        field("client_secret", "secret&grant_type=x"),
        field("grant_type", "password"),
        field("password", password),
        field("username", "a+b@example.com"),
    ];
    assert_eq!(service.request().form(), expected);
}

/// Calls one of the ways of a service that is an operation with an optional parameter, and returns the request.
async fn request_of(service: &Service, way: &Way, operation: &Operation) -> Received {
    let fake = FakeService::answering_with(common::success_of(operation)).await;
    let setup = Setup { http: Http::Given(http()), ..Setup::new(fake.url()) };
    (service.connect)(service.example, &setup).unwrap().call(way.name, service.example).await.unwrap();
    fake.request()
}

#[tokio::test]
async fn a_filter_is_sent_as_the_documented_query() {
    let mut sent = 0;
    for service in SERVICES {
        for way in service.ways {
            let Some((name, parameter)) = way.name.split_once('?') else { continue };
            let operation = service.operations.iter().find(|operation| operation.name == name).unwrap();
            let request = request_of(service, way, operation).await;
            let expected = (documented_path(operation), documented_query(operation, Some(parameter)));
            assert_eq!((request.method.as_str(), target(&request)), (operation.method, expected), "{operation}");
            assert_headers(&request, operation, None);
            sent += 1;
        }
    }
    assert_eq!(sent, 8);
}

#[tokio::test]
async fn a_patch_sends_only_what_changes() {
    let spec = Spec::openapi_v1();
    let thirty_days = Ttl::days(30).unwrap();
    let both = json!({ "scopes": ["*:comparabili.openapi.it/*", "GET:imprese.openapi.it/base"], "ttl": 2_592_000 });
    for (update, expected) in [
        (TokenUpdate::new().ttl(thirty_days), spec.request("update_token", "ttl")),
        (TokenUpdate::new().scopes(&scopes()), spec.request("update_token", "scopes")),
        (TokenUpdate::new().scopes(&scopes()).ttl(thirty_days), both),
    ] {
        let service = FakeService::answering_with(spec.answer("update_token", 200, "updated")).await;
        service.oauth().update_token(&token(), update).await.unwrap();
        let sent: Value = serde_json::from_str(&service.request().body).unwrap();
        assert_eq!(meaning(sent), meaning(expected));
    }
}

/// Version 2 can change four things, and limit a new token as well.
#[tokio::test]
async fn a_patch_and_a_post_of_version_2_send_only_what_is_set() {
    let spec = Spec::openapi_v2();
    let service = FakeService::answering([
        spec.answer("update_token", 200, "updated"),
        spec.answer("update_token", 200, "updated"),
        spec.answer("update_token", 200, "updated"),
        spec.answer("create_token", 200, "created"),
        spec.answer("create_token", 200, "created"),
    ])
    .await;
    let (oauth, token) = (service.oauth_v2(), AccessToken::new(openapi_v2::EXAMPLE.token));
    let update = v2::TokenUpdate::new;
    let ips = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>();
    let limits = TokenLimits::new().total_requests(10_000).wallet_requests(1_000).subscription_requests(500);
    let limits = limits.wallet_amount(Decimal::from(50)).ip(ips(&["192.168.1.1", "10.0.0.2"]));
    oauth.update_token(&token, update().limits(limits)).await.unwrap();
    oauth.update_token(&token, update().ttl(Ttl::days(7).unwrap())).await.unwrap();
    oauth.update_token(&token, update().name("x").scopes(&set([openapi_v2::START]))).await.unwrap();
    let limits =
        TokenLimits::new().total_requests(1_000).wallet_amount(Decimal::new(500, 2)).ip(ips(&["203.0.113.10"]));
    let new = NewToken::new(&set([openapi_v2::START]), Ttl::days(1).unwrap()).name("limited-token").limits(limits);
    oauth.create_token(new).await.unwrap();
    oauth.create_token(NewToken::new(&set([openapi_v2::START]), Ttl::days(1).unwrap())).await.unwrap();
    let sent: Vec<Value> = service.requests().iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect();
    let number = |mut body: Value| {
        // Five euro are five euro.
        if let Some(amount) = body.pointer_mut("/limits/walletAmount") {
            *amount = json!(amount.as_f64().unwrap());
        }
        body
    };
    let expected = [
        spec.request("update_token", "limits"),
        json!({ "ttl": 604_800 }),
        json!({ "name": "x", "scopes": [openapi_v2::START] }),
        spec.request("create_token", "limited"),
        json!({ "scopes": [openapi_v2::START], "ttl": 86_400 }),
    ];
    assert_eq!(sent.into_iter().map(number).collect::<Vec<_>>(), expected.map(number));
}

#[tokio::test]
async fn arguments_that_the_service_would_reject_are_not_sent() {
    let service = FakeService::answering_with(Answer::empty(500)).await;
    let oauth = service.oauth();
    let (none, ttl) = (ScopeSet::default(), Ttl::days(1).unwrap());
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    for (error, expected) in [
        (
            oauth.create_token(&none, ttl).await.unwrap_err(),
            "create_token: the set of scopes is empty; name at least one, such as `GET:company.openapi.com/IT-start`",
        ),
        (
            oauth.replace_token(&token(), &none, end()).await.unwrap_err(),
            "replace_token: the set of scopes is empty; name at least one, such as `GET:company.openapi.com/IT-start`",
        ),
        (
            oauth.replace_token(&token(), &scopes(), before_1970).await.unwrap_err(),
            "replace_token: `expires_at` is before 1970",
        ),
        (
            oauth.update_token(&token(), TokenUpdate::new()).await.unwrap_err(),
            "update_token: nothing to change; set scopes or a ttl",
        ),
        (
            oauth.update_token(&token(), TokenUpdate::new().scopes(&none)).await.unwrap_err(),
            "update_token: the set of scopes is empty; name at least one, such as `GET:company.openapi.com/IT-start`",
        ),
    ] {
        assert_eq!(error.to_string(), format!("Openapi.it Oauth {expected}"));
        assert!(error.is_invalid_input() && error.status().is_none());
    }
    let oauth = service.oauth_v2();
    let token = token();
    let update = v2::TokenUpdate::new;
    let nothing = || TokenLimits::new().total_requests(0);
    for (error, expected) in [
        (
            oauth.create_token(NewToken::new(&none, ttl)).await.unwrap_err(),
            "create_token: the set of scopes is empty; name at least one, such as `GET:company.openapi.com/IT-start`",
        ),
        (
            oauth.create_token(NewToken::new(&scopes(), ttl).limits(nothing())).await.unwrap_err(),
            "create_token: limits: 0 requests, whose meaning the vendor does not document",
        ),
        (
            oauth.update_token(&token, update()).await.unwrap_err(),
            "update_token: nothing to change; set scopes, a ttl, a name or limits",
        ),
        (
            oauth.update_token(&token, update().scopes(&none)).await.unwrap_err(),
            "update_token: the set of scopes is empty; name at least one, such as `GET:company.openapi.com/IT-start`",
        ),
        (
            oauth.update_token(&token, update().limits(nothing())).await.unwrap_err(),
            "update_token: limits: 0 requests, whose meaning the vendor does not document",
        ),
        (oauth.refresh_token(&token, &"".into()).await.unwrap_err(), "refresh_token: the refresh token is empty"),
        (
            oauth.refresh_token(&"..".into(), &"r".into()).await.unwrap_err(),
            "refresh_token: token: `.` and `..` cannot be part of a URL path",
        ),
        (oauth.get_scope("").await.unwrap_err(), "get_scope: id: empty"),
    ] {
        assert_eq!(error.to_string(), format!("Openapi.it Oauth v2 {expected}"));
        assert!(error.is_invalid_input() && error.status().is_none());
    }
    assert_eq!(service.calls(), 0);
}

#[test]
fn clients_call_the_servers_of_the_specs() {
    let servers = |spec: Spec| -> Vec<_> { spec.servers().iter().map(|url| format!("base_url: {url:?}")).collect() };
    let credentials = gettone::openapi::Credentials::new(EMAIL, API_KEY);
    let production = Oauth::builder(credentials.clone()).build().unwrap();
    let sandbox = Oauth::builder(credentials.clone()).environment(Environment::Sandbox).build().unwrap();
    let second = v2::Oauth::builder(credentials.clone()).build().unwrap();
    let second_sandbox = v2::Oauth::builder(credentials).environment(Environment::Sandbox).build().unwrap();
    let pair = RefreshCredentials::new("worker", EXAMPLE.token, EXAMPLE.refresh_token);
    let worker = RefreshClient::builder(pair.clone()).build().unwrap();
    let sandbox_worker = RefreshClient::builder(pair).environment(Environment::Sandbox).build().unwrap();
    let credentials = gettone::keliweb::Credentials::new(CLIENT_ID, EXAMPLE.client_secret, EMAIL, EXAMPLE.password);
    let fatture = Fatture::builder(credentials).build().unwrap();
    for (url, client) in [
        (&servers(Spec::openapi_v1())[0], format!("{production:?}")),
        (&servers(Spec::openapi_v1())[1], format!("{sandbox:?}")),
        (&servers(Spec::openapi_v2())[0], format!("{second:?}")),
        (&servers(Spec::openapi_v2())[1], format!("{second_sandbox:?}")),
        (&servers(Spec::openapi_v2())[0], format!("{worker:?}")),
        (&servers(Spec::openapi_v2())[1], format!("{sandbox_worker:?}")),
        (&servers(Spec::keliweb())[0], format!("{fatture:?}")),
    ] {
        assert!(client.contains(url.as_str()), "{client} is not at {url}");
    }
}

#[tokio::test]
async fn an_expiry_is_truncated_to_whole_seconds() {
    let service = FakeService::answering_with(Spec::openapi_v1().answer("replace_token", 200, "replaced")).await;
    let end = end() + Duration::from_millis(999);
    service.oauth().replace_token(&token(), &scopes(), end).await.unwrap();
    let sent: Value = serde_json::from_str(&service.request().body).unwrap();
    assert_eq!(sent["expire"], json!(1_660_640_780));
}

#[tokio::test]
async fn a_204_in_place_of_an_answer_is_an_error_that_calls_it_empty() {
    // Where the spec has content: not for lists of version 2, for the 204 that version 1 documents, and for deletions.
    let may_be_empty = ["v1 list_tokens", "v1 find_token", "v1 delete_token", "v2 delete_token"];
    let is_list = |operation: &Operation| operation.service.label == "v2" && operation.name.starts_with("list_");
    for operation in operations() {
        if !may_be_empty.contains(&operation.to_string().as_str()) && !is_list(operation) {
            assert_empty(operation).await;
        }
    }
    for operation in openapi_v2::SERVICE.operations.iter().filter(|operation| is_list(operation)) {
        let service = FakeService::answering_with(Answer::empty(204)).await;
        assert_outcome(operation, &service, Ok("")).await;
    }
}

async fn assert_empty(operation: &Operation) {
    let service = FakeService::answering_with(Answer::empty(204)).await;
    assert_outcome(operation, &service, Err("204 No Content: the response is empty [decode]")).await;
}
