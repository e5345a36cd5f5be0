//! The control interface over HTTP, which `spec/emulator.yaml` describes, and the page that shows the state.
//!
//! The emulator neither records nor delays its requests, and no fault applies to them.

mod change;
mod guard;
mod page;
mod settings;
mod show;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Shared;
use super::message::{Request, Response};
use super::router::Settings;

/// The path that all requests begin with.
const PREFIX: &str = "/_emulator";

/// Far more than a request needs.
const MAX_BODY: usize = 64 << 10;

/// What the control interface needs beside the state.
pub(super) struct Remote {
    port: u16,
    /// What a reset returns to.
    settings: Settings,
}

impl Remote {
    pub(super) fn new(port: u16, settings: Settings) -> Self {
        Self { port, settings }
    }
}

/// What a handler works with.
struct Call<'a> {
    shared: &'a Shared,
    remote: &'a Remote,
    request: &'a Request,
    route: &'a Route,
}

type Handled = Result<Response, Response>;

/// A request of the interface.
struct Route {
    method: &'static str,
    /// The path below the prefix.
    path: &'static str,
    /// A body that is accepted; empty for none.
    example: &'static str,
    handle: fn(&Call<'_>) -> Handled,
}

const fn route(
    method: &'static str,
    path: &'static str,
    example: &'static str,
    handle: fn(&Call<'_>) -> Handled,
) -> Route {
    Route { method, path, example, handle }
}

const ROUTES: &[Route] = &[
    route("GET", "/state", "", show::state),
    route("GET", "/requests", "", show::requests),
    route("GET", "/tokens", "", show::tokens),
    route("GET", "/faults", "", show::faults),
    route("POST", "/faults", r#"{"kind":"status","status":503,"times":2,"on":"POST /tokens"}"#, change::add_fault),
    route("DELETE", "/faults", "", change::clear_faults),
    route("PUT", "/latency", r#"{"seconds":0.5}"#, change::set_latency),
    route("POST", "/advance", r#"{"seconds":3600}"#, change::advance),
    route("PUT", "/credit", r#"{"amount":0.05}"#, change::set_credit),
    route("PUT", "/grants", r#"{"scopes":["GET:imprese.openapi.it/base"]}"#, change::grant_only),
    route("DELETE", "/grants", "", change::grant_all),
    route("PUT", "/activation-delay", r#"{"seconds":4}"#, change::set_activation_delay),
    route("PUT", "/single", r#"{"token":"a token of version 1","single":false}"#, change::set_single),
    route(
        "POST",
        "/callbacks",
        r#"{"scope":"GET:imprese.openapi.it/base","url":"https://example.com/done","status":200}"#,
        change::add_callback,
    ),
    route("POST", "/revoke", "", change::revoke_all),
    route("GET", "/settings", "", settings::show),
    route("PATCH", "/settings", r#"{"price":0.045,"throttle":null}"#, settings::change),
    route("POST", "/reset", "", change::reset),
];

/// Responds to a request of the interface, or for the page. Returns `None` if the request is for a service.
pub(super) fn respond(shared: &Shared, request: &Request) -> Option<Response> {
    let remote = shared.remote.as_ref()?;
    if is_below_prefix(&request.path) {
        let response = guard::check(request, remote.port).and_then(|()| dispatch(shared, remote, request));
        return Some(response.unwrap_or_else(|refusal| refusal).with("cache-control", "no-store"));
    }
    let is_page = request.method == "GET" && request.path == "/" && guard::is_own(request.header("host"), remote.port);
    is_page.then(page::response)
}

/// Returns the response to a request whose body is too large even to be read, if the request is one of the interface.
pub(super) fn too_large(shared: &Shared, path: &str) -> Option<Response> {
    (shared.remote.is_some() && is_below_prefix(path)).then(|| refusal(413, &too_large_message()))
}

fn is_below_prefix(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn too_large_message() -> String {
    format!("the body is too large; send at most {} KiB", MAX_BODY >> 10)
}

fn dispatch(shared: &Shared, remote: &Remote, request: &Request) -> Handled {
    let path = request.path.strip_prefix(PREFIX).unwrap_or_default();
    let at_path = || ROUTES.iter().filter(|route| route.path == path);
    if let Some(route) = at_path().find(|route| route.method == request.method) {
        return (route.handle)(&Call { shared, remote, request, route });
    }
    let methods: Vec<&str> = at_path().map(|route| route.method).collect();
    if methods.is_empty() {
        let known: Vec<String> =
            ROUTES.iter().map(|route| format!("{} {PREFIX}{}", route.method, route.path)).collect();
        return Err(refusal(404, &format!("{:?} does not exist; these do: {}", request.path, known.join(", "))));
    }
    let allowed = methods.join(", ");
    let message = format!("{} does not accept {}; use {allowed}", request.path, request.method);
    Err(refusal(405, &message).with("allow", allowed))
}

fn refusal(status: u16, message: &str) -> Response {
    Response::json(status, &json!({ "message": message }))
}

/// Responds with JSON whose fields have the order of the type's.
fn answer(body: &impl Serialize) -> Handled {
    let body = serde_json::to_string(body).map_err(|error| refusal(500, &error.to_string()))?;
    Ok(Response { status: 200, headers: vec![("content-type", "application/json".to_owned())], body })
}

/// Responds that the change was made.
fn done() -> Handled {
    Ok(Response::empty(204))
}

impl Call<'_> {
    /// Returns a refusal that names the request, the reason and, if there is one, an example.
    fn bad(&self, reason: impl std::fmt::Display) -> Response {
        let Route { method, path, example, .. } = self.route;
        let hint = if example.is_empty() { String::new() } else { format!("; a body that works: {example}") };
        refusal(400, &format!("{method} {PREFIX}{path}: {reason}{hint}"))
    }

    /// Reads the body. `Content-Type` must be JSON, which no form of a page in a browser can send.
    fn body<T: DeserializeOwned>(&self) -> Result<T, Response> {
        self.check_type()?;
        serde_json::from_slice(&self.request.body).map_err(|error| self.bad(error))
    }

    /// Checks that there is no body, or an empty object.
    fn no_body(&self) -> Result<(), Response> {
        self.check_type()?;
        match self.request.body.trim_ascii() {
            b"" | b"{}" => Ok(()),
            _ => Err(self.bad("this request takes no body; send none")),
        }
    }

    fn check_type(&self) -> Result<(), Response> {
        if self.request.body.len() > MAX_BODY {
            return Err(refusal(413, &too_large_message()));
        }
        let given = self.request.header("content-type");
        let kind = given.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/json") || (given.is_empty() && self.request.body.is_empty()) {
            return Ok(());
        }
        Err(refusal(415, &format!("the header Content-Type is {given:?}; send `Content-Type: application/json`")))
    }

    /// Returns the value of the query's parameters with these names, if they have one.
    fn query<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Response> {
        let mut values = [const { None }; N];
        for (name, value) in form_urlencoded::parse(self.request.query.as_bytes()) {
            match names.iter().position(|known| *known == name) {
                Some(at) if values[at].is_none() => values[at] = Some(value.into_owned()),
                Some(_) => return Err(self.bad(format!("the parameter {name:?} occurs twice; send it once"))),
                None if N == 0 => return Err(self.bad("this request takes no query; remove it")),
                None => return Err(self.bad(format!("unknown parameter {name:?}; known are {}", names.join(", ")))),
            }
        }
        Ok(values)
    }
}
