//! The scopes that exist, and which of them a token is granted.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::Call;
use super::answer::{Failure, data};
use crate::emulator::message::Response;
use crate::emulator::openapi::number;
use crate::emulator::openapi::settings::Limit;
use crate::scope::Scope;

/// The reason why scopes are rejected.
pub(super) enum Rejected {
    /// There are none.
    Missing,
    /// They are not an array of scopes.
    Malformed,
    /// One does not exist, or the account has not activated it.
    Unavailable,
}

/// Returns the requested scopes, each once.
pub(super) fn grant(requested: Option<&Value>, call: &Call<'_>) -> Result<Vec<Scope>, Rejected> {
    let requested = match requested {
        None | Some(Value::Null) => return Err(Rejected::Missing),
        Some(Value::Array(requested)) if requested.is_empty() => return Err(Rejected::Missing),
        Some(requested) => requested.as_array().ok_or(Rejected::Malformed)?,
    };
    let (mut seen, mut scopes) = (HashSet::new(), Vec::new());
    for text in requested {
        // A scope with an asterisk does not parse as one.
        let scope: Scope = text.as_str().and_then(|text| text.parse().ok()).ok_or(Rejected::Malformed)?;
        if seen.insert(scope.clone()) {
            scopes.push(scope);
        }
    }
    let is_available = |scope: &Scope| call.catalog.contains(scope) && call.settings.is_enabled(scope);
    if !scopes.iter().all(is_available) {
        return Err(Rejected::Unavailable);
    }
    scopes.retain(|scope| call.granted.is_none_or(|granted| granted.covers(scope)));
    Ok(scopes)
}

pub(super) fn list(call: &Call<'_>) -> Response {
    let entries = call.catalog.entries().map(|(id, scope)| Value::Object(entry(id, scope, call)));
    data(&entries.collect::<Vec<_>>().into())
}

pub(super) fn get(call: &Call<'_>) -> Result<Response, Failure> {
    let found = call.catalog.find(&call.parameter).ok_or(Failure::coded(404, 10, "Scope not found"))?;
    let (id, scope) = found;
    let mut shown = entry(id, scope, call);
    let is_enabled = call.settings.is_enabled(scope);
    shown.insert("rateLimit".to_owned(), false.into());
    let (day, total) = match call.settings.limit(scope) {
        Limit::Unlimited => (json!(false), json!(false)),
        Limit::Calls(free) => (json!(false), json!(free)),
        // As in the vendor's example of a scope without free calls.
        Limit::Unknown => (json!(0), json!(false)),
    };
    let free = json!({ "dayLimit": day, "monthLimit": false, "yearLimit": false, "totalLimit": total });
    shown.insert("freeLimits".to_owned(), free);
    shown.insert("requirements".to_owned(), json!({ "id_card": is_enabled, "oa_general_contract": is_enabled }));
    let prices = Map::from_iter([(scope.path().to_ascii_lowercase(), number(call.settings.price))]);
    shown.insert("prices".to_owned(), prices.into());
    Ok(Response::json(200, &json!({ "data": shown, "success": true, "message": "", "error": null })))
}

fn entry(id: String, scope: &Scope, call: &Call<'_>) -> Map<String, Value> {
    let entry = [
        ("id", id.into()),
        ("scope", scope.as_str().into()),
        ("method", scope.method().as_str().into()),
        ("endpoint", scope.path().into()),
        ("domain", scope.host().into()),
        ("enabled", call.settings.is_enabled(scope).into()),
    ];
    entry.map(|(name, value): (&str, Value)| (name.to_owned(), value)).into_iter().collect()
}
