//! The crate's clients of version 2 against the emulator, in both envelopes.

use std::sync::Arc;

use gettone::ScopeSet;
use gettone::emulator::{Account, Api, Emulator, Fault, TokenEnvelope};
use gettone::openapi::v2::{
    NewToken, Oauth, PageRange, RefreshClient, RefreshCredentials, Renewal, TokenLimits, TokenUpdate,
};
use gettone::openapi::{Credentials, Decimal, Period, Ttl};
use serde_json::json;

use crate::fixture::*;

const ENVELOPES: [TokenEnvelope; 2] = [TokenEnvelope::Flat, TokenEnvelope::Wrapped];

fn oauth(fixture: &Fixture) -> Oauth {
    let account = fixture.emulator.account();
    let builder = Oauth::builder(Credentials::new(account.email(), account.production_key().clone()));
    builder.base_url(fixture.emulator.production_v2_url()).clock(Arc::clone(&fixture.clock) as _).build().unwrap()
}

fn scopes() -> ScopeSet {
    ScopeSet::parse([ECHO]).unwrap()
}

#[tokio::test]
async fn a_token_is_made_cached_and_extended() {
    for envelope in ENVELOPES {
        let fixture = start_with(Emulator::builder().token_envelope(envelope)).await;
        let oauth = oauth(&fixture);
        let token = oauth.token(&scopes()).await.unwrap();
        assert_eq!(fixture.echo(token.expose()).await, 200);
        assert_eq!(oauth.token(&scopes()).await.unwrap().expose(), token.expose());
        let name = fixture.emulator.tokens()[0].name.clone().unwrap();
        assert!(name.starts_with("gettone"), "{name}");

        // Shortly before its end.
        fixture.seconds(24 * 3600 - 60);
        oauth.token(&scopes()).await.unwrap();
        oauth.wait_idle().await;
        assert_eq!((fixture.emulator.count("create_token"), fixture.emulator.count("update_token")), (1, 1));
        fixture.seconds(3600);
        assert_eq!(oauth.token(&scopes()).await.unwrap().expose(), token.expose(), "{envelope:?}");
        assert_eq!(fixture.echo(token.expose()).await, 200);
        assert_eq!(oauth.revoke_created().await.unwrap(), 1);
        assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), 0);
    }
}

#[tokio::test]
async fn a_lost_response_leaves_one_token() {
    for (envelope, fault) in ENVELOPES.into_iter().zip([Fault::LostResponse, Fault::TruncatedResponse]) {
        let fixture = start_with(Emulator::builder().token_envelope(envelope)).await;
        fixture.emulator.fail_next_on(1, "POST /tokens", fault);
        let token = oauth(&fixture).token(&scopes()).await.unwrap();
        assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), 1, "{fault:?}");
        assert_eq!(fixture.echo(token.expose()).await, 200);
    }
}

#[tokio::test]
async fn a_wildcard_stands_for_what_is_enabled() {
    let fixture = start_with(Emulator::builder().disable("DELETE:127.0.0.1/*".parse().unwrap())).await;
    oauth(&fixture).token(&ScopeSet::parse(["*:127.0.0.1/*"]).unwrap()).await.unwrap();
    let granted: Vec<String> = fixture.emulator.tokens()[0].scopes.iter().map(ToString::to_string).collect();
    assert!(granted.len() == 4 && !granted.iter().any(|scope| scope.starts_with("DELETE")), "{granted:?}");
}

#[tokio::test]
async fn limits_of_a_cached_token_are_enforced() {
    let fixture = start().await;
    let account = fixture.emulator.account();
    let builder = Oauth::builder(Credentials::new(account.email(), account.production_key().clone()));
    let builder = builder.base_url(fixture.emulator.production_v2_url()).clock(Arc::clone(&fixture.clock) as _);
    let limits = TokenLimits::new().total_requests(1).wallet_amount(Decimal::new(5, 0));
    let oauth = builder.limits(limits).renewal(Renewal::Replace).build().unwrap();
    let token = oauth.token(&scopes()).await.unwrap();
    assert_eq!((fixture.echo(token.expose()).await, fixture.echo(token.expose()).await), (200, 402));
}

#[tokio::test]
async fn a_client_without_the_key_keeps_one_token() {
    for envelope in ENVELOPES {
        let fixture = start_with(Emulator::builder().token_envelope(envelope)).await;
        let oauth = oauth(&fixture);
        let made = oauth.create_token(NewToken::new(&scopes(), Ttl::days(1).unwrap()).name("worker")).await.unwrap();
        // A wrapped response does not show the refresh token, the list does.
        let listed = oauth.list_tokens(PageRange::default()).await.unwrap();
        let listed = listed.iter().find(|token| token.token() == made.token()).unwrap();
        let credentials = RefreshCredentials::from_token("worker", listed).unwrap();
        let builder = RefreshClient::builder(credentials).base_url(fixture.emulator.production_v2_url());
        let worker = builder.clock(Arc::clone(&fixture.clock) as _).build().unwrap();
        let mut seen = vec![worker.token().await.unwrap().expose().to_owned()];
        for _ in 0..3 {
            fixture.seconds(24 * 3600 - 60);
            worker.token().await.unwrap();
            worker.wait_idle().await;
            let token = worker.token().await.unwrap().expose().to_owned();
            assert!(!seen.contains(&token));
            assert_eq!(fixture.echo(&token).await, 200);
            seen.push(token);
            assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), 1, "{envelope:?}");
        }
        assert_eq!((fixture.emulator.count("refresh_token"), fixture.emulator.count("create_token")), (3, 1));
        let names: Vec<_> = fixture.emulator.tokens().into_iter().map(|token| token.name.unwrap()).collect();
        assert_eq!(names, ["worker"; 4]);
    }
}

