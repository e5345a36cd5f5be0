//! The forms in which the service may write a value: numbers, money, limits, times, empty maps, and what nobody knows yet.

use std::time::{Duration, SystemTime};

use gettone::openapi::v2::{Callback, Limit, Oauth, PageRange, ScopeDetail, Stats, Subscription, Token};
use gettone::openapi::{Decimal, Period};
use gettone::{Error, RefreshToken};
use serde_json::json;

use super::operations::{
    CALLBACK, CALLBACKS, ERRORS, SCOPE, STATS, STATS_API, STATS_APIS, SUBSCRIPTION, TOKEN, TRANSACTIONS, WALLET,
    answered, returned, token,
};
use crate::common::fake::Answer;

/// Returns a body with another value in a field.
fn with(body: &str, field: &str, old: &str, new: &str) -> String {
    let (old, new) = (format!("{field:?}:{old}"), format!("{field:?}:{new}"));
    assert!(body.contains(&old), "{old} {body}");
    body.replacen(&old, &new, 1)
}

/// Returns a body without a field. It is not the last one.
fn without(body: &str, field: &str, old: &str) -> String {
    let old = format!("{field:?}:{old},");
    assert!(body.contains(&old), "{old} {body}");
    body.replacen(&old, "", 1)
}

async fn find(body: &str) -> Token {
    returned(body, async |oauth| oauth.find_token(&token()).await).await.unwrap()
}

async fn get_scope(body: &str) -> ScopeDetail {
    returned(body, async |oauth| oauth.get_scope("1").await).await
}

async fn get_callback(body: &str) -> Callback {
    returned(body, async |oauth| oauth.get_callback("1").await).await
}

async fn get_subscription(body: &str) -> Subscription {
    returned(body, async |oauth| oauth.get_subscription("1").await).await
}

async fn stats(body: &str) -> Stats {
    returned(body, async |oauth| oauth.stats(Period::total()).await).await
}

/// Reads a count in every place that has one.
async fn counts(form: &str) -> Vec<Option<u64>> {
    let token = find(&with(TOKEN, "errorRequests", "5", form)).await;
    let account = stats(&with(STATS, "totalIps", "45", form)).await;
    let domain = with(STATS_API, "totalScopes", "15", form);
    let domain = returned(&domain, async |oauth| oauth.stats_api("a.it", Period::total()).await).await;
    let apis = with(STATS_APIS, "totalRequests", "500", form);
    let apis = returned(&apis, async |oauth| oauth.stats_apis(Period::total()).await).await;
    let available = get_subscription(&with(SUBSCRIPTION, "availableRequests", "\"950\"", form)).await;
    let total = get_subscription(&with(SUBSCRIPTION, "totalRequests", "\"1000\"", form)).await;
    let callback = get_callback(&with(CALLBACK, "attempt", "1", form)).await;
    let elapsed = get_callback(&with(CALLBACK, "elapsedTime", "5234", form)).await.elapsed();
    let status = get_callback(&with(CALLBACK, "httpResponseCode", "200", form)).await.status();
    let listed = with(CALLBACKS, "httpResponseCode", "\"200\"", form);
    let listed = returned(&listed, async |oauth| oauth.list_callbacks(&[], PageRange::default()).await).await;
    let logged = with(ERRORS, "httpResponseCode", "404", form);
    let logged = returned(&logged, async |oauth| oauth.list_errors(&[], PageRange::default()).await).await;
    vec![
        token.stats().error_requests(),
        account.total_ips(),
        domain.stats().total_scopes(),
        apis[0].1.total_requests(),
        available.available_requests(),
        total.total_requests(),
        callback.attempt(),
        elapsed.map(|elapsed| u64::try_from(elapsed.as_millis()).unwrap()),
        status.map(u64::from),
        listed[0].status().map(u64::from),
        logged[0].status().map(u64::from),
    ]
}

