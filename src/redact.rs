//! Removes the secrets of a request from text of a service, a server or a library, and shortens it to one line that an error may show.
//!
//! A service may repeat a secret in many forms. So the search reads the line in several ways: as it is, and with its escapes undone up to
//! [`DEPTH`] times. It folds every reading (drops case, accents, blanks and invisible characters), cuts it into overlapping parts of
//! [`PART`] characters, and looks up each part among those of the secrets. The work is proportional to the length of the text.

pub(crate) mod escapes;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use escapes::{READERS, Reader, without_accent};

/// The number of consecutive characters of a secret that are enough to hide them, at any position: a service may show only the beginning,
/// or change a character in the middle. A shorter part could be an ordinary word.
const PART: usize = 8;

/// The number of layers of escapes that are undone: JSON in JSON in HTML in a URL.
const DEPTH: usize = 4;

/// The length of the searched part of a text, in characters. The rest is never shown.
const EXAMINED: usize = 16 * 1024;

/// The secrets of a request, folded, in each encoding that the search recognizes.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<Zeroizing<Vec<char>>>);

impl Secrets {
    pub(crate) fn add(&mut self, secret: &str) {
        self.push(secret.chars());
        // A service writes a letter that its encoding lacks as `?`.
        self.push(secret.chars().map(|character| if character.is_ascii() { character } else { '?' }));
        let hexadecimal = secret.bytes().flat_map(|byte| [byte >> 4, byte & 0xf]);
        self.push(hexadecimal.filter_map(|digit| char::from_digit(digit.into(), 16)));
        self.add_base64(secret);
    }

    /// Adds the base64 of a text, not the text itself: alone, and as part of a longer text. There it begins at the first, second or third
    /// byte of a group and loses the characters that it shares with its neighbors.
    pub(crate) fn add_base64(&mut self, text: &str) {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            self.push(Zeroizing::new(engine.encode(text)).chars());
            for (before, shared) in [(0, 0), (1, 2), (2, 3)] {
                let bytes = Zeroizing::new([&[0; 2][..before], text.as_bytes()].concat());
                let encoded = Zeroizing::new(engine.encode(&*bytes));
                let end = encoded.len() - usize::from(bytes.len() % 3 != 0);
                let own = encoded.get(shared..end).unwrap_or_default();
                if own.len() >= PART {
                    self.push(own.chars());
                }
            }
        }
    }

    fn push(&mut self, characters: impl Iterator<Item = char> + Clone) {
        // Undoing the escapes of a form turns `+` into a blank.
        let without_plus = characters.clone().filter(|character| *character != '+');
        for form in [characters.flat_map(folded).collect(), without_plus.flat_map(folded).collect()].map(Zeroizing::new)
        {
            let form: Zeroizing<Vec<char>> = form;
            if !form.is_empty() && !self.0.contains(&form) {
                self.0.push(form);
            }
        }
    }

    /// Returns for each character of a line whether it belongs to a secret.
    fn hidden_in(&self, line: &[char]) -> Vec<bool> {
        let mut hidden = vec![false; line.len()];
        let mut parts: Vec<&[char]> = self.0.iter().flat_map(|form| form.windows(form.len().min(PART))).collect();
        parts.sort_unstable();
        parts.dedup();
        let mut lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut hide = |reading: &Reading| {
            let (characters, places) = reading.folded();
            for (start, length) in
                (0..characters.len()).flat_map(|start| lengths.iter().map(move |length| (start, *length)))
            {
                let Some(part) = characters.get(start..start + length) else { continue };
                if parts.binary_search(&part).is_ok()
                    && let Some([(first, _), .., (_, end)] | [(first, end)]) = places.get(start..start + length)
                    && let Some(hidden) = hidden.get_mut(*first..*end)
                {
                    hidden.fill(true);
                }
            }
        };
        // Also with invisible characters: a letter of two bytes that was read as two letters may contain one.
        for mut reading in [Reading::of(line, |character| !is_ignored(character)), Reading::of(line, |_| true)] {
            hide(&reading);
            for _ in 0..DEPTH {
                let Some(next) = reading.unescaped(&READERS) else { break };
                // Also one kind alone: what looks like another escape may be part of the secret.
                READERS.iter().filter_map(|reader| reading.unescaped(&[*reader])).for_each(|one| hide(&one));
                hide(&next);
                reading = next;
            }
        }
        hidden
    }
}

