//! Which tokens the client creates, and whom each of them serves.

use gettone::openapi::v2::{Oauth, TokenLimits};
use gettone::openapi::{Credentials, Decimal, Ttl};
use gettone::store::{FileStore, MemoryStore};
use gettone::{Error, Scope, ScopeSet};
use serde_json::json;
use tokio::task::JoinSet;

use crate::account_v2::{FakeAccount, Fault};
use crate::common::fake::{Answer, FakeService};
use crate::common::{BASIC, http};
use crate::{X, Y, enabled, set, token};

#[tokio::test]
async fn each_token_has_a_name_of_its_own_and_the_lifetime_and_limits_that_were_set() {
    let service = FakeAccount::start().await;
    let limits = TokenLimits::new().wallet_amount(Decimal::from(5)).ip([[203, 0, 113, 10].into()]);
    let builder = service.builder().token_name("invoices").ttl(Ttl::hours(2).unwrap()).limits(limits);
    let oauth = builder.build().unwrap();
    for (number, scopes) in [&[X][..], &[Y], &[X, Y]].into_iter().enumerate() {
        assert_eq!(token(&oauth, scopes).await, format!("t{}", number + 1));
    }
    let bodies = service.bodies("POST /tokens");
    let mut names = Vec::new();
    for (body, scopes) in bodies.into_iter().zip([&[X][..], &[Y], &[X, Y]]) {
        let name = body["name"].as_str().unwrap().to_owned();
        let limits = json!({ "walletAmount": 5.0, "ip": ["203.0.113.10"] });
        assert_eq!(body, json!({ "scopes": scopes, "ttl": 7200, "name": name, "limits": limits }));
        let random = name.strip_prefix("invoices-").unwrap();
        assert!(random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        names.push(name);
    }
    names.dedup();
    assert_eq!(names.len(), 3);
    assert!(service.state().asked.iter().all(|asked| asked.authorization == BASIC));
}

#[tokio::test]
async fn without_settings_a_token_is_created_for_a_day_and_without_limits() {
    let service = FakeAccount::start().await;
    token(&service.oauth(), &[X]).await;
    let body = service.bodies("POST /tokens").remove(0);
    assert!(body["name"].as_str().unwrap().starts_with("gettone-"), "{body}");
    assert_eq!(body, json!({ "scopes": [X], "ttl": 86_400, "name": body["name"] }));
}

#[tokio::test]
async fn a_hit_sends_nothing() {
    for wraps in [false, true] {
        let service = FakeAccount::start().await;
        service.state().wraps = wraps;
        let (oauth, scopes) = (service.oauth(), set(&[X]));
        let handle = oauth.token_for(&scopes);
        for _ in 0..230 {
            assert_eq!(oauth.token(&scopes).await.unwrap().expose(), "t1");
            assert_eq!(handle.get().await.unwrap().expose(), "t1");
            assert_eq!(oauth.clone().token(&scopes).await.unwrap().expose(), "t1");
            service.seconds(360);
        }
        assert_eq!(service.requests(), ["POST /tokens"]);
    }
}

#[tokio::test]
async fn a_thousand_callers_make_one_request() {
    let service = FakeAccount::start().await;
    service.state().catalog = enabled(&[X]);
    let oauth = service.oauth();
    let gate = service.hold("POST /tokens", false);
    let callers: JoinSet<String> = (0..1000)
        .map(|number| {
            let oauth = oauth.clone();
            let scopes = if number % 2 == 0 { set(&["GET:a.it/*"]) } else { set(&["GET:a.it/*", "GET:a.it/*"]) };
            async move { oauth.token(&scopes).await.unwrap().expose().to_owned() }
        })
        .collect();
    service.arrived(1).await;
    gate.add_permits(10);
    assert_eq!(callers.join_all().await, ["t1"; 1000]);
    assert_eq!(service.requests(), ["GET /scopes", "POST /tokens"]);
}

#[tokio::test]
async fn a_thousand_callers_share_one_failure() {
    let service = FakeAccount::start().await;
    service.state().always = Some(("POST", Fault::Code(422, 90)));
    let oauth = service.oauth();
    let callers: JoinSet<Error> = (0..1000)
        .map(|_| {
            let oauth = oauth.clone();
            async move { oauth.token(&set(&[X])).await.unwrap_err() }
        })
        .collect();
    assert!(callers.join_all().await.iter().all(|error| error.is_invalid_input() && error.code() == Some("90")));
    assert_eq!(service.requests(), ["POST /tokens"]);
}

#[tokio::test]
async fn a_wildcard_is_requested_as_the_scopes_that_the_account_may_use_and_cached_as_it_is() {
    let service = FakeAccount::start().await;
    service.state().catalog = enabled(&["POST:a.it/x", X, Y, "GET:a.it/z"]);
    service.state().catalog[3].1 = false;
    let oauth = service.oauth();
    for _ in 0..3 {
        assert_eq!(token(&oauth, &["*:a.it/*"]).await, "t1");
    }
    assert_eq!(service.requests(), ["GET /scopes", "POST /tokens"]);
    assert_eq!(service.bodies("POST")[0]["scopes"], json!([X, "POST:a.it/x"]));
    // It serves what it was granted, and the patterns that it was requested for.
    for less in [&[X][..], &["POST:a.it/x", X], &["GET:a.it/*"]] {
        assert_eq!(token(&oauth, less).await, "t1", "{less:?}");
    }
    assert_eq!(service.take_requests().len(), 2);
    // Not enabled when the token was created.
    assert_eq!(token(&oauth, &["GET:a.it/z"]).await, "t2");
    // A token for one endpoint serves no pattern that covers it.
    assert_eq!(token(&oauth, &[Y]).await, "t3");
    assert_eq!(token(&oauth, &["GET:b.it/*"]).await, "t4");
    assert_eq!(token(&oauth, &[X, Y]).await, "t5");
    assert_eq!(service.requests(), ["POST /tokens", "POST /tokens", "GET /scopes", "POST /tokens", "POST /tokens"]);
}

#[tokio::test]
async fn a_scope_beside_a_wildcard_is_requested_by_name() {
    let service = FakeAccount::start().await;
    service.state().catalog = enabled(&[X]);
    let oauth = service.oauth();
    assert_eq!(token(&oauth, &["GET:a.it/*", "GET:a.it/unlisted", Y]).await, "t1");
    assert_eq!(service.bodies("POST")[0]["scopes"], json!(["GET:a.it/unlisted", X, Y]));
    for one in [&["GET:a.it/unlisted"][..], &[Y], &[X], &["GET:a.it/*"]] {
        assert_eq!(token(&oauth, one).await, "t1", "{one:?}");
    }
    assert_eq!(service.count("POST"), 1);
}

#[tokio::test]
async fn a_token_for_a_path_serves_no_path_below_it() {
    let service = FakeAccount::start().await;
    let oauth = service.oauth();
    for (number, scope) in [X, "GET:a.it/x/y", "GET:a.it/xy", "POST:a.it/x"].into_iter().enumerate() {
        assert_eq!(token(&oauth, &[scope]).await, format!("t{}", number + 1));
    }
}

#[tokio::test]
async fn a_wildcard_for_nothing_is_an_error_that_names_the_nearest_scopes_and_backs_off() {
    let service = FakeAccount::start().await;
    service.state().catalog = enabled(&["GET:company.openapi.com/IT-start", Y, X, "POST:c.it/z"]);
    let (oauth, scopes) = (service.oauth(), set(&[X, "GET:compani.openapi.com/*"]));
    let error = oauth.token(&scopes).await.unwrap_err();
    assert_eq!(error.not_granted(), Some(&set(&["GET:compani.openapi.com/*"])));
    assert_eq!((error.operation(), error.service()), (Some("create_token"), Some("Openapi.it Oauth v2")));
    let text = error.to_string();
    assert!(text.contains("nearest are GET:company.openapi.com/IT-start, "), "{text}");
    assert!(!error.is_transient() && !error.is_invalid_input() && !error.is_ambiguous());
    for _ in 0..299 {
        service.seconds(1);
        let error = oauth.token(&scopes).await.unwrap_err();
        assert!(error.is_backing_off() && error.to_string().contains("IT-start"), "{error}");
    }
    assert_eq!(service.requests(), ["GET /scopes"]);
    // Once a service is enabled, the next attempt finds it.
    service.state().catalog.extend(enabled(&["GET:compani.openapi.com/w"]));
    service.seconds(301);
    assert_eq!(token(&oauth, &[X, "GET:compani.openapi.com/*"]).await, "t1");
}

#[tokio::test]
async fn a_catalog_that_cannot_be_read_is_an_error_and_nothing_is_created() {
    for (status, is_transient) in [(503, true), (500, false), (404, false)] {
        let service = FakeAccount::start().await;
        service.state().catalog = enabled(&[X]);
        service.state().always = Some(("GET /scopes", Fault::Status(status)));
        let oauth = service.oauth();
        let error = oauth.token(&set(&["GET:a.it/*"])).await.unwrap_err();
        assert_eq!((error.operation(), error.is_transient()), (Some("list_scopes"), is_transient), "{error}");
        assert_eq!(service.count("POST"), 0);
        service.state().always = None;
        service.hours(1);
        assert_eq!(token(&oauth, &["GET:a.it/*"]).await, "t1");
    }
}

#[tokio::test]
async fn missing_scopes_are_an_error_that_lists_them_and_leaves_no_token_behind() {
    for wildcard in [false, true] {
        let service = FakeAccount::start().await;
        service.state().catalog = enabled(&[X, "POST:a.it/x"]);
        service.state().denied = vec!["POST:a.it/x"];
        let scopes: &[&str] = if wildcard { &["*:a.it/*"] } else { &[X, "POST:a.it/x"] };
        let oauth = service.oauth();
        let error = oauth.token(&set(scopes)).await.unwrap_err();
        assert_eq!(error.not_granted(), Some(&set(&["POST:a.it/x"])));
        assert_eq!(error.to_string(), "Openapi.it Oauth v2 create_token: not granted: POST:a.it/x");
        assert_eq!(service.requests().last().unwrap(), "DELETE /tokens/t1");
        assert!(service.living().is_empty());
        // The next call requests no second token.
        assert!(oauth.token(&set(scopes)).await.unwrap_err().is_backing_off());
        assert_eq!(service.count("POST"), 1);
    }
}

#[tokio::test]
async fn an_answer_without_scopes_counts_as_granted_as_requested() {
    let service = FakeAccount::start().await;
    service.state().omits = vec!["scopes", "refreshToken", "limits"];
    service.state().catalog = enabled(&[X, "POST:a.it/x"]);
    let oauth = service.oauth();
    assert_eq!(token(&oauth, &["*:a.it/*"]).await, "t1");
    for less in [&[X][..], &["POST:a.it/x"], &["GET:a.it/*"]] {
        assert_eq!(token(&oauth, less).await, "t1", "{less:?}");
    }
    assert_eq!(token(&oauth, &[Y, X]).await, "t2");
    assert_eq!(token(&oauth, &[Y]).await, "t2");
}

#[tokio::test]
async fn the_services_clock_does_not_matter() {
    for ahead in [0, 7_200, 400 * 86_400] {
        let service = FakeAccount::start().await;
        service.state().ahead = ahead;
        let oauth = service.builder().ttl(Ttl::seconds(1_000).unwrap()).build().unwrap();
        for expected in ["t1", "t2"] {
            for _ in 0..10 {
                assert_eq!(token(&oauth, &[X]).await, expected, "{ahead} s ahead");
                service.seconds(89);
            }
            service.seconds(110);
        }
        assert_eq!(service.requests(), ["POST /tokens", "POST /tokens"]);
    }
}

#[tokio::test]
async fn an_empty_set_of_scopes_is_an_error_and_sends_no_request() {
    let service = FakeAccount::start().await;
    let oauth = service.oauth();
    for error in [
        oauth.token(&ScopeSet::default()).await.unwrap_err(),
        oauth.token_for(&ScopeSet::default()).get().await.unwrap_err(),
    ] {
        assert!(error.is_invalid_input() && error.to_string().contains("the set of scopes is empty"), "{error}");
    }
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn wrong_credentials_are_sent_once() {
    for fault in [Fault::Status(401), Fault::Status(403), Fault::Code(401, 140)] {
        let service = FakeAccount::start().await;
        service.state().always = Some(("", fault));
        let oauth = service.oauth();
        for number in 0..100 {
            let scopes = set(&[&format!("GET:a.it/x{}", number % 7)]);
            assert!(oauth.token(&scopes).await.unwrap_err().is_unauthorized());
            service.seconds(1);
        }
        assert_eq!(service.requests(), ["POST /tokens"]);
    }
}

#[tokio::test]
async fn each_account_environment_and_set_of_limits_has_its_own_tokens_in_one_store() {
    let (one, other) = (FakeAccount::start().await, FakeAccount::start().await);
    let store = MemoryStore::new();
    for service in [&one, &other] {
        token(&service.builder().store(store.clone()).build().unwrap(), &[X]).await;
        assert_eq!(service.requests(), ["POST /tokens"]);
    }
    let limited = |requests| {
        let limits = TokenLimits::new().total_requests(requests);
        one.builder().store(store.clone()).limits(limits).build().unwrap()
    };
    for (requests, expected) in [(10, "t2"), (20, "t3"), (10, "t2")] {
        assert_eq!(token(&limited(requests), &[X]).await, expected);
    }
    // Version 1 has records of its own.
    let credentials = Credentials::new(crate::common::EMAIL, crate::common::API_KEY);
    let builder = gettone::openapi::v1::Oauth::builder(credentials).base_url(one.url()).http_client(http());
    let first = builder.clock(one.clock.clone()).store(store.clone()).build().unwrap();
    first.token(&set(&[X])).await.unwrap_err();
    assert_eq!(one.requests().last().unwrap(), "POST /token");
    let credentials = Credentials::new("else@example.com", "key");
    let builder = Oauth::builder(credentials).base_url(one.url()).http_client(http());
    let oauth = builder.clock(one.clock.clone()).store(store).build().unwrap();
    assert!(oauth.token(&set(&[X])).await.unwrap_err().is_unauthorized(), "the other account has no token yet");
}

#[tokio::test]
async fn a_restarted_program_continues_with_the_token_file() {
    let service = FakeAccount::start().await;
    let folder = std::env::temp_dir().join(format!("gettone-tokens-v2-{}", std::process::id()));
    service.state().catalog = enabled(&["GET:b.it/y"]);
    for _ in 0..3 {
        let store = FileStore::open(folder.join("tokens.json")).await.unwrap();
        let oauth = service.builder().store(store).build().unwrap();
        assert_eq!(token(&oauth, &[X, "*:b.it/*"]).await, "t1");
        // The file has its granted scopes.
        assert_eq!(token(&oauth, &[Y]).await, "t1");
        service.hours(1);
    }
    assert_eq!(service.requests(), ["GET /scopes", "POST /tokens"]);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Makes a call every five minutes for a year.
#[tokio::test]
async fn a_year_of_calls_creates_one_token_and_extends_it_each_day() {
    let service = FakeAccount::start().await;
    let (oauth, scopes) = (service.oauth(), set(&[X]));
    for _ in 0..365 * 24 * 12 {
        assert_eq!(oauth.token(&scopes).await.unwrap().expose(), "t1");
        oauth.wait_idle().await;
        service.seconds(300);
    }
    let (created, extended) = (service.count("POST"), service.count("PATCH"));
    assert!(created == 1 && (364..=368).contains(&extended), "{created} {extended}");
    assert_eq!(service.requests().len(), created + extended);
    assert_eq!(service.living(), ["t1"]);
}

/// Events are recorded for the whole process: other subscribers would miss those of other threads.
#[cfg(feature = "tracing")]
mod events {
    use std::fmt::{Debug, Write};
    use std::sync::Mutex;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    pub static TEXTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// Records which wildcards were expanded.
    pub struct Expansions;

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            let _ = write!(self.0, "{}={value:?} ", field.name());
        }
    }

    impl Subscriber for Expansions {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "gettone::cache" && metadata.fields().field("scopes").is_some()
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut text = Text(String::new());
            event.record(&mut text);
            TEXTS.lock().unwrap().push(text.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn an_event_says_what_a_wildcard_came_to() {
    tracing::subscriber::set_global_default(events::Expansions).unwrap();
    let service = FakeAccount::start().await;
    service.state().catalog = enabled(&["GET:told.it/x", "POST:told.it/x"]);
    token(&service.oauth(), &["*:told.it/*"]).await;
    let texts = events::TEXTS.lock().unwrap();
    let mut told = texts.iter().filter(|text| text.contains("told.it"));
    let text = told.next().unwrap();
    for part in ["wildcards expanded", "key=*:told.it/* ", "count=2 ", "scopes=GET:told.it/x POST:told.it/x "] {
        assert!(text.contains(part), "{text}");
    }
    assert!(told.next().is_none());
}

#[tokio::test]
async fn expand_shows_what_a_set_stands_for_and_creates_nothing() {
    let service = FakeAccount::start().await;
    service.state().catalog = enabled(&[X, "POST:a.it/x"]);
    let oauth = service.oauth();
    assert_eq!(oauth.expand(&set(&["*:a.it/*", Y])).await.unwrap(), set(&[X, "POST:a.it/x", Y]));
    assert_eq!(oauth.expand(&set(&[Y])).await.unwrap(), set(&[Y]));
    assert_eq!(service.requests(), ["GET /scopes"]);
    let scope: Scope = X.parse().unwrap();
    assert!(oauth.expand(&set(&["*:a.it/*"])).await.unwrap().covers(&scope));
}

/// A token that can do more than was requested would break the promise of its limits, without a notice.
#[tokio::test]
async fn a_token_with_wider_limits_than_requested_is_deleted() {
    let limits = || TokenLimits::new().wallet_amount(Decimal::from(5)).ip([[203, 0, 113, 10].into()]);
    for (stated, is_good) in [
        (json!({ "walletAmount": 5, "ip": ["203.0.113.10"] }), true),
        (json!({ "walletAmount": "5.00", "totalRequests": false }), true),
        (json!({ "walletAmount": 4 }), true),
        (json!({}), true),
        (json!(null), true),
        (json!({ "walletAmount": null, "ip": [] }), true),
        (json!({ "walletAmount": 50 }), false),
        (json!({ "walletAmount": false }), false),
        (json!({ "walletAmount": 5, "ip": ["203.0.113.10", "203.0.113.11"] }), false),
    ] {
        let text = stated.clone();
        let service = FakeService::deciding(move |asked| match asked.method.as_str() {
            "POST" => Answer::json(200, json!({ "token": "t1", "expireAt": "2100-01-01T00:00:00Z", "limits": text })),
            _ => Answer::json(200, json!({ "message": "Deleted", "data": null })),
        })
        .await;
        let builder = Oauth::builder(Credentials::new("test@example.com", "key")).base_url(service.url());
        let oauth = builder.http_client(http()).limits(limits()).build().unwrap();
        let result = oauth.token(&set(&[X])).await;
        assert_eq!(result.is_ok(), is_good, "{stated} {result:?}");
        let methods: Vec<_> = service.requests().into_iter().map(|request| request.method).collect();
        assert_eq!(methods, if is_good { vec!["POST"] } else { vec!["POST", "DELETE"] }, "{stated}");
    }
}
