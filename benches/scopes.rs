//! Queries of scopes, patterns and sets: `cargo bench --bench scopes`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod asked;
mod ratio;

use std::hint::black_box;

use gettone::{Scope, ScopePattern, ScopeSet};
use ratio::{row, title};

fn main() {
    if !asked::for_figures() {
        return;
    }
    one_pattern();
    parsing();
    sets();
    minimizing();
    expanding();
    covering();
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn one_pattern() {
    title("one pattern covers a scope; the reference compares two equal strings of the scope's length (bar: 3x)");
    for (pattern, text) in [
        ("GET:imprese.openapi.it/base", "GET:imprese.openapi.it/base"),
        ("GET:imprese.openapi.it/base", "GET:imprese.openapi.it/base/12345670124"),
        ("*:imprese.openapi.it/*", "GET:imprese.openapi.it/base"),
        ("GET:*.openapi.it/*", "GET:imprese.openapi.it/base"),
        ("*:*/*", "GET:imprese.openapi.it/base"),
        ("POST:imprese.openapi.it/base", "GET:imprese.openapi.it/base"),
        ("GET:visure.openapi.it/base", "GET:imprese.openapi.it/base"),
    ] {
        let (pattern, scope) = (pattern.parse::<ScopePattern>().unwrap(), scope(text));
        let (a, b) = (text.to_owned(), text.to_owned());
        row(
            &format!("{pattern} {text}"),
            || black_box(a.as_str()) == black_box(b.as_str()),
            || black_box(&pattern).covers(black_box(&scope)),
        );
    }
}

fn parsing() {
    title("parsing; the reference copies the text into a String");
    for text in ["GET:imprese.openapi.it/base", "*:*.openapi.it/*", "POST:ws.ufficiopostale.com/raccomandate"] {
        row(text, || black_box(text).to_owned(), || black_box(text).parse::<ScopePattern>().unwrap());
    }
}

/// Returns `count` patterns, ten for each host.
fn patterns(count: usize) -> Vec<ScopePattern> {
    let pattern =
        |number: usize| format!("GET:service{}.openapi.it/endpoint{}", number / 10, number % 10).parse().unwrap();
    (0..count).map(pattern).collect()
}

fn sets() {
    let scope = scope("GET:service0.openapi.it/endpoint7/12345670124");
    let missing: Scope = "GET:nobody.openapi.it/base".parse().unwrap();
    let ten: ScopeSet = patterns(10).iter().collect();
    title("a set covers a scope; the reference is a set of 10");
    for count in [10, 100, 1_000, 10_000] {
        let set: ScopeSet = patterns(count).iter().collect();
        row(
            &format!("{count} patterns"),
            || black_box(&ten).covers(black_box(&scope)),
            || black_box(&set).covers(&scope),
        );
    }
    title("a set does not cover a scope; the reference tries each of its patterns");
    for count in [10, 100, 1_000, 10_000] {
        let set: ScopeSet = patterns(count).iter().collect();
        row(
            &format!("{count} patterns"),
            || black_box(&set).iter().any(|pattern| pattern.covers(&missing)),
            || black_box(&set).covers(&missing),
        );
    }
    title("the same with all patterns on one host; the reference tries each of its patterns");
    for count in [10, 100, 1_000, 10_000] {
        let one_host = (0..count).map(|number| format!("GET:imprese.openapi.it/endpoint{number}"));
        let set = ScopeSet::parse(one_host).unwrap();
        let missing: Scope = "GET:imprese.openapi.it/nothing".parse().unwrap();
        row(
            &format!("{count} patterns"),
            || black_box(&set).iter().any(|pattern| pattern.covers(&missing)),
            || black_box(&set).covers(&missing),
        );
    }
}

fn minimizing() {
    title("minimizing; the reference has a tenth of the patterns (linear: 10x, quadratic: 100x)");
    for count in [100, 1_000, 10_000] {
        let (few, many) = (with_wildcards(count / 10), with_wildcards(count));
        row(
            &format!("{count} patterns"),
            || ScopeSet::minimize(few.iter().cloned()),
            || ScopeSet::minimize(many.iter().cloned()),
        );
    }
}

/// Adds a twentieth of wildcards that include some of the others.
fn with_wildcards(count: usize) -> Vec<ScopePattern> {
    let mut patterns = patterns(count);
    for number in (0..count).step_by(20) {
        patterns.push(format!("*:service{}.openapi.it/*", number / 10).parse().unwrap());
    }
    patterns
}

fn expanding() {
    title("expanding over a catalogue of 270; the reference tries each pattern on each scope");
    let catalogue: Vec<Scope> =
        (0..270).map(|n| scope(&format!("GET:service{}.openapi.it/endpoint{}", n / 7, n % 7))).collect();
    for count in [1, 10, 100] {
        let set: ScopeSet = patterns(count).iter().collect();
        row(
            &format!("{count} patterns"),
            || catalogue.iter().filter(|scope| set.iter().any(|pattern| pattern.covers(scope))).count(),
            || set.expand(&catalogue).count(),
        );
    }
}

fn covering() {
    title("a minimal cover of so many scopes; the reference has a tenth of them (linear: 10x, quadratic: 100x)");
    for count in [100, 1_000, 10_000] {
        let sized = |count| {
            let scopes: Vec<Scope> = patterns(count).into_iter().map(|pattern| pattern.try_into().unwrap()).collect();
            (with_wildcards(count).into_iter().collect::<ScopeSet>(), scopes)
        };
        let ((few, few_scopes), (many, many_scopes)) = (sized(count / 10), sized(count));
        row(
            &format!("{count} scopes, {} patterns", many.len()),
            || few.minimal_cover(&few_scopes).unwrap(),
            || many.minimal_cover(&many_scopes).unwrap(),
        );
    }
}
