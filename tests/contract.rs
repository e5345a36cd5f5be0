//! The contract, operation by operation: the request exactly as documented, and every answer that is documented.
//!
//! The examples of the specs are the fixtures. What they come to is written out here, so that changing one breaks a test;
//! and an example that no test knows is a failure as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use common::spec::Spec;
use common::{API_KEY, Answer, Asked, BASIC, CLIENT_ID, CLIENT_SECRET, EMAIL, Mock, PASSWORD, USERNAME, unix};
use gettone::keliweb::{Fatture, TokenPair};
use gettone::openapi::{
    Environment, Period, Ttl,
    v1::{Counters, Oauth, Token, TokenUpdate},
};
use gettone::{AccessToken, Error, RefreshToken, Scope, ScopeList, ScopeSet};
use serde_json::{Value, json};

const TOKEN: &str = "5f8041e42efdfc468b6e60ea";
const REFRESH_TOKEN: &str = "def50200cb918cb70defe79d45f1f2193c4c0a959fd78a5c3123e5d3f33f3b8af6b1080f6c745";

fn token() -> AccessToken {
    AccessToken::new(TOKEN)
}

fn scopes() -> ScopeSet {
    ScopeSet::parse(["GET:imprese.openapi.it/base", "*:comparabili.openapi.it/*"]).unwrap()
}

fn end() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_660_640_780)
}

/// Calls an operation with the arguments that the specs have as examples, and says in a line what came of it.
async fn outcome(operation: &str, mock: &Mock) -> String {
    let oauth = mock.oauth();
    match operation {
        "password_grant" => say(mock.fatture().password_grant().await, pair),
        "refresh" => say(mock.fatture().refresh(&RefreshToken::new(REFRESH_TOKEN)).await, pair),
        "create_token" => say(oauth.create_token(&scopes(), Ttl::days(30).unwrap()).await, one),
        "list_tokens" => {
            say(oauth.list_tokens().await, |tokens| tokens.into_iter().map(one).collect::<Vec<_>>().join(" | "))
        }
        "find_token" => say(oauth.find_token(&token()).await, |token| token.map_or("none".to_owned(), one)),
        "replace_token" => {
            let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base"]).unwrap();
            say(oauth.replace_token(&token(), &scopes, end()).await, one)
        }
        "update_token" => say(oauth.update_token(&token(), TokenUpdate::new().scopes(&scopes())).await, one),
        "delete_token" => say(oauth.delete_token(&token()).await, |()| "deleted".to_owned()),
        "list_scopes" => say(oauth.list_scopes().await, |list| all(&list)),
        "get_credit" => say(oauth.credit().await, |credit| credit.to_string()),
        "counters_total" => say(oauth.counters(Period::total()).await, counters),
        "counters_day" => say(oauth.counters(Period::day(2022, 1, 1).unwrap()).await, counters),
        "counters_month" => say(oauth.counters(Period::month(2022, 1).unwrap()).await, counters),
        "counters_year" => say(oauth.counters(Period::year(2022).unwrap()).await, counters),
        other => panic!("no such operation: {other}"),
    }
}

fn say<T>(result: Result<T, Error>, describe: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => describe(value),
        Err(error) => {
            let kinds = [
                ("unauthorized", error.is_unauthorized()),
                ("invalid grant", error.is_invalid_grant()),
                ("invalid input", error.is_invalid_input()),
                ("not found", error.is_not_found()),
                ("rate limited", error.is_rate_limited()),
                ("transient", error.is_transient()),
                ("decode", error.is_decode()),
            ];
            let kinds: Vec<_> = kinds.into_iter().filter(|(_, is)| *is).map(|(kind, _)| kind).collect();
            format!("{error} [{}]", kinds.join(", "))
        }
    }
}

fn pair(pair: TokenPair) -> String {
    let refresh = pair.refresh_token().map_or("none", RefreshToken::expose);
    let (kind, seconds) = (pair.token_type(), pair.expires_in().as_secs());
    format!("{kind} {} for {seconds} s, refresh {refresh}", pair.access_token().expose())
}

