//! The scope that a request needs.

use reqwest::Url;

use crate::error::Error;
use crate::scope::{Method, Scope};

impl Scope {
    /// The scope that a request needs: its method, its host, and the first segment of its path, or `root` for the path `/`.
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
    /// What is percent-encoded without need is decoded, and what needs it is encoded (RFC 3986, section 6.2.2.2). A comma is
    /// encoded too, because a scope has none. A path that a server may take for another one is refused: an encoded slash,
    /// backslash or percent sign in the first segment, and a `.` or `..` that only shows when something is decoded, wherever it
    /// stands.
    ///
    /// The path `/root` gives the same scope as `/`.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) for a method that no scope has, a URL without a host name or with one that no scope
    /// can have, a path that begins with an empty segment, that could be taken for another one, or that has an asterisk or a broken
    /// percent-encoding in its first segment.
    pub fn for_request(method: &reqwest::Method, url: &Url) -> Result<Self, Error> {
        Self::for_path(method, url, 1)
    }

    /// The same with more of the path: so many segments, as far as they are such as a scope can have.
    pub(crate) fn for_path(method: &reqwest::Method, url: &Url, segments: usize) -> Result<Self, Error> {
        let method = Method::try_from(method)?;
        let host = url.domain().or_else(|| url.host_str().filter(|host| !host.starts_with('[')));
        let Some(host) = host else {
            return Err(Error::invalid_input("URL without a host name; a scope has one"));
        };
        // The root's own dot (RFC 1034, section 3.1).
        let host = host.strip_suffix('.').unwrap_or(host);
        refuse_hidden_dots(url.path())?;
        let path = url.path().strip_prefix('/').unwrap_or(url.path());
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let mut known = match first {
            "" if path.is_empty() => "root".to_owned(),
            "" => return Err(Error::invalid_input("URL whose path begins with an empty segment")),
            first => normal(first)?,
        };
        for segment in rest.split('/').take(segments.saturating_sub(1)).map_while(|segment| normal(segment).ok()) {
            // An asterisk may stand in a URL.
            if segment.is_empty() || segment.contains('*') {
                break;
            }
            known = format!("{known}/{segment}");
        }
        format!("{method}:{host}/{known}").parse().or_else(|_| {
            // It shows what it does not understand, and a path may have a secret of the caller in it.
            format!("{method}:{host}/root").parse::<Self>()?;
            Err(Error::invalid_input(
                "URL with an asterisk in the first segment of its path; a concrete scope has none",
            ))
        })
    }

    /// The same scope in the vendor's sandbox, on `test.` and the host. A scope of the sandbox stays as it is.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if the host becomes too long.
    pub fn sandbox(&self) -> Result<Self, Error> {
        match self.production_host() {
            Some(_) => Ok(self.clone()),
            None => format!("{}:{TEST}{}/{}", self.method(), self.host(), self.path()).parse(),
        }
    }

    /// The same scope in production. A scope of production stays as it is.
    #[must_use]
    pub fn production(&self) -> Self {
        let scope =
            self.production_host().and_then(|host| format!("{}:{host}/{}", self.method(), self.path()).parse().ok());
        scope.unwrap_or_else(|| self.clone())
    }

    /// What stands behind `test.`; a domain of its own, such as `test.it`, is no sandbox.
    fn production_host(&self) -> Option<&str> {
        self.host().strip_prefix(TEST).filter(|host| host.contains('.'))
    }
}

/// What stands before the host in the sandbox.
const TEST: &str = "test.";

/// Servers and what stands before them may decode a path, also more than once, and then resolve its dots.
fn refuse_hidden_dots(path: &str) -> Result<(), Error> {
    const DEEP: usize = 4;
    let mut seen = path.to_owned();
    for _ in 0..DEEP {
        if seen.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")) {
            break;
        }
        let decoded = percent_encoding::percent_decode_str(&seen).decode_utf8_lossy().into_owned();
        if decoded == seen {
            return Ok(());
        }
        seen = decoded;
    }
    Err(Error::invalid_input("URL whose path, decoded, may name another endpoint; a `.` or `..` is hidden in it"))
}

/// A segment in which all that must be encoded is, and nothing else.
fn normal(segment: &str) -> Result<String, Error> {
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
            // These may stand as they are, and mean something else when they are encoded.
            byte if !encoded && b"!$&'()*+;=:@".contains(&byte) => normal.push(char::from(byte)),
            byte => normal.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(normal)
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default()
}
