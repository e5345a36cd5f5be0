//! No way to print a public value or an error shows a secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt::{Debug, Display};
use std::time::SystemTime;

use common::fake::{Answer, Do, FakeService};
use common::leaks::*;
use common::operations;
use common::services::{self, PLANTED, SERVICES};
use gettone::keliweb;
use gettone::openapi::v2::{RefreshClient, RefreshCredentials, TokenUpdate};
use gettone::openapi::{self, Environment, Period, Ttl, v1::Oauth};
use gettone::{AccessToken, Error, RefreshToken, Retry, Scope, ScopePattern, Secret};
use serde_json::json;

fn shows<T: Debug + Display>(what: &str, value: &T) {
    debugs(what, value);
    assert_clean(what, &format!("{value}\n{value:#}"));
}

fn error(what: &str, error: &Error) {
    assert_clean(what, &services::laws::printed(error));
    // `unwrap` prints nothing but this.
    let debug = format!("{error:?}");
    assert!(debug.starts_with(&format!("Error {{ text: {:?}, kind: ", error.to_string())), "{what}: {debug}");
}

#[tokio::test]
async fn no_value_shows_a_secret() {
    for operation in operations() {
        let (mut failed, mut succeeded) = (0, 0);
        for act in acts(operation) {
            let raw = FakeService::new([act.clone()]).await;
            match call(operation, &raw.url()).await {
                Ok(()) => succeeded += 1,
                Err(found) => {
                    failed += 1;
                    error(&format!("{operation} after {act:?}"), &found);
                }
            }
            assert!(raw.calls() > 0);
        }
        // The good answer and the one with secrets in it succeed; others may, where an operation keeps what it does not recognize.
        assert!(succeeded >= 2 && failed >= 15, "{operation}: {succeeded} and {failed}");
        let service = FakeService::answering_with(Answer::json(200, echoing_success(operation))).await;
        call(operation, &service.url()).await.unwrap();
    }
    let nobody = FakeService::new([Do::Refuse]).await;
    for operation in operations() {
        error("no connection", &call(operation, &nobody.url()).await.unwrap_err());
    }
    for token in ["", "..", &format!("{ACCESS_TOKEN}\\")] {
        let (token, refresh_token) = (AccessToken::new(token), RefreshToken::new(REFRESH_TOKEN));
        error("a bad token", &oauth("http://127.0.0.1:1").delete_token(&token).await.unwrap_err());
        let second = oauth_v2("http://127.0.0.1:1");
        error("a bad token", &second.delete_token(&token).await.unwrap_err());
        error("a bad token", &second.find_token(&token).await.unwrap_err());
        error("a bad token", &second.update_token(&token, TokenUpdate::new().name("x")).await.unwrap_err());
        error("a bad token", &second.refresh_token(&token, &refresh_token).await.unwrap_err());
    }
    let bad = RefreshToken::new(format!("{REFRESH_TOKEN}\n"));
    let token = AccessToken::new(ACCESS_TOKEN);
    error("a bad refresh token", &oauth_v2("http://127.0.0.1:1").refresh_token(&token, &bad).await.unwrap_err());
    for url in [
        format!("https://user:{API_KEY}@example.com"),
        format!("https://example.com/?key={API_KEY}"),
        format!("nonsense {API_KEY}"),
        format!("http://example.com/{API_KEY}"),
    ] {
        let credentials = openapi::Credentials::new("test@example.com", API_KEY);
        error("a bad URL", &Oauth::builder(credentials.clone()).base_url(&url).build().unwrap_err());
        error("a bad URL", &openapi::v2::Oauth::builder(credentials).base_url(&url).build().unwrap_err());
        let pair = RefreshCredentials::new("worker", ACCESS_TOKEN, REFRESH_TOKEN);
        error("a bad URL", &RefreshClient::builder(pair).base_url(url).build().unwrap_err());
    }
    let pair = RefreshCredentials::new("", ACCESS_TOKEN, REFRESH_TOKEN);
    error("bad credentials of a worker", &RefreshClient::builder(pair).build().unwrap_err());
    let line_break = openapi::Credentials::new("test@example.com", format!("{API_KEY}\n"));
    error("a bad key", &Oauth::builder(line_break).build().unwrap_err());
}

