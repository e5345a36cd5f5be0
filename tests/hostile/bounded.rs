//! The properties over chosen and over random input.

mod places;

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use gettone::openapi::v1::{Counters, Token};
use gettone::openapi::v2::{self, Page};
use gettone::{Error, ScopeList};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use places::PLACES;

use super::answers::{self, Exchange};
use super::cache::{self, NOWS, Service, Story};
use super::secrets::{FAMILIES, FORMS};
use super::services::{Operation, Returned, operation, operations, place_of};
use super::{echoes, memory, store};

/// Values for each place in a response; most are JSON.
static VALUES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut values: Vec<Vec<u8>> = [
        // Numbers, and values like numbers.
        "0",
        "-0",
        "-1",
        "1.5",
        "1E2",
        "9007199254740993",
        "1e16",
        "1e22",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "-9223372036854775809",
        "1e308",
        "1e999",
        "-1e999",
        "1e400000000",
        "1e-400000000",
        "0e400000000",
        "1e99999999999999999999",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "0x10",
        "NaN",
        "Infinity",
        r#""1e400000000""#,
        r#""0e400000000""#,
        r#""1e-400000000""#,
        r#""1e28""#,
        r#""9e28""#,
        r#""1_000""#,
        r#""inf""#,
        r#""nan""#,
        r#"" 1 ""#,
        r#""-1""#,
        r#""1.""#,
        r#"".1""#,
        r#""18446744073709551616""#,
        r#""1e5""#,
        // Texts.
        r#""""#,
        r#"" ""#,
        r#""\u0000""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\ud83e\udd80""#,
        "\"\n\"",
        r#""\x""#,
        r#""""#,
        "\"",
        "\"\\",
        r#""false""#,
        r#""FALSE""#,
        r#""GET:a.it/b""#,
        r#""*:*/*""#,
        r#""get:A.it/b/""#,
        r#"" GET:a.it/b""#,
        r#""GET:a.it/b\u0000""#,
        "\"\u{feff}\"",
        "\"\u{202e}\u{200b}🦀\"",
        // Tokens that cannot be sent.
        r#"".""#,
        r#""..""#,
        r#""a\\b""#,
        r#""a\r\nb""#,
        r#""a b""#,
        r#""expected u64, expected \"x\"""#,
        r#""missing field `x`""#,
        // The rest.
        "null",
        "true",
        "false",
        "True",
        "[]",
        "{}",
        "[[]]",
        r#"[null]"#,
        r#"{"a":1,"a":2}"#,
        r#"{"":{"":[]}}"#,
        "",
        ",",
        "]",
        "}",
        ":",
        "//",
        "'a'",
        r#"{"success":false}"#,
        r#"{"success":true,"error":1}"#,
        r#"{"data":{"data":{"success":false}}}"#,
        r#"["GET:a.it/b"]"#,
        r#"{"counter":1,"paid":2}"#,
        r#"{"counter":"1","paid":"2","limit":1e999}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"$serde_json::private::RawValue":"1"}"#,
        r#"{"$serde_json::private::RawValue":"["}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    // Deeper than a recursive reader goes.
    values.extend([127, 128, 129, 1_000].map(|depth| [vec![b'['; depth], vec![b']'; depth]].concat()));
    values.push([r#"{"data":"#.repeat(300).as_bytes(), b"1", "}".repeat(300).as_bytes()].concat());
    values.push(vec![b'['; 1_000]);
    values.extend([8_192, 8_193].map(|length| [b"\"".to_vec(), vec![b'a'; length], b"\"".to_vec()].concat()));
    values.push([b"1".repeat(1_000), b".5".to_vec()].concat());
    // Invalid UTF-8.
    values.extend([&b"\"\x80\""[..], b"\"\xc3\"", b"\"\xed\xa0\x80\"", b"\"\xf0\x9f\xa6\""].map(<[u8]>::to_vec));
    values
});

/// Each secret in each form, alone and among other words.
static SECRETS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let forms = FORMS.into_iter().flat_map(|form| (0..3).map(move |which| [form, which]));
    let alone = forms.clone().map(|secret| [&b"\""[..], &secret, b"\""].concat());
    let among =
        forms.map(|secret| [&b"\"key "[..], &secret, b"=", &secret, &secret, b", and\\n", &secret, b"\\\"\""].concat());
    alone.chain(among).collect()
});

