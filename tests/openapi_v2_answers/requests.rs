//! What requests contain, and what is refused before anything is sent.

use std::net::{IpAddr, Ipv6Addr};

use gettone::openapi::v2::{Limit, NewToken, Oauth, TokenLimits, TokenUpdate};
use gettone::openapi::{Decimal, Period, Ttl};
use gettone::{AccessToken, Error, ScopeSet};
use serde_json::{Value, json};

use super::operations::{CALLBACK, SCOPE, STATS, STATS_API, STATS_APIS, STATS_IPS, SUBSCRIPTION, TOKEN, client, token};
use crate::common::BASIC;
use crate::common::fake::{Answer, FakeService, Received};

/// Calls a service that answers with this body, and returns the request.
async fn requested<T>(body: &str, call: impl AsyncFnOnce(&Oauth) -> Result<T, Error>) -> Received {
    let service = FakeService::answering_with(Answer::json(200, body)).await;
    call(&client(&service)).await.unwrap_or_else(|error| panic!("{error}"));
    service.request()
}

/// Calls a service, and returns the error. Nothing may be sent.
async fn refused<T: std::fmt::Debug>(call: impl AsyncFnOnce(&Oauth) -> Result<T, Error>) -> Error {
    let service = FakeService::answering_with(Answer::json(200, TOKEN)).await;
    let error = call(&client(&service)).await.unwrap_err();
    assert_eq!(service.calls(), 0, "{error}");
    assert!(error.is_invalid_input() && error.status().is_none(), "{error:?}");
    error
}

fn scopes() -> ScopeSet {
    ScopeSet::parse(["GET:company.openapi.com/IT-start"]).unwrap()
}

fn new() -> NewToken {
    NewToken::new(&scopes(), Ttl::days(30).unwrap())
}

fn body(request: &Received) -> Value {
    assert_eq!(request.header("content-type"), Some("application/json"));
    serde_json::from_str(&request.body).unwrap()
}

#[tokio::test]
async fn a_new_token_is_requested_with_what_is_set() {
    for (new, expected) in [
        (new(), json!({ "scopes": ["GET:company.openapi.com/IT-start"], "ttl": 2_592_000 })),
        (
            new().name("my-first-token"),
            json!({ "name": "my-first-token", "scopes": ["GET:company.openapi.com/IT-start"], "ttl": 2_592_000 }),
        ),
        (
            NewToken::new(&scopes(), Ttl::days(1).unwrap()).name("limited-token").limits(
                TokenLimits::new()
                    .total_requests(1_000)
                    .wallet_amount("5.00".parse().unwrap())
                    .ip([IpAddr::from([203, 0, 113, 10])]),
            ),
            json!({
                "name": "limited-token",
                "scopes": ["GET:company.openapi.com/IT-start"],
                "ttl": 86_400,
                "limits": { "totalRequests": 1_000, "walletAmount": 5.0, "ip": ["203.0.113.10"] },
            }),
        ),
    ] {
        let request = requested(TOKEN, async |oauth| oauth.create_token(new).await).await;
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/tokens"));
        assert_eq!(request.header("authorization"), Some(BASIC));
        assert_eq!(body(&request), expected);
    }
}

#[tokio::test]
async fn an_update_names_only_what_it_changes() {
    let both = ScopeSet::parse(["GET:company.openapi.com/IT-start", "GET:company.openapi.com/IT-advanced"]).unwrap();
    for (update, expected) in [
        (TokenUpdate::new().name("x"), json!({ "name": "x" })),
        (TokenUpdate::new().ttl(Ttl::days(7).unwrap()), json!({ "ttl": 604_800 })),
        (
            TokenUpdate::new().scopes(&both),
            json!({ "scopes": ["GET:company.openapi.com/IT-advanced", "GET:company.openapi.com/IT-start"] }),
        ),
        (
            TokenUpdate::new().limits(TokenLimits::new().wallet_requests(3).subscription_requests(4)),
            json!({ "limits": { "walletRequests": 3, "subscriptionRequests": 4 } }),
        ),
    ] {
        let request = requested(TOKEN, async |oauth| oauth.update_token(&token(), update).await).await;
        assert_eq!(request.method, "PATCH");
        assert_eq!(request.target, "/tokens/656d1e2f8b3c2a001f7e4a12");
        assert_eq!(request.header("authorization"), Some(BASIC));
        assert_eq!(body(&request), expected);
    }
}

