//! The page that shows the state.

use crate::emulator::message::Response;

const PAGE: &str = include_str!("page.html");

/// The hashes of the style and of the script in the page. A test computes them too.
const STYLE: &str = "sha256-w3VroxcTtoa4cXSHIpAkByX7AsDFJf/3n++vWHT94gQ=";
const SCRIPT: &str = "sha256-uYjjc/8xdcWSmMQHDQh+lLcK01LLmctDbjoxAW/bwCI=";

pub(super) fn response() -> Response {
    // Nothing from elsewhere, no frame, and no style or script but those of the page, which requests the state.
    let policy = format!(
        "default-src 'none'; style-src '{STYLE}'; script-src '{SCRIPT}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy.as_str()),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ];
    let response = Response { status: 200, headers: Vec::new(), body: PAGE.to_owned() };
    headers.into_iter().fold(response, |response, (name, value)| response.with(name, value))
}
