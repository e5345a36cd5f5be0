//! Parses scopes and patterns, and says what is wrong with other text.

use std::sync::Arc;

use super::text::{Text, Wild};
use super::{ScopeMethod, quote};
use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcards {
    Allowed,
    Refused,
}

/// A mistake in a text: what is wrong, at which byte, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    offset: usize,
    reason: &'static str,
}

impl Flaw {
    /// Returns the error for a text: for this flaw, or for one that explains more.
    pub(super) fn into_error(self, what: &str, text: &str) -> Error {
        let Self { offset, reason } = foreign(text).unwrap_or(self);
        let place = match text.get(offset..).and_then(|rest| rest.chars().next()) {
            Some(character) => format!("{offset} ({character:?})"),
            None => format!("{offset} (end)"),
        };
        // The query of a URL may have a key in it.
        let shown = text.find(['?', '#']).map_or(text, |end| &text[..=end]);
        Error::invalid_input(format!("invalid {what} {} at byte {place}: {reason}", quote(shown)))
    }
}

/// The length of the longest host name (RFC 1035, section 2.3.4), as text without the dot of the root.
const LONGEST_HOST: usize = 253;
/// Leaves room for one label of any length before the suffix, so that a wildcard never stands for only a handful of hosts.
const LONGEST_SUFFIX: usize = LONGEST_HOST - 64;

/// Finds a character that no scope has, wherever it stands.
fn foreign(text: &str) -> Option<Flaw> {
    let flaw = |offset, reason| Some(Flaw { offset, reason });
    if let Some(offset) = text.find(',') {
        return flaw(
            offset,
            "a scope has no comma; write several scopes as several strings, or as one `ScopeSet` with spaces between them",
        );
    }
    if let Some(offset) = text.find(|c: char| c.is_whitespace() || c.is_control()) {
        return flaw(
            offset,
            "a scope has no white space and no control characters; write several scopes as several strings",
        );
    }
    flaw(text.find('\\')?, "a scope has no backslash; write `*`, not the `\\*` of Markdown")
}

/// Parses a scope or a pattern.
pub(super) fn parse(text: &str, wildcards: Wildcards) -> Result<Text, Flaw> {
    match usual(text) {
        Some(text) => Ok(text),
        None => parse_any(text, wildcards),
    }
}

/// Parses a scope as services write it, with one look at each byte: in its normal form, and with a letter or a digit beside each other
/// character. `None` for any other text, which may be a scope too.
fn usual(text: &str) -> Option<Text> {
    let method = ScopeMethod::ALL.iter().find(|method| text.starts_with(method.as_str()))?;
    let (before, rest) = text.as_bytes().split_at_checked(method.as_str().len() + 1)?;
    let host = usual_length(rest, &OF_HOST)?;
    let path = before.len() + host + 1;
    let ends = (before.last(), rest.get(host), usual_length(rest.get(host + 1..)?, &OF_PATH)?);
    // No label of a host that is this short is too long.
    if ends != (Some(&b':'), Some(&b'/'), text.len() - path) || host > 63 {
        return None;
    }
    Some(Text {
        text: text.into(),
        method: Some(*method),
        host: before.len().try_into().ok()?,
        path: path.try_into().ok()?,
        wild: Wild::NONE,
    })
}

/// Returns how many bytes at the start have a class. `None` unless each of class 1 stands between two of class 2.
fn usual_length(text: &[u8], classes: &[u8; 256]) -> Option<usize> {
    let mut last = 1;
    let mut length = 0;
    for byte in text {
        match classes[usize::from(*byte)] {
            0 => break,
            class if class + last < 3 => return None,
            class => last = class,
        }
        length += 1;
    }
    (last == 2).then_some(length)
}