#[tokio::test]
async fn a_refresh_sends_the_refresh_token_alone() {
    let request = requested(TOKEN, async |oauth| oauth.refresh_token(&token(), &"refresh-1".into()).await).await;
    assert_eq!((request.method.as_str(), request.body.as_str()), ("PATCH", "{}"));
    assert_eq!(request.target, "/tokens/656d1e2f8b3c2a001f7e4a12");
    let headers: Vec<_> = request.headers.iter().filter(|(name, _)| name == "authorization").collect();
    assert_eq!(headers, [&("authorization".to_owned(), "Bearer refresh-1".to_owned())]);
    assert!(!request.contains("Basic"));
    for wrong in ["", "a\nb", "\u{7f}"] {
        let error = refused(async |oauth| oauth.refresh_token(&token(), &wrong.into()).await).await;
        assert_eq!(error.operation(), Some("refresh_token"));
    }
}

#[test]
fn limits_are_written_as_far_as_they_are_set() {
    let amount = |text: &str| TokenLimits::new().wallet_amount(text.parse().unwrap());
    let addresses = [IpAddr::from([192, 168, 1, 1]), IpAddr::from(Ipv6Addr::LOCALHOST)];
    for (limits, expected) in [
        (TokenLimits::new(), "{}"),
        (TokenLimits::new().total_requests(1), r#"{"totalRequests":1}"#),
        (TokenLimits::new().wallet_requests(u64::MAX), r#"{"walletRequests":18446744073709551615}"#),
        (TokenLimits::new().subscription_requests(2), r#"{"subscriptionRequests":2}"#),
        (amount("50"), r#"{"walletAmount":50.0}"#),
        (amount("5.00"), r#"{"walletAmount":5.0}"#),
        (amount("0.1"), r#"{"walletAmount":0.1}"#),
        (amount("0.30"), r#"{"walletAmount":0.3}"#),
        (amount("1234567.89"), r#"{"walletAmount":1234567.89}"#),
        (amount("123456789012.34"), r#"{"walletAmount":123456789012.34}"#),
        (TokenLimits::new().ip(addresses), r#"{"ip":["192.168.1.1","::1"]}"#),
        (
            amount("12.5").total_requests(3).wallet_requests(2).subscription_requests(1).ip([addresses[0]]),
            r#"{"totalRequests":3,"walletRequests":2,"subscriptionRequests":1,"walletAmount":12.5,"ip":["192.168.1.1"]}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&limits).unwrap(), expected);
        assert_eq!(serde_json::from_str::<TokenLimits>(expected).unwrap(), limits);
    }
}

#[test]
fn limits_of_an_answer_are_written_as_far_as_they_are_numbers() {
    let limits: TokenLimits = serde_json::from_str(
        r#"{"totalRequests":"10","walletRequests":false,"subscriptionRequests":true,"walletAmount":null,"ip":["10.0.0.2"],"neu":1}"#,
    )
    .unwrap();
    assert_eq!(limits.max_wallet_requests(), Limit::Unlimited);
    assert_eq!(serde_json::to_string(&limits).unwrap(), r#"{"totalRequests":10,"ip":["10.0.0.2"]}"#);
    assert_eq!(
        serde_json::to_string(&limits.wallet_requests(4)).unwrap(),
        r#"{"totalRequests":10,"walletRequests":4,"ip":["10.0.0.2"]}"#
    );
}

#[tokio::test]
async fn limits_of_unknown_meaning_are_refused() {
    for (limits, reason) in [
        (TokenLimits::new().total_requests(0), "limits: 0 requests"),
        (TokenLimits::new().wallet_requests(0), "limits: 0 requests"),
        (TokenLimits::new().subscription_requests(0), "limits: 0 requests"),
        (TokenLimits::new().total_requests(5).subscription_requests(0), "limits: 0 requests"),
        (TokenLimits::new().wallet_amount(Decimal::ZERO), "limits: an amount that is not more than 0"),
        (TokenLimits::new().wallet_amount("-0.01".parse().unwrap()), "limits: an amount that is not more than 0"),
        (TokenLimits::new().total_requests(5).ip([]), "limits: no address"),
    ] {
        let (one, other, third) = (limits.clone(), limits.clone(), limits);
        let error = refused(async |oauth| oauth.create_token(new().limits(one)).await).await;
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.operation(), Some("create_token"));
        let update = TokenUpdate::new().name("x").limits(other);
        let error = refused(async |oauth| oauth.update_token(&token(), update).await).await;
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.operation(), Some("update_token"));
        let credentials = gettone::openapi::Credentials::new("test@example.com", "0123456789abcdef");
        let error = Oauth::builder(credentials).limits(third).build().unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_call_with_nothing_in_it_is_refused() {
    let empty = ScopeSet::default();
    let ttl = Ttl::days(1).unwrap();
    let error = refused(async |oauth| oauth.create_token(NewToken::new(&empty, ttl)).await).await;
    assert_eq!(error.operation(), Some("create_token"));
    for update in [TokenUpdate::new(), TokenUpdate::new().scopes(&empty), TokenUpdate::new().name("x").scopes(&empty)] {
        let error = refused(async |oauth| oauth.update_token(&token(), update).await).await;
        assert_eq!(error.operation(), Some("update_token"));
    }
}

#[tokio::test]
async fn a_period_is_the_date() {
    for (period, query) in [
        (Period::total(), ""),
        (Period::year(2026).unwrap(), "?date=2026"),
        (Period::year(987).unwrap(), "?date=0987"),
        (Period::month(2026, 2).unwrap(), "?date=2026-02"),
        (Period::day(2024, 2, 29).unwrap(), "?date=2024-02-29"),
    ] {
        let requests = [
            ("/stats", requested(STATS, async |oauth| oauth.stats(period).await).await),
            ("/stats/ips", requested(STATS_IPS, async |oauth| oauth.stats_ips(period).await).await),
            ("/stats/apis", requested(STATS_APIS, async |oauth| oauth.stats_apis(period).await).await),
            (
                "/stats/apis/company.openapi.com",
                requested(STATS_API, async |oauth| oauth.stats_api("company.openapi.com", period).await).await,
            ),
        ];
        for (path, request) in requests {
            assert_eq!((request.method.as_str(), request.target.clone()), ("GET", format!("{path}{query}")));
            assert_eq!(request.header("authorization"), Some(BASIC));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_a_segment_of_a_path_is_refused() {
    for wrong in ["", ".", "..", "a\\b", "..\\tokens"] {
        let secret = AccessToken::from(wrong);
        let update = TokenUpdate::new().name("x");
        for (name, error) in [
            ("find_token", refused(async |oauth| oauth.find_token(&secret).await).await),
            ("update_token", refused(async |oauth| oauth.update_token(&secret, update).await).await),
            ("refresh_token", refused(async |oauth| oauth.refresh_token(&secret, &"r".into()).await).await),
            ("delete_token", refused(async |oauth| oauth.delete_token(&secret).await).await),
            ("get_scope", refused(async |oauth| oauth.get_scope(wrong).await).await),
            ("get_callback", refused(async |oauth| oauth.get_callback(wrong).await).await),
            ("get_stats_api", refused(async |oauth| oauth.stats_api(wrong, Period::total()).await).await),
            ("get_subscription", refused(async |oauth| oauth.get_subscription(wrong).await).await),
        ] {
            assert_eq!(error.operation(), Some(name), "{wrong:?}");
        }
    }
}

#[tokio::test]
async fn a_segment_of_a_path_is_percent_encoded() {
    for (text, encoded) in [
        ("656d1e2f", "656d1e2f"),
        ("a/b", "a%2Fb"),
        ("../scopes", "..%2Fscopes"),
        ("a?b=c&d#e", "a%3Fb=c&d%23e"),
        ("100%", "100%25"),
        ("%2e%2e", "%252e%252e"),
        ("a b", "a%20b"),
        ("città", "citt%C3%A0"),
        ("...", "..."),
    ] {
        for (path, request) in [
            ("/scopes", requested(SCOPE, async |oauth| oauth.get_scope(text).await).await),
            ("/callbacks", requested(CALLBACK, async |oauth| oauth.get_callback(text).await).await),
            ("/subscriptions", requested(SUBSCRIPTION, async |oauth| oauth.get_subscription(text).await).await),
            ("/stats/apis", requested(STATS_API, async |oauth| oauth.stats_api(text, Period::total()).await).await),
            ("/tokens", requested(TOKEN, async |oauth| oauth.find_token(&text.into()).await).await),
            (
                "/tokens",
                requested(r#"{"message":"Deleted","data":null}"#, async |oauth| oauth.delete_token(&text.into()).await)
                    .await,
            ),
        ] {
            assert_eq!(request.target, format!("{path}/{encoded}"));
        }
    }
}
