//! No secret is traced, by this crate or by the libraries below it.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::OPERATIONS;
use common::leaks::{acts, assert_clean, call};
use common::raw::Raw;

/// What was written by the subscriber.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs all operations against all that can happen, with everything traced that anybody traces, ours and the libraries'.
#[tokio::test]
async fn no_trace_shows_a_secret_and_each_call_has_its_span() {
    use tracing_subscriber::fmt::format::FmtSpan;

    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process, which is why this test has a file of its own.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing_log::LogTracer::init().unwrap();
    for operation in OPERATIONS {
        for act in acts(operation) {
            let raw = Raw::new([act]).await;
            let _ = call(operation, &raw.url()).await;
        }
    }
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    for operation in OPERATIONS {
        let span =
            text.lines().find(|line| line.contains(&format!("operation=\"{operation}\"")) && line.contains("close"));
        let span = span.unwrap_or_else(|| panic!("{operation} has no span"));
        for field in ["gettone.call", "service=", "status=200", "attempt=1", "duration_ms="] {
            assert!(span.contains(field), "{field} is missing in {span}");
        }
    }
    assert!(text.contains("trying again attempt=1"), "a repeat is not traced");
    assert!(text.contains("attempt=2 duration_ms="), "the number of attempts is not traced");
    assert!(text.contains("reqwest") && text.contains("hyper_util"), "what the libraries say is not heard");
    for line in text.lines() {
        assert_clean("a line of the trace", line);
    }
}
