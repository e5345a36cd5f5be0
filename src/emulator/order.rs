//! The order of fields in responses: that of the vendors' examples. (A map of `serde_json` sorts its keys, unless a feature that counts for
//! every program in the build says otherwise.)

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The fields of a failure of Openapi.it.
const FAILURE: &str = "success message error data";

/// The fields of the objects in the vendors' examples. The first of these that has all fields of an object says their order.
const OBJECTS: [&str; 20] = [
    // Keliweb Fatture, whose older software puts the hint last.
    "token_type expires_in access_token refresh_token",
    "error message hint",
    "error error_description hint message",
    "message errors",
    // Openapi.it, both versions.
    "message success error",
    "message data",
    "data success message error",
    // Version 1.
    "scopes expire token success message error",
    "counter paid limit",
    // Version 2.
    "token name createdAt expireAt updatedAt scopes refreshToken limits stats",
    "totalRequests walletRequests subscriptionRequests errorRequests walletAmount ip totalIps totalApis totalScopes scopes",
    "id scope method endpoint domain enabled rateLimit freeLimits requirements prices",
    "dayLimit monthLimit yearLimit totalLimit",
    "id scope domain errorAt httpResponseCode errorCode message ip",
    "credit createdAt updatedAt",
    "id amount createdAt description",
    // A callback in a list, and in detail. A subscription too.
    "id scope url httpResponseCode startedAt completedAt",
    "id scope domain active startedAt createdAt completedAt httpResponseCode data custom headers elapsedTime attempt retry field method url",
    "id scope active availableRequests startsAt expiresAt",
    "id scope domain active startsAt expiresAt totalRequests availableRequests pricePerRequest type autorenew createdAt updatedAt price",
];

/// A value that is written in order.
pub(super) struct InOrder<'a>(pub(super) &'a Value);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                serializer.collect_map(ordered(fields).into_iter().map(|(name, value)| (name, InOrder(value))))
            }
            Value::Array(values) => serializer.collect_seq(values.iter().map(InOrder)),
            value => value.serialize(serializer),
        }
    }
}

fn ordered(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let has_all = |object: &&str| fields.keys().all(|name| object.split(' ').any(|field| field == name));
    let is_failure = fields.get("success") == Some(&Value::Bool(false));
    let object = if is_failure { Some(FAILURE) } else { OBJECTS.into_iter().find(has_all) };
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| object.and_then(|object| object.split(' ').position(|field| field == *name)));
    fields
}

#[cfg(test)]
mod tests {
    use saphyr::{LoadableYamlNode, Scalar, Yaml};

    use super::*;
    use crate::emulator::message::Response;

    const SPECS: [&str; 3] = [
        include_str!("../../spec/openapi-oauth-v1.yaml"),
        include_str!("../../spec/openapi-oauth-v2.yaml"),
        include_str!("../../spec/keliweb-fatture.yaml"),
    ];

    /// Writes a value in the order of the spec. Figures by scope have no order.
    fn text(node: &Yaml<'_>) -> String {
        match node {
            Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()).to_string(),
            Yaml::Value(Scalar::Boolean(value)) => value.to_string(),
            Yaml::Value(Scalar::Integer(value)) => value.to_string(),
            Yaml::Value(Scalar::FloatingPoint(value)) => Value::from(value.into_inner()).to_string(),
            Yaml::Sequence(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(",")),
            Yaml::Mapping(entries) => {
                let mut fields: Vec<_> =
                    entries.iter().map(|(name, value)| format!("{}:{}", text(name), text(value))).collect();
                if fields.iter().any(|field| field.starts_with("\"POST:")) {
                    fields.sort();
                }
                format!("{{{}}}", fields.join(","))
            }
            _ => "null".to_owned(),
        }
    }

    /// Collects the examples of responses by the vendors below a node of a spec, in its order and as values.
    fn collect(node: &Yaml<'_>, found: &mut Vec<String>) {
        let Yaml::Mapping(entries) = node else { return };
        for (name, value) in entries {
            match name.as_str() {
                Some("requestBody" | "parameters" | "schemas") => {}
                Some("examples") => {
                    let Yaml::Mapping(examples) = value else { continue };
                    let examples = examples.iter().map(|(_, example)| example);
                    let of_vendor = examples
                        .filter(|example| example.as_mapping_get("x-source").and_then(Yaml::as_str) != Some("user"));
                    found.extend(of_vendor.filter_map(|example| example.as_mapping_get("value")).map(text));
                }
                _ => collect(value, found),
            }
        }
    }

    #[test]
    fn each_example_of_the_vendors_is_written_as_it_is_documented() {
        let mut examples = Vec::new();
        SPECS.iter().for_each(|spec| collect(&Yaml::load_from_str(spec).unwrap()[0], &mut examples));
        assert!(examples.len() > 80, "{}", examples.len());
        for example in examples {
            let value: Value = serde_json::from_str(&example).unwrap();
            assert_eq!(Response::json(200, &value).body, example);
        }
    }
}
