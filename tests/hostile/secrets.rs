//! Secrets in every form in which a service may repeat them, and whether one of them is shown.

use std::cell::RefCell;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::services::{PLANTED, Secrets, laws};

/// Five sets of secrets, each unusual in another way.
pub const FAMILIES: [Secrets; 5] = [
    PLANTED,
    // With characters that are escaped in JSON, in a URL, in a form, on one line.
    Secrets {
        client_secret: "  client  %20\"secret\"-1a  ",
        password: "tab\tand\r\nline\u{1}-5512 ",
        refresh_token: "r+e=f&r%65sh;\\token-0c",
        api_key: " key  with:colons%3A+-9e ",
        token: "to ken?#[]@!$&'()*+,;=%-77%25",
    },
    // Base64 already.
    Secrets {
        client_secret: "c2VjcmV0L3NlY3JldCs=",
        password: "///+++===abcdABCD",
        refresh_token: "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        api_key: "0123456789abcdef0123456789abcdef",
        token: "AbC/dEf+GhI=JkL",
    },
    Secrets {
        client_secret: "секрет-ключ-7",
        password: "пароль🦀\u{200b}-8",
        refresh_token: "ὀδυσσεύς-9",
        api_key: "clé-à-ß-10",
        token: "トークン-11",
    },
    // Each begins as another ends.
    Secrets {
        client_secret: "overlap-abc-overlap",
        password: "overlap-xyz-overlap-abc",
        refresh_token: "abc-overlap-xyz",
        api_key: "overlap:abc:overlap",
        token: "overlap:xyz:overlap",
    },
];

/// The bytes of an input that stand for a secret, each in another form. They never occur in UTF-8. The next byte says which secret.
pub const FORMS: [u8; 13] = [0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0xc0, 0xc1];

/// The characters that a segment of a path encodes (URL standard).
const SEGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'/').add(b'%');

/// Returns a secret in one of the [`FORMS`] in which a service may repeat it.
fn form(number: usize, secret: &str) -> String {
    let json = || serde_json::to_string(secret).unwrap();
    match number {
        // Inside a JSON string, as nearly always; then the bare secret.
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
        // JSON or HTML inside a JSON string.
        11 => in_json(&php_json(secret)),
        _ => in_json(&html(secret)),
    }
}

pub fn in_json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    json[1..json.len() - 1].to_owned()
}

/// Escapes like PHP's `json_encode`.
pub fn php_json(text: &str) -> String {
    let unit = |unit: u16| if unit < 0x80 { String::from(char::from(unit as u8)) } else { format!("\\u{unit:04x}") };
    in_json(text).replace('/', "\\/").encode_utf16().map(unit).collect()
}

/// Escapes like PHP's `htmlspecialchars`, with numbers for letters that are not ASCII.
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

/// Replaces the [`FORMS`] in an input with the secrets.
pub fn splice(input: &[u8], secrets: &[String]) -> Vec<u8> {
    if input.is_ascii() {
        return input.to_vec();
    }
    let mut spliced = Vec::with_capacity(input.len());
    let mut bytes = input.iter();
    while let Some(byte) = bytes.next() {
        match FORMS.iter().position(|form| form == byte) {
            None => spliced.push(*byte),
            Some(number) => {
                let which = usize::from(bytes.next().copied().unwrap_or_default());
                let form = form(number, &secrets[which % 64 % secrets.len()]);
                // The two highest bits ask for one more escape.
                let form = match which >> 6 {
                    1 => in_json(&form),
                    2 => utf8_percent_encode(&form, NON_ALPHANUMERIC).to_string(),
                    3 => html(&form),
                    _ => form,
                };
                spliced.extend(form.into_bytes());
            }
        }
    }
    spliced
}

/// Asserts that a text shows no secret: neither as it is, nor in another case, with other accents, with blanks or invisible characters in
/// between, in base64 or hexadecimal, nor with any escapes around any of that. It reads the text by other means than the crate does.
pub fn assert_clean(what: &str, text: &str, secrets: &[String]) {
    let mut readings = vec![text.to_owned(), percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into()];
    for _ in 0..5 {
        let last = readings.last().unwrap();
        let next = without_escapes(last);
        if next == *last && !next.contains('%') {
            break;
        }
        readings.extend([percent_decode_str(&next).decode_utf8_lossy().into_owned(), next]);
    }
    readings.dedup();
    let folded_readings: Vec<String> = readings.iter().map(|reading| folded(reading)).collect();
    let bare = |text: &str| text.replace(|character: char| character.is_whitespace() || character.is_control(), "");
    let bare_readings: Vec<String> = readings.iter().map(|reading| bare(reading)).collect();
    for secret in secrets {
        let Needles { folded, bare } = needles(secret);
        for needle in folded {
            assert!(!folded_readings.iter().any(|text| text.contains(&needle)), "{what} shows {secret:?}:\n{text}");
        }
        for needle in bare {
            assert!(!bare_readings.iter().any(|text| text.contains(&needle)), "{what} shows {needle:?}:\n{text}");
        }
    }
}

