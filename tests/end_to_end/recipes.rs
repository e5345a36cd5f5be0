//! The recipes of the documentation for a rejected token, after the service has ended all tokens.

use std::time::Duration;

use gettone::clock::{Clock, SystemClock};
use gettone::emulator::Emulator;
use gettone::keliweb::Fatture;
use gettone::openapi::v1::Oauth;
use gettone::{ScopeSet, reqwest};

use crate::world;

/// Builds a client whose base URL has the origin of the calls.
fn fatture(emulator: &Emulator) -> Fatture {
    world::fatture(emulator).clock(emulator.clock()).build().unwrap()
}

fn oauth(emulator: &Emulator) -> Oauth {
    let builder = world::oauth(emulator).clock(emulator.clock());
    builder.scopes(ScopeSet::parse(["GET:127.0.0.1/echo"]).unwrap()).build().unwrap()
}

/// Builds the HTTP client of the recipes.
fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(gettone::same_origin()).no_proxy().build().unwrap()
}

#[tokio::test]
async fn after_a_401_an_invalidated_token_is_replaced_by_the_next_call() {
    let emulator = Emulator::start().await.unwrap();
    let (fatture, url) = (fatture(&emulator), format!("{}/api/invoices", emulator.keliweb_url()));
    fatture.token().await.unwrap();
    emulator.revoke_all();
    for expected in [401, 200] {
        let token = fatture.token().await.unwrap();
        let request = http().get(&url).header("Accept", "application/json").bearer_auth(token.expose());
        let response = request.send().await.unwrap();
        if response.status() == 401 {
            fatture.invalidate(&token);
        }
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn after_a_401_an_invalidated_token_is_replaced_by_the_next_authorize() {
    let emulator = Emulator::start().await.unwrap();
    let (fatture, oauth) = (fatture(&emulator), oauth(&emulator));
    let (invoices, echo) = (format!("{}/api/invoices", emulator.keliweb_url()), emulator.url("/echo/me"));
    fatture.token().await.unwrap();
    oauth.token(&ScopeSet::parse(["GET:127.0.0.1/echo"]).unwrap()).await.unwrap();
    emulator.revoke_all();
    for expected in [401, 200] {
        let mut request = http().get(&invoices).build().unwrap();
        let token = fatture.authorize(&mut request).await.unwrap();
        let response = http().execute(request).await.unwrap();
        assert_eq!(response.status(), expected);
        fatture.invalidate(&token);
        let mut request = http().get(&echo).build().unwrap();
        let token = oauth.authorize(&mut request).await.unwrap();
        let response = http().execute(request).await.unwrap();
        assert_eq!(response.status(), expected);
        oauth.invalidate(&token);
    }
}

/// This holds even if the program does not ask for JSON, and Keliweb Fatture answers with a redirect to its login page, followed or not.
#[tokio::test]
async fn with_the_middleware_no_caller_sees_a_401_or_a_login_page() {
    for accept in [None, Some("application/pdf"), Some("text/html")] {
        for follows in [true, false] {
            let emulator = Emulator::start().await.unwrap();
            let (fatture, oauth) = (fatture(&emulator), oauth(&emulator));
            let policy = if follows { gettone::same_origin() } else { reqwest::redirect::Policy::none() };
            let http = reqwest::Client::builder().redirect(policy).no_proxy().build().unwrap();
            let invoices = reqwest_middleware::ClientBuilder::new(http.clone()).with(fatture.middleware()).build();
            let echo = reqwest_middleware::ClientBuilder::new(http).with(oauth.middleware()).build();
            for round in 0..3 {
                let mut request = invoices.get(format!("{}/api/invoices", emulator.keliweb_url()));
                if let Some(accept) = accept {
                    request = request.header("Accept", accept);
                }
                let response = request.send().await.unwrap();
                assert_eq!(response.status(), 200, "{accept:?} {follows} {round}");
                let body = response.text().await.unwrap();
                assert!(!body.contains("<html>"), "{accept:?} {follows} {round}: {body}");
                assert_eq!(echo.get(emulator.url("/echo/me")).send().await.unwrap().status(), 200);
                emulator.revoke_all();
                // The client does not trust consecutive rejections.
                emulator.advance(Duration::from_secs(11 * 60));
            }
            assert_eq!(emulator.count("password_grant"), 3);
        }
    }
}

/// For some seconds a new token is not known everywhere. The middleware waits by the client's clock.
#[tokio::test]
async fn the_middleware_waits_for_a_new_token_by_the_clock_of_the_emulator() {
    let emulator = Emulator::start().await.unwrap();
    let oauth = oauth(&emulator);
    emulator.set_activation_delay(Duration::from_secs(5));
    let echo = reqwest_middleware::ClientBuilder::new(http()).with(oauth.middleware()).build();
    assert_eq!(echo.get(emulator.url("/echo/me")).send().await.unwrap().status(), 200);
    assert_eq!((emulator.count("create_token"), emulator.count("echo")), (1, 4));
    // 1, 2 and 4 seconds, by which the machine's clock has not moved.
    let ahead = emulator.clock().now().duration_since(SystemClock::default().now()).unwrap();
    assert!((Duration::from_secs(6)..=Duration::from_secs(7)).contains(&ahead), "{ahead:?}");
}

/// Without `Accept: application/json`, Keliweb Fatture rejects a token with a redirect to the login page, so copied examples must have it.
#[test]
fn every_example_that_sends_a_token_asks_for_json() {
    let mut examples = 0;
    for file in
        ["README.md", "src/keliweb.rs", "src/keliweb/pair.rs", "src/emulator.rs", "docs/services.md", "docs/tokens.md"]
    {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(path).unwrap();
        for block in text.split("```").skip(1).step_by(2) {
            if block.contains("bearer_auth(") && block.contains("keliweb") {
                examples += 1;
                assert!(block.contains(r#"header("Accept", "application/json")"#), "{file}:{block}");
            }
        }
    }
    assert!(examples >= 2, "{examples} examples");
}
