//! Undoes the escapes in which a service may repeat a text: those of URLs, JSON and HTML, and wrong encodings.
//!
//! Nothing here has to be exact: the result is only searched for secrets, and never shown.

use std::borrow::Cow;

/// Reads an escape at the start of a text. Returns the character that it stands for and the length of the escape in characters.
pub(super) type Reader = fn(&[char]) -> Option<(char, usize)>;

/// A reader for each kind of escape.
pub(super) const READERS: [Reader; 4] = [url, json, html, twice_encoded];

/// Stands for a character that cannot be read.
const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

/// Reads an escape of a URL or a form.
fn url(text: &[char]) -> Option<(char, usize)> {
    match text {
        ['+', ..] => Some((' ', 1)),
        ['%', ..] => character_of(&|index| match text.get(3 * index..)? {
            ['%', high, low, ..] => hexadecimal(&[*high, *low])?.try_into().ok(),
            _ => None,
        })
        .map(|(character, length)| (character, 3 * length)),
        _ => None,
    }
}

/// Reads an escape of a JSON string (RFC 8259, section 7), or of PHP and Python, which also have `\'` and `\x27`.
fn json(text: &[char]) -> Option<(char, usize)> {
    match text {
        ['\\', 'u', ..] => {
            let unit = |place: usize| match text.get(place..)? {
                ['\\', 'u', digits @ ..] => u16::try_from(hexadecimal(digits.get(..4)?)?).ok(),
                _ => None,
            };
            let first = unit(0)?;
            let both =
                || char::decode_utf16([first, unit(6)?]).next()?.ok().filter(|character| *character > '\u{ffff}');
            both().map(|character| (character, 12)).or(Some((char::from_u32(first.into()).unwrap_or(UNKNOWN), 6)))
        }
        ['\\', 'x', ..] => character_of(&|index| match text.get(4 * index..)? {
            ['\\', 'x', high, low, ..] => hexadecimal(&[*high, *low])?.try_into().ok(),
            _ => None,
        })
        .map(|(character, length)| (character, 4 * length)),
        ['\\', 'b' | 'f' | 'n' | 'r' | 't', ..] => Some((' ', 2)),
        ['\\', character @ ('"' | '\\' | '/' | '\''), ..] => Some((*character, 2)),
        _ => None,
    }
}

/// Reads a character reference of HTML, by number or by a name of PHP's `htmlentities`. An unknown name counts as an unknown character.
fn html(text: &[char]) -> Option<(char, usize)> {
    /// Enough for the names, and for any number with a few leading zeros.
    const LONGEST: usize = 12;
    let ['&', rest @ ..] = text else { return None };
    let end = rest.iter().take(LONGEST).position(|character| *character == ';')?;
    let number = |digits: Option<u32>| digits.map(|number| char::from_u32(number).unwrap_or(UNKNOWN));
    let character = match rest.get(..end)? {
        ['#', 'x' | 'X', digits @ ..] => number(hexadecimal(digits)),
        ['#', digits @ ..] => number(number_of(digits, 10)),
        [] => None,
        name if name.iter().all(char::is_ascii_alphanumeric) => Some(named(&name.iter().collect::<String>())),
        _ => None,
    };
    Some((character?, end + 2))
}

/// Reads a character whose UTF-8 was read as Windows-1252: `Ã¨` for `è`.
fn twice_encoded(text: &[char]) -> Option<(char, usize)> {
    if text.first()?.is_ascii() {
        return None;
    }
    let (character, length) = character_of(&|index| byte_of(*text.get(index)?))?;
    (length > 1).then_some((character, length))
}

/// Returns the first character of some bytes and its number of bytes. Bytes that are not UTF-8 are read as Windows-1252.
fn character_of(byte: &dyn Fn(usize) -> Option<u8>) -> Option<(char, usize)> {
    let first = byte(0)?;
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let mut bytes = [0; 4];
    let filled = bytes.iter_mut().zip(0..length).all(|(to, index)| byte(index).map(|byte| *to = byte).is_some());
    let read = || std::str::from_utf8(bytes.get(..length)?).ok()?.chars().next();
    match read().filter(|_| filled) {
        Some(character) => Some((character, length)),
        None => Some((windows_1252(first), 1)),
    }
}