#[tokio::test]
async fn the_client_reads_every_response() {
    let account = Account::default().with_credit(Decimal::new(5, 2));
    let builder = Emulator::builder().account(account).subscription("PUT:127.0.0.1/*".parse().unwrap(), 10);
    let fixture = start_with(builder.price(Decimal::new(2, 2))).await;
    let (oauth, all) = (oauth(&fixture), PageRange::default());
    let id = fixture.emulator.add_callback(&BASE.parse().unwrap(), "https://example.com/done", 200);
    let wanted = ScopeSet::parse([ECHO, "PUT:127.0.0.1/echo"]).unwrap();
    let limits = TokenLimits::new().total_requests(100).ip(["127.0.0.1".parse().unwrap()]);
    let made =
        oauth.create_token(NewToken::new(&wanted, Ttl::days(1).unwrap()).name("x").limits(limits)).await.unwrap();
    let token = made.token();
    for (method, status) in [("GET", 200), ("GET", 200), ("GET", 402), ("PUT", 200)] {
        assert_eq!(fixture.call(method, "/echo", token.expose()).await.status, status);
    }

    let found = oauth.find_token(token).await.unwrap().unwrap();
    assert_eq!(
        (found.name(), found.stats().total_requests(), found.stats().error_requests()),
        (Some("x"), Some(4), Some(1))
    );
    assert_eq!(found.limits().max_total_requests().limited(), Some(100));
    assert_eq!(found.limits().allowed_ips(), ["127.0.0.1"]);
    let updated = oauth.update_token(token, TokenUpdate::new().name("y").ttl(Ttl::days(2).unwrap())).await.unwrap();
    assert!(updated.name() == Some("y") && updated.expires_at() > made.expires_at() && updated.token() == token);

    assert_eq!(
        (oauth.wallet().await.unwrap().credit(), oauth.list_scopes().await.unwrap().len()),
        (Decimal::new(1, 2), 17)
    );
    let transactions = oauth.list_wallet_transactions(all).await.unwrap();
    assert_eq!(transactions.iter().map(|entry| entry.amount()).collect::<Vec<_>>(), [Decimal::new(-2, 2); 2]);
    let errors = oauth.list_errors(&[ECHO.parse().unwrap()], all).await.unwrap();
    assert_eq!((errors.len(), errors.as_slice()[0].status(), errors.as_slice()[0].code()), (1, Some(402), None));
    let callbacks = oauth.list_callbacks(&[], all).await.unwrap();
    assert_eq!((callbacks.len(), callbacks.as_slice()[0].status()), (1, Some(200)));
    assert_eq!(oauth.get_callback(&id).await.unwrap().is_active(), Some(false));

    let day = Period::day(2021, 10, 14).unwrap();
    let stats = oauth.stats(day).await.unwrap();
    let counts =
        (stats.total_requests(), stats.wallet_requests(), stats.subscription_requests(), stats.error_requests());
    assert_eq!(counts, (Some(4), Some(2), Some(1), Some(1)));
    assert_eq!((stats.wallet_amount(), stats.total_apis()), (Some(Decimal::new(4, 2)), Some(1)));
    assert_eq!(oauth.stats_ips(day).await.unwrap(), ["127.0.0.1"]);
    assert_eq!(oauth.stats_apis(day).await.unwrap()[0].0, "127.0.0.1");
    let api = oauth.stats_api("127.0.0.1", Period::year(2021).unwrap()).await.unwrap();
    assert!(api.scopes().len() == 2 && api.unrecognized().is_empty());
    let subscriptions = oauth.list_subscriptions(&[], all).await.unwrap();
    assert_eq!((subscriptions.len(), subscriptions.as_slice()[0].available_requests()), (1, Some(9)));
    let subscription = oauth.get_subscription(subscriptions.as_slice()[0].id()).await.unwrap();
    assert_eq!((subscription.total_requests(), subscription.price()), (Some(10), Some(Decimal::new(20, 2))));
    for entry in oauth.list_scopes().await.unwrap().iter() {
        let detail = oauth.get_scope(entry.id().unwrap()).await.unwrap();
        assert!(detail.scope() == entry.scope() && detail.is_enabled());
    }

    oauth.delete_token(token).await.unwrap();
    assert!(oauth.find_token(token).await.unwrap().is_none());
    assert!(oauth.update_token(token, TokenUpdate::new().name("z")).await.unwrap_err().is_not_found());
    assert_eq!(oauth.list_tokens(all).await.unwrap().len(), 0);
}

#[tokio::test]
async fn the_client_streams_all_pages() {
    let fixture = start().await;
    let token = fixture.echo_token(json!({})).await;
    for _ in 0..250 {
        fixture.echo(&token).await;
    }
    let mut stream = oauth(&fixture).stream_wallet_transactions();
    let mut count = 0;
    while let Some(entry) = stream.next().await {
        entry.unwrap();
        count += 1;
    }
    assert_eq!((count, fixture.emulator.count("list_wallet_transactions")), (250, 3));
}