#[tokio::test]
async fn a_count_is_an_integer_a_float_or_a_text() {
    for form in ["302", "302.0", "302.00", "3.02e2", "3.02E+2", "\"302\"", "\"302.0\"", "\" 302 \""] {
        assert_eq!(counts(form).await, [Some(302); 11], "{form}");
    }
    for form in ["null", "\"\"", "\"many\"", "-1", "\"-1\"", "true", "[]", "{}", "[302]"] {
        assert_eq!(counts(form).await, [None; 11], "{form}");
    }
    assert_eq!(counts("0").await, [Some(0); 11]);
    // Larger than any status, and than any number.
    for form in ["1e300", "99999999999999999999999", "\"1e999\""] {
        assert_eq!(counts(form).await[..7], [Some(u64::MAX); 7], "{form}");
        assert_eq!(counts(form).await[8..], [None; 3], "{form}");
    }
    assert_eq!(stats(&without(STATS, "totalRequests", "1500")).await.total_requests(), None);
}

/// Reads an amount in every place that has one and may do without.
async fn amounts(form: &str) -> Vec<Option<Decimal>> {
    let limit = find(&with(TOKEN, "walletAmount", "50", form)).await.limits().max_wallet_amount();
    let token = find(&with(TOKEN, "walletAmount", "12.5", form)).await;
    let scope = get_scope(&with(SCOPE, "ch-start", "0.06", form)).await;
    let price = get_subscription(&with(SUBSCRIPTION, "price", "10", form)).await;
    let each = get_subscription(&with(SUBSCRIPTION, "pricePerRequest", "0.01", form)).await;
    vec![
        limit.limited(),
        token.stats().wallet_amount(),
        stats(&with(STATS, "walletAmount", "125.5", form)).await.wallet_amount(),
        scope.prices().get("ch-start").copied(),
        price.price(),
        each.price_per_request(),
    ]
}

async fn credit(form: &str) -> Result<Decimal, Error> {
    let body = with(WALLET, "credit", "125.5", form);
    answered(Answer::json(200, body), async |oauth| oauth.wallet().await).await.map(|wallet| wallet.credit())
}

async fn transaction(form: &str) -> Option<Decimal> {
    let body = with(TRANSACTIONS, "amount", "-15.5", form);
    let list = async |oauth: &Oauth| oauth.list_wallet_transactions(PageRange::default()).await;
    let page = returned(&body, list).await;
    assert_eq!(page.len() + page.unrecognized().len(), 3);
    page.iter().find(|entry| entry.id() == "txn_65a1b2c3d4e5f6789abc001").map(|entry| entry.amount())
}

