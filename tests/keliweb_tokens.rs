//! The cached token of Keliweb Fatture. Time stands still.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::Still;
use common::fake::{Answer, Do, FakeService};
use common::services::keliweb;
use common::store::{FakeStore, access_token};
use gettone::clock::ManualClock;
use gettone::keliweb::{Credentials, Fatture};
use gettone::store::MemoryStore;
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// Returns the pair `a1` and `r1`, and so on.
fn pair(number: u32) -> Answer {
    Answer::json(200, keliweb::pair(&format!("a{number}"), format!("r{number}")))
}

fn fatture(service: &FakeService) -> (Fatture, Arc<ManualClock>) {
    let (builder, clock) = common::fatture(&service.url()).http_client(common::http()).still();
    (builder.build().unwrap(), clock)
}

/// Lists the requests: `password`, or the refresh token.
fn grants(service: &FakeService) -> Vec<String> {
    let requests = service.requests();
    let field = |form: &[(String, String)], name: &str| {
        form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let grant = |form: Vec<(String, String)>| match field(&form, "grant_type").as_str() {
        "password" => "password".to_owned(),
        _ => field(&form, "refresh_token"),
    };
    requests.iter().map(|request| grant(request.form())).collect()
}

async fn token(fatture: &Fatture) -> String {
    fatture.token().await.unwrap().expose().to_owned()
}

#[tokio::test]
async fn the_password_comes_first_and_then_each_refresh_token_in_turn() {
    let service = FakeService::answering([pair(1), pair(2), pair(3)]).await;
    let (fatture, clock) = fatture(&service);
    for _ in 0..10 {
        assert_eq!(token(&fatture).await, "a1");
        clock.advance(5 * MINUTE);
    }
    clock.advance(6 * MINUTE);
    // The refresh ends the old token, so callers get the new one.
    assert_eq!(token(&fatture).await, "a2");
    // The token has expired: a caller waits for the next one.
    clock.advance(2 * HOUR);
    assert_eq!(token(&fatture).await, "a3");
    assert_eq!(grants(&service), ["password", "r1", "r2"]);
}

#[tokio::test]
async fn a_rejected_refresh_token_falls_back_to_the_password_on_old_and_new_servers() {
    for (status, error) in [(401, "invalid_request"), (400, "invalid_grant")] {
        let refused = Answer::json(status, json!({ "error": error, "message": "The refresh token is invalid." }));
        let service = FakeService::answering([pair(1), refused, pair(2), pair(3)]).await;
        let (fatture, clock) = fatture(&service);
        token(&fatture).await;
        clock.advance(2 * HOUR);
        assert_eq!(token(&fatture).await, "a2");
        clock.advance(2 * HOUR);
        assert_eq!(token(&fatture).await, "a3");
        assert_eq!(grants(&service), ["password", "r1", "password", "r2"], "{status} {error}");
    }
}

#[tokio::test]
async fn no_retry_follows_a_rejected_password_after_a_rejected_refresh_token() {
    let refused = Answer::json(400, json!({ "error": "invalid_grant" }));
    let service = FakeService::answering([pair(1), refused]).await;
    let (fatture, clock) = fatture(&service);
    token(&fatture).await;
    clock.advance(2 * HOUR);
    for _ in 0..100 {
        let error = fatture.token().await.unwrap_err();
        assert!(error.is_unauthorized() && error.operation() == Some("password_grant"), "{error}");
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(grants(&service), ["password", "r1", "password"]);
}

#[tokio::test]
async fn a_wrong_password_is_not_sent_again_while_it_backs_off() {
    for (status, error) in [(401, "invalid_credentials"), (400, "invalid_grant"), (401, "invalid_client")] {
        let service = FakeService::answering_with(Answer::json(status, json!({ "error": error }))).await;
        let (fatture, clock) = fatture(&service);
        let first = fatture.token().await.unwrap_err();
        assert!(first.is_unauthorized());
        for _ in 0..299 {
            clock.advance(Duration::from_secs(1));
            let again = fatture.token().await.unwrap_err();
            assert!(again.is_unauthorized() && again.is_backing_off(), "{again:?}");
            assert_eq!((again.code(), again.status()), (first.code(), first.status()));
        }
        assert_eq!(service.calls(), 1, "{error}");
        clock.advance(6 * MINUTE);
        fatture.token().await.unwrap_err();
        assert_eq!(service.calls(), 2);
    }
}

#[tokio::test]
async fn a_rejected_client_secret_does_not_fall_back_to_the_password() {
    let service = FakeService::answering([pair(1), Answer::json(401, json!({ "error": "invalid_client" }))]).await;
    let (fatture, clock) = fatture(&service);
    token(&fatture).await;
    clock.advance(2 * HOUR);
    assert!(fatture.token().await.unwrap_err().is_unauthorized());
    assert_eq!(grants(&service), ["password", "r1"]);
}

#[tokio::test]
async fn a_refresh_token_is_used_for_ten_days() {
    for (days, expected) in [(9, "r1"), (11, "password")] {
        let service = FakeService::answering([pair(1), pair(2)]).await;
        let (fatture, clock) = fatture(&service);
        token(&fatture).await;
        clock.advance(days * 24 * HOUR);
        assert_eq!(token(&fatture).await, "a2");
        assert_eq!(grants(&service), ["password", expected], "after {days} days");
    }
}

#[tokio::test]
async fn without_a_refresh_token_the_password_is_used() {
    let without = Answer::json(200, json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": "a2" }));
    let service = FakeService::answering([pair(1), without, pair(3)]).await;
    let (fatture, clock) = fatture(&service);
    token(&fatture).await;
    clock.advance(2 * HOUR);
    assert_eq!(token(&fatture).await, "a2");
    clock.advance(2 * HOUR);
    assert_eq!(token(&fatture).await, "a3");
    assert_eq!(grants(&service), ["password", "r1", "password"], "a refresh token works once");
}

/// Returns an answer with a pair, after which the connection is closed.
fn said(number: u32) -> Do {
    Do::answer("200 OK", "content-type: application/json\r\n", pair(number).text())
}

#[tokio::test]
async fn a_refresh_token_that_may_have_been_used_is_not_sent_again() {
    // The response to the refresh is lost, and the client sends the password.
    let service = FakeService::new([said(1), Do::Hang, said(2), said(3)]).await;
    let (builder, clock) = common::fatture(&service.url()).http_client(common::http()).still();
    let fatture = builder.build().unwrap();
    token(&fatture).await;
    clock.advance(2 * HOUR);
    assert_eq!(token(&fatture).await, "a2");
    let sent = |text: &str| service.requests().iter().filter(|request| request.contains(text)).count();
    assert_eq!((service.calls(), sent("refresh_token=r1"), sent("grant_type=password")), (3, 1, 2));
}

#[tokio::test]
async fn an_unused_refresh_token_is_kept() {
    let throttled = || Answer::json(429, json!({ "message": "Too Many Attempts." })).header("retry-after", "60");
    let service = FakeService::answering([pair(1), throttled(), pair(2)]).await;
    let (fatture, clock) = fatture(&service);
    token(&fatture).await;
    clock.advance(2 * HOUR);
    assert!(fatture.token().await.unwrap_err().is_rate_limited());
    assert!(fatture.token().await.unwrap_err().is_rate_limited());
    clock.advance(MINUTE);
    assert_eq!(token(&fatture).await, "a2");
    assert_eq!(grants(&service), ["password", "r1", "r1"]);
}

#[tokio::test]
async fn while_a_token_is_valid_an_outage_of_the_service_is_not_noticed() {
    let down = || Answer::html(500, "<html>");
    let service = FakeService::answering(std::iter::once(pair(1)).chain((0..60).map(|_| down()))).await;
    let (fatture, clock) = fatture(&service);
    token(&fatture).await;
    for second in 0..3589 {
        assert_eq!(token(&fatture).await, "a1", "after {second} s");
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(1));
    }
    assert!(service.calls() < 20, "{} tries in the last minutes", service.calls());
    clock.advance(Duration::from_secs(1));
    fatture.token().await.unwrap_err();
}

#[tokio::test]
async fn an_invalidated_access_token_is_renewed_and_a_newer_one_stays() {
    let service = FakeService::answering([pair(1), pair(2)]).await;
    let (fatture, _) = fatture(&service);
    let old = fatture.token().await.unwrap();
    fatture.invalidate(&old);
    assert_eq!(token(&fatture).await, "a2");
    fatture.invalidate(&old);
    assert_eq!(token(&fatture).await, "a2");
    assert_eq!(grants(&service), ["password", "r1"]);
}

#[tokio::test]
async fn clear_drops_the_cached_and_the_stored_token() {
    let service = FakeService::answering([pair(1), pair(2)]).await;
    let store = MemoryStore::new();
    let fatture = common::fatture(&service.url()).http_client(common::http()).store(store.clone()).build().unwrap();
    token(&fatture).await;
    assert!(format!("{store:?}").contains("tokens: 1"));
    fatture.clear().await.unwrap();
    assert!(format!("{store:?}").contains("tokens: 0"));
    assert_eq!(token(&fatture).await, "a2");
    assert_eq!(grants(&service), ["password", "password"]);
    // A new client clears what another process left in the store, even before its first request.
    let restarted = common::fatture(&service.url()).http_client(common::http()).store(store.clone()).build().unwrap();
    restarted.clear().await.unwrap();
    assert!(format!("{store:?}").contains("tokens: 0"));
}

#[tokio::test]
async fn clones_share_a_token_and_a_new_process_loads_it_from_the_store() {
    let service = FakeService::answering([pair(1), pair(2), pair(3)]).await;
    let store = MemoryStore::new();
    let (builder, clock) = common::fatture(&service.url()).http_client(common::http()).still();
    let fatture = builder.store(store.clone()).build().unwrap();
    assert_eq!((token(&fatture).await, token(&fatture.clone()).await), ("a1".into(), "a1".into()));
    assert_eq!(service.calls(), 1);
    let restart = || {
        let builder = common::fatture(&service.url()).http_client(common::http()).store(store.clone());
        builder.clock(Arc::clone(&clock) as _).build().unwrap()
    };
    assert_eq!(token(&restart()).await, "a1");
    clock.advance(24 * HOUR);
    assert_eq!(token(&restart()).await, "a2");
    assert_eq!(grants(&service), ["password", "r1"]);
}

#[tokio::test]
async fn two_accounts_in_one_store_have_a_token_each() {
    let service = FakeService::answering([pair(1), pair(2), pair(3), pair(4)]).await;
    let store = MemoryStore::new();
    for (number, (client, user)) in [("c", "u"), ("c", "v"), ("d", "u")].into_iter().enumerate() {
        let credentials = Credentials::new(client, "secret", user, "password");
        let builder = Fatture::builder(credentials).base_url(service.url()).http_client(common::http()).still().0;
        let fatture = builder.store(store.clone()).build().unwrap();
        assert_eq!(token(&fatture).await, format!("a{}", number + 1));
    }
}

#[tokio::test]
async fn after_wait_idle_the_new_pair_is_in_the_store() {
    let service = FakeService::answering([pair(1), pair(2)]).await;
    let saved = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&saved);
    let store = FakeStore::new(move |_, token| {
        let (all, token) = (Arc::clone(&all), token.map(access_token));
        async move {
            // Later, as on a disk.
            tokio::task::yield_now().await;
            all.lock().unwrap().extend(token);
            Ok(())
        }
    });
    let (builder, clock) = common::fatture(&service.url()).http_client(common::http()).still();
    let fatture = builder.store(store.clone()).build().unwrap();
    for expected in ["a1", "a2"] {
        assert_eq!(token(&fatture).await, expected);
        fatture.wait_idle().await;
        assert_eq!(saved.lock().unwrap().last().map(String::as_str), Some(expected));
        clock.advance(2 * HOUR);
    }
}

/// A program that was stopped for longer than others wait for it: they have sent the password meanwhile. It does not overwrite their token,
/// and uses it too.
#[tokio::test]
async fn a_program_that_was_taken_for_dead_uses_the_token_of_the_others() {
    let close = "content-type: application/json\r\nconnection: close\r\n";
    let paused = Do::Pause(String::new(), common::fake::answer("200 OK", close, pair(2).text()));
    let service = FakeService::new([said(1), paused, said(3), said(4)]).await;
    // A lock that cannot be had.
    let store = FakeStore::new(|call, _| ready(if call == "lock" { Err("away".into()) } else { Ok(()) }));
    let (builder, clock) = common::fatture(&service.url()).http_client(common::http()).still();
    let slow = builder.store(store.memory.clone()).build().unwrap();
    let builder = common::fatture(&service.url()).http_client(common::http()).clock(Arc::clone(&clock) as _);
    let other = builder.store(store).build().unwrap();
    assert_eq!(token(&slow).await, "a1");
    slow.wait_idle().await;
    clock.advance(2 * HOUR);
    let asking = tokio::spawn({
        let slow = slow.clone();
        async move { token(&slow).await }
    });
    service.called(2).await;
    assert_eq!(token(&other).await, "a3");
    other.wait_idle().await;
    service.go_on();
    assert!(["a2", "a3"].contains(&asking.await.unwrap().as_str()));
    slow.wait_idle().await;
    assert_eq!((token(&slow).await, token(&other).await), ("a3".into(), "a3".into()));
    clock.advance(2 * HOUR);
    assert_eq!((token(&slow).await, token(&other).await), ("a4".into(), "a4".into()));
    assert_eq!(grants(&service), ["password", "r1", "password", "r3"]);
}

#[tokio::test]
async fn a_refusal_without_a_code_falls_back_to_the_password_too() {
    for refused in [
        Answer::json(401, json!({ "message": "Unauthenticated." })),
        Answer::json(400, json!({ "error": "invalid_token" })),
        Answer::json(422, json!({ "message": "The given data was invalid." })),
    ] {
        let service = FakeService::answering([pair(1), refused, pair(2)]).await;
        let (fatture, clock) = fatture(&service);
        token(&fatture).await;
        clock.advance(2 * HOUR);
        assert_eq!(token(&fatture).await, "a2");
        assert_eq!(grants(&service), ["password", "r1", "password"]);
    }
}

#[tokio::test]
async fn a_forbidden_account_is_rarely_retried() {
    let service = FakeService::answering_with(Answer::json(403, json!({ "message": "Account locked" }))).await;
    let (fatture, clock) = fatture(&service);
    for _ in 0..24 * 60 {
        fatture.token().await.unwrap_err();
        clock.advance(MINUTE);
    }
    assert!(service.calls() < 40, "{} password grants in a day", service.calls());
}

#[test]
fn an_interrupted_refresh_is_not_sent_again() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, first, second) = (runtime(), runtime(), runtime());
    let service = server.block_on(FakeService::new([said(1), Do::Sleep, said(2)]));
    let (builder, clock) = common::fatture(&service.url()).http_client(common::http()).still();
    let fatture = builder.build().unwrap();
    first.block_on(token(&fatture));
    clock.advance(57 * MINUTE);
    first.block_on(token(&fatture));
    first.block_on(common::until(|| service.calls() >= 2));
    drop(first);
    clock.advance(HOUR);
    assert_eq!(second.block_on(token(&fatture)), "a2");
    let sent = |text: &str| service.requests().iter().filter(|request| request.contains(text)).count();
    assert_eq!((sent("refresh_token=r1"), sent("grant_type=password")), (1, 2));
}