#[test]
fn no_other_value_shows_a_secret() {
    debugs("Secret", &Secret::new(API_KEY));
    debugs("AccessToken", &AccessToken::new(ACCESS_TOKEN));
    debugs("RefreshToken", &RefreshToken::new(REFRESH_TOKEN));
    debugs("keliweb::Credentials", &keliweb::Credentials::new("id", CLIENT_SECRET, "test@example.com", PASSWORD));
    debugs("openapi::Credentials", &openapi::Credentials::new("test@example.com", API_KEY));
    let setup = setup("http://127.0.0.1:1");
    debugs("the builder of Oauth", &services::openapi_v1::builder(&PLANTED, &setup));
    debugs("the builder of Fatture", &services::keliweb::builder(&PLANTED, &setup));
    debugs("the builder of v2::Oauth", &services::openapi_v2::builder(&PLANTED, &setup));
    debugs("the builder of RefreshClient", &services::openapi_v2::worker(&PLANTED, &setup));
    let pair = RefreshCredentials::new("worker", ACCESS_TOKEN, REFRESH_TOKEN);
    debugs("RefreshCredentials", &(&pair, pair.clone().expires_at(SystemTime::UNIX_EPOCH)));
    for service in SERVICES {
        debugs(service.name, &(service.connect)(&PLANTED, &setup).unwrap());
    }
    debugs("Environment", &Environment::Sandbox);
    shows("Period", &Period::total());
    shows("Ttl", &Ttl::MAX);
    debugs("Retry", &Retry::default());
    shows("Scope", &"GET:imprese.openapi.it/base".parse::<Scope>().unwrap());
    shows("ScopePattern", &"*:*/*".parse::<ScopePattern>().unwrap());
    let pair: keliweb::TokenPair = serde_json::from_str(&good("refresh")).unwrap();
    assert_eq!(pair.access_token().expose(), ISSUED_ACCESS);
    debugs("TokenPair", &pair);
    let token: openapi::v1::Token = serde_json::from_str(&good("v1 create_token")).unwrap();
    assert_eq!(token.token().expose(), ISSUED_ACCESS);
    debugs("Token", &token);
    let token: openapi::v2::Token = serde_json::from_str(&good("v2 create_token")).unwrap();
    assert_eq!(token.token().expose(), ISSUED_ACCESS);
    assert_eq!(token.refresh_token().map(RefreshToken::expose), Some(ISSUED_REFRESH));
    debugs("v2::Token", &token);
    debugs("RefreshCredentials", &RefreshCredentials::from_token("worker", &token).unwrap());
    // The address of a callback, its data and its headers may be secrets of the account.
    let delivered = json!({ "id": "1", "url": format!("https://example.com/?key={API_KEY}"), "data": { API_KEY: BASIC },
        "custom": [ACCESS_TOKEN], "headers": { "Authorization": REFRESH_TOKEN }, "domain": PASSWORD });
    let delivered: openapi::v2::Callback = serde_json::from_value(delivered).unwrap();
    assert_eq!(delivered.headers().unwrap()["Authorization"], REFRESH_TOKEN);
    debugs("v2::Callback", &delivered);
}

#[tokio::test]
async fn no_life_of_a_cached_token_shows_a_secret() {
    tokens().await;
}

#[tokio::test]
async fn an_error_keeps_the_rest_of_the_services_message() {
    let service = FakeService::answering_with(Answer::json(
        403,
        json!({ "message": format!("key {API_KEY} has no rights"), "error": 7 }),
    ))
    .await;
    let error = oauth(&service.url()).credit().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Openapi.it Oauth get_credit: HTTP 403 Forbidden, code 7: key [redacted] has no rights"
    );
    let error = oauth_v2(&service.url()).wallet().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Openapi.it Oauth v2 get_wallet: HTTP 403 Forbidden, code 7: key [redacted] has no rights"
    );
    assert_eq!(service.calls(), 2);
}

