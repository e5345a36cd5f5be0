//! The algebra of scopes: the documented table row by row, and its laws over random scopes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "hostile/scopes.rs"]
mod hostile;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gettone::{Scope, ScopeList, ScopeMethod, ScopePattern, ScopeSet};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use reqwest::Url;

use hostile::model;

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn pattern(text: &str) -> ScopePattern {
    text.parse().unwrap()
}

fn set(patterns: &[&str]) -> ScopeSet {
    ScopeSet::parse(patterns).unwrap()
}

#[test]
fn a_pattern_covers_what_the_table_says() {
    for (text, covered, not_covered) in [
        // A concrete scope covers its path and everything below it, on a segment boundary.
        (
            "GET:h.it/counters",
            &["GET:h.it/counters", "GET:h.it/counters/day", "GET:h.it/counters/day/2022-01-01"][..],
            &[
                "GET:h.it/counters2",
                "GET:h.it/counter",
                "GET:h.it/Counters",
                "GET:h.it/x/counters",
                "POST:h.it/counters",
                "GET:i.it/counters",
            ][..],
        ),
        (
            "POST:h.it/fields/country",
            &["POST:h.it/fields/country", "POST:h.it/fields/country/it"],
            &["POST:h.it/fields", "POST:h.it/fields/countr"],
        ),
        ("GET:h.it/root", &["GET:h.it/root"], &["GET:h.it/base"]),
        // `*` as the method.
        ("*:h.it/a", &["GET:h.it/a", "POST:h.it/a", "PUT:h.it/a", "PATCH:h.it/a", "DELETE:h.it/a/b"], &["GET:h.it/b"]),
        // `/*` as all endpoints.
        ("GET:h.it/*", &["GET:h.it/root", "GET:h.it/a", "GET:h.it/a/b"], &["POST:h.it/a", "GET:x.h.it/a"]),
        // `*` as the whole host.
        ("GET:*/a", &["GET:h.it/a", "GET:it/a", "GET:a.b.c.d/a/x"], &["GET:h.it/b", "POST:h.it/a"]),
        // `*.suffix`: one or more leading labels, never the bare suffix, never another host that ends alike.
        (
            "GET:*.openapi.it/*",
            &["GET:imprese.openapi.it/base", "GET:test.imprese.openapi.it/base", "GET:a.b.c.openapi.it/x"],
            &[
                "GET:openapi.it/base",
                "GET:evilopenapi.it/base",
                "GET:imprese.openapi.it.evil.it/base",
                "GET:imprese.openapi.com/x",
            ],
        ),
        ("*:*/*", &["GET:h.it/a", "DELETE:a.b.c/x/y/z"], &[]),
        (
            "*:comparabili.openapi.it/*",
            &["POST:comparabili.openapi.it/root"],
            &["POST:test.comparabili.openapi.it/root"],
        ),
        // Letter case counts in the path and nowhere else.
        ("get:IMPRESE.openapi.it/IT-full", &["GET:imprese.openapi.it/IT-full"], &["GET:imprese.openapi.it/it-full"]),
    ] {
        let pattern = pattern(text);
        let alone = ScopeSet::from(pattern.clone());
        for covered in covered {
            assert!(pattern.covers(&scope(covered)), "{text} covers {covered}");
            assert!(alone.covers(&scope(covered)), "{text} covers {covered}");
            assert_eq!(alone.narrowest_covering(&scope(covered)), Some(&pattern));
        }
        for not in not_covered {
            assert!(!pattern.covers(&scope(not)), "{text} does not cover {not}");
            assert!(!alone.covers(&scope(not)), "{text} does not cover {not}");
            assert_eq!(alone.narrowest_covering(&scope(not)), None);
        }
    }
}

