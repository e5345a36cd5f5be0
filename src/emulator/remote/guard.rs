//! Which requests may control the emulator: those of programs on this machine, not those of a page in a browser.

use http::HeaderValue;

use super::refusal;
use crate::emulator::message::{Request, Response};

/// Rejects a request that a page in a browser may have sent.
///
/// - A page of another site names itself in `Origin`, and the browser says so in `Sec-Fetch-Site`.
/// - A page whose host name an attacker points to this machine (DNS rebinding) has that name in `Host`.
pub(super) fn check(request: &Request, port: u16) -> Result<(), Response> {
    let (host, site) = (request.header("host"), request.header("sec-fetch-site"));
    if !is_own(host, port) {
        let message = format!(
            "the host {host:?} is not the emulator's; send the request to 127.0.0.1:{port} or localhost:{port}"
        );
        return Err(refusal(421, &message));
    }
    let is_foreign = |origin: &HeaderValue| {
        let from = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        !from.is_some_and(|from| from.eq_ignore_ascii_case(host))
    };
    if request.headers.get("origin").is_some_and(is_foreign) || !["", "same-origin", "none"].contains(&site) {
        let message =
            "a page of another site sent this request; only programs, and the emulator's own page, may control it";
        return Err(refusal(403, message));
    }
    Ok(())
}

/// Returns whether a host, with its port, is the emulator.
pub(super) fn is_own(host: &str, port: u16) -> bool {
    let (name, given) = match host.rsplit_once(':') {
        Some((name, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => (name, digits.parse().ok()),
        _ => (host, Some(80)),
    };
    let is_loopback = name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost");
    is_loopback && given == Some(port)
}
