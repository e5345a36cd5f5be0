//! Keliweb Fatture.

use gettone::emulator::{CLIENT_ID, CLIENT_SECRET, Emulator, PASSWORD, Part, Passport, USERNAME};
use serde_json::{Value, json};

use crate::asking::*;
use crate::common::http;

fn access(answer: &Answer) -> &str {
    answer.body["access_token"].as_str().unwrap()
}

fn refresh(answer: &Answer) -> &str {
    answer.body["refresh_token"].as_str().unwrap()
}

#[tokio::test]
async fn a_pair_opens_the_endpoint_for_an_hour_and_can_be_refreshed_for_ten_days() {
    let bench = bench().await;
    let pair = bench.password_grant().await;
    assert_eq!(
        (pair.status, &pair.body["token_type"], &pair.body["expires_in"]),
        (200, &json!("Bearer"), &json!(3600))
    );
    assert_eq!(bench.call("POST", "/api/invoices", access(&pair)).await.status, 200);
    assert_eq!(bench.call("GET", "/keliweb/api", access(&pair)).await.status, 200);
    let refused = bench.call("GET", "/api", "unknown").await;
    assert_eq!((refused.status, refused.body), (401, json!({ "message": "Unauthenticated." })));
    bench.seconds(3600);
    assert_eq!(bench.call("GET", "/api", access(&pair)).await.status, 401);
    bench.seconds(10 * 24 * 3600 - 3600 - 1);
    let second = bench.refresh(refresh(&pair)).await;
    assert_eq!((second.status, bench.call("GET", "/api", access(&second)).await.status), (200, 200));
    bench.seconds(10 * 24 * 3600);
    let late = bench.refresh(refresh(&second)).await;
    assert_eq!((late.code(), &late.body["hint"]), ((400, json!("invalid_grant")), &json!("Token has expired")));
}

#[tokio::test]
async fn a_refresh_token_works_once_and_takes_its_access_token_along() {
    let bench = bench().await;
    let first = bench.password_grant().await;
    let second = bench.refresh(refresh(&first)).await;
    assert_eq!(bench.call("GET", "/api", access(&first)).await.status, 401);
    assert_eq!(bench.call("GET", "/api", access(&second)).await.status, 200);
    assert_eq!(bench.refresh(refresh(&first)).await.status, 400);
    assert_eq!(bench.emulator.living(Part::Keliweb), 1);

    let bench = bench_of(Emulator::builder().refresh_tokens(false)).await;
    assert_eq!(bench.password_grant().await.body.get("refresh_token"), None);
}

#[tokio::test]
async fn failures_are_those_of_the_version() {
    for version in [Passport::Old, Passport::New] {
        let bench = bench_of(Emulator::builder().passport(version)).await;
        let is_old = version == Passport::Old;
        let used = bench.password_grant().await;
        bench.refresh(refresh(&used)).await;
        let used = refresh(&used);
        let without = |name: &str| {
            let fields = [&client("password")[..], &[("username", USERNAME), ("password", PASSWORD)]].concat();
            fields.into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>()
        };
        let with = |name: &'static str, value: &'static str| [without(name), vec![(name, value)]].concat();
        let refreshing = [&client("refresh_token")[..], &[("refresh_token", used)]].concat();
        let either = |old: &'static str, new: &'static str| if is_old { old } else { new };
        let cases = [
            (without("client_id"), 400, "missing_field"),
            (with("grant_type", "client_credentials"), 400, "unsupported_grant_type"),
            (with("client_id", "unknown"), 401, "invalid_client"),
            (with("client_secret", "wrong"), 401, "invalid_client"),
            (
                with("password", "wrong"),
                if is_old { 401 } else { 400 },
                either("invalid_credentials", "wrong_password"),
            ),
            (
                with("username", "wrong"),
                if is_old { 401 } else { 400 },
                either("invalid_credentials", "wrong_password"),
            ),
            (refreshing, if is_old { 401 } else { 400 }, "refresh_token_refused"),
        ];
        for (fields, status, example) in cases {
            let answer = bench.grant(&fields).await;
            let mut documented: Value =
                serde_json::from_str(&keliweb().answer("request_token", status, example).body).unwrap();
            // Where the spec's example has both, each version has one.
            documented.as_object_mut().unwrap().remove(if is_old { "error_description" } else { "message" });
            assert_eq!((answer.status, answer.body), (status, documented), "{example} {version:?}");
        }
        for name in ["client_secret", "username", "password"] {
            let answer = bench.grant(&without(name)).await;
            assert_eq!(answer.body["hint"], format!("Check the `{name}` parameter"));
        }
    }
}

