//! Openapi.it, with some 270 paid services from company data to certified mail, and one token service in front of them.
//!
//! [`v1`] is the client of its Oauth 1.0.0. What the versions of that service share stands here.

mod credentials;
mod environment;
mod not_granted;
mod period;
mod requests;
mod scope_of_request;
mod sharing;
mod ttl;
pub mod v1;

pub use credentials::Credentials;
pub use environment::Environment;
pub use period::Period;
pub use rust_decimal::Decimal;
pub use ttl::Ttl;
