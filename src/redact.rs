//! Text of a service, or of a library, as it may be shown: one short line without the secrets of the request.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// The secrets of a request, in each encoding in which a service may repeat them. Escapes are recognized while matching.
#[derive(Default)]
pub(crate) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    pub(crate) fn add(&mut self, secret: &str) {
        // Blanks at the ends reveal nothing, and a text that was tidied has lost them.
        let core = secret.trim_matches(is_blank);
        if !core.is_empty() {
            let forms = [core.to_owned(), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
            self.0.extend(forms.map(Zeroizing::new));
        }
    }

    /// Returns the length of the longest secret that a text begins with.
    fn at_start_of(&self, text: &str) -> Option<usize> {
        self.0.iter().filter_map(|secret| length_in(text.as_bytes(), secret)).max()
    }
}

/// Returns the length of a secret at the start of a one-line text, whichever of its characters are escaped, each in its own way.
fn length_in(text: &[u8], secret: &str) -> Option<usize> {
    let mut characters = secret.chars();
    // Several ends, because a `%`, `\` or `&` of the secret may stand for itself or begin an escape. Nothing is allocated
    // where the first character differs.
    let mut ends: Vec<usize> = ends_of(characters.next()?, text, 0).collect();
    let mut next = Vec::new();
    for character in characters {
        if ends.is_empty() {
            return None;
        }
        next.extend(ends.drain(..).flat_map(|end| ends_of(character, text, end)));
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut ends, &mut next);
    }
    ends.into_iter().max()
}

/// Returns where a character that starts at this place may end: as it is, escaped, or lost in the blank before it.
fn ends_of(character: char, text: &[u8], start: usize) -> impl Iterator<Item = usize> {
    let rest = text.get(start..).unwrap_or_default();
    let plain = if is_blank(character) { ' ' } else { character };
    let is_plain = rest.starts_with(plain.encode_utf8(&mut [0; 4]).as_bytes());
    let is_lost = is_blank(character) && start.checked_sub(1).and_then(|before| text.get(before)) == Some(&b' ');
    let lengths = [is_plain.then(|| plain.len_utf8()), escape_of(character, rest), is_lost.then_some(0)];
    lengths.into_iter().flatten().map(move |length| start + length)
}

/// Returns whether [`one_line`] replaces a character with a space.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// Returns the length of the escape at the start of a text if it stands for this character: of a URL, a form, JSON or HTML.
fn escape_of(character: char, text: &[u8]) -> Option<usize> {
    match text {
        [b'+', ..] if character == ' ' => Some(1),
        [b'%', ..] => escape_of_url(character, text),
        [b'\\', rest @ ..] => escape_of_json(character, rest).map(|length| 1 + length),
        [b'&', rest @ ..] => escape_of_html(character, rest).map(|length| 1 + length),
        _ => None,
    }
}

fn escape_of_url(character: char, text: &[u8]) -> Option<usize> {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).as_bytes();
    let mut groups = text.chunks(3);
    let is_next = |byte: &u8| match groups.next() {
        Some([b'%', digits @ ..]) => digits.len() == 2 && number_of(digits, 16) == Some((*byte).into()),
        _ => false,
    };
    bytes.iter().all(is_next).then_some(3 * bytes.len())
}

/// What follows the backslash (RFC 8259, section 7). PHP escapes `/` and all that is not ASCII, unless told otherwise.
fn escape_of_json(character: char, text: &[u8]) -> Option<usize> {
    let letter = match character {
        // The apostrophe is not JSON's, but PHP's and that of several languages.
        '"' | '\\' | '/' | '\'' => character,
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        _ => '\0',
    };
    match text {
        [b'u', ..] => {
            let mut buffer = [0; 2];
            let units = character.encode_utf16(&mut buffer);
            // `uXXXX`, or a surrogate pair: `uXXXX\uXXXX`.
            let length = 6 * units.len() - 1;
            let mut groups = text.get(..length)?.chunks(6);
            let is_next = |unit: &u16| match groups.next() {
                Some([b'u', a, b, c, d] | [b'u', a, b, c, d, b'\\']) => {
                    number_of(&[*a, *b, *c, *d], 16) == Some((*unit).into())
                }
                _ => false,
            };
            units.iter().all(is_next).then_some(length)
        }
        // JSON that was then escaped for HTML.
        [b'&', rest @ ..] if character == '"' => escape_of_html(character, rest).map(|length| 1 + length),
        [first, ..] => (char::from(*first) == letter).then_some(1),
        [] => None,
    }
}

