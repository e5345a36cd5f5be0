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
    /// `None` in credentials without a user name and a password.
    pub(super) password: Option<Secret>,
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
            password: Some(password.into()),
        }
    }

    /// Creates credentials for a program that must not have the password: for [`refresh`](super::Fatture::refresh) alone.
    ///
    /// With them, [`password_grant`](super::Fatture::password_grant) and all calls that get a managed token, such as
    /// [`token`](super::Fatture::token), send nothing and fail with [`is_invalid_input`](Error::is_invalid_input).
    ///
    /// ```no_run
    /// use gettone::RefreshToken;
    /// use gettone::keliweb::{Credentials, Fatture};
    ///
    /// # async fn run(stored: RefreshToken) -> Result<(), gettone::Error> {
    /// let fatture = Fatture::builder(Credentials::without_password("client id", "client secret")).build()?;
    /// let pair = fatture.refresh(&stored).await?; // save it before you use it: `stored` no longer works
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn without_password(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            username: String::new(),
            password: None,
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
        let client = [("client id", client_id.as_str()), ("client secret", client_secret.expose())];
        let login =
            password.iter().flat_map(|password| [("user name", username.as_str()), ("password", password.expose())]);
        match client.into_iter().chain(login).find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(Error::invalid_input(format!("Keliweb Fatture credentials: the {name} is empty"))),
            None => Ok(()),
        }
    }

    /// Returns the user name and the password.
    pub(super) fn login(&self) -> Result<(&str, &Secret), Error> {
        let missing = "the credentials have no user name and no password, so the client can only `refresh`";
        let password = self.password.as_ref().ok_or_else(|| Error::invalid_input(missing))?;
        Ok((&self.username, password))
    }
}