fn one(token: Token) -> String {
    format!("{} until {}: {}", token.token().expose(), unix(token.expires_at()), all(token.scopes()))
}

fn all(list: &ScopeList) -> String {
    list.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

fn counters(counters: Counters) -> String {
    let mut text = String::new();
    for (scope, counter) in &counters {
        write!(text, "{scope} {}/{}/{}; ", counter.requests(), counter.paid(), counter.limit()).unwrap();
    }
    text
}

const ISSUED: &str = "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsImp0aSI6ImYyYjBjOWNkODFiYzRmODMwOGZlNjZkZj for 3600 s, refresh \
    def50200cb918cb70defe79d45f1f2193c4c0a959fd78a5c3123e5d3f33f3b8af6b1080f6c745";
const WITHOUT_REFRESH: &str = "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsImp0aSI6ImYyYjBjOWNkODFiYzRmODMwOGZlNjZkZj for 3600 s, \
    refresh none";
const USED: &str = "GET:comparabili.openapi.it/root 31/0/unlimited; GET:imprese.openapi.it/base 120/20/100; \
    POST:ws.ufficiopostale.com/raccomandate 7/7/unknown; ";
const MALFORMED: &str = "The request is missing a required parameter, includes an invalid parameter value, includes a parameter \
    more than once, or is otherwise malformed.; Check the `client_id` parameter";

/// Operation, status, example, and what comes of it. Keliweb's one operation stands here once for each grant.
#[rustfmt::skip]
fn table() -> Vec<(&'static str, u16, &'static str, String)> {
    let keliweb = |grant: &'static str| {
        let fails = |what: &str| format!("Keliweb Fatture {grant}: HTTP {what}");
        let password = grant == "password_grant";
        // A code that belongs to the other grant is only what its status says.
        let either = |password_kind: &'static str, refresh_kind: &'static str| if password { password_kind } else { refresh_kind };
        vec![
            (grant, 200, "issued", ISSUED.to_owned()),
            (grant, 200, "without_refresh_token", WITHOUT_REFRESH.to_owned()),
            (grant, 400, "missing_field", fails(&format!("400 Bad Request, code invalid_request: {MALFORMED} [invalid input]"))),
            (grant, 400, "unsupported_grant_type", fails("400 Bad Request, code unsupported_grant_type: The authorization grant type is not supported by the authorization server.; Check that all required parameters have been provided [invalid input]")),
            (grant, 400, "wrong_password", fails(&format!("400 Bad Request, code invalid_grant: The user credentials were incorrect. [{}]", either("unauthorized, invalid grant", "invalid grant")))),
            (grant, 400, "refresh_token_refused", fails(&format!("400 Bad Request, code invalid_grant: The refresh token is invalid.; Token has been revoked [{}]", either("unauthorized, invalid grant", "invalid grant")))),
            (grant, 401, "invalid_client", fails("401 Unauthorized, code invalid_client: Client authentication failed [unauthorized]")),
            (grant, 401, "invalid_credentials", fails(&format!("401 Unauthorized, code invalid_credentials: The user credentials were incorrect. [{}]", either("unauthorized, invalid grant", "unauthorized")))),
            (grant, 401, "refresh_token_refused", fails(&format!("401 Unauthorized, code invalid_request: The refresh token is invalid.; Token has been revoked [{}]", either("unauthorized", "invalid grant")))),
            (grant, 422, "invalid", fails("422 Unprocessable Entity: The given data was invalid.; username: The username must be a valid email address. [invalid input]")),
            (grant, 429, "throttled", fails("429 Too Many Requests: Too Many Attempts. [rate limited, transient]")),
        ]
    };
    let fails = |what: &str| format!("Openapi.it Oauth {what}");
    let base = "GET:imprese.openapi.it/base";
    let period = |operation: &str, example: &str| fails(&format!("{operation}: HTTP 404 Not Found, code 610: Wrong date format for the selected range, please format the date like: {example} [invalid input]"));
    let mut rows = [keliweb("password_grant"), keliweb("refresh")].concat();
    rows.extend([
        ("create_token", 200, "created", format!("5f8711afe4754a532a7a8358 until 1634223407: {base} GET:comparabili.openapi.it/root POST:comparabili.openapi.it/root")),
        ("create_token", 406, "missing_scopes", fails("create_token: HTTP 406 Not Acceptable, code 110: missing scopes array [invalid input]")),
        ("list_tokens", 200, "two", format!("{TOKEN} until 1660640780: {base} GET:imprese.openapi.it/IT-full | 5f8711afe4754a532a7a8358 until 1634223407: POST:test.postontarget.com/fields/country")),
        ("find_token", 200, "found", format!("{TOKEN} until 1660640780: {base}")),
        ("find_token", 402, "wrong_token", "none".to_owned()),
        ("replace_token", 200, "replaced", format!("{TOKEN} until 1660640780: {base}")),
        ("replace_token", 403, "not_single", fails("replace_token: HTTP 403 Forbidden, code 160: Only single tokens are enabled for this method []")),
        ("replace_token", 404, "missing", fails("replace_token: HTTP 404 Not Found, code 170: Missing Token [not found]")),
        ("replace_token", 406, "invalid_scopes", fails("replace_token: HTTP 406 Not Acceptable, code 270: invalid scopes specified [invalid input]")),
        ("update_token", 200, "updated", format!("{TOKEN} until 1660640780: {base} GET:comparabili.openapi.it/root")),
        ("update_token", 403, "not_single", fails("update_token: HTTP 403 Forbidden, code 280: Only single tokens are enabled for this method []")),
        ("update_token", 404, "missing", fails("update_token: HTTP 404 Not Found, code 290: Missing Token [not found]")),
        ("update_token", 406, "nothing_to_change", fails("update_token: HTTP 406 Not Acceptable, code 310: missing scopes array and expire [invalid input]")),
        ("delete_token", 200, "deleted", "deleted".to_owned()),
        ("delete_token", 403, "not_single", fails("delete_token: HTTP 403 Forbidden, code 140: Only single tokens are enabled for this method []")),
        ("delete_token", 404, "missing", fails("delete_token: HTTP 404 Not Found, code 150: Missing Token [not found]")),
        ("list_scopes", 200, "flat", format!("{base} GET:imprese.openapi.it/IT-full GET:comparabili.openapi.it/root POST:comparabili.openapi.it/root POST:ws.ufficiopostale.com/raccomandate POST:test.postontarget.com/fields/country")),
        ("list_scopes", 200, "nested", format!("{base} POST:ws.ufficiopostale.com/raccomandate")),
        ("get_credit", 200, "left", "423.38".to_owned()),
        ("get_credit", 404, "no_credit", fails("get_credit: HTTP 404 Not Found, code 320: non-existent Openapi credit [not found]")),
        ("counters_total", 200, "used", USED.to_owned()),
        ("counters_total", 200, "without_calls", String::new()),
        ("counters_day", 200, "used", USED.to_owned()),
        ("counters_day", 200, "without_calls", String::new()),
        ("counters_day", 404, "wrong_format", period("counters_day", "2022-01-01")),
        ("counters_month", 200, "used", USED.to_owned()),
        ("counters_month", 200, "without_calls", String::new()),
        ("counters_month", 404, "wrong_format", period("counters_month", "2022-01")),
        ("counters_year", 200, "used", USED.to_owned()),
        ("counters_year", 200, "without_calls", String::new()),
        ("counters_year", 404, "wrong_format", period("counters_year", "2022")),
    ]);
    rows
}

