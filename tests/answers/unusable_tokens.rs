//! Tokens that cannot be sent: the client rejects them when it reads them, and never caches or stores them.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use gettone::keliweb::Fatture;
use gettone::openapi::Ttl;
use gettone::openapi::v2::{NewToken, PageRange};
use gettone::store::{MemoryStore, StoredToken};
use gettone::{Error, ScopeSet};
use serde_json::{Value, json};

use crate::common::fake::{Answer, FakeService};
use crate::common::services::{keliweb, openapi_v1, operation};
use crate::common::store::put;
use crate::common::{self, Still, http, iso, now, unix};

/// Longer than any pause after an unreadable response.
const PAUSE: Duration = Duration::from_secs(3 * 60 * 60);

/// Lists unusable tokens, each with the reason in the error.
fn unusable() -> Vec<(String, &'static str)> {
    const NO_HEADER: &str = "the token has a character that is not allowed in a header";
    const NO_PATH: &str = "the token cannot be part of a URL path";
    const TOO_LONG: &str = "the token is longer than 8 KiB";
    let table: Vec<(String, &str)> = [
        ("", "the token is empty"),
        ("s3cret-1\n", NO_HEADER),
        ("s3cret-1\r\nx-injected: 1", NO_HEADER),
        ("\0s3cret-1", NO_HEADER),
        ("s3cret-1 s3cret-1", NO_HEADER),
        ("s3cret-1\u{7f}", NO_HEADER),
        ("s3cret-\u{e8}", NO_HEADER),
        ("\u{feff}s3cret-1", NO_HEADER),
        ("s3cret-\u{2028}", NO_HEADER),
        (" ", NO_HEADER),
        (".", NO_PATH),
        ("..", NO_PATH),
        ("s3cret\\1", NO_PATH),
        // As the message of a library would name a value.
        ("s3cret-1, expected s3cret-1", NO_HEADER),
        ("missing field `s3cret-1`", NO_HEADER),
    ]
    .map(|(token, rule)| (token.to_owned(), rule))
    .into();
    let long =
        [8 * 1024 + 1, 1024 * 1024].map(|length| ("s3cret-1".repeat(length / 8 + 1)[..length].to_owned(), TOO_LONG));
    [table, long.into()].concat()
}

/// The operations of Openapi.it that return a token, and whether the response is a list.
const OPENAPI: [(&str, bool); 8] = [
    ("v1 create_token", false),
    ("v1 find_token", true),
    ("replace_token", true),
    ("v1 update_token", true),
    ("v2 create_token", false),
    ("v2 find_token", false),
    ("v2 update_token", false),
    ("refresh_token", false),
];

/// Returns a token as both versions write it.
fn entry(token: &Value) -> Value {
    let mut entry = openapi_v1::token(token.clone(), ["GET:a.it/b"], unix(now()) + 3600);
    entry["expireAt"] = json!(iso(now() + Duration::from_secs(3600)));
    entry
}

fn pair(access: &str, refresh: impl Into<Value>) -> Answer {
    Answer::json(200, keliweb::pair(access, refresh))
}

fn scopes() -> ScopeSet {
    ScopeSet::parse(["GET:a.it/b"]).unwrap()
}

fn assert_refused(error: &Error, rule: &str) {
    assert!(error.is_decode() && !error.is_backing_off(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("HTTP 200 OK: the response is not the documented one: {rule} at line 1 column ")),
        "{text}"
    );
    assert!(!format!("{error:?} {text}").contains("s3cret"), "{text}");
}