/// Returns text of a service that may not be UTF-8. Bytes that are not are read as Windows-1252, so that an `è` of a secret is
/// recognized.
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| windows_1252(*byte)));
    }
    text.into()
}

fn windows_1252(byte: u8) -> char {
    let place = byte.checked_sub(0x80).map(usize::from);
    place.and_then(|place| WINDOWS_1252.get(place)).map_or(char::from(byte), |(character, _)| *character)
}

fn byte_of(character: char) -> Option<u8> {
    match WINDOWS_1252.iter().zip(0x80..).find(|((known, _), _)| *known == character) {
        Some((_, byte)) => Some(byte),
        None => u8::try_from(u32::from(character)).ok(),
    }
}

fn hexadecimal(digits: &[char]) -> Option<u32> {
    number_of(digits, 16)
}

/// Parses digits. Unlike the standard library, it rejects a sign.
fn number_of(digits: &[char], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |number, digit| number.checked_mul(radix)?.checked_add(digit.to_digit(radix)?))
}

/// Returns the character with a name.
fn named(name: &str) -> char {
    let windows = WINDOWS_1252.iter().map(|(character, name)| (*name, *character));
    let latin = LATIN_1.iter().copied().zip('\u{a0}'..);
    ASCII.into_iter().chain(windows).chain(latin).find(|(known, _)| *known == name).map_or(UNKNOWN, |(_, is)| is)
}

/// Returns a letter of Latin-1 without its accent: the first letter of its name.
pub(super) fn without_accent(letter: char) -> char {
    let place = u32::from(letter).checked_sub(0xa0).and_then(|place| usize::try_from(place).ok());
    let name = place.and_then(|place| LATIN_1.get(place)).filter(|_| letter.is_alphabetic());
    name.and_then(|name| name.chars().next()).unwrap_or(letter)
}

/// The ASCII characters with a name in HTML 4 or, with `ENT_HTML5`, in `htmlentities`.
#[rustfmt::skip]
const ASCII: [(&str, char); 32] = [
    ("quot", '"'), ("amp", '&'), ("apos", '\''), ("lt", '<'), ("gt", '>'),
    ("Tab", '\t'), ("NewLine", '\n'), ("excl", '!'), ("num", '#'), ("dollar", '$'), ("percnt", '%'), ("lpar", '('), ("rpar", ')'),
    ("ast", '*'), ("plus", '+'), ("comma", ','), ("period", '.'), ("sol", '/'), ("colon", ':'), ("semi", ';'), ("equals", '='),
    ("quest", '?'), ("commat", '@'), ("lbrack", '['), ("bsol", '\\'), ("rsqb", ']'), ("Hat", '^'), ("lowbar", '_'), ("grave", '`'),
    ("lbrace", '{'), ("vert", '|'), ("rcub", '}'),
];

/// The characters of 0x80 to 0x9f in Windows-1252, and their names in HTML (HTML 4.01, section 24). Five are not assigned.
#[rustfmt::skip]
const WINDOWS_1252: [(char, &str); 32] = [
    ('€', "euro"), ('\u{81}', ""), ('‚', "sbquo"), ('ƒ', "fnof"), ('„', "bdquo"), ('…', "hellip"), ('†', "dagger"), ('‡', "Dagger"),
    ('ˆ', "circ"), ('‰', "permil"), ('Š', "Scaron"), ('‹', "lsaquo"), ('Œ', "OElig"), ('\u{8d}', ""), ('Ž', ""), ('\u{8f}', ""),
    ('\u{90}', ""), ('‘', "lsquo"), ('’', "rsquo"), ('“', "ldquo"), ('”', "rdquo"), ('•', "bull"), ('–', "ndash"), ('—', "mdash"),
    ('˜', "tilde"), ('™', "trade"), ('š', "scaron"), ('›', "rsaquo"), ('œ', "oelig"), ('\u{9d}', ""), ('ž', ""), ('Ÿ', "Yuml"),
];