/// Returns all words of up to `longest` letters, joined by `between`.
fn words(letters: &[&str], between: &str, longest: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut last = vec![String::new()];
    for length in 1..=longest {
        let joint = if length == 1 { "" } else { between };
        last =
            last.iter().flat_map(|word| letters.iter().map(move |letter| format!("{word}{joint}{letter}"))).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Every pattern over a small alphabet.
static PATTERNS: LazyLock<Vec<ScopePattern>> = LazyLock::new(|| {
    let mut hosts = words(&["a", "b"], ".", 2);
    hosts.extend(hosts.clone().iter().map(|host| format!("*.{host}")));
    hosts.push("*".to_owned());
    let mut paths = words(&["a", "b"], "/", 2);
    paths.push("*".to_owned());
    let mut patterns = Vec::new();
    for method in ["*", "GET", "POST"] {
        for host in &hosts {
            patterns.extend(paths.iter().map(|path| pattern(&format!("{method}:{host}/{path}"))));
        }
    }
    patterns
});

/// Every scope over the same alphabet and one more letter, so that there is always a host, a path and a method that no pattern
/// has.
static SCOPES: LazyLock<Vec<Scope>> = LazyLock::new(|| {
    let mut scopes = Vec::new();
    for &method in ScopeMethod::ALL {
        for host in words(&["a", "b", "c"], ".", 3) {
            scopes.extend(words(&["a", "b", "c"], "/", 3).iter().map(|path| scope(&format!("{method}:{host}/{path}"))));
        }
    }
    scopes
});

/// Returns a bit for each scope: whether the model says that the pattern covers it.
fn extent(pattern: &ScopePattern) -> Vec<u64> {
    let bits: Vec<bool> = SCOPES.iter().map(|scope| model::covers(pattern.as_str(), scope.as_str())).collect();
    bits.chunks(64)
        .map(|chunk| chunk.iter().enumerate().fold(0, |word, (index, bit)| word | u64::from(*bit) << index))
        .collect()
}

static EXTENTS: LazyLock<Vec<Vec<u64>>> = LazyLock::new(|| PATTERNS.iter().map(extent).collect());

fn includes(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).all(|(a, b)| b & !a == 0)
}

fn intersects(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).any(|(a, b)| a & b != 0)
}

#[test]
fn every_pattern_covers_what_the_model_says() {
    assert_eq!((PATTERNS.len(), SCOPES.len()), (273, 7605));
    for pattern in PATTERNS.iter() {
        for scope in SCOPES.iter() {
            assert_eq!(pattern.covers(scope), model::covers(pattern.as_str(), scope.as_str()), "{pattern} {scope}");
        }
    }
}

#[test]
fn a_pattern_includes_another_if_and_only_if_it_covers_all_that_the_other_covers() {
    for (a, a_extent) in PATTERNS.iter().zip(EXTENTS.iter()) {
        for (b, b_extent) in PATTERNS.iter().zip(EXTENTS.iter()) {
            assert_eq!(a.includes(b), includes(a_extent, b_extent), "{a} includes {b}");
            assert_eq!(a.intersects(b), intersects(a_extent, b_extent), "{a} intersects {b}");
            // Antisymmetry: two patterns that include each other are equal.
            assert_eq!(a.includes(b) && b.includes(a), a == b, "{a} and {b}");
        }
    }
}

#[test]
fn inclusion_is_transitive() {
    for a in PATTERNS.iter() {
        let below: Vec<_> = PATTERNS.iter().filter(|b| a.includes(b)).collect();
        for b in &below {
            for c in PATTERNS.iter().filter(|c| b.includes(c)) {
                assert!(a.includes(c), "{a} includes {b} includes {c}");
            }
        }
    }
}

/// Generates indexes into the small patterns.
fn some_patterns(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..PATTERNS.len(), 0..=most)
}

fn chosen(numbers: &[usize]) -> ScopeSet {
    numbers.iter().map(|number| &PATTERNS[*number]).collect()
}

fn union(numbers: &[usize]) -> Vec<u64> {
    let none = vec![0; EXTENTS[0].len()];
    numbers.iter().fold(none, |all, number| all.iter().zip(&EXTENTS[*number]).map(|(a, b)| a | b).collect())
}

