//! What a typed call costs compared with the same call by hand, and how the cost grows: `cargo bench --bench calls`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod asked;
mod ratio;
mod server;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gettone::keliweb::{self, Fatture};
use gettone::openapi::{
    self, Period,
    v1::{Counters, Oauth},
    v2,
};
use gettone::{AccessToken, ScopeList, ScopeSet, reqwest};
use ratio::{growth, rounds, row, title};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use server::Server;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const EMAIL: &str = "test@example.com";
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// What a typed call may cost at most, compared with the same call by hand; and one with a large response.
const BAR: f64 = 1.05;
const LARGE_BAR: f64 = 1.10;
/// The number of rounds: the difference is a few percent, and calls through the kernel vary by more.
const CALL_ROUNDS: usize = 301;

fn main() {
    if !asked::for_figures() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    #[cfg(feature = "emulator")]
    emulated(&runtime);
    calls(&runtime);
    large(&runtime);
    answers(&runtime);
    decoding();
    callers(&runtime);
    keys(&runtime);
}

/// Returns the HTTP client of both sides, with time limits, as a program that runs unattended needs them.
fn http() -> reqwest::Client {
    let redirects = reqwest::redirect::Policy::none();
    let (whole, connect) = (Duration::from_secs(60), Duration::from_secs(10));
    let client = reqwest::Client::builder().no_proxy().redirect(redirects).timeout(whole).connect_timeout(connect);
    client.user_agent("benchmark").build().unwrap()
}

/// Prints a row, and below it whether it exceeds its limit.
fn within<A, B>(bar: f64, name: &str, reference: impl FnMut() -> A, subject: impl FnMut() -> B) {
    if rounds(CALL_ROUNDS, name, reference, subject) > bar {
        println!("{:>88}", format!("exceeds its limit of {bar:.2}x"));
    }
}

fn oauth(server: &Server) -> Oauth {
    Oauth::builder(openapi::Credentials::new(EMAIL, KEY)).base_url(server.url()).http_client(http()).build().unwrap()
}

