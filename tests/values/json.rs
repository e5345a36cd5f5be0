//! The values of version 2 as JSON: in the service's own form, and without a secret.

use std::fmt::Debug;
use std::marker::PhantomData;

use gettone::openapi::v2::{
    self, ApiStats, Callback, ErrorLog, FreeLimits, Limit, ScopeDetail, Stats, Subscription, Transaction, UserScope,
    Wallet,
};
use gettone::openapi::{Credentials, Decimal, v1};
use gettone::{AccessToken, RefreshToken, Secret, keliweb};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::schema::{answered, is_written_by_its_schema};
use crate::common::spec::Spec;

fn read<T: DeserializeOwned>(json: &Value) -> T {
    serde_json::from_str(&json.to_string()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn written(value: &impl Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// Asserts that two values are the same JSON, except for how a number and UTC are written: `50`, `50.0` or `"50"`; `+00:00` or `Z`.
fn assert_same(written: &Value, sent: &Value) {
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    match (written, sent) {
        (Value::Object(written), Value::Object(sent)) => {
            for (name, value) in written {
                assert_same(value, sent.get(name).unwrap_or_else(|| panic!("{name} is not in {sent:?}")));
            }
            let missing = |(name, value): &(&String, &Value)| !value.is_null() && !written.contains_key(*name);
            // The parts of a scope, which the scope itself has.
            let is_extra =
                |name: &str| ["domain", "endpoint", "method"].contains(&name) && written.contains_key("scope");
            let missing: Vec<_> = sent.iter().filter(missing).filter(|(name, _)| !is_extra(name)).collect();
            assert!(missing.is_empty(), "{missing:?} is not in {written:?}");
        }
        (Value::Number(_), _) => assert_eq!(number(written), number(sent)),
        (Value::String(written), Value::String(sent)) => assert_eq!(written, &sent.replace("+00:00", "Z")),
        _ => assert_eq!(written, sent),
    }
}

/// Asserts that values are written as the service sent them, by their schema, and can be read again.
fn assert_round_trip<T>(sent: &[Value])
where
    T: JsonSchema + Serialize + DeserializeOwned + PartialEq + Debug,
{
    assert!(!sent.is_empty());
    for sent in sent {
        let value: T = read(sent);
        let json = written(&value);
        assert_eq!(read::<T>(&json), value, "{sent}");
        assert_same(&json, sent);
        is_written_by_its_schema(&value);
    }
}

#[test]
fn every_documented_object_is_written_as_the_service_writes_it() {
    let spec = Spec::openapi_v2();
    let answered = |operation: &str| answered(&spec, operation);
    assert_round_trip::<UserScope>(&answered("list_scopes"));
    let scopes = answered("get_scope");
    assert_round_trip::<ScopeDetail>(&scopes);
    assert_round_trip::<FreeLimits>(&[scopes[0]["freeLimits"].clone()]);
    assert_round_trip::<Wallet>(&answered("get_wallet"));
    assert_round_trip::<Transaction>(&answered("list_wallet_transactions"));
    assert_round_trip::<ErrorLog>(&answered("list_errors"));
    let by_domain = answered("list_stats_apis");
    let domains: Vec<Value> = by_domain[0].as_object().unwrap().values().cloned().collect();
    let tokens = answered("list_tokens").into_iter().filter_map(|token| token.get("stats").cloned());
    assert_round_trip::<Stats>(&[domains, answered("get_stats"), tokens.collect(), vec![json!({})]].concat());
    assert_round_trip::<ApiStats>(&[answered("get_stats_api"), vec![json!({})]].concat());
    assert_round_trip::<Subscription>(&["list_subscriptions", "get_subscription"].map(answered).concat());
    let mut callbacks = ["list_callbacks", "get_callback"].map(answered).concat();
    for callback in &mut callbacks {
        for secret in SECRETS {
            callback.as_object_mut().unwrap().remove(secret);
        }
    }
    assert_round_trip::<Callback>(&callbacks);
}

/// The fields of a callback that may contain secrets.
const SECRETS: [&str; 4] = ["url", "data", "custom", "headers"];

#[test]
fn values_in_other_forms_are_written_in_the_documented_one() {
    fn check<T: DeserializeOwned + Serialize>(sent: &Value, expected: &Value) {
        assert_eq!(&written(&read::<T>(sent)), expected, "{sent}");
    }
    check::<Stats>(
        &json!({ "totalRequests": "7", "walletRequests": 2.0, "walletAmount": "12.50", "ip": [], "totalApis": null }),
        &json!({ "totalRequests": 7, "walletRequests": 2, "walletAmount": 12.5 }),
    );
    for (sent, expected) in [
        ("2025-11-19T11:00:00+01:00", json!("2025-11-19T10:00:00Z")),
        ("2025-11-19T10:00:00.250Z", json!("2025-11-19T10:00:00.25Z")),
        ("1969-12-31T23:59:59.5Z", json!("1969-12-31T23:59:59.5Z")),
        ("0001-01-01T00:00:00Z", json!("0001-01-01T00:00:00Z")),
        ("9999-12-31T23:59:59Z", json!("9999-12-31T23:59:59Z")),
    ] {
        check::<Wallet>(&json!({ "credit": "1", "createdAt": sent }), &json!({ "credit": 1.0, "createdAt": expected }));
    }
    for (sent, expected) in [
        (json!(190), json!(190)),
        (json!("125.22"), json!(125.22)),
        (json!(190.0), json!(190.0)),
        (json!("-1"), json!(-1)),
        (json!("1.50"), json!("1.50")),
        (json!("007"), json!("007")),
        (json!("E17"), json!("E17")),
        (json!("12345678901234567890123"), json!("12345678901234567890123")),
    ] {
        check::<ErrorLog>(&json!({ "id": 1, "errorCode": sent }), &json!({ "id": "1", "errorCode": expected }));
    }
    for (sent, expected) in [(json!("7"), json!(7)), (json!("false"), json!(false)), (json!(true), json!(null))] {
        check::<Limit<u64>>(&sent, &expected);
    }
    check::<Limit<Decimal>>(&json!("0.10"), &json!(0.1));
    check::<Limit<String>>(&json!(100), &json!("100"));
}

#[test]
fn a_time_beyond_the_calendar_cannot_be_written() {
    // 10000-01-01 in UTC.
    let wallet: Wallet = read(&json!({ "credit": 1, "updatedAt": "9999-12-31T23:59:59-01:00" }));
    assert!(wallet.updated_at().is_some());
    let error = serde_json::to_string(&wallet).unwrap_err().to_string();
    assert_eq!(error, "a time that is not in the years 0 to 9999");
}

#[test]
fn every_cent_is_exact() {
    for cents in (-1_000..100_000).chain(99_999_900..100_000_000) {
        let amount = Limit::Limited(Decimal::new(cents, 2));
        assert_eq!(read::<Limit<Decimal>>(&written(&amount)), amount);
    }
}

#[test]
fn a_scope_is_written_once_and_what_is_no_scope_is_left_out() {
    let sent = r#"{"totalRequests":3,"scopes":{"GET:a.it/b":{"totalRequests":1},"get:A.it/b":{"totalRequests":2},"key":"s3cret"}}"#;
    let stats: ApiStats = serde_json::from_str(sent).unwrap();
    assert_eq!((stats.scopes().len(), stats.unrecognized().len()), (2, 1));
    let json = serde_json::to_string(&stats).unwrap();
    assert_eq!(json, r#"{"totalRequests":3,"scopes":{"GET:a.it/b":{"totalRequests":1}}}"#);
}

#[test]
fn no_secret_of_a_callback_is_written() {
    let mut sent = json!({ "id": "1", "httpResponseCode": "200" });
    for secret in SECRETS {
        sent[secret] = json!(format!("s3cret of {secret}"));
    }
    let callback: Callback = read(&sent);
    assert!(callback.url().is_some() && callback.headers().is_some() && callback.data().is_some());
    assert_eq!(written(&callback), json!({ "id": "1", "httpResponseCode": 200 }));
}

/// Returns whether a type implements `Serialize`: the constant of the type itself comes before that of the trait.
macro_rules! is_serialize {
    ($($type:ty),+) => {{
        #[allow(dead_code)]
        trait Other {
            const IS: bool = false;
        }
        impl<T> Other for T {}
        struct Of<T>(PhantomData<T>);
        #[allow(dead_code)]
        impl<T: Serialize> Of<T> {
            const IS: bool = true;
        }
        [$((stringify!($type), <Of<$type>>::IS)),+]
    }};
}

#[test]
fn no_type_with_a_secret_can_be_written() {
    for (name, is_serialize) in is_serialize!(Stats, Vec<Callback>, v1::Credit) {
        assert!(is_serialize, "{name}");
    }
    for (name, is_serialize) in is_serialize!(
        Secret,
        AccessToken,
        RefreshToken,
        v2::Token,
        Vec<v2::Token>,
        v2::Page<v2::Token>,
        v2::RefreshCredentials,
        v1::Token,
        v1::TokenList,
        keliweb::TokenPair,
        keliweb::Credentials,
        Credentials
    ) {
        assert!(!is_serialize, "{name}");
    }
}
