//! What allocates, and how often.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use common::service::Service;
use gettone::{Scope, ScopePattern, ScopeSet};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
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
fn parsing_allocates_once_and_asking_never() {
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
        allocations(|| (set.includes([&pattern]), pattern.includes(&pattern), set.explain(&scope).is_some())),
        0
    );
}

/// A future that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test]
async fn a_token_that_is_there_is_handed_out_without_an_allocation() {
    let service = Service::start().await;
    let oauth = service.oauth();
    let scopes = ScopeSet::parse((0..10).map(|number| format!("GET:h{number}.openapi.it/base"))).unwrap();
    let handle = oauth.token_for(&scopes);
    handle.get().await.unwrap();
    assert_eq!(allocations(|| at_once(handle.get()).unwrap()), 0);
    assert_eq!(allocations(|| at_once(oauth.token(&scopes)).unwrap()), 0);
    // Also by a set that says the same in another place of memory.
    let again = ScopeSet::parse(scopes.iter().map(ToString::to_string)).unwrap();
    assert_eq!(allocations(|| at_once(oauth.token(&again)).unwrap()), 0);
    assert_eq!(service.count("POST /token"), 1);
}
