//! Any request, with clients of any scopes: whether it gets a token, and for which scopes. The expectation is the documented rule of
//! `Builder::scopes` and of both `authorize`, written a second time on plain text.

#[cfg(test)]
mod random;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gettone::reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use gettone::reqwest::{Method, Request, StatusCode, Url};
use gettone::test_transport::{self, Answer};
use gettone::{AccessToken, Error, ScopePattern, ScopeSet};

use super::answers::URL;
use super::services::{EXAMPLE, Http, Setup, keliweb, now, openapi_v1, openapi_v2};
use super::{block_on, http};

/// A request, and the scopes of the client that authorizes it.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// The argument of `Builder::scopes`; `None` without one.
    pub scopes: Option<Vec<String>>,
    pub method: String,
    pub url: String,
    /// The values of the `Host` headers.
    pub hosts: Vec<HeaderValue>,
}

impl Case {
    /// Reads any text: a line with the method and the URL, then lines that are a `Host` header or a pattern each.
    pub fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let (method, url) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or(("GET", text));
        let mut case = Self { method: method.to_owned(), url: url.to_owned(), ..Self::default() };
        for line in lines {
            match line.strip_prefix("host: ") {
                Some(host) => case.hosts.extend(HeaderValue::from_str(host)),
                None => case.scopes.get_or_insert_default().push(line.to_owned()),
            }
        }
        case
    }

    /// Returns the scopes as the client reads them; `None` if one of them is invalid, or if the list is empty.
    fn set(&self) -> Option<Option<ScopeSet>> {
        let Some(scopes) = &self.scopes else { return Some(None) };
        let patterns: Result<Vec<ScopePattern>, Error> = scopes.iter().map(|scope| scope.parse()).collect();
        patterns.ok().filter(|patterns| !patterns.is_empty()).map(|patterns| Some(patterns.into_iter().collect()))
    }

    fn request(&self) -> Option<Request> {
        let (method, url) = (Method::from_bytes(self.method.as_bytes()).ok()?, Url::parse(&self.url).ok()?);
        let mut request = Request::new(method, url);
        for host in &self.hosts {
            request.headers_mut().append(HOST, host.clone());
        }
        Some(request)
    }
}

/// The documented rules, as simple as possible: on the text of a URL and of patterns.
pub mod rule {
    use gettone::reqwest::Url;

    use super::Case;

