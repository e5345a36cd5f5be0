//! Subscriptions, which pay for a number of requests of a scope.

use std::hash::Hash;
use std::time::SystemTime;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::entries::Identified;
use super::envelope::Object;
use super::read;
#[cfg(feature = "schemars")]
use super::schema;
use super::write;

/// A subscription of the account.
///
/// [`list_subscriptions`](super::Oauth::list_subscriptions) returns a part of what [`get_subscription`](super::Oauth::get_subscription)
/// returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct Subscription {
    #[serde(deserialize_with = "read::required_text")]
    id: String,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    scope: Option<String>,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    domain: Option<String>,
    #[serde(default, deserialize_with = "read::flag", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    active: Option<bool>,
    #[serde(default, deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<schema::NumberOrText>"))]
    available_requests: Option<u64>,
    #[serde(default, deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<schema::NumberOrText>"))]
    total_requests: Option<u64>,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    starts_at: Option<SystemTime>,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    expires_at: Option<SystemTime>,
    #[serde(default, with = "write::amount", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<f64>"))]
    price: Option<Decimal>,
    #[serde(default, with = "write::amount", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<f64>"))]
    price_per_request: Option<Decimal>,
    #[serde(rename = "type", default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    kind: Option<String>,
    #[serde(rename = "autorenew", default, deserialize_with = "read::flag", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    auto_renew: Option<bool>,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    created_at: Option<SystemTime>,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    updated_at: Option<SystemTime>,
}

impl Subscription {
    /// Returns the id of the subscription.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the scope that the subscription pays for, as the service writes it.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Returns the host that the subscription pays for. `None` in a list.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Returns whether the subscription is active.
    #[must_use]
    pub fn is_active(&self) -> Option<bool> {
        self.active
    }

    /// Returns how many requests the subscription has left.
    #[must_use]
    pub fn available_requests(&self) -> Option<u64> {
        self.available_requests
    }

    /// Returns how many requests the subscription pays for in all. `None` in a list.
    #[must_use]
    pub fn total_requests(&self) -> Option<u64> {
        self.total_requests
    }

    /// Returns when the subscription begins.
    #[must_use]
    pub fn starts_at(&self) -> Option<SystemTime> {
        self.starts_at
    }

    /// Returns when the subscription ends.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Returns the price of the subscription, probably in euro: the vendor does not document the currency. `None` in a list.
    #[must_use]
    pub fn price(&self) -> Option<Decimal> {
        self.price
    }

    /// Returns the price of one request. `None` in a list.
    #[must_use]
    pub fn price_per_request(&self) -> Option<Decimal> {
        self.price_per_request
    }

    /// Returns the type, for which the vendor uses `month`, `monthly` and `year`. `None` in a list.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Returns whether the subscription renews itself. `None` in a list.
    #[must_use]
    pub fn is_auto_renewed(&self) -> Option<bool> {
        self.auto_renew
    }

    /// Returns when the subscription was created. `None` in a list.
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        self.created_at
    }

    /// Returns when the subscription was last changed. `None` in a list.
    #[must_use]
    pub fn updated_at(&self) -> Option<SystemTime> {
        self.updated_at
    }
}

impl Object for Subscription {
    const KEY: &'static str = "id";
}

impl Identified for Subscription {
    fn identity(&self) -> impl Hash {
        &self.id
    }
}
