//! Openapi.it: the clients of its Oauth, in [`v2`] and [`v1`], and the types that both share.
//!
//! Openapi.it sells some 270 endpoints, from company data to certified mail. Its Oauth service issues the tokens that all of them need. The
//! vendor calls version 1 deprecated: start with [`v2`]. A program chooses the version in its code; no client switches to the other.
//!
//! | | [`v2`] | [`v1`] |
//! |---|---|---|
//! | host | `oauth.openapi.com` | `oauth.openapi.it` |
//! | client | [`v2::Oauth`], [`v2::RefreshClient`] | [`v1::Oauth`] |
//! | moving from version 1 to version 2 | [the guide](crate::guide::migrating#from-version-1-to-version-2) | |

mod changes;
mod creating;
mod credentials;
mod environment;
mod money;
mod not_granted;
mod options;
mod period;
mod requests;
mod scope_of_request;
mod sharing;
mod ttl;
pub mod v1;
pub mod v2;

pub use credentials::Credentials;
pub use environment::Environment;
pub use period::Period;
/// An amount of money, such as [`v2::Wallet::credit`], as a decimal number of the crate `rust_decimal`.
pub use rust_decimal::Decimal;
pub use ttl::Ttl;

/// The error message of a call with an empty set of scopes.
const NO_SCOPES: &str = "the set of scopes is empty; name at least one, such as `GET:company.openapi.com/IT-start`";

/// Returns each error code in the examples of a spec, with the status above it.
#[cfg(test)]
fn documented_codes(spec: &str) -> std::collections::BTreeSet<(&str, &str)> {
    let mut status = "";
    let lines = spec.lines().map(str::trim).filter_map(|line| {
        status = line.strip_prefix('\'').and_then(|line| line.strip_suffix("':")).unwrap_or(status);
        Some((line.strip_prefix("error: ").filter(|code| *code != "null")?, status))
    });
    lines.collect()
}