#[tokio::test]
async fn without_a_password_a_client_refreshes_and_sends_nothing_else() {
    let service = FakeService::answering([pair(1)]).await;
    let builder = |id: &str, secret: &str| {
        let credentials = Credentials::without_password(id, secret);
        Fatture::builder(credentials).base_url(service.url()).http_client(common::http()).store(MemoryStore::new())
    };
    let fatture = builder("client id", "client secret").build().unwrap();
    let mut request = common::http().get(service.url()).build().unwrap();
    for error in [
        fatture.password_grant().await.unwrap_err(),
        fatture.token().await.unwrap_err(),
        fatture.token().await.unwrap_err(),
        fatture.authorize(&mut request).await.unwrap_err(),
    ] {
        assert!(error.is_invalid_input() && !error.is_backing_off(), "{error:?}");
        let said = "Keliweb Fatture password_grant: the credentials have no user name and no password, so the client can only `refresh`";
        assert_eq!(error.to_string(), said);
    }
    assert_eq!(service.calls(), 0);
    fatture.clear().await.unwrap();
    let refreshed = fatture.refresh(&"r0".into()).await.unwrap();
    assert_eq!(refreshed.access_token().expose(), "a1");
    let form = service.request().form();
    let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["client_id", "client_secret", "grant_type", "refresh_token"]);
    for (id, secret, said) in [("", "secret", "the client id is empty"), ("id", "", "the client secret is empty")] {
        let error = builder(id, secret).build().unwrap_err();
        assert!(error.to_string().ends_with(said), "{error}");
    }
}