#[tokio::test]
async fn every_operation_that_returns_a_token_rejects_one_that_cannot_be_sent() {
    for (bad, rule) in unusable() {
        for (name, is_list) in OPENAPI {
            let entry = entry(&json!(bad));
            let body = if is_list { json!({ "data": [entry] }) } else { entry };
            let service = FakeService::answering_with(Answer::json(200, body)).await;
            let error = service.call(operation(name)).await.unwrap_err();
            assert!(error.is_decode(), "{name}: {error:?}");
            if !is_list {
                assert_refused(&error, rule);
            }
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
            assert_eq!(service.calls(), 1, "{name}");
        }
        for operation in keliweb::SERVICE.operations {
            let service = FakeService::answering_with(pair(&bad, "r")).await;
            assert_refused(&service.call(operation).await.unwrap_err(), rule);
            assert_eq!(service.calls(), 1);
        }
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_does_not_spoil_the_others_in_a_list() {
    let bad: Vec<String> = unusable().into_iter().map(|(bad, _)| bad).collect();
    let entries = bad.iter().flat_map(|bad| [entry(&json!(bad)), entry(&json!("good"))]);
    let service = FakeService::answering_with(Answer::json(200, json!({ "data": entries.collect::<Vec<_>>() }))).await;
    let tokens = service.oauth().list_tokens().await.unwrap();
    assert!(tokens.iter().all(|token| token.token().expose() == "good"));
    assert_eq!((tokens.len(), tokens.unrecognized().len(), service.calls()), (bad.len(), bad.len(), 1));
    assert_eq!(serde_json::from_str::<Value>(tokens.unrecognized()[1].expose()).unwrap(), entry(&json!(bad[1])));

    let page = service.oauth_v2().list_tokens(PageRange::default()).await.unwrap();
    assert!(page.iter().all(|token| token.token().expose() == "good"));
    assert_eq!((page.len(), page.unrecognized().len(), service.calls()), (bad.len(), bad.len(), 2));
    assert_eq!(serde_json::from_str::<Value>(page.unrecognized()[1].expose()).unwrap(), entry(&json!(bad[1])));
    assert!(!format!("{page:?} {page:#?}").contains("s3cret"), "{page:?}");
}

#[tokio::test]
async fn a_token_of_openapi_that_cannot_be_sent_is_never_cached() {
    for (bad, rule) in unusable() {
        let made = AtomicUsize::new(0);
        let (bad_text, bad_entry) = (bad.clone(), entry(&json!(bad)));
        let service = FakeService::deciding(move |asked| match (asked.method.as_str(), made.load(SeqCst)) {
            // The client searches for the token of an unreadable response.
            ("GET", _) => Answer::json(200, json!({ "data": [bad_entry] })),
            // If it finds none, it requests another.
            (_, 0 | 1) => {
                made.fetch_add(1, SeqCst);
                common::minted(&bad_text, &["GET:a.it/b"])
            }
            _ => common::minted("good", &["GET:a.it/b"]),
        })
        .await;
        let store = MemoryStore::new();
        let (builder, clock) = common::oauth(&service.url()).http_client(http()).store(store.clone()).still();
        let oauth = builder.build().unwrap();
        assert_refused(&oauth.token(&scopes()).await.unwrap_err(), rule);
        let calls = service.calls();
        for _ in 0..3 {
            let error = oauth.token(&scopes()).await.unwrap_err();
            assert!(error.is_decode() && error.is_backing_off(), "{error:?}");
        }
        oauth.wait_idle().await;
        // It searches for the token, and has nothing to delete.
        oauth.revoke_created().await.unwrap();
        assert_eq!((calls, service.calls()), (3, 4), "{bad:?}");
        clock.advance(PAUSE);
        assert_eq!(oauth.token(&scopes()).await.unwrap().expose(), "good");
        oauth.wait_idle().await;
        assert!(!format!("{store:?}").contains("s3cret"));
        assert!(service.requests().iter().all(|asked| asked.method != "DELETE"));
    }
}

#[tokio::test]
async fn a_token_of_version_2_that_cannot_be_sent_is_never_cached() {
    for (bad, rule) in unusable() {
        let made = AtomicUsize::new(0);
        let bad_entry = entry(&json!(bad));
        let service = FakeService::deciding(move |asked| match (asked.method.as_str(), made.load(SeqCst)) {
            // The client searches for the token of an unreadable response.
            ("GET", _) => Answer::json(200, json!({ "data": [bad_entry] })),
            // If it finds none, it requests another.
            (_, 0 | 1) => {
                made.fetch_add(1, SeqCst);
                Answer::json(200, &bad_entry)
            }
            _ => Answer::json(200, entry(&json!("good"))),
        })
        .await;
        let store = MemoryStore::new();
        let (builder, clock) = common::oauth_v2(&service.url()).http_client(http()).store(store.clone()).still();
        let oauth = builder.build().unwrap();
        assert_refused(&oauth.token(&scopes()).await.unwrap_err(), rule);
        assert!(oauth.token(&scopes()).await.unwrap_err().is_backing_off());
        oauth.wait_idle().await;
        assert_eq!(service.calls(), 3, "{bad:?}");
        clock.advance(PAUSE);
        // The service's token is over by then, so the client does not use it longer than the service says.
        assert_eq!(
            oauth.create_token(NewToken::new(&scopes(), Ttl::days(1).unwrap())).await.unwrap().token().expose(),
            "good"
        );
        assert!(!format!("{store:?}").contains("s3cret"));
        assert!(service.requests().iter().all(|asked| asked.method != "DELETE"));
    }
}

/// It goes into a header, as the access token does.
#[tokio::test]
async fn a_bad_refresh_token_of_version_2_does_not_spoil_the_access_token() {
    let unsendable = ["r\r\nx-injected: 1", "r r", "r\u{e8}", "r\0"];
    let odd = [json!(""), json!(null), json!(7), json!(["r"]), json!({}), json!(true), json!("r".repeat(8 * 1024 + 1))];
    for bad in odd.into_iter().chain(unsendable.map(Value::from)) {
        for name in ["v2 create_token", "v2 find_token", "v2 update_token", "refresh_token"] {
            let mut entry = entry(&json!("good"));
            entry["refreshToken"] = bad.clone();
            let service = FakeService::answering_with(Answer::json(200, entry)).await;
            let shown = service.call(operation(name)).await.unwrap().text();
            assert!(shown.starts_with("good") && shown.contains("refresh -,"), "{name} {bad}: {shown}");
        }
    }
    let service = FakeService::answering_with(Answer::empty(500)).await;
    for bad in unsendable {
        let error = service.oauth_v2().refresh_token(&"t".into(), &bad.into()).await.unwrap_err();
        assert!(error.is_invalid_input() && error.operation() == Some("refresh_token"), "{error:?}");
        assert!(error.to_string().ends_with("the refresh token has a character that is not allowed in a header"));
    }
    assert_eq!(service.calls(), 0);
}

#[tokio::test]
async fn a_request_gets_the_valid_token_that_follows_a_bad_one() {
    for (bad, rule) in unusable() {
        let service = FakeService::answering([pair(&bad, Value::Null), pair("good", Value::Null)]).await;
        let (builder, clock) = common::fatture(&service.url()).http_client(http()).still();
        let fatture = builder.build().unwrap();
        let mut request = http().get(service.url()).build().unwrap();
        assert_refused(&fatture.authorize(&mut request).await.unwrap_err(), rule);
        let paused = fatture.authorize(&mut request).await.unwrap_err();
        assert!(paused.is_decode() && paused.is_backing_off(), "{paused:?}");
        assert!(request.headers().is_empty());
        assert_eq!(service.calls(), 1, "{bad:?}");
        clock.advance(PAUSE);
        assert_eq!(fatture.authorize(&mut request).await.unwrap().expose(), "good");
        assert_eq!((request.headers()["authorization"].to_str().unwrap(), service.calls()), ("Bearer good", 2));
    }
}

#[tokio::test]
async fn after_a_refresh_returns_a_bad_token_the_password_is_used() {
    let service = FakeService::answering([pair("a1", "r1"), pair("", "r2"), pair("a3", "r3")]).await;
    let (builder, clock) = common::fatture(&service.url()).http_client(http()).still();
    let fatture = builder.build().unwrap();
    assert_eq!(fatture.token().await.unwrap().expose(), "a1");
    clock.advance(Duration::from_secs(2 * 60 * 60));
    assert_eq!(fatture.token().await.unwrap().expose(), "a3");
    let grants: Vec<_> = service.requests().iter().map(|asked| asked.form()[2].1.clone()).collect();
    assert_eq!(grants, ["password", "refresh_token", "password"]);
}

#[tokio::test]
async fn a_bad_refresh_token_does_not_spoil_the_access_token() {
    let long = |length: usize| json!("r".repeat(length));
    for bad in
        [json!(""), json!(null), json!(7), json!(["r"]), json!({}), json!(true), long(8 * 1024 + 1), long(1 << 20)]
    {
        let service = FakeService::answering_with(pair("good", bad)).await;
        let (builder, clock) = common::fatture(&service.url()).http_client(http()).still();
        let fatture: Fatture = builder.build().unwrap();
        let given = fatture.password_grant().await.unwrap();
        assert_eq!((given.access_token().expose(), given.refresh_token()), ("good", None));
        assert_eq!(fatture.token().await.unwrap().expose(), "good");
        clock.advance(Duration::from_secs(2 * 60 * 60));
        assert_eq!(fatture.token().await.unwrap().expose(), "good");
        // Without a refresh token the client sends the password.
        assert!(service.requests().iter().all(|asked| asked.body.contains("grant_type=password")));
        assert_eq!(service.calls(), 3);
    }
    // Half of a surrogate pair is not valid text.
    let body = r#"{"token_type":"Bearer","expires_in":1,"access_token":"good","refresh_token":"\ud800"}"#;
    let service = FakeService::answering_with(Answer::json(200, body)).await;
    assert_eq!(service.fatture().password_grant().await.unwrap().refresh_token(), None);
    // A refresh token is sent in a form, which can have any character.
    for odd in [" r\r\n\u{e8}\\", "..", &"r".repeat(8 * 1024)] {
        let service = FakeService::answering_with(pair("good", odd)).await;
        let given = service.fatture().password_grant().await.unwrap();
        assert_eq!(given.refresh_token().unwrap().expose(), odd);
        assert_eq!(service.calls(), 1);
    }
}

fn record(access: &str, refresh: &str) -> Result<StoredToken, Error> {
    let fields = json!({ "version": 1, "access_token": access, "obtained_at": 0, "expires_at": 1, "refresh_token": refresh,
        "refresh_expires_at": 253_402_300_799_000_u64 });
    StoredToken::from_json(&fields.to_string())
}

#[test]
fn a_stored_token_that_cannot_be_sent_is_rejected() {
    for (token, rule) in unusable() {
        let error = record(&token, "r").unwrap_err();
        assert!(error.is_decode() && error.to_string().contains(rule), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_stored_refresh_token_that_cannot_be_sent_is_not_sent() {
    for (refresh, is_usable) in [("r\n", true), ("", false), (&*"r".repeat(8 * 1024 + 1), false)] {
        let (service, store) = (FakeService::answering([pair("good", "r2")]).await, MemoryStore::new());
        let name = format!("keliweb-fatture {:?} {:?} {:?}", service.url(), common::services::CLIENT_ID, common::EMAIL);
        put(&store, &name, &record("t", refresh).unwrap()).await.unwrap();
        let (builder, _) = common::fatture(&service.url()).http_client(http()).store(store).still();
        assert_eq!(builder.build().unwrap().token().await.unwrap().expose(), "good");
        assert_eq!(service.requests().len(), 1);
        let form = service.requests()[0].form();
        let sent = form.iter().find(|(name, _)| name == "refresh_token").map(|(_, token)| token.as_str());
        assert_eq!(sent, is_usable.then_some(refresh));
    }
}
