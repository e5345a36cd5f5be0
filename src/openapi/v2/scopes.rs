//! The scopes that an account may use, and what they cost.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::envelope::Object;
use super::limits::Limit;
use super::{read, write};
use crate::scope::Scope;

/// A scope of the vendor's catalog, and whether the account may use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct UserScope {
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    id: Option<String>,
    scope: Scope,
    #[serde(default, deserialize_with = "read::flag", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    enabled: Option<bool>,
}

impl UserScope {
    /// Returns the id of the entry, for [`Oauth::get_scope`](super::Oauth::get_scope).
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the scope.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns whether the account may use the scope. `false` also if the service does not say.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled == Some(true)
    }
}

impl Object for UserScope {
    const KEY: &'static str = "scope";
}

/// A scope of the vendor's catalog, with its prices, free requests and requirements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct ScopeDetail {
    #[serde(deserialize_with = "read::required_text")]
    id: String,
    scope: Scope,
    #[serde(default, deserialize_with = "read::flag", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    enabled: Option<bool>,
    #[serde(default)]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<Limit<String>>"))]
    rate_limit: Limit<String>,
    #[serde(default, deserialize_with = "read::lenient")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<FreeLimits>"))]
    free_limits: FreeLimits,
    #[serde(default, deserialize_with = "read::flags")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<BTreeMap<String, bool>>"))]
    requirements: BTreeMap<String, bool>,
    #[serde(default, deserialize_with = "read::amounts", serialize_with = "write::amounts")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<BTreeMap<String, f64>>"))]
    prices: BTreeMap<String, Decimal>,
}

impl ScopeDetail {
    /// Returns the id of the entry.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the scope.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns whether the account may use the scope. `false` also if the service does not say.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled == Some(true)
    }

    /// Returns how many requests the service accepts in a time, as a text whose form is not documented.
    #[must_use]
    pub fn rate_limit(&self) -> Limit<&str> {
        self.rate_limit.as_ref()
    }

    /// Returns how many requests are free of charge.
    #[must_use]
    pub fn free_limits(&self) -> &FreeLimits {
        &self.free_limits
    }

    /// Returns what the account must have done before it may use the scope, and whether it has: for example `id_card`.
    #[must_use]
    pub fn requirements(&self) -> &BTreeMap<String, bool> {
        &self.requirements
    }

    /// Returns the prices of a request. The names are the service's, and may differ from the endpoint in their letter case. By the vendor's
    /// other texts, prices are in euro.
    #[must_use]
    pub fn prices(&self) -> &BTreeMap<String, Decimal> {
        &self.prices
    }
}

impl Object for ScopeDetail {
    const KEY: &'static str = "id";
}

/// How many requests of a scope are free of charge.
///
/// [`Limit::Unlimited`] means that there is no limit of that kind; `Limited(0)`, that no request is free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(!default, transform = crate::json::first_paragraph))]
pub struct FreeLimits {
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Limit<u64>>"))]
    day_limit: Limit<u64>,
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Limit<u64>>"))]
    month_limit: Limit<u64>,
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Limit<u64>>"))]
    year_limit: Limit<u64>,
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Limit<u64>>"))]
    total_limit: Limit<u64>,
}

impl FreeLimits {
    /// Returns how many requests of a day are free.
    #[must_use]
    pub fn day(&self) -> Limit<u64> {
        self.day_limit
    }

    /// Returns how many requests of a month are free.
    #[must_use]
    pub fn month(&self) -> Limit<u64> {
        self.month_limit
    }

    /// Returns how many requests of a year are free.
    #[must_use]
    pub fn year(&self) -> Limit<u64> {
        self.year_limit
    }

    /// Returns how many requests are free over all time.
    #[must_use]
    pub fn total(&self) -> Limit<u64> {
        self.total_limit
    }
}
