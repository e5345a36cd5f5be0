//! Reads a scope, and says what is wrong with one.

use std::sync::Arc;

use super::text::{Text, Wild};
use super::{Method, quote};
use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcards {
    Allowed,
    Refused,
}

/// What is wrong with a text, and at which byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    offset: usize,
    reason: &'static str,
}

impl Flaw {
    pub(super) fn into_error(self, what: &str, text: &str) -> Error {
        Error::invalid_input(format!("{what} {}, byte {}: {}", quote(text), self.offset, self.reason))
    }
}

/// The longest name of a host (RFC 1035, section 2.3.4), as text without the root's dot.
const LONGEST_HOST: usize = 253;
/// Behind `*.` there is room left for one label of any length, so that a wildcard never stands for a handful of hosts.
const LONGEST_SUFFIX: usize = LONGEST_HOST - 64;

pub(super) fn parse(text: &str, wildcards: Wildcards) -> Result<Text, Flaw> {
    read(text, wildcards).map_err(|flaw| of_all(text).unwrap_or(flaw))
}

/// What is wrong wherever it stands.
fn of_all(text: &str) -> Option<Flaw> {
    if let Some(offset) = text.find(',') {
        return Some(Flaw { offset, reason: COMMA });
    }
    if let Some(offset) = text.find(|c: char| c.is_whitespace() || c.is_control()) {
        return Some(Flaw { offset, reason: "white space or a control character; a scope has none" });
    }
    let offset = text.find('\\')?;
    Some(Flaw { offset, reason: "a backslash, as in Markdown; write the asterisk alone" })
}