fn parse_any(text: &str, wildcards: Wildcards) -> Result<Text, Flaw> {
    let flaw = |offset, reason| Err(Flaw { offset, reason });
    let Some((method, rest)) = split(text, b':') else {
        return flaw(
            text.len(),
            "missing `:` after the method; write `METHOD:host/path`, as in `GET:imprese.openapi.it/base`",
        );
    };
    let known = ScopeMethod::find(method);
    if known.is_none() && method != "*" {
        let reason = match is_scheme(text, method.len()) {
            true => "a URL is not a scope; write `METHOD:host/path`, as in `GET:imprese.openapi.it/base`",
            false => "unknown method; expected GET, POST, PUT, PATCH or DELETE, or `*` in a pattern",
        };
        return flaw(0, reason);
    }
    let host_start = method.len() + 1;
    let Some((host, path_text)) = split(rest, b'/') else {
        return flaw(
            text.len(),
            "missing path after the host; write `/root` for the path `/`, or `/*` in a pattern for all endpoints",
        );
    };
    check_host(host).map_err(|flaw| Flaw { offset: host_start + flaw.offset, ..flaw })?;
    let path_start = host_start + host.len() + 1;
    check_path(path_text).map_err(|flaw| Flaw { offset: path_start + flaw.offset, ..flaw })?;

    let wild = Wild::of(method, host, path_text);
    if wildcards == Wildcards::Refused && wild.any() {
        let offset = text.find('*').unwrap_or_default();
        return flaw(offset, "a `Scope` has no wildcard; use a `ScopePattern`");
    }

    // One allocation: the letters change in place.
    let mut normal: Arc<str> = text.into();
    if let Some(normal) = Arc::get_mut(&mut normal) {
        let (method, rest) = normal.split_at_mut(host_start);
        method.make_ascii_uppercase();
        rest.split_at_mut(host.len()).0.make_ascii_lowercase();
    }
    match (u8::try_from(host_start), u16::try_from(path_start)) {
        (Ok(host), Ok(path)) => Ok(Text { text: normal, method: known, host, path, wild }),
        _ => flaw(host_start, TOO_LONG),
    }
}