#[tokio::test]
async fn a_client_uses_its_own_refresh_tokens_only() {
    let other = gettone::emulator::Customer::new("other", "other-secret", "other@example.com", "other-password");
    let bench = bench_of(Emulator::builder().customer(Default::default()).customer(other)).await;
    let pair = bench.password_grant().await;
    let fields = [("grant_type", "refresh_token"), ("client_id", "other"), ("client_secret", "other-secret")];
    let answer = bench.grant(&[&fields[..], &[("refresh_token", refresh(&pair))]].concat()).await;
    assert_eq!((answer.status, &answer.body["hint"]), (400, &json!("Token is not linked to client")));
    assert_eq!(bench.refresh(refresh(&pair)).await.status, 200);
}

#[tokio::test]
async fn a_form_may_be_multipart_as_in_the_vendors_examples() {
    let bench = bench().await;
    let fields = [&client("password")[..], &[("username", USERNAME), ("password", PASSWORD)]].concat();
    let part = |(name, value)| format!("--x-y\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let body = fields.into_iter().map(part).collect::<String>() + "--x-y--\r\n";
    let request = http().post(format!("{}/oauth/token", bench.emulator.keliweb_url()));
    let request = request.header("content-type", "multipart/form-data; boundary=x-y").body(body);
    let pair = bench.send(request.header("accept", "application/json")).await;
    assert_eq!(pair.status, 200, "{pair:?}");
    assert_eq!(bench.call("GET", "/api", access(&pair)).await.status, 200);
}

#[tokio::test]
async fn sixty_in_a_minute_and_no_more() {
    let bench = bench().await;
    for left in (0..60).rev() {
        let answer = bench.password_grant().await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (200, left.to_string().as_str()));
    }
    bench.seconds(20);
    let refused = bench.password_grant().await;
    assert_eq!((refused.status, &refused.body), (429, &json!({ "message": "Too Many Attempts." })));
    assert_eq!((refused.header("retry-after"), refused.header("x-ratelimit-limit")), ("40", "60"));
    bench.seconds(40);
    assert_eq!(bench.password_grant().await.status, 200);
}

#[tokio::test]
async fn who_does_not_ask_for_json_is_sent_to_a_login_page() {
    let bench = bench().await;
    let base = bench.emulator.keliweb_url();
    let ask = |body: String| {
        let request = http().post(format!("{base}/oauth/token")).body(body);
        request.header("content-type", "application/x-www-form-urlencoded")
    };
    let wrong =
        format!("grant_type=password&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&username=x&password=y");
    let sent = bench.send(ask(wrong.clone())).await;
    assert_eq!((sent.status, sent.header("location")), (302, format!("{base}/login").as_str()));
    let page = bench.send(http().get(sent.header("location"))).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(bench.send(ask(wrong).header("x-requested-with", "XMLHttpRequest")).await.status, 400);
    let good = client("password").map(|(name, value)| format!("{name}={value}")).join("&");
    let good = format!("{good}&username={}&password={PASSWORD}", USERNAME.replace('@', "%40"));
    assert_eq!(bench.send(ask(good)).await.status, 200);
    assert_eq!(bench.send(http().get(bench.emulator.url("/api"))).await.status, 302);
}