/// One reading of a line: its characters, and where in the line each of them begins and ends.
struct Reading {
    characters: Zeroizing<Vec<char>>,
    places: Vec<(usize, usize)>,
}

impl Reading {
    fn of(line: &[char], is_read: fn(char) -> bool) -> Self {
        let mut reading = Self::with_capacity(line.len());
        let seen = line.iter().enumerate().filter(|(_, character)| is_read(**character));
        seen.for_each(|(place, character)| reading.push(*character, (place, place + 1)));
        reading
    }

    /// Allocates all at once: a buffer that grows leaves copies behind.
    fn with_capacity(capacity: usize) -> Self {
        Self { characters: Zeroizing::new(Vec::with_capacity(capacity)), places: Vec::with_capacity(capacity) }
    }

    fn push(&mut self, character: char, place: (usize, usize)) {
        self.characters.push(character);
        self.places.push(place);
    }

    /// Returns the reading with these escapes undone once. `None` if it has none.
    fn unescaped(&self, readers: &[Reader]) -> Option<Self> {
        let mut reading = Self::with_capacity(self.characters.len());
        let mut rest = (&self.characters[..], &self.places[..]);
        while let ([first, ..], [(start, _), ..]) = rest {
            let read = readers.iter().find_map(|reader| reader(rest.0));
            let (character, length) = read.unwrap_or((*first, 1));
            let ((_, characters), (these, places)) =
                (rest.0.split_at_checked(length)?, rest.1.split_at_checked(length)?);
            reading.push(character, (*start, these.last()?.1));
            rest = (characters, places);
        }
        (reading.characters != self.characters).then_some(reading)
    }

    fn folded(&self) -> (Zeroizing<Vec<char>>, Vec<(usize, usize)>) {
        // Few characters fold to more than one.
        let mut reading = Self::with_capacity(self.characters.len() + 64);
        for (character, place) in self.characters.iter().zip(&self.places) {
            folded(*character).for_each(|character| reading.push(character, *place));
        }
        (reading.characters, reading.places)
    }
}

/// Returns a character without case and accent. Nothing for one that the search ignores.
fn folded(character: char) -> impl Iterator<Item = char> {
    // Through the capital letter, which some small letters share.
    let small = character.to_uppercase().flat_map(char::to_lowercase).map(without_accent);
    let known = small.map(|character| if character == char::REPLACEMENT_CHARACTER { '?' } else { character });
    known.filter(|character| !is_ignored(*character))
}

