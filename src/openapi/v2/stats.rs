//! Figures of use: of an account, a domain, a scope or a token.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::envelope::Object;
use super::read::documented::{self, Part};
use super::{read, write};
use crate::json::raw;
use crate::scope::{Entries, Scope, ScopeEntries, read_scope_entries};

/// How much an account, a domain, a scope or a token was used.
///
/// Which figures the service returns depends on what they are of; it requires none of them. Do not expect sums to match: the vendor's own
/// examples do not.
///
/// Serde reads and writes the service's form. It leaves out what the service did not send.
///
/// ```
/// use gettone::openapi::v2::Stats;
///
/// let stats: Stats = serde_json::from_str(r#"{"totalRequests": "7", "walletAmount": 0.45}"#)?;
/// assert_eq!(serde_json::to_string(&stats)?, r#"{"totalRequests":7,"walletAmount":0.45}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(!default, transform = crate::json::first_paragraph))]
pub struct Stats {
    #[serde(deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    total_requests: Option<u64>,
    #[serde(deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    wallet_requests: Option<u64>,
    #[serde(deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    subscription_requests: Option<u64>,
    #[serde(deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    error_requests: Option<u64>,
    #[serde(with = "write::amount", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    wallet_amount: Option<Decimal>,
    #[serde(deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    total_ips: Option<u64>,
    #[serde(deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    total_apis: Option<u64>,
    #[serde(deserialize_with = "read::count", skip_serializing_if = "Option::is_none")]
    total_scopes: Option<u64>,
    #[serde(deserialize_with = "read::texts", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schemars", schemars(with = "Option<Vec<String>>"))]
    ip: Vec<String>,
}

impl Stats {
    /// Returns the number of requests.
    #[must_use]
    pub fn total_requests(&self) -> Option<u64> {
        self.total_requests
    }

    /// Returns how many of them the wallet paid for.
    #[must_use]
    pub fn wallet_requests(&self) -> Option<u64> {
        self.wallet_requests
    }

    /// Returns how many of them a subscription paid for.
    #[must_use]
    pub fn subscription_requests(&self) -> Option<u64> {
        self.subscription_requests
    }

    /// Returns how many of them failed.
    #[must_use]
    pub fn error_requests(&self) -> Option<u64> {
        self.error_requests
    }

    /// Returns how much the wallet paid.
    #[must_use]
    pub fn wallet_amount(&self) -> Option<Decimal> {
        self.wallet_amount
    }

    /// Returns the number of addresses that called. Of an account and of a domain.
    #[must_use]
    pub fn total_ips(&self) -> Option<u64> {
        self.total_ips
    }

    /// Returns the number of domains that were called. Of an account.
    #[must_use]
    pub fn total_apis(&self) -> Option<u64> {
        self.total_apis
    }

    /// Returns the number of scopes that were called. Of a domain.
    #[must_use]
    pub fn total_scopes(&self) -> Option<u64> {
        self.total_scopes
    }

    /// Returns the addresses that called, as the service writes them. Of a token, a scope, and a domain that was
    /// [asked for alone](super::Oauth::stats_api).
    #[must_use]
    pub fn ips(&self) -> &[String] {
        &self.ip
    }
}

impl Object for Stats {
    const KEY: &'static str = "totalRequests";
}

#[derive(Deserialize)]
#[serde(remote = "Stats", rename_all = "camelCase")]
struct Documented {
    total_requests: Option<u64>,
    wallet_requests: Option<u64>,
    subscription_requests: Option<u64>,
    error_requests: Option<u64>,
    #[serde(default, deserialize_with = "read::amount")]
    wallet_amount: Option<Decimal>,
    total_ips: Option<u64>,
    total_apis: Option<u64>,
    total_scopes: Option<u64>,
    #[serde(default, deserialize_with = "documented::texts")]
    ip: Vec<String>,
}

impl Part for Stats {
    fn documented<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Documented::deserialize(deserializer)
    }
}

/// How much a domain was used, and each scope of it.
///
/// ```no_run
/// # async fn run(oauth: gettone::openapi::v2::Oauth) -> Result<(), gettone::Error> {
/// use gettone::openapi::Period;
///
/// let company = oauth.stats_api("company.openapi.com", Period::total()).await?;
/// for (scope, stats) in company.scopes() {
///     println!("{scope}: {}", stats.total_requests().unwrap_or_default());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
pub struct ApiStats {
    #[serde(flatten)]
    stats: Stats,
    #[serde(serialize_with = "write::by_scope", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schemars", schemars(with = "Option<std::collections::BTreeMap<String, Stats>>"))]
    scopes: Vec<(Scope, Stats)>,
    #[serde(skip)]
    unrecognized: Vec<(String, Value)>,
}

impl ApiStats {
    /// Returns the figures of the domain.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns the figures of each scope, in the service's order.
    #[must_use]
    pub fn scopes(&self) -> &[(Scope, Stats)] {
        &self.scopes
    }

    /// Returns the entries that are not a scope with its figures, as the service sent them.
    #[must_use]
    pub fn unrecognized(&self) -> &[(String, Value)] {
        &self.unrecognized
    }
}

impl fmt::Debug for ApiStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiStats")
            .field("stats", &self.stats)
            .field("scopes", &self.scopes)
            .field("unrecognized", &Entries(self.unrecognized.len()))
            .finish()
    }
}

impl<'de> Deserialize<'de> for ApiStats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = raw(deserializer)?;
        let stats = serde_json::from_str(&text).map_err(de::Error::custom)?;
        let ByScope { scopes } = serde_json::from_str(&text).map_err(de::Error::custom)?;
        let ScopeEntries { known, unrecognized } = scopes;
        Ok(Self { stats, scopes: known, unrecognized })
    }
}

#[derive(Deserialize)]
struct ByScope {
    #[serde(default = "ScopeEntries::empty", deserialize_with = "scopes")]
    scopes: ScopeEntries<Stats>,
}

fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ScopeEntries<Stats>, D::Error> {
    let value = raw(deserializer)?;
    Ok(read_scope_entries(&mut serde_json::Deserializer::from_str(&value)).unwrap_or_else(|_| ScopeEntries::empty()))
}

impl Object for ApiStats {
    const KEY: &'static str = Stats::KEY;
}
