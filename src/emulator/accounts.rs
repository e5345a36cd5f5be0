//! Who may ask.

use super::clock::decimal;
use crate::Secret;
use rust_decimal::Decimal;

/// The e-mail address of the default [`Account`].
pub const EMAIL: &str = "test@example.com";
/// The API key of the default [`Account`] in production.
pub const PRODUCTION_KEY: &str = "production-key-of-the-emulator";
/// The API key of the default [`Account`] in the sandbox.
pub const SANDBOX_KEY: &str = "sandbox-key-of-the-emulator";
/// The client id of the default [`Customer`].
pub const CLIENT_ID: &str = "4a6af340-2672-11ec-8114-3ba47a898cf0";
/// The client secret of the default [`Customer`].
pub const CLIENT_SECRET: &str = "client-secret-of-the-emulator";
/// The user name of the default [`Customer`].
pub const USERNAME: &str = "customer@example.com";
/// The password of the default [`Customer`].
pub const PASSWORD: &str = "password-of-the-emulator";

/// An account of Openapi.it: one e-mail address, and in each environment a key, tokens, a credit and counters of its own.
#[derive(Debug, Clone)]
pub struct Account {
    email: String,
    production_key: Secret,
    sandbox_key: Secret,
    credit: Option<Decimal>,
}

impl Account {
    /// An account with a credit of 423.38 euro in either environment.
    #[must_use]
    pub fn new(email: impl Into<String>, production_key: impl Into<Secret>, sandbox_key: impl Into<Secret>) -> Self {
        Self {
            email: email.into(),
            production_key: production_key.into(),
            sandbox_key: sandbox_key.into(),
            credit: Some(decimal(42_338, 2)),
        }
    }

    /// What there is to spend, in euro, in either environment; `None` for an account that has no credit record.
    #[must_use]
    pub fn credit(mut self, credit: impl Into<Option<Decimal>>) -> Self {
        self.credit = credit.into();
        self
    }

    /// The user name.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The password in production.
    #[must_use]
    pub fn production_key(&self) -> &Secret {
        &self.production_key
    }

    /// The password in the sandbox.
    #[must_use]
    pub fn sandbox_key(&self) -> &Secret {
        &self.sandbox_key
    }

    pub(super) fn first_credit(&self) -> Option<Decimal> {
        self.credit
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new(EMAIL, PRODUCTION_KEY, SANDBOX_KEY)
    }
}

/// A customer of Keliweb Fatture, with the client through which they come.
#[derive(Debug, Clone)]
pub struct Customer {
    client_id: String,
    client_secret: Secret,
    username: String,
    password: Secret,
}

impl Customer {
    /// The four values that the password grant wants.
    #[must_use]
    pub fn new(
        client_id: impl Into<String>,
        client_secret: impl Into<Secret>,
        username: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            username: username.into(),
            password: password.into(),
        }
    }

    /// `client_id`
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// `client_secret`
    #[must_use]
    pub fn client_secret(&self) -> &Secret {
        &self.client_secret
    }

    /// `username`
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// `password`
    #[must_use]
    pub fn password(&self) -> &Secret {
        &self.password
    }
}

impl Default for Customer {
    fn default() -> Self {
        Self::new(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD)
    }
}
