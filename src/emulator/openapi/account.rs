//! The accounts of Openapi.it.

use rust_decimal::Decimal;

use crate::secret::Secret;

/// The e-mail address of the default [`Account`].
pub const EMAIL: &str = "test@example.com";
/// The API key of the default [`Account`] in production.
pub const PRODUCTION_KEY: &str = "production-key-of-the-emulator";
/// The API key of the default [`Account`] in the sandbox.
pub const SANDBOX_KEY: &str = "sandbox-key-of-the-emulator";

/// An account of Openapi.it: an e-mail address, and in each environment its own API key, tokens, credit and counters. It is the
/// same account for both versions of Oauth.
///
/// ```
/// use gettone::emulator::{Account, Emulator};
/// use gettone::openapi::Decimal;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let account = Account::new("poor@example.com", "production key", "sandbox key").with_credit(Decimal::new(5, 2));
/// let emulator = Emulator::builder().account(account).start().await?;
/// assert_eq!(emulator.account().email(), "poor@example.com");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Account {
    email: String,
    production_key: Secret,
    sandbox_key: Secret,
    credit: Option<Decimal>,
}

impl Account {
    /// Creates an account with a credit of 423.38 euro in each environment.
    #[must_use]
    pub fn new(email: impl Into<String>, production_key: impl Into<Secret>, sandbox_key: impl Into<Secret>) -> Self {
        Self {
            email: email.into(),
            production_key: production_key.into(),
            sandbox_key: sandbox_key.into(),
            credit: Some(Decimal::new(42_338, 2)),
        }
    }

    /// Sets the credit that the account starts with in each environment, in euro; `None` for no credit record.
    #[must_use]
    pub fn with_credit(mut self, credit: impl Into<Option<Decimal>>) -> Self {
        self.credit = credit.into();
        self
    }

    /// Returns the e-mail address, which is the user name of a login.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Returns the API key for production.
    #[must_use]
    pub fn production_key(&self) -> &Secret {
        &self.production_key
    }

    /// Returns the API key for the sandbox.
    #[must_use]
    pub fn sandbox_key(&self) -> &Secret {
        &self.sandbox_key
    }

    pub(super) fn initial_credit(&self) -> Option<Decimal> {
        self.credit
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new(EMAIL, PRODUCTION_KEY, SANDBOX_KEY)
    }
}
