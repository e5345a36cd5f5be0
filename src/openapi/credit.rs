use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::generated::Success;
use crate::token::not_a;

/// What an account has left to spend, in euro, exact to the cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "Data")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(!from))]
pub struct Credit {
    #[cfg_attr(feature = "schemars", schemars(with = "f64"))]
    credit: Decimal,
}

#[derive(Deserialize)]
struct Data {
    #[serde(deserialize_with = "exact")]
    credit: Decimal,
    /// What the service says a second time, one level down.
    #[serde(rename = "success")]
    _success: Option<Success>,
}

impl From<Data> for Credit {
    fn from(data: Data) -> Self {
        Self { credit: data.credit }
    }
}

impl Credit {
    /// The amount in euro, as a decimal number. It has as many decimal places as the service sent.
    #[must_use]
    pub fn amount(self) -> Decimal {
        self.credit
    }
}

/// The amount, with two decimal places or as many more as the service sent.
impl fmt::Display for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.credit;
        if amount.scale() < 2 {
            amount.rescale(2);
        }
        amount.fmt(f)
    }
}

/// A binary number that stands for a decimal one: its shortest decimal form is what the service wrote, for all numbers of up
/// to 15 digits. With serde_json's `arbitrary_precision` it is what the service wrote.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        _ => return Err(not_a("an amount")),
    };
    let text = text.trim();
    let amount = Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text));
    amount.map_err(|_| not_a("an amount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_are_exact_however_they_are_sent() {
        for (sent, shown) in [
            ("423.38", "423.38"),
            ("0.1", "0.10"),
            ("0.045", "0.045"),
            ("-3.5", "-3.50"),
            ("100", "100.00"),
            ("1e3", "1000.00"),
            ("\"19.99\"", "19.99"),
            ("9999999999999.99", "9999999999999.99"),
            ("0", "0.00"),
        ] {
            let credit: Credit = serde_json::from_str(&format!("{{\"credit\":{sent}}}")).unwrap();
            assert_eq!(credit.to_string(), shown, "{sent}");
        }
        // Where binary numbers go wrong: 0.1 + 0.2.
        let credit = |json| serde_json::from_str::<Credit>(json).unwrap().amount();
        assert_eq!(credit(r#"{"credit":0.1}"#) + credit(r#"{"credit":0.2}"#), credit(r#"{"credit":0.3}"#));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for sent in ["null", "true", "\"much\"", "1e300", "{}"] {
            assert!(serde_json::from_str::<Credit>(&format!("{{\"credit\":{sent}}}")).is_err(), "{sent}");
        }
    }
}
