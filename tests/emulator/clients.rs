//! Clients against the emulator: the crate's own, and one for any OAuth 2.0 server.

use std::sync::Arc;
use std::time::Duration;

use gettone::emulator::{Api, Fault, SANDBOX_KEY};
use gettone::openapi::{Credentials, Environment, Period, v1::Oauth};
use gettone::{ScopeSet, keliweb, reqwest};
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken, ResourceOwnerPassword,
    ResourceOwnerUsername, TokenResponse, TokenUrl,
};

use crate::common::http;
use crate::fixture::*;

fn oauth(fixture: &Fixture) -> Oauth {
    let account = fixture.emulator.account();
    let builder = Oauth::builder(Credentials::new(account.email(), account.production_key().clone()));
    builder.base_url(fixture.emulator.production_url()).clock(Arc::clone(&fixture.clock) as _).build().unwrap()
}

fn fatture(fixture: &Fixture) -> keliweb::Fatture {
    let customer = fixture.emulator.customer();
    let credentials = keliweb::Credentials::new(
        customer.client_id(),
        customer.client_secret().clone(),
        customer.username(),
        customer.password().clone(),
    );
    let builder = keliweb::Fatture::builder(credentials).base_url(fixture.emulator.keliweb_url());
    builder.clock(Arc::clone(&fixture.clock) as _).build().unwrap()
}

#[tokio::test]
async fn a_token_of_openapi_is_made_cached_and_replaced() {
    let fixture = start().await;
    let oauth = oauth(&fixture);
    let scopes = ScopeSet::parse([ECHO]).unwrap();
    let token = oauth.token(&scopes).await.unwrap();
    assert_eq!(fixture.call("GET", "/echo/a", token.expose()).await.status, 200);
    assert_eq!(oauth.token(&scopes).await.unwrap().expose(), token.expose());
    oauth.invalidate(&token);
    let second = oauth.token(&scopes).await.unwrap();
    assert_ne!(second.expose(), token.expose());
    let counters = oauth.counters(Period::day(2021, 10, 14).unwrap()).await.unwrap();
    assert_eq!(counters.get(&ECHO.parse().unwrap()).unwrap().requests(), 1);
    fixture.seconds(2 * 24 * 3600);
    let third = oauth.token(&scopes).await.unwrap();
    assert_eq!(fixture.call("GET", "/echo/a", third.expose()).await.status, 200);
}

#[tokio::test]
async fn a_lost_response_leaves_one_token() {
    for fault in [Fault::LostResponse, Fault::TruncatedResponse] {
        let fixture = start().await;
        fixture.emulator.fail_next_on(1, "POST /token", fault);
        let token = oauth(&fixture).token(&ScopeSet::parse([ECHO]).unwrap()).await.unwrap();
        assert_eq!(fixture.emulator.count_valid_tokens(Api::Production), 1, "{fault:?}");
        assert_eq!(fixture.call("GET", "/echo", token.expose()).await.status, 200);
    }
}

#[tokio::test]
async fn the_sandbox_has_its_own_tokens() {
    let fixture = start().await;
    let credentials = Credentials::new(fixture.emulator.account().email(), SANDBOX_KEY);
    let builder =
        Oauth::builder(credentials).environment(Environment::Sandbox).base_url(fixture.emulator.sandbox_url());
    let sandbox = builder.clock(Arc::clone(&fixture.clock) as _).build().unwrap();
    sandbox.token(&ScopeSet::parse([ECHO]).unwrap()).await.unwrap();
    assert_eq!(
        (fixture.emulator.count_valid_tokens(Api::Sandbox), fixture.emulator.count_valid_tokens(Api::Production)),
        (1, 0)
    );
}

#[tokio::test]
async fn a_token_of_keliweb_is_refreshed_and_after_a_lost_response_the_client_logs_in_again() {
    let fixture = start().await;
    let fatture = fatture(&fixture);
    let first = fatture.token().await.unwrap();
    assert_eq!(fixture.call("GET", "/api", first.expose()).await.status, 200);
    fixture.seconds(3600);
    let second = fatture.token().await.unwrap();
    assert_ne!(second.expose(), first.expose());
    assert_eq!((fixture.emulator.count("password_grant"), fixture.emulator.count("refresh")), (1, 1));

    fixture.emulator.fail_next_on(1, "POST /oauth/token", Fault::LostResponse);
    fixture.seconds(3600);
    let third = fatture.token().await.unwrap();
    assert_eq!(fixture.call("GET", "/api", third.expose()).await.status, 200);
    assert_eq!((fixture.emulator.count("password_grant"), fixture.emulator.count("refresh")), (2, 2));
}

/// Sends a request of the general client.
async fn send(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let response = http().execute(reqwest::Request::try_from(request)?).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut answer = HttpResponse::new(response.bytes().await?.to_vec());
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    Ok(answer)
}

#[tokio::test]
async fn a_general_oauth_client_gets_and_refreshes_a_token() {
    let fixture = start().await;
    let customer = fixture.emulator.customer();
    let client = BasicClient::new(ClientId::new(customer.client_id().to_owned()))
        .set_client_secret(ClientSecret::new(customer.client_secret().expose().to_owned()))
        .set_token_uri(TokenUrl::new(format!("{}/oauth/token", fixture.emulator.keliweb_url())).unwrap())
        .set_auth_type(AuthType::RequestBody);
    let username = ResourceOwnerUsername::new(customer.username().to_owned());
    let password = ResourceOwnerPassword::new(customer.password().expose().to_owned());
    let first = client.exchange_password(&username, &password).request_async(&send).await.unwrap();
    assert_eq!(first.expires_in(), Some(Duration::from_secs(3600)));
    assert_eq!(fixture.call("GET", "/api", first.access_token().secret()).await.status, 200);
    let refresh = RefreshToken::new(first.refresh_token().unwrap().secret().clone());
    let second = client.exchange_refresh_token(&refresh).request_async(&send).await.unwrap();
    assert_eq!(fixture.call("GET", "/api", second.access_token().secret()).await.status, 200);
    let refused = client.exchange_refresh_token(&refresh).request_async(&send).await.unwrap_err();
    assert!(format!("{refused:?}").contains("invalid_grant"), "{refused:?}");
}
