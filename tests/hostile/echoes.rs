//! A service that repeats a random secret of the request, in a random field, status and form.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use fastrand::Rng;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answers::{self, Exchange};
use super::secrets::{FAMILIES, assert_clean, assert_clean_error, html, in_json, php_json};
use super::services::{self, EMAIL, operations, place_of};

/// How many characters of a secret are never shown in a row.
const PART: usize = 8;

/// Places of a text, each with an operation that reads it.
const PLACES: [(&str, &str); 46] = [
    ("get_credit", r#"{"success":false,"message":@}"#),
    ("get_credit", r#"{"success":false,"message":"no","error":@}"#),
    ("v1 delete_token", r#"{"success":false,"error":@,"data":null}"#),
    ("v1 list_tokens", r#"{"success":false,"message":@,"error":@,"data":@}"#),
    ("v1 list_scopes", r#"{"data":{"success":false,"error":@,"message":@}}"#),
    ("password_grant", r#"{"error":@,"error_description":@,"message":@,"hint":@}"#),
    ("password_grant", r#"{"error_description":@}"#),
    ("password_grant", r#"{"hint":@}"#),
    ("refresh", r#"{"error":"invalid_grant","message":@}"#),
    ("refresh", r#"{"error":@}"#),
    ("password_grant", r#"{"message":"no","errors":{"a":[@]}}"#),
    ("password_grant", r#"{"errors":{@:["x"],"b":[@,@]}}"#),
    ("v1 list_scopes", r#"{"data":["GET:a.it/b",@]}"#),
    ("v1 list_scopes", r#"{"data":{"data":[@,"GET:a.it/b"],@:@}}"#),
    ("v1 list_scopes", r#"{"data":[[@],{@:1},"GET:a.it/b"]}"#),
    ("counters_total", r#"{"data":{@:{"counter":1,"paid":1}}}"#),
    ("counters_day", r#"{"data":{"GET:a.it/b":@,"x":{"counter":@},"GET:a.it/c":{"counter":1,"paid":0,"limit":@}}}"#),
    ("counters_month", r#"{"data":{@:@}}"#),
    ("counters_year", r#"{"data":[@]}"#),
    ("v1 list_tokens", r#"{"data":[@,{"scopes":[@],"expire":1,"token":"t"},{"scopes":[],"expire":@,"token":@}]}"#),
    ("v1 find_token", r#"{"data":[{"scopes":["GET:a.it/b",@],"expire":1,"token":"t",@:@}]}"#),
    ("replace_token", r#"{"data":[{"scopes":@,"expire":1,"token":@}]}"#),
    ("v1 update_token", r#"{"data":[{"scopes":[],"expire":1,"token":@}],"message":@,"error":@}"#),
    ("v1 create_token", r#"{"scopes":[@],"expire":1,"token":@}"#),
    ("v1 create_token", r#"{"scopes":[],"expire":@,"token":"t"}"#),
    ("password_grant", r#"{"token_type":@,"expires_in":1,"access_token":@,"refresh_token":@}"#),
    ("refresh", r#"{"token_type":"Bearer","expires_in":@,"access_token":@,"refresh_token":@,@:@}"#),
    ("get_credit", r#"{"data":{"credit":@,@:1}}"#),
    ("v1 find_token", "@"),
    ("v1 delete_token", r#"[@"#),
    ("get_wallet", r#"{"success":false,"message":@}"#),
    ("refresh_token", r#"{"success":false,"message":@,"error":@,"data":null}"#),
    ("refresh_token", r#"{"message":@,"hint":@,"errors":{@:[@]}}"#),
    ("v2 update_token", r#"{"success":false,"message":@,"error":110}"#),
    ("v2 create_token", r#"{"success":false,"message":"no","error":@}"#),
    ("v2 delete_token", r#"{"success":false,"error":@,"data":null}"#),
    ("v2 list_tokens", r#"{"success":false,"message":@,"error":@,"data":@}"#),
    (
        "v2 list_tokens",
        r#"{"data":[@,{"token":"t","expireAt":@},{"token":@,"expireAt":"2022-08-16T09:06:20Z","refreshToken":@}]}"#,
    ),
    (
        "v2 find_token",
        r#"{"token":@,"expireAt":"2022-08-16T09:06:20Z","refreshToken":@,"scopes":[@],"limits":{@:@},"x":@}"#,
    ),
    ("v2 list_scopes", r#"{"data":[@,{"scope":@},{"scope":"GET:a.it/b","enabled":@}]}"#),
    ("get_callback", r#"{"data":{"id":"1","data":@,"custom":{@:@},"headers":{"a":@},"url":@}}"#),
    ("list_callbacks", r#"{"data":[{"id":"1","url":@},@]}"#),
    ("get_stats_api", r#"{"data":{"totalRequests":@,"scopes":{@:@,"GET:a.it/b":@}}}"#),
    ("list_stats_apis", r#"{"data":{@:@,"a.it":@}}"#),
    ("list_errors", r#"{"data":[@,{"id":1,"errorAt":@}]}"#),
    ("list_subscriptions", r#"{"data":[@],"message":@}"#),
];

/// Most often the status of the place.
const STATUSES: [u16; 12] = [200, 200, 200, 200, 400, 401, 402, 403, 404, 422, 500, 302];

/// Sends one answer, and checks what is shown of it. Returns whether it was a failure with something to redact.
pub fn check(seed: u64) -> bool {
    let rng = &mut Rng::with_seed(seed);
    let (operation, place) = PLACES[rng.usize(..PLACES.len())];
    // Sometimes an operation that does not read that place.
    let number = match rng.u8(..8) {
        0 => rng.usize(..operations().count()),
        _ => place_of(services::operation(operation)),
    };
    let operation = operations().nth(number).unwrap();
    let family = rng.u8(..FAMILIES.len() as u8);
    let secrets = FAMILIES[usize::from(family)].sent(operation);
    let secret = &secrets[rng.usize(..secrets.len())];
    let part = part(rng, secret);
    let echo = written(rng, &part);
    let string = string(rng, &echo);
    let parts: Vec<&[u8]> = place.split('@').map(str::as_bytes).collect();
    let body = parts.join(&string[..]);
    let status = STATUSES[rng.usize(..STATUSES.len())];
    let exchange =
        Exchange { operation: number.try_into().unwrap(), family, status, body: body.into(), ..Exchange::default() };
    // `answers::check` looks for the secrets, this for a part of one.
    let hidden = [part];
    match answers::check(&exchange) {
        Ok(returned) => {
            assert_clean(operation.name, &returned.shown(), &hidden);
            false
        }
        Err(error) => {
            assert_clean_error(operation.name, &error, &hidden);
            format!("{error:?}").contains("[redacted]")
        }
    }
}

/// Returns the secret, or the beginning or the end of it.
fn part(rng: &mut Rng, secret: &str) -> String {
    let characters: Vec<char> = secret.trim().chars().collect();
    // The crate compares only these characters.
    let seen = |characters: &[char]| characters.iter().filter(|character| character.is_ascii_graphic()).count();
    let length = rng.usize(..=characters.len());
    let part = match rng.u8(..6) {
        0 => &characters[..length],
        1 => &characters[length..],
        _ => &characters[..],
    };
    // The pair of e-mail address and key is sent only in base64, and the address is not a secret.
    let is_part_of_pair = secret.starts_with(EMAIL) && part.len() < characters.len();
    // An error names its operation, such as `password_grant`.
    let bare: String = part.iter().filter(|character| character.is_ascii_graphic()).collect();
    let is_name = operations().any(|known| known.name.contains(&bare));
    let part = if seen(part) < PART || is_part_of_pair || is_name { &characters[..] } else { part };
    part.iter().collect()
}

/// A way to write a text.
type Way = fn(&mut Rng, &str) -> String;

/// Changes of the letters.
const CHANGES: [Way; 8] = [
    |_, text| text.to_uppercase(),
    |_, text| text.to_lowercase(),
    |rng, text| text.chars().map(|letter| if rng.bool() { letter.to_ascii_uppercase() } else { letter }).collect(),
    |_, text| text.replace('é', "e\u{301}").replace('è', "e\u{300}").replace('à', "a\u{300}"),
    |_, text| text.replace(['é', 'è'], "e").replace('à', "a"),
    |_, text| text.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }).collect(),
    |_, text| text.chars().map(|letter| if letter.is_ascii() { letter } else { '\u{fffd}' }).collect(),
    // UTF-8 read as Latin-1.
    |_, text| text.bytes().map(char::from).filter(|letter| !letter.is_control()).collect::<String>() + text,
];

/// Insertions between letters, but not inside an escape, which a service does not know about.
const INSERTIONS: [&str; 9] = ["\n", "\r\n", " ", "\t", "\u{200b}", "\u{ad}", "\u{feff}", "\0", "\u{2060}"];

/// Escapes, each of which can be escaped again.
const ESCAPES: [Way; 13] = [
    |_, text| in_json(text),
    |_, text| php_json(text),
    |_, text| html(text),
    |_, text| html(&html(text)),
    |_, text| text.replace('&', "&amp;").replace('è', "&egrave;").replace('é', "&eacute;").replace('/', "&sol;"),
    |_, text| text.chars().map(|letter| format!("&#x{:X};", u32::from(letter))).collect(),
    |_, text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
    |_, text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().to_lowercase(),
    |_, text| text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    |_, text| form_urlencoded::byte_serialize(text.as_bytes()).collect(),
    |_, text| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
    |_, text| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
    // Some characters in one way, the others in another.
    |rng, text| {
        text.chars()
            .map(|letter| {
                if rng.bool() {
                    format!("\\u{:04X}", u16::try_from(u32::from(letter)).unwrap_or(0xfffd))
                } else {
                    letter.to_string()
                }
            })
            .collect()
    },
];

/// Encodings in other alphabets.
const ENCODINGS: [Way; 7] = [
    |_, text| STANDARD.encode(text),
    |_, text| URL_SAFE.encode(text),
    |_, text| STANDARD_NO_PAD.encode(text),
    |_, text| URL_SAFE_NO_PAD.encode(text),
    |rng, text| STANDARD.encode(format!("{}{text}{}", &"id:"[..rng.usize(..=3)], &";ok"[..rng.usize(..=3)])),
    |_, text| text.bytes().map(|byte| format!("{byte:02x}")).collect(),
    |_, text| text.bytes().map(|byte| format!("{byte:02X}")).collect(),
];

fn written(rng: &mut Rng, part: &str) -> String {
    let any = |rng: &mut Rng, ways: &[Way], text: &str| ways[rng.usize(..ways.len())](rng, text);
    let mut text = part.to_owned();
    match rng.u8(..10) {
        0..3 => {}
        // A part that is too short to differ from a word is not recognized in base64.
        3 | 4 if part.len() >= PART => text = any(rng, &ENCODINGS, &text),
        _ => text = any(rng, &CHANGES, &text),
    }
    if rng.u8(..4) == 0 {
        let insertion = INSERTIONS[rng.usize(..INSERTIONS.len())];
        let every = rng.usize(1..20);
        let pieces: Vec<String> =
            text.chars().collect::<Vec<_>>().chunks(every).map(|piece| piece.iter().collect()).collect();
        text = pieces.join(insertion);
    }
    for _ in 0..rng.usize(..=3) {
        text = any(rng, &ESCAPES, &text);
    }
    text
}

/// Returns a JSON string with the echo among other words, perhaps not in UTF-8, and perhaps with half of a surrogate pair.
fn string(rng: &mut Rng, echo: &str) -> Vec<u8> {
    let around =
        [("", ""), ("key ", " is wrong"), ("no: ", ""), ("key=", "&x=1"), ("'", "'"), ("<b>", "</b>"), ("\"", "\",")];
    let (before, after) = around[rng.usize(..around.len())];
    let padding = if rng.u8(..10) == 0 { "x".repeat(rng.usize(250..300)) } else { String::new() };
    let text = format!("{padding}{before}{echo}{after}");
    let escaped = if rng.bool() { in_json(&text) } else { php_json(&text) };
    let odd = ["", "", "", "\\ud83e ", "\\udd80\\ud800", "\\ufeff", "\\u0000"];
    let escaped = format!("{}{escaped}{}", odd[rng.usize(..odd.len())], odd[rng.usize(..odd.len())]);
    let mut bytes = vec![b'"'];
    let is_latin = rng.u8(..4) == 0;
    for letter in escaped.chars() {
        match u8::try_from(u32::from(letter)) {
            Ok(byte) if is_latin => bytes.push(byte),
            _ => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if rng.u8(..10) == 0 {
        bytes.push(0xff);
    }
    bytes.push(b'"');
    bytes
}
