//! What a service granted less than was requested.

use crate::error::{Error, Kind};
use crate::scope::ScopeSet;

impl Error {
    pub(super) fn from_missing(scopes: ScopeSet) -> Self {
        Self::new(Kind::NotGranted).with_message(format!("not granted: {scopes}")).with_detail(scopes)
    }

    /// Returns the scopes that were requested and not granted, if that is the reason why there is no token.
    #[must_use]
    pub fn not_granted(&self) -> Option<&ScopeSet> {
        self.detail()
    }
}
