//! What the body of a response body of success and failure, in each form that is known: the error response of OAuth 2.0 (RFC 6749,
//! section 5.2), an envelope with `success`, `message` and `error`, and the validation errors of Laravel.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::redact::escapes::text_of;
use crate::json::{Text, Word, from_raw, text, yes_or_no};

/// What a body body of success and failure, in any of the forms that are known.
#[derive(Default)]
pub(super) struct FailureBody {
    success: Option<bool>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    details: Vec<String>,
    /// There is an `error`, whatever it is.
    error: bool,
    /// There is a field of the envelope, if only a null.
    envelope: bool,
    /// There is something beside what is said.
    content: bool,
}

impl FailureBody {
    /// Reads a body. One that is not a JSON object says nothing; in one that is, an odd value does not spoil the others.
    pub(super) fn read(body: &[u8]) -> Self {
        let text = text_of(body);
        let Fields { mut body, data } = serde_json::from_str(&text).unwrap_or_default();
        // Some responses have all of it one level down.
        body.envelope |= !data.is_empty();
        for data in data {
            // PHP writes what is empty in two ways.
            let is_empty = matches!(data.get(), "null" | "[]" | "{}");
            body.content |= !is_empty;
            if let Ok(Fields { body: Self { success: Some(success), code, message, .. }, .. }) = from_raw(data) {
                body.succeeded(Some(success));
                body.code = body.code.or(code);
                body.message = body.message.or(message);
            }
        }
        let said = body.message.take().into_iter().chain(body.details.drain(..));
        body.message = said.reduce(|all, detail| all + "; " + &detail);
        body
    }

    /// Returns whether the service says no under a status of success, as users have seen it do.
    pub(super) fn is_failure(&self) -> bool {
        match self.success {
            Some(success) => !success,
            None => (self.code.is_some() || self.error) && !self.content,
        }
    }

    /// There are words, and nothing else of the envelope: the answer of something before the service.
    pub(super) fn is_bare_message(&self) -> bool {
        !self.envelope && !self.content && self.message.is_some()
    }

    /// A success that is said in two places is one if neither says no.
    fn succeeded(&mut self, success: Option<bool>) {
        self.success = match (self.success, success) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
    }

    fn field(&mut self, name: &str, value: &RawValue) {
        self.envelope |= matches!(name, "success" | "error");
        match name {
            "success" => self.succeeded(yes_or_no(value)),
            "error" => {
                let code = match Word::of(value) {
                    Word::Other => inner_code(value),
                    word => word.code(),
                };
                // PHP takes these for nothing.
                self.error |= !matches!(value.get(), "null" | "false" | "0" | "\"\"" | "\"0\"" | "[]" | "{}");
                self.code = code.or(self.code.take());
            }
            // Newer versions of the server software have the one, older ones the other; some have the same in both.
            "error_description" => self.message = text(value).or(self.message.take()),
            "message" => self.message = self.message.take().or_else(|| text(value)),
            "hint" => self.details.extend(text(value)),
            "errors" => self.details.extend(fields(value)),
            "token" | "access_token" => self.content = true,
            _ => {}
        }
    }
}

/// An object, and what it has in `data`.
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
                    match name.as_str() {
                        "data" => fields.data.push(value),
                        name => fields.body.field(name, value),
                    }
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// The code in an `error` that is an object or an array.
fn inner_code(value: &RawValue) -> Option<String> {
    let fields: BTreeMap<Text, &RawValue> = from_raw(value).unwrap_or_default();
    let first = || from_raw::<Vec<&RawValue>>(value).ok()?.first().copied();
    let code = fields.iter().find(|(name, _)| name.0 == "code").map(|(_, code)| *code).or_else(first)?;
    Word::of(code).code()
}

/// Laravel's `errors`: for each field what is wrong with it.
fn fields(errors: &RawValue) -> impl Iterator<Item = String> {
    let errors: BTreeMap<Text, &RawValue> = from_raw(errors).unwrap_or_default();
    errors.into_iter().filter_map(|(Text(field), reasons)| {
        let reasons: Vec<&RawValue> = from_raw(reasons).ok()?;
        match Word::of(reasons.first()?) {
            Word::Text(reason) => Some(format!("{field}: {reason}")),
            _ => None,
        }
    })
}
