//! A way in for tests and for fuzzers, and in no other build: answers that no socket brings.
//!
//! The fuzzers open it with `--cfg gettone_door`. `cfg(fuzzing)` would not do: cargo-fuzz sets that for every crate, so a program
//! that fuzzes itself would get a `gettone` with this door in it.

use std::cell::RefCell;

use reqwest::header::HeaderMap;
use reqwest::{Request, Response, ResponseBuilderExt, StatusCode};

/// An answer, as a client sees it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// From 100 to 999.
    pub status: StatusCode,
    /// All of them, as they are.
    pub headers: HeaderMap,
    /// All of it, whatever the headers say.
    pub body: Vec<u8>,
}

type Service = Box<dyn FnMut(&Request) -> Answer>;

thread_local! {
    static SERVICE: RefCell<Option<Service>> = const { RefCell::new(None) };
}

/// While `act` runs, whatever this thread would send is answered by `service`, and nothing is sent.
pub fn answering<T>(service: impl FnMut(&Request) -> Answer + 'static, act: impl FnOnce() -> T) -> T {
    struct Open;

    impl Drop for Open {
        fn drop(&mut self) {
            SERVICE.set(None);
        }
    }

    SERVICE.set(Some(Box::new(service)));
    let _open = Open;
    act()
}

/// `None` if the request is to be sent.
pub(crate) fn answer(request: &Request) -> Option<Response> {
    let Answer { status, headers, body } = SERVICE.with_borrow_mut(|service| Some(service.as_mut()?(request)))?;
    let mut response = http::Response::builder().url(request.url().clone()).status(status).body(body).ok()?;
    *response.headers_mut() = headers;
    Some(response.into())
}
