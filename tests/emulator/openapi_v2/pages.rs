//! Pages, and accounts with thousands of tokens.

use std::collections::BTreeSet;
use std::time::Duration;

use gettone::emulator::Api;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::fixture::*;

#[tokio::test]
async fn a_list_of_tokens_has_pages_the_oldest_first() {
    let fixture = start().await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(text(&fixture.create(&[BASE], json!({ "name": number.to_string() })).await["token"]));
    }
    fixture.v2("DELETE", &format!("/tokens/{}", made.remove(2)), Value::Null).await;
    let page = async |query: &str| {
        let page = fixture.data(&format!("/tokens{query}")).await;
        page.as_array().unwrap().iter().map(|token| text(&token["token"])).collect::<Vec<_>>()
    };
    assert_eq!(page("").await, made);
    assert_eq!(page("?limit=2").await, made[..2]);
    assert_eq!(page("?limit=2&skip=2").await, made[2..4]);
    assert_eq!(page("?skip=5&limit=100").await, made[5..]);
    for end in ["?skip=6", "?skip=1000000000000", "?limit=1&skip=6"] {
        assert_eq!(page(end).await, [""; 0]);
    }
}

#[tokio::test]
async fn the_other_lists_have_pages_the_newest_first() {
    let fixture = start().await;
    let token = fixture.echo_token(json!({})).await;
    for number in 0..5 {
        fixture.seconds(1);
        assert_eq!(fixture.echo(&token).await, 200);
        fixture.v2("GET", "/scopes/unknown", Value::Null).await;
        fixture.emulator.add_callback(&BASE.parse().unwrap(), format!("https://example.com/{number}"), 200);
    }
    for (path, time) in [("/wallet/transactions", "createdAt"), ("/errors", "errorAt"), ("/callbacks", "startedAt")] {
        let all = fixture.data(path).await;
        let all = all.as_array().unwrap();
        let times: Vec<_> = all.iter().map(|entry| text(&entry[time])).collect();
        assert!(times.len() == 5 && times.is_sorted_by(|newer, older| newer > older), "{path}: {times:?}");
        let page = fixture.data(&format!("{path}?skip=1&limit=3")).await;
        assert_eq!(page.as_array().unwrap(), &all[1..4], "{path}");
        assert_eq!(fixture.data(&format!("{path}?skip=5")).await, json!([]), "{path}");
        let ids: BTreeSet<_> = all.iter().map(|entry| text(&entry["id"])).collect();
        assert_eq!(ids.len(), 5, "{path}");
    }
}

/// Ends a test that hangs.
const LONGEST: Duration = Duration::from_secs(60);

#[tokio::test]
async fn thousands_of_tokens_are_made_used_and_listed() {
    const TOKENS: usize = 1_000;
    let fixture = start().await;
    let work = async {
        let mut made = BTreeSet::new();
        for _ in 0..TOKENS {
            made.insert(fixture.echo_token(json!({})).await);
        }
        for token in &made {
            assert_eq!(fixture.echo(token).await, 200);
        }
        let mut listed = BTreeSet::new();
        for page in 0..=TOKENS / 100 {
            let tokens = fixture.data(&format!("/tokens?limit=100&skip={}", page * 100)).await;
            listed.extend(tokens.as_array().unwrap().iter().map(|token| text(&token["token"])));
        }
        assert!(listed == made && made.len() == TOKENS);
    };
    timeout(LONGEST, work).await.unwrap();
    assert_eq!(fixture.emulator.count_valid_tokens(Api::ProductionV2), TOKENS);
    let stats = fixture.data("/stats").await;
    assert_eq!(stats["walletRequests"], TOKENS);
}