#[tokio::test]
async fn money_is_a_decimal_a_text_or_a_float_with_an_exponent() {
    for (form, expected) in [
        ("0", "0"),
        ("125.5", "125.5"),
        ("0.06", "0.06"),
        ("80.10", "80.10"),
        ("\"80.10\"", "80.10"),
        ("\" 80.10 \"", "80.10"),
        ("-15.5", "-15.5"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("12345678901234567.89", "12345678901234567.89"),
        ("\"12345678901234567.89\"", "12345678901234567.89"),
        ("1e2", "100"),
        ("1.5E+2", "150"),
        ("\"1.5E+2\"", "150"),
        ("1.19e-3", "0.00119"),
        // The remainder of a subtraction of binary numbers.
        ("1.1935842939015E-12", "0.0000000000011935842939015"),
        ("5.6843418860808015e-14", "0.0000000000000568434188608080"),
        ("\"5.6843418860808015e-14\"", "0.0000000000000568434188608080"),
        ("-1.4210854715202004e-14", "-0.0000000000000142108547152020"),
        ("7.105427357601002E-15", "0.0000000000000071054273576010"),
        ("2.2250738585072014e-308", "0"),
        ("4.9E-324", "0"),
        ("1e-99999999999999999999", "0"),
        ("0.1234567890123456789012345678901", "0.1234567890123456789012345679"),
        ("79228162514264337593543950335", "79228162514264337593543950335"),
    ] {
        let expected: Decimal = expected.parse().unwrap();
        assert_eq!(amounts(form).await, [Some(expected); 6], "{form}");
        assert_eq!(credit(form).await.unwrap(), expected, "{form}");
        assert_eq!(transaction(form).await, Some(expected), "{form}");
    }
    for form in ["null", "\"\"", "\"free\"", "true", "[]", "{}", "1e400", "\"NaN\"", "\"inf\"", "\"e5\"", "\"1e-\""] {
        assert_eq!(amounts(form).await, [None; 6], "{form}");
        assert!(credit(form).await.unwrap_err().is_decode(), "{form}");
        assert_eq!(transaction(form).await, None, "{form}");
    }
}

#[tokio::test]
async fn a_limit_is_a_number_or_none_or_not_known() {
    let limited = |number| Limit::Limited(number);
    for (form, expected) in [
        ("7", limited(7)),
        ("7.0", limited(7)),
        ("\"7\"", limited(7)),
        ("0", limited(0)),
        ("\"0\"", limited(0)),
        ("false", Limit::Unlimited),
        ("\"false\"", Limit::Unlimited),
        ("true", Limit::Unknown),
        ("\"true\"", Limit::Unknown),
        ("null", Limit::Unknown),
        ("\"\"", Limit::Unknown),
        ("-1", Limit::Unknown),
        ("[]", Limit::Unknown),
        ("{}", Limit::Unknown),
        ("\"none\"", Limit::Unknown),
    ] {
        let token = find(&with(TOKEN, "totalRequests", "10000", form)).await;
        assert_eq!(token.limits().max_total_requests(), expected, "{form}");
        let token = find(&with(TOKEN, "walletRequests", "1000", form)).await;
        assert_eq!(token.limits().max_wallet_requests(), expected, "{form}");
        let token = find(&with(TOKEN, "subscriptionRequests", "500", form)).await;
        assert_eq!(token.limits().max_subscription_requests(), expected, "{form}");
        // The others are there nevertheless.
        assert_eq!(token.limits().max_total_requests(), limited(10_000));
        for (field, sent) in
            [("dayLimit", "0"), ("monthLimit", "false"), ("yearLimit", "false"), ("totalLimit", "false")]
        {
            let scope = get_scope(&with(SCOPE, field, sent, form)).await;
            let free = scope.free_limits();
            let all = [
                ("dayLimit", free.day()),
                ("monthLimit", free.month()),
                ("yearLimit", free.year()),
                ("totalLimit", free.total()),
            ];
            for (name, limit) in all {
                let other = if name == "dayLimit" { limited(0) } else { Limit::Unlimited };
                assert_eq!(limit, if name == field { expected } else { other }, "{field} {form} {name}");
            }
        }
    }
    for (form, expected) in [
        ("false", Limit::Unlimited),
        ("true", Limit::Unknown),
        ("\"true\"", Limit::Unknown),
        ("null", Limit::Unknown),
        ("\"\"", Limit::Unknown),
        ("[]", Limit::Unknown),
        ("\"10000 req/min\"", Limit::Limited("10000 req/min")),
        ("10000", Limit::Limited("10000")),
    ] {
        assert_eq!(get_scope(&with(SCOPE, "rateLimit", "false", form)).await.rate_limit(), expected, "{form}");
    }
    for (form, expected) in [("false", Limit::Unlimited), ("true", Limit::Unknown), ("null", Limit::Unknown)] {
        let token = find(&with(TOKEN, "walletAmount", "50", form)).await;
        assert_eq!(token.limits().max_wallet_amount(), expected, "{form}");
    }
    // Absent.
    let token = find(&without(TOKEN, "walletAmount", "50")).await;
    assert_eq!(token.limits().max_wallet_amount(), Limit::Unknown);
    let scope = get_scope(&without(&without(SCOPE, "dayLimit", "0"), "rateLimit", "false")).await;
    assert_eq!((scope.free_limits().day(), scope.rate_limit()), (Limit::Unknown, Limit::Unknown));
}

#[tokio::test]
async fn an_empty_map_is_an_empty_array() {
    for empty in ["[]", "[ ]", "[\\n]", "{}", "{ }", "null", "false", "\"\"", "[5, 6]"] {
        let empty = &empty.replace("\\n", "\n");
        let limits = r#"{"totalRequests":10000,"walletRequests":1000,"subscriptionRequests":500,"walletAmount":50,"ip":["192.168.1.1","10.0.0.2"]}"#;
        let token = find(&with(TOKEN, "limits", limits, empty)).await;
        assert_eq!(token.limits(), &gettone::openapi::v2::TokenLimits::new(), "{empty}");
        assert_eq!(token.stats().total_requests(), Some(1_234));

        let stats = r#"{"totalRequests":1234,"walletRequests":120,"subscriptionRequests":30,"errorRequests":5,"walletAmount":12.5,"ip":["192.168.1.1","10.0.0.2"]}"#;
        let token = find(&with(TOKEN, "stats", stats, empty)).await;
        assert_eq!(token.stats(), &Stats::default(), "{empty}");
        assert_eq!(token.limits().max_total_requests(), Limit::Limited(10_000));

        let free = r#"{"dayLimit":0,"monthLimit":false,"yearLimit":false,"totalLimit":false}"#;
        let scope = get_scope(&with(SCOPE, "freeLimits", free, empty)).await;
        assert_eq!(scope.free_limits().day(), Limit::Unknown, "{empty}");
        let requirements = r#"{"id_card":false,"oa_general_contract":false}"#;
        let scope = get_scope(&with(SCOPE, "requirements", requirements, empty)).await;
        assert!(scope.requirements().is_empty() && scope.prices().len() == 1, "{empty}");
        let scope = get_scope(&with(SCOPE, "prices", r#"{"ch-start":0.06}"#, empty)).await;
        assert!(scope.prices().is_empty() && scope.requirements().len() == 2, "{empty}");

        let at = STATS_API.find("\"scopes\":").unwrap();
        let body = format!("{}\"scopes\":{empty}}}}}", &STATS_API[..at]);
        let stats = returned(&body, async |oauth| oauth.stats_api("a.it", Period::total()).await).await;
        assert!(stats.scopes().is_empty() && stats.unrecognized().is_empty(), "{empty}");
        assert_eq!(stats.stats().total_requests(), Some(500));
    }
}

#[tokio::test]
async fn headers_without_an_entry_are_an_empty_map() {
    let headers = r#"{"Content-Type":"application/json","X-Webhook-Signature":"sha256=..."}"#;
    for empty in ["[]", "[ ]", "{}"] {
        let callback = get_callback(&with(CALLBACK, "headers", headers, empty)).await;
        assert_eq!(callback.headers(), Some(&json!({})), "{empty}");
    }
    assert_eq!(get_callback(&with(CALLBACK, "headers", headers, "null")).await.headers(), None);
}

#[tokio::test]
async fn a_domain_without_figures_is_kept() {
    let body = r#"{"data":{"b.it":[],"a.it":{},"c.it":null,"d.it":{"totalRequests":"3"},"count":7}}"#;
    let all = returned(body, async |oauth| oauth.stats_apis(Period::total()).await).await;
    let found: Vec<_> = all.iter().map(|(domain, stats)| (domain.as_str(), stats.total_requests())).collect();
    assert_eq!(found, [("b.it", None), ("a.it", None), ("c.it", None), ("d.it", Some(3))]);
}

#[tokio::test]
async fn figures_of_something_that_is_no_scope_are_kept_apart() {
    let body = r#"{"data":{"totalRequests":3,"scopes":{"GET:a.it/b":{"totalRequests":1},"elsewhere":{"totalRequests":2},"POST:a.it/b":7}}}"#;
    let stats = returned(body, async |oauth| oauth.stats_api("a.it", Period::total()).await).await;
    assert_eq!((stats.scopes().len(), stats.scopes()[0].1.total_requests()), (1, Some(1)));
    let apart = [("elsewhere".to_owned(), json!({ "totalRequests": 2 })), ("POST:a.it/b".to_owned(), json!(7))];
    assert_eq!(stats.unrecognized(), apart);
    assert!(format!("{stats:?}").contains("unrecognized: 2 entries"), "{stats:?}");
}

/// Reads a time in every place that has one and may do without.
async fn times(form: &str) -> Vec<Option<SystemTime>> {
    let (night, ten) = ("\"2025-11-01T00:00:00+00:00\"", "\"2026-02-12T10:00:00+00:00\"");
    let completed = with(CALLBACK, "completedAt", "\"2026-02-12T10:00:05+00:00\"", form);
    let logged = with(ERRORS, "errorAt", "\"2026-02-03T17:15:09+00:00\"", form);
    let logged = returned(&logged, async |oauth| oauth.list_errors(&[], PageRange::default()).await).await;
    let spent = with(TRANSACTIONS, "createdAt", "\"2026-02-12T08:30:00+00:00\"", form);
    let list = async |oauth: &Oauth| oauth.list_wallet_transactions(PageRange::default()).await;
    let wallet = with(WALLET, "updatedAt", "\"2026-02-12T08:30:00+00:00\"", form);
    vec![
        find(&with(TOKEN, "createdAt", "\"2025-11-19T10:00:00Z\"", form)).await.created_at(),
        find(&with(TOKEN, "updatedAt", "\"2025-11-20T09:00:00Z\"", form)).await.updated_at(),
        get_callback(&with(CALLBACK, "startedAt", ten, form)).await.started_at(),
        get_callback(&completed).await.completed_at(),
        get_subscription(&with(SUBSCRIPTION, "startsAt", night, form)).await.starts_at(),
        logged[0].at(),
        returned(&spent, list).await[0].created_at(),
        returned(&wallet, async |oauth| oauth.wallet().await).await.updated_at(),
    ]
}

async fn expires_at(form: &str) -> Result<SystemTime, Error> {
    let body = with(TOKEN, "expireAt", "\"2025-12-19T10:00:00Z\"", form);
    let found = answered(Answer::json(200, body), async |oauth| oauth.find_token(&token()).await).await?;
    Ok(found.unwrap().expires_at())
}

#[tokio::test]
async fn a_time_ends_in_z_or_in_an_offset_and_may_have_a_fraction() {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_770_897_600);
    for (form, nanos) in [
        ("2026-02-12T12:00:00Z", 0),
        ("2026-02-12T12:00:00+00:00", 0),
        ("2026-02-12T12:00:00-00:00", 0),
        ("2026-02-12T13:00:00+01:00", 0),
        ("2026-02-12T06:30:00-05:30", 0),
        ("2026-02-12T12:00:00.0Z", 0),
        ("2026-02-12T12:00:00.5+00:00", 500_000_000),
        ("2026-02-12T12:00:00.123456+00:00", 123_456_000),
        ("2026-02-12T12:00:00.123456789Z", 123_456_789),
        ("2026-02-12T12:00:00.1234567891234567891234567Z", 123_456_789),
    ] {
        let (form, expected) = (format!("{form:?}"), noon + Duration::from_nanos(nanos));
        assert_eq!(times(&form).await, [Some(expected); 8], "{form}");
        assert_eq!(expires_at(&form).await.unwrap(), expected, "{form}");
    }
    let unreadable = ["2026-02-12", "2026-02-12T12:00:00", "2026-02-30T12:00:00Z", "soon", "", "1770897600"];
    let unreadable = unreadable.map(|text| format!("{text:?}"));
    let others = ["null", "1770897600", "false", "[]", "{}"].map(str::to_owned);
    for form in unreadable.into_iter().chain(others) {
        assert_eq!(times(&form).await, [None; 8], "{form}");
        let error = expires_at(&form).await.unwrap_err();
        assert!(error.is_decode() && !error.to_string().contains("4a12"), "{form}: {error}");
    }
}

#[tokio::test]
async fn a_time_at_the_end_of_the_calendar_is_no_panic() {
    for (form, seconds) in [
        ("0001-01-01T00:00:00Z", -62_135_596_800_i64),
        ("0000-01-01T00:00:00+23:59", -62_167_219_200 - 86_340),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
        ("9999-12-31T23:59:59-23:59", 253_402_300_799 + 86_340),
        ("1969-12-31T23:59:59Z", -1),
    ] {
        let expected = if seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs()))
        } else {
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.unsigned_abs()))
        };
        for time in times(&format!("{form:?}")).await {
            // Not every system can express each of them.
            assert!(time.is_none() || time == expected, "{form}: {time:?}");
        }
    }
    // The second that is added to some days.
    let second = times("\"2016-12-31T23:59:60Z\"").await[0].unwrap();
    let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_483_228_800);
    assert!(midnight.duration_since(second).unwrap() <= Duration::from_secs(1), "{second:?}");
}

