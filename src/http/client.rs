//! The HTTP client, and the addresses that credentials may be sent to.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, ClientBuilder, Url, redirect};

use crate::error::Error;

/// Sets up an HTTP client further.
pub(crate) type Configure = Box<dyn FnOnce(ClientBuilder) -> ClientBuilder + Send>;

/// Builds an HTTP client that keeps credentials safe, whatever `configure` does: no redirects, no `Referer`, no proxy for plain http.
pub(crate) fn http_client(
    base_url: &Url,
    connect_timeout: Duration,
    configure: Option<Configure>,
) -> Result<Client, Error> {
    let builder = Client::builder()
        .connect_timeout(connect_timeout)
        // A connection that the service closed meanwhile would cost a POST that must not be repeated.
        .pool_idle_timeout(Duration::from_secs(30));
    let builder = match configure {
        Some(configure) => configure(builder),
        None => builder,
    };
    let mut builder = builder.redirect(redirect::Policy::none()).referer(false);
    if base_url.scheme() == "http" {
        // Checked to be loopback. A proxy would see the credentials.
        builder = builder.no_proxy();
    } else if cfg!(not(any(feature = "rustls", feature = "native-tls"))) {
        return Err(Error::invalid_input(
            "built without TLS: turn on the feature `rustls` or `native-tls`, or bring a `reqwest::Client`",
        ));
    }
    builder
        .build()
        .map_err(|error| Error::invalid_input("the HTTP client cannot be set up").with_source(error.without_url()))
}

/// An address that credentials may be sent to. It is not repeated in an error, as there may be a password in it.
pub(crate) fn checked_base_url(base_url: &str, example: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Err(Error::invalid_input(format!("base URL: {reason}")));
    let Ok(url) = Url::parse(base_url) else {
        return refuse(&format!("not a URL; expected something like `{example}`"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("a user in the URL; credentials are given to `builder`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("a query or a fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => refuse("plain http, over which credentials are only sent to a loopback address; use https"),
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
    value.map_err(|_| Error::invalid_input("user agent: a line break or another character that a header cannot have"))
}
