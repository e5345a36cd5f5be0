//! The time that a span records. The clock moves only by the waits, so it is exact.
//!
//! The subscriber is for one thread, and misses events while other threads of the process trace: so this test has a binary of its own.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::capture::capture;
use common::fake::{Answer, FakeService};
use common::{Still, http, oauth, oauth_v2};
use gettone::Retry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

#[tokio::test]
async fn a_span_records_the_waits_and_the_time_of_all_attempts() {
    let (written, subscriber) = capture(LevelFilter::DEBUG, FmtSpan::CLOSE);
    let service = FakeService::answering_with(Answer::empty(429).header("retry-after", "7")).await;
    let (builder, _) = oauth(&service.url()).retry(Retry::default().max_attempts(2)).http_client(http()).still();
    let oauth = builder.build().unwrap();
    let (builder, _) = oauth_v2(&service.url()).retry(Retry::default().max_attempts(2)).http_client(http()).still();
    let second = builder.build().unwrap();
    let guard = tracing::subscriber::set_default(subscriber);
    oauth.credit().await.unwrap_err();
    let text = written.text();
    assert_records(&text, "service=\"Openapi.it Oauth\" operation=\"get_credit\"");
    second.wallet().await.unwrap_err();
    drop(guard);
    let text = written.text().split_off(text.len());
    assert_records(&text, "service=\"Openapi.it Oauth v2\" operation=\"get_wallet\"");
}

fn assert_records(text: &str, of: &str) {
    let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {text}"));
    let again = line("retrying");
    for field in ["gettone.call", of, "attempt=1", "kind=RateLimited", "status=429", "delay_ms=7000"] {
        assert!(again.contains(field), "{field} is missing in {again}");
    }
    let close = line("close");
    for field in ["status=429", "attempt=2", "duration_ms=7000"] {
        assert!(close.contains(field), "{field} is missing in {close}");
    }
}
