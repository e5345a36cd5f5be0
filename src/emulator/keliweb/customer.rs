//! The customers of Keliweb Fatture.

use crate::secret::Secret;

/// The client id of the default [`Customer`].
pub const CLIENT_ID: &str = "4a6af340-2672-11ec-8114-3ba47a898cf0";
/// The client secret of the default [`Customer`].
pub const CLIENT_SECRET: &str = "client-secret-of-the-emulator";
/// The user name of the default [`Customer`].
pub const USERNAME: &str = "customer@example.com";
/// The password of the default [`Customer`].
pub const PASSWORD: &str = "password-of-the-emulator";

/// A customer of Keliweb Fatture, and the OAuth client that the customer logs in with.
///
/// ```
/// use gettone::emulator::{Customer, Emulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let customer = Customer::new("client id", "client secret", "mario@example.com", "password");
/// let emulator = Emulator::builder().customer(customer).start().await?;
/// assert_eq!(emulator.customer().username(), "mario@example.com");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Customer {
    client_id: String,
    client_secret: Secret,
    username: String,
    password: Secret,
}

impl Customer {
    /// Creates a customer from the four values of a password grant.
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

    /// Returns the `client_id`.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the `client_secret`.
    #[must_use]
    pub fn client_secret(&self) -> &Secret {
        &self.client_secret
    }

    /// Returns the `username`.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Returns the `password`.
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
