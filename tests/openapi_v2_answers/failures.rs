//! Failures in all forms, and what is none.

use gettone::ScopeSet;
use gettone::openapi::Ttl;
use gettone::openapi::v2::{NewToken, TokenUpdate};
use serde_json::{Value, json};

use super::operations::{Content, OPERATIONS, Operation, failure, lists, objects, operation};
use crate::common::fake::{Answer, FakeService};
use crate::common::services::openapi_v2;
use crate::common::spec::Spec;

/// Returns the body as it is, and longer than what the client searches for a failure before it reads it.
fn short_and_long(body: &Value) -> [Answer; 2] {
    let mut long = body.clone();
    long["trace"] = json!("x".repeat(400));
    [Answer::json(200, body), Answer::json(200, long)]
}

#[tokio::test]
async fn success_false_with_status_200_is_a_failure() {
    for operation in OPERATIONS {
        for success in [json!(false), json!("false"), json!("FALSE"), json!(0), json!("0"), json!("no")] {
            // With the content of a success, too: the service says that it failed.
            for data in [json!(null), json!([]), operation.inner()] {
                let body = json!({ "success": success, "message": "Not today", "error": 999, "data": data });
                for answer in short_and_long(&body) {
                    let text = answer.text().to_owned();
                    let error = operation.call(answer).await.unwrap_err();
                    assert_eq!(error.status().unwrap(), 200, "{} {text}", operation.name);
                    assert_eq!((error.code(), error.operation()), (Some("999"), Some(operation.name)), "{text}");
                    assert!(!error.is_decode() && !error.is_transient() && !error.is_ambiguous(), "{error:?}");
                    let said = "HTTP 200 OK, but the response reports a failure, code 999: Not today";
                    assert!(error.to_string().ends_with(said), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn success_false_beside_the_fields_of_a_flat_object_is_a_failure() {
    for (operation, _, object) in objects() {
        let mut body = object.clone();
        for (name, value) in [("success", json!(false)), ("message", json!("Not today")), ("error", json!(999))] {
            body[name] = value;
        }
        for answer in short_and_long(&body) {
            let error = operation.call(answer).await.unwrap_err();
            assert_eq!((error.code(), error.is_decode()), (Some("999"), false), "{}: {error:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn success_false_in_data_is_a_failure() {
    for operation in OPERATIONS.iter().filter(|operation| operation.content != Content::Nothing) {
        let inner = json!({ "success": false, "message": "Not today", "error": 999 });
        for outer in [json!({ "data": inner }), json!({ "data": inner, "success": true, "error": null })] {
            for answer in short_and_long(&outer) {
                let error = operation.call(answer).await.unwrap_err();
                assert_eq!((error.code(), error.is_decode()), (Some("999"), false), "{}: {error:?}", operation.name);
                assert!(error.to_string().ends_with("code 999: Not today"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn success_is_a_boolean_a_text_or_absent() {
    for operation in OPERATIONS {
        let expected = operation.read(&operation.example()).await;
        for success in [json!(true), json!("true"), json!("True"), json!(1), json!("1"), json!(null), json!("perhaps")]
        {
            let mut body = operation.example();
            body["success"] = success;
            assert_eq!(operation.read(&body).await, expected, "{body}");
        }
    }
}

#[tokio::test]
async fn an_error_of_any_type_does_not_spoil_a_success() {
    for operation in OPERATIONS {
        let expected = operation.read(&operation.example()).await;
        for odd in [json!(null), json!(0), json!(""), json!(false), json!([]), json!({})] {
            let mut body = operation.example();
            body["error"] = odd;
            assert_eq!(operation.read(&body).await, expected, "{body}");
        }
        if operation.content == Content::Nothing {
            continue; // Without content, nothing but its error is left of such a response.
        }
        for odd in [json!(0.0), json!(125.22), json!("none"), json!(7)] {
            let mut body = operation.example();
            body["error"] = odd;
            assert_eq!(operation.read(&body).await, expected, "{body}");
        }
    }
}

#[tokio::test]
async fn a_4xx_with_success_true_is_a_failure() {
    for operation in OPERATIONS {
        for status in [400, 401, 403, 404, 409, 422] {
            for data in [json!(null), operation.inner()] {
                let body = json!({ "success": true, "message": "fine", "error": null, "data": data });
                let error = operation.call(Answer::json(status, body)).await.unwrap_err();
                assert_eq!(error.status().unwrap(), status, "{}", operation.name);
                assert_eq!(error.code(), None);
                assert_eq!((error.is_not_found(), error.is_decode()), (status == 404, false), "{error:?}");
            }
            // A flat object, as in a success.
            let error = operation.call(Answer::json(status, operation.example())).await.unwrap_err();
            assert_eq!(error.status().unwrap(), status, "{}", operation.name);
        }
    }
}

#[tokio::test]
async fn an_error_is_an_integer_a_float_a_text_or_null() {
    for operation in OPERATIONS {
        for (code, kept) in [
            (json!(245), Some("245")),
            (json!(125.22), Some("125.22")),
            (json!("245"), Some("245")),
            (json!("E-17"), Some("E-17")),
            (json!({ "code": 245 }), Some("245")),
            (json!(-4), Some("-4")),
            (json!(null), None),
            (json!(0), None),
            (json!(true), None),
            (json!([]), None),
        ] {
            let error = operation.call(failure(422, code.clone())).await.unwrap_err();
            assert_eq!((error.code(), error.message()), (kept, Some("Not today")), "{} {code}", operation.name);
            assert!(error.is_invalid_input(), "{error:?}");
        }
        let error = operation.call(Answer::json(422, json!({ "message": "Not today" }))).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (None, Some("Not today")));
    }
}

/// Lists the failures that the spec documents, for each operation that can have them: status, code and message. Leaves out those that an
/// operation takes for a success without content.
fn documented() -> Vec<(&'static Operation, u16, u32, String)> {
    let spec = Spec::openapi_v2();
    let mut found = Vec::new();
    for (id, status, example) in spec.answers().into_iter().filter(|(_, status, _)| *status != 200) {
        let body: Value = serde_json::from_str(spec.answer(&id, status, &example).text()).unwrap();
        let (code, message) = (body["error"].as_u64().unwrap(), body["message"].as_str().unwrap());
        let called = openapi_v2::SERVICE.operations.iter().filter(|one| one.id == id && one.absence != Some(status));
        found.extend(called.map(|one| (operation(one.name), status, u32::try_from(code).unwrap(), message.to_owned())));
    }
    found
}

#[tokio::test]
async fn a_documented_code_means_the_same_with_status_200_and_in_each_of_its_forms() {
    for (operation, status, code, message) in documented() {
        let name = operation.name;
        let body = |error: Value| json!({ "success": false, "message": message, "error": error, "data": null });
        for (sent, kept) in [
            (json!(code), code.to_string()),
            (json!(code.to_string()), code.to_string()),
            (json!(f64::from(code) + 0.5), format!("{code}.5")),
        ] {
            for under in [status, 200] {
                let error = operation.call(Answer::json(under, body(sent.clone()))).await.unwrap_err();
                assert_eq!(error.status().unwrap(), under, "{name}");
                assert_eq!((error.code(), error.message()), (Some(kept.as_str()), Some(&*message)), "{name}");
                let is = (error.is_invalid_input(), error.is_not_found(), error.is_invalid_grant());
                let expected = (matches!(status, 400 | 422), status == 404, name == "refresh_token" && status == 401);
                assert_eq!(is, expected, "{name} {under} {sent}: {error:?}");
                assert_eq!(error.is_unauthorized(), status == 401 && name != "refresh_token", "{error:?}");
                assert!(!error.is_transient() && !error.is_ambiguous(), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_failed_login_has_any_form() {
    for operation in OPERATIONS {
        for status in [401, 403] {
            for answer in [
                failure(status, json!(50)),
                failure(status, json!(null)),
                Answer::json(status, json!({ "message": "Unauthorized" })),
                Answer::json(status, json!([])),
                Answer::html(status, "<html>nginx</html>"),
                Answer::empty(status),
            ] {
                let text = answer.text().to_owned();
                let error = operation.call(answer).await.unwrap_err();
                let is_refresh = operation.name == "refresh_token";
                assert_eq!(error.is_unauthorized(), !is_refresh, "{} {status} {text}: {error:?}", operation.name);
                assert_eq!(error.is_invalid_grant(), is_refresh, "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_leaves_the_status() {
    for operation in OPERATIONS {
        for body in ["<html><body>nginx</body></html>", "<!DOCTYPE html>", "", "Bad Gateway", "{\"data\":"] {
            for status in [400, 401, 404, 409, 418, 422, 500, 502, 503, 504] {
                let answer = if body.starts_with('<') {
                    Answer::html(status, body)
                } else {
                    Answer::json(status, "").body(body)
                };
                let error = operation.call(answer).await.unwrap_err();
                assert_eq!(error.status().unwrap(), status, "{} {body:?}", operation.name);
                assert_eq!((error.code(), error.is_decode()), (None, false), "{error:?}");
                assert_eq!(error.is_transient(), matches!(status, 502..=504), "{error:?}");
                assert!(!error.to_string().contains("nginx"), "{error}");
            }
        }
        // Under a status of success it is a maintenance page.
        let error = operation.call(Answer::html(200, "<html>back soon</html>")).await.unwrap_err();
        assert!(error.is_transient() && error.is_ambiguous(), "{}: {error:?}", operation.name);
        if operation.content == Content::Nothing {
            continue;
        }
        for body in ["{\"data\":", "data", "\u{0}", "[{]", "{\"data\":{}}}"] {
            let error = operation.call(Answer::json(200, "").body(body)).await.unwrap_err();
            assert!(error.is_decode() && error.status().unwrap() == 200, "{} {body}: {error:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn the_documented_404_of_a_list_is_an_empty_list() {
    for (operation, _) in lists() {
        let Content::List(Some(empty)) = operation.content else { continue };
        for code in [json!(empty.parse::<u32>().unwrap()), json!(empty), json!(format!("{empty}.5"))] {
            for status in [404, 200] {
                assert_eq!(operation.call(failure(status, code.clone())).await.unwrap(), "[] []", "{}", operation.name);
            }
        }
        // As sent with the success of another gateway.
        let body = json!({ "success": true, "message": "", "error": empty, "data": null });
        assert_eq!(operation.call(Answer::json(404, body)).await.unwrap(), "[] []");
    }
}

#[tokio::test]
async fn any_other_404_of_a_list_is_a_failure() {
    let codes = ["10", "60", "120", "160", "180", "200", "210", "220", "230", "1200", "12", "0120", "404", "Not Found"];
    for operation in OPERATIONS.iter().filter(|one| matches!(one.content, Content::List(_) | Content::Map)) {
        for code in codes.into_iter().filter(|code| operation.content != Content::List(Some(*code))) {
            let error = operation.call(failure(404, json!(code))).await.unwrap_err();
            assert!(error.is_not_found() && error.code() == Some(code), "{} {code}: {error:?}", operation.name);
        }
        for answer in [
            failure(404, json!(null)),
            Answer::html(404, "<html>nginx</html>"),
            Answer::empty(404),
            Answer::json(404, "[]"),
            Answer::json(404, json!({ "data": [] })),
            Answer::json(404, json!({ "success": true, "data": [], "message": "", "error": null })),
        ] {
            let text = answer.text().to_owned();
            let error = operation.call(answer).await.unwrap_err();
            assert!(error.is_not_found() && error.code().is_none(), "{} {text}: {error:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn a_token_that_the_account_does_not_have_is_none() {
    let find: &Operation = operation("find_token");
    for code in [json!(120), json!("120"), json!(120.0), json!(120.5)] {
        assert_eq!(find.call(failure(404, code.clone())).await.unwrap(), "none");
        assert_eq!(find.call(failure(200, code)).await.unwrap(), "none");
    }
    for answer in [failure(404, json!(null)), Answer::empty(404), Answer::html(404, "<html>nginx</html>")] {
        assert!(find.call(answer).await.unwrap_err().is_not_found());
    }
}

#[tokio::test]
async fn an_error_about_scopes_names_the_first_ones_that_were_requested() {
    let said = |code: u32| json!({ "success": false, "message": "Invalid scopes", "error": code, "data": null });
    let scopes = |number: u32| ScopeSet::parse((0..number).map(|number| format!("GET:a.it/{number}"))).unwrap();
    let ttl = Ttl::days(1).unwrap();
    for (number, named) in [
        (1, "GET:a.it/0"),
        (
            10,
            "GET:a.it/0 GET:a.it/1 GET:a.it/2 GET:a.it/3 GET:a.it/4 GET:a.it/5 GET:a.it/6 GET:a.it/7 GET:a.it/8 GET:a.it/9",
        ),
        (
            12,
            "GET:a.it/0 GET:a.it/1 GET:a.it/10 GET:a.it/11 GET:a.it/2 GET:a.it/3 GET:a.it/4 GET:a.it/5 GET:a.it/6 GET:a.it/7 and 2 more",
        ),
    ] {
        let service = FakeService::answering([Answer::json(422, said(90)), Answer::json(422, said(110))]).await;
        let (oauth, scopes) = (service.oauth_v2(), scopes(number));
        let created = oauth.create_token(NewToken::new(&scopes, ttl)).await.unwrap_err();
        let changed = oauth.update_token(&"token".into(), TokenUpdate::new().scopes(&scopes)).await.unwrap_err();
        for (error, code) in [(created, "90"), (changed, "110")] {
            let expected = format!(", code {code}: Invalid scopes (requested: {named})");
            assert!(error.to_string().ends_with(&expected), "{error}");
            assert_eq!((error.message(), error.is_invalid_input()), (Some("Invalid scopes"), true));
        }
        assert_eq!(service.calls(), 2);
    }
    // Under a status of success, and with the fraction that users have seen.
    let fraction = json!({ "success": false, "message": "Invalid scopes", "error": "90.5", "data": null });
    for body in [said(90), fraction] {
        let service = FakeService::answering([Answer::json(200, body)]).await;
        let error = service.oauth_v2().create_token(NewToken::new(&scopes(1), ttl)).await.unwrap_err();
        assert!(error.to_string().ends_with(": Invalid scopes (requested: GET:a.it/0)"), "{error}");
        assert_eq!(service.calls(), 1);
    }
    // Other codes are not about scopes, and this call has none.
    let service = FakeService::answering([Answer::json(422, said(240)), Answer::json(422, said(110))]).await;
    let created = service.oauth_v2().create_token(NewToken::new(&scopes(1), ttl)).await.unwrap_err();
    let changed = service.oauth_v2().update_token(&"token".into(), TokenUpdate::new().ttl(ttl)).await.unwrap_err();
    assert!(created.to_string().ends_with("code 240: Invalid scopes"), "{created}");
    assert!(changed.to_string().ends_with("code 110: Invalid scopes"), "{changed}");
    assert_eq!(service.calls(), 2);
}
