//! Finds the failure that the body of a response reports, in all known forms: the error response of OAuth 2.0 (RFC 6749, section 5.2), an
//! envelope with `success`, `message` and `error`, and the validation errors of Laravel.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::response::ResponseRules;
use crate::json::{Text, Word, from_raw, text as text_value, yes_or_no};
use crate::redact::escapes::text_of;

/// A response shorter than this may be a failure that looks like an empty list.
const SHORT: usize = 256;

/// Returns whether a success is searched for a failure before it is read: a flat one, and a short one that may be a failure. Most short
/// ones are plainly none, which costs less to find out than a search.
pub(super) fn is_searched_first<'a>(body: &'a [u8], rules: &ResponseRules) -> bool {
    let mut before: &[u8] = b"";
    let mut is_plain = |text: &'a [u8]| match std::mem::replace(&mut before, text) {
        b"success" => text.starts_with(b":true"),
        b"error" => text.starts_with(b":null"),
        _ => true,
    };
    // With an escape, a name may have another form.
    let mut are_all_plain =
        || body.is_ascii() && !body.contains(&b'\\') && body.split(|byte| *byte == b'"').all(&mut is_plain);
    rules.is_flat || (body.len() < SHORT && !are_all_plain())
}

/// The success or failure that a body reports, in any of the known forms.
#[derive(Default)]
pub(super) struct FailureBody {
    success: Option<bool>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    details: Vec<String>,
    /// Whether the body has an `error` of any kind.
    error: bool,
    /// Whether the body has a field of the envelope, even if it is null.
    envelope: bool,
    /// Whether the body has content, such as a token or a `data` that is not empty.
    content: bool,
}

impl FailureBody {
    /// Reads a body. One that is not a JSON object reports nothing. In an object, an unexpected value does not hide the others.
    pub(super) fn read(body: &[u8]) -> Self {
        let text = text_of(body);
        let Fields { mut body, data } = serde_json::from_str(&text).unwrap_or_default();
        // Some responses have all of these fields one level down.
        body.envelope |= !data.is_empty();
        for data in data {
            // PHP writes an empty value as an array or an object.
            let is_empty = matches!(data.get(), "null" | "[]" | "{}");
            body.content |= !is_empty;
            if data.get().starts_with('{')
                && let Ok(Fields { body: Self { success: Some(success), code, message, .. }, .. }) = from_raw(data)
            {
                body.succeeded(Some(success));
                body.code = body.code.or(code);
                body.message = body.message.or(message);
            }
        }
        let said = body.message.take().into_iter().chain(body.details.drain(..));
        body.message = said.reduce(|all, detail| all + "; " + &detail);
        body
    }

    /// Returns whether the body reports a failure. Users have seen services do that under a status of success.
    pub(super) fn is_failure(&self) -> bool {
        match self.success {
            Some(success) => !success,
            None => (self.code.is_some() || self.error) && !self.content,
        }
    }

    /// Returns whether the body has a message and nothing else of the envelope, like the response of a gateway in front of the service.
    pub(super) fn is_bare_message(&self) -> bool {
        !self.envelope && !self.content && self.message.is_some()
    }

    /// Combines `success` of two places: only if neither is false, the call succeeded.
    fn succeeded(&mut self, success: Option<bool>) {
        self.success = match (self.success, success) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
    }

    /// Takes a field in, unless it has no meaning.
    fn field(&mut self, name: &str, value: &RawValue) {
        self.envelope |= matches!(name, "success" | "error");
        match name {
            "success" => self.succeeded(yes_or_no(value.get())),
            "error" => {
                let code = match Word::of(value.get()) {
                    Word::Other if value.get() == "null" => None,
                    Word::Other => inner_code(value),
                    word => word.code(),
                };
                // PHP treats these as empty.
                self.error |= !matches!(value.get(), "null" | "false" | "0" | "\"\"" | "\"0\"" | "[]" | "{}");
                self.code = code.or(self.code.take());
            }
            // Newer versions of the server software send `error_description`, older ones `message`, some the same text in both.
            "error_description" => self.message = text_value(value.get()).or(self.message.take()),
            "message" => self.message = self.message.take().or_else(|| text_value(value.get())),
            "hint" => self.details.extend(text_value(value.get())),
            "errors" => self.details.extend(fields(value)),
            "token" | "access_token" => self.content = true,
            _ => {}
        }
    }
}

/// The fields of an object, and its `data`.
#[derive(Default)]
struct Fields<'a> {
    body: FailureBody,
    data: Vec<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some((Text(name), value)) = map.next_entry::<Text, &RawValue>()? {
                    if name == "data" {
                        fields.data.push(value);
                    } else {
                        fields.body.field(&name, value);
                    }
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Returns the code in an `error` that is an object or an array.
fn inner_code(value: &RawValue) -> Option<String> {
    let fields: BTreeMap<Text, &RawValue> = from_raw(value).unwrap_or_default();
    let first = || from_raw::<Vec<&RawValue>>(value).ok()?.first().copied();
    let code = fields.iter().find(|(name, _)| name.0 == "code").map(|(_, code)| *code).or_else(first)?;
    Word::of(code.get()).code()
}

/// Returns the messages of Laravel's `errors`: for each field, the first.
fn fields(errors: &RawValue) -> impl Iterator<Item = String> {
    let errors: BTreeMap<Text, &RawValue> = from_raw(errors).unwrap_or_default();
    errors.into_iter().filter_map(|(Text(field), reasons)| {
        let reasons: Vec<&RawValue> = from_raw(reasons).ok()?;
        match Word::of(reasons.first()?.get()) {
            Word::Text(reason) => Some(format!("{field}: {reason}")),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_short_success_that_is_a_failure_is_left_unsearched() {
        let rules = &ResponseRules::HTTP;
        let names = ["success", "error", "code", "data", "message", "\\u0073uccess"];
        let values = [
            "true",
            "false",
            "null",
            "0",
            "1",
            "12",
            "-0",
            r#""""#,
            r#""no""#,
            "[]",
            "{}",
            "[1]",
            r#"{"code":1}"#,
            r#"{"success":false}"#,
            r#"{"success":true}"#,
        ];
        let fields: Vec<String> = names
            .iter()
            .flat_map(|name| {
                values.iter().flat_map(move |value| [":", " : "].map(|colon| format!("\"{name}\"{colon}{value}")))
            })
            .collect();
        let mut skipped = 0;
        for body in fields.iter().flat_map(|one| fields.iter().map(move |other| format!("{{{one},{other}}}"))) {
            if !is_searched_first(body.as_bytes(), rules) {
                skipped += 1;
                assert!(!FailureBody::read(body.as_bytes()).is_failure(), "{body}");
            }
        }
        // Those that services send.
        assert!(!is_searched_first(br#"{"data":{"credit":1.5},"success":true,"message":"","error":null}"#, rules));
        assert!(skipped > 500, "{skipped}");
    }
}
