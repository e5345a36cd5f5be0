//! The credentials of a customer of Keliweb.

use crate::env::from_env;
use crate::error::Error;
use crate::secret::Secret;

/// The credentials of a customer of Keliweb: a client id and a client secret for the API, a user name and a password.
///
/// ```
/// use gettone::keliweb::Credentials;
///
/// let credentials = Credentials::new("client id", "client secret", "test@example.com", "secret password");
/// assert!(!format!("{credentials:?}").contains("secret password"));
/// ```
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) username: String,
    pub(super) password: Secret,
}

impl Credentials {
    /// Creates credentials from the four values. The user name is an e-mail address.
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

    /// Reads the environment variables `KELIWEB_CLIENT_ID`, `KELIWEB_CLIENT_SECRET`, `KELIWEB_USERNAME` and `KELIWEB_PASSWORD`.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): a variable is not set, is empty, or is not UTF-8. The error names each such
    ///   variable.
    pub fn from_env() -> Result<Self, Error> {
        let names = ["KELIWEB_CLIENT_ID", "KELIWEB_CLIENT_SECRET", "KELIWEB_USERNAME", "KELIWEB_PASSWORD"];
        let [client_id, client_secret, username, password] = from_env(names)?;
        Ok(Self::new(client_id, client_secret, username, password))
    }
}

impl Credentials {
    /// Checks that no value is empty.
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
