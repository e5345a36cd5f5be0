//! Puts a token on a request, and decides which URL may get one.

use reqwest::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use reqwest::{Request, Url, redirect};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::http::client::is_loopback;
use crate::token::AccessToken;

/// Returns a redirect policy for requests with a token: it follows at most ten redirects, and only to the scheme, host and port of the
/// first request. A response that redirects elsewhere is returned as it is.
///
/// The policies of reqwest that follow redirects to other hosts are [not safe](crate::guide::security#on-the-wire): reqwest removes
/// `Authorization` on the way to another host, but (as of 0.13.5) sends it again when that host redirects to itself.
///
/// ```
/// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
/// # Ok::<(), reqwest::Error>(())
/// ```
#[must_use]
pub fn same_origin() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let same = |url: &Url| url.origin() == attempt.url().origin();
        match attempt.previous() {
            all if all.len() > 10 => attempt.error("more than ten redirects"),
            all if all.iter().all(same) => attempt.follow(),
            _ => attempt.stop(),
        }
    })
}

/// Refuses a URL that no token of any service may be sent to.
pub(crate) fn check(url: &Url) -> Result<(), Error> {
    if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)) {
        Ok(())
    } else {
        Err(Error::invalid_input(
            "the client sends tokens only over https, or over http to a loopback address; use https",
        ))
    }
}

/// Refuses a request whose `Host` header may name another host than its URL. Servers and proxies route by that header, but the token is
/// for the host of the URL. The same goes for loopback addresses, where a proxy may listen.
pub(crate) fn check_host(request: &Request) -> Result<(), Error> {
    let mut headers = request.headers().get_all(HOST).iter();
    match (headers.next(), headers.next()) {
        (None, _) => Ok(()),
        (Some(header), None) if is_authority(header.as_bytes(), request.url()) => Ok(()),
        _ => Err(Error::invalid_input(format!(
            "the `Host` header names another host than the URL ({:?}), or occurs twice: remove it, and the HTTP client sets the \
             right one",
            request.url().host_str().unwrap_or_default()
        ))),
    }
}

/// Returns whether a `Host` header is the host and port of a URL. The letter case may differ, and the default port of the scheme may be
/// missing.
fn is_authority(header: &[u8], url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    let is_host = url.port().is_none() && header.eq_ignore_ascii_case(host.as_bytes());
    is_host || header.eq_ignore_ascii_case(format!("{host}:{port}").as_bytes())
}

/// Sets `Authorization: Bearer` (RFC 6750, section 2.1), marked as sensitive, and `Accept: application/json` if there is no `Accept`:
/// without it, some server software (such as that of Keliweb Fatture) responds to a rejected token with a redirect to its login page.
pub(crate) fn set(request: &mut Request, token: &AccessToken) -> Result<(), Error> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::decode("the token has a character that is not allowed in a header"))?;
    value.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, value);
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
    Ok(())
}
