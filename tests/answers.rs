//! Responses that the services do not document, but were seen to send or may send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "answers/codes.rs"]
mod codes;
mod common;
#[path = "answers/misleading.rs"]
mod misleading;
#[path = "answers/unusable_tokens.rs"]
mod unusable_tokens;

use std::any::Any;

use common::fake::{Answer, Do, FakeService};
use common::services::{Operation, RetrySafety, Returned, keliweb, openapi_v1, openapi_v2, operation};
use common::{operations, success, success_of};
use gettone::keliweb::TokenPair;
use gettone::openapi::v1::{CounterLimit, Counters, Credit, Token, TokenList};
use gettone::openapi::v2;
use gettone::{AccessToken, Error, ScopeList};
use serde_json::{Value, json};

/// Calls the operation of this name, and returns the error.
async fn error(name: &str, answer: Answer) -> Error {
    error_of(operation(name), answer).await
}

/// Calls an operation, and returns the error.
async fn error_of(operation: &Operation, answer: Answer) -> Error {
    let service = FakeService::answering_with(answer).await;
    let error = service.call(operation).await.unwrap_err();
    let is_once = operation.retry == RetrySafety::AtMostOnce;
    let is_repeated = error.is_rate_limited() || !is_once || error.retry_after().is_some();
    assert_eq!(service.calls(), if error.is_transient() && is_repeated { 4 } else { 1 });
    assert_eq!(error.operation(), Some(operation.name));
    error
}

/// Calls an operation, which must succeed with one request.
async fn assert_succeeds(operation: &Operation, answer: Answer) {
    returned_by(operation, answer).await;
}

/// Calls the operation of this name likewise, and returns what it returns.
async fn read<T: 'static>(name: &str, answer: Answer) -> T {
    *(returned(name, answer).await as Box<dyn Any>).downcast().unwrap()
}

async fn returned(name: &str, answer: Answer) -> Box<dyn Returned> {
    returned_by(operation(name), answer).await
}

async fn returned_by(operation: &Operation, answer: Answer) -> Box<dyn Returned> {
    let service = FakeService::answering_with(answer.clone()).await;
    let returned = service.call(operation).await;
    assert_eq!(service.calls(), 1, "{operation}");
    returned.unwrap_or_else(|error| panic!("{operation} {}: {error}", answer.text()))
}

/// Lists the operations of both versions of Openapi.it Oauth.
fn of_openapi() -> impl Iterator<Item = &'static Operation> {
    openapi_v1::SERVICE.operations.iter().chain(openapi_v2::SERVICE.operations)
}

/// Whether a response without content is a success.
fn may_be_empty(operation: &Operation) -> bool {
    match operation.service.label {
        "v1" => ["list_tokens", "find_token", "delete_token"].contains(&operation.name),
        "v2" => operation.name.starts_with("list_") || operation.name == "delete_token",
        _ => false,
    }
}

