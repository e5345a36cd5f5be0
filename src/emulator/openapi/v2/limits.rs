//! The limits of a token.

use std::net::IpAddr;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::emulator::openapi::figures::{Charge, Figures};
use crate::emulator::openapi::number;

/// What a token can be used for at most; `None` for any number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    total: Option<u64>,
    wallet: Option<u64>,
    subscription: Option<u64>,
    amount: Option<Decimal>,
    /// The addresses that may use the token; none for all of them.
    addresses: Vec<IpAddr>,
}

impl Limits {
    /// Parses `limits` of a request. `null` and `false` are no limit.
    pub(super) fn parse(value: &Value) -> Result<Self, ()> {
        let fields = value.as_object().ok_or(())?;
        let given = |name: &str| fields.get(name).filter(|value| !matches!(value, Value::Null | Value::Bool(false)));
        let count = |name: &str| given(name).map(|value| value.as_u64().ok_or(())).transpose();
        let amount = given("walletAmount").map(|value| decimal(value).ok_or(())).transpose()?;
        let addresses = given("ip").map_or(Ok(Vec::new()), |value| {
            let texts = value.as_array().ok_or(())?.iter();
            texts.map(|text| text.as_str().and_then(|text| text.parse().ok()).ok_or(())).collect()
        })?;
        Ok(Self {
            total: count("totalRequests")?,
            wallet: count("walletRequests")?,
            subscription: count("subscriptionRequests")?,
            amount,
            addresses,
        })
    }

    /// Returns the limits as responses show them.
    pub(super) fn shown(&self) -> Value {
        let mut shown = Map::new();
        let counts = [
            ("totalRequests", self.total),
            ("walletRequests", self.wallet),
            ("subscriptionRequests", self.subscription),
        ];
        for (name, count) in counts {
            shown.extend(count.map(|count| (name.to_owned(), count.into())));
        }
        shown.extend(self.amount.map(|amount| ("walletAmount".to_owned(), number(amount))));
        if !self.addresses.is_empty() {
            shown.insert("ip".to_owned(), json!(self.addresses));
        }
        shown.into()
    }

    pub(crate) fn allows_address(&self, address: IpAddr) -> bool {
        self.addresses.is_empty() || self.addresses.contains(&address)
    }

    /// Returns whether one more call fits, after what was accepted so far.
    pub(crate) fn allows_call(&self, used: &Figures, charge: Charge) -> bool {
        let has_room = |limit: Option<u64>, used: u64| limit.is_none_or(|limit| used < limit);
        has_room(self.total, used.calls)
            && match charge {
                Charge::Free => true,
                Charge::Subscription => has_room(self.subscription, used.subscribed),
                Charge::Wallet(price) => {
                    let spent = used.amount.saturating_add(price);
                    has_room(self.wallet, used.paid) && self.amount.is_none_or(|limit| spent <= limit)
                }
            }
    }
}

/// Parses an amount of money, which is not negative.
fn decimal(value: &Value) -> Option<Decimal> {
    let text = value.as_number()?.to_string();
    let amount = text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())?;
    (amount >= Decimal::ZERO).then_some(amount)
}
