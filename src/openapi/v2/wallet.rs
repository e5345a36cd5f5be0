//! The credit of an account, and what it was spent on.

use std::hash::Hash;
use std::time::SystemTime;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize};

use super::entries::Identified;
use super::envelope::Object;
use super::read::{self, documented};
use super::write;

/// The credit that an account has left to spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct Wallet {
    #[serde(deserialize_with = "read::required_amount", serialize_with = "write::required_amount")]
    #[cfg_attr(feature = "schemars", schemars(with = "f64"))]
    credit: Decimal,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    created_at: Option<SystemTime>,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    updated_at: Option<SystemTime>,
}

impl Wallet {
    /// Returns the credit, with as many decimal places as the service sent. By the vendor's other texts, it is in euro.
    ///
    /// Compare it with a price, not with zero: the vendor prints a balance of `1.19E-12` in an example of another service.
    #[must_use]
    pub fn credit(&self) -> Decimal {
        self.credit
    }

    /// Returns when the wallet was created.
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        self.created_at
    }

    /// Returns when the wallet changed last.
    #[must_use]
    pub fn updated_at(&self) -> Option<SystemTime> {
        self.updated_at
    }
}

impl Object for Wallet {
    const KEY: &'static str = "credit";
}

/// A payment from the wallet, or into it.
///
/// The service may add small charges up before they become one: the sum need not match [`Stats::wallet_amount`](super::Stats::wallet_amount).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct Transaction {
    #[serde(deserialize_with = "read::required_text")]
    id: String,
    #[serde(deserialize_with = "read::required_amount", serialize_with = "write::required_amount")]
    #[cfg_attr(feature = "schemars", schemars(with = "f64"))]
    amount: Decimal,
    #[serde(default, with = "write::time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default, with = "Option<String>"))]
    created_at: Option<SystemTime>,
    #[serde(default, deserialize_with = "read::text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    description: Option<String>,
}

impl Transaction {
    /// Returns the id of the transaction.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the amount: negative if it was spent, positive if it was credited.
    #[must_use]
    pub fn amount(&self) -> Decimal {
        self.amount
    }

    /// Returns when the transaction was made.
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        self.created_at
    }

    /// Returns what the transaction was for, as free text: `API usage - company.openapi.com`.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

#[derive(Deserialize)]
#[serde(remote = "Transaction", rename_all = "camelCase")]
struct Documented {
    #[serde(deserialize_with = "documented::required_text")]
    id: String,
    #[serde(deserialize_with = "read::required_amount")]
    amount: Decimal,
    #[serde(default, deserialize_with = "documented::time")]
    created_at: Option<SystemTime>,
    #[serde(default, deserialize_with = "documented::text")]
    description: Option<String>,
}

impl Object for Transaction {
    const KEY: &'static str = "id";

    fn documented<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Documented::deserialize(deserializer)
    }
}

impl Identified for Transaction {
    fn identity(&self) -> impl Hash {
        &self.id
    }
}