/// Generates realistic patterns.
fn any_pattern() -> impl Strategy<Value = ScopePattern> {
    let method = select(vec!["*", "GET", "POST", "PUT", "PATCH", "DELETE"]);
    let host = prop_oneof![
        Just("*".to_owned()),
        "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{1,4}){0,3}",
        "\\*\\.[a-z0-9]{1,9}(\\.[a-z]{1,4}){0,3}",
    ];
    let path = prop_oneof![Just("*".to_owned()), "[A-Za-z0-9_-]{1,12}(/[A-Za-z0-9_~-]{1,4}){0,2}"];
    (method, host, path).prop_map(|(method, host, path)| pattern(&format!("{method}:{host}/{path}")))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_set_includes_what_its_members_cover_together(members in some_patterns(8), others in some_patterns(3)) {
        let (a, b) = (chosen(&members), chosen(&others));
        prop_assert_eq!(a.includes(&b), includes(&union(&members), &union(&others)), "{} includes {}", a, b);
        prop_assert_eq!(a.intersects(&b), intersects(&union(&members), &union(&others)), "{} intersects {}", a, b);
    }

    #[test]
    fn five_methods_are_all_methods(number in 0..PATTERNS.len(), missing in 0..5_usize) {
        let all = pattern(&format!("*:{}/{}", PATTERNS[number].host(), PATTERNS[number].path()));
        let five: Vec<_> = ScopeMethod::ALL.iter().map(|&method| all.clone().with_method(method)).collect();
        let four: ScopeSet = five.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, pattern)| pattern).collect();
        let five: ScopeSet = five.iter().collect();
        prop_assert!(five.includes([&all]));
        prop_assert!(!four.includes([&all]));
        prop_assert!(ScopeSet::from(all).includes(&five));
    }

    #[test]
    fn a_large_set_covers_what_a_member_covers(members in prop::collection::vec(0..PATTERNS.len(), 33..80), number in 0..SCOPES.len()) {
        let (set, scope) = (chosen(&members), &SCOPES[number]);
        let covered = set.iter().any(|member| model::covers(member.as_str(), scope.as_str()));
        prop_assert_eq!(set.covers(scope), covered);
    }

    #[test]
    fn a_list_keeps_every_entry(entries in prop::collection::vec(prop_oneof![any_pattern().prop_map(|p| p.to_string()), any::<String>()], 0..20)) {
        hostile::read(&serde_json::to_string(&entries).unwrap());
    }

    #[test]
    fn a_set_covers_what_a_member_covers(members in some_patterns(12), number in 0..SCOPES.len()) {
        hostile::covers(&chosen(&members), &SCOPES[number]);
    }

    #[test]
    fn minimizing_keeps_what_is_covered(members in some_patterns(12)) {
        let minimal = hostile::minimize(&chosen(&members));
        let numbers: Vec<_> = minimal.iter().map(|member| PATTERNS.iter().position(|known| known == member).unwrap()).collect();
        prop_assert_eq!(union(&numbers), union(&members));
    }

    #[test]
    fn expanding_returns_the_covered_part_of_the_catalogue(members in some_patterns(4), numbers in prop::collection::vec(0..SCOPES.len(), 0..60)) {
        let mut catalogue: Vec<Scope> = numbers.iter().map(|number| SCOPES[*number].clone()).collect();
        catalogue.extend(catalogue.clone().into_iter().take(10));
        hostile::expands(&chosen(&members), &catalogue);
    }

    #[test]
    fn a_minimal_cover_has_no_member_to_drop_or_to_narrow(members in some_patterns(9), numbers in prop::collection::vec(0..SCOPES.len(), 0..8)) {
        let set = chosen(&members);
        let scopes: Vec<Scope> = numbers.iter().map(|number| SCOPES[*number].clone()).filter(|scope| set.covers(scope)).collect();
        hostile::minimal_cover(&set, &scopes);
    }

    #[test]
    fn missing_members_are_neither_included_nor_expanded(requested in some_patterns(5), granted in some_patterns(5)) {
        let (requested, granted) = (chosen(&requested), chosen(&granted));
        let missing = requested.missing_from(&granted);
        for member in &requested {
            let is_granted = granted.includes([member]) || member.has_wildcard() && granted.iter().any(|grant| member.includes(grant));
            prop_assert_eq!(missing.contains(member), !is_granted);
        }
    }

    #[test]
    fn inclusion_keeps_its_laws_for_realistic_patterns(a in any_pattern(), b in any_pattern(), c in any_pattern()) {
        prop_assert!(a.includes(&a) && a.intersects(&a) && ScopePattern::everything().includes(&a));
        prop_assert_eq!(a.includes(&b) && b.includes(&a), a == b);
        prop_assert!(!(a.includes(&b) && b.includes(&c)) || a.includes(&c));
        prop_assert_eq!(a.intersects(&b), b.intersects(&a));
        prop_assert!(!a.includes(&b) || a.intersects(&b));
        if let Ok(scope) = Scope::try_from(b.clone()) {
            prop_assert_eq!(a.covers(&scope), a.includes(&b));
            prop_assert_eq!(a.covers(&scope), model::covers(a.as_str(), b.as_str()));
        }
    }

    #[test]
    fn parsing_and_printing_are_inverse(pattern in any_pattern(), more in prop::collection::vec(any_pattern(), 0..6)) {
        prop_assert_eq!(&pattern.to_string().parse::<ScopePattern>().unwrap(), &pattern);
        let json = serde_json::to_string(&pattern).unwrap();
        prop_assert_eq!(&json, &format!("\"{pattern}\""));
        prop_assert_eq!(&serde_json::from_str::<ScopePattern>(&json).unwrap(), &pattern);
        if let Ok(scope) = Scope::try_from(pattern.clone()) {
            prop_assert_eq!(&scope.to_string().parse::<Scope>().unwrap(), &scope);
            prop_assert_eq!(serde_json::to_string(&scope).unwrap(), json);
        }
        let set: ScopeSet = more.iter().collect();
        prop_assert_eq!(&set.to_string().parse::<ScopeSet>().unwrap(), &set);
        prop_assert_eq!(&serde_json::from_str::<ScopeSet>(&serde_json::to_string(&set).unwrap()).unwrap(), &set);
        prop_assert_eq!(&serde_json::from_value::<ScopeSet>(set.to_string().into()).unwrap(), &set);
    }

    #[test]
    fn a_set_ignores_order_and_duplicates(patterns in prop::collection::vec(any_pattern(), 0..8), again in subsequence((0..8_usize).collect::<Vec<_>>(), 0..8)) {
        use std::hash::{BuildHasher, RandomState};
        let set: ScopeSet = patterns.iter().collect();
        let other: ScopeSet = patterns.iter().rev().chain(again.iter().filter_map(|index| patterns.get(*index))).collect();
        prop_assert_eq!(&set, &other);
        let hashes = RandomState::new();
        prop_assert_eq!(hashes.hash_one(&set), hashes.hash_one(&other));
        prop_assert_eq!(set.len(), patterns.iter().collect::<BTreeSet<_>>().len());
        prop_assert!(set.iter().is_sorted());
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(text in prop_oneof!["\\PC{0,40}", "[A-Z*]{0,7}:?[a-zA-Z0-9.*-]{0,20}/?[a-zA-Z0-9/*?#%._-]{0,20}", any::<String>()]) {
        hostile::read(&text);
    }

    #[test]
    fn any_url_has_a_scope_or_an_error(text in prop_oneof!["https://[a-zA-Z0-9.-]{1,20}/\\PC{0,30}", "https?://\\PC{0,30}", any::<String>()]) {
        hostile::url(&text);
    }

    #[test]
    fn a_set_of_any_words_answers_as_its_members_do(patterns in prop::collection::vec(any_pattern(), 0..16), small in some_patterns(12)) {
        let small = small.iter().map(|number| PATTERNS[*number].to_string());
        let words: Vec<String> = patterns.iter().map(ToString::to_string).chain(small).collect();
        hostile::words(&words.join(" "));
    }
}

