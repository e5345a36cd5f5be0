//! What Keliweb knows a customer by.

use crate::env::from_env;
use crate::error::Error;
use crate::secret::Secret;

/// What Keliweb gave you when you signed up: a client id and secret for the API, and the name and password of the customer.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) username: String,
    pub(super) password: Secret,
}

impl Credentials {
    /// The four values. The user name is an e-mail address.
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

    /// The values of `KELIWEB_CLIENT_ID`, `KELIWEB_CLIENT_SECRET`, `KELIWEB_USERNAME` and `KELIWEB_PASSWORD`.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if one of them is not set, is empty, or is not UTF-8; all that are, are
    /// named.
    pub fn from_env() -> Result<Self, Error> {
        let names = ["KELIWEB_CLIENT_ID", "KELIWEB_CLIENT_SECRET", "KELIWEB_USERNAME", "KELIWEB_PASSWORD"];
        let [client_id, client_secret, username, password] = from_env(names)?;
        Ok(Self::new(client_id, client_secret, username, password))
    }
}

impl Credentials {
    /// Checks that nothing is missing.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Self { client_id, client_secret, username, password } = self;
        let fields = [
            ("client id", client_id.as_str()),
            ("client secret", client_secret.expose()),
            ("user name", username),
            ("password", password.expose()),
        ];
        match fields.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(Error::invalid_input(format!("Keliweb Fatture credentials: the {name} is empty"))),
            None => Ok(()),
        }
    }
}
