//! What a token may be used for at most, and what its use is counted against.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use rust_decimal::Decimal;
use serde::de::Visitor;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::read::documented::{self, Part};
use super::{read, write};
use crate::error::Error;
use crate::json::{Word, parse_whole, raw};
use crate::openapi::money;

/// A limit that the service states: a number, none, or unknown. Serde reads and writes the service's form.
///
/// ```
/// use gettone::openapi::v2::Limit;
///
/// let limit: Limit<u64> = serde_json::from_str("false")?;
/// assert_eq!(limit, Limit::Unlimited);
/// assert_ne!(limit, Limit::Limited(0)); // none at all
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit<T> {
    /// At most this much. The service sends a number, or for a [rate limit](super::ScopeDetail::rate_limit) a text. What 0 means for a
    /// token is not documented.
    Limited(T),
    /// There is no limit. The service sends `false`.
    Unlimited,
    /// The service sends null, nothing, or something undocumented, such as `true`.
    #[default]
    Unknown,
}

impl<T> Limit<T> {
    /// Returns the number, if there is one.
    pub fn limited(self) -> Option<T> {
        match self {
            Self::Limited(limit) => Some(limit),
            Self::Unlimited | Self::Unknown => None,
        }
    }

    fn of(json: &str, parse: impl FnOnce(&str) -> Option<T>) -> Self {
        match Word::of(json) {
            Word::Flag(false) => Self::Unlimited,
            Word::Text(text) if text.eq_ignore_ascii_case("false") => Self::Unlimited,
            Word::Text(text) if text.eq_ignore_ascii_case("true") => Self::Unknown,
            word => word.text().and_then(|text| parse(&text)).map_or(Self::Unknown, Self::Limited),
        }
    }
}

impl Limit<String> {
    pub(super) fn as_ref(&self) -> Limit<&str> {
        match self {
            Self::Limited(text) => Limit::Limited(text),
            Self::Unlimited => Limit::Unlimited,
            Self::Unknown => Limit::Unknown,
        }
    }
}

/// Writes the number, `unlimited` or `unknown`.
impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(limit) => limit.fmt(f),
            Self::Unlimited => f.pad("unlimited"),
            Self::Unknown => f.pad("unknown"),
        }
    }
}

/// Defines how a limit of one type is read and written.
macro_rules! serde_limit {
    ($type:ty, $parse:expr, $write:expr) => {
        impl<'de> Deserialize<'de> for Limit<$type> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::of(&raw(deserializer)?, $parse))
            }
        }

        impl Serialize for Limit<$type> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::Limited(limit) => $write(limit, serializer),
                    Self::Unlimited => serializer.serialize_bool(false),
                    Self::Unknown => serializer.serialize_unit(),
                }
            }
        }
    };
}

serde_limit!(u64, parse_whole, u64::serialize);
serde_limit!(Decimal, money::parse, write::required_amount);
serde_limit!(String, |text| Some(text.to_owned()).filter(|text| !text.is_empty()), String::serialize);

#[cfg(feature = "schemars")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Limit<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Limit_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let limit = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [limit, { "type": "boolean" }, { "type": "null" }] })
    }
}

/// The limits of a token: what it may be used for over its whole life, and from where. A leaked token can do no more.
///
/// The vendor documents neither a period nor a currency of these limits. By the vendor's other texts, amounts are in euro. What a data
/// service responds when a limit is used up is not documented either.
///
/// ```
/// use std::net::IpAddr;
/// use gettone::openapi::{Decimal, v2::TokenLimits};
///
/// let limits = TokenLimits::new().wallet_amount(Decimal::from(5)).ip([IpAddr::from([203, 0, 113, 10])]);
/// # let _ = limits;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(!default, transform = crate::json::first_paragraph))]
#[must_use]
pub struct TokenLimits {
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Limit<u64>>", skip_serializing_if = "Option::is_none"))]
    total_requests: Limit<u64>,
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Limit<u64>>", skip_serializing_if = "Option::is_none"))]
    wallet_requests: Limit<u64>,
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Limit<u64>>", skip_serializing_if = "Option::is_none"))]
    subscription_requests: Limit<u64>,
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Limit<f64>>", skip_serializing_if = "Option::is_none"))]
    wallet_amount: Limit<Decimal>,
    #[serde(deserialize_with = "read::texts")]
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Vec<String>>", skip_serializing_if = "Option::is_none"))]
    ip: Vec<String>,
}

#[derive(Deserialize)]
#[serde(remote = "TokenLimits", rename_all = "camelCase")]
struct Documented {
    #[serde(default, deserialize_with = "documented_count")]
    total_requests: Limit<u64>,
    #[serde(default, deserialize_with = "documented_count")]
    wallet_requests: Limit<u64>,
    #[serde(default, deserialize_with = "documented_count")]
    subscription_requests: Limit<u64>,
    #[serde(default)]
    wallet_amount: Limit<Decimal>,
    #[serde(default, deserialize_with = "documented::texts")]
    ip: Vec<String>,
}

impl Part for TokenLimits {
    fn documented<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Documented::deserialize(deserializer)
    }
}