#[tokio::test]
async fn a_code_of_the_log_is_kept_as_it_is_written() {
    for (form, kept) in
        [("180", Some("180")), ("125.22", Some("125.22")), ("\"131\"", Some("131")), ("null", None), ("true", None)]
    {
        let body = with(ERRORS, "errorCode", "180", form);
        let page = returned(&body, async |oauth| oauth.list_errors(&[], PageRange::default()).await).await;
        assert_eq!((page.len(), page[0].code()), (2, kept), "{form}");
    }
}

#[tokio::test]
async fn any_json_is_kept_in_data_and_custom() {
    let (data, custom) = (r#"{"event":"user.created","userId":"12345"}"#, r#"{"trackingId":"abc-123"}"#);
    for form in [r#"{"a":[1,2.5,"x",null,{"b":true}]}"#, "[]", "[[]]", "7", "false", "\"text\"", "\"\""] {
        let expected: serde_json::Value = serde_json::from_str(form).unwrap();
        assert_eq!(get_callback(&with(CALLBACK, "data", data, form)).await.data(), Some(&expected));
        assert_eq!(get_callback(&with(CALLBACK, "custom", custom, form)).await.custom(), Some(&expected));
    }
    assert_eq!(get_callback(&with(CALLBACK, "data", data, "null")).await.data(), None);
    // What no value can hold is its text. With `arbitrary_precision` of serde_json, one holds any number.
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    for form in ["[1e999]", r#"{"amount":1e999,"id":5}"#, &deep] {
        let callback = get_callback(&with(CALLBACK, "data", data, form)).await;
        let expected = serde_json::from_str(form).unwrap_or_else(|_| json!(form));
        assert_eq!(callback.data(), Some(&expected));
        assert_eq!(callback.custom(), Some(&json!({ "trackingId": "abc-123" })));
    }
}

#[tokio::test]
async fn a_missing_refresh_token_leaves_the_token() {
    let sent = "\"656d1e2f8b3c2a001f7e4a13\"";
    for form in ["null", "\"\"", "7", "[]", "{}", "false"] {
        let token = find(&with(TOKEN, "refreshToken", sent, form)).await;
        assert_eq!(token.refresh_token().map(RefreshToken::expose), None, "{form}");
        assert_eq!(token.token().expose(), "656d1e2f8b3c2a001f7e4a12");
    }
    assert_eq!(find(&without(TOKEN, "refreshToken", sent)).await.refresh_token(), None);
}

#[tokio::test]
async fn a_token_needs_a_token_that_can_be_sent() {
    let sent = "\"656d1e2f8b3c2a001f7e4a12\"";
    for form in ["null", "\"\"", "7", "[]", "{}", "\"a b\"", "\"..\"", "\"a\\nb\""] {
        let body = format!("{{\"data\":{}}}", with(TOKEN, "token", sent, form));
        let error =
            answered(Answer::json(200, body), async |oauth| oauth.find_token(&token()).await).await.unwrap_err();
        assert!(error.is_decode(), "{form}: {error:?}");
        assert!(!error.to_string().contains("4a13"), "{error}");
    }
}

#[tokio::test]
async fn a_name_that_is_empty_is_none() {
    for (form, expected) in [("null", None), ("\"\"", None), ("\"x\"", Some("x")), ("7", Some("7")), ("[]", None)] {
        assert_eq!(find(&with(TOKEN, "name", "\"Service X API token\"", form)).await.name(), expected, "{form}");
    }
}