/// A host of a catalogue like the vendor's: about 270 scopes on 60 hosts.
fn vendor_like_host(number: usize) -> Vec<Scope> {
    let methods = |path: usize| match (number + path) % 4 {
        0 => &["GET", "POST"][..],
        1 => &["POST"],
        _ => &["GET"],
    };
    let endpoint =
        |path| methods(path).iter().map(move |method| format!("{method}:service{number}.openapi.it/e{path}"));
    (0..1 + number * 7 % 6).flat_map(endpoint).map(|text| scope(&text)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(50) })]

    #[test]
    fn a_minimal_cover_in_a_catalogue_like_the_vendors_is_the_smallest(bits in prop::collection::vec(any::<[u16; 2]>(), 60)) {
        let (mut allowed, mut needed, mut smallest) = (Vec::new(), Vec::new(), 0);
        for (number, [member_bits, scope_bits]) in bits.iter().enumerate() {
            let scopes = vendor_like_host(number);
            let wide = ["*", "GET", "POST"].map(|method| pattern(&format!("{method}:{}/*", scopes[0].host())));
            let chosen = |bits: u16, index: usize| bits >> index & 1 == 1;
            let members = wide.into_iter().chain(scopes.iter().cloned().map(Into::into));
            let members: ScopeSet = members.enumerate().filter(|(index, _)| chosen(*member_bits, *index)).map(|(_, member)| member).collect();
            let scopes = scopes.into_iter().enumerate().filter(|(index, scope)| chosen(*scope_bits, *index) && members.covers(scope));
            let scopes: Vec<Scope> = scopes.map(|(_, scope)| scope).collect();
            // No member is for two hosts.
            smallest += hostile::smallest_cover(&members, &scopes);
            allowed.extend(members);
            needed.extend(scopes);
        }
        let allowed: ScopeSet = allowed.into_iter().collect();
        prop_assert_eq!(allowed.minimal_cover(&needed).unwrap().len(), smallest);
    }
}