/// The spec, and the `operationId` in it, of an operation of the table.
fn in_spec(operation: &'static str) -> (Spec, &'static str) {
    match operation {
        "password_grant" | "refresh" => (Spec::keliweb(), "request_token"),
        _ => (Spec::openapi(), operation),
    }
}

#[tokio::test]
async fn every_documented_answer_comes_to_what_it_means() {
    for (operation, status, example, expected) in table() {
        let (spec, id) = in_spec(operation);
        // 429 is repeated; the same answer each time.
        let mock = Mock::answering_with(spec.answer(id, status, example)).await;
        assert_eq!(outcome(operation, &mock).await, expected, "{operation} {status} {example}");
        assert_eq!(mock.calls(), if status == 429 { 4 } else { 1 }, "{operation} {status} {example}");
    }
}

#[test]
fn every_example_of_the_specs_is_in_the_table() {
    let tested: BTreeSet<_> = table()
        .into_iter()
        .map(|(operation, status, name, _)| (in_spec(operation).1.to_owned(), status, name.to_owned()))
        .collect();
    let documented = [Spec::keliweb().answers(), Spec::openapi().answers()].concat();
    assert_eq!(tested, documented.into_iter().collect());
}

#[tokio::test]
async fn a_204_is_no_token() {
    for (operation, expected) in [("list_tokens", ""), ("find_token", "none")] {
        assert_eq!(
            Spec::openapi().operation(operation)["responses"]["204"]["description"].as_str().map(str::is_empty),
            Some(false)
        );
        let mock = Mock::answering_with(Answer::empty(204)).await;
        assert_eq!(outcome(operation, &mock).await, expected, "{operation}");
        assert_eq!(mock.calls(), 1, "{operation}");
    }
}