/// Does the same as `split_once`, and is faster on short text.
fn split(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|byte| byte == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

const SCHEME: &str = "a host has no scheme; write the host alone, as in `imprese.openapi.it`";

const TOO_LONG: &str = "host too long; it has at most 253 bytes, or 189 after `*.`";

/// Checks a host by the rules of DNS (RFC 1035, section 2.3.4; RFC 1123, section 2.1). It may be `*` or start with `*.`.
pub(super) fn check_host(host: &str) -> Result<(), Flaw> {
    let flaw = |offset, reason| Err(Flaw { offset, reason });
    match host {
        "" => return flaw(0, "missing host; write one, or `*` in a pattern for all hosts"),
        "*" => return Ok(()),
        _ => {}
    }
    let start = if host.starts_with("*.") { 2 } else { 0 };
    if host.len() - start > if start == 0 { LONGEST_HOST } else { LONGEST_SUFFIX } {
        return flaw(start, TOO_LONG);
    }
    let mut label = start;
    for (at, byte) in host.bytes().enumerate().skip(start) {
        if byte == b'.' {
            check_label(host, label, at)?;
            label = at + 1;
        } else if OF_LABEL[usize::from(byte)] == 0 {
            let reason = match byte {
                b'*' if at == 0 => "`*` cannot stand for part of a host label; write `*.` before the rest of the host",
                b'*' => "`*` cannot stand inside a host; write `*` alone, or `*.` before the rest of the host",
                0x80.. => "a host has only ASCII letters; write its ASCII form (`xn--…`)",
                b'@' => "a scope has no user name; write the host alone",
                b':' if is_scheme(host, at) => return flaw(0, SCHEME),
                b':' => "a scope has no port; write the host alone",
                b'/' => "a host has no path; write the host alone, and pass the path to `ScopePattern::endpoint`",
                _ => "a host has only letters, digits, hyphens and dots",
            };
            return flaw(at, reason);
        }
    }
    check_label(host, label, host.len())
}

/// Returns whether the text before a colon is the scheme of a URL.
fn is_scheme(text: &str, colon: usize) -> bool {
    let (before, after) = (text.get(..colon).unwrap_or_default(), text.get(colon + 1..).unwrap_or_default());
    after.starts_with("//") || ["http", "https"].iter().any(|scheme| before.eq_ignore_ascii_case(scheme))
}

fn check_label(host: &str, start: usize, end: usize) -> Result<(), Flaw> {
    let flaw = |offset, reason| Err(Flaw { offset, reason });
    match host.as_bytes().get(start..end).unwrap_or_default() {
        [] => flaw(start, "the host has an empty label; remove a dot"),
        [b'-', ..] | [.., b'-'] => flaw(start, "a host label cannot start or end with a hyphen"),
        label if label.len() > 63 => flaw(start + 63, "host label too long; it has at most 63 bytes"),
        _ => Ok(()),
    }
}

/// Checks a path: `*`, or one or more segments as a URL may have them (RFC 3986, section 3.3).
pub(super) fn check_path(path: &str) -> Result<(), Flaw> {
    let flaw = |offset, reason| Err(Flaw { offset, reason });
    match path {
        "" => {
            return flaw(
                0,
                "missing path after `/`; write `root` for the path `/`, or `*` in a pattern for all endpoints",
            );
        }
        "*" => return Ok(()),
        _ => {}
    }
    let mut segment = 0;
    for (at, byte) in path.bytes().enumerate() {
        if byte == b'/' {
            check_segment(path, segment, at)?;
            segment = at + 1;
        } else if OF_PATH[usize::from(byte)] == 0 {
            let alone = at == segment && matches!(path.as_bytes().get(at + 1), None | Some(b'/'));
            let reason = match byte {
                b'*' if alone && at == 0 => "nothing can follow `/*`; it already stands for all endpoints",
                b'*' if alone => "`/*` cannot follow a path; leave it out, a pattern covers everything below its path",
                b'*' => "`*` cannot stand for part of a path; write `/*` for all endpoints",
                b'?' | b'#' => "a scope has no query and no fragment; end it with the path",
                _ => "not allowed in a path; percent-encode it",
            };
            return flaw(at, reason);
        }
    }
    check_segment(path, segment, path.len())
}

fn check_segment(path: &str, start: usize, end: usize) -> Result<(), Flaw> {
    match path.as_bytes().get(start..end).unwrap_or_default() {
        [] => Err(Flaw { offset: start, reason: "the path has an empty segment; remove a slash" }),
        b"." | b".." => {
            Err(Flaw { offset: start, reason: "`.` and `..` do not name an endpoint; write the path without them" })
        }
        _ => Ok(()),
    }
}

/// The bytes of a host label.
static OF_LABEL: [u8; 256] = classes(b"-", true);

/// The bytes of a host in its normal form.
static OF_HOST: [u8; 256] = classes(b"-.", false);

/// The bytes of a path. A URL may also have an asterisk and a comma. No scope in the catalog has a comma, and two scopes with a
/// comma between them would be read as one.
static OF_PATH: [u8; 256] = classes(b"/-._~!$&'()+;=:@%", true);

/// Returns a table by byte: 2 for a letter or a digit, 1 for each of the others. A list has hundreds of scopes, and a lookup is the fastest
/// way to look at each of their bytes.
const fn classes(others: &[u8], capitals: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let character = byte as u8;
        if character.is_ascii_alphanumeric() && (capitals || !character.is_ascii_uppercase()) {
            table[byte] = 2;
        }
        byte += 1;
    }
    let mut place = 0;
    while place < others.len() {
        table[others[place] as usize] = 1;
        place += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing_normalizes_all_but_the_path() {
        let text = parse("post:WS.Ufficiopostale.com/IT-full/videoId", Wildcards::Refused).unwrap();
        assert_eq!(&*text.text, "POST:ws.ufficiopostale.com/IT-full/videoId");
        let parts = (text.method, text.host_str(), text.path_str());
        assert_eq!(parts, (Some(ScopeMethod::Post), "ws.ufficiopostale.com", "IT-full/videoId"));
    }

    #[test]
    fn a_usual_scope_is_parsed_as_any_other_is() {
        let parts = |text: &Text| (text.text.clone(), text.method, text.host, text.path, text.wild.any());
        let usual_ones = ["GET:h.it/a", "DELETE:a-b.c.it/IT-full/videoId", "PATCH:1.it/a%20b"];
        for scope in usual_ones {
            let (usual, any) = (usual(scope).unwrap(), parse_any(scope, Wildcards::Refused).unwrap());
            assert_eq!(parts(&usual), parts(&any));
            // With any character at any place it is the same, or left to the other.
            for (at, other) in (0..=scope.len()).flat_map(|at| "*.-/:A{ %\\".chars().map(move |other| (at, other))) {
                for end in [at, (at + 1).min(scope.len())] {
                    let text = format!("{}{other}{}", &scope[..at], &scope[end..]);
                    if let Some(usual) = super::usual(&text) {
                        assert_eq!(
                            Some(parts(&usual)),
                            parse_any(&text, Wildcards::Refused).ok().map(|any| parts(&any)),
                            "{text}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_documented_wildcards_are_for_patterns_only() {
        for text in
            ["*:comparabili.openapi.it/*", "*:*/*", "GET:imprese.openapi.it/*", "*:*.openapi.it/*", "GET:*/base"]
        {
            assert_eq!(&*parse(text, Wildcards::Allowed).unwrap().text, text);
            let flaw = parse(text, Wildcards::Refused).err().unwrap();
            assert_eq!(
                flaw,
                Flaw { offset: text.find('*').unwrap(), reason: "a `Scope` has no wildcard; use a `ScopePattern`" }
            );
        }
    }

    #[test]
    fn every_flaw_says_where_it_is_and_why() {
        let long_label = format!("GET:{}.it/a", "a".repeat(64));
        let long_host = format!("GET:{}/a", "a23456789.".repeat(25) + "it23");
        let long_suffix = format!("GET:*.{}/a", "a23456789.".repeat(18) + "it23456789");
        let cases: &[(&str, &str, &str)] = &[
            ("", "0 (end)", "missing `:` after the method; write `METHOD:host/path`"),
            ("GET", "3 (end)", "missing `:` after the method"),
            ("GET\u{e8}:h.it/a", "0 ('G')", "unknown method; expected GET, POST, PUT, PATCH or DELETE, or `*`"),
            ("GET:h.it/è*", "9 ('è')", "not allowed in a path; percent-encode it"),
            ("GET imprese.openapi.it/base", "3 (' ')", "a scope has no white space"),
            ("GET:imprese.openapi.it/base\n", "27 ('\\n')", "a scope has no white space"),
            ("\\*:host.it/\\*", "0 ('\\\\')", "a scope has no backslash; write `*`"),
            ("https://imprese.openapi.it/base", "0 ('h')", "a URL is not a scope; write `METHOD:host/path`"),
            ("FETCH:imprese.openapi.it/base", "0 ('F')", "unknown method"),
            (":imprese.openapi.it/base", "0 (':')", "unknown method"),
            ("G*:imprese.openapi.it/base", "0 ('G')", "unknown method"),
            ("GET:imprese.openapi.it", "22 (end)", "missing path after the host"),
            ("GET:/base", "4 ('/')", "missing host"),
            ("GET:a.*.it/base", "6 ('*')", "`*` cannot stand inside a host"),
            ("GET:*openapi.it/base", "4 ('*')", "`*` cannot stand for part of a host label"),
            ("GET:*.*.it/base", "6 ('*')", "`*` cannot stand inside a host"),
            ("GET:impresè.it/base", "10 ('è')", "a host has only ASCII letters"),
            ("GET:u@h.it/base", "5 ('@')", "a scope has no user name"),
            ("GET:h.it:443/base", "8 (':')", "a scope has no port"),
            ("GET:https://h.it/base", "4 ('h')", "a host has no scheme; write the host alone"),
            ("GET:HTTP:h.it/base", "4 ('H')", "a host has no scheme; write the host alone"),
            ("GET:h.it/a,POST:h.it/a", "10 (',')", "a scope has no comma; write several scopes as several strings"),
            ("GET:h.it/a, POST:h.it/a", "10 (',')", "a scope has no comma"),
            ("GET:h.it/a,", "10 (',')", "a scope has no comma"),
            ("GET,POST:h.it/a", "3 (',')", "a scope has no comma"),
            ("GET:h.it,i.it/a", "8 (',')", "a scope has no comma"),
            ("GET:h..it/base", "6 ('.')", "the host has an empty label"),
            ("GET:*./base", "6 ('/')", "the host has an empty label"),
            ("GET:h_h.it/base", "5 ('_')", "a host has only letters, digits, hyphens and dots"),
            ("GET:-h.it/base", "4 ('-')", "a host label cannot start or end with a hyphen"),
            ("GET:h.it/", "9 (end)", "missing path after `/`"),
            ("GET:h.it/seg/*", "13 ('*')", "`/*` cannot follow a path"),
            ("GET:h.it/*/seg", "9 ('*')", "nothing can follow `/*`"),
            ("GET:h.it/IT-*", "12 ('*')", "`*` cannot stand for part of a path"),
            ("GET:h.it/a//b", "11 ('/')", "the path has an empty segment"),
            ("GET:h.it/a/../b", "11 ('.')", "`.` and `..`"),
            ("GET:h.it/a?", "10 ('?')", "a scope has no query and no fragment"),
            ("GET:h.it/a#", "10 ('#')", "a scope has no query and no fragment"),
            ("GET:h.it/perché", "14 ('é')", "not allowed in a path"),
            (&long_label, "67 ('a')", "host label too long"),
            (&long_host, "4 ('a')", "host too long; it has at most 253 bytes"),
            (&long_suffix, "6 ('a')", "host too long; it has at most 253 bytes, or 189 after `*.`"),
        ];
        for (text, place, reason) in cases {
            let error = parse(text, Wildcards::Allowed).err().unwrap().into_error("scope", text).to_string();
            assert!(error.starts_with(&format!("invalid scope {} at byte {place}: {reason}", quote(text))), "{error}");
        }
    }

    #[test]
    fn an_error_shows_no_query() {
        for text in ["GET:h.it/a?key=planted", "GET:h.it/a#planted", "GET:h.it/a?key=planted,b"] {
            let error = parse(text, Wildcards::Allowed).err().unwrap().into_error("scope", text).to_string();
            assert!(error.contains("GET:h.it/a") && !error.contains("planted"), "{error}");
        }
    }

    #[test]
    fn a_scope_reports_an_undocumented_wildcard_as_a_pattern_does() {
        for (text, reason) in
            [("GET:h.it/IT-*", "cannot stand for part of a path"), ("GET:a.*.it/x", "cannot stand inside a host")]
        {
            assert!(parse(text, Wildcards::Refused).err().unwrap().reason.contains(reason), "{text}");
        }
    }

    #[test]
    fn the_longest_hosts_are_valid() {
        let longest = "a23456789.".repeat(25) + "it2";
        assert_eq!(longest.len(), LONGEST_HOST);
        assert!(parse(&format!("DELETE:{longest}/a"), Wildcards::Refused).is_ok());
        let suffix = "a23456789.".repeat(18) + "it2345678";
        assert_eq!(suffix.len(), LONGEST_SUFFIX);
        assert!(parse(&format!("DELETE:*.{suffix}/a"), Wildcards::Allowed).is_ok());
    }
}