#[test]
fn odd_texts_are_values_or_errors() {
    let long = "a.".repeat(200);
    let texts = [
        "",
        "*",
        ":",
        "/",
        "*:*/*",
        "GET:a.it/b",
        "get:A.IT/b",
        "GET:*/",
        "GET:*./b",
        "GET:a.it//",
        "GET:a.it/*/*",
        "GET:a.it/\u{0}",
        "GET:xn--a.it/b",
        "GET:[::1]/b",
        "GET:a.it:1/b",
        "GET:è.it/è",
        "\u{feff}GET:a.it/b",
        "[1e3,null,\"GET:a.it/b\",[[]],{}]",
        "https://a.it/%2e%2e%2f",
        "https://a.it/%",
        "https://a.it/%25%32%35%32%66",
        "https://a.it/\u{202e}/b",
        "https://*.a.it/b",
        "*:*.a.it/* GET:a.it/b GET:b.a.it/b/c *:*/b GET:b.a.it/b",
        &long,
    ];
    for text in texts {
        hostile::read(text);
        hostile::words(text);
        for place in ["GET:@/b", "GET:a.it/@", "@:a.it/b", "https://a.it/@", "@ @ GET:a.it/b @", "[\"@\"]"] {
            hostile::read(&place.replace('@', text));
            hostile::words(&place.replace('@', text));
        }
    }
}