fn put(value: &[u8], place: &str) -> Vec<u8> {
    let parts: Vec<&[u8]> = place.split('@').map(str::as_bytes).collect();
    parts.join(value)
}

fn ask(name: &str, family: usize, status: u16, body: &[u8]) -> Result<Box<dyn Returned>, Error> {
    ask_for(operation(name), family, status, body)
}

fn ask_for(operation: &Operation, family: usize, status: u16, body: &[u8]) -> Result<Box<dyn Returned>, Error> {
    let operation = place_of(operation).try_into().unwrap();
    let family = (family % FAMILIES.len()).try_into().unwrap();
    answers::check(&Exchange { operation, family, status, body: body.into(), ..Exchange::default() })
}

/// Puts each value in each place, and lets the operation of the place and another one read it.
fn ask_all(values: &[Vec<u8>], mut asked: impl FnMut(Result<Box<dyn Returned>, Error>)) {
    for (row, (operation, place)) in PLACES.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            let body = put(value, place);
            let status = if (row + column) % 3 == 0 { 403 } else { 200 };
            asked(ask(operation, row + column, 200, &body));
            let other = operations().nth((5 * row + column) % operations().count()).unwrap();
            asked(ask_for(other, column, status, &body));
        }
    }
}

/// `tests/contract.rs` compares the operations with the specs.
#[test]
fn every_operation_has_a_place() {
    let placed: Vec<usize> = PLACES.iter().map(|(name, _)| place_of(operation(name))).collect();
    let without: Vec<_> = operations().filter(|operation| !placed.contains(&place_of(operation))).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn no_value_does_harm_in_any_place() {
    let (mut good, mut bad) = (0, 0);
    ask_all(&VALUES, |result| *(if result.is_ok() { &mut good } else { &mut bad }) += 1);
    assert!(good > 1_000 && bad > 4_000, "{good} and {bad}");
}

#[test]
fn no_failure_shows_a_secret_whatever_the_service_says() {
    let (mut redacted, mut bad) = (0, 0);
    ask_all(&SECRETS, |result| {
        if let Err(error) = result {
            bad += 1;
            redacted += usize::from(error.to_string().contains("[redacted]"));
        }
    });
    assert!(redacted > 500 && bad > 2 * redacted, "{redacted} of {bad}");
}

/// `GETTONE_SEED` runs one seed alone.
#[test]
fn no_echo_shows_a_secret_however_it_is_written() {
    let alone = std::env::var("GETTONE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let mut broken = Vec::new();
    let mut taken_out = 0;
    for seed in alone.map_or(0..4_000, |seed| seed..seed + 1) {
        match std::panic::catch_unwind(|| echoes::check(seed)) {
            Ok(redacted) => taken_out += usize::from(redacted),
            Err(_) => broken.push(seed),
        }
    }
    assert!(broken.is_empty(), "{} seeds show a secret, such as {:?}", broken.len(), &broken[..broken.len().min(9)]);
    assert!(alone.is_some() || taken_out > 1_000, "{taken_out}");
}

#[test]
fn two_overlapping_secrets_are_both_redacted() {
    // In this family, the password begins like the end of the client secret.
    let said = br#"{"message":"no overlap-abc-overlap-xyz-overlap-abc, overlap-abc-overlap."}"#;
    let error = ask("password_grant", 4, 403, said).unwrap_err();
    assert!(error.to_string().ends_with(": no [redacted], [redacted]."), "{error}");
}

#[test]
fn an_unreadable_entry_does_not_spoil_the_others() {
    for value in VALUES.iter().filter(|value| serde_json::from_slice::<Box<RawValue>>(value).is_ok()) {
        let list = put(value, r#"{"data":["GET:a.it/b",@,"GET:a.it/c"]}"#);
        let map = put(value, r#"{"data":{"GET:a.it/b":{"counter":1,"paid":0},"x":@}}"#);
        let read = |operation: &str, body: &[u8]| {
            ask(operation, 0, 200, body).unwrap_or_else(|error| panic!("{}: {error}", value.escape_ascii()))
        };
        let (list, counters) = (read("v1 list_scopes", &list), read("counters_total", &map));
        assert_keeps_the_rest(value, read);
        let list = list.downcast::<ScopeList>().unwrap();
        assert_eq!((list.as_slice().first().unwrap().path(), list.as_slice().last().unwrap().path()), ("b", "c"));
        let counters = counters.downcast::<Counters>().unwrap();
        assert_eq!((counters.len(), counters.unrecognized().len()), (1, 1));
    }
}

/// Asserts the same of the lists and maps of version 2.
fn assert_keeps_the_rest(value: &[u8], read: impl Fn(&str, &[u8]) -> Box<dyn Returned>) {
    let token = |text: &str| format!(r#"{{"token":"{text}","expireAt":"2022-08-16T09:06:20Z"}}"#);
    let tokens = format!(r#"{{"data":[{},@,{}]}}"#, token("a"), token("b"));
    let tokens = read("v2 list_tokens", &put(value, &tokens));
    let tokens = tokens.downcast::<Page<v2::Token>>().unwrap();
    let texts: Vec<_> = tokens.iter().map(|token| token.token().expose()).collect();
    assert_eq!((texts, tokens.unrecognized().len()), (vec!["a", "b"], 1));

    let scopes = r#"{"data":[{"scope":"GET:a.it/b"},@,{"scope":"GET:a.it/c"}]}"#;
    let scopes = read("v2 list_scopes", &put(value, scopes));
    let scopes = scopes.downcast::<Page<v2::UserScope>>().unwrap();
    assert_eq!((scopes.len(), scopes.unrecognized().len(), scopes[1].scope().path()), (2, 1, "c"));

    let figures = r#"{"data":{"totalRequests":1,"scopes":{"GET:a.it/b":{"totalRequests":2},"x":@}}}"#;
    let figures = read("get_stats_api", &put(value, figures));
    let figures = figures.downcast::<v2::ApiStats>().unwrap();
    assert_eq!((figures.scopes().len(), figures.unrecognized().len()), (1, 1));

    let figures = r#"{"data":{"a.it":{"totalRequests":2},"x":@}}"#;
    let figures = read("list_stats_apis", &put(value, figures));
    let figures = figures.downcast::<Vec<(String, v2::Stats)>>().unwrap();
    assert_eq!((figures[0].0.as_str(), figures[0].1.total_requests()), ("a.it", Some(2)));
}

#[test]
fn a_whole_number_is_read_however_it_is_written() {
    const LAST: u64 = 253_402_300_799;
    for (written, read) in [
        ("1634173200", 1_634_173_200),
        ("1634173200.75", 1_634_173_200),
        ("1.6341732e9", 1_634_173_200),
        ("1e16", LAST),
        ("1e22", LAST),
        ("99999999999999999999999999999999", LAST),
        ("0e400000000", 0),
    ] {
        for written in [written.to_owned(), format!("\"{written}\"")] {
            let token = put(written.as_bytes(), r#"{"scopes":[],"expire":@,"token":"t"}"#);
            let token = ask("v1 create_token", 0, 200, &token).unwrap_or_else(|error| panic!("{written}: {error}"));
            let end = token.downcast::<Token>().unwrap().expires_at();
            assert_eq!(end, UNIX_EPOCH + Duration::from_secs(read), "{written}");
        }
    }
    for none in [
        "-1", "-0", "null", "true", "[1]", r#""""#, r#""inf""#, r#""nan""#, r#""+1""#, r#"".5""#, r#""1_0""#,
        r#""1 0""#, r#""0x1""#,
    ] {
        let error = ask("v1 create_token", 0, 200, &put(none.as_bytes(), r#"{"scopes":[],"expire":@,"token":"t"}"#));
        assert!(error.unwrap_err().is_decode(), "{none}");
    }
}

#[test]
fn no_other_field_turns_a_refusal_into_a_success() {
    let mut others = ["v2 delete_token", "v2 list_tokens", "get_stats", "v2 create_token"].into_iter().cycle();
    for value in VALUES.iter().filter(|value| serde_json::from_slice::<IgnoredAny>(value).is_ok()) {
        for field in ["x", "error", "message", "error_description", "hint", "errors", "data", "token"] {
            for place in [format!(r#"{{"success":false,"{field}":@}}"#), format!(r#"{{"{field}":@,"success":false}}"#)]
            {
                for name in ["v1 delete_token", others.next().unwrap()] {
                    let error = ask(name, 0, 200, &put(value, &place)).unwrap_err();
                    assert!(!error.is_decode(), "{name} {place}: {error}");
                }
            }
        }
    }
}

/// The assertions about memory depend on the measurement.
#[test]
fn memory_is_measured() {
    let (kept, peak) = memory::peak(|| vec![1_u8; 100_000]);
    assert!((100_000..110_000).contains(&peak), "{peak} for {}", kept.len());
}

#[test]
fn many_tiny_values_take_little_memory() {
    // The smallest value of each kind, thousands of times, wherever the client keeps values.
    let mut read = 0;
    for least in ["0", r#""""#, "[]", "{}", "[0]", r#"{"":0}"#, r#"{"":{}}"#, "[[[0]]]"] {
        let many = vec![least; 20_000 / (least.len() + 1)].join(",");
        for (operation, place) in PLACES {
            read += usize::from(ask(operation, 0, 200, &put(format!("[{many}]").as_bytes(), place)).is_ok());
        }
    }
    assert!(read > 60, "{read}");
}

#[test]
fn no_depth_is_too_deep() {
    for open in ["[", "{\"a\":", "[{\"data\":", "{\"data\":"] {
        for (operation, place) in PLACES {
            let _ = ask(operation, 0, 200, &put(open.repeat(100_000 / open.len()).as_bytes(), place));
        }
    }
    // The same, closed, in fields that the client ignores or keeps apart.
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(
        ask("v1 delete_token", 0, 200, &put(&deep, r#"{"success":true,"x":@,"message":@,"hint":@,"data":@}"#)).is_ok()
    );
    let error = ask("v1 delete_token", 0, 200, &put(&deep, r#"{"success":false,"errors":@,"data":@,"error":150}"#))
        .unwrap_err();
    assert_eq!(error.code(), Some("150"));
    assert!(ask("v1 list_scopes", 0, 200, &put(&deep, r#"{"data":["GET:a.it/b",@]}"#)).is_ok());
    assert!(ask("counters_total", 0, 200, &put(&deep, r#"{"data":{"x":@}}"#)).is_ok());
    for (name, place) in [
        ("v2 delete_token", r#"{"message":@,"data":@}"#),
        (
            "v2 create_token",
            r#"{"token":"t","expireAt":"2022-08-16T09:06:20Z","limits":@,"stats":@,"name":@,"scopes":@}"#,
        ),
        ("v2 list_tokens", r#"{"data":[@]}"#),
        ("get_callback", r#"{"data":{"id":"1","data":@,"custom":@,"headers":@}}"#),
        ("get_stats_api", r#"{"data":{"totalRequests":@,"scopes":{"GET:a.it/b":@,"x":@}}}"#),
    ] {
        assert!(ask(name, 0, 200, &put(&deep, place)).is_ok(), "{name}");
    }
}

#[test]
fn a_response_that_is_too_large_is_rejected() {
    const MOST: usize = 4 * 1024 * 1024;
    let padded = |good: &str, size: usize| [good.as_bytes(), &vec![b' '; size - good.len()]].concat();
    let good = good();
    assert!(ask("v1 list_tokens", 0, 200, &padded(&good[0], MOST)).is_ok());
    for operation in operations() {
        let good = match operation.name {
            "get_credit" => &good[1],
            "list_stats_apis" => &good[2],
            name if name.starts_with("counters") => &good[2],
            _ => &good[0],
        };
        assert!(ask_for(operation, 0, 200, good.as_bytes()).is_ok(), "{operation}");
        // All operations are limited in one place, and such a body takes a second.
        if place_of(operation).is_multiple_of(4) {
            let error = ask_for(operation, 0, 200, &padded(good, MOST + 1)).unwrap_err();
            assert!(error.is_decode() && error.to_string().contains("larger than 4 MiB"), "{operation}: {error}");
        }
    }
    // The error has the status.
    assert!(
        ask("v1 create_token", 0, 403, &padded("", MOST + 1)).unwrap_err().status().is_some_and(|status| status == 403)
    );
}

/// Returns three bodies: for most operations, for credit, for counters.
fn good() -> [String; 3] {
    let token = r#"{"scopes":["GET:a.it/b","odd"],"expire":1660640780,"token":"issued-access-55d1-08bf",
        "expireAt":"2022-08-16T09:06:20Z","refreshToken":"issued-refresh-08bf-55d1","id":"1","scope":"GET:a.it/b","totalRequests":1}"#;
    let data = [
        format!("[{token}]"),
        r#"{"credit":423.38,"data":["GET:a.it/b"]}"#.to_owned(),
        r#"{"GET:a.it/b":{"counter":1,"paid":0,"limit":30},"odd":null}"#.to_owned(),
    ];
    data.map(|data| {
        format!(
            r#"{{"success":true,"message":"","error":null,"data":{data},"token_type":"Bearer","expires_in":3600,
            "access_token":"issued-access-55d1-08bf","refresh_token":"issued-refresh-08bf-55d1","credit":1,{}"#,
            &token[1..]
        )
    })
}

#[test]
fn no_status_of_failure_is_a_success() {
    let good = good();
    for status in 100..=999 {
        let failed = operations().enumerate().filter(|(number, operation)| {
            let body = good[(number + usize::from(status)) % good.len()].as_bytes();
            usize::from(status) % 7 == number % 7 && ask_for(operation, 0, status, body).is_err()
        });
        assert!(failed.count() >= 4 || (200..300).contains(&status), "{status}");
    }
}

/// Values for any of the headers.
const HEADERS: [&[u8]; 35] = [
    b"",
    b" ",
    b"0",
    b"1",
    b"-1",
    b"+1",
    b"1.5",
    b"1e9",
    b"31",
    b"18446744073709551615",
    b"18446744073709551616",
    b"999999999999999999999999999999999999",
    b"\xff\xfe",
    b"\xc2\xa01",
    b"\t1\t",
    b"Wed, 21 Oct 2015 07:28:00 GMT",
    b"Thu, 01 Jan 1970 00:00:00 GMT",
    b"Wed, 31 Dec 1969 23:59:59 GMT",
    b"Fri, 31 Dec 9999 23:59:59 GMT",
    b"Sat, 01 Jan 10000 00:00:00 GMT",
    b"Sun, 00 Jan 0000 00:00:00 GMT",
    b"Wed, 31 Feb 2024 08:49:37 GMT",
    b"Thu, 14 Oct 2021 24:60:60 GMT",
    b"Thu, 14 Oct 2021 00:00:20 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Wednesday, 06-Nov-",
    b"Wednesday, \xc3\xa8\xc3\xa8\xc3\xa8\xc3\xa8\xc3\xa8\xc3\xa8",
    b"Saturday, 31-Dec-69 23:59:59 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"Sun Nov 99 99:99:99 9999",
    b"text/html",
    b"TEXT/HTML; charset=\xff",
    b"text/htm",
    b"application/json",
    b"4194305",
];

#[test]
fn no_header_does_harm() {
    let (mut bad, mut good) = (0, 0);
    let bodies = good_and_empty();
    for (row, one) in HEADERS.iter().enumerate() {
        for (column, other) in HEADERS.iter().enumerate() {
            for status in [200, 429, 503] {
                let headers = [other, one, other, one].map(|value| Some((*value).into()));
                let operation = u8::try_from((3 * row + column) % operations().count()).unwrap();
                let body = bodies[(row + column) % bodies.len()].as_bytes().into();
                match answers::check(&Exchange { operation, status, headers, body, ..Exchange::default() }) {
                    Ok(_) => good += 1,
                    Err(_) => bad += 1,
                }
            }
        }
    }
    assert!(good > 100 && bad > 2_000, "{good} and {bad}");
}

fn good_and_empty() -> Vec<String> {
    [good().to_vec(), vec![String::new(), "<html>".to_owned()]].concat()
}

/// Generates JSON of values and secrets, in any order and depth, under known and unknown names.
fn json() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => select(NAMES.to_vec()).prop_map(|name| format!("\"{name}\"").into_bytes()),
        1 => select(&**SECRETS),
        1 => any::<String>().prop_map(|name| serde_json::to_vec(&name).unwrap()),
    ];
    let leaf = prop_oneof![
        6 => select(&**VALUES),
        2 => select(&**SECRETS),
        1 => any::<f64>().prop_map(|number| number.to_string().into_bytes()),
        1 => any::<String>().prop_map(|text| serde_json::to_vec(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        let entry = (name.clone(), inner.clone()).prop_map(|(name, value)| [&name[..], b":", &value].concat());
        prop_oneof![
            vec(inner, 0..6).prop_map(|values| [b"[", &values.join(&b","[..])[..], b"]"].concat()),
            vec(entry, 0..8).prop_map(|entries| [b"{", &entries.join(&b","[..])[..], b"}"].concat()),
        ]
    })
}

const NAMES: [&str; 34] = [
    "success",
    "error",
    "message",
    "error_description",
    "hint",
    "errors",
    "data",
    "data",
    "token",
    "expire",
    "scopes",
    "credit",
    "counter",
    "paid",
    "limit",
    "access_token",
    "refresh_token",
    "token_type",
    "expires_in",
    "expireAt",
    "refreshToken",
    "limits",
    "stats",
    "id",
    "scope",
    "enabled",
    "totalRequests",
    "walletAmount",
    "ip",
    "amount",
    "prices",
    "GET:a.it/b",
    "*:*/*",
    "x",
];

/// Generates a valid body with a part replaced.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    (select(good().to_vec()), any::<prop::sample::Index>(), 0..40_usize, json()).prop_map(
        |(good, start, length, json)| {
            let start = start.index(good.len());
            let end = (start + length).min(good.len());
            [&good.as_bytes()[..start], &json, &good.as_bytes()[end..]].concat()
        },
    )
}

fn exchange() -> impl Strategy<Value = Exchange<'static>> {
    let header = || {
        option::weighted(0.3, prop_oneof![select(HEADERS.to_vec()).prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..40)])
    };
    let body = prop_oneof![
        4 => json(),
        4 => spoilt(),
        2 => json().prop_map(|json| [&b"{\"data\":"[..], &json, b"}"].concat()),
        1 => vec(any::<u8>(), 0..200),
    ];
    let status = prop_oneof![2 => Just(200), 2 => select(&answers::STATUSES[..]), 1 => 100..1000_u16];
    (any::<u8>(), any::<u8>(), status, [header(), header(), header(), header()], body).prop_map(
        |(operation, family, status, headers, body)| {
            let headers = headers.map(|header| header.map(Into::into));
            Exchange { operation, family, status, headers, body: body.into() }
        },
    )
}

/// Moments in milliseconds: the limits of several ranges, and around the start of the stories.
const MOMENTS: [&str; 12] = [
    "0",
    "1",
    "1634169599999",
    "1634169600000",
    "1634169660001",
    "1634173200000",
    "1665705600000",
    "253402300799999",
    "3093527980799000",
    "9223372036854775807",
    "18446744073709551615",
    "-1",
];

/// Records of a store, with a value in place of each `@`.
const RECORDS: [&str; 10] = [
    "@",
    r#"{"version":@,"access_token":"stored-access-1f","obtained_at":1634169600000,"expires_at":1634173200000}"#,
    r#"{"version":1,"access_token":@,"obtained_at":1634169600000,"expires_at":1634173200000}"#,
    r#"{"version":1,"access_token":"stored-access-1f","obtained_at":@,"expires_at":1634173200000}"#,
    r#"{"version":1,"access_token":"stored-access-1f","obtained_at":1634169600000,"expires_at":@}"#,
    r#"{"version":1,"access_token":"stored-access-1f","obtained_at":1,"expires_at":2,"refresh_token":@,"refresh_expires_at":4102444800000}"#,
    r#"{"version":1,"access_token":"stored-access-1f","obtained_at":1,"expires_at":2,"refresh_token":"r","refresh_expires_at":@}"#,
    r#"{"version":1,"access_token":"stored-access-1f","obtained_at":1634169600000,"expires_at":1634173200000,"scopes":@}"#,
    r#"{"version":1,"access_token":"stored-access-1f","obtained_at":1634169600000,"expires_at":1634173200000,"scopes":{"requested":[@],"granted":["GET:a.it/b",@]}}"#,
    r#"{"version":1,"access_token":"stored-access-1f","obtained_at":1634169600000,"expires_at":1634173200000,"x":@}"#,
];

fn values_and_moments() -> Vec<Vec<u8>> {
    VALUES.iter().cloned().chain(MOMENTS.map(|moment| moment.as_bytes().to_vec())).collect()
}

/// Puts each value in each place of a record.
fn records() -> impl Iterator<Item = Vec<u8>> {
    RECORDS.iter().flat_map(|place| values_and_moments().into_iter().map(|value| put(&value, place)))
}

/// Token files, with a value in place of each `@`.
const FILES: [&str; 12] = [
    "@",
    r#"{"version":@,"tokens":{}}"#,
    r#"{"version":1,"tokens":@}"#,
    r#"{"version":1,"tokens":{},"x":@,"y":{"z":[@]}}"#,
    r#"{"version":1,"tokens":{"a":@,"b":{"version":1,"access_token":"file-access-2e","obtained_at":1,"expires_at":4102444800000}}}"#,
    r#"{"version":1,"tokens":{@:{"version":1,"access_token":"file-access-2e","obtained_at":1,"expires_at":4102444800000}}}"#,
    r#"{"version":1,"tokens":{"a":{"version":1,"access_token":"file-access-2e","obtained_at":1,"expires_at":@,"x":@}}}"#,
    r#"{"version":1,"tokens":{"mine":@}}"#,
    r#"{"version":@,"version":1,"tokens":{}}"#,
    r#"{"version":1,"tokens":@,"tokens":{"a":@,"a":1}}"#,
    r#" {"tokens":{} , "version" : 1 , @ : 1 } "#,
    r#"{"version":1,"tokens":{}}@"#,
];

#[test]
fn no_record_does_harm() {
    let (mut good, mut bad) = (0, 0);
    for (number, record) in
        records().chain(SECRETS.iter().flat_map(|secret| RECORDS.map(|place| put(secret, place)))).enumerate()
    {
        let is_token = store::check_record((number % FAMILIES.len()).try_into().unwrap(), &record);
        *(if is_token { &mut good } else { &mut bad }) += 1;
    }
    assert!(good > 200 && bad > 700, "{good} and {bad}");
}

#[test]
fn no_file_loses_what_could_be_read() {
    for (row, place) in FILES.iter().enumerate() {
        for (column, value) in VALUES.iter().enumerate() {
            // Each file is written twice, which takes time; one with another version is not.
            if (row + column) % 4 == 0 || place.contains(r#""version":@"#) {
                store::check_file(0, &put(value, place));
            }
        }
        for (column, secret) in SECRETS.iter().enumerate().filter(|(column, _)| (row + column) % 16 == 0) {
            store::check_file((column % FAMILIES.len()).try_into().unwrap(), &put(secret, place));
        }
    }
    for deep in [vec![b'['; 100_000], [vec![b'['; 100_000], vec![b']'; 100_000]].concat()] {
        FILES.iter().for_each(|place| store::check_file(0, &put(&deep, place)));
    }
    for bytes in [&b""[..], b"\0", b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0"] {
        store::check_file(0, bytes);
    }
}

const SERVICES: [Service; 7] = [
    Service::Keliweb,
    Service::Openapi { wild: false, reuse: false },
    Service::OpenapiV2 { wild: false, replace: false },
    Service::Openapi { wild: true, reuse: true },
    Service::Worker,
    Service::OpenapiV2 { wild: true, replace: true },
    Service::Openapi { wild: false, reuse: true },
];

/// Bodies that every operation reads, with a value, normally a number, in place of each `@`.
const ANSWERS: [&str; 4] = [
    r#"{"token_type":"Bearer","expires_in":@,"access_token":"issued-access-55d1-08bf","refresh_token":"issued-refresh-1",
        "scopes":["GET:a.it/b","GET:a.it/c","GET:127.0.0.1/below"],"expire":@,"token":"issued-access-55d1-08bf",
        "expireAt":"2021-10-14T01:00:00Z","refreshToken":"issued-refresh-2",
        "data":[{"scopes":["GET:a.it/b","GET:a.it/c"],"expire":@,"token":"listed-access-aa01-77cc"},{"scope":"GET:a.it/b","enabled":true}]}"#,
    r#"{"data":["GET:a.it/b","GET:a.it/c"],"scopes":[],"expire":@,"token":"lacking-access-55d1-08bf","success":true}"#,
    r#"{"success":false,"error":@,"message":"no"}"#,
    "@",
];

#[test]
fn no_stored_token_does_harm() {
    let good: Vec<_> = [ANSWERS[0].replace('@', "1634173200"), ANSWERS[1].replace('@', "1634173200")]
        .map(|body| Exchange { status: 200, body: body.into_bytes().into(), ..Exchange::default() })
        .into();
    let mut handed_out = 0;
    for (number, stored) in records().enumerate().filter(|(number, _)| number % 3 == 0) {
        let (service, broken) = (SERVICES[number % SERVICES.len()], number % 5 == 0);
        let answers = if number % 4 == 0 { &[][..] } else { &good };
        handed_out += cache::check(&Story { service, now: NOWS[0], stored: &stored, broken, answers });
    }
    // Tokens whose moments are in any order.
    for (row, obtained_at) in MOMENTS.iter().enumerate() {
        for (column, expires_at) in MOMENTS.iter().enumerate() {
            let refresh_expires_at = MOMENTS[(row + 5 * column) % MOMENTS.len()];
            let stored = format!(
                r#"{{"version":1,"access_token":"stored-access-1f","obtained_at":{obtained_at},"expires_at":{expires_at},
                "refresh_token":"r","refresh_expires_at":{refresh_expires_at}}}"#
            );
            let (service, now) = (SERVICES[(row + column) % SERVICES.len()], NOWS[(row + column / 2) % NOWS.len()]);
            handed_out +=
                cache::check(&Story { service, now, stored: stored.as_bytes(), broken: false, answers: &good });
        }
    }
    assert!(handed_out > 800, "{handed_out}");
}

#[test]
fn no_answer_that_is_cached_does_harm() {
    let mut handed_out = 0;
    for (row, body) in ANSWERS.iter().enumerate() {
        for (column, value) in values_and_moments().iter().enumerate() {
            let body = put(value, body);
            let date = HEADERS[(row + column) % HEADERS.len()];
            let answer = |status| Exchange {
                status,
                headers: [None, Some(date.into()), Some(date.into()), None],
                body: body.as_slice().into(),
                ..Exchange::default()
            };
            let answers = [answer(200), answer(if column % 2 == 0 { 504 } else { 200 }), answer(200)];
            let now = NOWS[(row + column) % NOWS.len()];
            handed_out += cache::check(&Story {
                service: SERVICES[column % SERVICES.len()],
                now,
                answers: &answers,
                ..Story::default()
            });
        }
    }
    assert!(handed_out > 50, "{handed_out}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_story_does_harm(
        stored in prop_oneof![select(records().collect::<Vec<_>>()), json()],
        answers in vec(exchange(), 0..4),
        service in select(&SERVICES[..]),
        now in select(&NOWS[..]),
        broken in any::<bool>(),
    ) {
        cache::check(&Story { service, now, stored: &stored, broken, answers: &answers });
    }

    #[test]
    fn no_bytes_of_a_record_do_harm(family in any::<u8>(), json in json(), place in select(&RECORDS[..])) {
        store::check_record(family, &put(&json, place));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn no_bytes_of_a_file_do_harm(family in any::<u8>(), json in json(), place in select(&FILES[..]), cut in any::<prop::sample::Index>()) {
        let mut file = put(&json, place);
        if cut.index(4) == 0 {
            file.truncate(cut.index(file.len() + 1));
        }
        store::check_file(family, &file);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn no_answer_does_harm(exchange in exchange()) {
        let _ = answers::check(&exchange);
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..300)) {
        let _ = answers::check(&Exchange::read(&bytes));
    }
}

/// Writes the inputs of the tests above as a start for the fuzzers.
#[test]
#[ignore = "writes to fuzz/corpus"]
fn starts() {
    let write = |target: &str, number: usize, input: &[u8]| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("start-{number}")), input).unwrap();
    };
    let values = || VALUES.iter().chain(SECRETS.iter());
    let exchange = |(operation, body): (&Operation, Vec<u8>), count: usize| {
        let operation = place_of(operation).try_into().unwrap();
        let headers = [0, 1, 2, 3].map(|place| {
            let header = HEADERS[(7 * count + place) % HEADERS.len()];
            count.is_multiple_of(3).then(|| header.into())
        });
        let status = answers::STATUSES[count % answers::STATUSES.len()];
        Exchange { operation, family: (count % FAMILIES.len()).try_into().unwrap(), status, headers, body: body.into() }
    };
    let places = PLACES.iter().flat_map(|(name, place)| values().map(|value| (operation(name), put(value, place))));
    let whole = good();
    let whole = whole.iter().flat_map(|good| operations().map(|operation| (operation, good.clone().into_bytes())));
    for (number, body) in places.chain(whole).enumerate() {
        write("answers", number, &exchange(body, number).write());
    }
    let files = FILES.iter().flat_map(|place| values().map(|value| put(value, place)));
    for (number, file) in files.chain(records()).enumerate() {
        write("store", number, &[vec![(number % FAMILIES.len()).try_into().unwrap()], file].concat());
    }
    for (number, stored) in records().enumerate() {
        let service = SERVICES[number % SERVICES.len()];
        let answers: Vec<_> = (0..number % 5)
            .map(|call| {
                let body = put(
                    &values_and_moments()[(number + call) % VALUES.len()],
                    ANSWERS[(number + call) % ANSWERS.len()],
                );
                exchange((operation("v1 create_token"), body), number + call)
            })
            .collect();
        let story = Story {
            service,
            now: NOWS[number % NOWS.len()],
            stored: &stored,
            broken: number % 7 == 0,
            answers: &answers,
        };
        write("cache", number, &story.write());
    }
}