/// The names in HTML of U+00A0 to U+00FF.
#[rustfmt::skip]
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy", "reg", "macr",
    "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12",
    "frac34", "iquest",
    "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave",
    "Iacute", "Icirc", "Iuml",
    "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml",
    "Yacute", "THORN", "szlig",
    "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave",
    "iacute", "icirc", "iuml",
    "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml",
    "yacute", "thorn", "yuml",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: Reader, text: &str) -> Option<(char, usize)> {
        reader(&text.chars().collect::<Vec<_>>())
    }

    #[test]
    fn an_escape_is_read_with_its_length() {
        for (reader, text, is) in [
            (url as Reader, "%41b", ('A', 3)),
            (url, "%c3%A8", ('è', 6)),
            (url, "%E8a", ('è', 3)),
            (url, "%c3%41", ('Ã', 3)),
            (url, "%F0%9F%a6%80x", ('🦀', 12)),
            (url, "+", (' ', 1)),
            (json, r"\u00e8x", ('è', 6)),
            (json, r"\ud83e\udd80", ('🦀', 12)),
            (json, r"\ud83ex", (UNKNOWN, 6)),
            (json, r"\ud83e\u0041", (UNKNOWN, 6)),
            (json, r"\udd80\ud83e", (UNKNOWN, 6)),
            (json, r"\xe8", ('è', 4)),
            (json, r"\xc3\xa8", ('è', 8)),
            (json, r"\n", (' ', 2)),
            (json, r"\/", ('/', 2)),
            (json, r"\\", ('\\', 2)),
            (html, "&egrave;x", ('è', 8)),
            (html, "&#232;", ('è', 6)),
            (html, "&#xE8;", ('è', 6)),
            (html, "&#x0001F980;", ('🦀', 12)),
            (html, "&euro;", ('€', 6)),
            (html, "&lowbar;", ('_', 8)),
            (html, "&fjlig;", (UNKNOWN, 7)),
            (html, "&#xffffffff;", (UNKNOWN, 12)),
            (twice_encoded, "Ã¨x", ('è', 2)),
            (twice_encoded, "â‚¬", ('€', 3)),
        ] {
            // Alone, and with text behind it.
            assert_eq!((read(reader, text), read(reader, &format!("{text}!"))), (Some(is), Some(is)), "{text}");
        }
    }

    #[test]
    fn what_only_resembles_an_escape_is_none() {
        for (reader, text) in [
            (url as Reader, "%"),
            (url, "%4"),
            (url, "%+41"),
            (url, "%4g"),
            (json, r"\"),
            (json, r"\u00e"),
            (json, r"\ue8"),
            (json, r"\u+0e8"),
            (json, r"\x4"),
            (json, r"\d"),
            (html, "&;"),
            (html, "&#;"),
            (html, "&#x;"),
            (html, "&egrave"),
            (html, "& amp;"),
            (html, "&#00000000000232;"),
            (twice_encoded, "Ã"),
            (twice_encoded, "èa"),
            (twice_encoded, "a"),
        ] {
            assert_eq!(read(reader, text), None, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_windows_1252() {
        assert_eq!(text_of(b"pass\xe8 \x80 \xc3\xa8 \xc3 \xed\xa0\x80 \xff"), "passè € è Ã í\u{a0}€ ÿ");
    }

    #[test]
    fn the_names_of_latin_1_stand_at_their_numbers() {
        for (character, name) in
            [('\u{a0}', "nbsp"), ('°', "deg"), ('À', "Agrave"), ('Ð', "ETH"), ('ß', "szlig"), ('ÿ', "yuml")]
        {
            assert_eq!(named(name), character);
        }
        assert_eq!(named("nonsense"), UNKNOWN);
        assert_eq!(
            ['è', 'ç', '÷', '×', 'a', 'š', '\u{100}'].map(without_accent),
            ['e', 'c', '÷', '×', 'a', 'š', '\u{100}']
        );
    }
}