#[test]
fn a_request_needs_the_scope_of_its_first_segment() {
    let for_request = |url: &str| Scope::for_request(&reqwest::Method::GET, &Url::parse(url).unwrap());
    for (url, expected) in [
        ("https://imprese.openapi.it/base/12345670124", "GET:imprese.openapi.it/base"),
        ("https://imprese.openapi.it/IT-full?x=/y#/z", "GET:imprese.openapi.it/IT-full"),
        ("https://IMPRESE.openapi.it:8443/base/", "GET:imprese.openapi.it/base"),
        ("https://comparabili.openapi.it/", "GET:comparabili.openapi.it/root"),
        ("https://comparabili.openapi.it", "GET:comparabili.openapi.it/root"),
        ("https://comparabili.openapi.it/?q=1", "GET:comparabili.openapi.it/root"),
        ("https://h.it/%62ase/x", "GET:h.it/base"),
        ("https://h.it/a%2Db%7e", "GET:h.it/a-b~"),
        ("https://h.it/%c3%a8", "GET:h.it/%C3%A8"),
        ("https://h.it/è", "GET:h.it/%C3%A8"),
        ("https://h.it/x/../base", "GET:h.it/base"),
        ("https://h.it/%2e%2e/base", "GET:h.it/base"),
        ("https://h.it/base%3Fx", "GET:h.it/base%3Fx"),
        ("https://h.it/base\\x", "GET:h.it/base"),
        ("https://127.0.0.1:8080/base", "GET:127.0.0.1/base"),
        ("https://h.it./base", "GET:h.it/base"),
        ("https://h.it/a|b", "GET:h.it/a%7Cb"),
        ("https://h.it/a:b@c", "GET:h.it/a:b@c"),
        // A scope has no comma, so it is encoded.
        ("https://h.it/a,b", "GET:h.it/a%2Cb"),
        ("https://h.it/a%2cb", "GET:h.it/a%2Cb"),
        ("https://h.it/base/1,2?fields=a,b#c,d", "GET:h.it/base"),
        ("https://h.it/base/a%2Fb", "GET:h.it/base"),
        ("https://h.it/base/100%25", "GET:h.it/base"),
        ("https://h.it/root", "GET:h.it/root"),
        ("https://münchen.it/a", "GET:xn--mnchen-3ya.it/a"),
    ] {
        assert_eq!(for_request(url).unwrap().as_str(), expected, "{url}");
    }
    for (url, reason) in [
        ("https://h.it/base%2Fadmin", "an encoded slash"),
        ("https://h.it/base%2fadmin", "an encoded slash"),
        ("https://h.it/base%5Cadmin", "an encoded slash, backslash"),
        ("https://h.it/base%252Fadmin", "percent sign"),
        ("https://h.it/base%zz", "without two hexadecimal digits"),
        ("https://h.it/base%+A", "without two hexadecimal digits"),
        ("https://h.it/base%", "without two hexadecimal digits"),
        ("https://h.it/base%00", "an encoded control character"),
        // A server that decodes these sees `/admin`.
        ("https://h.it/base/..%2fadmin", "hidden in it"),
        ("https://h.it/base/..%5cadmin", "hidden in it"),
        ("https://h.it/base/%2e%2e%2fadmin/x", "hidden in it"),
        ("https://h.it/base/%252e%252e/admin", "hidden in it"),
        ("https://h.it/base/%25252525252e%25252525252e/admin", "hidden in it"),
        ("https://h.it//base", "an empty segment"),
        ("https://[::1]/base", "without a host name"),
        ("data:text/plain,x", "without a host name"),
        ("https://h.it/*", "an asterisk"),
        ("https://h.it/base*", "an asterisk"),
        ("https://-h.it/base", "cannot start or end with a hyphen"),
    ] {
        let error = for_request(url).unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains(reason), "{url}: {error}");
        // A path may have a secret in it.
        assert!(!error.to_string().contains("base"), "{url}: {error}");
    }
    let url = Url::parse("https://h.it/a").unwrap();
    for method in ["HEAD", "OPTIONS", "CONNECT", "TRACE", "PROPFIND", "get"] {
        let error = Scope::for_request(&method.parse().unwrap(), &url).unwrap_err();
        assert_eq!(error.to_string(), format!("unknown method {method:?}; expected GET, POST, PUT, PATCH or DELETE"));
    }
    for &method in ScopeMethod::ALL {
        assert_eq!(Scope::for_request(&method.into(), &url).unwrap().method(), method);
    }
}

#[test]
fn a_sandbox_host_starts_with_test() {
    let production = scope("GET:imprese.openapi.it/IT-full");
    let sandbox = production.sandbox().unwrap();
    assert_eq!(sandbox.as_str(), "GET:test.imprese.openapi.it/IT-full");
    assert_eq!(sandbox.sandbox().unwrap(), sandbox);
    assert_eq!((sandbox.production(), production.production()), (production.clone(), production));
    // A domain of its own is no sandbox.
    let own = scope("GET:test.it/a");
    assert_eq!((own.production().as_str(), own.sandbox().unwrap().as_str()), ("GET:test.it/a", "GET:test.test.it/a"));
    let long = scope(&format!("GET:{}it/a", "a23456789.".repeat(25)));
    assert!(long.sandbox().unwrap_err().is_invalid_input());
}

