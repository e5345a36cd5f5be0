//! The search in sorted lists, against a search that looks at each token.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;

/// 2026-01-01, in milliseconds.
const START: i64 = 1_767_225_600_000;

/// Matches by looking at each token. The search by sorted ends must find the same.
fn found_by_looking_at_each<'a>(claim: &Claim, tokens: &[&'a Token]) -> Option<&'a Token> {
    let end = |token: &Token| since_1970(token.expires_at());
    let asked = millis(claim.ttl.into());
    let mut found: Option<&Token> = None;
    for ends in &claim.ends {
        let fits = |token: &Token| lifetime_told(end(token), token).is_none_or(|told| told == asked);
        let fitting: Vec<&Token> =
            tokens.iter().copied().filter(|token| ends.contains(&end(token)) && fits(token)).collect();
        let token = match fitting.as_slice() {
            [] => continue,
            [token] => *token,
            _ => return None,
        };
        let cut = i64::from(longest_cut(claim.longest)?) * 1_000;
        let later = millis(claim.longest.into()) - asked;
        let near = ends.start() + later - cut..=ends.end() + later;
        let near = tokens.iter().filter(|token| near.contains(&end(token))).count();
        let is_certain = match lifetime_told(end(token), token) {
            Some(_) => near * 100_000 <= usize::try_from(cut).unwrap(),
            None => near <= claim.lost && (ends.end() - ends.start()) * 1_000 <= cut,
        };
        if found.is_some_and(|found| found.token() != token.token()) || !is_certain {
            return None;
        }
        found = Some(token);
    }
    found
}

/// A token that ends so many seconds after the start, whose text tells its lifetime if there is one.
fn token(number: usize, end: i64, told: Option<i64>) -> Token {
    let end = START / 1_000 + end;
    let text = told.map_or(format!("opaque-{number}"), |told| format!("{:08x}{number:016x}", end - told));
    serde_json::from_value(serde_json::json!({ "scopes": [], "expire": end, "token": text })).unwrap()
}

/// Lifetimes and ends that often coincide.
fn tokens() -> impl Strategy<Value = Vec<Token>> {
    let told = prop::option::of(prop_oneof![Just(80_000_i64), Just(80_001), Just(86_400), Just(3_600)]);
    let one = (prop_oneof![0_i64..100, 0_i64..30_000], told, any::<bool>());
    vec(one, 0..12).prop_map(|all| {
        let mut tokens = Vec::new();
        for (number, (end, told, twice)) in all.into_iter().enumerate() {
            let token = token(number, end, told);
            // The service may list one twice.
            tokens.extend(std::iter::repeat_n(token, if twice && number % 7 == 0 { 2 } else { 1 }));
        }
        tokens
    })
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let range = || (prop_oneof![-2_i64..110, -2_i64..30_010], prop_oneof![3 => -1_i64..25, 1 => -1_i64..20_000]);
    let range = move || range().prop_map(|(first, length)| START + first * 1_000..=START + (first + length) * 1_000);
    let ttl = prop_oneof![Just(80_000_u32), Just(80_001), Just(86_390), Just(70_000)];
    let one = (range(), prop::option::of(range()), ttl, 1_usize..50, any::<bool>());
    let claim = |(first, second, ttl, lost, is_short): (RangeInclusive<i64>, Option<_>, _, _, _)| Claim {
        ends: [first.clone(), second.unwrap_or(first)],
        ttl: Ttl::seconds(ttl).unwrap(),
        longest: if is_short { Ttl::seconds(86_400).unwrap() } else { Ttl::MAX },
        lost,
    };
    vec(one.prop_map(claim), 30)
}

#[test]
fn the_sorted_search_finds_what_looking_at_each_token_finds() {
    let found = std::cell::Cell::new((0, 0));
    proptest!(Config { failure_persistence: None, ..Config::with_cases(500) }, |(tokens in tokens(), claims in claims())| {
        let unknown = Unaccounted::new(tokens.iter());
        let each: Vec<&Token> = tokens.iter().collect();
        for claim in &claims {
            for ends in &claim.ends {
                let count = each.iter().filter(|token| ends.contains(&since_1970(token.expires_at()))).count();
                prop_assert_eq!(unknown.ends.count(ends), count);
            }
            let (this, expected) = (claim.claimed_by(&unknown), found_by_looking_at_each(claim, &each));
            prop_assert_eq!(this, expected);
            let (some, none) = found.get();
            found.set(if this.is_some() { (some + 1, none) } else { (some, none + 1) });
        }
    });
    // A search that never finds anything proves nothing, and neither does one that always does.
    let (some, none) = found.get();
    assert!(some > 300 && none > 300, "{some} found, {none} not");
}
