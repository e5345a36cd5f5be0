//! A token on a request.

use reqwest::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use reqwest::{Request, Url, redirect};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::http::client::is_loopback;
use crate::token::AccessToken;

/// How a client whose requests have a token should follow redirects: only to the scheme, host and port that the request was
/// made for, and ten at the most. An answer that leads elsewhere is given back as it is.
///
/// Of the policies of reqwest, those that go to other hosts are not safe: the header `Authorization` is taken off on the way to
/// one, but (as of reqwest 0.13.5) is there again where that host redirects to itself.
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

/// Whether a token may be sent to an address, whosever it is.
pub(crate) fn check(url: &Url) -> Result<(), Error> {
    if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)) {
        Ok(())
    } else {
        Err(Error::invalid_input("a token is only sent over https, or over http to a loopback address"))
    }
}

/// Refuses a request whose `Host` header may name another host than its URL. A server and what stands before it go by the header,
/// but the token is for the host of the URL. Loopback is no exception: what listens there may pass a request on by its `Host`.
pub(crate) fn check_host(request: &Request) -> Result<(), Error> {
    let mut headers = request.headers().get_all(HOST).iter();
    match (headers.next(), headers.next()) {
        (None, _) => Ok(()),
        (Some(header), None) if is_authority(header.as_bytes(), request.url()) => Ok(()),
        _ => Err(Error::invalid_input(format!(
            "header `Host`: names another host than the URL, or occurs twice, and the token is for {:?}; leave it out, and the HTTP \
             client sets it",
            request.url().host_str().unwrap_or_default()
        ))),
    }
}

/// Returns whether a `Host` header is the host and the port of a URL. Only the letter case may differ, and the port of the scheme may
/// be missing.
fn is_authority(header: &[u8], url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    let is_host = url.port().is_none() && header.eq_ignore_ascii_case(host.as_bytes());
    is_host || header.eq_ignore_ascii_case(format!("{host}:{port}").as_bytes())
}

/// Sets `Authorization: Bearer` (RFC 6750, section 2.1), marked as sensitive, and `Accept: application/json` if there is no
/// `Accept`: without it, Keliweb Fatture's server software answers a refused token with a redirect to its login page.
pub(crate) fn set(request: &mut Request, token: &AccessToken) -> Result<(), Error> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(&text).map_err(|_| Error::decode("the token cannot stand in a header"))?;
    value.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, value);
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
    Ok(())
}
