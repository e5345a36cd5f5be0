//! A parsed scope or pattern, and what its parts stand for.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::ScopeMethod;

/// The normalized text, and where its parts begin.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    /// `None` is the asterisk.
    pub(super) method: Option<ScopeMethod>,
    /// The start of the host.
    pub(super) host: u8,
    /// The start of the path, after its slash.
    pub(super) path: u16,
    pub(super) wild: Wild,
}

/// The places of wildcards in the text. Stored, because comparisons run for every request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wild {
    pub(super) method: bool,
    pub(super) host: WildHost,
    pub(super) path: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WildHost {
    Not,
    Below,
    Any,
}

impl Wild {
    pub(super) const NONE: Self = Self { method: false, host: WildHost::Not, path: false };

    pub(super) fn of(method: &str, host: &str, path: &str) -> Self {
        let wild_host = match host {
            "*" => WildHost::Any,
            _ if host.starts_with('*') => WildHost::Below,
            _ => WildHost::Not,
        };
        Self { method: method == "*", host: wild_host, path: path == "*" }
    }

    pub(super) fn any(self) -> bool {
        self.method || self.path || self.host != WildHost::Not
    }
}

/// The hosts that a pattern stands for. Of any two, one includes the other, or they have no host in common.
///
/// Concrete hosts come first in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Host<'a> {
    Exact(&'a str),
    /// All hosts with one or more labels and a dot before this.
    Below(&'a str),
    Any,
}

/// The paths that a pattern stands for. Of any two, one includes the other, or they have no path in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path<'a> {
    /// This path and everything below it, segment by segment.
    From(&'a str),
    Any,
}

impl Text {
    pub(super) fn host_str(&self) -> &str {
        self.text.get(usize::from(self.host)..usize::from(self.path) - 1).unwrap_or_default()
    }

    pub(super) fn path_str(&self) -> &str {
        self.text.get(usize::from(self.path)..).unwrap_or_default()
    }

    pub(super) fn host(&self) -> Host<'_> {
        match self.wild.host {
            WildHost::Not => Host::Exact(self.host_str()),
            WildHost::Below => Host::Below(self.host_str().get(2..).unwrap_or_default()),
            WildHost::Any => Host::Any,
        }
    }

    pub(super) fn path(&self) -> Path<'_> {
        if self.wild.path { Path::Any } else { Path::From(self.path_str()) }
    }

    /// Returns whether this stands for all that the other stands for. It makes as few comparisons as possible, because it runs
    /// for every request.
    pub(super) fn includes(&self, other: &Self) -> bool {
        if !self.wild.any() {
            // Everything below starts with the same text.
            return starts_with_segments(other.text.as_bytes(), self.text.as_bytes());
        }
        if !self.wild.method && self.method != other.method {
            return false;
        }
        match (self.wild.host, self.wild.path) {
            (WildHost::Any, true) => true,
            // The host with its slash; any path may follow.
            (WildHost::Not, true) => other.tail().starts_with(self.host_bytes(1)),
            (WildHost::Not, false) => starts_with_segments(other.tail(), self.tail()),
            (WildHost::Below, path) => {
                // The suffix with its dot. The other has at least its own `*` before it.
                let (host, suffix) = (other.host_bytes(0), self.host_bytes(0).get(1..).unwrap_or_default());
                host.len() > suffix.len() && host.ends_with(suffix) && (path || self.path().includes(other.path()))
            }
            (WildHost::Any, false) => self.path().includes(other.path()),
        }
    }

    /// Returns the host and the path.
    fn tail(&self) -> &[u8] {
        self.text.as_bytes().get(usize::from(self.host)..).unwrap_or_default()
    }

    /// Returns the host, with `slash` bytes more: 0, or 1 for the slash after it.
    fn host_bytes(&self, slash: usize) -> &[u8] {
        self.text.as_bytes().get(usize::from(self.host)..usize::from(self.path) - 1 + slash).unwrap_or_default()
    }

    /// Returns whether there is a scope that both stand for.
    pub(super) fn intersects(&self, other: &Self) -> bool {
        let methods = self.method.is_none() || other.method.is_none() || self.method == other.method;
        methods && self.host().intersects(other.host()) && self.path().intersects(other.path())
    }

    /// Orders by host, then by path, so that a set can look them up, and the method `*` after the others.
    fn key(&self) -> (Host<'_>, Path<'_>, bool, Option<ScopeMethod>) {
        (self.host(), self.path(), self.wild.method, self.method)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> Host<'a> {
    pub(super) fn includes(self, other: Host<'_>) -> bool {
        match (self, other) {
            (Host::Any, _) => true,
            (Host::Exact(host), Host::Exact(other)) => host == other,
            (Host::Below(suffix), Host::Exact(host)) => is_below(host, suffix),
            (Host::Below(suffix), Host::Below(other)) => other == suffix || is_below(other, suffix),
            (_, Host::Any) | (Host::Exact(_), Host::Below(_)) => false,
        }
    }

    fn intersects(self, other: Host<'_>) -> bool {
        self.includes(other) || other.includes(self)
    }

    /// Returns all that include this, from itself to the widest.
    pub(super) fn up(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |host| match *host {
            Self::Exact(name) | Self::Below(name) => Some(match name.split_once('.') {
                Some((_, rest)) => Self::Below(rest),
                None => Self::Any,
            }),
            Self::Any => None,
        })
    }
}

/// Returns whether the host is the suffix with one or more labels and a dot before it.
fn is_below(host: &str, suffix: &str) -> bool {
    // Both are ASCII.
    host.len() > suffix.len() + 1
        && host.as_bytes().ends_with(suffix.as_bytes())
        && host.as_bytes().get(host.len() - suffix.len() - 1) == Some(&b'.')
}

/// Returns whether the text is `start`, or continues it with a slash.
fn starts_with_segments(text: &[u8], start: &[u8]) -> bool {
    text.starts_with(start) && matches!(text.get(start.len()), None | Some(b'/'))
}

impl<'a> Path<'a> {
    pub(super) fn includes(self, other: Path<'_>) -> bool {
        match (self, other) {
            (Path::Any, _) => true,
            (Path::From(_), Path::Any) => false,
            (Path::From(path), Path::From(other)) => starts_with_segments(other.as_bytes(), path.as_bytes()),
        }
    }

    fn intersects(self, other: Path<'_>) -> bool {
        self.includes(other) || other.includes(self)
    }

    /// Returns all that include this, from itself to the widest.
    pub(super) fn up(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |path| match *path {
            Self::From(path) => Some(path.rsplit_once('/').map_or(Self::Any, |(above, _)| Self::From(above))),
            Self::Any => None,
        })
    }
}
