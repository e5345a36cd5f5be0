//! The contract, operation by operation: the request exactly as documented, and every documented answer.
//!
//! The examples of the specs are the answers. `common/services` says what a call returns for each, so that to change one breaks a test; an
//! example that is missing there does too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use common::fake::{Answer, FakeService, Received};
use common::services::openapi_v1::{end, scopes};
use common::services::{
    CLIENT_ID, EXAMPLE, Http, Operation, Returned, SERVICES, SecretKind, Setup, keliweb, operation,
};
use common::spec::Spec;
use common::{API_KEY, BASIC, EMAIL, http, operations};
use gettone::keliweb::Fatture;
use gettone::openapi::{
    Environment, Ttl,
    v1::{Oauth, TokenUpdate},
};
use gettone::{AccessToken, Error, Scope, ScopeSet};
use httpmock::MockServer;
use serde_json::{Value, json};

fn token() -> AccessToken {
    AccessToken::new(EXAMPLE.token)
}

/// Says in a line what a call of an operation returned.
fn outcome(operation: &Operation, returned: Result<Box<dyn Returned>, Error>) -> Result<String, String> {
    returned.map(|returned| returned.text()).map_err(|error| {
        let prefix = format!("{} {operation}: HTTP ", operation.service.name);
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
        let rows = operation.service.documented.iter();
        let rows = rows.filter(|(name, ..)| *name == operation.name || *name == operation.id);
        rows.map(move |(_, status, example, expected)| (operation, *status, *example, *expected))
    };
    operations().flat_map(rows).collect()
}

/// The mock answers the documented request, by its method, its path and its credentials, and no other.
#[tokio::test]
async fn every_documented_answer_is_read_as_what_it_means() {
    let server = MockServer::start_async().await;
    for (operation, status, example, expected) in documented() {
        let answer = Spec::of(operation.service).answer(operation.id, status, example);
        let mock = server
            .mock_async(|when, then| {
                let when = when.method(operation.method).path(documented_path(operation));
                if operation.sends.contains(&SecretKind::Login) {
                    when.header("authorization", BASIC);
                }
                let then = then.status(status).body(answer.text());
                answer.headers().iter().fold(then, |then, (name, value)| then.header(name, value));
            })
            .await;
        let setup = Setup { http: Http::Given(http()), ..Setup::new(server.base_url()) };
        let outcome = outcome(operation, operation.call(&EXAMPLE, &setup).await);
        assert_eq!(outcome.as_deref().map_err(String::as_str), expected, "{operation} {status} {example}");
        // The client retries after 429, and gets the same answer each time.
        assert_eq!(mock.calls_async().await, if status == 429 { 4 } else { 1 }, "{operation} {status} {example}");
        mock.delete_async().await;
    }
}

#[test]
fn every_example_of_the_specs_is_tested_once() {
    for operation in operations() {
        let tested = documented().into_iter().filter(|row| row.0.name == operation.name);
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
            Spec::openapi().operation(name)["responses"]["204"]["description"].as_str().map(str::is_empty),
            Some(false)
        );
        let service = FakeService::answering_with(Answer::empty(204)).await;
        assert_outcome(operation(name), &service, Ok(expected)).await;
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
    expected.extend(operation.sends.contains(&SecretKind::Login).then(|| header("authorization", BASIC)));
    expected.extend(content_type.map(|content_type| header("content-type", content_type)));
    expected.push(header("user-agent", concat!("gettone/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.headers, expected, "{operation}");
}

/// Returns the path of an operation, with the examples of its parameters.
fn documented_path(operation: &Operation) -> String {
    let spec = Spec::of(operation.service);
    let is_it = |(_, _, described): &(&str, &str, &Value)| described["operationId"] == operation.id;
    let (method, path, described) = spec.operations().find(is_it).unwrap();
    assert_eq!((method.to_uppercase().as_str(), path), (operation.method, operation.path), "{operation}");
    let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
    let shared = json!({ "$ref": "#/components/parameters/Token" });
    let shared = path.contains("{token}").then_some(&shared);
    parameters.iter().chain(shared).fold(path.to_owned(), |path, parameter| {
        let parameter = spec.resolve(parameter);
        let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
        path.replace(&name, parameter["example"].as_str().unwrap())
    })
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
        let service = FakeService::answering_with(common::success(operation.name)).await;
        service.call(operation).await.unwrap();
        let request = service.request();
        let expected = (operation.method, documented_path(operation));
        assert_eq!((request.method.as_str(), request.target.clone()), expected, "{operation}");
        assert!(operation.is_asked_by(&request.method, &request.target, &request.body), "{operation}");
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

#[tokio::test]
async fn a_filter_is_sent_as_the_documented_query() {
    let spec = Spec::openapi();
    let example = spec.operation("list_tokens")["parameters"][0]["example"].as_str().unwrap();
    let scope: Scope = "GET:imprese.openapi.it/base".parse().unwrap();
    assert_eq!(example, scope.as_str());
    let service = FakeService::answering_with(spec.answer("list_tokens", 200, "two")).await;
    assert_eq!(service.oauth().list_tokens_with_scope(&scope).await.unwrap().len(), 2);
    let asked = service.request();
    let (path, query) = asked.target.split_once('?').unwrap();
    assert_eq!((asked.method.as_str(), path), ("GET", "/token"));
    let query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!(query, [("scope".to_owned(), example.to_owned())]);
}

#[tokio::test]
async fn a_patch_sends_only_what_changes() {
    let spec = Spec::openapi();
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

#[tokio::test]
async fn arguments_that_the_service_would_reject_are_not_sent() {
    let service = FakeService::answering_with(Answer::empty(500)).await;
    let oauth = service.oauth();
    let (none, ttl) = (ScopeSet::default(), Ttl::days(1).unwrap());
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    for (error, expected) in [
        (oauth.create_token(&none, ttl).await.unwrap_err(), "create_token: the set of scopes is empty"),
        (oauth.replace_token(&token(), &none, end()).await.unwrap_err(), "replace_token: the set of scopes is empty"),
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
            "update_token: the set of scopes is empty",
        ),
    ] {
        assert_eq!(error.to_string(), format!("Openapi.it Oauth {expected}"));
        assert!(error.is_invalid_input() && error.status().is_none());
    }
    assert_eq!(service.calls(), 0);
}

#[test]
fn clients_call_the_servers_of_the_specs() {
    let servers = |spec: Spec| -> Vec<_> { spec.servers().iter().map(|url| format!("base_url: {url:?}")).collect() };
    let credentials = gettone::openapi::Credentials::new(EMAIL, API_KEY);
    let production = Oauth::builder(credentials.clone()).build().unwrap();
    let sandbox = Oauth::builder(credentials).environment(Environment::Sandbox).build().unwrap();
    let credentials = gettone::keliweb::Credentials::new(CLIENT_ID, EXAMPLE.client_secret, EMAIL, EXAMPLE.password);
    let fatture = Fatture::builder(credentials).build().unwrap();
    for (url, client) in [
        (&servers(Spec::openapi())[0], format!("{production:?}")),
        (&servers(Spec::openapi())[1], format!("{sandbox:?}")),
        (&servers(Spec::keliweb())[0], format!("{fatture:?}")),
    ] {
        assert!(client.contains(url.as_str()), "{client} is not at {url}");
    }
}

#[tokio::test]
async fn an_expiry_is_truncated_to_whole_seconds() {
    let service = FakeService::answering_with(Spec::openapi().answer("replace_token", 200, "replaced")).await;
    let end = end() + Duration::from_millis(999);
    service.oauth().replace_token(&token(), &scopes(), end).await.unwrap();
    let sent: Value = serde_json::from_str(&service.request().body).unwrap();
    assert_eq!(sent["expire"], json!(1_660_640_780));
}

#[tokio::test]
async fn a_204_in_place_of_an_answer_is_an_error_that_calls_it_empty() {
    for name in ["create_token", "replace_token", "update_token", "list_scopes", "get_credit", "counters_total"] {
        assert_empty(operation(name)).await;
    }
    for operation in keliweb::SERVICE.operations {
        assert_empty(operation).await;
    }
}

async fn assert_empty(operation: &Operation) {
    let service = FakeService::answering_with(Answer::empty(204)).await;
    assert_outcome(operation, &service, Err("204 No Content: the response is empty [decode]")).await;
}