    /// Returns the pattern that the client requests a token for; `None` if it rejects the request.
    pub fn openapi(case: &Case) -> Option<String> {
        let url = Url::parse(&case.url).ok()?;
        if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&case.method.as_str()) {
            return None;
        }
        let host = url.host_str()?;
        let is_loopback = host == "localhost" || host.starts_with("127.") && host.split('.').all(is_number);
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) || !own_host(case, &url) {
            return None;
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        let path = segments(url.path())?;
        if !is_name(host) {
            return None;
        }
        let is_vendors = ["openapi.it", "openapi.com", "altravia.com"]
            .iter()
            .any(|domain| host == *domain || host.ends_with(&format!(".{domain}")));
        let Some(scopes) = &case.scopes else {
            return is_vendors.then(|| format!("{}:{host}/{}", case.method, path[0]));
        };
        let speaks = |known: &str| match known.strip_prefix('*') {
            Some("") => is_vendors,
            Some(end) => host.ends_with(end),
            None => host == known,
        };
        let rank = |known: &str| (known == "*", known.starts_with('*'), usize::MAX - known.len());
        let fits = |pattern: &&(String, String, String)| {
            let (method, known, start) = *pattern;
            let below: Vec<&str> = start.split('/').collect();
            speaks(known)
                && (method == "*" || *method == case.method)
                && (start == "*" || path.iter().take(below.len()).eq(below.iter()))
        };
        let patterns: Vec<_> = scopes.iter().map(|scope| parts(scope)).collect();
        let narrowest = patterns
            .iter()
            .filter(fits)
            .min_by_key(|(method, known, start)| (rank(known), start == "*", usize::MAX - start.len(), method == "*"));
        narrowest.map(|(method, known, start)| format!("{method}:{known}/{start}"))
    }

    /// Returns whether a client of Keliweb Fatture at this address authorizes the request.
    pub fn keliweb(case: &Case, base: &str) -> bool {
        let (Ok(url), Ok(base)) = (Url::parse(&case.url), Url::parse(base)) else { return false };
        let place = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), port(url));
        place(&url) == place(&base) && own_host(case, &url)
    }

    /// Returns whether the headers name no other host than the URL.
    fn own_host(case: &Case, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let with_port = format!("{host}:{}", port(url).unwrap_or_default());
        match case.hosts.as_slice() {
            [] => true,
            [header] => header.to_str().is_ok_and(|header| {
                let header = header.to_ascii_lowercase();
                header == with_port || header == host && url.port().is_none()
            }),
            _ => false,
        }
    }

    fn port(url: &Url) -> Option<u16> {
        url.port().or(match url.scheme() {
            "https" | "wss" => Some(443),
            "http" | "ws" => Some(80),
            "ftp" => Some(21),
            _ => None,
        })
    }

    fn is_number(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    }

    fn is_name(host: &str) -> bool {
        let is_label = |label: &str| {
            let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            letters && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
        };
        host.len() <= 253 && host.split('.').all(is_label)
    }

    fn parts(scope: &str) -> (String, String, String) {
        let (method, rest) = scope.split_once(':').unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        (method.to_ascii_uppercase(), host.to_ascii_lowercase(), path.to_owned())
    }

    /// Returns the segments of a path that a scope can have; `None` if a scope cannot have even the first.
    fn segments(path: &str) -> Option<Vec<String>> {
        // Some servers decode a path more than once. Four times are enough to see whether that ends.
        let mut layers = vec![path.to_owned()];
        for _ in 0..4 {
            let bytes: Vec<u8> = decoded(layers.last()?).into_iter().map(|(byte, _)| byte).collect();
            layers.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        let is_dots = |segment: &str| segment == "." || segment == "..";
        if layers[3] != layers[4] || layers.iter().any(|layer| layer.split(['/', '\\']).any(is_dots)) {
            return None;
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.is_empty() {
            return Some(vec!["root".to_owned()]);
        }
        let known: Vec<String> = path.split('/').map_while(segment).collect();
        Some(known).filter(|known| !known.is_empty())
    }

    fn segment(text: &str) -> Option<String> {
        let mut normal = String::new();
        for (byte, encoded) in decoded(text) {
            let letter = char::from(byte);
            match letter {
                '*' => return None,
                // A stray percent sign, or one that hides something.
                '%' | '/' | '\\' => return None,
                letter if letter.is_ascii_control() => return None,
                letter if letter.is_ascii_alphanumeric() || "-._~".contains(letter) => normal.push(letter),
                letter if !encoded && "!$&'()+;=:@".contains(letter) => normal.push(letter),
                _ => normal += &format!("%{byte:02X}"),
            }
        }
        Some(normal).filter(|normal| !normal.is_empty())
    }

    /// Returns the decoded bytes, and which of them were percent-encoded.
    fn decoded(text: &str) -> Vec<(u8, bool)> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some(first) = rest.first() {
            let code = rest.get(1..3).and_then(|code| std::str::from_utf8(code).ok());
            let code = code.filter(|code| *first == b'%' && code.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let byte = code.map_or(*first, |code| u8::from_str_radix(code, 16).unwrap());
            bytes.push((byte, code.is_some()));
            rest = &rest[if code.is_some() { 3 } else { 1 }..];
        }
        bytes
    }
}

/// Authorizes a request with a client of Openapi.it, and checks the requests to the service. Returns whether the request got a token; `None`
/// if the case is invalid.
pub fn openapi(case: &Case) -> Option<bool> {
    let (scopes, request) = (case.set()?, case.request()?);
    let builder = openapi_v1::builder(&EXAMPLE, &Setup { http: Http::Given(http()), ..Setup::new(URL) });
    let builder = match scopes {
        Some(scopes) => builder.scopes(scopes),
        None => builder,
    };
    let oauth = builder.build().unwrap();
    let expected = rule::openapi(case);
    let answer = |asked: &str| {
        let scopes = serde_json::from_str::<serde_json::Value>(asked).unwrap()["scopes"].clone();
        openapi_v1::token("a-token", scopes, 1_634_173_200)
    };
    let asked = authorize(case, request, expected.is_some(), answer, async |request| oauth.authorize(request).await);
    let asked: Vec<serde_json::Value> = asked
        .iter()
        .map(|(url, body)| {
            assert_eq!(url, &format!("POST {URL}/token"));
            serde_json::from_str::<serde_json::Value>(body).unwrap()["scopes"].clone()
        })
        .collect();
    let expected: Vec<_> = expected.map(|pattern| serde_json::json!([pattern])).into_iter().collect();
    assert_eq!(asked, expected, "{case:?}");
    Some(!expected.is_empty())
}

/// The same with both clients of version 2, which follows the same rule. The one with the key expands wildcards itself, so that the service
/// lists a scope that the expected pattern covers; the other one has a single token.
pub fn openapi_v2(case: &Case) -> Option<bool> {
    let scopes = case.set()?;
    let setup = Setup { http: Http::Given(http()), ..Setup::new(URL) };
    let (oauth, worker) = (openapi_v2::builder(&EXAMPLE, &setup), openapi_v2::worker(&EXAMPLE, &setup));
    let (oauth, worker) = match scopes {
        Some(scopes) => (oauth.scopes(scopes.clone()), worker.scopes(scopes)),
        None => (oauth, worker),
    };
    let (oauth, worker) = (oauth.build().unwrap(), worker.build().unwrap());
    let expected = rule::openapi(case);
    let covered = expected.as_deref().map(|pattern| {
        let (method, rest) = pattern.split_once(':').unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let method = if method == "*" { "GET" } else { method };
        let host = if host == "*" { "openapi.it".to_owned() } else { host.replace('*', "x") };
        format!("{method}:{host}/{}", if path == "*" { "a" } else { path })
    });
    let listed = covered.clone();
    let answer = move |asked: &str| match serde_json::from_str::<serde_json::Value>(asked) {
        Ok(body) => {
            let mut token = openapi_v2::token("a-token", "x", &[], now() + HOUR, "r");
            token["scopes"] = body["scopes"].clone();
            token
        }
        Err(_) => serde_json::json!({ "data": [{ "scope": listed, "enabled": true }] }),
    };
    let request = case.request()?;
    let asked = authorize(case, request, expected.is_some(), answer, async |request| oauth.authorize(request).await);
    let made: Vec<_> = asked.iter().filter(|(_, body)| !body.is_empty()).collect();
    let is_wild = expected.as_deref().is_some_and(|pattern| pattern.contains('*'));
    assert_eq!(asked.len() - made.len(), usize::from(is_wild), "{case:?}: {asked:?}");
    let made: Vec<serde_json::Value> = made
        .into_iter()
        .map(|(url, body)| {
            assert_eq!(url, &format!("POST {URL}/tokens"));
            serde_json::from_str::<serde_json::Value>(body).unwrap()["scopes"].clone()
        })
        .collect();
    let scopes: Vec<_> = covered.map(|scope| serde_json::json!([scope])).into_iter().collect();
    assert_eq!(made, scopes, "{case:?}");

    let answer = |_: &str| openapi_v2::token("a-token", "x", &[], now() + HOUR, "r");
    let request = case.request()?;
    let asked = authorize(case, request, expected.is_some(), answer, async |request| worker.authorize(request).await);
    let refresh = (format!("PATCH {URL}/tokens/{}", EXAMPLE.token), "{}".to_owned());
    assert_eq!(asked, expected.iter().map(|_| refresh.clone()).collect::<Vec<_>>(), "{case:?}");
    Some(expected.is_some())
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The same with a client of Keliweb Fatture at this address.
pub fn keliweb(case: &Case, base: &str) -> Option<bool> {
    let request = case.request()?;
    let setup = Setup { http: Http::Given(http()), ..Setup::new(base) };
    let fatture = keliweb::builder(&EXAMPLE, &setup).build().unwrap();
    let expected = rule::keliweb(case, base);
    let answer = |_: &str| keliweb::pair("a-token", serde_json::Value::Null);
    let asked = authorize(case, request, expected, answer, async |request| fatture.authorize(request).await);
    assert_eq!(asked.len(), usize::from(expected), "{case:?}");
    Some(expected)
}

/// Authorizes a request, which then has a token or is unchanged. Returns the requests to the service: method and URL, and the body.
fn authorize(
    case: &Case,
    mut request: Request,
    expected: bool,
    answer: impl Fn(&str) -> serde_json::Value + 'static,
    authorize: impl AsyncFnOnce(&mut Request) -> Result<AccessToken, Error>,
) -> Vec<(String, String)> {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&asked);
    let service = move |request: &Request| {
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let answer = answer(&body).to_string();
        seen.borrow_mut().push((format!("{} {}", request.method(), request.url()), body));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        Answer { status: StatusCode::OK, headers, body: answer.into() }
    };
    let (url, before) = (request.url().clone(), request.headers().clone());
    let result = test_transport::answering(service, || block_on(authorize(&mut request)));
    let mut after = before.clone();
    match &result {
        Ok(token) => {
            assert_eq!(token.expose(), "a-token");
            assert!(request.headers()[AUTHORIZATION].is_sensitive());
            after.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a-token"));
            after.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        Err(error) => assert!(error.is_invalid_input() && error.service().is_none(), "{case:?}: {error:?}"),
    }
    assert_eq!(result.is_ok(), expected, "{case:?}: {result:?}");
    assert_eq!((request.headers(), request.url()), (&after, &url), "{case:?}");
    asked.take()
}
