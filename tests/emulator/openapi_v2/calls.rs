//! The protected endpoint: limits and addresses of a token, what pays for a call, and the wallet.

use gettone::emulator::{Account, Emulator, Limit};
use gettone::openapi::Decimal;
use serde_json::{Value, json};

use super::*;
use crate::fixture::*;

const NO_CREDIT: &str = "Insufficient credit";
const USED_UP: &str = "A limit of the token is used up";

fn refused(status: u16, message: &str) -> (u16, Value) {
    (status, json!({ "success": false, "message": message, "error": null, "data": null }))
}

#[tokio::test]
async fn only_the_named_addresses_may_use_a_token() {
    let fixture = start().await;
    let token = fixture.echo_token(json!({ "limits": { "ip": ["203.0.113.10", "2001:db8::1"] } })).await;
    for address in ["203.0.113.10", "2001:db8::1", "2001:DB8:0::1", "203.0.113.10, 198.51.100.1"] {
        assert_eq!(fixture.echo_from(address, &token).await.status, 200, "{address}");
    }
    for address in ["203.0.113.11", "not an address"] {
        let answer = fixture.echo_from(address, &token).await;
        let expected = refused(403, "The token cannot be used from this address");
        assert_eq!((answer.status, answer.body), expected, "{address}");
    }
    // Without the header, the connection's address counts.
    assert_eq!(fixture.echo(&token).await, 403);
    let here = fixture.echo_token(json!({ "limits": { "ip": ["127.0.0.1"] } })).await;
    assert_eq!((fixture.echo(&here).await, fixture.echo_from("203.0.113.10", &here).await.status), (200, 403));
    let any = fixture.echo_token(json!({ "limits": { "ip": [] } })).await;
    assert_eq!(fixture.echo_from("203.0.113.11", &any).await.status, 200);

    let found = fixture.v2("GET", &format!("/tokens/{token}"), Value::Null).await.body;
    let stats = &found["stats"];
    assert_eq!((&stats["totalRequests"], &stats["errorRequests"]), (&json!(7), &json!(3)));
    assert_eq!(stats["ip"], json!(["127.0.0.1", "203.0.113.10", "203.0.113.11", "2001:db8::1"]));
}

#[tokio::test]
async fn each_limit_of_a_token_ends_its_calls() {
    let builder = Emulator::builder()
        .price(Decimal::new(2, 2))
        .limit("PUT:127.0.0.1/*".parse().unwrap(), Limit::Unlimited)
        .subscription("POST:127.0.0.1/*".parse().unwrap(), 100);
    let fixture = start_with(builder).await;
    let all = ["GET:127.0.0.1/echo", "PUT:127.0.0.1/echo", "POST:127.0.0.1/echo"];
    // The limit, and how many paid, free and subscribed calls in a row it lets through.
    let cases = [
        (json!({ "totalRequests": 2 }), [2, 0, 0]),
        (json!({ "totalRequests": 5 }), [4, 1, 0]),
        (json!({ "walletRequests": 2 }), [2, 4, 4]),
        (json!({ "subscriptionRequests": 2 }), [4, 4, 2]),
        (json!({ "walletAmount": 0.06 }), [3, 4, 4]),
        (json!({ "walletAmount": 0.0799 }), [3, 4, 4]),
        (json!({ "walletRequests": 0 }), [0, 4, 4]),
        (json!({ "totalRequests": null, "walletAmount": false }), [4, 4, 4]),
    ];
    for (limits, expected) in cases {
        let made = fixture.create(&all, json!({ "limits": limits })).await;
        let token = text(&made["token"]);
        let mut accepted = [0; 3];
        for (accepted, method) in accepted.iter_mut().zip(["GET", "PUT", "POST"]) {
            for _ in 0..4 {
                let answer = fixture.call(method, "/echo", &token).await;
                *accepted += u32::from(answer.status == 200);
                if answer.status != 200 {
                    assert_eq!((answer.status, answer.body), refused(402, USED_UP), "{limits}");
                }
            }
        }
        assert_eq!(accepted, expected, "{limits}");
        let stats = fixture.v2("GET", &format!("/tokens/{token}"), Value::Null).await.body["stats"].clone();
        let [paid, free, subscribed] = accepted;
        let errors = 12 - paid - free - subscribed;
        let shown = json!({
            "totalRequests": 12, "walletRequests": paid, "subscriptionRequests": subscribed, "errorRequests": errors,
            "walletAmount": f64::from(paid * 2) / 100.0, "ip": ["127.0.0.1"],
        });
        assert_eq!(number_free(&stats), number_free(&shown), "{limits}");
    }
    // What a limit refuses, nobody pays for.
    let token = fixture.echo_token(json!({ "limits": { "walletRequests": 0 } })).await;
    let before = fixture.data("/wallet").await;
    assert_eq!(fixture.echo(&token).await, 402);
    assert_eq!(fixture.data("/wallet").await, before);
}