#[test]
fn builders_build_patterns_and_refuse_invalid_parts() {
    assert_eq!(ScopePattern::everything(), pattern("*:*/*"));
    assert_eq!(ScopePattern::domain("Comparabili.openapi.it").unwrap(), pattern("*:comparabili.openapi.it/*"));
    assert_eq!(ScopePattern::domain("*.openapi.it").unwrap(), pattern("*:*.openapi.it/*"));
    assert_eq!(ScopePattern::domain("*").unwrap(), ScopePattern::everything());
    let base =
        ScopePattern::domain("imprese.openapi.it").unwrap().with_method(ScopeMethod::Get).endpoint("base").unwrap();
    assert_eq!(base, pattern("GET:imprese.openapi.it/base"));
    assert_eq!(
        base.clone().endpoint("/IT-full").unwrap().with_method(ScopeMethod::Delete),
        pattern("DELETE:imprese.openapi.it/IT-full")
    );
    assert_eq!(base.endpoint("*").unwrap(), pattern("GET:imprese.openapi.it/*"));
    assert_eq!(ScopePattern::everything().with_method(ScopeMethod::Put).method(), Some(ScopeMethod::Put));
    for host in ["", "a/b", "h.it:443", "a b", "a.*.it", "-a.it", "GET:h.it/a", "h.it/"] {
        assert!(ScopePattern::domain(host).unwrap_err().is_invalid_input(), "{host}");
    }
    for (host, said) in [
        (
            "https://imprese.openapi.it",
            "0 ('h'): a host has no scheme; write the host alone, as in `imprese.openapi.it`",
        ),
        ("HTTPS://imprese.openapi.it/base", "0 ('H'): a host has no scheme"),
        ("ws://imprese.openapi.it", "0 ('w'): a host has no scheme"),
        ("http:imprese.openapi.it", "0 ('h'): a host has no scheme"),
        (
            "imprese.openapi.it/base",
            "18 ('/'): a host has no path; write the host alone, and pass the path to `ScopePattern::endpoint`",
        ),
        ("imprese.openapi.it/", "18 ('/'): a host has no path"),
        ("imprese.openapi.it:443", "18 (':'): a scope has no port"),
        ("a.it,b.it", "4 (','): a scope has no comma"),
    ] {
        let error = ScopePattern::domain(host).unwrap_err().to_string();
        assert!(error.starts_with(&format!("invalid host {host:?} at byte {said}")), "{error}");
    }
    let error = ScopePattern::everything().endpoint("a,b").unwrap_err().to_string();
    assert!(error.starts_with("invalid path \"a,b\" at byte 1 (','): a scope has no comma"), "{error}");
    // The byte is counted in the argument.
    let error = ScopePattern::domain("u@h.it").unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid host \"u@h.it\" at byte 1 ('@'): a scope has no user name; write the host alone"
    );
    let error = ScopePattern::everything().endpoint("IT-*").unwrap_err().to_string();
    assert!(error.starts_with("invalid path \"IT-*\" at byte 3 ('*'): `*` cannot stand for part of a path"), "{error}");
    for path in ["", "a//b", "a?b", "a/*", "it-*", "a b", "."] {
        assert!(ScopePattern::everything().endpoint(path).unwrap_err().is_invalid_input(), "{path}");
    }
}

