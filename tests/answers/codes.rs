//! The codes of version 2.

use gettone::openapi::v2::{self, Page};
use serde_json::{Value, json};

use crate::common::fake::Answer;
use crate::{error, read, returned};

/// `openapi_v2_answers/failures.rs` checks the other codes.
#[tokio::test]
async fn a_code_that_means_an_absence_does_so_with_status_200_too() {
    let body = |code: u32| Answer::json(200, json!({ "success": false, "message": "", "error": code, "data": null }));
    assert_eq!(read::<Option<v2::Token>>("v2 find_token", body(120)).await, None);
    assert!(read::<Page<v2::Token>>("v2 list_tokens", body(120)).await.is_empty());
    assert!(read::<Page<v2::Callback>>("list_callbacks", body(200)).await.is_empty());
    assert!(read::<Page<v2::Subscription>>("list_subscriptions", body(220)).await.is_empty());
}

/// A 404 means that a list is empty only with the code of that list, which may be a text or have a fraction.
#[tokio::test]
async fn a_404_means_an_empty_list_only_with_its_code() {
    for (name, own) in [("v2 list_tokens", 120), ("list_callbacks", 200), ("list_subscriptions", 220)] {
        let answer = |code: Value| {
            Answer::json(404, json!({ "success": false, "message": "Not Found", "error": code, "data": null }))
        };
        for code in [json!(own), json!(own.to_string()), json!(f64::from(own) + 0.22)] {
            assert!(returned(name, answer(code)).await.is_absence(), "{name}");
        }
        for code in [120, 160, 200, 220, 404].into_iter().filter(|code| *code != own) {
            assert!(error(name, answer(json!(code))).await.is_not_found(), "{name} {code}");
        }
        for other in [answer(json!(null)), Answer::html(404, "<html>nginx</html>"), Answer::empty(404)] {
            assert!(error(name, other).await.is_not_found(), "{name}");
        }
    }
    for name in ["v2 list_scopes", "list_errors", "list_wallet_transactions", "list_stats_ips", "list_stats_apis"] {
        for code in [120, 200, 220] {
            let body = json!({ "success": false, "message": "Not Found", "error": code, "data": null });
            assert!(error(name, Answer::json(404, body)).await.is_not_found(), "{name} {code}");
        }
    }
}
