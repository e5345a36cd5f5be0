//! The credit, and what changed it.

use serde_json::{Value, json};

use super::Call;
use super::answer::{Failure, data, time};
use super::page::Page;
use crate::emulator::message::Response;
use crate::emulator::openapi::ledger::Ledger;
use crate::emulator::openapi::number;

const INVALID_PAGE: Failure = Failure::new(422, None, "invalid limit or skip");

pub(super) fn get(ledger: &Ledger) -> Response {
    let wallet = &ledger.usage.wallet;
    data(&json!({
        // No failure is documented for an account without a credit record.
        "credit": number(wallet.credit().unwrap_or_default()),
        "createdAt": time(wallet.created_at),
        "updatedAt": time(wallet.updated_at),
    }))
}

pub(super) fn transactions(ledger: &Ledger, call: &Call<'_>) -> Result<Response, Failure> {
    let page = Page::parse(call, INVALID_PAGE)?;
    let entries = page.of(ledger.usage.wallet.transactions.newest_first()).map(|transaction| {
        json!({
            "id": transaction.id,
            "amount": number(transaction.amount),
            "createdAt": time(transaction.at),
            "description": transaction.description,
        })
    });
    Ok(data(&entries.collect::<Vec<Value>>().into()))
}