/// Reads a limit that is a whole number, a boolean or null.
fn documented_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limit<u64>, D::Error> {
    struct Count;

    impl Visitor<'_> for Count {
        type Value = Limit<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a limit")
        }

        fn visit_u64<E>(self, limit: u64) -> Result<Limit<u64>, E> {
            Ok(Limit::Limited(limit))
        }

        fn visit_bool<E>(self, is_limited: bool) -> Result<Limit<u64>, E> {
            Ok(if is_limited { Limit::Unknown } else { Limit::Unlimited })
        }

        fn visit_unit<E>(self) -> Result<Limit<u64>, E> {
            Ok(Limit::Unknown)
        }
    }

    deserializer.deserialize_any(Count)
}

impl TokenLimits {
    /// Returns limits that limit nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the largest number of requests. Not zero, whose meaning is not documented.
    pub fn total_requests(mut self, requests: u64) -> Self {
        self.total_requests = Limit::Limited(requests);
        self
    }

    /// Sets the largest number of requests that the wallet pays for. Not zero.
    pub fn wallet_requests(mut self, requests: u64) -> Self {
        self.wallet_requests = Limit::Limited(requests);
        self
    }

    /// Sets the largest number of requests that a subscription pays for. Not zero.
    pub fn subscription_requests(mut self, requests: u64) -> Self {
        self.subscription_requests = Limit::Limited(requests);
        self
    }

    /// Sets the largest amount that the wallet pays. More than zero.
    pub fn wallet_amount(mut self, amount: Decimal) -> Self {
        self.wallet_amount = Limit::Limited(amount);
        self
    }

    /// Sets the only addresses that may use the token. At least one. Whether the service accepts IPv6 addresses is not documented.
    pub fn ip(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.ip = addresses.into_iter().map(|address| address.to_string()).collect();
        if self.ip.is_empty() {
            // Refused by `check`: without an entry the token would be good from everywhere.
            self.ip.push(String::new());
        }
        self
    }

    /// Returns the largest number of requests.
    #[must_use]
    pub fn max_total_requests(&self) -> Limit<u64> {
        self.total_requests
    }

    /// Returns the largest number of requests that the wallet pays for.
    #[must_use]
    pub fn max_wallet_requests(&self) -> Limit<u64> {
        self.wallet_requests
    }

    /// Returns the largest number of requests that a subscription pays for.
    #[must_use]
    pub fn max_subscription_requests(&self) -> Limit<u64> {
        self.subscription_requests
    }

    /// Returns the largest amount that the wallet pays.
    #[must_use]
    pub fn max_wallet_amount(&self) -> Limit<Decimal> {
        self.wallet_amount
    }

    /// Returns the only addresses that may use the token, as the service writes them. Empty if the service names none.
    #[must_use]
    pub fn allowed_ips(&self) -> &[String] {
        &self.ip
    }

    fn counts(&self) -> [Limit<u64>; 3] {
        [self.total_requests, self.wallet_requests, self.subscription_requests]
    }

    /// Returns whether use brings one of these limits nearer.
    pub(super) fn can_be_used_up(&self) -> bool {
        self.counts().into_iter().any(|limit| limit.limited().is_some()) || self.wallet_amount.limited().is_some()
    }

    /// Returns whether a response states other limits than these, which the client requested. One that states none leaves it open.
    pub(super) fn are_contradicted_by(&self, stated: &Self) -> bool {
        fn differs<T: PartialOrd>(requested: Limit<T>, stated: Limit<T>) -> bool {
            match (requested, stated) {
                (Limit::Limited(requested), Limit::Limited(stated)) => stated > requested,
                (Limit::Limited(_), Limit::Unlimited) => true,
                _ => false,
            }
        }
        self.counts().into_iter().zip(stated.counts()).any(|(requested, stated)| differs(requested, stated))
            || differs(self.wallet_amount, stated.wallet_amount)
            || (!self.ip.is_empty() && !addresses(&stated.ip).is_subset(&addresses(&self.ip)))
    }

    /// Refuses limits whose meaning is not documented.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |reason| Err(Error::invalid_input(format!("limits: {reason}")));
        if self.counts().contains(&Limit::Limited(0)) {
            return refuse("0 requests, whose meaning the vendor does not document");
        }
        if self.wallet_amount.limited().is_some_and(|amount| amount <= Decimal::ZERO) {
            return refuse("an amount that is not more than 0, whose meaning the vendor does not document");
        }
        if self.ip.iter().any(String::is_empty) {
            return refuse(
                "no address, so that the token could not be used from anywhere; leave `ip` out to allow all",
            );
        }
        Ok(())
    }
}

/// Parses addresses. Leaves out texts that are not one, such as networks, whose meaning is not documented.
fn addresses(texts: &[String]) -> HashSet<IpAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Writes the limits that are set, as the service reads them.
impl Serialize for TokenLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let names = ["totalRequests", "walletRequests", "subscriptionRequests"];
        for (name, limit) in names.into_iter().zip(self.counts()) {
            if let Some(limit) = limit.limited() {
                map.serialize_entry(name, &limit)?;
            }
        }
        if let Some(amount) = self.wallet_amount.limited() {
            map.serialize_entry("walletAmount", &money::number(amount).map_err(serde::ser::Error::custom)?)?;
        }
        if !self.ip.is_empty() {
            map.serialize_entry("ip", &self.ip)?;
        }
        map.end()
    }
}
