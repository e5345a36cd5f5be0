//! Secrets in each form in which a service may tell them back, and whether one of them can be seen.

use std::error::Error as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What the calls hold. Each family is odd in another way.
#[derive(Debug)]
pub struct Family {
    pub client_secret: &'static str,
    pub password: &'static str,
    pub refresh_token: &'static str,
    pub api_key: &'static str,
    pub token: &'static str,
}

pub const EMAIL: &str = "test@example.com";

pub const FAMILIES: [Family; 5] = [
    Family {
        client_secret: "client-secret-c1f0",
        password: "pass word/è-77aa",
        refresh_token: "refresh-token-e4c6",
        api_key: "api-key-31e8",
        token: "access/token-9b2d",
    },
    // What is written otherwise in JSON, in a URL, in a form, on one line.
    Family {
        client_secret: "  client  %20\"secret\"-1a  ",
        password: "tab\tand\r\nline\u{1}-5512 ",
        refresh_token: "r+e=f&r%65sh;\\token-0c",
        api_key: " key  with:colons%3A+-9e ",
        token: "to ken?#[]@!$&'()*+,;=%-77%25",
    },
    // What is base64 already.
    Family {
        client_secret: "c2VjcmV0L3NlY3JldCs=",
        password: "///+++===abcdABCD",
        refresh_token: "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        api_key: "0123456789abcdef0123456789abcdef",
        token: "AbC/dEf+GhI=JkL",
    },
    Family {
        client_secret: "секрет-ключ-7",
        password: "пароль🦀\u{200b}-8",
        refresh_token: "ὀδυσσεύς-9",
        api_key: "clé-à-ß-10",
        token: "トークン-11",
    },
    // One begins where another ends.
    Family {
        client_secret: "overlap-abc-overlap",
        password: "overlap-xyz-overlap-abc",
        refresh_token: "abc-overlap-xyz",
        api_key: "overlap:abc:overlap",
        token: "overlap:xyz:overlap",
    },
];

impl Family {
    /// The secrets that a request of this operation has in it.
    pub fn sent(&self, operation: &str) -> Vec<String> {
        // What stands in the header in base64.
        let pair = format!("{EMAIL}:{}", self.api_key);
        match operation {
            "password_grant" => vec![self.client_secret.into(), self.password.into()],
            "refresh" => vec![self.client_secret.into(), self.refresh_token.into()],
            "find_token" | "replace_token" | "update_token" | "delete_token" => {
                vec![self.api_key.into(), pair, self.token.into()]
            }
            _ => vec![self.api_key.into(), pair],
        }
    }
}

/// In an input, the bytes that stand for a secret, each in another form. They never occur in UTF-8. The byte that follows says
/// which secret.
pub const FORMS: [u8; 13] = [0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0xc0, 0xc1];

/// What is not encoded in a segment of a path (URL standard).
const SEGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'/').add(b'%');

/// A secret as it may be told back, in as many ways as there are [`FORMS`].
fn form(number: usize, secret: &str) -> String {
    let json = || serde_json::to_string(secret).unwrap();
    match number {
        // Inside a string of JSON, as nearly always; then the bare secret.
        0 => json().trim_matches('"').to_owned(),
        1 => secret.to_owned(),
        2 => utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        3 => utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string().to_lowercase(),
        4 => utf8_percent_encode(secret, SEGMENT).to_string(),
        5 => form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        6 => STANDARD.encode(secret),
        7 => URL_SAFE_NO_PAD.encode(secret),
        8 => STANDARD_NO_PAD.encode(secret),
        9 => secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        10 => secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        // JSON or HTML inside a string of JSON.
        11 => in_json(&php_json(secret)),
        _ => in_json(&html(secret)),
    }
}

fn in_json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    json[1..json.len() - 1].to_owned()
}

/// As PHP's `json_encode` writes it.
pub fn php_json(text: &str) -> String {
    let unit = |unit: u16| if unit < 0x80 { String::from(char::from(unit as u8)) } else { format!("\\u{unit:04x}") };
    in_json(text).replace('/', "\\/").encode_utf16().map(unit).collect()
}

/// As PHP's `htmlspecialchars` writes it, and what is not ASCII as numbers.
pub fn html(text: &str) -> String {
    let escaped = |character: char| match character {
        '&' => "&amp;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#039;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        other if other.is_ascii() => other.to_string(),
        other => format!("&#{};", u32::from(other)),
    };
    text.chars().map(escaped).collect()
}

/// An input with the secrets in place of what stands for them.
pub fn splice(input: &[u8], secrets: &[String]) -> Vec<u8> {
    let mut spliced = Vec::with_capacity(input.len());
    let mut bytes = input.iter();
    while let Some(byte) = bytes.next() {
        match FORMS.iter().position(|form| form == byte) {
            None => spliced.push(*byte),
            Some(number) => {
                let which = usize::from(bytes.next().copied().unwrap_or_default());
                spliced.extend(form(number, &secrets[which % secrets.len()]).into_bytes());
            }
        }
    }
    spliced
}

/// Fails if a text shows one of the secrets: as it is, on one line, as `Debug` prints it, in base64, with the escapes of JSON or
/// HTML, or any of it as in a URL or in a form.
pub fn assert_clean(what: &str, text: &str, secrets: &[String]) {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let haystacks = [text.to_owned(), decoded(text), decoded(&text.replace('+', " "))];
    for secret in secrets {
        let one_line =
            |text: &str| text.replace(char::is_control, " ").split_whitespace().collect::<Vec<_>>().join(" ");
        let line = one_line(secret);
        let debug = |text: &str| format!("{text:?}").trim_matches('"').to_owned();
        let base64 = |encoded: String| encoded.trim_end_matches('=').to_owned();
        let needles = [
            debug(secret),
            debug(&line),
            line,
            base64(STANDARD.encode(secret)),
            base64(URL_SAFE.encode(secret)),
            secret.trim().to_owned(),
            one_line(&php_json(secret)),
            one_line(&html(secret)),
        ];
        for (needle, haystack) in needles.iter().flat_map(|needle| haystacks.iter().map(move |hay| (needle, hay))) {
            assert!(!haystack.contains(needle), "{what} shows {needle:?}:\n{text}");
        }
    }
}

/// The same of all that an error says, itself and through its sources.
pub fn assert_clean_error(what: &str, error: &gettone::Error, secrets: &[String]) {
    assert_clean(what, &format!("{error}\n{error:#}\n{error:?}\n{error:#?}"), secrets);
    assert_clean(what, error.code().unwrap_or_default(), secrets);
    let mut source = error.source();
    while let Some(error) = source {
        assert_clean(what, &format!("{error}\n{error:?}"), secrets);
        source = error.source();
    }
    // One line, of a length that fits into a log.
    let text = error.to_string();
    assert!(text.chars().count() < 1_000 && !text.contains(char::is_control), "{what}: {text:?}");
}
