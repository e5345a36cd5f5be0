//! Reads the fields of responses that are as documented, in one pass. Each function returns what that of the same name in [`read`](super)
//! does, or fails: then the response is read again, in any form.

use std::fmt;
use std::marker::PhantomData;
use std::time::SystemTime;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::moment;
use crate::json::{Borrowed, not_a};

/// A part of an object.
pub(in crate::openapi::v2) trait Part: Default {
    fn documented<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads a part that may be missing. PHP writes an empty one as an array.
pub(in crate::openapi::v2) fn part<'de, D: Deserializer<'de>, T: Part>(deserializer: D) -> Result<T, D::Error> {
    struct Fields<T>(PhantomData<T>);

    impl<'de, T: Part> Visitor<'de> for Fields<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::documented(MapAccessDeserializer::new(fields))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<T, A::Error> {
            while entries.next_element::<IgnoredAny>()?.is_some() {}
            Ok(T::default())
        }

        fn visit_unit<E>(self) -> Result<T, E> {
            Ok(T::default())
        }
    }

    deserializer.deserialize_any(Fields(PhantomData))
}

pub(in crate::openapi::v2) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

pub(in crate::openapi::v2) fn required_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer)?.ok_or_else(|| not_a("a text"))
}

pub(in crate::openapi::v2) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut texts: Vec<String> = Vec::deserialize(deserializer)?;
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

pub(in crate::openapi::v2) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    let text = Option::<Borrowed>::deserialize(deserializer)?;
    Ok(text.and_then(|text| moment(&text.0)))
}

pub(in crate::openapi::v2) fn required_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SystemTime, D::Error> {
    time(deserializer)?.ok_or_else(|| not_a("a time"))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::openapi::v2::envelope::Entry;
    use crate::openapi::v2::{Token, Transaction};

    const TOKEN: &str = concat!(
        r#"{"token":"t","name":"n","createdAt":"2025-11-19T10:00:00Z","expireAt":"2100-12-19T10:00:00Z","updatedAt":null,"#,
        r#""scopes":["GET:h.it/a"],"refreshToken":"r","limits":{"totalRequests":10,"walletRequests":false,"#,
        r#""subscriptionRequests":null,"walletAmount":50,"ip":["192.168.1.1"]},"stats":{"totalRequests":20,"walletRequests":1,"#,
        r#""subscriptionRequests":2,"errorRequests":3,"walletAmount":12.5,"totalIps":4,"totalApis":5,"totalScopes":6,"#,
        r#""ip":["192.168.1.1"]}}"#
    );
    const TRANSACTION: &str = r#"{"id":"i","amount":-0.45,"createdAt":"2026-02-12T08:30:00+00:00","description":"d"}"#;

    const VALUES: &[&str] = &[
        "null",
        "true",
        "false",
        "0",
        "7",
        "-7",
        "-0",
        "1.5",
        "2.0",
        "1e3",
        "1e999",
        "18446744073709551616",
        "0.12345678901234567890",
        r#""""#,
        r#""7""#,
        r#""1.50""#,
        r#""false""#,
        r#""2025-11-19T10:00:00+01:00""#,
        r#"" 2025-11-19T10:00:00Z ""#,
        r#""a b""#,
        r#""\u0041""#,
        r#""\ud800""#,
        "[]",
        "[7]",
        r#"["a","","\u0041"]"#,
        r#"["a",7]"#,
        "[1,2,3,4]",
        r#"["GET:h.it/b","x",7]"#,
        "{}",
        r#"{"totalRequests":7,"new":1e999}"#,
        r#"{"totalRequests":"7"}"#,
        r#"{"ip":7}"#,
        r#"{"\ud800":7}"#,
        // A second value, and other fields.
        r#"null,"name":"x""#,
        r#"null,"id":"x""#,
        r#"7,"totalRequests":8"#,
        r#"7,"new":1e999"#,
        r#"7,"\ud800":7"#,
    ];

    fn check<T: Entry + PartialEq + fmt::Debug>(sample: &str, expected: usize) {
        let documented = |json: &str| T::documented(&mut serde_json::Deserializer::from_str(json)).ok();
        let any = |json: &str| T::read(&mut serde_json::Deserializer::from_str(json)).ok();
        assert!(documented(sample).is_some());
        assert_eq!(documented(sample), any(sample));
        let mut count = 0;
        for (at, colon) in sample.match_indices("\":") {
            let (before, rest) = sample.split_at(at + colon.len());
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
            let after = &rest[values.next().unwrap().unwrap().get().len()..];
            for value in VALUES {
                let json = format!("{before}{value}{after}");
                if let Some(read) = documented(&json) {
                    assert_eq!(Some(read), any(&json), "{json}");
                    count += 1;
                }
            }
        }
        assert!(count > expected, "{count}");
    }

    #[test]
    fn what_is_read_as_documented_is_the_same_in_any_form() {
        check::<Token>(TOKEN, 200);
        check::<Transaction>(TRANSACTION, 20);
    }
}
