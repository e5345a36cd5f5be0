//! Reads amounts of money, exactly.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::json::not_a;

/// Reads a decimal number. Its shortest decimal form as a binary number is what the service wrote, for all numbers of up to 15 digits; with
/// serde_json's `arbitrary_precision`, for all.
pub(super) fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        _ => return Err(not_a("an amount")),
    };
    parse(&text).ok_or_else(|| not_a("an amount"))
}

/// Parses a decimal number, which may have an exponent.
pub(super) fn parse(text: &str) -> Option<Decimal> {
    let text = text.trim();
    Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

/// Returns the number that a service reads as this amount. Converts through the text, which rounds once; `Decimal` would divide. Its text is
/// always a number.
pub(super) fn number(amount: Decimal) -> Result<f64, std::num::ParseFloatError> {
    amount.to_string().parse()
}
