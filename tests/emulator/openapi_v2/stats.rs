//! Stats: they follow from the calls, by date, by address, by domain and by scope.

use gettone::emulator::{Account, Emulator};
use gettone::openapi::Decimal;
use gettone::reqwest::Method;
use serde_json::{Value, json};

use super::*;
use crate::common::http;
use crate::fixture::*;

const DAY: u64 = 24 * 3600;

impl Fixture {
    /// Calls a host of the catalog from an address.
    async fn call_host(&self, host: &str, path: &str, address: &str, token: &str) -> u16 {
        let request = http().request(Method::GET, self.emulator.url(path)).header("host", host).bearer_auth(token);
        self.send(request.header("x-forwarded-for", address)).await.status
    }
}

#[tokio::test]
async fn stats_count_calls_money_errors_and_addresses() {
    let account = Account::default().with_credit(Decimal::new(7, 2));
    let fixture = start_with(Emulator::builder().account(account).price(Decimal::new(2, 2))).await;
    let none = json!({
        "totalRequests": 0, "walletRequests": 0, "subscriptionRequests": 0, "errorRequests": 0, "walletAmount": 0,
        "totalIps": 0, "totalApis": 0,
    });
    assert_eq!(fixture.data("/stats").await, none);
    assert_eq!((fixture.data("/stats/ips").await, fixture.data("/stats/apis").await), (json!([]), json!({})));

    let token = text(&fixture.create(&[ECHO, BASE, FULL], json!({})).await["token"]);
    assert_eq!(fixture.echo(&token).await, 200);
    assert_eq!(fixture.call_host("imprese.openapi.it", "/base/1", "203.0.113.7", &token).await, 200);
    assert_eq!(fixture.call_host("imprese.openapi.it", "/IT-full", "203.0.113.8", &token).await, 200);
    // No credit is left, and a scope that the token does not have.
    assert_eq!(fixture.call_host("imprese.openapi.it", "/base", "203.0.113.7", &token).await, 402);
    assert_eq!(fixture.call("PUT", "/echo", &token).await.status, 401);
    // Nobody has this token.
    assert_eq!(fixture.echo("unknown").await, 401);

    let all = json!({
        "totalRequests": 5, "walletRequests": 3, "subscriptionRequests": 0, "errorRequests": 2, "walletAmount": 0.06,
        "totalIps": 3, "totalApis": 2,
    });
    assert_eq!(fixture.data("/stats").await, all);
    assert_eq!(fixture.data("/stats/ips").await, json!(["127.0.0.1", "203.0.113.7", "203.0.113.8"]));
    let echo = json!({
        "totalRequests": 2, "walletRequests": 1, "subscriptionRequests": 0, "errorRequests": 1, "walletAmount": 0.02,
        "totalIps": 1, "totalScopes": 2,
    });
    let imprese = json!({
        "totalRequests": 3, "walletRequests": 2, "subscriptionRequests": 0, "errorRequests": 1, "walletAmount": 0.04,
        "totalIps": 2, "totalScopes": 2,
    });
    let apis = json!({ "127.0.0.1": echo, "imprese.openapi.it": imprese });
    assert_eq!(fixture.data("/stats/apis").await, apis);

    let mut domain = imprese.clone();
    domain["ip"] = json!(["203.0.113.7", "203.0.113.8"]);
    domain["scopes"] = json!({
        BASE: { "totalRequests": 2, "walletRequests": 1, "subscriptionRequests": 0, "errorRequests": 1, "walletAmount": 0.02,
            "ip": ["203.0.113.7"] },
        FULL: { "totalRequests": 1, "walletRequests": 1, "subscriptionRequests": 0, "errorRequests": 0, "walletAmount": 0.02,
            "ip": ["203.0.113.8"] },
    });
    assert_eq!(fixture.data("/stats/apis/imprese.openapi.it").await, domain);
    let unknown = fixture.data("/stats/apis/unknown.openapi.it").await;
    assert_eq!((&unknown["totalRequests"], &unknown["scopes"], &unknown["ip"]), (&json!(0), &json!({}), &json!([])));
    // The sandbox was not called, and version 1 counts accepted calls only.
    assert_eq!(fixture.v2_sandbox("GET", "/stats", Value::Null).await.body["data"], none);
    let counters = fixture.ask("GET", "/counters/total", Value::Null).await.body["data"].clone();
    let counted: Vec<_> =
        counters.as_object().unwrap().iter().map(|(scope, entry)| (scope.as_str(), &entry["counter"])).collect();
    assert_eq!(counted, [(ECHO, &json!(1)), (FULL, &json!(1)), (BASE, &json!(1))]);
}

#[tokio::test]
async fn a_date_is_a_year_a_month_or_a_day() {
    let fixture = start().await;
    let token = fixture.create(&[ECHO], json!({ "ttl": YEAR })).await.clone();
    let token = text(&token["token"]);
    // 2021-10-14, the day after, a month later and a year later; the version 1 token calls once.
    for (wait, calls, address) in [(0, 1, "203.0.113.1"), (DAY, 2, "203.0.113.2"), (30 * DAY, 3, "203.0.113.3")] {
        fixture.seconds(wait);
        for _ in 0..calls {
            assert_eq!(fixture.echo_from(address, &token).await.status, 200);
        }
    }
    fixture.seconds(60 * DAY);
    let v1 = fixture.make(&[ECHO]).await;
    assert_eq!(fixture.echo(&v1).await, 200);
    let cases = [
        ("", 7, 4),
        ("?date=2021", 6, 3),
        ("?date=2022", 1, 1),
        ("?date=2020", 0, 0),
        ("?date=2021-10", 3, 2),
        ("?date=2021-11", 3, 1),
        ("?date=2021-10-14", 1, 1),
        ("?date=2021-10-15", 2, 1),
        ("?date=2021-10-16", 0, 0),
    ];
    for (date, calls, addresses) in cases {
        let stats = fixture.data(&format!("/stats{date}")).await;
        assert_eq!((&stats["totalRequests"], &stats["totalIps"]), (&json!(calls), &json!(addresses)), "{date}");
        assert_eq!(fixture.data(&format!("/stats/ips{date}")).await.as_array().unwrap().len(), addresses, "{date}");
        let apis = fixture.data(&format!("/stats/apis{date}")).await;
        assert_eq!(apis["127.0.0.1"]["totalRequests"].as_u64().unwrap_or_default(), calls, "{date}");
        let domain = fixture.data(&format!("/stats/apis/127.0.0.1{date}")).await;
        assert_eq!(domain["totalRequests"], calls, "{date}");
    }
    for wrong in ["", "x", "2021-1", "2021-00", "2021-10-32", "2021-10-14-1", "20211014", "21", "2021-10-14T00:00:00Z"]
    {
        for path in ["/stats", "/stats/ips", "/stats/apis", "/stats/apis/127.0.0.1"] {
            let answer = fixture.v2("GET", &format!("{path}?date={wrong}"), Value::Null).await;
            assert_eq!(answer.code(), (422, json!(240)), "{path} {wrong:?}");
        }
    }
}