/// Writes numbers as floating-point numbers: 0 and 0.0 are the same amount.
fn number_free(value: &Value) -> Value {
    let fields = value.as_object().unwrap().iter();
    fields.map(|(name, value)| (name.clone(), value.as_f64().map_or(value.clone(), Value::from))).collect()
}

#[tokio::test]
async fn a_raised_limit_and_a_new_address_count_at_once() {
    let fixture = start().await;
    let token = fixture.echo_token(json!({ "limits": { "totalRequests": 1, "ip": ["203.0.113.1"] } })).await;
    assert_eq!(fixture.echo_from("203.0.113.1", &token).await.status, 200);
    assert_eq!(fixture.echo_from("203.0.113.1", &token).await.status, 402);
    fixture.v2("PATCH", &format!("/tokens/{token}"), json!({ "limits": { "totalRequests": 2 } })).await;
    assert_eq!((fixture.echo(&token).await, fixture.echo(&token).await), (200, 402));
}

#[tokio::test]
async fn the_wallet_and_its_transactions_follow_the_calls_of_both_versions() {
    let account = Account::default().with_credit(Decimal::new(5, 2));
    let fixture = start_with(Emulator::builder().account(account).price(Decimal::new(2, 2))).await;
    let started = fixture.data("/wallet").await;
    assert_eq!(started["credit"], 0.05);
    assert!(text(&started["createdAt"]).ends_with("+00:00") && started["createdAt"] == started["updatedAt"]);
    assert_eq!(fixture.data("/wallet/transactions").await, json!([]));

    let (v1, v2) = (fixture.make(&[ECHO]).await, fixture.echo_token(json!({})).await);
    fixture.seconds(1);
    assert_eq!((fixture.echo(&v1).await, fixture.echo(&v2).await), (200, 200));
    let answer = fixture.call("GET", "/echo", &v2).await;
    assert_eq!((answer.status, answer.body), refused(402, NO_CREDIT));
    fixture.seconds(1);
    fixture.emulator.set_credit(Decimal::new(10, 0));
    fixture.emulator.set_credit(Decimal::new(4, 0));
    assert_eq!(fixture.echo(&v2).await, 200);

    let wallet = fixture.data("/wallet").await;
    assert_eq!((&wallet["credit"], &wallet["createdAt"]), (&json!(3.98), &started["createdAt"]));
    assert_ne!(wallet["updatedAt"], started["updatedAt"]);
    assert_eq!(fixture.ask("GET", "/credit", Value::Null).await.body["data"]["credit"], 3.98);
    let transactions = fixture.data("/wallet/transactions").await;
    let told: Vec<_> =
        transactions.as_array().unwrap().iter().map(|entry| (&entry["amount"], &entry["description"])).collect();
    let (usage, recharge) = (json!("API usage - 127.0.0.1"), json!("Wallet recharge"));
    let (spent, added) = (json!(-0.02), json!(9.99));
    assert_eq!(told, [(&spent, &usage), (&added, &recharge), (&spent, &usage), (&spent, &usage)]);
    for entry in transactions.as_array().unwrap() {
        let id = text(&entry["id"]);
        assert!(id.len() == 27 && id.starts_with("txn_"), "{id}");
        assert!(text(&entry["createdAt"]).ends_with("+00:00") && entry.as_object().unwrap().len() == 4);
    }
    let counted = fixture.ask("GET", "/counters/total", Value::Null).await.body["data"][ECHO].clone();
    assert_eq!(counted, json!({ "counter": 3, "paid": 3, "limit": null }));

    // The sandbox has its own; without a credit record, the wallet is empty.
    let sandbox = fixture.v2_sandbox("GET", "/wallet", Value::Null).await.body;
    assert_eq!(sandbox["data"]["credit"], 4);
    fixture.emulator.set_credit(None);
    assert_eq!(fixture.data("/wallet").await["credit"], 0);
    assert_eq!(fixture.echo(&v2).await, 402);
}

