//! Requests and scopes of a small alphabet, so that they often match.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::*;

const METHODS: [&str; 8] = ["GET", "GET", "GET", "GET", "POST", "PUT", "HEAD", "get"];
const PATTERN_METHODS: [&str; 6] = ["*", "*", "GET", "GET", "POST", "put"];
const PATTERN_HOSTS: [&str; 21] = [
    "*",
    "*",
    "*.it",
    "*.openapi.it",
    "*.imprese.openapi.it",
    "*.com",
    "*.example.com",
    "*.localhost",
    "*.0.0.1",
    "openapi.it",
    "imprese.openapi.it",
    "test.imprese.openapi.it",
    "Imprese.OPENAPI.it",
    "sms.openapi.com",
    "altravia.com",
    "example.com",
    "a.example.com",
    "localhost",
    "127.0.0.1",
    "10.0.0.1",
    "xn--mnchen-3ya.it",
];
const PATTERN_PATHS: [&str; 12] = ["*", "*", "*", "a", "a", "b", "a/b", "a/b/a", "A", "root", "a%2Cb", "a/a%2Cb"];

const SCHEMES: [&str; 12] =
    ["https", "https", "https", "https", "https", "https", "https", "https", "https", "HTTPS", "http", "ftp"];
const USERS: [&str; 8] = ["", "", "", "", "", "u:p@", "openapi.it@", "example.com:443@"];
const HOSTS: [&str; 14] = [
    "openapi.it",
    "imprese.openapi.it",
    "Imprese.OPENAPI.it.",
    "test.imprese.openapi.it",
    "sms.openapi.com",
    "altravia.com",
    "a.b.altravia.com",
    "example.com",
    "EXAMPLE.com.",
    "a.example.com",
    "b.a.example.com",
    "localhost",
    "127.0.0.1",
    "127.1",
];
/// Hosts that look like others, are written in another way, or cannot be in a scope.
const ODD_HOSTS: [&str; 17] = [
    "evilopenapi.it",
    "openapi.it.example.com",
    "openapi.it.com",
    "openapi.org",
    "\u{43e}penapi.it",
    "imprese\u{3002}openapi\u{ff0e}it",
    "münchen.it",
    "it",
    "a.localhost",
    "10.0.0.1",
    "0x7f.1",
    "[::1]",
    "a_b.openapi.it",
    "-a.openapi.it",
    ".openapi.it",
    "imprese..openapi.it",
    "imprese.openapi.it..",
];
const PORTS: [&str; 7] = ["", "", "", "", ":443", ":80", ":8443"];
const SEGMENTS: [&str; 9] = ["a", "a", "a", "b", "b", "%61", "A", "root", "a,b"];
/// Segments that are written in another way, end the path of a scope, or make the client reject the request.
const ODD_SEGMENTS: [&str; 16] = [
    "ab",
    "a%62",
    "a%2cb",
    "a;b",
    "a%3bb",
    "è",
    "a|b",
    "",
    "*",
    "a*",
    "%2F",
    "a%5c",
    "%zz",
    "..",
    "%2e%2e",
    "%252e%252e",
];
const ENDS: [&str; 5] = ["", "", "/", "?a=/b", "#/b"];
const BASES: [&str; 7] = [
    "https://imprese.openapi.it",
    "https://example.com:8443/below",
    "https://xn--mnchen-3ya.it",
    "https://example.com.",
    "http://localhost",
    "http://127.0.0.1:80/a",
    "http://[::1]:8443",
];

fn scopes() -> impl Strategy<Value = Vec<String>> {
    let pattern = (select(&PATTERN_METHODS[..]), select(&PATTERN_HOSTS[..]), select(&PATTERN_PATHS[..]));
    vec(pattern.prop_map(|(method, host, path)| format!("{method}:{host}/{path}")), 1..9)
}

/// Generates the parts of a URL: the text before the host, the host, the port, the path, and the rest.
fn url() -> impl Strategy<Value = [String; 5]> {
    let host = prop_oneof![5 => select(&HOSTS[..]), 1 => select(&ODD_HOSTS[..])];
    let segment = prop_oneof![8 => select(&SEGMENTS[..]), 1 => select(&ODD_SEGMENTS[..])];
    let authority = (select(&SCHEMES[..]), select(&USERS[..]), host, select(&PORTS[..]));
    (authority, vec(segment, 0..4), select(&ENDS[..])).prop_map(|((scheme, user, host, port), segments, end)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        [format!("{scheme}://{user}"), host.to_owned(), port.to_owned(), path, end.to_owned()]
    })
}