#[tokio::test]
async fn a_redirect_to_the_login_page_is_a_failed_login() {
    let spec = Spec::keliweb();
    let location =
        spec.operation("request_token")["responses"]["302"]["headers"]["Location"]["example"].as_str().unwrap();
    assert_eq!(location, "https://fatture.keliweb.it/login");
    for grant in ["password_grant", "refresh"] {
        let mock =
            Mock::answering_with(Answer::html(302, "<html>Redirecting</html>").header("location", location)).await;
        let expected =
            format!("Keliweb Fatture {grant}: HTTP 302 Found: a redirect, which is not followed [unauthorized]");
        assert_eq!(outcome(grant, &mock).await, expected);
        assert_eq!(mock.calls(), 1);
    }
}

/// What is sent beside the body, and nothing else.
fn headers(asked: &Asked, basic: bool, content_type: Option<&str>) {
    let mut expected = vec![("accept".to_owned(), "application/json".to_owned())];
    expected.extend(basic.then(|| ("authorization".to_owned(), BASIC.to_owned())));
    expected.extend(content_type.map(|content_type| ("content-type".to_owned(), content_type.to_owned())));
    expected.push(("user-agent".to_owned(), concat!("gettone/", env!("CARGO_PKG_VERSION")).to_owned()));
    assert_eq!(asked.headers, expected);
}

#[tokio::test]
async fn both_grants_are_sent_as_the_form_that_is_documented() {
    for (grant, example) in [("password_grant", "password"), ("refresh", "refresh_token")] {
        let spec = Spec::keliweb();
        let mock = Mock::answering_with(spec.answer("request_token", 200, "issued")).await;
        assert_eq!(outcome(grant, &mock).await, ISSUED);

        let asked = mock.request();
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/oauth/token"));
        headers(&asked, false, Some("application/x-www-form-urlencoded"));
        let documented = spec.request("request_token", example);
        let mut documented: Vec<_> = documented
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        documented.sort();
        assert_eq!(asked.form(), documented, "{grant}");
    }
}

#[tokio::test]
async fn a_form_keeps_what_needs_encoding() {
    let mock = Mock::answering_with(Spec::keliweb().answer("request_token", 200, "issued")).await;
    let password = "p&a=s s+w%ö\r\n\"'#?/;€";
    let credentials = gettone::keliweb::Credentials::new("id", "secret&grant_type=x", "a+b@example.com", password);
    Fatture::builder(credentials).base_url(mock.url()).build().unwrap().password_grant().await.unwrap();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = vec![
        field("client_id", "id"),
        field("client_secret", "secret&grant_type=x"),
        field("grant_type", "password"),
        field("password", password),
        field("username", "a+b@example.com"),
    ];
    assert_eq!(mock.request().form(), expected);
}