#[tokio::test]
async fn success_false_with_status_200_is_a_failure() {
    for operation in of_openapi() {
        for success in [json!(false), json!("false"), json!("False")] {
            let body = json!({ "success": success, "message": "not today", "error": 999, "data": null });
            let error = error_of(operation, Answer::json(200, body)).await;
            assert_eq!((error.status().unwrap().as_u16(), error.code()), (200, Some("999")), "{operation}");
            assert!(!error.is_decode() && !error.is_transient());
            assert!(
                error.to_string().ends_with("HTTP 200 OK, but the response reports a failure, code 999: not today"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_documented_code_means_the_same_with_status_200() {
    let body = |code: u32| Answer::json(200, json!({ "success": false, "message": "", "error": code, "data": null }));
    assert!(error("v1 create_token", body(110)).await.is_invalid_input());
    assert!(error("replace_token", body(170)).await.is_not_found());
    assert!(error("v1 update_token", body(310)).await.is_invalid_input());
    assert!(error("v1 delete_token", body(150)).await.is_not_found());
    assert!(error("get_credit", body(320)).await.is_not_found());
    assert!(error("counters_day", body(610)).await.is_invalid_input());
    assert_eq!(read::<Option<Token>>("v1 find_token", body(125)).await, None);
}

#[tokio::test]
async fn an_unexpected_error_field_does_not_spoil_a_success() {
    for operation in of_openapi() {
        for odd in [json!(125.22), json!("none"), json!(true), json!({}), json!([]), json!(-1), json!(0)] {
            // The deletion of version 2 has neither a `success` nor content beside it.
            let is_all = (operation.service.label, operation.name) == ("v2", "delete_token");
            if !is_all || [json!({}), json!([]), json!(0)].contains(&odd) {
                assert_succeeds(operation, with(success_of(operation), "error", odd)).await;
            }
        }
        for success_field in [json!("true"), json!("True"), json!(null), json!(1)] {
            assert_succeeds(operation, with(success_of(operation), "success", success_field)).await;
        }
        for message in [json!(null), json!(["x"]), json!("all is well")] {
            assert_succeeds(operation, with(success_of(operation), "message", message)).await;
        }
    }
}

/// Returns an answer with another value in a field.
fn with(answer: Answer, field: &str, value: Value) -> Answer {
    let mut body: Value = serde_json::from_str(answer.text()).unwrap();
    body[field] = value;
    answer.body(body)
}

#[tokio::test]
async fn a_status_of_failure_is_a_failure_whatever_the_body_says() {
    for operation in of_openapi() {
        let body = json!({ "success": true, "message": "fine", "error": null, "data": [] });
        let error = error_of(operation, Answer::json(403, body)).await;
        assert_eq!((error.status().unwrap().as_u16(), error.code()), (403, None), "{operation}");
    }
}

#[tokio::test]
async fn a_failure_in_a_nested_object_is_a_failure() {
    let inner = json!({ "data": [], "success": false, "message": "not today", "error": 999 });
    let found = error("v1 list_scopes", Answer::json(200, json!({ "data": inner }))).await;
    assert!(
        found.to_string().ends_with("HTTP 200 OK, but the response reports a failure, code 999: not today"),
        "{found}"
    );
    // On either level, whatever the other one says.
    for (outer, inner) in [(true, false), (false, true)] {
        let body = format!(
            r#"{{"success":{outer},"error":null,"data":{{"data":[],"success":{inner},"error":7}},"message":""}}"#
        );
        let found = error("v1 list_scopes", Answer::json(200, body)).await;
        assert_eq!((found.code(), found.is_decode()), (Some("7"), false));
    }
    let inner = json!({ "data": ["GET:a.it/b"], "success": true, "message": "", "error": null });
    assert_eq!(read::<ScopeList>("v1 list_scopes", Answer::json(200, json!({ "data": inner }))).await.len(), 1);
}

#[tokio::test]
async fn a_response_with_nothing_but_an_error_is_a_failure() {
    let body = json!({ "error": "invalid_grant", "error_description": "nope" });
    let error_of_grant = error("refresh", Answer::json(200, body)).await;
    assert_eq!((error_of_grant.code(), error_of_grant.is_decode()), (Some("invalid_grant"), false));
    assert!(error_of_grant.is_invalid_grant() && !error_of_grant.is_unauthorized(), "{error_of_grant:?}");
    let error_of_grant = error("password_grant", Answer::json(200, json!({ "error": "invalid_grant" }))).await;
    assert!(error_of_grant.is_invalid_grant() && error_of_grant.is_unauthorized(), "{error_of_grant:?}");
    let body = json!({ "message": "Wrong Token", "error": 125.22, "data": null });
    assert_eq!(read::<Option<Token>>("v1 find_token", Answer::json(200, body)).await, None);
}

#[tokio::test]
async fn a_success_is_read_whatever_its_content_type_is() {
    for operation in operations() {
        let answer = success_of(operation);
        let html = Answer::html(200, answer.text());
        let marked = Answer::json(200, format!("\u{feff}{}", answer.text()));
        for answer in [html, marked] {
            assert_succeeds(operation, answer).await;
        }
    }
}

#[tokio::test]
async fn a_plain_404_of_counters_is_not_about_the_period() {
    let error = error("counters_day", Answer::html(404, "<html>nginx</html>")).await;
    assert!(error.is_not_found() && !error.is_invalid_input(), "{error:?}");
}

#[tokio::test]
async fn a_token_with_an_unusual_number_is_read() {
    let latest = 253_402_300_799;
    for (sent, expected) in [
        (json!(1_660_640_780), 1_660_640_780),
        (json!("1660640780"), 1_660_640_780),
        (json!(1_660_640_780.0), 1_660_640_780),
        (json!(0), 0),
        (json!(i64::MAX), latest),
        (json!(u64::MAX), latest),
        (json!("99999999999999999999999999"), latest),
    ] {
        let token: Token = read("v1 create_token", with(success("v1 create_token"), "expire", sent.clone())).await;
        assert_eq!(common::unix(token.expires_at()), expected, "{sent}");
    }
    for sent in [json!(-1), json!("soon"), json!(null), json!([])] {
        assert!(error("v1 create_token", with(success("v1 create_token"), "expire", sent)).await.is_decode());
    }
    // More than a moment can be: the lifetime is capped so that it can be added to any.
    let pair: TokenPair = read("refresh", with(success("refresh"), "expires_in", json!(u64::MAX))).await;
    assert!(common::now().checked_add(pair.expires_in()).is_some());
}

#[tokio::test]
async fn a_token_without_scopes_does_not_spoil_a_list() {
    let token = |scopes: Value| json!({ "scopes": scopes, "expire": 1, "token": "t" });
    let body = json!({ "data": [token(json!(null)), token(json!(["GET:a.it/b"]))] });
    let tokens: TokenList = read("v1 list_tokens", Answer::json(200, body)).await;
    assert_eq!(tokens.iter().map(|token| token.scopes().len()).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn unusual_codes_are_kept_as_they_came() {
    for (odd, kept) in [
        (json!(125.22), Some("125.22")),
        (json!("E-17"), Some("E-17")),
        (json!(-4), Some("-4")),
        (json!(""), None),
        (json!(null), None),
        (json!(true), None),
        (json!({ "a": 1 }), None),
    ] {
        let body = json!({ "success": false, "message": "Wrong Token", "error": odd, "data": null });
        let error = error("get_credit", Answer::json(401, body)).await;
        assert!(error.is_unauthorized());
        assert_eq!(error.code(), kept);
    }
}

#[tokio::test]
async fn a_402_means_not_found_only_with_its_code() {
    let body = |code: Value| json!({ "success": false, "message": "", "error": code, "data": null });
    for code in [json!(125), json!("125"), json!(125.22)] {
        assert_eq!(read::<Option<Token>>("v1 find_token", Answer::json(402, body(code))).await, None);
    }
    for code in [json!(126), json!(null), json!(1251)] {
        let error = error("v1 find_token", Answer::json(402, body(code))).await;
        assert!(!error.is_not_found() && error.status().unwrap() == 402);
    }
    // For other operations the code 125 is not documented.
    let error = error("get_credit", Answer::json(402, body(json!(125)))).await;
    assert!(!error.is_not_found() && error.status().unwrap() == 402);
}

#[tokio::test]
async fn a_page_of_a_gateway_keeps_its_status() {
    for operation in operations() {
        for (status, transient) in [(502, true), (503, true), (504, true), (500, false), (403, false), (404, false)] {
            let error = error_of(operation, Answer::html(status, "<html><h1>nginx</h1></html>")).await;
            assert_eq!(error.status().unwrap(), status, "{operation}");
            assert_eq!(error.is_transient(), transient, "{operation}");
            assert!(!error.is_decode());
            assert!(error.to_string().contains(": an HTML page instead of JSON"), "{error}");
        }
    }
}

/// A maintenance page is temporary and says nothing about the credentials.
#[tokio::test]
async fn a_page_with_status_200_means_that_the_service_is_unavailable() {
    for operation in operations() {
        for page in
            [Answer::html(200, "<!doctype html><title>Manutenzione</title>"), Answer::empty(200).body(" <html>")]
        {
            let error = error_of(operation, page.clone()).await;
            assert!(error.is_transient() && !error.is_unauthorized() && !error.is_decode(), "{operation}: {error:?}");
            assert!(error.is_ambiguous() && !error.is_invalid_grant(), "{operation}: {error:?}");
            assert!(error.to_string().contains(": an HTML page instead of JSON"), "{operation}: {error}");
        }
    }
}

/// PHP sends `text/html` without content, too.
#[tokio::test]
async fn a_response_without_content_is_not_a_page() {
    let service = FakeService::answering_with(Answer::html(204, "")).await;
    assert!(service.oauth().list_tokens().await.unwrap().is_empty());
    assert_eq!(service.oauth().find_token(&AccessToken::new("t")).await.unwrap(), None);
    assert_eq!(service.calls(), 2);
    assert!(error("get_credit", Answer::html(200, "")).await.is_decode());
}

/// These statuses leave open whether the call was carried out.
#[tokio::test]
async fn a_408_and_any_5xx_are_ambiguous() {
    for operation in operations() {
        for status in [408, 500, 501, 502, 503, 504, 505, 507, 511, 599] {
            let error = error_of(operation, Answer::empty(status)).await;
            assert!(error.is_ambiguous(), "{operation}: {error:?}");
        }
        for status in [400, 401, 403, 404, 406, 409, 422, 429] {
            let error = error_of(operation, Answer::json(status, json!({ "message": "no" }))).await;
            assert!(!error.is_ambiguous(), "{operation}: {error:?}");
        }
    }
}

/// The message is one line, without the words of this crate.
#[tokio::test]
async fn the_message_of_the_service_can_be_read() {
    let said =
        error("get_credit", Answer::json(404, json!({ "message": " non-existent\n credit", "error": 320 }))).await;
    assert_eq!((said.message(), said.code()), (Some("non-existent credit"), Some("320")));
    for silent in [Answer::empty(500), Answer::html(503, "<p>down"), Answer::empty(200).body("no")] {
        assert_eq!(error("get_credit", silent).await.message(), None);
    }
}

#[tokio::test]
async fn an_error_calls_an_empty_response_empty() {
    for operation in operations() {
        for blank in ["", "  \n"] {
            let error = error_of(operation, Answer::empty(200).body(blank)).await;
            assert!(error.is_decode() && error.to_string().ends_with("HTTP 200 OK: the response is empty"), "{error}");
        }
        let failed = error_of(operation, Answer::empty(500)).await;
        assert!(!failed.is_decode() && failed.to_string().ends_with("HTTP 500 Internal Server Error"), "{failed}");
        if !may_be_empty(operation) {
            assert!(error_of(operation, Answer::empty(204)).await.is_decode(), "{operation}");
        }
    }
}

#[tokio::test]
async fn an_error_about_an_undocumented_response_shows_no_values() {
    for operation in operations() {
        for body in [
            "{",
            "[",
            "nonsense",
            "[]",
            "{}",
            "null",
            "\"s3cret-value\"",
            "{\"data\":\"s3cret-value\"}",
            "\u{0}",
            "{\"data\":{\"s3cret-value\":7}}",
        ] {
            // How the figures of no domain are written is a test of its own.
            if operation.name == "list_stats_apis" && ["[]", "null"].contains(&body) {
                continue;
            }
            if is_read(operation, body) {
                let returned = returned_by(operation, Answer::json(200, body)).await;
                assert!(!format!("{returned:?}").contains("s3cret"), "{operation} {body}: {returned:?}");
                continue;
            }
            let error = error_of(operation, Answer::json(200, body)).await;
            assert!(error.is_decode(), "{operation} {body}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{operation} {body}: {error:?}");
        }
    }
    let body = json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": ["s3cret"] });
    let error = error("password_grant", Answer::json(200, body)).await;
    assert!(error.to_string().ends_with("expected a string at line 1 column 16"), "{error}");
}

/// Whether an operation reads one of the bodies above.
fn is_read(operation: &Operation, body: &str) -> bool {
    let (is_object, is_odd) = (body.len() > 1 && body.starts_with('{'), body.contains("7}"));
    match (operation.service.label, operation.name) {
        // A deletion has no data, so it accepts every object; that of version 2 accepts all JSON.
        ("v1", "delete_token") => is_object,
        ("v2", "delete_token") => is_object || ["[]", "null", "\"s3cret-value\""].contains(&body),
        // Counters keep an unreadable entry apart. No figure of version 2 is required.
        ("v1", name) => name.starts_with("counters") && is_odd,
        ("v2", "get_stats" | "get_stats_api") => is_odd,
        ("v2", "list_stats_apis") => is_odd || body == "{}",
        // One object is a list of one, and nothing is a list of none.
        ("v2", name) => name.starts_with("list_") && (is_odd || ["[]", "{}", "null"].contains(&body)),
        _ => false,
    }
}

#[tokio::test]
async fn a_token_with_status_201_is_read() {
    let token: Token = read("v1 create_token", success("v1 create_token").status(201)).await;
    assert_eq!(token.token().expose(), "5f8711afe4754a532a7a8358");
    for name in ["v2 create_token", "refresh_token"] {
        let token: v2::Token = read(name, success(name).status(201)).await;
        assert!(token.token().expose().starts_with("656d1e2f8b3c2a001f7e4a1"), "{name}");
    }
}

#[tokio::test]
async fn undocumented_fields_are_ignored() {
    for operation in operations() {
        assert_succeeds(operation, with(success_of(operation), "new", json!({ "a": [1] }))).await;
    }
}

#[tokio::test]
async fn a_lifetime_may_be_a_string() {
    for sent in [json!(3600), json!("3600"), json!(" 3600 "), json!(3600.0)] {
        let pair: TokenPair = read("refresh", with(success("refresh"), "expires_in", sent)).await;
        assert_eq!(pair.expires_in().as_secs(), 3600);
    }
    for sent in [json!("soon"), json!(-1), json!(null), json!("")] {
        let error = error("refresh", with(success("refresh"), "expires_in", sent)).await;
        assert!(error.is_decode() && error.to_string().contains("expected a whole number at line 1"), "{error}");
    }
}

#[tokio::test]
async fn one_unreadable_scope_does_not_spoil_the_others() {
    let body =
        json!({ "data": ["GET:imprese.openapi.it/base", "nonsense", 7, "*:*/*", "POST:imprese.openapi.it/base"] });
    for body in [body.clone(), json!({ "data": body })] {
        let list: ScopeList = read("v1 list_scopes", Answer::json(200, body)).await;
        assert_eq!(
            list.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
            ["GET:imprese.openapi.it/base", "POST:imprese.openapi.it/base"]
        );
        assert_eq!(list.unrecognized(), ["nonsense", "7", "*:*/*"]);
    }
}

#[tokio::test]
async fn counters_are_read_in_every_form() {
    let counter = |limit: Value| json!({ "counter": 3, "paid": 1, "limit": limit });
    let body = json!({ "data": {
        "GET:a.it/number": counter(json!(100)),
        "GET:a.it/false": counter(json!(false)),
        "GET:a.it/null": counter(json!(null)),
        "GET:a.it/true": counter(json!(true)),
        "GET:a.it/number-text": counter(json!("100")),
        "GET:a.it/false-text": counter(json!("false")),
        "GET:a.it/text": counter(json!("many")),
        "GET:a.it/minus": counter(json!(-1)),
        "GET:a.it/none": json!({ "counter": "3", "paid": 1.0 }),
        "GET:a.it/broken": json!({ "counter": "three", "paid": 1, "limit": 1 }),
        "odd": counter(json!(5)),
    } });
    let counters: Counters = read("counters_total", Answer::json(200, body)).await;
    let limit = |path: &str| counters.get(&format!("GET:a.it/{path}").parse().unwrap()).unwrap().limit();
    assert_eq!(limit("number"), CounterLimit::Limited(100));
    assert_eq!(limit("false"), CounterLimit::Unlimited);
    assert_eq!((limit("number-text"), limit("false-text")), (CounterLimit::Limited(100), CounterLimit::Unlimited));
    for path in ["null", "true", "text", "minus", "none"] {
        assert_eq!(limit(path), CounterLimit::Unknown, "{path}");
    }
    assert_eq!(counters.get(&"GET:a.it/none".parse().unwrap()).unwrap().requests(), 3);
    let odd: Vec<_> = counters.unrecognized().iter().map(|(key, value)| (key.as_str(), &value["counter"])).collect();
    assert_eq!((counters.len(), odd), (9, vec![("GET:a.it/broken", &json!("three")), ("odd", &json!(3))]));

    // PHP writes an empty map as an empty array.
    for data in [json!([]), json!({})] {
        let counters: Counters = read("counters_total", Answer::json(200, json!({ "data": data }))).await;
        assert!(counters.is_empty());
    }
    assert!(error("counters_total", Answer::json(200, json!({ "data": [1] }))).await.is_decode());
}

#[tokio::test]
async fn failures_of_older_and_newer_keliweb_servers_mean_the_same() {
    for answer in [
        Answer::json(401, json!({ "error": "invalid_request", "message": "The refresh token is invalid." })),
        Answer::json(400, json!({ "error": "invalid_grant", "error_description": "The refresh token is invalid." })),
        Answer::json(401, json!({ "error": "invalid_grant" })),
    ] {
        let error = error("refresh", answer).await;
        assert!(error.is_invalid_grant() && !error.is_unauthorized() && !error.is_invalid_input(), "{error:?}");
    }
    for answer in [
        Answer::json(401, json!({ "error": "invalid_credentials", "message": "The user credentials were incorrect." })),
        Answer::json(
            400,
            json!({ "error": "invalid_grant", "error_description": "The user credentials were incorrect." }),
        ),
    ] {
        let error = error("password_grant", answer).await;
        assert!(error.is_invalid_grant() && error.is_unauthorized() && !error.is_invalid_input(), "{error:?}");
    }
    // A rejected refresh that is not about the token.
    let error = error(
        "refresh",
        Answer::json(400, json!({ "error": "invalid_request", "hint": "Check the `client_id` parameter" })),
    )
    .await;
    assert!(!error.is_invalid_grant() && error.is_invalid_input());
}

#[tokio::test]
async fn a_long_message_is_truncated_to_one_line() {
    let body =
        json!({ "success": false, "message": format!("first\nsecond {}", "x".repeat(5000)), "error": 1, "data": null });
    let error = error("get_credit", Answer::json(403, body)).await;
    let text = error.to_string();
    assert!(text.contains("first second xxx") && text.chars().count() < 400 && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn an_error_can_be_cloned_and_sent_and_has_its_source() {
    fn everywhere<T: Clone + Send + Sync + std::error::Error + 'static>(_: &T) {}
    let nobody = FakeService::new([Do::Refuse]).await;
    let (builder, _) = common::Still::still(common::oauth(&format!("{}/a-secret-path", nobody.url())));
    let error = builder.build().unwrap().credit().await.unwrap_err();
    everywhere(&error);
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<reqwest::Error>().unwrap();
    assert!(source.is_connect() && source.url().is_none());
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        text += &format!("{error} {error:?}\n");
        next = error.source();
    }
    assert!(text.contains("Connection refused"), "{text}");
    assert!(!text.contains("a-secret-path") && !text.contains("http://"), "{text}");
    let host = nobody.url().replace("http://", "");
    let said = format!("Openapi.it Oauth get_credit: no connection to {host}: Connection refused (os error 111)");
    #[cfg(target_os = "linux")]
    assert_eq!(error.clone().to_string(), said);
    #[cfg(not(target_os = "linux"))]
    assert!(error.to_string().starts_with(said.split(" (").next().unwrap()), "{error}");
}

#[tokio::test]
async fn every_documented_code_means_the_same_with_status_200() {
    for (code, invalid, missing) in [
        (110, true, false),
        (125, false, false),
        (140, false, false),
        (150, false, true),
        (160, false, false),
        (170, false, true),
        (270, true, false),
        (280, false, false),
        (290, false, true),
        (310, true, false),
        (320, false, true),
        (610, false, true),
        // Not documented.
        (999, false, false),
    ] {
        let body = json!({ "success": false, "message": "", "error": code, "data": null });
        let error = error("v1 update_token", Answer::json(200, body)).await;
        assert_eq!((error.is_invalid_input(), error.is_not_found()), (invalid, missing), "{code}");
        assert!(!error.is_unauthorized() && !error.is_transient() && !error.is_decode(), "{code}");
    }
}

#[tokio::test]
async fn a_status_of_failure_outweighs_a_code() {
    for (status, code) in [(403, 110), (403, 150), (500, 310)] {
        let body = json!({ "success": false, "message": "", "error": code, "data": null });
        let error = error("v1 update_token", Answer::json(status, body)).await;
        assert!(!error.is_invalid_input() && !error.is_not_found(), "{status} {code}: {error:?}");
    }
    let body = json!({ "success": false, "message": "", "error": 125, "data": null });
    assert!(!error("v1 find_token", Answer::json(403, body)).await.is_not_found());
    for (status, code) in [(403, 120), (500, 120), (400, 120)] {
        for name in ["v2 find_token", "v2 list_tokens"] {
            let body = json!({ "success": false, "message": "", "error": code, "data": null });
            assert!(!error(name, Answer::json(status, body)).await.is_not_found(), "{status}");
        }
    }
}

#[tokio::test]
async fn only_find_token_reads_a_402_as_not_found() {
    for operation in of_openapi() {
        let found = error_of(operation, Answer::empty(404)).await;
        assert!(found.is_not_found() && !found.is_invalid_input(), "{operation}");
        // Only `find_token` of version 1 reads 402 so.
        if operation.to_string() != "v1 find_token" {
            let body = json!({ "success": false, "message": "", "error": 125, "data": null });
            let found = error_of(operation, Answer::json(402, body)).await;
            assert!(!found.is_not_found() && !found.is_invalid_input(), "{operation}");
        }
    }
}

#[tokio::test]
async fn only_keliweb_reads_a_redirect_to_a_login_page_as_a_failed_login() {
    for operation in operations() {
        let grant = operation.service.name == keliweb::SERVICE.name;
        for status in [302, 303] {
            for login in ["https://example.com/login", "/login", "login?from=%2Foauth", "/it/Login/#top"] {
                let error = error_of(operation, Answer::empty(status).header("location", login)).await;
                assert_eq!(error.is_unauthorized(), grant, "{operation} {status} {login}: {error:?}");
                assert!(!error.is_transient(), "{operation} {status} {login}: {error:?}");
            }
            // A redirect to elsewhere, such as a maintenance page, is temporary.
            for elsewhere in ["https://example.com/", "/maintenance", "/login/help", "/blogin", ""] {
                let error = error_of(operation, Answer::empty(status).header("location", elsewhere)).await;
                assert!(!error.is_unauthorized(), "{operation} {status} {elsewhere}: {error:?}");
                assert_eq!(error.is_transient(), grant, "{operation} {status} {elsewhere}: {error:?}");
            }
        }
        // These say that the service has moved, and nothing about the credentials.
        for status in [301, 307, 308] {
            let error =
                error_of(operation, Answer::empty(status).header("location", "https://example.com/login")).await;
            assert!(!error.is_unauthorized() && !error.is_transient(), "{operation} {status}: {error:?}");
        }
    }
}

#[tokio::test]
async fn an_oauth_error_means_the_same_with_400_and_401() {
    for status in [400, 401] {
        for operation in keliweb::SERVICE.operations {
            let error = error_of(operation, Answer::json(status, json!({ "error": "invalid_client" }))).await;
            assert!(error.is_unauthorized() && !error.is_invalid_grant() && !error.is_invalid_input(), "{error:?}");
        }
        for code in ["invalid_grant", "invalid_credentials"] {
            let error = error("password_grant", Answer::json(status, json!({ "error": code }))).await;
            assert!(error.is_invalid_grant() && error.is_unauthorized(), "{status} {code}: {error:?}");
        }
        let error = error("refresh", Answer::json(status, json!({ "error": "invalid_grant" }))).await;
        assert!(error.is_invalid_grant() && !error.is_unauthorized(), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn a_page_is_recognized_by_its_content_type_too() {
    let found = error("password_grant", Answer::html(200, "Log in first")).await;
    assert!(found.is_transient() && !found.is_unauthorized() && !found.is_decode(), "{found:?}");
    let found = error("get_credit", Answer::html(500, "Oops")).await;
    assert!(found.to_string().ends_with("an HTML page instead of JSON"), "{found}");
}

#[tokio::test]
async fn a_message_joins_the_fields_that_are_present() {
    for (body, said) in [
        (json!({ "hint": "look here" }), "HTTP 403 Forbidden: look here"),
        (json!({ "message": "no", "hint": "look here" }), "HTTP 403 Forbidden: no; look here"),
        (json!({ "error_description": " ", "message": "no" }), "HTTP 403 Forbidden: no"),
        (json!({ "errors": { "a": ["is wrong", "is odd"], "b": [] } }), "HTTP 403 Forbidden: a: is wrong"),
        (json!({ "message": "\u{0}" }), "HTTP 403 Forbidden"),
    ] {
        let error = error("password_grant", Answer::json(403, body.clone())).await;
        assert!(error.to_string().ends_with(said), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_long_code_is_truncated() {
    let body = json!({ "success": false, "message": "no", "error": "e".repeat(500), "data": null });
    let error = error("get_credit", Answer::json(403, body)).await;
    assert_eq!(error.code().unwrap(), "e".repeat(64) + "…");
}

#[tokio::test]
async fn the_debug_of_an_error_has_everything_known() {
    let answer = Answer::json(429, json!({ "message": "slow down", "error": 7 })).header("retry-after", "99");
    let service = FakeService::answering_with(answer).await;
    let shown = format!("{:?}", service.oauth().credit().await.unwrap_err());
    for field in ["RateLimited", "get_credit", "429", "\"7\"", "slow down", "99s"] {
        assert!(shown.contains(field), "{field} is not in {shown}");
    }
}

#[tokio::test]
async fn a_token_type_is_kept_as_it_came() {
    let pair: TokenPair = read("refresh", with(success("refresh"), "token_type", json!("bearer"))).await;
    assert_eq!(pair.token_type(), "bearer");
}

#[tokio::test]
async fn a_token_of_an_unknown_type_is_rejected() {
    for kind in [json!("mac"), json!(""), json!(null), json!(7)] {
        let error = error("refresh", with(success("refresh"), "token_type", kind.clone())).await;
        assert!(error.is_decode() && error.to_string().contains("Bearer"), "{kind}: {error}");
    }
}

#[tokio::test]
async fn credit_keeps_the_decimal_places_that_were_sent() {
    let credit: Credit = read("get_credit", Answer::json(200, json!({ "data": { "credit": " 19.900 " } }))).await;
    assert_eq!((credit.amount().to_string().as_str(), credit.to_string().as_str()), ("19.900", "19.900"));
}

#[tokio::test]
async fn counters_of_unreadable_scopes_are_kept_apart() {
    let data = json!({ "odd": { "counter": 3, "paid": 1, "limit": null } });
    let counters: Counters = read("counters_total", Answer::json(200, json!({ "data": data }))).await;
    assert_eq!(counters.len(), 0);
    let (name, counter) = &counters.unrecognized()[0];
    assert_eq!((name.as_str(), counter), ("odd", &json!({ "counter": 3, "paid": 1, "limit": null })));
}

#[tokio::test]
async fn a_counter_is_found_by_its_scope() {
    let counters: Counters = read("counters_total", success("counters_total")).await;
    let get = |scope: &str| counters.get(&scope.parse().unwrap()).map(|counter| counter.requests());
    assert_eq!(get("GET:imprese.openapi.it/base"), Some(120));
    assert_eq!(get("GET:imprese.openapi.it/other"), None);
}

#[tokio::test]
async fn an_error_names_the_place_of_a_flaw_in_a_response() {
    for (operation, body, said) in [
        ("get_credit", r#"{"data":{}}"#, "missing field `credit` at line 1 column"),
        ("get_credit", r#"{"data":"#, "EOF while parsing a value at line 1 column 8"),
        ("get_credit", r#"{"data":{"credit":1,"credit":1}}"#, "unexpected value at line 1 column"),
        ("v1 list_scopes", r#"{"data":"x"}"#, "expected an array of scopes, or an object with one at line 1 column"),
        ("get_wallet", r#"{"data":{}}"#, "missing field `credit` at line 1 column"),
        ("get_wallet", r#"{"data":null}"#, "missing field `credit`"),
        ("get_wallet", r#"{"data":{"credit":"many"}}"#, "expected an amount at line 1 column"),
        ("v2 create_token", r#"{"token":"t"}"#, "missing field `expireAt` at line 1 column"),
        ("v2 create_token", r#"{"token":"t","expireAt":"soon"}"#, "expected a time at line 1 column"),
    ] {
        let error = error(operation, Answer::json(200, body)).await;
        assert!(
            error.to_string().contains(&format!("the response is not the documented one: {said}")),
            "{body}: {error}"
        );
    }
}

#[tokio::test]
async fn credit_may_be_overdrawn() {
    let credit: Credit = read("get_credit", Answer::json(200, json!({ "data": { "credit": -3 } }))).await;
    assert_eq!(credit.to_string(), "-3.00");
}

/// A program may pass on a response in the service's own form.
#[tokio::test]
async fn credit_and_counters_serialize_in_the_services_form() {
    let credit: Credit = read("get_credit", success("get_credit")).await;
    let written = serde_json::to_string(&credit).unwrap();
    assert_eq!(written, r#"{"credit":423.38}"#);
    assert_eq!(serde_json::from_str::<Credit>(&written).unwrap(), credit);

    let data = json!({
        "POST:ws.ufficiopostale.com/raccomandate": { "counter": 12, "paid": 2, "limit": 10 },
        "GET:imprese.openapi.it/base": { "counter": 7, "paid": 7, "limit": null },
        "GET:sms.openapi.com/root": { "counter": 1, "paid": 0, "limit": false },
    });
    let mut sent = data.clone();
    sent["secret-of-somebody"] = json!({ "token": "5f8711afe4754a532a7a8358" });
    sent["GET:imprese.openapi.it/IT-full"] = json!("5f8711afe4754a532a7a8358");
    let body = json!({ "data": sent, "success": true, "message": "", "error": null });
    let counters: Counters = read("counters_total", Answer::json(200, body)).await;
    assert_eq!((counters.len(), counters.unrecognized().len()), (3, 2));
    assert_eq!(serde_json::to_value(&counters).unwrap(), data);
    let again: Counters = serde_json::from_str(&serde_json::to_string(&counters).unwrap()).unwrap();
    assert!(again.unrecognized().is_empty() && again.iter().eq(&counters));

    // A serialized map has each key once.
    let twice = r#"{"GET:a.it/b":{"counter":1,"paid":0},"get:A.it/b":{"counter":2,"paid":0},"GET:a.it/a":{"counter":3,"paid":0}}"#;
    let twice: Counters = serde_json::from_str(twice).unwrap();
    let once = r#"{"GET:a.it/b":{"counter":1,"paid":0,"limit":null},"GET:a.it/a":{"counter":3,"paid":0,"limit":null}}"#;
    assert_eq!((twice.len(), serde_json::to_string(&twice).unwrap()), (3, once.to_owned()));
    assert_eq!(serde_json::to_string(&Counters::default()).unwrap(), "{}");
}
