//! The scope that a request needs.

use reqwest::Url;

use super::{Method, Scope, quote};
use crate::Error;

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
    /// What is percent-encoded without need is decoded (RFC 3986, section 6.2.2.2). An encoded slash, backslash or percent
    /// sign is refused: a server that decodes it would see another path than the one that the scope was made for.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) for a method that no scope has, a URL without a host name, a path that
    /// begins with an empty segment, or an encoded slash, backslash or percent sign in the first segment.
    pub fn for_request(method: &reqwest::Method, url: &Url) -> Result<Self, Error> {
        let method = Method::try_from(method)?;
        let host = url.domain().or_else(|| url.host_str().filter(|host| !host.starts_with('[')));
        let Some(host) = host else {
            return Err(Error::invalid_input("URL without a host name; a scope has one"));
        };
        let path = url.path().strip_prefix('/').unwrap_or(url.path());
        let segment = match path.split_once('/') {
            None if path.is_empty() => "root".to_owned(),
            Some(("", _)) => return Err(Error::invalid_input("URL whose path begins with an empty segment")),
            Some((segment, _)) => normal(segment)?,
            None => normal(path)?,
        };
        format!("{method}:{host}/{segment}").parse()
    }

    /// The same scope in the vendor's sandbox, on `test.` and the host. A scope of the sandbox stays as it is.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if the host becomes too long.
    pub fn sandbox(&self) -> Result<Self, Error> {
        if self.host().starts_with(TEST) {
            return Ok(self.clone());
        }
        format!("{}:{TEST}{}/{}", self.method(), self.host(), self.path()).parse()
    }

    /// The same scope in production. A scope of production stays as it is.
    #[must_use]
    pub fn production(&self) -> Self {
        let production = self.host().strip_prefix(TEST);
        let scope = production.and_then(|host| format!("{}:{host}/{}", self.method(), self.path()).parse().ok());
        scope.unwrap_or_else(|| self.clone())
    }
}

/// What stands before the host in the sandbox.
const TEST: &str = "test.";

/// A segment in which only what must be encoded is.
fn normal(segment: &str) -> Result<String, Error> {
    let mut normal = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(b'/' | b'\\' | b'%') | None => {
                let segment = quote(segment);
                return Err(Error::invalid_input(format!(
                    "path segment {segment}: an encoded slash, backslash or percent sign"
                )));
            }
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => normal.push(char::from(byte)),
            Some(byte) => normal.push_str(&format!("%{byte:02X}")),
        }
        rest = after.get(2..).unwrap_or_default();
    }
    normal.push_str(rest);
    Ok(normal)
}
