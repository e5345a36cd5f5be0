//! What allocates, how often, and how much at once.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::account::FakeAccount;
use common::fake::{Answer, FakeService};
use common::services::{EXAMPLE, Http, Setup, openapi_v2};
use common::store::put;
use common::{Still, http, now, oauth_v2};
use gettone::store::{FileStore, StoredToken, TokenStore};
use gettone::{Scope, ScopePattern, ScopeSet};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Bytes held by all threads together.
static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        PEAK.fetch_max(HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(act: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.get();
    black_box(act());
    ALLOCATIONS.get() - before
}

#[test]
fn parsing_allocates_once_and_matching_never() {
    assert_eq!(allocations(|| Box::new(1)), 1);
    assert_eq!(allocations(|| "get:Imprese.openapi.it/base".parse::<Scope>().unwrap()), 1);
    assert_eq!(allocations(|| "*:*.openapi.it/*".parse::<ScopePattern>().unwrap()), 1);

    assert_eq!(allocations(|| serde_json::from_str::<Scope>("\"GET:imprese.openapi.it/base\"").unwrap()), 1);

    let scope: Scope = "GET:imprese.openapi.it/base".parse().unwrap();
    let pattern: ScopePattern = "*:*.openapi.it/*".parse().unwrap();
    let set = ScopeSet::parse((0..1000).map(|number| format!("GET:h{number}.openapi.it/base"))).unwrap();
    assert_eq!(allocations(|| (scope.clone(), pattern.clone(), set.clone())), 0);
    assert_eq!(allocations(|| pattern.covers(&scope) && !set.covers(&scope)), 0);
    assert_eq!(
        allocations(|| (
            set.includes([&pattern]),
            pattern.includes(&pattern),
            set.narrowest_covering(&scope).is_some()
        )),
        0
    );
}

/// Runs a future that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test]
async fn a_cached_token_is_returned_without_an_allocation() {
    let service = FakeAccount::start().await;
    let oauth = service.oauth();
    let scopes = ScopeSet::parse((0..10).map(|number| format!("GET:h{number}.openapi.it/base"))).unwrap();
    let handle = oauth.token_for(&scopes);
    handle.get().await.unwrap();
    assert_eq!(allocations(|| at_once(handle.get()).unwrap()), 0);
    assert_eq!(allocations(|| at_once(oauth.token(&scopes)).unwrap()), 0);
    // Also with an equal set in another place of memory.
    let again = ScopeSet::parse(scopes.iter().map(ToString::to_string)).unwrap();
    assert_eq!(allocations(|| at_once(oauth.token(&again)).unwrap()), 0);
    assert_eq!(service.count("POST /token"), 1);
}

#[tokio::test]
async fn a_cached_token_of_version_2_is_returned_without_an_allocation() {
    let made = openapi_v2::token("t", "n", &[openapi_v2::RESOURCE], now() + Duration::from_secs(3600), "r");
    let service = FakeService::answering_with(Answer::json(200, made)).await;
    let (builder, _) = oauth_v2(&service.url()).http_client(http()).still();
    let oauth = builder.build().unwrap();
    let scopes = ScopeSet::parse([openapi_v2::RESOURCE]).unwrap();
    let handle = oauth.token_for(&scopes);
    handle.get().await.unwrap();
    assert_eq!(allocations(|| at_once(handle.get()).unwrap()), 0);
    assert_eq!(allocations(|| at_once(oauth.token(&scopes)).unwrap()), 0);
    assert_eq!(service.calls(), 1);

    let setup = Setup { http: Http::Given(http()), ..Setup::new(service.url()) };
    let worker = openapi_v2::worker(&EXAMPLE, &setup).build().unwrap();
    worker.token().await.unwrap();
    assert_eq!(allocations(|| at_once(worker.token()).unwrap()), 0);
    assert_eq!(service.calls(), 2);
}

/// Other threads read the file, so all threads are counted; the other tests take next to nothing.
#[tokio::test]
async fn a_file_of_tokens_takes_memory_in_proportion() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("allocations-{}", std::process::id()));
    let path = folder.join("tokens.json");
    let token = r#"{"version":1,"access_token":"a","obtained_at":1,"expires_at":4102444800000}"#;
    let token = StoredToken::from_json(token).unwrap();
    let many = |of: fn(usize) -> String| (0..40_000).map(of).collect::<Vec<_>>().join(",");
    for contents in [
        format!(r#"{{"version":1,"tokens":{{{}}}}}"#, many(|number| format!("\"{number}\":0"))),
        format!(r#"{{"version":1,"tokens":{{}},{}}}"#, many(|number| format!("\"{number}\":[]"))),
        format!(r#"{{"version":1,"tokens":[{}]}}"#, many(|_| r#"{"":0}"#.to_owned())),
        format!(r#"{{"version":1,"tokens":{{"b":[{}]}}}}"#, many(|_| r#"{"":0}"#.to_owned())),
        format!(r#"{{"version":1,"tokens":{{"b":{}{}}}}}"#, "[".repeat(400_000), "]".repeat(400_000)),
        "[".repeat(800_000),
        many(|number| number.to_string()),
    ] {
        // The store creates the file, so that no other user can open it.
        put(&FileStore::open(&path).await.unwrap(), "a", &token).await.unwrap();
        std::fs::write(&path, &contents).unwrap();
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let store = FileStore::open(&path).await.unwrap();
        // Most of them are damaged, which is an error.
        let _ = store.load("b").await;
        put(&store, "a", &token).await.unwrap();
        let taken = PEAK.load(Ordering::Relaxed) - before;
        let start: String = contents.chars().take(60).collect();
        assert!(taken > contents.len() && taken < 20 * contents.len(), "{taken} for {}: {start}", contents.len());
    }
    std::fs::remove_dir_all(folder).unwrap();
}
