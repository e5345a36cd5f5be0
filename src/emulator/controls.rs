//! What a test can change while the emulator runs.

use std::time::Duration;

use rust_decimal::Decimal;

use super::{Emulator, Fault};
use crate::clock::Clock;
use crate::scope::{Scope, ScopeSet};

impl Emulator {
    /// Moves the emulator's clock forward, and every client that has this clock ([`Emulator::clock`]). A client with another clock falls
    /// behind, even if that is the [`ManualClock`](crate::clock::ManualClock) that you gave to
    /// [`EmulatorBuilder::clock`](super::EmulatorBuilder::clock): call `advance` of the `ManualClock` then, which moves both.
    pub fn advance(&self, duration: Duration) {
        self.shared.clock.advance(duration);
    }

    /// Delays every response from now on, in real time. The emulator processes a request at once: one that the client gives up on
    /// was processed all the same.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.state().latency = latency;
    }

    /// Makes the next requests fail, of any kind. Faults happen in the order in which they were set.
    pub fn fail_next(&self, times: usize, fault: Fault) {
        self.fail_next_on(times, "", fault);
    }

    /// Makes the next requests fail whose method and path begin like this: `"POST /token"`, `"DELETE"`, `"/echo"`. The path may
    /// include a service's prefix, as in `"POST /sandbox/token"` or `"POST /v2/production/tokens"`.
    pub fn fail_next_on(&self, times: usize, on: &str, fault: Fault) {
        self.shared.state().faults.plan(times, on, fault);
    }

    /// Drops the faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Grants only scopes that this set covers from now on, whatever is requested. Version 2 rejects a scope that is not in the
    /// catalog or not enabled all the same.
    pub fn grant_only(&self, scopes: impl Into<ScopeSet>) {
        self.shared.state().openapi.granted = Some(scopes.into());
    }

    /// Grants everything again.
    pub fn grant_all(&self) {
        self.shared.state().openapi.granted = None;
    }

    /// Sets the credit of the first account of Openapi.it in both environments, in euro; `None` removes its credit record. What is
    /// added becomes a transaction of version 2, a "Wallet recharge".
    ///
    /// ```
    /// use gettone::emulator::Emulator;
    /// use gettone::openapi::{Credentials, Decimal, v1::Oauth};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// let account = emulator.account();
    /// let credentials = Credentials::new(account.email(), account.production_key().clone());
    /// let oauth = Oauth::builder(credentials).base_url(emulator.production_url()).build()?;
    ///
    /// emulator.set_credit(Decimal::new(5, 2)); // 0.05 euro
    /// assert_eq!(oauth.credit().await?.amount(), Decimal::new(5, 2));
    /// emulator.set_credit(None);
    /// assert!(oauth.credit().await.unwrap_err().is_not_found());
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_credit(&self, credit: impl Into<Option<Decimal>>) {
        let now = self.shared.clock.now();
        self.shared.state().openapi.set_credit(credit.into(), now);
    }

    /// Adds an entry to the log of callbacks, which version 2 of Oauth shows: that the platform sent the result of a call with
    /// this scope to a URL of the first account, which responded with this status. Nothing is sent. Returns the entry's id.
    ///
    /// A scope whose host begins with `test.` belongs to the sandbox.
    ///
    /// ```
    /// use gettone::emulator::Emulator;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// let id = emulator.add_callback(&"GET:imprese.openapi.it/base".parse()?, "https://example.com/done", 200);
    /// let account = emulator.account();
    /// let http = gettone::reqwest::Client::builder().no_proxy().build()?;
    /// let request = http.get(format!("{}/callbacks/{id}", emulator.production_v2_url()));
    /// let response = request.basic_auth(account.email(), Some(account.production_key().expose())).send().await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_callback(&self, scope: &Scope, url: impl Into<String>, status: u16) -> String {
        let now = self.shared.clock.now();
        self.shared.state().openapi.add_callback(scope.clone(), url.into(), status, now)
    }

    /// Sets for how long `/echo` rejects a new token of Openapi.it as a "Wrong Token". Users saw 4 to 10 seconds.
    pub fn set_activation_delay(&self, delay: Duration) {
        self.shared.state().openapi.activation_delay = delay;
    }

    /// Sets whether a token of version 1 of Openapi.it Oauth is *single*. All tokens are at first. One that is not cannot be
    /// changed or deleted: the response is the documented 403.
    pub fn set_single(&self, token: &str, is_single: bool) {
        // An unknown token is no error here: the test knows which tokens exist.
        let _ = self.shared.state().openapi.set_single(token, is_single);
    }

    /// Revokes every token of both services, refresh tokens too.
    pub fn revoke_all(&self) {
        self.shared.state().revoke_all();
    }
}
