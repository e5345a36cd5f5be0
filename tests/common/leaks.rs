//! Calls full of secrets, and whether one of them can be seen.

use std::fmt::Debug;

use gettone::keliweb::{self, Fatture};
use gettone::openapi::{self, Period, Ttl, v1::Oauth};
use gettone::store::{FileStore, MemoryStore, StoreError, StoredToken, TokenStore};
use gettone::{AccessToken, Error, RefreshToken, Retry, ScopeSet};
use serde_json::{Map, Value, json};

use super::raw::{Do, Raw};
use super::{Still, http, now};

pub const CLIENT_SECRET: &str = "client-secret-c1f0";
pub const PASSWORD: &str = "pass word/è-77aa";
pub const API_KEY: &str = "api-key-31e8";
pub const ACCESS_TOKEN: &str = "access/token-9b2d";
pub const REFRESH_TOKEN: &str = "refresh-token-e4c6";
pub const ISSUED_ACCESS: &str = "issued-access-55d1";
pub const ISSUED_REFRESH: &str = "issued-refresh-08bf";
/// `test@example.com:api-key-31e8` in base64.
pub const BASIC: &str = "dGVzdEBleGFtcGxlLmNvbTphcGkta2V5LTMxZTg=";

/// All that must not be seen, also as it stands in a path or a form.
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

/// The secret that a text shows, if it shows one.
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

pub fn oauth(url: &str) -> Oauth {
    let builder = Oauth::builder(openapi::Credentials::new("test@example.com", API_KEY)).base_url(url);
    let builder = builder.retry(Retry::default().max_attempts(2)).http_client(http()).still().0;
    debugs("the builder of Oauth", &builder);
    builder.build().unwrap()
}

pub fn fatture(url: &str) -> Fatture {
    let credentials = keliweb::Credentials::new("id", CLIENT_SECRET, "test@example.com", PASSWORD);
    let builder = Fatture::builder(credentials)
        .base_url(url)
        .retry(Retry::default().max_attempts(2))
        .http_client(http())
        .still()
        .0;
    debugs("the builder of Fatture", &builder);
    builder.build().unwrap()
}

/// Calls an operation with the secrets, and looks at what comes of it.
pub async fn call(operation: &str, url: &str) -> Result<(), Error> {
    let shown = call_on(operation, &oauth(url), &fatture(url)).await?;
    assert_clean("an answer", &shown);
    Ok(())
}

/// Calls an operation with the secrets, and shows what it gives.
pub async fn call_on(operation: &str, oauth: &Oauth, fatture: &Fatture) -> Result<String, Error> {
    let (token, scopes) = (AccessToken::new(ACCESS_TOKEN), ScopeSet::parse(["GET:imprese.openapi.it/base"])?);
    fn shown<T: Debug>(result: Result<T, Error>) -> Result<String, Error> {
        result.map(|value| format!("{value:?}\n{value:#?}"))
    }
    match operation {
        "password_grant" => shown(fatture.password_grant().await),
        "refresh" => shown(fatture.refresh(&RefreshToken::new(REFRESH_TOKEN)).await),
        "create_token" => shown(oauth.create_token(&scopes, Ttl::MIN).await),
        "list_tokens" => shown(oauth.list_tokens().await),
        "find_token" => shown(oauth.find_token(&token).await),
        "replace_token" => shown(oauth.replace_token(&token, &scopes, now()).await),
        "update_token" => shown(oauth.update_token(&token, openapi::v1::TokenUpdate::new().ttl(Ttl::MAX)).await),
        "delete_token" => shown(oauth.delete_token(&token).await),
        "list_scopes" => shown(oauth.list_scopes().await),
        "get_credit" => shown(oauth.credit().await),
        "counters_total" => shown(oauth.counters(Period::total()).await),
        "counters_day" => shown(oauth.counters(Period::day(2022, 1, 1)?).await),
        "counters_month" => shown(oauth.counters(Period::month(2022, 1)?).await),
        "counters_year" => shown(oauth.counters(Period::year(2022)?).await),
        other => panic!("no such operation: {other}"),
    }
}

