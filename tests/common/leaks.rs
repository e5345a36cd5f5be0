//! Makes calls full of secrets, and searches everything that they print for one.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use gettone::clock::ManualClock;
use gettone::openapi::v1::Oauth;
use gettone::openapi::v2;
use gettone::store::{FileStore, MemoryStore, StoredToken};
use gettone::{Error, Retry, ScopeSet};
use serde_json::{Map, Value, json};

use super::fake::{Do, FakeService};
use super::services::openapi_v1::BASE;
use super::services::openapi_v2::RESOURCE;
use super::services::{Http, Operation, PLANTED, SecretKind, Setup, keliweb, openapi_v1, openapi_v2, operation};
use super::store::FakeStore;
use super::{http, now, success_of};

pub const CLIENT_SECRET: &str = PLANTED.client_secret;
pub const PASSWORD: &str = PLANTED.password;
pub const API_KEY: &str = PLANTED.api_key;
pub const ACCESS_TOKEN: &str = PLANTED.token;
pub const REFRESH_TOKEN: &str = PLANTED.refresh_token;
pub const ISSUED_ACCESS: &str = "issued-access-55d1";
pub const ISSUED_REFRESH: &str = "issued-refresh-08bf";
/// `test@example.com:api-key-31e8` in base64.
pub const BASIC: &str = "dGVzdEBleGFtcGxlLmNvbTphcGkta2V5LTMxZTg=";

/// All that must not be shown, also as it is written in a path or a form.
pub const SECRETS: [&str; 13] = [
    CLIENT_SECRET,
    PASSWORD,
    "pass+word%2F%C3%A8-77aa",
    "pass%20word%2F%C3%A8-77aa",
    "77aa",
    API_KEY,
    ACCESS_TOKEN,
    "access%2Ftoken-9b2d",
    "token-9b2d",
    REFRESH_TOKEN,
    ISSUED_ACCESS,
    ISSUED_REFRESH,
    BASIC,
];

/// Returns the secret that a text shows, if any.
pub fn leak(text: &str) -> Option<&'static str> {
    SECRETS.into_iter().find(|secret| text.contains(secret))
}

pub fn assert_clean(what: &str, text: &str) {
    if let Some(secret) = leak(text) {
        panic!("{what} shows `{secret}`:\n{text}");
    }
}

pub fn debugs(what: &str, value: &dyn Debug) {
    assert_clean(what, &format!("{value:?}\n{value:#?}"));
}

/// Sets clients up that send a request twice at most.
pub fn setup(url: &str) -> Setup {
    Setup { retry: Retry::default().max_attempts(2), http: Http::Given(http()), ..Setup::new(url) }
}

pub fn oauth(url: &str) -> Oauth {
    openapi_v1::builder(&PLANTED, &setup(url)).build().unwrap()
}

pub fn oauth_v2(url: &str) -> v2::Oauth {
    openapi_v2::builder(&PLANTED, &setup(url)).build().unwrap()
}

/// Calls an operation with the secrets, and looks at what it returns.
pub async fn call(operation: &Operation, url: &str) -> Result<(), Error> {
    let returned = operation.call(&PLANTED, &setup(url)).await?;
    assert_clean("a returned value", &returned.shown());
    Ok(())
}