/// The twelve operations of Openapi.it: method, target, and the example that the body is.
const REQUESTS: &[(&str, &str, &str, Option<&str>)] = &[
    ("create_token", "POST", "/token", Some("thirty_days")),
    ("list_tokens", "GET", "/token", None),
    ("find_token", "GET", "/token/5f8041e42efdfc468b6e60ea", None),
    ("replace_token", "PUT", "/token/5f8041e42efdfc468b6e60ea", Some("until")),
    ("update_token", "PATCH", "/token/5f8041e42efdfc468b6e60ea", Some("scopes")),
    ("delete_token", "DELETE", "/token/5f8041e42efdfc468b6e60ea", None),
    ("list_scopes", "GET", "/scopes", None),
    ("get_credit", "GET", "/credit", None),
    ("counters_total", "GET", "/counters/total", None),
    ("counters_day", "GET", "/counters/day/2022-01-01", None),
    ("counters_month", "GET", "/counters/month/2022-01", None),
    ("counters_year", "GET", "/counters/year/2022", None),
];

/// A body as the service reads it: the order of its scopes has no meaning.
fn meaning(mut body: Value) -> Value {
    if let Some(scopes) = body.get_mut("scopes").and_then(Value::as_array_mut) {
        scopes.sort_by_key(Value::to_string);
    }
    body
}

#[tokio::test]
async fn the_twelve_requests_are_exactly_as_documented() {
    let spec = Spec::openapi();
    assert_eq!(REQUESTS.len(), spec.operations().count());
    for (operation, method, target, body) in REQUESTS {
        let (documented_method, documented_path, documented) =
            spec.operations().find(|(_, _, documented)| documented["operationId"] == *operation).unwrap();
        let mut path = documented_path.to_owned();
        let item = documented["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in item.iter().chain([&json!({ "$ref": "#/components/parameters/Token" })]) {
            let parameter = spec.resolve(parameter);
            path = path.replace(
                &format!("{{{}}}", parameter["name"].as_str().unwrap()),
                parameter["example"].as_str().unwrap(),
            );
        }
        assert_eq!((documented_method, path.as_str()), (method.to_lowercase().as_str(), *target), "{operation}");

        let (status, answer) = table().into_iter().find(|row| row.0 == *operation).map(|row| (row.1, row.2)).unwrap();
        let mock = Mock::answering_with(spec.answer(operation, status, answer)).await;
        outcome(operation, &mock).await;
        let asked = mock.request();
        assert_eq!((asked.method.as_str(), asked.target.as_str()), (*method, *target), "{operation}");
        match body {
            Some(example) => {
                headers(&asked, true, Some("application/json"));
                let sent: Value = serde_json::from_str(&asked.body).unwrap();
                assert_eq!(meaning(sent), meaning(spec.request(operation, example)), "{operation}");
            }
            None => {
                headers(&asked, true, None);
                assert_eq!(asked.body, "", "{operation}");
            }
        }
    }
}

#[tokio::test]
async fn a_filter_is_the_query_that_is_documented() {
    let spec = Spec::openapi();
    let example = spec.operation("list_tokens")["parameters"][0]["example"].as_str().unwrap();
    let scope: Scope = "GET:imprese.openapi.it/base".parse().unwrap();
    assert_eq!(example, scope.as_str());
    let mock = Mock::answering_with(spec.answer("list_tokens", 200, "two")).await;
    assert_eq!(mock.oauth().list_tokens_with_scope(&scope).await.unwrap().len(), 2);
    let asked = mock.request();
    let (path, query) = asked.target.split_once('?').unwrap();
    assert_eq!((asked.method.as_str(), path), ("GET", "/token"));
    let query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!(query, [("scope".to_owned(), example.to_owned())]);
}