/// Returns whether the search ignores a character: a blank, or an invisible one (soft hyphen, combining accent, zero width, direction,
/// byte order mark).
fn is_ignored(character: char) -> bool {
    is_blank(character)
        || matches!(character, '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(character, '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns whether [`one_line`] replaces a character with a space.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// Returns the text of a library's error as one line, without the secrets of the request.
pub(crate) fn reason(text: &str, secrets: &Secrets) -> Option<String> {
    Some(tidy(text, secrets, REASON_LENGTH)).filter(|reason| !reason.is_empty())
}

/// The longest part of a service's message that an error shows, in characters.
pub(crate) const MESSAGE_LENGTH: usize = 300;
pub(crate) const CODE_LENGTH: usize = 64;
const REASON_LENGTH: usize = 160;

/// Returns a text of a service as one line without the secrets. It removes them before it cuts the line: half a secret might not be found.
pub(crate) fn tidy(text: &str, secrets: &Secrets, length: usize) -> String {
    let line = one_line(text);
    let hidden = secrets.hidden_in(&line);
    let (mut clean, mut left, mut was_hidden) = (String::new(), length, false);
    for (character, is_hidden) in line.iter().zip(hidden) {
        let mut buffer = [0; 4];
        let character = if is_blank(*character) { ' ' } else { *character };
        let shown = if is_hidden { "[redacted]" } else { character.encode_utf8(&mut buffer) };
        if !(is_hidden && was_hidden) {
            for character in shown.chars() {
                let Some(less) = left.checked_sub(1) else { return clean + "…" };
                left = less;
                clean.push(character);
            }
        }
        was_hidden = is_hidden;
    }
    if line.len() == EXAMINED { clean + "…" } else { clean }
}

/// Returns the words of a text with one space between them, up to the searched length.
fn one_line(text: &str) -> Zeroizing<Vec<char>> {
    // Wiped, because the text may contain a secret.
    let mut line = Zeroizing::new(Vec::with_capacity(text.len().min(EXAMINED)));
    let mut is_after_blank = false;
    for character in text.chars() {
        // Not U+0080 to U+00A0: they may be bytes of two-byte letters that were read as letters. `tidy` shows them as blanks.
        if is_blank(character) && !matches!(character, '\u{80}'..='\u{a0}') {
            is_after_blank = !line.is_empty();
            continue;
        }
        if std::mem::take(&mut is_after_blank) {
            line.push(' ');
        }
        line.push(character);
        if line.len() >= EXAMINED {
            line.truncate(EXAMINED);
            break;
        }
    }
    line
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
        // With any number of spaces.
        assert_eq!(tidy("two words, two   words", &secrets, 300), "[redacted], [redacted]");
        assert_eq!(reason("no host\n s3cret", &secrets).unwrap(), "no host [redacted]");
        assert_eq!((reason("", &secrets), reason(&"x".repeat(1_000), &secrets).unwrap().len()), (None, 163));
        // A secret across the cut is removed as well.
        assert!(!tidy(&("x".repeat(297) + "s3cret"), &secrets, 300).contains("s3c"));
    }

    /// Returns what is left of a secret in some form between two words.
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
        // Characters that could begin an escape, but do not.
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
        for lost in ["onetwo", r"one\ntwo", "one+two", "o\r\n n e t w\to"] {
            assert_eq!(taken_out("one two", lost), "no: [redacted], it is", "{lost}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_however_it_is_changed() {
        for (secret, form) in [
            ("m\u{ed}-s\u{ed}-t\u{ed}", "m\u{c3}\u{ad}-s\u{c3}\u{ad}-t\u{c3}\u{ad}"),
            ("\u{cd}\u{f1}igo-1", "\u{c3}\u{8d}\u{c3}\u{b1}igo-1"),
            ("one-two-three", "one\u{61c}-two\u{fff9}-\u{e0041}three"),
        ] {
            assert_eq!(taken_out(secret, form), "no: [redacted], it is", "{form:?}");
        }
        let secret = "Perch\u{e9}-Mai/2+x";
        for form in [
            // Another case, other accents, other blanks.
            "PERCH\u{c9}-MAI/2+X",
            "perche-mai/2+x",
            "Perche\u{301}-Mai/2+x",
            "Perch\u{e8}-\u{200b}M\u{ad}ai/2\u{feff}+x",
            "Per\0ch\u{e9}-\nMai/\r\n2 +x",
            // Another character set.
            "Perch?-Mai/2+x",
            "Perch\u{fffd}-Mai/2+x",
            "Perch\u{c3}\u{a9}-Mai/2+x",
            "Perch%E9-Mai%2F2%2Bx",
            r"Perch\xe9-Mai/2+x",
            r"Perch\xc3\xa9-Mai/2+x",
            // Escaped again, and again.
            r"Perch\\u00e9-Mai\\\/2+x",
            r"Perch\\\\u00e9-Mai\\\\\\\/2+x",
            "Perch%25C3%25A9-Mai%252F2%252Bx",
            "Perch&amp;eacute;-Mai&amp;#47;2+x",
            "Perch&eacute;-Mai&sol;2&plus;x",
            "Perch%26eacute%3B-Mai/2%2Bx",
            // Base64 alone and in something longer, in lines, for a URL.
            "UGVyY2jDqS1NYWkvMit4",
            "UGVyY2jD\r\nqS1NYWkv\r\nMit4",
            "dDpQZXJjaMOpLU1haS8yK3g=",
            "dXM6UGVyY2jDqS1NYWkvMit4",
            "OlBlcmNow6ktTWFpLzIreDo",
            "UGVyY2jDqS1NYWkvMit4%3D",
            // Hexadecimal.
            "5065726368c3a92d4d61692f322b78",
            "5065726368C3A92D 4D61692F322B78",
        ] {
            let clean = taken_out(secret, form);
            // A few characters of the longer text around it may be left.
            let rest = clean.replace("[redacted]", "");
            let left = rest.strip_prefix("no: ").and_then(|rest| rest.strip_suffix(", it is"));
            assert!(clean.contains("[redacted]") && left.is_some_and(|left| left.len() < PART), "{form}: {clean}");
        }
    }

    #[test]
    fn a_long_part_of_a_secret_is_taken_out_and_a_short_one_is_left() {
        let secret = "0123456789abcdef0123456789ABCDEF";
        for (part, left) in [
            (&secret[..30], "[redacted]"),
            (&secret[5..13], "[redacted]"),
            ("...89ABCDEF", "...[redacted]"),
            ("0123456", "0123456"),
            ("***CDEF", "***CDEF"),
            ("01234567-89abcdef", "[redacted]-[redacted]"),
            ("0123456-89abcde", "0123456-89abcde"),
        ] {
            assert_eq!(taken_out(secret, part), format!("no: {left}, it is"));
        }
        // Half a secret at the end of the shown text.
        let mut secrets = Secrets::default();
        secrets.add(secret);
        assert_eq!(tidy(&("x".repeat(290) + secret), &secrets, 300), "x".repeat(290) + "[redacted]");
    }

    #[test]
    fn a_user_name_is_no_secret() {
        let mut secrets = Secrets::default();
        secrets.add("0123456789abcdef");
        secrets.add_base64("test@example.com:0123456789abcdef");
        let said = "no user test@example.com (dGVzdEBleGFtcGxlLmNvbTowMTIzNDU2Nzg5YWJjZGVm)";
        assert_eq!(tidy(said, &secrets, 300), "no user test@example.com ([redacted])");
    }

    #[test]
    fn a_text_is_looked_through_as_far_as_it_is_shown() {
        let mut secrets = Secrets::default();
        secrets.add("s3cret-and-long");
        let text = "s3cret-and-long ".repeat(1 << 18);
        let clean = tidy(&text, &secrets, 300);
        assert!(clean.starts_with("[redacted] [redacted]") && !clean.contains("s3cret"), "{clean}");
        let mut secrets = Secrets::default();
        secrets.add(&"ab".repeat(1 << 12));
        assert_eq!(tidy(&"ab".repeat(1 << 20), &secrets, 300), "[redacted]…");
    }

    #[test]
    fn a_text_of_nothing_but_escapes_is_read() {
        let mut secrets = Secrets::default();
        for begins in [r"\", "%", "&"] {
            secrets.add(&(begins.repeat(PART - 1) + "!"));
        }
        let text = [r"\", "%25", "&amp;", r"\u005c", "%"].map(|escape| escape.repeat(1_000)).concat();
        // Trying every reading of every escape would take exponential time.
        assert_eq!(tidy(&text, &secrets, text.len()), text);
    }
}
