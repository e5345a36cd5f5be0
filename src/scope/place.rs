//! The places of patterns in an index that finds all patterns that include a given one.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::text::{Host, Path};
use super::{ScopeMethod, ScopePattern};

impl ScopePattern {
    /// Returns the place of this pattern.
    pub(crate) fn place(&self) -> u64 {
        let start = start(self.0.method, self.0.host());
        match self.0.path() {
            Path::Any => start.finish(),
            Path::From(path) => along(start, path).last().unwrap_or_default(),
        }
    }

    /// Returns the places of all patterns that include this one.
    pub(crate) fn places_above(&self) -> Vec<u64> {
        let methods = [self.0.method, None];
        let methods = if self.0.method.is_some() { &methods[..] } else { &methods[1..] };
        let hosts = || self.0.host().up();
        let starts = methods.iter().flat_map(|method| hosts().map(|host| start(*method, host)));
        let paths = |start: DefaultHasher| {
            let any = start.finish();
            let from = match self.0.path() {
                Path::Any => None,
                Path::From(path) => Some(along(start, path)),
            };
            std::iter::once(any).chain(from.into_iter().flatten())
        };
        starts.flat_map(paths).collect()
    }
}

fn start(method: Option<ScopeMethod>, host: Host<'_>) -> DefaultHasher {
    let mut hasher = DefaultHasher::new();
    (method, host).hash(&mut hasher);
    hasher
}

/// Returns a hash for each path above this one, and last for the path itself. Each continues the one before, so that a long path
/// is read only once.
fn along(mut hasher: DefaultHasher, path: &str) -> impl Iterator<Item = u64> {
    path.split('/').map(move |segment| {
        segment.hash(&mut hasher);
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_at_one_of_the_places_above_whatever_it_includes() {
        let mut patterns: Vec<ScopePattern> = Vec::new();
        for method in ["GET", "POST", "*"] {
            for host in ["a.it", "b.a.it", "c.b.a.it", "bb.a.it", "*.it", "*.a.it", "*.b.a.it", "*"] {
                for path in ["x", "x/y", "x/y/z", "xy", "y", "*"] {
                    patterns.push(format!("{method}:{host}/{path}").parse().unwrap());
                }
            }
        }
        for wide in &patterns {
            for narrow in &patterns {
                let is_found = narrow.places_above().contains(&wide.place());
                assert_eq!(is_found, wide.includes(narrow), "{wide} {narrow}");
            }
        }
    }

    #[test]
    fn a_path_of_very_many_segments_is_hashed_once() {
        let pattern: ScopePattern = format!("GET:a.it/{}", "x/".repeat(20_000) + "x").parse().unwrap();
        // Three hosts, two methods, and each path above, with `*`.
        assert_eq!(pattern.places_above().len(), 3 * 2 * (20_001 + 1));
    }
}