#[tokio::test]
async fn a_subscription_pays_before_free_calls_and_the_wallet() {
    let builder = Emulator::builder()
        .limit(ECHO.parse().unwrap(), Limit::Calls(1))
        .subscription("*:127.0.0.1/*".parse().unwrap(), 2)
        .price(Decimal::new(5, 2));
    let fixture = start_with(builder).await;
    let token = fixture.echo_token(json!({})).await;
    let list = fixture.data("/subscriptions").await;
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 5, "one for each scope that the pattern covers");
    let entry = list.iter().find(|entry| entry["scope"] == ECHO).unwrap();
    let (starts, expires) = (text(&entry["startsAt"]), text(&entry["expiresAt"]));
    assert!(starts.ends_with("+00:00") && expires[..4] == (starts[..4].parse::<u32>().unwrap() + 1).to_string());
    let shown = json!({
        "id": entry["id"], "scope": ECHO, "active": true, "availableRequests": "2", "startsAt": starts, "expiresAt": expires,
    });
    assert!(is_id(&entry["id"]) && *entry == shown, "{entry}");

    fixture.seconds(60);
    let credit = async || fixture.data("/wallet").await["credit"].as_f64().unwrap();
    for left in [423.38, 423.38, 423.38, 423.33] {
        assert_eq!(fixture.call("GET", "/echo/deeper", &token).await.status, 200);
        assert!((credit().await - left).abs() < 1e-9, "{left}");
    }
    let path = format!("/subscriptions/{}", text(&entry["id"]));
    let detail = fixture.data(&path).await;
    let expected = json!({
        "id": entry["id"], "scope": ECHO, "domain": "127.0.0.1", "active": true, "startsAt": starts, "expiresAt": expires,
        "totalRequests": "2", "availableRequests": "0", "pricePerRequest": 0.05, "price": 0.1, "type": "yearly",
        "autorenew": false, "createdAt": starts, "updatedAt": detail["updatedAt"],
    });
    assert_eq!(detail, expected);
    assert_ne!(detail["updatedAt"], detail["createdAt"]);
    assert_eq!(fixture.data(&format!("/subscriptions?id={}", text(&entry["id"]))).await, detail);
    let filtered = fixture.data("/subscriptions?scopes=GET%3A127.0.0.1%2Fecho").await;
    assert_eq!(filtered.as_array().unwrap().len(), 1);

    let stats = fixture.data("/stats").await;
    let counts = ["totalRequests", "subscriptionRequests", "walletRequests"].map(|name| stats[name].as_u64().unwrap());
    assert_eq!(counts, [4, 2, 1]);
    let counted = fixture.ask("GET", "/counters/total", Value::Null).await.body["data"][ECHO].clone();
    assert_eq!(counted, json!({ "counter": 4, "paid": 1, "limit": 1 }));

    // After a year it pays no more, even if calls are left.
    let post = text(&fixture.create(&["POST:127.0.0.1/echo"], json!({ "ttl": YEAR })).await["token"]);
    assert_eq!(fixture.call("POST", "/echo", &post).await.status, 200);
    assert_eq!(fixture.data("/stats").await["subscriptionRequests"], 3);
    fixture.seconds(YEAR - 60);
    assert_eq!(fixture.data(&path).await["active"], false);
    assert_eq!(fixture.call("POST", "/echo", &post).await.status, 200);
    let stats = fixture.data("/stats").await;
    assert_eq!((&stats["subscriptionRequests"], &stats["walletRequests"]), (&json!(3), &json!(2)));
}