/// What follows the ampersand, with its semicolon.
fn escape_of_html(character: char, text: &[u8]) -> Option<usize> {
    /// Longer than any name of [`entity_of`] and than any number, with a few leading zeros.
    const LONGEST: usize = 12;
    let end = text.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let is_meant = match text.get(..end)? {
        [b'#', b'x' | b'X', digits @ ..] => number_of(digits, 16) == Some(character.into()),
        [b'#', digits @ ..] => number_of(digits, 10) == Some(character.into()),
        name => entity_of(character).is_some_and(|known| known.as_bytes() == name),
    };
    is_meant.then_some(end + 1)
}

/// Returns the number that these digits are. Unlike the standard library it refuses a sign.
fn number_of(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u32, |number, digit| number.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?))
}

/// Returns the name that PHP's `htmlentities` gives a character of Latin-1 or of Windows-1252 (HTML 4.01, section 24).
fn entity_of(character: char) -> Option<&'static str> {
    Some(match character {
        '"' => "quot",
        '&' => "amp",
        '\'' => "apos",
        '<' => "lt",
        '>' => "gt",
        '\u{a0}'..='\u{ff}' => {
            let number = usize::try_from(u32::from(character)).ok()?;
            return LATIN_1.get(number.checked_sub(0xa0)?).copied();
        }
        'Œ' => "OElig",
        'œ' => "oelig",
        'Š' => "Scaron",
        'š' => "scaron",
        'Ÿ' => "Yuml",
        'ƒ' => "fnof",
        'ˆ' => "circ",
        '˜' => "tilde",
        '–' => "ndash",
        '—' => "mdash",
        '‘' => "lsquo",
        '’' => "rsquo",
        '‚' => "sbquo",
        '“' => "ldquo",
        '”' => "rdquo",
        '„' => "bdquo",
        '†' => "dagger",
        '‡' => "Dagger",
        '•' => "bull",
        '…' => "hellip",
        '‰' => "permil",
        '‹' => "lsaquo",
        '›' => "rsaquo",
        '€' => "euro",
        '™' => "trade",
        _ => return None,
    })
}

/// From U+00A0 to U+00FF.
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

/// Returns what a library says of a failure as one line, without the secrets of the request.
pub(crate) fn reason(text: &str, secrets: &Secrets) -> Option<String> {
    Some(tidy(text, secrets, REASON_LENGTH)).filter(|reason| !reason.is_empty())
}

/// The most of a service's message that an error repeats, in characters.
pub(crate) const MESSAGE_LENGTH: usize = 300;
pub(crate) const CODE_LENGTH: usize = 64;
const REASON_LENGTH: usize = 160;

/// Text of a service as one line without the secrets. They go first: cut in half, they would not be found. Where one begins
/// before another has ended, both go.
pub(crate) fn tidy(text: &str, secrets: &Secrets, length: usize) -> String {
    let line = one_line(text);
    let (mut clean, mut hidden) = (String::new(), 0);
    for (place, character) in line.char_indices() {
        if let Some(length) = secrets.at_start_of(&line[place..]) {
            if place >= hidden {
                clean.push_str("[redacted]");
            }
            hidden = hidden.max(place + length);
        }
        if place >= hidden {
            clean.push(character);
        }
        // Of four bytes each: enough to be cut.
        if clean.len() > 4 * length {
            break;
        }
    }
    if let Some((end, _)) = clean.char_indices().nth(length) {
        clean.truncate(end);
        clean.push('…');
    }
    clean
}