fn read(text: &str, wildcards: Wildcards) -> Result<Text, Flaw> {
    let flaw = |offset, reason| Err(Flaw { offset, reason });
    let Some((method, rest)) = split(text, b':') else {
        return flaw(text.len(), "expected `:` after the method, as in `GET:imprese.openapi.it/base`");
    };
    let known = Method::find(method);
    if known.is_none() && method != "*" {
        return flaw(0, "expected a method: GET, POST, PUT, PATCH, DELETE, or in a pattern `*`");
    }
    let host_start = method.len() + 1;
    let Some((host, path_text)) = split(rest, b'/') else {
        return flaw(text.len(), "expected '/' and an endpoint after the host");
    };
    check_host(host).map_err(|flaw| Flaw { offset: host_start + flaw.offset, ..flaw })?;
    let path_start = host_start + host.len() + 1;
    check_path(path_text).map_err(|flaw| Flaw { offset: path_start + flaw.offset, ..flaw })?;

    let wild = Wild::of(method, host, path_text);
    if wildcards == Wildcards::Refused && wild.any() {
        let offset = text.find('*').unwrap_or_default();
        return flaw(offset, "an asterisk; a pattern may have one, a concrete scope may not");
    }

    // One allocation: the letters are changed in place.
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

/// As `split_once`, which is made for longer texts.
fn split(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|byte| byte == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// The grammar of a path allows one. No scope of the catalogue has one, and two scopes with a comma between them would be read
/// as one.
const COMMA: &str =
    "a comma; write several scopes as several strings, or with spaces between them in the text of a `ScopeSet`";

const SCHEME: &str = "a scheme; write the host alone, as in `imprese.openapi.it`";

const TOO_LONG: &str = "a host of more than 253 bytes, or of more than 189 behind `*.`";

/// The rules of DNS (RFC 1035, section 2.3.4; RFC 1123, section 2.1), with `*` and `*.` in front.
pub(super) fn check_host(host: &str) -> Result<(), Flaw> {
    let flaw = |offset, reason| Err(Flaw { offset, reason });
    match host {
        "" => return flaw(0, "expected a host, or in a pattern `*`"),
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
        } else if !is_of_label(byte) {
            let reason = match byte {
                b'*' if at == 0 => "an asterisk before a host stands for whole labels; expected `*.`",
                b'*' => "an asterisk inside a host is not documented; expected `*` alone or `*.` in front",
                0x80.. => "a letter that DNS does not know; write the ASCII form of the host (`xn--…`)",
                b',' => COMMA,
                b'@' => "a user before the host; a scope has none",
                b':' if is_scheme(host, at) => return flaw(0, SCHEME),
                b':' => "a port; a scope has none",
                b'/' => "a path; write the host alone, and give the path to `endpoint`",
                _ => "a host has letters, digits, hyphens and dots",
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
        [] => flaw(start, "an empty label in the host"),
        [b'-', ..] | [.., b'-'] => flaw(start, "a label of a host neither starts nor ends with a hyphen"),
        label if label.len() > 63 => flaw(start + 63, "a label of more than 63 bytes in the host"),
        _ => Ok(()),
    }
}

/// One or more segments of what may stand in the path of a URL (RFC 3986, section 3.3), or `*`.
pub(super) fn check_path(path: &str) -> Result<(), Flaw> {
    let flaw = |offset, reason| Err(Flaw { offset, reason });
    match path {
        "" => return flaw(0, "expected an endpoint after the '/'; `root` stands for the path `/`"),
        "*" => return Ok(()),
        _ => {}
    }
    let mut segment = 0;
    for (at, byte) in path.bytes().enumerate() {
        if byte == b'/' {
            check_segment(path, segment, at)?;
            segment = at + 1;
        } else if !is_of_segment(byte) {
            let alone = at == segment && matches!(path.as_bytes().get(at + 1), None | Some(b'/'));
            let reason = match byte {
                b'*' if alone && at == 0 => "`/*` already stands for all endpoints; nothing may follow",
                b'*' if alone => {
                    "an asterisk below a segment is not documented; a scope covers what lies below it anyway"
                }
                b'*' => "an asterisk stands for all endpoints, not for a part of a path; expected `/*`",
                b'?' | b'#' => "a query or a fragment; a scope ends with the path",
                b',' => COMMA,
                _ => "a character that a path does not have; write it percent-encoded",
            };
            return flaw(at, reason);
        }
    }
    check_segment(path, segment, path.len())
}

fn check_segment(path: &str, start: usize, end: usize) -> Result<(), Flaw> {
    match path.as_bytes().get(start..end).unwrap_or_default() {
        [] => Err(Flaw { offset: start, reason: "an empty segment in the path" }),
        b"." | b".." => Err(Flaw { offset: start, reason: "`.` and `..` do not name an endpoint" }),
        _ => Ok(()),
    }
}

fn is_of_label(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-')
}

/// Without the slash, and without the asterisk and the comma, which a URL may have.
fn is_of_segment(byte: u8) -> bool {
    is_of_label(byte) || b"._~!$&'()+;=:@%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_keeps_its_path_and_normalises_the_rest() {
        let text = parse("post:WS.Ufficiopostale.com/IT-full/videoId", Wildcards::Refused).unwrap();
        assert_eq!(&*text.text, "POST:ws.ufficiopostale.com/IT-full/videoId");
        let parts = (text.method, text.host_str(), text.path_str());
        assert_eq!(parts, (Some(Method::Post), "ws.ufficiopostale.com", "IT-full/videoId"));
    }

    #[test]
    fn the_documented_wildcards_are_patterns_and_not_scopes() {
        for text in
            ["*:comparabili.openapi.it/*", "*:*/*", "GET:imprese.openapi.it/*", "*:*.openapi.it/*", "GET:*/base"]
        {
            assert_eq!(&*parse(text, Wildcards::Allowed).unwrap().text, text);
            let flaw = parse(text, Wildcards::Refused).err().unwrap();
            assert_eq!(flaw.offset, text.find('*').unwrap(), "{text}");
        }
    }

    #[test]
    fn each_flaw_says_where_and_why() {
        let long_label = format!("GET:{}.it/a", "a".repeat(64));
        let long_host = format!("GET:{}/a", "a23456789.".repeat(25) + "it23");
        let long_suffix = format!("GET:*.{}/a", "a23456789.".repeat(18) + "it23456789");
        let cases: &[(&str, usize, &str)] = &[
            ("", 0, "expected `:` after the method"),
            ("GET", 3, "expected `:` after the method"),
            ("GET\u{e8}:h.it/a", 0, "expected a method"),
            ("GET:h.it/è*", 9, "a character that a path does not have"),
            ("GET imprese.openapi.it/base", 3, "white space"),
            ("GET:imprese.openapi.it/base\n", 27, "white space"),
            ("\\*:host.it/\\*", 0, "a backslash, as in Markdown"),
            ("FETCH:imprese.openapi.it/base", 0, "expected a method"),
            (":imprese.openapi.it/base", 0, "expected a method"),
            ("G*:imprese.openapi.it/base", 0, "expected a method"),
            ("GET:imprese.openapi.it", 22, "expected '/' and an endpoint after the host"),
            ("GET:/base", 4, "expected a host"),
            ("GET:a.*.it/base", 6, "an asterisk inside a host"),
            ("GET:*openapi.it/base", 4, "an asterisk before a host stands for whole labels"),
            ("GET:*.*.it/base", 6, "an asterisk inside a host"),
            ("GET:impresè.it/base", 10, "a letter that DNS does not know"),
            ("GET:u@h.it/base", 5, "a user before the host"),
            ("GET:h.it:443/base", 8, "a port"),
            ("GET:https://h.it/base", 4, "a scheme; write the host alone"),
            ("GET:HTTP:h.it/base", 4, "a scheme; write the host alone"),
            ("GET:h.it/a,POST:h.it/a", 10, "a comma; write several scopes as several strings"),
            ("GET:h.it/a, POST:h.it/a", 10, "a comma"),
            ("GET:h.it/a,", 10, "a comma"),
            ("GET,POST:h.it/a", 3, "a comma"),
            ("GET:h.it,i.it/a", 8, "a comma"),
            ("GET:h..it/base", 6, "an empty label"),
            ("GET:*./base", 6, "an empty label"),
            ("GET:h_h.it/base", 5, "a host has letters, digits, hyphens and dots"),
            ("GET:-h.it/base", 4, "neither starts nor ends with a hyphen"),
            ("GET:h.it/", 9, "expected an endpoint after the '/'"),
            ("GET:h.it/seg/*", 13, "an asterisk below a segment"),
            ("GET:h.it/*/seg", 9, "nothing may follow"),
            ("GET:h.it/IT-*", 12, "not for a part of a path"),
            ("GET:h.it/a//b", 11, "an empty segment"),
            ("GET:h.it/a/../b", 11, "`.` and `..`"),
            ("GET:h.it/a?b=c", 10, "a query or a fragment"),
            ("GET:h.it/a#b", 10, "a query or a fragment"),
            ("GET:h.it/perché", 14, "a character that a path does not have"),
            (&long_label, 67, "a label of more than 63 bytes"),
            (&long_host, 4, "a host of more than 253 bytes"),
            (&long_suffix, 6, "or of more than 189 behind `*.`"),
        ];
        for (text, offset, reason) in cases {
            let flaw = parse(text, Wildcards::Allowed).err().unwrap();
            assert_eq!(flaw.offset, *offset, "{text}: {flaw:?}");
            assert!(flaw.reason.contains(reason), "{text}: {flaw:?}");
        }
    }

    #[test]
    fn an_undocumented_wildcard_is_told_as_such_where_none_is_allowed() {
        for (text, reason) in
            [("GET:h.it/IT-*", "not for a part of a path"), ("GET:a.*.it/x", "an asterisk inside a host")]
        {
            assert!(parse(text, Wildcards::Refused).err().unwrap().reason.contains(reason), "{text}");
        }
    }

    #[test]
    fn the_longest_hosts_are_hosts() {
        let longest = "a23456789.".repeat(25) + "it2";
        assert_eq!(longest.len(), LONGEST_HOST);
        assert!(parse(&format!("DELETE:{longest}/a"), Wildcards::Refused).is_ok());
        let suffix = "a23456789.".repeat(18) + "it2345678";
        assert_eq!(suffix.len(), LONGEST_SUFFIX);
        assert!(parse(&format!("DELETE:*.{suffix}/a"), Wildcards::Allowed).is_ok());
    }
}