#[test]
fn a_secret_is_equal_to_itself_and_nothing_else() {
    let secret = Secret::new(API_KEY);
    assert_eq!(secret, secret.clone());
    assert_eq!(secret, Secret::from(API_KEY.to_owned()));
    for other in ["", "api-key-31e", "api-key-31e9", "api-key-31e88"] {
        assert_ne!(secret, Secret::new(other));
    }
}

/// A key without quotes in a file of settings, for example.
#[test]
fn a_secret_of_another_type_is_an_error_that_does_not_show_it() {
    for json in ["271828182845", "-271828182845", "2718281828459045235360287471352", "2718.281828", "true", "[271828]"]
    {
        let errors = [
            serde_json::from_str::<Secret>(json).unwrap_err().to_string(),
            serde_json::from_str::<AccessToken>(json).unwrap_err().to_string(),
            serde_json::from_str::<RefreshToken>(json).unwrap_err().to_string(),
            serde_json::from_value::<Secret>(serde_json::from_str(json).unwrap()).unwrap_err().to_string(),
        ];
        for error in errors {
            assert!(
                error.contains("expected a string") && !error.contains("2718") && !error.contains("true"),
                "{error}"
            );
        }
    }
}

/// Returns the error of a password grant that the service rejects with this message.
async fn refusal(secret: &str, password: &str, message: &str) -> String {
    let service = FakeService::answering_with(Answer::json(403, json!({ "message": message }))).await;
    let credentials = keliweb::Credentials::new("id", secret, "name", password);
    let fatture = keliweb::Fatture::builder(credentials).base_url(service.url()).build().unwrap();
    fatture.password_grant().await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_secret_that_begins_with_another_is_redacted_whole() {
    for (secret, password) in [("hunter2-and-more", "hunter2"), ("hunter2", "hunter2-and-more")] {
        let error = refusal(secret, password, "no: hunter2-and-more, hunter2").await;
        assert!(error.ends_with("no: [redacted], [redacted]"), "{error}");
    }
}

#[tokio::test]
async fn a_secret_in_the_escapes_of_php_is_redacted() {
    for message in [
        r#"no: {"password":"pass\/\u00e8\"&\ud83e\udd80"}"#,
        r#"no: {"password":"pass/&egrave;&quot;&amp;🦀"}"#,
        r#"no: {"password":"pass/&#232;&#034;&#38;&#129408;"}"#,
        r#"no: {"password":"pass\/&#xE8;%22&amp;\ud83e\udd80"}"#,
    ] {
        let error = refusal("client-secret", "pass/è\"&🦀", message).await;
        assert!(error.ends_with(r#": no: {"password":"[redacted]"}"#), "{message}: {error}");
    }
}

/// Half of a surrogate pair does not stop the redaction of the rest.
#[tokio::test]
async fn a_secret_is_redacted_in_a_message_that_is_not_valid_unicode() {
    for body in [
        r#"{"message":"\ud83e pass\/\u00e8-77aa"}"#,
        r#"{"message":"\ud83e pass\\\/\\u00e8-77aa"}"#,
        r#"{"message":"\ud83e pass&#47;&egrave;-77aa"}"#,
        r#"{"message":"\udd80\ud83e pass%252F%25C3%25A8-77aa"}"#,
        r#"{"errors":{"\ud83e pass\/\u00e8-77aa":["[redacted]"]}}"#,
        r#"{"\ud83e":1,"message":"\ud83e pass\/\u00e8-77aa"}"#,
    ] {
        let service = FakeService::answering_with(Answer::json(403, body)).await;
        let credentials = keliweb::Credentials::new("id", "client-secret", "name", "pass/è-77aa");
        let fatture = keliweb::Fatture::builder(credentials).base_url(service.url()).build().unwrap();
        let error = fatture.password_grant().await.unwrap_err().to_string();
        assert!(error.contains(": \u{fffd} [redacted]") && error.ends_with("[redacted]"), "{body}: {error}");
        assert_eq!(service.calls(), 1);
    }
}

#[test]
fn unrecognized_entries_are_counted_and_not_shown() {
    let list: gettone::ScopeList = serde_json::from_value(json!(["GET:a.it/b", API_KEY, { BASIC: 1 }])).unwrap();
    assert_eq!(format!("{list:?}"), "ScopeList { scopes: [Scope(GET:a.it/b)], unrecognized: 2 entries }");
    assert_eq!(list.unrecognized()[0], API_KEY);
    let data = json!({ API_KEY: BASIC, "GET:a.it/b": API_KEY });
    let counters: openapi::v1::Counters = serde_json::from_value(data).unwrap();
    assert_eq!(format!("{counters:?}"), "Counters { known: [], unrecognized: 2 entries }");
    assert_eq!(counters.unrecognized().len(), 2);
    let counters: openapi::v1::Counters = serde_json::from_value(json!({ API_KEY: 1 })).unwrap();
    assert_eq!(format!("{counters:?}"), "Counters { known: [], unrecognized: 1 entry }");
    assert_eq!(format!("{:?}", openapi::v1::TokenList::default()), "TokenList { tokens: [], unrecognized: 0 entries }");
    let page = openapi::v2::Page::<openapi::v2::Token>::default();
    assert_eq!(format!("{page:?}"), "Page { entries: [], unrecognized: 0 entries, next: None }");
    let stats = json!({ "scopes": { API_KEY: BASIC, "GET:a.it/b": API_KEY } });
    let stats: openapi::v2::ApiStats = serde_json::from_value(stats).unwrap();
    assert!(format!("{stats:?}").ends_with("scopes: [], unrecognized: 2 entries }"), "{stats:?}");
    assert_eq!(stats.unrecognized().len(), 2);
}

#[tokio::test]
async fn an_api_key_with_colons_is_redacted_whole() {
    let service =
        FakeService::answering_with(Answer::json(403, json!({ "message": "key first:second:third is wrong" }))).await;
    let credentials = openapi::Credentials::new("test@example.com", "first:second:third");
    let error = Oauth::builder(credentials).base_url(service.url()).build().unwrap().credit().await.unwrap_err();
    assert!(error.to_string().ends_with(": key [redacted] is wrong"), "{error}");
}

#[tokio::test]
async fn a_token_is_redacted_below_any_base_url() {
    let message = format!("no {ACCESS_TOKEN} here");
    let service = FakeService::answering_with(Answer::json(403, json!({ "message": message }))).await;
    let oauth = oauth(&format!("{}/token/v1", service.url()));
    let error = oauth.delete_token(&AccessToken::new(ACCESS_TOKEN)).await.unwrap_err();
    assert!(error.to_string().ends_with(": no [redacted] here"), "{error}");
    let second = oauth_v2(&format!("{}/tokens/v2", service.url()));
    let error = second.delete_token(&AccessToken::new(ACCESS_TOKEN)).await.unwrap_err();
    assert!(error.to_string().ends_with(": no [redacted] here"), "{error}");
}

/// A `PATCH` has two secrets, in its path and in a header.
#[tokio::test]
async fn both_secrets_of_a_patch_are_redacted() {
    let message = format!("no {ACCESS_TOKEN}, {REFRESH_TOKEN}, {API_KEY} here");
    let service = FakeService::answering_with(Answer::json(401, json!({ "message": message, "error": 130 }))).await;
    let (second, token) = (oauth_v2(&service.url()), AccessToken::new(ACCESS_TOKEN));
    let error = second.refresh_token(&token, &RefreshToken::new(REFRESH_TOKEN)).await.unwrap_err();
    // A refresh has no API key.
    assert!(error.to_string().ends_with(&format!(": no [redacted], [redacted], {API_KEY} here")), "{error}");
    let error = second.update_token(&token, TokenUpdate::new().name("x")).await.unwrap_err();
    assert!(error.to_string().ends_with(&format!(": no [redacted], {REFRESH_TOKEN}, [redacted] here")), "{error}");
}