/// All that can become of cached tokens: they come and do not come, are stored and lost, lent and adopted, refused and
/// forgotten. All that can be printed is looked at.
pub async fn tokens() {
    let folder = std::env::temp_dir().join(format!("gettone-leaks-{}", std::process::id()));
    let path = folder.join("tokens.json");
    let json = "content-type: application/json\r\n";
    let (made, listed, pair) = (good("create_token"), good("list_tokens"), good("refresh"));
    let answer = |body: &str| Do::answer("200 OK", json, body);
    let (scopes, less) =
        (["GET:imprese.openapi.it/base", "GET:comparabili.openapi.it/root"], ["GET:imprese.openapi.it/base"]);
    let (scopes, less) = (ScopeSet::parse(scopes).unwrap(), ScopeSet::parse(less).unwrap());
    let builder = |url: String| {
        let builder = Oauth::builder(openapi::Credentials::new("test@example.com", API_KEY)).base_url(url);
        builder.http_client(http()).still().0
    };

    let both = made.replacen(
        r#""GET:imprese.openapi.it/base""#,
        r#""GET:imprese.openapi.it/base","GET:comparabili.openapi.it/root""#,
        1,
    );
    let raw = Raw::new([answer(&both), answer(&echo("create_token"))]).await;
    let store = FileStore::open(&path).await.unwrap();
    let url = raw.url();
    let oauth = builder(raw.url()).store(store.clone()).build().unwrap();
    let handle = oauth.token_for(&scopes);
    let token = handle.get().await.unwrap();
    assert_eq!(token.expose(), ISSUED_ACCESS);
    oauth.token(&less).await.unwrap();
    debugs("a handle", &(&handle, &token, &oauth, &store));
    oauth.wait_idle().await;
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(stored.contains(ISSUED_ACCESS), "this file is where it belongs");
    builder(raw.url()).store(store.clone()).build().unwrap().token(&scopes).await.unwrap();
    oauth.invalidate(&token);
    for _ in 0..2 {
        debugs("a refusal", &oauth.token(&scopes).await.unwrap_err());
    }
    oauth.clear().await.unwrap();

    let raw = Raw::new([answer(&listed)]).await;
    let adopting = builder(raw.url()).reuse_existing(true).store(Broken).build().unwrap();
    adopting.token(&less).await.unwrap();
    debugs("a broken store", &adopting.clear().await.unwrap_err());

    // What is told back is another matter: the password grant that follows a refresh has not sent its token.
    for act in acts("refresh").into_iter().filter(|act| !format!("{act:?}").contains(REFRESH_TOKEN)) {
        let raw = Raw::new([answer(&pair), act]).await;
        let memory = MemoryStore::new();
        let credentials = keliweb::Credentials::new("id", CLIENT_SECRET, "test@example.com", PASSWORD);
        let builder = Fatture::builder(credentials).base_url(raw.url()).http_client(http()).store(memory.clone());
        let (builder, clock) = builder.still();
        let fatture = builder.build().unwrap();
        let token = fatture.token().await.unwrap();
        let mut request = http().get(raw.url()).build().unwrap();
        fatture.authorize(&mut request).await.unwrap();
        debugs("a request with a token", &request);
        fatture.invalidate(&token);
        clock.advance(std::time::Duration::from_secs(7200));
        debugs("what came of it", &fatture.token().await);
        debugs("a client with a token", &(&fatture, &memory));
    }

    std::fs::write(&path, format!("{stored} {ISSUED_ACCESS}")).unwrap();
    debugs("a damaged file", &FileStore::open(&path).await);
    let record = stored.replace(r#""expires_at":"#, r#""expires_at":"x"#);
    debugs("a damaged record", &StoredToken::from_json(&record).unwrap_err());
    std::fs::rename(folder.join("tokens.json.damaged-0"), &path).unwrap();
    std::fs::write(&path, stored.replacen(r#""expires_at":"#, r#""expires":"#, 1)).unwrap();
    builder(url).store(store).build().unwrap().token(&scopes).await.unwrap_err();
    std::fs::remove_dir_all(folder).unwrap();
}

/// A store that can do nothing.
#[derive(Debug)]
struct Broken;

impl TokenStore for Broken {
    async fn load(&self, _: &str) -> Result<Option<StoredToken>, StoreError> {
        Err("broken".into())
    }

    async fn save(&self, _: &str, token: &StoredToken) -> Result<(), StoreError> {
        debugs("a stored token", token);
        Err("broken".into())
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        Err("broken".into())
    }
}

/// Every secret that an operation sends, as it is and as it was sent, told back in every field that an error reads.
pub fn echo(operation: &str) -> String {
    let sent: &[&str] = match operation {
        "password_grant" => &[
            CLIENT_SECRET,
            PASSWORD,
            "pass+word%2F%C3%A8-77aa",
            r"pass word\/\u00e8-77aa",
            "pass word/&egrave;-77aa",
            "pass word/&#xE8;-77aa",
        ],
        "refresh" => &[CLIENT_SECRET, REFRESH_TOKEN],
        "find_token" | "replace_token" | "update_token" | "delete_token" => {
            &[API_KEY, BASIC, ACCESS_TOKEN, "access%2Ftoken-9b2d", r"access\/token-9b2d"]
        }
        _ => &[API_KEY, BASIC],
    };
    let all = sent.join(" and ");
    let long = "x".repeat(280) + &all;
    json!({
        "success": false, "data": null, "error": format!("E {all}"), "message": all, "error_description": all, "hint": long,
        "errors": { all.clone(): [all] },
    })
    .to_string()
}

/// A success in which every secret that an operation sends stands wherever something is kept of what is not recognized.
pub fn echoing_success(operation: &str) -> String {
    let secrets: Vec<Value> = SECRETS.iter().map(|secret| json!(secret)).collect();
    let others: Map<String, Value> = SECRETS.iter().map(|secret| ((*secret).to_owned(), json!(secret))).collect();
    let mut token = json!({ "scopes": secrets, "expire": 1_660_640_780, "token": ISSUED_ACCESS });
    let body = match operation {
        "create_token" => {
            token.as_object_mut().unwrap().extend(others);
            token
        }
        "find_token" | "replace_token" | "update_token" => json!({ "data": [token, others] }),
        "list_tokens" => json!({ "data": [token, others, API_KEY, [ACCESS_TOKEN]], "message": BASIC }),
        "list_scopes" => json!({ "data": ["GET:imprese.openapi.it/base", others, secrets, API_KEY, BASIC] }),
        "counters_total" | "counters_day" | "counters_month" | "counters_year" => json!({ "data": others }),
        _ => {
            let mut body: Value = serde_json::from_str(&good(operation)).unwrap();
            body.as_object_mut().unwrap().extend(others);
            body
        }
    };
    body.to_string()
}

pub fn good(operation: &str) -> String {
    let token =
        json!({ "scopes": ["GET:imprese.openapi.it/base", "odd"], "expire": 1_660_640_780, "token": ISSUED_ACCESS });
    match operation {
        "password_grant" | "refresh" => json!({
            "token_type": "Bearer", "expires_in": 3600, "access_token": ISSUED_ACCESS, "refresh_token": ISSUED_REFRESH,
        })
        .to_string(),
        "create_token" => token.to_string(),
        "list_tokens" | "find_token" | "replace_token" | "update_token" => json!({ "data": [token] }).to_string(),
        "delete_token" => json!({ "success": true }).to_string(),
        "list_scopes" => json!({ "data": ["GET:imprese.openapi.it/base"] }).to_string(),
        "get_credit" => json!({ "data": { "credit": 1.5 } }).to_string(),
        _ => json!({ "data": {} }).to_string(),
    }
}

/// Everything that can happen to a call.
pub fn acts(operation: &str) -> Vec<Do> {
    let json = "content-type: application/json\r\n";
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
    .map(|status| Do::answer(status, json, &echo))
    .collect();
    let good = good(operation);
    acts.extend([
        Do::answer("200 OK", json, &good),
        Do::answer("200 OK", json, &echoing_success(operation)),
        // The issued tokens in the wrong place, and an answer that ends within one.
        Do::answer("200 OK", json, &format!("{{\"data\":\"{ISSUED_ACCESS}\",\"expires_in\":\"{ISSUED_REFRESH}\"}}")),
        Do::answer(
            "200 OK",
            json,
            &good
                .replace("1660640780", &format!("\"{ISSUED_REFRESH}\""))
                .replace("3600", &format!("\"{ISSUED_REFRESH}\"")),
        ),
        Do::answer("200 OK", json, good.split_at(good.len() - 8).0),
        Do::answer("200 OK", json, &format!("\"{ISSUED_ACCESS}\"")),
        Do::answer("200 OK", json, ISSUED_ACCESS),
        Do::answer("200 OK", "content-type: text/html\r\n", &format!("<html>{ISSUED_ACCESS} {PASSWORD}</html>")),
        Do::answer("302 Found", &format!("location: https://example.com/{ISSUED_ACCESS}\r\n"), ISSUED_ACCESS),
        Do::answer(
            "401 Unauthorized",
            &format!("www-authenticate: Basic realm=\"{ISSUED_ACCESS}\"\r\n"),
            ISSUED_ACCESS,
        ),
        Do::answer("429 Too Many Requests", &format!("retry-after: {ISSUED_ACCESS}\r\n"), ""),
        Do::Say(format!("HTTP/1.1 200 OK\r\n{json}content-length: 9999\r\n\r\n{good}")),
        Do::Say(format!("{ISSUED_ACCESS} {ISSUED_REFRESH}\r\n\r\n")),
        Do::Hang,
        Do::Reset,
    ]);
    acts
}
