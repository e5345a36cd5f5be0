//! Finds the secrets of a request, which a service may repeat in a failure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Request;
use reqwest::header::AUTHORIZATION;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::redact::Secrets;

/// The parts of a service's requests that are secrets, beside `Authorization`.
#[derive(Debug)]
pub(crate) struct SecretParts {
    /// The text in front of a secret that is the last segment of a path.
    pub(crate) after: Option<&'static str>,
    /// The names of fields of a form, or of a JSON object.
    pub(crate) fields: &'static [&'static str],
}

impl SecretParts {
    /// Returns the secrets of a request, which a service may repeat in a failure.
    pub(super) fn of(&self, request: &Request) -> Secrets {
        let mut secrets = Secrets::default();
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) {
            secrets.add(token);
        }
        if let Some(basic) = header.and_then(|value| value.strip_prefix("Basic ")) {
            let decoded =
                STANDARD.decode(basic).ok().and_then(|bytes| String::from_utf8(bytes).ok()).map(Zeroizing::new);
            if let Some((_, password)) = decoded.as_deref().and_then(|pair| pair.split_once(':')) {
                secrets.add(password);
            }
            // Not the plain pair: the user name is no secret, and many messages contain it.
            match &decoded {
                Some(pair) => secrets.add_base64(pair),
                None => secrets.add(basic),
            }
        }
        let Self { after, fields } = self;
        if let Some((_, secret)) = after.and_then(|before| request.url().path().rsplit_once(before)) {
            secrets.add(&percent_encoding::percent_decode_str(secret).decode_utf8_lossy());
        }
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        match serde_json::from_slice::<BTreeMap<&str, &RawValue>>(body) {
            Ok(object) => {
                for value in object.iter().filter(|(name, _)| fields.contains(name)).map(|(_, value)| value.get()) {
                    if let Ok(value) = serde_json::from_str::<Zeroizing<String>>(value) {
                        secrets.add(&value);
                    }
                }
            }
            Err(_) => {
                for (_, value) in form_urlencoded::parse(body).filter(|(name, _)| fields.contains(&&**name)) {
                    secrets.add(&value);
                }
            }
        }
        secrets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::reason;

    const PARTS: SecretParts = SecretParts { after: Some("/token/"), fields: &["pin"] };

    #[test]
    fn a_secret_is_found_in_each_part_of_a_request_that_its_service_names() {
        let post = |path: &str| reqwest::Client::new().post(format!("https://example.com/{path}"));
        for request in [
            post("login").body(r#"{"user":"u","pin":"pass/0f3a-77aa"}"#),
            post("login").body(r#"{"pin":"pass\/0f3a\u002d77aa"}"#),
            post("login").body("user=u&pin=pass%2F0f3a-77aa"),
            post("token/pass%2F0f3a-77aa"),
            post("login").bearer_auth("pass/0f3a-77aa"),
            post("login").basic_auth("u", Some("pass/0f3a-77aa")),
        ] {
            let secrets = PARTS.of(&request.build().unwrap());
            assert_eq!(reason("wrong: pass/0f3a-77aa", &secrets).as_deref(), Some("wrong: [redacted]"));
        }
        let secrets = PARTS.of(&post("login").body(r#"{"user":"somebody-else"}"#).build().unwrap());
        assert_eq!(reason("no user somebody-else", &secrets).as_deref(), Some("no user somebody-else"));
    }
}
