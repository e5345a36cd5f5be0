//! The settings of the emulated Keliweb Fatture.

use super::customer::Customer;

/// The versions of Laravel Passport, the server software that Keliweb Fatture's samples point to, whose failures the emulator
/// sends. Which version runs there is not known.
///
/// ```
/// use gettone::emulator::{Emulator, PassportVersion};
///
/// let builder = Emulator::builder().passport_version(PassportVersion::Old);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PassportVersion {
    /// 401 `invalid_credentials` for a wrong password, 401 `invalid_request` for a rejected refresh token, both with a `message`.
    Old,
    /// 400 `invalid_grant` for both, with an `error_description`.
    #[default]
    New,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) customers: Vec<Customer>,
    pub(crate) passport: PassportVersion,
    pub(crate) issues_refresh_tokens: bool,
    /// Token requests in a minute, from one address.
    pub(crate) throttle: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            customers: Vec::new(),
            passport: PassportVersion::default(),
            issues_refresh_tokens: true,
            throttle: Some(60),
        }
    }
}

impl Settings {
    /// Adds the default customer if none was set.
    pub(crate) fn completed(mut self) -> Self {
        if self.customers.is_empty() {
            self.customers.push(Customer::default());
        }
        self
    }
}