#[tokio::test]
async fn a_patch_sends_only_what_is_to_change() {
    let spec = Spec::openapi();
    let thirty_days = Ttl::days(30).unwrap();
    let both = json!({ "scopes": ["*:comparabili.openapi.it/*", "GET:imprese.openapi.it/base"], "ttl": 2_592_000 });
    for (update, expected) in [
        (TokenUpdate::new().ttl(thirty_days), spec.request("update_token", "ttl")),
        (TokenUpdate::new().scopes(&scopes()), spec.request("update_token", "scopes")),
        (TokenUpdate::new().scopes(&scopes()).ttl(thirty_days), both),
    ] {
        let mock = Mock::answering_with(spec.answer("update_token", 200, "updated")).await;
        mock.oauth().update_token(&token(), update).await.unwrap();
        let sent: Value = serde_json::from_str(&mock.request().body).unwrap();
        assert_eq!(meaning(sent), meaning(expected));
    }
}

#[tokio::test]
async fn what_the_service_would_refuse_is_not_sent() {
    let mock = Mock::answering_with(Answer::empty(500)).await;
    let oauth = mock.oauth();
    let (none, ttl) = (ScopeSet::default(), Ttl::days(1).unwrap());
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    for (error, expected) in [
        (oauth.create_token(&none, ttl).await.unwrap_err(), "create_token: no scopes"),
        (oauth.replace_token(&token(), &none, end()).await.unwrap_err(), "replace_token: no scopes"),
        (
            oauth.replace_token(&token(), &scopes(), before_1970).await.unwrap_err(),
            "replace_token: the end lies before 1970",
        ),
        (
            oauth.update_token(&token(), TokenUpdate::new()).await.unwrap_err(),
            "update_token: nothing to change; give scopes or a ttl",
        ),
        (oauth.update_token(&token(), TokenUpdate::new().scopes(&none)).await.unwrap_err(), "update_token: no scopes"),
    ] {
        assert_eq!(error.to_string(), format!("Openapi.it Oauth {expected}"));
        assert!(error.is_invalid_input() && error.status().is_none());
    }
    assert_eq!(mock.calls(), 0);
}

#[test]
fn the_servers_of_the_specs_are_those_that_are_called() {
    let servers = |spec: Spec| -> Vec<_> { spec.servers().iter().map(|url| format!("base_url: {url:?}")).collect() };
    let credentials = gettone::openapi::Credentials::new(EMAIL, API_KEY);
    let production = Oauth::builder(credentials.clone()).build().unwrap();
    let sandbox = Oauth::builder(credentials).environment(Environment::Sandbox).build().unwrap();
    let credentials = gettone::keliweb::Credentials::new(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD);
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
async fn what_is_under_a_second_of_an_end_is_cut_off() {
    let mock = Mock::answering_with(Spec::openapi().answer("replace_token", 200, "replaced")).await;
    let end = end() + Duration::from_millis(999);
    mock.oauth().replace_token(&token(), &scopes(), end).await.unwrap();
    let sent: Value = serde_json::from_str(&mock.request().body).unwrap();
    assert_eq!(sent["expire"], json!(1_660_640_780));
}

#[tokio::test]
async fn a_204_where_there_should_be_an_answer_is_said_to_be_empty() {
    for operation in ["create_token", "replace_token", "update_token", "list_scopes", "get_credit", "counters_total"] {
        let mock = Mock::answering_with(Answer::empty(204)).await;
        let expected = format!("Openapi.it Oauth {operation}: HTTP 204 No Content: an empty answer [decode]");
        assert_eq!(outcome(operation, &mock).await, expected);
    }
    for grant in ["password_grant", "refresh"] {
        let mock = Mock::answering_with(Answer::empty(204)).await;
        let expected = format!("Keliweb Fatture {grant}: HTTP 204 No Content: an empty answer [decode]");
        assert_eq!(outcome(grant, &mock).await, expected);
    }
}
