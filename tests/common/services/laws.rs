//! Properties of everything that a call returns, whatever the service answered.

use std::fmt::Debug;

use gettone::reqwest::header::{AUTHORIZATION, HeaderValue};
use gettone::reqwest::{Request, Url};
use gettone::{AccessToken, Error, Scope, ScopeList};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

pub const LONGEST_TOKEN: usize = 8 * 1024;

/// Returns all that can be printed of an error and its sources.
pub fn printed(error: &Error) -> String {
    let mut text = format!("{:?} {:?} {:?} {:?}", error.code(), error.message(), error.operation(), error.status());
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        text += &format!("\n{error}\n{error:#}\n{error:?}\n{error:#?}");
        next = error.source();
    }
    text
}

/// Asserts that a token can be part of a header and of a path.
pub fn assert_sendable(token: &str) {
    assert!(!token.is_empty() && token.len() <= LONGEST_TOKEN, "{} bytes", token.len());
    let header = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
    let words: Vec<&str> = header.to_str().expect("visible ASCII").split_whitespace().collect();
    assert_eq!(words, ["Bearer", token]);
    let encoded = utf8_percent_encode(token, NON_ALPHANUMERIC);
    for segment in [encoded.to_string(), token.replace(['/', '?', '#', '%'], "_")] {
        let url = Url::parse(&format!("http://127.0.0.1:9/token/{segment}/after")).expect("a URL");
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        assert_eq!((segments.len(), segments[0], segments[2]), (3, "token", "after"), "{token:?}");
    }
}

/// Asserts that a request, which had no headers, carries the token that its client returned, and after an error none.
pub fn assert_authorized(request: &Request, returned: &Result<AccessToken, Error>) {
    match returned {
        Ok(token) => assert_eq!(request.headers()[AUTHORIZATION], format!("Bearer {}", token.expose())),
        Err(_) => assert!(request.headers().is_empty()),
    }
}

/// Asserts that a token is not printed, unless it stands elsewhere too.
pub fn assert_hidden(printed: &impl Debug, token: &str, elsewhere: &str) {
    let text = format!("{printed:?}");
    assert!(token.len() < 20 || elsewhere.contains(token) || !text.contains(token), "{text}");
}

/// Asserts that what was read as scopes is read again as the same, and what was not is not.
pub fn assert_rereads(list: &ScopeList) {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    let again: ScopeList = serde_json::from_value(texts.into()).unwrap();
    assert_eq!(again.as_slice(), list.as_slice());
    let again: ScopeList = serde_json::from_value(list.unrecognized().into()).unwrap();
    assert_eq!(again.unrecognized(), list.unrecognized());
}

pub fn assert_is_scope(scope: &Scope) {
    assert_eq!(&scope.to_string().parse::<Scope>().unwrap(), scope);
}

/// Whether a body says `"success": false` on its first level, whatever else is in it.
pub fn says_no(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Success {
        success: Value,
    }

    // serde would also read an array as a structure: `[false]` says nothing of success.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    is_object && serde_json::from_slice(body).is_ok_and(|Success { success }| success == Value::Bool(false))
}

/// A reader of bodies that is not the crate's own. It reads some of them only.
#[derive(Deserialize)]
pub struct Data<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl<'a> Data<'a> {
    pub fn read(body: &'a [u8]) -> Option<Self> {
        // serde would also read an array as a structure, field by field.
        body.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(body).ok())?
    }

    /// Returns how many entries there are; `None` if there is no list and no map.
    pub fn len(self) -> Option<usize> {
        let text = self.data.get();
        match text.as_bytes().first()? {
            b'[' => serde_json::from_str::<Vec<IgnoredAny>>(text).ok().map(|entries| entries.len()),
            // The entries of a map may have the same name twice.
            b'{' => serde_json::from_str::<Names>(text).ok().map(|names| names.0),
            _ => None,
        }
    }

    /// Returns what is inside, if there is another one inside.
    pub fn nested(self) -> Self {
        Self::read(self.data.get().as_bytes()).unwrap_or(self)
    }
}

/// Returns how many entries a body lists: in `data`, where one object is an entry, or at its root.
pub fn entries(body: &[u8]) -> Option<usize> {
    if body.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice::<Vec<IgnoredAny>>(body).ok().map(|entries| entries.len());
    }
    let data = Data::read(body)?;
    match data.data.get().as_bytes().first()? {
        b'[' => data.len(),
        b'{' => Some(1),
        b'n' => Some(0),
        _ => None,
    }
}

struct Names(usize);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> serde::de::Visitor<'de> for All {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut count = 0;
                while map.next_entry::<String, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Names(count))
            }
        }

        deserializer.deserialize_map(All)
    }
}