#[test]
fn several_scopes_in_one_string_are_refused() {
    let text = "GET:a.it/x,POST:a.it/x";
    let expected = format!(
        "invalid scope {text:?} at byte 10 (','): a scope has no comma; write several scopes as several strings, or as one \
         `ScopeSet` with spaces between them"
    );
    for error in [
        text.parse::<Scope>().unwrap_err(),
        text.parse::<ScopePattern>().unwrap_err(),
        text.parse::<ScopeSet>().unwrap_err(),
        ScopeSet::parse([text]).unwrap_err(),
    ] {
        assert!(error.is_invalid_input());
        assert_eq!(error.to_string(), expected);
    }
    let error = "GET:a.it/x, POST:a.it/x".parse::<ScopeSet>().unwrap_err().to_string();
    assert!(error.starts_with("invalid scope \"GET:a.it/x,\" at byte 10 (','): a scope has no comma"), "{error}");
    // As the message suggests.
    let apart = set(&["GET:a.it/x", "POST:a.it/x"]);
    assert_eq!("GET:a.it/x POST:a.it/x".parse::<ScopeSet>().unwrap(), apart);
    assert_eq!(serde_json::from_str::<ScopeSet>(r#"["GET:a.it/x","POST:a.it/x"]"#).unwrap(), apart);
    // Such an entry of a service's list does not lose the others.
    let list: ScopeList = serde_json::from_str(r#"["GET:a.it/x,y","GET:a.it/x"]"#).unwrap();
    assert_eq!((list.len(), list.unrecognized()), (1, &["GET:a.it/x,y".to_owned()][..]));
}

#[test]
fn a_pattern_without_wildcards_is_a_scope() {
    assert_eq!(Scope::try_from(pattern("GET:h.it/a")).unwrap(), scope("GET:h.it/a"));
    let error = Scope::try_from(pattern("GET:h.it/*")).unwrap_err();
    assert!(error.to_string().contains("at byte 9 ('*'): a `Scope` has no wildcard; use a `ScopePattern`"), "{error}");
    assert_eq!(ScopePattern::from(scope("GET:h.it/a")), pattern("GET:h.it/a"));
}

#[test]
fn a_minimal_cover_prefers_narrow_members_and_names_an_uncovered_scope() {
    let all = set(&["*:h.it/*", "GET:h.it/*", "GET:h.it/a", "GET:i.it/*"]);
    assert_eq!(all.minimal_cover(&[scope("GET:h.it/a")]).unwrap(), set(&["GET:h.it/a"]));
    assert_eq!(all.minimal_cover(&[scope("GET:h.it/a"), scope("GET:h.it/b")]).unwrap(), set(&["GET:h.it/*"]));
    assert_eq!(all.minimal_cover(&[]).unwrap(), ScopeSet::default());
    let error = all.minimal_cover(&[scope("GET:h.it/a"), scope("POST:i.it/x")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no pattern of the set covers the scope POST:i.it/x; add one, or leave the scope out"
    );
}

#[test]
fn a_member_that_later_choices_make_needless_is_dropped() {
    // `GET:*.it/c` covers most (six) and is chosen first. The two hosts, needed for `a` and `b`, cover the same.
    let mut scopes = Vec::new();
    for host in ["h.it", "i.it"] {
        scopes.extend(["a", "b", "c/1", "c/2", "c/3"].map(|path| scope(&format!("GET:{host}/{path}"))));
    }
    let all = set(&["GET:h.it/*", "GET:i.it/*", "GET:*.it/a", "GET:*.it/b", "GET:*.it/c"]);
    assert_eq!(all.minimal_cover(&scopes).unwrap(), set(&["GET:h.it/*", "GET:i.it/*"]));
}

#[test]
fn a_minimal_cover_is_no_wider_than_it_must_be() {
    let all = set(&["GET:*/*", "GET:h.it/p", "*:h.it/c"]);
    let scopes = ["GET:h.it/p/a", "GET:h.it/p/b", "GET:h.it/c/1", "GET:h.it/c/2", "POST:h.it/c"].map(scope);
    assert_eq!(all.minimal_cover(&scopes).unwrap(), set(&["GET:h.it/p", "*:h.it/c"]));
}

#[test]
fn a_list_keeps_unrecognized_entries_apart() {
    let list: ScopeList = serde_json::from_str(r#"["GET:h.it/a","*:i.it/*","odd","GET:h.it/a"]"#).unwrap();
    assert_eq!(list.unrecognized(), ["*:i.it/*", "odd"]);
    assert_eq!(list.iter().collect::<ScopeSet>(), set(&["GET:h.it/a"]));
    assert_eq!(pattern("*:h.it/*").expand(&list).count(), 1);
    assert_eq!((list.len(), list.as_slice()), (2, &[scope("GET:h.it/a"), scope("GET:h.it/a")][..]));
    assert!(list.contains(&scope("GET:h.it/a")) && !list.contains(&scope("GET:h.it/a/b")));
    let odd: ScopeList = serde_json::from_str(r#"["odd"]"#).unwrap();
    assert!(odd.is_empty() && !list.is_empty());
}

#[test]
fn values_are_small_and_sendable() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Scope>();
    shared::<ScopePattern>();
    shared::<ScopeSet>();
    assert!(size_of::<Scope>() <= 24 && size_of::<ScopeSet>() <= 24);
    assert_eq!(format!("{:?}", scope("GET:h.it/a")), "Scope(GET:h.it/a)");
    assert_eq!(format!("[{:>12}]", scope("GET:h.it/a")), "[  GET:h.it/a]");
}
