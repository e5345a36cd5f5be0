//! The envelopes that a success may have.

use serde_json::{Value, json};

use super::operations::{Content, OPERATIONS, Operation, lists, objects, operation};
use crate::common::fake::Answer;

/// Returns a body in each envelope that has the content in `data`.
fn enveloped(data: &Value) -> [Value; 5] {
    [
        json!({ "data": data }),
        json!({ "data": data, "success": true, "message": "", "error": null }),
        json!({ "message": "", "data": data }),
        json!({ "success": "true", "data": data, "error": 0 }),
        json!({ "error": null, "data": data, "paging": { "total": 7 }, "success": null }),
    ]
}

/// Returns what the operation returns for the vendor's example.
async fn expected(operation: &Operation) -> String {
    operation.read(&operation.example()).await
}

#[tokio::test]
async fn an_object_is_at_the_root_or_in_data() {
    for (operation, key, object) in objects() {
        let expected = expected(operation).await;
        assert!(object.get(key).is_some(), "{}", operation.name);
        for body in enveloped(&object) {
            assert_eq!(operation.read(&body).await, expected);
        }
        assert_eq!(operation.read(&object).await, expected, "flat");
        // With the rest of an envelope beside its fields.
        let mut flat = object.clone();
        for (name, value) in [("success", json!(true)), ("message", json!("")), ("error", json!(null))] {
            flat[name] = value;
        }
        assert_eq!(operation.read(&flat).await, expected, "flat with success");
    }
}

#[tokio::test]
async fn an_object_is_the_only_entry_of_an_array() {
    for (operation, _, object) in objects() {
        let expected = expected(operation).await;
        for body in enveloped(&json!([object])) {
            assert_eq!(operation.read(&body).await, expected);
        }
        assert_eq!(operation.read(&json!([object])).await, expected);
        for data in [json!([]), json!([object, object]), json!([[object]]), json!(null), json!(7), json!("x")] {
            let error = operation.call(Answer::json(200, json!({ "data": data }))).await.unwrap_err();
            assert!(error.is_decode(), "{} {data}: {error:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn a_key_field_of_null_at_the_root_does_not_hide_data() {
    for (operation, key, object) in objects() {
        let body = json!({ key: null, "data": object, "success": true });
        assert_eq!(operation.read(&body).await, expected(operation).await);
    }
}

#[tokio::test]
async fn data_is_unwrapped_exactly_once() {
    let callback = operation("get_callback");
    // A payload that looks like a callback, or like a failure, is a payload.
    for payload in [json!({ "id": "inner", "data": { "id": "innermost" } }), json!({ "success": false, "error": 5 })] {
        let mut object = callback.inner();
        object["data"] = payload.clone();
        let returned = callback.read(&json!({ "data": object })).await;
        assert_eq!(callback.read(&object).await, returned, "flat");
        assert!(returned.contains("65a1b2c3d4e5f6789abcdef0"), "{returned}");
        assert!(returned.contains(&format!("{:?}", Some(payload))), "{returned}");
    }
    for (operation, _, object) in objects() {
        let twice = json!({ "data": { "data": object } });
        let result = operation.call(Answer::json(200, &twice)).await;
        // Figures are the exception: none of them is required.
        match operation.name {
            "get_stats" | "get_stats_api" => assert!(!result.unwrap().contains("Some(")),
            _ => assert!(result.unwrap_err().is_decode(), "{}", operation.name),
        }
    }
}

#[tokio::test]
async fn a_list_is_data_or_a_bare_array() {
    for (operation, list) in lists() {
        let expected = expected(operation).await;
        for body in enveloped(&list) {
            assert_eq!(operation.read(&body).await, expected);
        }
        assert_eq!(operation.read(&list).await, expected, "bare");
    }
}

#[tokio::test]
async fn data_with_one_object_is_a_list_of_one() {
    for (operation, list) in lists().filter(|(_, list)| list[0].is_object()) {
        let one = operation.read(&json!({ "data": [list[0]] })).await;
        for body in enveloped(&list[0]) {
            assert_eq!(operation.read(&body).await, one);
        }
    }
}

#[tokio::test]
async fn data_that_is_null_or_absent_is_an_empty_list() {
    for operation in OPERATIONS.iter().filter(|one| matches!(one.content, Content::List(_) | Content::Map)) {
        let empty = operation.read(&json!({ "data": [] })).await;
        assert!(["[] []", "[]"].contains(&empty.as_str()), "{empty}");
        let bodies = [
            json!({ "data": null }),
            json!({ "data": null, "success": true, "message": "", "error": null }),
            json!({ "success": true, "message": "", "error": null }),
            json!({ "success": true }),
            json!({ "message": "", "error": null }),
            json!({}),
            json!(null),
            json!([]),
        ];
        for body in bodies {
            assert_eq!(operation.read(&body).await, empty, "{} {body}", operation.name);
        }
        assert_eq!(operation.call(Answer::empty(204)).await.unwrap(), empty, "204");
    }
}

#[tokio::test]
async fn a_message_alone_is_not_an_empty_list() {
    for operation in OPERATIONS.iter().filter(|one| matches!(one.content, Content::List(_) | Content::Map)) {
        for body in [json!({ "message": "no such route" }), json!("x"), json!(7), json!({ "data": "x" })] {
            let error = operation.call(Answer::json(200, &body)).await.unwrap_err();
            assert!(error.is_decode(), "{} {body}: {error:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn an_empty_array_is_an_empty_map_of_domains() {
    let apis = operation("list_stats_apis");
    for text in [r#"{"data":[]}"#, r#"{"data":[ ]}"#, "{\"data\": [\n]\n}", r#"{"data":{}}"#, "[]", " [ ] "] {
        assert_eq!(apis.call(Answer::json(200, text)).await.unwrap(), "[]", "{text}");
    }
    for text in [r#"{"data":["x"]}"#, r#"[{"totalRequests":1}]"#, r#"{"data":7}"#] {
        assert!(apis.call(Answer::json(200, text)).await.unwrap_err().is_decode(), "{text}");
    }
}

#[tokio::test]
async fn no_content_is_a_success_only_where_none_is_needed() {
    for operation in OPERATIONS {
        let result = operation.call(Answer::empty(204)).await;
        match operation.content {
            Content::Object(_) => {
                let error = result.unwrap_err();
                assert!(error.is_decode() && error.status().unwrap() == 204, "{}: {error:?}", operation.name);
                assert_eq!(error.operation(), Some(operation.name));
            }
            _ => assert!(result.is_ok(), "{}", operation.name),
        }
    }
}

#[tokio::test]
async fn a_deletion_succeeds_whatever_data_is() {
    let delete = operation("delete_token");
    for data in [json!(null), json!([]), json!({}), json!({ "token": "656d1e2f8b3c2a001f7e4a12" }), json!("Deleted")] {
        for mut body in enveloped(&data) {
            body["message"] = json!("Deleted");
            assert_eq!(delete.read(&body).await, "deleted");
        }
    }
}

#[tokio::test]
async fn a_success_with_another_status_is_read() {
    for operation in OPERATIONS {
        let expected = operation.call(Answer::json(200, operation.success)).await.unwrap();
        for status in [201, 202, 206] {
            assert_eq!(operation.call(Answer::json(status, operation.success)).await.unwrap(), expected);
        }
    }
}
