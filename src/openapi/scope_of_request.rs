//! Determines the scope that a request needs.

use reqwest::Url;

use crate::error::Error;
use crate::scope::{Scope, ScopeMethod};

impl Scope {
    /// Returns the scope that a request needs: its method, its host, and the first segment of its path, or `root` for the path `/`.
    /// The query, the fragment, the port and the scheme do not count.
    ///
    /// ```
    /// use gettone::Scope;
    /// use reqwest::{Method, Url};
    ///
    /// let url = Url::parse("https://imprese.openapi.it/base/12345670124?x=1").unwrap();
    /// assert_eq!(Scope::for_request(&Method::GET, &url)?.as_str(), "GET:imprese.openapi.it/base");
    /// # Ok::<(), gettone::Error>(())
    /// ```
    ///
    /// The method normalizes percent-encoding: it decodes what needs none, and encodes what needs it (RFC 3986, section 6.2.2.2). It
    /// encodes a comma too, because a scope cannot contain one. The path `/root` has the same scope as `/`.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input):
    ///   - no scope has the method;
    ///   - the URL has no host name, or one that a scope cannot have;
    ///   - the path begins with an empty segment;
    ///   - the first segment has an asterisk, or a percent sign without two hexadecimal digits;
    ///   - a server may take the path for another one: the first segment has an encoded slash, backslash, percent sign or control
    ///     character, or a `.` or `..` anywhere in the path shows only after decoding.
    pub fn for_request(method: &reqwest::Method, url: &Url) -> Result<Self, Error> {
        Self::for_path(method, url, 1)
    }

    /// Returns the same for up to `segments` segments of the path, and stops at the first one that a scope cannot have.
    pub(crate) fn for_path(method: &reqwest::Method, url: &Url, segments: usize) -> Result<Self, Error> {
        let method = ScopeMethod::try_from(method)?;
        let host = url.domain().or_else(|| url.host_str().filter(|host| !host.starts_with('[')));
        let Some(host) = host else {
            return Err(Error::invalid_input("URL without a host name, which a scope needs"));
        };
        // A dot at the end stands for the DNS root (RFC 1034, section 3.1).
        let host = host.strip_suffix('.').unwrap_or(host);
        refuse_hidden_dots(url.path())?;
        let path = url.path().strip_prefix('/').unwrap_or(url.path());
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let mut known = match first {
            "" if path.is_empty() => "root".to_owned(),
            "" => return Err(Error::invalid_input("URL whose path begins with an empty segment")),
            first => normalized(first)?,
        };
        for segment in rest.split('/').take(segments.saturating_sub(1)).map_while(|segment| normalized(segment).ok()) {
            // A URL may contain an asterisk, a concrete scope may not.
            if segment.is_empty() || segment.contains('*') {
                break;
            }
            known = format!("{known}/{segment}");
        }
        format!("{method}:{host}/{known}").parse().or_else(|_| {
            // The parser's own error would show the path, which may contain a secret of the caller.
            format!("{method}:{host}/root").parse::<Self>()?;
            Err(Error::invalid_input(
                "URL with an asterisk in the first segment of its path, which a concrete scope cannot contain",
            ))
        })
    }

    /// Returns the same scope in the vendor's sandbox, whose hosts begin with `test.`. Returns a scope of the sandbox unchanged.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the host becomes too long.
    pub fn sandbox(&self) -> Result<Self, Error> {
        match self.production_host() {
            Some(_) => Ok(self.clone()),
            None => format!("{}:{TEST}{}/{}", self.method(), self.host(), self.path()).parse(),
        }
    }

    /// Returns the same scope in production. Returns a scope of production unchanged.
    #[must_use]
    pub fn production(&self) -> Self {
        let scope =
            self.production_host().and_then(|host| format!("{}:{host}/{}", self.method(), self.path()).parse().ok());
        scope.unwrap_or_else(|| self.clone())
    }

    /// Returns the host without `test.`; `None` in production. A domain such as `test.it` is not a sandbox.
    fn production_host(&self) -> Option<&str> {
        self.host().strip_prefix(TEST).filter(|host| host.contains('.'))
    }
}

/// The prefix of hosts in the sandbox.
const TEST: &str = "test.";

/// Rejects a path in which decoding reveals a `.` or `..`. Servers and proxies may decode a path, even more than once, before they resolve
/// its dots.
fn refuse_hidden_dots(path: &str) -> Result<(), Error> {
    const MAX_DEPTH: usize = 4;
    let mut seen = path.to_owned();
    for _ in 0..MAX_DEPTH {
        if seen.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")) {
            break;
        }
        let decoded = percent_encoding::percent_decode_str(&seen).decode_utf8_lossy().into_owned();
        if decoded == seen {
            return Ok(());
        }
        seen = decoded;
    }
    Err(Error::invalid_input("URL whose decoded path may name another endpoint: a `.` or `..` is hidden in it"))
}

/// Returns the segment with exactly those characters percent-encoded that need it.
fn normalized(segment: &str) -> Result<String, Error> {
    let refuse =
        |reason: &str| Err(Error::invalid_input(format!("URL with {reason} in the first segment of its path")));
    let mut normal = String::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [byte, after @ ..] = rest {
        let decoded = match (byte, after) {
            (b'%', [high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after.get(2..).unwrap_or_default();
                hex(*high) << 4 | hex(*low)
            }
            (b'%', _) => return refuse("a percent sign without two hexadecimal digits"),
            (byte, _) => {
                rest = after;
                *byte
            }
        };
        let encoded = *byte == b'%';
        match decoded {
            b'/' | b'\\' | b'%' => return refuse("an encoded slash, backslash or percent sign"),
            0..=0x1f | 0x7f => return refuse("an encoded control character"),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => normal.push(char::from(byte)),
            // Reserved characters keep their form: encoding changes their meaning.
            byte if !encoded && b"!$&'()*+;=:@".contains(&byte) => normal.push(char::from(byte)),
            byte => normal.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(normal)
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default()
}