/// Returns a host and a path that a pattern covers, as far as the list of hosts allows.
fn of_pattern(pattern: &str) -> [String; 2] {
    let (host, path) = pattern.split_once(':').and_then(|(_, rest)| rest.split_once('/')).unwrap();
    let host = if host == "*" { "sms.openapi.com".to_owned() } else { host.replace('*', "b.a") };
    [host, if path == "*" { String::new() } else { format!("/{path}") }]
}

/// How many ways there are to write a `Host` header.
const WAYS: usize = 22;

/// Returns a `Host` header for a URL: its own authority, or nearly that.
fn header(url: &str, way: usize) -> HeaderValue {
    let Ok(url) = Url::parse(url) else { return HeaderValue::from_static("") };
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let text = match way {
        0..4 => host.to_owned(),
        4..8 => format!("{host}:{port}"),
        8 => host.to_uppercase(),
        9 => format!("{}:{port}", host.to_uppercase()),
        10 => format!("{host}."),
        11 => format!("u@{host}"),
        12 => format!("{host}:"),
        13 => format!("{host}:0{port}"),
        14 => format!("{host}:{}", port ^ 1),
        15 => format!("{host}, {host}"),
        16 => String::new(),
        17 => "imprese.openapi.it".to_owned(),
        18 => "example.com".to_owned(),
        19 => host.replacen('i', "\u{131}", 1) + "\u{e8}",
        20 => return HeaderValue::from_bytes(&[host.as_bytes(), b"\xff"].concat()).unwrap(),
        _ => format!("{host} "),
    };
    HeaderValue::from_str(&text).unwrap()
}

/// Half of the requests match one of the patterns, so that many of them get a token.
fn case() -> impl Strategy<Value = Case> {
    let hosts = prop_oneof![8 => Just(Vec::new()), 2 => vec(0..WAYS, 1), 1 => vec(0..WAYS, 2)];
    let scopes = option::weighted(0.9, scopes());
    (scopes, select(&METHODS[..]), url(), hosts, any::<bool>()).prop_map(
        |(scopes, method, [start, mut host, port, mut path, end], hosts, near)| {
            if let (Some([pattern, ..]), true) = (scopes.as_deref(), near) {
                let below = path;
                [host, path] = of_pattern(pattern);
                path += &below;
            }
            let url = format!("{start}{host}{port}{path}{end}");
            let hosts = hosts.into_iter().map(|way| header(&url, way)).collect();
            Case { scopes, method: method.to_owned(), url, hosts }
        },
    )
}

/// Tries thousands of cases. Some of them must get a token, and some none.
fn cases<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    least: [usize; 2],
    check: impl Fn(&T) -> Option<bool>,
) {
    let counts = [Cell::new(0), Cell::new(0)];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) };
    let result = TestRunner::new(config).run(&strategy, |case| {
        if let Some(authorized) = check(&case) {
            let count = &counts[usize::from(!authorized)];
            count.set(count.get() + 1);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let counts = counts.map(Cell::into_inner);
    assert!(counts[0] > least[0] && counts[1] > least[1], "{counts:?} authorized and refused");
}

#[test]
fn a_request_to_openapi_gets_a_token_as_the_documented_rule_says() {
    cases(case(), [600, 1_500], openapi);
}

#[test]
fn a_request_gets_a_token_of_version_2_by_the_same_rule() {
    cases(case(), [600, 1_500], openapi_v2);
}

#[test]
fn a_request_to_keliweb_gets_a_token_only_at_the_address_of_the_client() {
    // Half of the requests go to the client's own address, or nearly so.
    let near = (
        select(&BASES[..]),
        select(&["", "", "", "blob:"][..]),
        select(&["", "", "/a?b", ":8443/", ".", "@example.com"][..]),
        case(),
    );
    let near = near.prop_map(|(base, start, end, mut case)| {
        let hosts = case.hosts.len();
        case.url = format!("{start}{}{end}", base.trim_end_matches("/below").trim_end_matches("/a"));
        case.hosts = (0..hosts).map(|number| header(&case.url, (case.method.len() + 5 * number) % WAYS)).collect();
        (base, case)
    });
    let cases_of = prop_oneof![near, (select(&BASES[..]), case())];
    cases(cases_of, [300, 1_500], |(base, case)| keliweb(case, base));
}
