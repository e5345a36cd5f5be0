//! Neither this crate nor a library below it traces a secret.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::capture::capture;
use common::fake::FakeService;
use common::leaks::{acts, assert_clean, call, tokens};
use common::operations;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Runs all operations against all that can happen, and captures every event and span, also those of libraries.
#[tokio::test]
async fn no_trace_shows_a_secret_and_each_call_has_its_span() {
    let (written, subscriber) = capture(LevelFilter::TRACE, FmtSpan::FULL);
    // The subscriber is for the whole process, so this test has a binary of its own.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing_log::LogTracer::init().unwrap();
    for operation in operations() {
        for act in acts(operation) {
            let service = FakeService::new([act]).await;
            let _ = call(operation, &service.url()).await;
        }
    }
    tokens().await;
    let text = written.text();
    for event in [
        "token returned from the cache",
        "requesting a token",
        "token received",
        "token loaded from the store",
        "using a broader token",
        "reusing a token of the account",
        "wildcards expanded",
        "the account's tokens could not be listed",
        "token request failed",
        "backing off",
        "token invalidated",
        "cleared",
        "token store failed",
        "damaged token file renamed",
        "damaged record ignored",
    ] {
        let line = text.lines().find(|line| line.contains("gettone::cache") && line.contains(event));
        assert!(line.is_some(), "no event says `{event}`");
    }
    for operation in operations() {
        let of = format!("service=\"{}\" operation=\"{}\"", operation.service.name, operation.name);
        let span = text.lines().find(|line| line.contains(&of) && line.contains("close"));
        let span = span.unwrap_or_else(|| panic!("{operation} has no span"));
        for field in ["gettone.call", "status=200", "attempt=1", "duration_ms="] {
            assert!(span.contains(field), "{field} is missing in {span}");
        }
    }
    assert!(text.contains("retrying attempt=1"), "a repeat is not traced");
    assert!(text.contains("attempt=2 duration_ms="), "the number of attempts is not traced");
    assert!(text.contains("reqwest") && text.contains("hyper_util"), "what the libraries say is not heard");
    for line in text.lines() {
        assert_clean("a line of the trace", line);
    }
}
