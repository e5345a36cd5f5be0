//! Keliweb Fatture.

use gettone::emulator::{Api, CLIENT_ID, CLIENT_SECRET, Emulator, PASSWORD, PassportVersion, USERNAME};
use serde_json::{Value, json};

use crate::common::http;
use crate::fixture::*;

fn access(answer: &Response) -> &str {
    answer.body["access_token"].as_str().unwrap()
}

fn refresh(answer: &Response) -> &str {
    answer.body["refresh_token"].as_str().unwrap()
}

#[tokio::test]
async fn an_access_token_lives_an_hour_and_a_refresh_token_ten_days() {
    let fixture = start().await;
    let pair = fixture.password_grant().await;
    assert_eq!(
        (pair.status, &pair.body["token_type"], &pair.body["expires_in"]),
        (200, &json!("Bearer"), &json!(3600))
    );
    assert_eq!(fixture.call("POST", "/api/invoices", access(&pair)).await.status, 200);
    assert_eq!(fixture.call("GET", "/keliweb/api", access(&pair)).await.status, 200);
    let refused = fixture.call("GET", "/api", "unknown").await;
    assert_eq!((refused.status, refused.body), (401, json!({ "message": "Unauthenticated." })));
    fixture.seconds(3600);
    assert_eq!(fixture.call("GET", "/api", access(&pair)).await.status, 401);
    fixture.seconds(10 * 24 * 3600 - 3600 - 1);
    let second = fixture.refresh(refresh(&pair)).await;
    assert_eq!((second.status, fixture.call("GET", "/api", access(&second)).await.status), (200, 200));
    fixture.seconds(10 * 24 * 3600);
    let late = fixture.refresh(refresh(&second)).await;
    assert_eq!((late.code(), &late.body["hint"]), ((400, json!("invalid_grant")), &json!("Token has expired")));
}

#[tokio::test]
async fn a_refresh_token_works_once_and_ends_its_access_token() {
    let fixture = start().await;
    let first = fixture.password_grant().await;
    let second = fixture.refresh(refresh(&first)).await;
    assert_eq!(fixture.call("GET", "/api", access(&first)).await.status, 401);
    assert_eq!(fixture.call("GET", "/api", access(&second)).await.status, 200);
    assert_eq!(fixture.refresh(refresh(&first)).await.status, 400);
    assert_eq!(fixture.emulator.count_valid_tokens(Api::Keliweb), 1);

    let fixture = start_with(Emulator::builder().refresh_tokens(false)).await;
    assert_eq!(fixture.password_grant().await.body.get("refresh_token"), None);
}

#[tokio::test]
async fn failures_depend_on_the_version_of_passport() {
    for version in [PassportVersion::Old, PassportVersion::New] {
        let fixture = start_with(Emulator::builder().passport_version(version)).await;
        let is_old = version == PassportVersion::Old;
        let used = fixture.password_grant().await;
        fixture.refresh(refresh(&used)).await;
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
            let answer = fixture.grant(&fields).await;
            let mut documented: Value =
                serde_json::from_str(&keliweb().answer("request_token", status, example).body).unwrap();
            // The spec's example has both fields; each version has one of them.
            documented.as_object_mut().unwrap().remove(if is_old { "error_description" } else { "message" });
            assert_eq!((answer.status, answer.body), (status, documented), "{example} {version:?}");
        }
        for name in ["client_secret", "username", "password"] {
            let answer = fixture.grant(&without(name)).await;
            assert_eq!(answer.body["hint"], format!("Check the `{name}` parameter"));
        }
    }
}

#[tokio::test]
async fn a_client_cannot_use_the_refresh_token_of_another() {
    let other = gettone::emulator::Customer::new("other", "other-secret", "other@example.com", "other-password");
    let fixture = start_with(Emulator::builder().customer(Default::default()).customer(other)).await;
    let pair = fixture.password_grant().await;
    let fields = [("grant_type", "refresh_token"), ("client_id", "other"), ("client_secret", "other-secret")];
    let answer = fixture.grant(&[&fields[..], &[("refresh_token", refresh(&pair))]].concat()).await;
    assert_eq!((answer.status, &answer.body["hint"]), (400, &json!("Token is not linked to client")));
    assert_eq!(fixture.refresh(refresh(&pair)).await.status, 200);
}

#[tokio::test]
async fn a_form_may_be_multipart_as_in_the_vendors_examples() {
    let fixture = start().await;
    let fields = [&client("password")[..], &[("username", USERNAME), ("password", PASSWORD)]].concat();
    let part = |(name, value)| format!("--x-y\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let body = fields.into_iter().map(part).collect::<String>() + "--x-y--\r\n";
    let request = http().post(format!("{}/oauth/token", fixture.emulator.keliweb_url()));
    let request = request.header("content-type", "multipart/form-data; boundary=x-y").body(body);
    let pair = fixture.send(request.header("accept", "application/json")).await;
    assert_eq!(pair.status, 200, "{pair:?}");
    assert_eq!(fixture.call("GET", "/api", access(&pair)).await.status, 200);
}

#[tokio::test]
async fn the_sixty_first_request_in_a_minute_is_rejected() {
    let fixture = start().await;
    for left in (0..60).rev() {
        let answer = fixture.password_grant().await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (200, left.to_string().as_str()));
    }
    fixture.seconds(20);
    let refused = fixture.password_grant().await;
    assert_eq!((refused.status, &refused.body), (429, &json!({ "message": "Too Many Attempts." })));
    assert_eq!((refused.header("retry-after"), refused.header("x-ratelimit-limit")), ("40", "60"));
    fixture.seconds(40);
    assert_eq!(fixture.password_grant().await.status, 200);
}

#[tokio::test]
async fn a_request_that_does_not_accept_json_is_redirected_to_a_login_page() {
    let fixture = start().await;
    let base = fixture.emulator.keliweb_url();
    let ask = |body: String| {
        let request = http().post(format!("{base}/oauth/token")).body(body);
        request.header("content-type", "application/x-www-form-urlencoded")
    };
    let wrong =
        format!("grant_type=password&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&username=x&password=y");
    let sent = fixture.send(ask(wrong.clone())).await;
    assert_eq!((sent.status, sent.header("location")), (302, format!("{base}/login").as_str()));
    let page = fixture.send(http().get(sent.header("location"))).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(fixture.emulator.count("login_page"), 1);
    assert_eq!(fixture.send(ask(wrong).header("x-requested-with", "XMLHttpRequest")).await.status, 400);
    let good = client("password").map(|(name, value)| format!("{name}={value}")).join("&");
    let good = format!("{good}&username={}&password={PASSWORD}", USERNAME.replace('@', "%40"));
    assert_eq!(fixture.send(ask(good)).await.status, 200);
    assert_eq!(fixture.send(http().get(fixture.emulator.url("/api"))).await.status, 302);
}
