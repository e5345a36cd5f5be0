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

/// Parses a decimal number, which may have an exponent. Rounds one with more decimal places than a [`Decimal`].
pub(super) fn parse(text: &str) -> Option<Decimal> {
    let text = text.trim();
    Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok().or_else(|| remainder(text))
}

/// Parses what binary numbers leave of a subtraction, such as `5.6843418860808015e-14`.
fn remainder(text: &str) -> Option<Decimal> {
    /// The most decimal places of a [`Decimal`].
    const PLACES: u32 = 28;

    let (digits, exponent) = text.trim().split_once(['e', 'E'])?;
    let places = exponent.strip_prefix('-')?;
    if places.is_empty() || !places.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut amount = Decimal::from_str(digits).ok()?;
    let mut left = places.parse().unwrap_or(u32::MAX);
    while left > 0 && !amount.is_zero() {
        let step = left.min(PLACES);
        amount = amount.checked_mul(Decimal::new(1, step))?;
        left -= step;
    }
    Some(amount)
}

/// Returns the number that a service reads as this amount. Converts through the text, which rounds once; `Decimal` would divide. Its text is
/// always a number.
pub(super) fn number(amount: Decimal) -> Result<f64, std::num::ParseFloatError> {
    amount.to_string().parse()
}
