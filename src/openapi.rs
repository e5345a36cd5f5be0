//! Openapi.it: the client of its Oauth 1.0.0 in [`v1`], and the types that all versions of that service share.
//!
//! Openapi.it sells some 270 endpoints, from company data to certified mail. Its Oauth service issues the tokens that all of them need.

mod changes;
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
/// The decimal number of [`Credit::amount`](v1::Credit::amount), from the crate `rust_decimal`.
pub use rust_decimal::Decimal;
pub use ttl::Ttl;
