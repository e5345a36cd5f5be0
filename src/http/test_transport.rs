//! Replaces the network by a function, in tests and fuzz targets only.
//!
//! The fuzz targets enable it with `--cfg gettone_test_transport`. `cfg(fuzzing)` is not an option: cargo-fuzz sets it for every crate, so each
//! program that fuzzes itself would get a `gettone` with this module.

use std::cell::RefCell;

use reqwest::header::HeaderMap;
use reqwest::{Request, Response, ResponseBuilderExt, StatusCode};

/// A response, as a client sees it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// A status from 100 to 999.
    pub status: StatusCode,
    /// All headers, unchanged.
    pub headers: HeaderMap,
    /// The whole body, whatever the headers say.
    pub body: Vec<u8>,
}

type Service = Box<dyn FnMut(&Request) -> Answer>;

thread_local! {
    static SERVICE: RefCell<Option<Service>> = const { RefCell::new(None) };
}

/// Runs `act`. Meanwhile `service` responds to every request of this thread, and nothing is sent.
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

/// Returns the response of the function. `None` if the request must be sent.
pub(crate) fn answer(request: &Request) -> Option<Response> {
    let Answer { status, headers, body } = SERVICE.with_borrow_mut(|service| Some(service.as_mut()?(request)))?;
    let mut response = http::Response::builder().url(request.url().clone()).status(status).body(body).ok()?;
    *response.headers_mut() = headers;
    Some(response.into())
}
