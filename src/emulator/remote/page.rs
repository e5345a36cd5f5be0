//! The page that shows the state.

use crate::emulator::message::Response;

const PAGE: &str = include_str!("page.html");

/// Nothing from elsewhere, no frame, and only the style and the script of the page, by their hashes. The page requests the state.
const POLICY: &str = "default-src 'none'; style-src 'sha256-STYLE'; script-src 'sha256-SCRIPT'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn response() -> Response {
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", POLICY),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ];
    let response = Response { status: 200, headers: Vec::new(), body: PAGE.to_owned() };
    headers.into_iter().fold(response, |response, (name, value)| response.with(name, value))
}
