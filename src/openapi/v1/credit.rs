//! The credit of the account.

use std::fmt;

use rust_decimal::Decimal;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::http::body::Success;
use crate::openapi::money::{amount, number};

/// The amount that an account has left to spend, in euro, exact to the cent.
///
/// ```
/// use gettone::openapi::{Decimal, v1::Credit};
///
/// let credit: Credit = serde_json::from_str(r#"{"credit": 423.5}"#)?;
/// assert_eq!(credit.to_string(), "423.50");
/// assert!(credit.amount() > Decimal::from(100));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Serde reads and writes the service's form, `{"credit": 423.38}`: a number, not a string. Most readers convert a JSON number to binary,
/// which is exact to the cent up to 45 trillion euro; [`amount`](Self::amount) is always exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "Data")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(!from, transform = crate::json::first_paragraph))]
pub struct Credit {
    #[cfg_attr(feature = "schemars", schemars(with = "f64"))]
    credit: Decimal,
}

#[derive(Deserialize)]
struct Data {
    #[serde(deserialize_with = "amount")]
    credit: Decimal,
    /// The service repeats `success` here, one level down.
    #[serde(rename = "success")]
    _success: Option<Success>,
}

impl From<Data> for Credit {
    fn from(data: Data) -> Self {
        Self { credit: data.credit }
    }
}

impl Credit {
    /// Returns the amount in euro, with as many decimal places as the service sent.
    #[must_use]
    pub fn amount(self) -> Decimal {
        self.credit
    }
}

/// Writes the amount with two decimal places, or with more if the service sent more.
impl fmt::Display for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.credit;
        if amount.scale() < 2 {
            amount.rescale(2);
        }
        amount.fmt(f)
    }
}

impl Serialize for Credit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let amount = number(self.credit).map_err(serde::ser::Error::custom)?;
        let mut credit = serializer.serialize_struct("Credit", 1)?;
        credit.serialize_field("credit", &amount)?;
        credit.end()
    }
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
            // What binary numbers leave of a subtraction.
            ("5.6843418860808015e-14", "0.0000000000000568434188608080"),
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
    fn a_credit_is_written_as_the_service_writes_it() {
        for (sent, written) in [
            ("423.38", "423.38"),
            ("0.1", "0.1"),
            ("0.045", "0.045"),
            ("-3.50", "-3.5"),
            ("100", "100.0"),
            ("\"19.99\"", "19.99"),
            ("9999999999999.99", "9999999999999.99"),
            ("\"35184372088831.99\"", "35184372088831.99"),
            ("\"0.12345678901234567890\"", "0.12345678901234568"),
            ("0", "0.0"),
        ] {
            let credit: Credit = serde_json::from_str(&format!("{{\"credit\":{sent}}}")).unwrap();
            let json = serde_json::to_string(&credit).unwrap();
            assert_eq!(json, format!("{{\"credit\":{written}}}"), "{sent}");
            let again: Credit = serde_json::from_str(&json).unwrap();
            assert_eq!(again.amount().round_dp(2), credit.amount().round_dp(2), "{sent}");
        }
        // Every cent of the amounts that accounts have.
        for cents in (0..100_000).chain(99_999_900..100_000_000) {
            let credit = Credit { credit: Decimal::new(cents, 2) };
            let again: Credit = serde_json::from_str(&serde_json::to_string(&credit).unwrap()).unwrap();
            assert_eq!(again, credit);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for sent in ["null", "true", "\"much\"", "1e300", "{}"] {
            assert!(serde_json::from_str::<Credit>(&format!("{{\"credit\":{sent}}}")).is_err(), "{sent}");
        }
    }
}