/// The response in a careful program without the crate: it checks the status, and the response has a type.
#[derive(Deserialize)]
#[allow(dead_code)]
struct Answer<T> {
    data: T,
    success: bool,
    message: String,
    error: Option<u32>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Credit {
    credit: f64,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Counter {
    counter: u64,
    paid: u64,
    limit: Option<u64>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Token {
    scopes: Vec<String>,
    expire: u64,
    token: String,
}

/// A response of version 2.
#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Wallet {
    credit: f64,
    created_at: String,
    updated_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct SecondToken {
    token: String,
    name: Option<String>,
    created_at: String,
    expire_at: String,
    updated_at: Option<String>,
    scopes: Vec<String>,
    refresh_token: String,
    limits: Option<Limits>,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Limits {
    total_requests: Option<u64>,
    wallet_requests: Option<u64>,
    subscription_requests: Option<u64>,
    wallet_amount: Option<f64>,
    ip: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Stats {
    total_requests: Option<u64>,
    wallet_requests: Option<u64>,
    subscription_requests: Option<u64>,
    error_requests: Option<u64>,
    wallet_amount: Option<f64>,
    ip: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Transaction {
    id: String,
    amount: f64,
    created_at: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct UserScope {
    id: String,
    scope: String,
    method: String,
    domain: String,
    endpoint: String,
    enabled: bool,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Pair {
    token_type: String,
    expires_in: u64,
    access_token: String,
    refresh_token: String,
}

async fn by_hand<T: DeserializeOwned>(http: &reqwest::Client, url: &str) -> T {
    let response = http.get(url).basic_auth(EMAIL, Some(KEY)).send().await.unwrap().error_for_status().unwrap();
    let answer: Answer<T> = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    answer.data
}

fn answer(data: &str) -> String {
    format!(r#"{{"data":{data},"success":true,"message":"","error":null}}"#)
}

fn scopes_data(count: usize) -> String {
    let scopes: Vec<_> = (0..count).map(|n| format!("\"GET:h{}.openapi.it/e{}\"", n / 10, n % 10)).collect();
    format!("[{}]", scopes.join(","))
}

fn counters_data(count: usize) -> String {
    let counter = |n| format!(r#""GET:h{}.it/e{}":{{"counter":{n},"paid":0,"limit":30}}"#, n / 10, n % 10);
    format!("{{{}}}", (0..count).map(counter).collect::<Vec<_>>().join(","))
}

/// Measures calls of a realistic server: it uses an HTTP library, checks the credentials, and processes the request.
#[cfg(feature = "emulator")]
fn emulated(runtime: &Runtime) {
    use gettone::emulator::Emulator;

    title("a typed call to the emulator; the reference is by hand with reqwest and serde_json (bar: 1.05x)");
    // On its own thread, in place of another machine.
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let emulator = Emulator::start().await.unwrap();
            let account = emulator.account();
            let account = (account.email().to_owned(), account.production_key().expose().to_owned());
            tell.send((emulator.production_url(), emulator.production_v2_url(), account)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let (base, base_v2, account) = told.recv().unwrap();
    let http = http();
    let credentials = openapi::Credentials::new(account.0.clone(), account.1.clone());
    let client = Oauth::builder(credentials).base_url(base.clone()).http_client(http.clone()).build().unwrap();
    let by_hand = async |url: &str| {
        let request = http.get(url).basic_auth(&account.0, Some(&account.1));
        request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap()
    };

    let url = format!("{base}/credit");
    let read = |bytes: &[u8]| serde_json::from_slice::<Answer<Credit>>(bytes).unwrap().data;
    within(BAR, "credit", || read(&runtime.block_on(by_hand(&url))), || runtime.block_on(client.credit()).unwrap());
    let scopes = ScopeSet::parse((0..10).map(|n| format!("GET:h{n}.openapi.it/base"))).unwrap();
    runtime.block_on(client.create_token(&scopes, openapi::Ttl::days(1).unwrap())).unwrap();
    let url = format!("{base}/token");
    let read = |bytes: &[u8]| serde_json::from_slice::<Answer<Vec<Token>>>(bytes).unwrap().data;
    within(
        BAR,
        "tokens of an account, one of ten scopes",
        || read(&runtime.block_on(by_hand(&url))),
        || runtime.block_on(client.list_tokens()).unwrap(),
    );

    let credentials = openapi::Credentials::new(account.0.clone(), account.1.clone());
    let client = v2::Oauth::builder(credentials).base_url(base_v2.clone()).http_client(http.clone()).build().unwrap();
    let url = format!("{base_v2}/wallet");
    within(
        BAR,
        "version 2: wallet",
        || serde_json::from_slice::<Data<Wallet>>(&runtime.block_on(by_hand(&url))).unwrap().data,
        || runtime.block_on(client.wallet()).unwrap(),
    );
    let scope = ScopeSet::parse(["GET:127.0.0.1/echo"]).unwrap();
    let token = v2::NewToken::new(&scope, openapi::Ttl::days(1).unwrap());
    runtime.block_on(client.create_token(token)).unwrap();
    let url = format!("{base_v2}/tokens?limit=100&skip=0");
    within(
        BAR,
        "version 2: tokens of an account, one of one scope",
        || serde_json::from_slice::<Data<Vec<SecondToken>>>(&runtime.block_on(by_hand(&url))).unwrap().data,
        || runtime.block_on(client.list_tokens(v2::PageRange::default())).unwrap(),
    );
    let url = format!("{base_v2}/scopes");
    within(
        BAR,
        "version 2: scopes of the catalog",
        || serde_json::from_slice::<Data<Vec<UserScope>>>(&runtime.block_on(by_hand(&url))).unwrap().data,
        || runtime.block_on(client.list_scopes()).unwrap(),
    );
}

fn calls(runtime: &Runtime) {
    title("the same to a server that looks at nothing and has its answer ready (bar: 1.05x)");
    let by_hand_client = http();

    let server = Server::start(Duration::ZERO);
    let (client, url) = (oauth(&server), format!("{}/credit", server.url()));
    within(
        BAR,
        "credit",
        || runtime.block_on(by_hand::<Credit>(&by_hand_client, &url)),
        || runtime.block_on(client.credit()).unwrap(),
    );

    let server = Server::start(Duration::ZERO);
    let credentials = keliweb::Credentials::new("id", "secret", EMAIL, "password");
    let client = Fatture::builder(credentials).base_url(server.url()).http_client(http()).build().unwrap();
    let url = format!("{}/oauth/token", server.url());
    let form = [
        ("grant_type", "password"),
        ("client_id", "id"),
        ("client_secret", "secret"),
        ("username", EMAIL),
        ("password", "password"),
    ];
    let hand_written = async || {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = by_hand_client.post(&url).header("content-type", "application/x-www-form-urlencoded").body(form);
        let response = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice::<Pair>(&response.bytes().await.unwrap()).unwrap()
    };
    within(
        BAR,
        "password grant",
        || runtime.block_on(hand_written()),
        || runtime.block_on(client.password_grant()).unwrap(),
    );
}

fn large(runtime: &Runtime) {
    title("the same with a large response (bar: 1.10x)");
    let by_hand_client = http();

    let server = Server::saying(answer(&counters_data(30)));
    let (client, url) = (oauth(&server), format!("{}/counters/month/2022-01", server.url()));
    let month = Period::month(2022, 1).unwrap();
    within(
        LARGE_BAR,
        "counters of a month, 30 scopes",
        || runtime.block_on(by_hand::<HashMap<String, Counter>>(&by_hand_client, &url)),
        || runtime.block_on(client.counters(month)).unwrap(),
    );

    let server = Server::saying(answer(&scopes_data(270)));
    let (client, url) = (oauth(&server), format!("{}/scopes", server.url()));
    within(
        LARGE_BAR,
        "scopes of an account, all 270",
        || runtime.block_on(by_hand::<Vec<String>>(&by_hand_client, &url)),
        || runtime.block_on(client.list_scopes()).unwrap(),
    );

    let second = |server: &Server| {
        let credentials = openapi::Credentials::new(EMAIL, KEY);
        v2::Oauth::builder(credentials).base_url(server.url()).http_client(http()).build().unwrap()
    };
    let server = Server::saying(list((0..100).map(token)));
    let (client, url) = (second(&server), format!("{}/tokens?limit=100&skip=0", server.url()));
    within(
        LARGE_BAR,
        "version 2: 100 tokens",
        || runtime.block_on(page_by_hand::<SecondToken>(&by_hand_client, &url)),
        || runtime.block_on(client.list_tokens(v2::PageRange::default())).unwrap(),
    );

    let server = Server::saying(list((0..300).map(user_scope)));
    let (client, url) = (second(&server), format!("{}/scopes", server.url()));
    within(
        LARGE_BAR,
        "version 2: 300 scopes",
        || runtime.block_on(page_by_hand::<UserScope>(&by_hand_client, &url)),
        || runtime.block_on(client.list_scopes()).unwrap(),
    );

    let server = pages_of(1_000, transaction);
    let (client, url) = (second(&server), format!("{}/wallet/transactions?limit=100&skip=", server.url()));
    let by_hand = async || {
        let mut all = Vec::new();
        loop {
            let page = page_by_hand::<Transaction>(&by_hand_client, &format!("{url}{}", all.len())).await;
            let is_last = page.len() < 100;
            all.extend(page);
            if is_last {
                return all;
            }
        }
    };
    let streamed = async || {
        let (mut stream, mut all) = (client.stream_wallet_transactions(), Vec::new());
        while let Some(transaction) = stream.next().await {
            all.push(transaction.unwrap());
        }
        all
    };
    assert_eq!((runtime.block_on(by_hand()).len(), runtime.block_on(streamed()).len()), (1_000, 1_000));
    within(
        LARGE_BAR,
        "version 2: a stream of 1,000 transactions",
        || runtime.block_on(by_hand()),
        || runtime.block_on(streamed()),
    );
}

async fn page_by_hand<T: DeserializeOwned>(http: &reqwest::Client, url: &str) -> Vec<T> {
    let response = http.get(url).basic_auth(EMAIL, Some(KEY)).send().await.unwrap().error_for_status().unwrap();
    serde_json::from_slice::<Data<Vec<T>>>(&response.bytes().await.unwrap()).unwrap().data
}

fn list(entries: impl Iterator<Item = String>) -> String {
    format!(r#"{{"data":[{}]}}"#, entries.collect::<Vec<_>>().join(","))
}

/// Starts a server with a list of so many entries, of which it returns a page of a hundred from `skip` on. It has each page ready after the
/// first request for it.
fn pages_of(count: usize, entry: fn(usize) -> String) -> Server {
    let ready = Mutex::new(HashMap::<String, Arc<str>>::new());
    Server::deciding(move |path, _| {
        let page = || {
            let skip: usize = path.split_once("skip=").unwrap().1.parse().unwrap();
            list((skip..count.min(skip + 100)).map(entry)).into()
        };
        (200, Arc::clone(ready.lock().unwrap().entry(path.to_owned()).or_insert_with(page)))
    })
}

/// Returns a token as in the vendor's schema.
fn token(n: usize) -> String {
    format!(
        r#"{{"token":"656d1e2f8b3c2a001f{n:06}","name":"Service {n} API token","createdAt":"2025-11-19T10:00:00Z",
        "expireAt":"2100-12-19T10:00:00Z","updatedAt":"2025-11-20T09:00:00Z",
        "scopes":["GET:api.openapi.com/resource{n}"],"refreshToken":"756d1e2f8b3c2a001f{n:06}",
        "limits":{{"totalRequests":10000,"walletRequests":1000,"subscriptionRequests":500,"walletAmount":50,
        "ip":["192.168.1.1","10.0.0.2"]}},"stats":{{"totalRequests":1234,"walletRequests":120,
        "subscriptionRequests":30,"errorRequests":5,"walletAmount":12.5,"ip":["192.168.1.1","10.0.0.2"]}}}}"#
    )
    .replace("\n        ", "")
}

fn user_scope(n: usize) -> String {
    format!(
        r#"{{"id":"656d1e2f8b3c2a001f{n:06}","scope":"GET:h{}.openapi.com/e{n}","method":"GET","endpoint":"e{n}","domain":"h{}.openapi.com","enabled":true}}"#,
        n / 10,
        n / 10
    )
}

fn transaction(n: usize) -> String {
    format!(
        r#"{{"id":"txn_65a1b2c3d4e5f6789{n:06}","amount":-{}.{:02},"createdAt":"2026-02-12T08:30:00+00:00","description":"API usage - company.openapi.com"}}"#,
        n / 100,
        n % 100
    )
}

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

fn answers(runtime: &Runtime) {
    title("a call whose answer lists so many scopes; the reference lists a tenth of them (linear: up to 10x)");
    let listing = |size| {
        let server = Server::saying(answer(&scopes_data(size)));
        let client = oauth(&server);
        assert_eq!(runtime.block_on(client.list_scopes()).unwrap().len(), size);
        client
    };
    for size in SIZES {
        let (few, many) = (listing(size / 10), listing(size));
        growth(
            &format!("{size} scopes"),
            || runtime.block_on(few.list_scopes()).unwrap(),
            || runtime.block_on(many.list_scopes()).unwrap(),
        );
    }
}

fn decoding() {
    title("reading so many counters; the reference reads a tenth of them (linear: up to 10x)");
    let read = |text: &str| serde_json::from_str::<Counters>(black_box(text)).unwrap();
    for size in SIZES {
        let (few, many) = (counters_data(size / 10), counters_data(size));
        assert_eq!(read(&many).len(), size);
        growth(&format!("{size} counters"), || read(&few), || read(&many));
    }
    title("reading a list; the reference reads it as text by text, without looking what the text is");
    let (scopes, counters) = (scopes_data(10_000), counters_data(10_000));
    growth(
        "10,000 scopes, against Vec<String>",
        || serde_json::from_str::<Vec<String>>(black_box(&scopes)).unwrap(),
        || serde_json::from_str::<ScopeList>(black_box(&scopes)).unwrap(),
    );
    growth(
        "10,000 counters, against HashMap<String, Counter>",
        || serde_json::from_str::<HashMap<String, Counter>>(black_box(&counters)).unwrap(),
        || serde_json::from_str::<Counters>(black_box(&counters)).unwrap(),
    );
}

async fn crowd(oauth: Oauth, scopes: ScopeSet, size: usize) -> Vec<AccessToken> {
    let call = |oauth: Oauth, scopes: ScopeSet| async move { oauth.token(&scopes).await.unwrap() };
    (0..size).map(|_| call(oauth.clone(), scopes.clone())).collect::<JoinSet<_>>().join_all().await
}

fn callers(runtime: &Runtime) {
    let server = Server::start(Duration::ZERO);
    let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base"]).unwrap();
    let warm = oauth(&server);
    runtime.block_on(warm.token(&scopes)).unwrap();
    title("so many callers at once while there is a token; the reference is a tenth of them (linear: up to 10x)");
    let of = |size| runtime.block_on(crowd(warm.clone(), scopes.clone(), size));
    for size in [10, 100, 1_000, 10_000] {
        growth(&format!("{size} callers"), || of(size / 10), || of(size));
    }
    title("the same with no token, of which one is made for all");
    // Already connected, so that the time is that of the calls and not of the handshake.
    let shared = http();
    let cold = |size| {
        let credentials = openapi::Credentials::new(EMAIL, KEY);
        let oauth = Oauth::builder(credentials).base_url(server.url()).http_client(shared.clone()).build().unwrap();
        let before = server.requests();
        runtime.block_on(crowd(oauth, scopes.clone(), size));
        assert_eq!(server.requests(), before + 1);
    };
    for size in [10, 100, 1_000, 10_000] {
        growth(&format!("{size} callers"), || cold(size / 10), || cold(size));
    }
}

fn keys(runtime: &Runtime) {
    let server = Server::start(Duration::ZERO);
    let set = |n: usize| ScopeSet::parse([format!("GET:h{n}.openapi.it/base")]).unwrap();
    let shared = http();
    let with = |size: usize| {
        let credentials = openapi::Credentials::new(EMAIL, KEY);
        let oauth = Oauth::builder(credentials).base_url(server.url()).http_client(shared.clone()).build().unwrap();
        for n in 0..size {
            runtime.block_on(oauth.token(&set(n))).unwrap();
        }
        oauth
    };
    title("so many keys, for each of which a token is made; the reference has a tenth of them (linear: up to 10x)");
    for size in [10, 100, 1_000, 10_000] {
        growth(&format!("{size} keys"), || with(size / 10), || with(size));
    }
    title("a token that is there, among so many keys; the reference is among 1 (constant: 1x)");
    let (alone, wanted) = (with(1), set(0));
    for size in [1, 10, 100, 1_000, 10_000] {
        let many = with(size);
        row(
            &format!("{size} keys"),
            || runtime.block_on(alone.token(&wanted)).unwrap(),
            || runtime.block_on(many.token(&wanted)).unwrap(),
        );
    }
}
