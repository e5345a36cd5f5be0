//! The error for scopes that the service did not grant.

use crate::error::{Error, Kind};
use crate::scope::ScopeSet;

impl Error {
    pub(super) fn from_missing(scopes: ScopeSet) -> Self {
        Self::new(Kind::NotGranted).with_message(format!("not granted: {scopes}")).with_detail(scopes)
    }

    /// Returns the scopes that the service did not grant, or the wildcards that stand for no scope, if that is why the call failed.
    #[must_use]
    pub fn not_granted(&self) -> Option<&ScopeSet> {
        self.detail()
    }
}