/// What must not be in a text: in folded readings, and in bare ones.
#[derive(Clone)]
struct Needles {
    folded: [String; 2],
    bare: [String; 2],
}

/// Returns the needles of a secret. Thousands of texts are searched for the same few secrets.
fn needles(secret: &str) -> Needles {
    thread_local! {
        static KNOWN: RefCell<HashMap<String, Needles>> = RefCell::default();
    }
    let new = || Needles {
        folded: [folded(secret), secret.bytes().map(|byte| format!("{byte:02x}")).collect()],
        bare: [STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)],
    };
    KNOWN.with_borrow_mut(|known| known.entry(secret.to_owned()).or_insert_with(new).clone())
}

/// Returns small letters without accents, blanks and invisible characters.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        let is_seen = |letter: &char| !letter.is_ascii_whitespace() && !letter.is_ascii_control();
        return text.chars().filter(is_seen).map(|letter| letter.to_ascii_lowercase()).collect();
    }
    let letters = text.chars().flat_map(char::to_lowercase).map(|letter| match letter {
        'à' => 'a',
        'è' | 'é' => 'e',
        other => other,
    });
    let is_seen = |letter: &char| {
        let invisible = ['\u{ad}', '\u{300}', '\u{301}', '\u{200b}', '\u{2060}', '\u{feff}'];
        !letter.is_whitespace() && !letter.is_control() && !invisible.contains(letter)
    };
    letters.filter(is_seen).collect()
}

/// Undoes the escapes of JSON, of HTML and of bytes (`\\x41`) once.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let escape = if matches!(first, '&' | '\\') { escape(rest) } else { None };
        let (letter, length) = escape.unwrap_or((first, first.len_utf8()));
        plain.push(letter);
        rest = &rest[length..];
    }
    plain
}

fn escape(text: &str) -> Option<(char, usize)> {
    if let Some(name) = text.strip_prefix('&').and_then(|rest| rest.split_once(';')).map(|(name, _)| name) {
        let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
        let letter = match name {
            "amp" => '&',
            "quot" => '"',
            "lt" => '<',
            "gt" => '>',
            "sol" => '/',
            "egrave" => 'è',
            "eacute" => 'é',
            _ => match name.strip_prefix('#')?.strip_prefix(['x', 'X']) {
                Some(digits) => number(digits, 16)?,
                None => number(&name[1..], 10)?,
            },
        };
        return Some((letter, name.len() + 2));
    }
    let unit = |from: usize, kind: &str, length: usize| {
        let digits = text.get(from..)?.strip_prefix('\\')?.strip_prefix(kind)?.get(..length)?;
        u16::from_str_radix(digits, 16).ok()
    };
    if let Some(byte) = unit(0, "x", 2) {
        let bytes: Vec<u8> = (0..4).map_while(|index| u8::try_from(unit(4 * index, "x", 2)?).ok()).collect();
        let letter = String::from_utf8_lossy(&bytes).chars().next()?;
        let letter = if letter == '\u{fffd}' { char::from(u8::try_from(byte).ok()?) } else { letter };
        return Some((letter, 4 * if letter.is_ascii() { 1 } else { letter.len_utf8().min(bytes.len()) }));
    }
    match (unit(0, "u", 4), unit(6, "u", 4)) {
        (Some(first), second) => {
            let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
            let length = if pair.is_some_and(|letter| letter > '\u{ffff}') { 12 } else { 6 };
            Some((pair.or(char::from_u32(first.into())).unwrap_or('\u{fffd}'), length))
        }
        (None, _) => match text.strip_prefix('\\')?.chars().next()? {
            'n' | 'r' | 't' => Some((' ', 2)),
            letter @ ('"' | '\\' | '/' | '\'') => Some((letter, 2)),
            _ => None,
        },
    }
}

/// Asserts the same of everything that an error and its sources print.
pub fn assert_clean_error(what: &str, error: &gettone::Error, secrets: &[String]) {
    assert_clean(what, &laws::printed(error), secrets);
    // The text is one line that fits into a log.
    let text = error.to_string();
    assert!(text.chars().count() < 1_000 && !text.contains(char::is_control), "{what}: {text:?}");
}
