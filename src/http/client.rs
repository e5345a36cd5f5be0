//! Builds the HTTP client, and checks the addresses that credentials may be sent to.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, ClientBuilder, Url, redirect, retry};

use crate::error::Error;

/// A function of the user that configures the HTTP client.
pub(crate) type Configure = Box<dyn FnOnce(ClientBuilder) -> ClientBuilder + Send>;

/// Builds an HTTP client that keeps credentials safe whatever `configure` does: no redirects, no `Referer`, no proxy for plain http. Nor
/// does it send anything again, as only the client knows what does no harm.
pub(crate) fn http_client(
    base_url: &Url,
    connect_timeout: Duration,
    configure: Option<Configure>,
) -> Result<Client, Error> {
    let builder = Client::builder()
        .connect_timeout(connect_timeout)
        // A POST that must not be retried would fail on a connection that the service has closed.
        .pool_idle_timeout(Duration::from_secs(30));
    let builder = match configure {
        Some(configure) => configure(builder),
        None => builder,
    };
    let mut builder = builder.redirect(redirect::Policy::none()).referer(false).retry(retry::never());
    if base_url.scheme() == "http" {
        // The address is loopback, as checked before. A proxy would see the credentials.
        builder = builder.no_proxy();
    } else if cfg!(not(any(feature = "rustls", feature = "native-tls"))) {
        return Err(Error::invalid_input(
            "built without TLS: enable the feature `rustls` or `native-tls`, or pass your own client to `Builder::http_client`",
        ));
    }
    builder
        .build()
        .map_err(|error| Error::invalid_input("cannot build the HTTP client").with_source(error.without_url()))
}

/// Parses an address that credentials may be sent to. An error does not show the address, which may contain a password.
pub(crate) fn checked_base_url(base_url: &str, example: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Err(Error::invalid_input(format!("base URL: {reason}")));
    let Ok(url) = Url::parse(base_url) else {
        return refuse(&format!("not a URL; expected for example `{example}`"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not contain a user or password; pass credentials to `builder`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("must not have a query or a fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => refuse("plain http is allowed only for loopback addresses; use https"),
        other => refuse(&format!("scheme `{other}`, expected https")),
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    // `localhost` is loopback by name (RFC 6761, section 6.3).
    host == "localhost" || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

pub(crate) fn user_agent(product: Option<&str>) -> Result<HeaderValue, Error> {
    let own = concat!("gettone/", env!("CARGO_PKG_VERSION"));
    let value = match product.map(str::trim).filter(|product| !product.is_empty()) {
        Some(product) => HeaderValue::from_str(&format!("{product} {own}")),
        None => HeaderValue::from_str(own),
    };
    value.map_err(|_| {
        Error::invalid_input("user agent: has a line break or another character that is not allowed in a header")
    })
}
