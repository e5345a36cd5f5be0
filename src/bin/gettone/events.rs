//! Prints the library's events on stderr, for `-v`. `tracing-subscriber` would do it too, with six crates more.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gettone::clock::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::table::is_obeyed;
use crate::times;

/// Prints events from now on.
pub fn print() {
    // Fails only if there is a subscriber already, and nobody else sets one.
    let _ = tracing::subscriber::set_global_default(Printer::default());
}

#[derive(Default)]
struct Printer {
    last: AtomicU64,
    spans: Mutex<HashMap<u64, Span>>,
}

/// A span that has not ended: its name and fields, and how often it is held.
struct Span {
    text: Fields,
    count: usize,
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Printer {
    fn spans(&self) -> MutexGuard<'_, HashMap<u64, Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn print_line(level: &Level, fields: &str) {
    // What a service said may be part of it.
    let text = fields.replace(is_obeyed, " ");
    let now = times::utc(SystemClock::default().now());
    let _ = io::stderr().write_all(format!("{now} {level}{text}\n").as_bytes());
}

impl Subscriber for Printer {
    /// Only what this crate says of itself, which holds no secret.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("gettone") && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut text = Fields(format!(" {}", span.metadata().name()));
        span.record(&mut text);
        self.spans().insert(id, Span { text, count: 1 });
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            values.record(&mut span.text);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        print_line(event.metadata().level(), &fields.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            span.count += 1;
        }
        id.clone()
    }

    /// Prints a call when it has ended: then its fields are known.
    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.spans();
        let Some(span) = spans.get_mut(&id.into_u64()) else { return false };
        span.count -= 1;
        if span.count > 0 {
            return false;
        }
        if let Some(span) = spans.remove(&id.into_u64()) {
            print_line(&Level::DEBUG, &span.text.0);
        }
        true
    }
}