/// Takes cached tokens of all services through everything that can happen to them, and searches all that can be printed for a secret.
pub async fn tokens() {
    tokens_of_version_2().await;
    refreshed_without_the_key().await;
    let folder = std::env::temp_dir().join(format!("gettone-leaks-{}", std::process::id()));
    let path = folder.join("tokens.json");
    let answer = |body: &str| Do::answer("200 OK", JSON, body);
    let (scopes, less) = ([BASE, "GET:comparabili.openapi.it/root"], [BASE]);
    let (made, listed, pair) = (openapi_v1::token(ISSUED_ACCESS, scopes, END), good("v1 list_tokens"), good("refresh"));
    let (scopes, less) = (ScopeSet::parse(scopes).unwrap(), ScopeSet::parse(less).unwrap());
    let builder = |url: String| openapi_v1::builder(&PLANTED, &Setup { retry: Retry::default(), ..setup(&url) });

    let service = FakeService::new([answer(&made.to_string()), answer(&echo(operation("v1 create_token")))]).await;
    let store = FileStore::open(&path).await.unwrap();
    let oauth = builder(service.url()).store(store.clone()).build().unwrap();
    let handle = oauth.token_for(&scopes);
    let token = handle.get().await.unwrap();
    assert_eq!(token.expose(), ISSUED_ACCESS);
    oauth.token(&less).await.unwrap();
    debugs("a handle", &(&handle, &token, &oauth, &store));
    oauth.wait_idle().await;
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(stored.contains(ISSUED_ACCESS), "the file does not hold the token");
    builder(service.url()).store(store.clone()).build().unwrap().token(&scopes).await.unwrap();
    oauth.invalidate(&token);
    for _ in 0..2 {
        debugs("a refusal", &oauth.token(&scopes).await.unwrap_err());
    }
    oauth.clear().await.unwrap();

    let list = FakeService::new([answer(&listed)]).await;
    let broken = FakeStore::new(|_, token| {
        token.inspect(|token| debugs("a stored token", token));
        std::future::ready(Err("broken".into()))
    });
    let adopting = builder(list.url()).reuse_existing(true).store(broken.hurried(4)).build().unwrap();
    adopting.token(&less).await.unwrap();
    debugs("a broken store", &adopting.clear().await.unwrap_err());

    // No echo of the refresh token: the password grant that follows a refresh did not send it, so the client cannot recognize it.
    for act in acts(operation("refresh")).into_iter().filter(|act| !format!("{act:?}").contains(REFRESH_TOKEN)) {
        let service = FakeService::new([answer(&pair), act]).await;
        let memory = MemoryStore::new();
        let clock = Arc::new(ManualClock::new(now()));
        let setup = Setup { retry: Retry::default(), clock: Arc::clone(&clock) as _, ..setup(&service.url()) };
        let fatture = keliweb::builder(&PLANTED, &setup).store(memory.clone()).build().unwrap();
        let token = fatture.token().await.unwrap();
        let mut request = http().get(service.url()).build().unwrap();
        fatture.authorize(&mut request).await.unwrap();
        debugs("a request with a token", &request);
        fatture.invalidate(&token);
        clock.advance(Duration::from_secs(7200));
        debugs("a renewed token, or an error", &fatture.token().await);
        debugs("a client with a token", &(&fatture, &memory));
    }

    std::fs::write(&path, format!("{stored} {ISSUED_ACCESS}")).unwrap();
    debugs("a damaged file", &FileStore::open(&path).await);
    let record = stored.replace(r#""expires_at":"#, r#""expires_at":"x"#);
    debugs("a damaged record", &StoredToken::from_json(&record).unwrap_err());
    std::fs::rename(folder.join("tokens.json.damaged-0"), &path).unwrap();
    std::fs::write(&path, stored.replacen(r#""expires_at":"#, r#""expires":"#, 1)).unwrap();
    builder(service.url()).store(store).build().unwrap().token(&scopes).await.unwrap_err();
    std::fs::remove_dir_all(folder).unwrap();
}

/// A documented success of version 2 with the tokens of the requests, so that the next request has them too.
fn planted(name: &str) -> Do {
    let mut body = issuing(operation(name), REFRESH_TOKEN);
    change(&mut body, &|name, value| {
        if name == "token" {
            *value = ACCESS_TOKEN.into();
        }
    });
    Do::answer("200 OK", JSON, &body.to_string())
}

async fn tokens_of_version_2() {
    let resource = openapi_v1::set([RESOURCE]);
    let clock = || Arc::new(ManualClock::new(now()));
    let client = |service: &FakeService, clock: &Arc<ManualClock>| {
        let setup = Setup { clock: Arc::clone(clock) as _, retry: Retry::default(), ..setup(&service.url()) };
        openapi_v2::builder(&PLANTED, &setup)
    };
    // Each end of an extension. No other request has the token, so that no other answer repeats it.
    for act in acts(operation("v2 update_token")) {
        let service = FakeService::new([planted("v2 create_token"), act, Do::Hang]).await;
        let (clock, memory) = (clock(), MemoryStore::new());
        let oauth = client(&service, &clock).store(memory.clone()).build().unwrap();
        let handle = oauth.token_for(&resource);
        handle.get().await.unwrap();
        clock.advance(Duration::from_secs(24 * 60 * 60 - 200));
        handle.get().await.unwrap();
        oauth.wait_idle().await;
        debugs("a client with a token of version 2", &(&oauth, &handle, &memory));
        clock.advance(Duration::from_secs(4_000));
        debugs("an extended token, or an error", &handle.get().await);
        debugs("what is deleted, or an error", &oauth.revoke_created().await);
    }
    // A lost token, which the client then searches for among all others.
    let listed = Do::answer("200 OK", JSON, &echoing_success(operation("v2 list_tokens")));
    let service = FakeService::new([Do::Hang, listed.clone()]).await;
    let oauth = client(&service, &clock()).build().unwrap();
    debugs("a token that is not found", &oauth.token(&resource).await);
    let (mut stream, mut count) = (oauth.stream_tokens(), 0);
    while let Some(token) = stream.next().await {
        debugs("a token of a stream", &token.unwrap());
        count += 1;
    }
    debugs("a stream", &(&stream, stream.unrecognized()));
    assert!(count > 0 && !stream.unrecognized().is_empty());
    // After a failed search the client requests a token some time later.
    let odd = Do::answer("200 OK", JSON, ISSUED_ACCESS);
    let service = FakeService::new([Do::Hang, odd.clone(), odd, planted("v2 create_token")]).await;
    let time = clock();
    let oauth = client(&service, &time).build().unwrap();
    debugs("a failed search", &oauth.token(&resource).await.unwrap_err());
    time.advance(Duration::from_secs(60 * 60));
    assert_eq!(oauth.token(&resource).await.unwrap().expose(), ACCESS_TOKEN);
    // A wildcard, which the client expands.
    let scopes = Do::answer("200 OK", JSON, &echoing_success(operation("v2 list_scopes")));
    let service = FakeService::new([scopes, planted("v2 create_token")]).await;
    let oauth = client(&service, &clock()).build().unwrap();
    let wild = openapi_v1::set(["GET:api.openapi.com/*"]);
    debugs("an expansion", &(&oauth.token(&wild).await.unwrap(), &oauth));
}

/// Takes the client without the key through each end of a refresh.
async fn refreshed_without_the_key() {
    for act in acts(operation("refresh_token")) {
        let service = FakeService::new([planted("refresh_token"), act]).await;
        let (clock, memory) = (Arc::new(ManualClock::new(now())), MemoryStore::new());
        let setup = Setup { clock: Arc::clone(&clock) as _, retry: Retry::default(), ..setup(&service.url()) };
        let worker = openapi_v2::worker(&PLANTED, &setup).store(memory.clone()).build().unwrap();
        worker.token().await.unwrap();
        let mut request = http().get("https://api.openapi.com/resource/1").build().unwrap();
        worker.authorize(&mut request).await.unwrap();
        debugs("a request of a worker", &request);
        clock.advance(Duration::from_secs(5 * 365 * 24 * 60 * 60));
        for _ in 0..2 {
            debugs("a refreshed token, or an error", &worker.token().await);
        }
        worker.wait_idle().await;
        debugs("a worker with a token", &(&worker, &memory));
    }
}

const JSON: &str = "content-type: application/json\r\n";
/// 2022-08-16T09:06:20Z, as in the specs.
const END: u64 = 1_660_640_780;

/// The forms in which a service may repeat a secret.
fn forms(kind: SecretKind) -> &'static [&'static str] {
    match kind {
        SecretKind::ClientSecret => &[CLIENT_SECRET],
        SecretKind::Password => &[
            PASSWORD,
            "pass+word%2F%C3%A8-77aa",
            r"pass word\/\u00e8-77aa",
            "pass word/&egrave;-77aa",
            "pass word/&#xE8;-77aa",
        ],
        SecretKind::RefreshToken => &[REFRESH_TOKEN],
        SecretKind::ApiKey => &[API_KEY],
        SecretKind::Login => &[BASIC],
        SecretKind::Token => &[ACCESS_TOKEN, "access%2Ftoken-9b2d", r"access\/token-9b2d"],
    }
}

/// Makes a failure that repeats every secret of a request, in every form and in every field that an error reads.
pub fn echo(operation: &Operation) -> String {
    let all = operation.sends.iter().flat_map(|kind| forms(*kind)).copied().collect::<Vec<_>>().join(" and ");
    let long = "x".repeat(280) + &all;
    json!({
        "success": false, "data": null, "error": format!("E {all}"), "message": all, "error_description": all, "hint": long,
        "errors": { all.clone(): [all] },
    })
    .to_string()
}

/// Changes each value of an object that stands in JSON somewhere.
fn change(json: &mut Value, to: &impl Fn(&str, &mut Value)) {
    match json {
        Value::Array(entries) => entries.iter_mut().for_each(|entry| change(entry, to)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| {
            to(name, value);
            change(value, to);
        }),
        _ => {}
    }
}

/// Returns a documented success of the [`operation`] of this name, with the tokens that are looked for as those that it issues.
pub fn good(name: &str) -> String {
    issuing(operation(name), ISSUED_REFRESH).to_string()
}

/// The same of an operation, with this refresh token.
pub fn issuing(operation: &Operation, refresh_token: &str) -> Value {
    let mut body = serde_json::from_str(success_of(operation).text()).unwrap();
    change(&mut body, &|name, value| match name {
        "token" | "access_token" => *value = ISSUED_ACCESS.into(),
        "refresh_token" | "refreshToken" => *value = refresh_token.into(),
        _ => {}
    });
    body
}

/// Makes a success that has every secret wherever something is kept of what is not recognized.
pub fn echoing_success(operation: &Operation) -> String {
    fn spread(json: &mut Value) {
        let others = SECRETS.iter().map(|secret| ((*secret).to_owned(), json!(secret)));
        match json {
            Value::Array(entries) => {
                entries.iter_mut().for_each(spread);
                entries.extend(SECRETS.map(Value::from));
                entries.push(others.collect::<Map<_, _>>().into());
                entries.push(json!([ACCESS_TOKEN]));
            }
            Value::Object(fields) => {
                fields.values_mut().for_each(spread);
                fields.extend(others);
            }
            _ => {}
        }
    }

    let mut body = issuing(operation, ISSUED_REFRESH);
    spread(&mut body);
    if body.get("message").is_some() {
        body["message"] = BASIC.into();
    }
    body.to_string()
}

/// Lists everything that can happen to a call.
pub fn acts(operation: &Operation) -> Vec<Do> {
    let echo = echo(operation);
    let mut acts: Vec<Do> = [
        "200 OK",
        "400 Bad Request",
        "401 Unauthorized",
        "402 Payment Required",
        "403 Forbidden",
        "404 Not Found",
        "406 Not Acceptable",
        "422 Unprocessable Entity",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ]
    .iter()
    .map(|status| Do::answer(status, JSON, &echo))
    .collect();
    let good = issuing(operation, ISSUED_REFRESH).to_string();
    let within = good.find(ISSUED_ACCESS).unwrap_or(good.len() - ISSUED_ACCESS.len()) + 12;
    let mut misplaced = issuing(operation, ISSUED_REFRESH);
    change(&mut misplaced, &|name, value| {
        if ["expire", "expires_in", "expireAt"].contains(&name) {
            *value = ISSUED_REFRESH.into();
        }
    });
    acts.extend([
        Do::answer("200 OK", JSON, &good),
        Do::answer("200 OK", JSON, &echoing_success(operation)),
        // The issued tokens in the wrong place, and an answer that ends within one.
        Do::answer("200 OK", JSON, &format!("{{\"data\":\"{ISSUED_ACCESS}\",\"expires_in\":\"{ISSUED_REFRESH}\"}}")),
        Do::answer("200 OK", JSON, &misplaced.to_string()),
        Do::answer("200 OK", JSON, good.split_at(within).0),
        Do::answer("200 OK", JSON, &format!("\"{ISSUED_ACCESS}\"")),
        Do::answer("200 OK", JSON, ISSUED_ACCESS),
        Do::answer("200 OK", "content-type: text/html\r\n", &format!("<html>{ISSUED_ACCESS} {PASSWORD}</html>")),
        Do::answer("302 Found", &format!("location: https://example.com/{ISSUED_ACCESS}\r\n"), ISSUED_ACCESS),
        Do::answer(
            "401 Unauthorized",
            &format!("www-authenticate: Basic realm=\"{ISSUED_ACCESS}\"\r\n"),
            ISSUED_ACCESS,
        ),
        Do::answer("429 Too Many Requests", &format!("retry-after: {ISSUED_ACCESS}\r\n"), ""),
        Do::Say(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 9999\r\n\r\n{good}")),
        Do::Say(format!("{ISSUED_ACCESS} {ISSUED_REFRESH}\r\n\r\n")),
        Do::Hang,
        Do::Reset,
    ]);
    acts
}
