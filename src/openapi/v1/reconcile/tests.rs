//! Compares the search in sorted lists with a search that examines each token.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;

/// 2026-01-01, in milliseconds.
const START: i64 = 1_767_225_600_000;

/// Matches by examining each token. The search in sorted lists must find the same.
fn claimed_by_examining_each<'a>(clues: &Clues, tokens: &[&'a Token]) -> Option<&'a Token> {
    let end = |token: &Token| since_1970(token.expires_at());
    let requested = millis(clues.ttl.into());
    let mut found: Option<&Token> = None;
    for ends in &clues.ends {
        let fits = |token: &Token| encoded_lifetime(end(token), token).is_none_or(|lifetime| lifetime == requested);
        let fitting: Vec<&Token> =
            tokens.iter().copied().filter(|token| ends.contains(&end(token)) && fits(token)).collect();
        let token = match fitting.as_slice() {
            [] => continue,
            [token] => *token,
            _ => return None,
        };
        let cut = i64::from(max_cut(clues.longest)?) * 1_000;
        let later = millis(clues.longest.into()) - requested;
        let near = ends.start() + later - cut..=ends.end() + later;
        let near = tokens.iter().filter(|token| near.contains(&end(token))).count();
        let is_certain = match encoded_lifetime(end(token), token) {
            Some(_) => near * 100_000 <= usize::try_from(cut).unwrap(),
            None => near <= clues.lost && (ends.end() - ends.start()) * 1_000 <= cut,
        };
        if found.is_some_and(|found| found.token() != token.token()) || !is_certain {
            return None;
        }
        found = Some(token);
    }
    found
}

/// Creates a token that expires `end` seconds after the start, and whose text encodes `lifetime`, if any.
fn token(number: usize, end: i64, lifetime: Option<i64>) -> Token {
    let end = START / 1_000 + end;
    let text = lifetime.map_or(format!("opaque-{number}"), |lifetime| format!("{:08x}{number:016x}", end - lifetime));
    serde_json::from_value(serde_json::json!({ "scopes": [], "expire": end, "token": text })).unwrap()
}

/// Generates tokens whose lifetimes and expiration times often coincide.
fn tokens() -> impl Strategy<Value = Vec<Token>> {
    let lifetime = prop::option::of(prop_oneof![Just(80_000_i64), Just(80_001), Just(86_400), Just(3_600)]);
    let one = (prop_oneof![0_i64..100, 0_i64..30_000], lifetime, any::<bool>());
    vec(one, 0..12).prop_map(|all| {
        let mut tokens = Vec::new();
        for (number, (end, lifetime, twice)) in all.into_iter().enumerate() {
            let token = token(number, end, lifetime);
            // The service may list a token twice.
            tokens.extend(std::iter::repeat_n(token, if twice && number % 7 == 0 { 2 } else { 1 }));
        }
        tokens
    })
}

fn any_clues() -> impl Strategy<Value = Vec<Clues>> {
    let range = || (prop_oneof![-2_i64..110, -2_i64..30_010], prop_oneof![3 => -1_i64..25, 1 => -1_i64..20_000]);
    let range = move || range().prop_map(|(first, length)| START + first * 1_000..=START + (first + length) * 1_000);
    let ttl = prop_oneof![Just(80_000_u32), Just(80_001), Just(86_390), Just(70_000)];
    let one = (range(), prop::option::of(range()), ttl, 1_usize..50, any::<bool>());
    let clues = |(first, second, ttl, lost, is_short): (RangeInclusive<i64>, Option<_>, _, _, _)| Clues {
        ends: [first.clone(), second.unwrap_or(first)],
        ttl: Ttl::seconds(ttl).unwrap(),
        longest: if is_short { Ttl::seconds(86_400).unwrap() } else { Ttl::MAX },
        lost,
    };
    vec(one.prop_map(clues), 30)
}

#[test]
fn the_sorted_search_finds_what_examining_each_token_finds() {
    let found = Cell::new((0, 0));
    proptest!(Config { failure_persistence: None, ..Config::with_cases(500) }, |(tokens in tokens(), claims in any_clues())| {
        let unknown = UnknownTokens::new(tokens.iter());
        let each: Vec<&Token> = tokens.iter().collect();
        for clues in &claims {
            for ends in &clues.ends {
                let count = each.iter().filter(|token| ends.contains(&since_1970(token.expires_at()))).count();
                prop_assert_eq!(unknown.ends.count(ends), count);
            }
            let (this, expected) = (clues.claimed_by(&unknown), claimed_by_examining_each(clues, &each));
            prop_assert_eq!(this, expected);
            let (some, none) = found.get();
            found.set(if this.is_some() { (some + 1, none) } else { (some, none + 1) });
        }
    });
    // A search that finds nothing proves nothing, and so does one that always finds something.
    let (some, none) = found.get();
    assert!(some > 300 && none > 300, "{some} found, {none} not");
}
