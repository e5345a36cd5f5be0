//! The subscriptions of an account.

use serde_json::{Value, json};

use super::Call;
use super::answer::{Failure, data, time};
use super::page::Page;
use crate::emulator::message::Response;
use crate::emulator::openapi::ledger::Ledger;
use crate::emulator::openapi::number;
use crate::emulator::openapi::subscriptions::Subscription;

pub(super) fn list(ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let page = Page::parse(call, Failure::coded(400, 230, "Query error"))?;
    // With an `id`, the list is one subscription.
    if let Some((_, id)) = form_urlencoded::parse(call.request.query.as_bytes()).find(|(name, _)| name == "id") {
        return find(ledger, &id, call);
    }
    let subscriptions = ledger.usage.subscriptions.iter().filter(|entry| page.has(entry.scope.as_str()));
    let entries = page.of(subscriptions).map(|entry| {
        json!({
            "id": entry.id,
            "scope": entry.scope,
            "active": entry.is_active(call.now),
            // A number in a text.
            "availableRequests": entry.available.to_string(),
            "startsAt": time(entry.starts_at),
            "expiresAt": time(entry.expires_at),
        })
    });
    Ok(data(&entries.collect::<Vec<Value>>().into()))
}

pub(super) fn get(ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    find(ledger, &call.parameter, call)
}

fn find(ledger: &Ledger, id: &str, call: &Call<'_>) -> Result<Response, Failure> {
    let found = ledger.usage.subscriptions.iter().find(|entry| entry.id == id);
    let entry: &Subscription = found.ok_or(Failure::coded(404, 220, "Subscription not found"))?;
    let price = call.settings.price;
    Ok(data(&json!({
        "id": entry.id,
        "scope": entry.scope,
        "domain": entry.scope.host(),
        "active": entry.is_active(call.now),
        "startsAt": time(entry.starts_at),
        "expiresAt": time(entry.expires_at),
        "totalRequests": entry.requests.to_string(),
        "availableRequests": entry.available.to_string(),
        "pricePerRequest": number(price),
        "price": number(price.saturating_mul(entry.requests.into())),
        "type": "yearly",
        "autorenew": false,
        "createdAt": time(entry.starts_at),
        "updatedAt": time(entry.updated_at),
    })))
}