/// The words of a text with a space between them.
fn one_line(text: &str) -> String {
    // It may be a secret.
    let printable: Zeroizing<String> =
        Zeroizing::new(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
    printable.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line_without_secrets() {
        let mut secrets = Secrets::default();
        secrets.add("s3cret");
        secrets.add("two  words");
        assert_eq!(tidy("wrong\r\n\tkey\u{1b}[31m s3cret!", &secrets, 300), "wrong key [31m [redacted]!");
        assert_eq!(tidy(&"è".repeat(400), &secrets, 300).chars().count(), 301);
        // However many spaces come back.
        assert_eq!(tidy("two words, two   words", &secrets, 300), "[redacted], [redacted]");
        assert_eq!(reason("no host\n s3cret", &secrets).unwrap(), "no host [redacted]");
        assert_eq!((reason("", &secrets), reason(&"x".repeat(1_000), &secrets).unwrap().len()), (None, 163));
        // A secret that straddles the end is gone as well.
        assert!(!tidy(&("x".repeat(297) + "s3cret"), &secrets, 300).contains("s3c"));
    }

    /// What is left of a text that is a secret in some form, between two words.
    fn taken_out(secret: &str, form: &str) -> String {
        let mut secrets = Secrets::default();
        secrets.add(secret);
        tidy(&format!("no: {form}, it is"), &secrets, 300)
    }

    #[test]
    fn a_secret_is_taken_out_however_it_is_escaped() {
        let secret = r#"a/b"è&<'>\%🦀€"#;
        for form in [
            secret,
            // PHP's `json_encode`, without flags, with JSON_HEX_* and with JSON_UNESCAPED_*.
            r#"a\/b\"\u00e8&<'>\\%\ud83e\udd80\u20ac"#,
            r#"a\/b\u0022\u00E8\u0026\u003C\u0027\u003E\\%\uD83E\uDD80\u20AC"#,
            r#"a/b\"è&<'>\\%🦀€"#,
            // `htmlspecialchars`, of which the apostrophe is written in three ways, and `htmlentities`.
            r#"a/b&quot;è&amp;&lt;&#039;&gt;\%🦀€"#,
            r#"a/b&quot;è&amp;&lt;&apos;&gt;\%🦀€"#,
            r#"a/b&quot;&egrave;&amp;&lt;&#39;&gt;\%🦀&euro;"#,
            r#"a&#47;b&#34;&#232;&#38;&#60;&#x27;&#x3e;&#x5C;&#37;&#x1F980;&#8364;"#,
            r#"a&#x2f;b&#x22;&#xE8;&#X26;&#x003c;&#0039;&gt;&#92;&#37;&#129408;&#x20AC;"#,
            // JSON in HTML.
            r#"a\/b\&quot;\u00e8&amp;&lt;'&gt;\\%\ud83e\udd80\u20ac"#,
            // Each character in another way.
            r#"%61\/b&quot;%C3%A8&<\u0027&gt;\\%25%f0%9f%a6%80&euro;"#,
            r#"\u0061%2Fb"\u00e8%26&lt;'%3e%5C%🦀%E2%82%AC"#,
        ] {
            assert_eq!(taken_out(secret, form), "no: [redacted], it is", "{form}");
        }
        // A character that may begin an escape, and does not.
        for (secret, form) in [
            ("&amp;/", r"&amp;\/"),
            ("&amp;/", r"&amp;amp;/"),
            ("%25é", "%25&eacute;"),
            (r"\u0041/", r"\u0041&#47;"),
            (r"\\\/", r"\\\\\\\/"),
            (r"\\\/", r"\\\%2F"),
        ] {
            assert_eq!(taken_out(secret, form), "no: [redacted], it is", "{secret} as {form}");
        }
    }

    #[test]
    fn blanks_of_a_secret_may_be_escaped_or_lost() {
        let secret = " one\ttwo  three\r\n\u{1}\u{a0}four ";
        for form in [
            secret,
            "one two three four",
            r"one\ttwo  three\r\n\u0001\u00a0four",
            r"one\ttwo three\r\n\u0001\u00A0four",
            "one&#9;two three&#13;&#10;\u{1}&nbsp;four",
            "one%09two  three%0D%0A%01%C2%A0four",
            "one%09two++three%0D%0A%01%C2%A0four",
        ] {
            let clean = taken_out(secret, form).replace(" ,", ",").replace("[redacted] ", "[redacted]");
            assert_eq!(clean, "no: [redacted], it is", "{form}");
        }
        for (secret, other) in [("one two", "onetwo"), ("one two", r"one\ntwo"), ("one  two", "one+two")] {
            assert_eq!(taken_out(secret, other), format!("no: {other}, it is"));
        }
    }

    #[test]
    fn what_only_resembles_an_escape_is_left_alone() {
        for (secret, other) in [
            ("è", r"\u00e9"),
            ("è", r"\u00e"),
            ("è", r"\ue8"),
            ("è", "&eacute;"),
            ("è", "&egrave"),
            ("è", "&#233;"),
            ("è", "&#xe8"),
            ("è", "&#;"),
            ("è", "&#x;"),
            ("è", "&#00000000000232;"),
            ("è", "%C3%+A8"),
            ("\n", "%+A"),
            ("🦀", r"\ud83e"),
            ("🦀", r"\ud83e/udd80"),
            ("/", "\\"),
        ] {
            assert_eq!(taken_out(secret, other), format!("no: {other}, it is"), "{secret}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_escapes_is_read() {
        let mut secrets = Secrets::default();
        for begins in [r"\", "%", "&"] {
            secrets.add(&(begins.repeat(64) + "!"));
        }
        let text = [r"\", "%25", "&amp;", r"\u005c", "%"].map(|escape| escape.repeat(1_024)).concat();
        // Trying every reading one by one would take exponential time.
        assert_eq!(tidy(&text, &secrets, text.len()), text);
    }

    #[test]
    fn the_names_of_latin_1_stand_at_their_numbers() {
        for (character, name) in [
            ('\u{a0}', "nbsp"),
            ('°', "deg"),
            ('À', "Agrave"),
            ('Ð', "ETH"),
            ('ß', "szlig"),
            ('à', "agrave"),
            ('è', "egrave"),
            ('÷', "divide"),
            ('ÿ', "yuml"),
        ] {
            assert_eq!(entity_of(character), Some(name));
        }
        assert_eq!((entity_of('a'), entity_of('\u{100}')), (None, None));
    }
}
