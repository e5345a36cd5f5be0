//! What goes wrong on purpose.

use std::time::Duration;

/// How a request comes to grief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is carried out; the answer has this status, and a body such as the service's own failures have.
    Status(u16),
    /// The same with a `Retry-After`, in whole seconds.
    StatusWithRetryAfter(u16, Duration),
    /// Nothing is carried out; a page of HTML with this status, as a proxy sends it.
    Html(u16),
    /// Nothing is carried out; the connection is reset.
    ResetBefore,
    /// The request is carried out; the connection is reset, and the answer is lost.
    ResetAfter,
    /// The request is carried out; the connection ends in the middle of the answer's body.
    HalfAnswer,
}

/// The faults that wait for their requests, the oldest first.
#[derive(Default)]
pub(super) struct Faults(Vec<Planned>);

struct Planned {
    times: usize,
    method: Option<String>,
    path: String,
    fault: Fault,
}

impl Faults {
    /// `on` is a method and the beginning of a path, or either alone; empty for every request.
    pub(super) fn plan(&mut self, times: usize, on: &str, fault: Fault) {
        let (method, path) = match on.split_once(' ') {
            Some((method, path)) => (Some(method), path),
            None if on.starts_with('/') || on.is_empty() => (None, on),
            None => (Some(on), ""),
        };
        self.0.push(Planned { times, method: method.map(str::to_owned), path: path.to_owned(), fault });
    }

    /// The fault for a request, which is used up. A service's path is known with its prefix and without.
    pub(super) fn take(&mut self, method: &str, paths: [&str; 2]) -> Option<Fault> {
        let meant = |planned: &Planned| {
            planned.times > 0
                && planned.method.as_deref().is_none_or(|known| known.eq_ignore_ascii_case(method))
                && paths.iter().any(|path| path.starts_with(&planned.path))
        };
        let found = self.0.iter_mut().find(|planned| meant(planned))?;
        found.times -= 1;
        let fault = found.fault;
        self.0.retain(|planned| planned.times > 0);
        Some(fault)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
