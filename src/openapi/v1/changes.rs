//! Keeps the cache correct when a call changes or deletes a token that the client may have cached.

use std::collections::HashSet;

use super::operations::is_missing;
use super::{Oauth, Token};
use crate::auth::managed::Managed;
use crate::cache::Which;
use crate::error::Error;
use crate::http::transport::Timing;
use crate::token::AccessToken;

use super::source::Tokens;

impl Oauth {
    /// Returns a guard for a call that changes or deletes a token. If the call is dropped before it is done, the client no longer
    /// returns the token.
    pub(super) fn drop_unless_done(
        &self,
        which: fn(HashSet<AccessToken>) -> Which,
        token: &AccessToken,
    ) -> ChangeGuard<'_> {
        ChangeGuard { tokens: &self.tokens, which: Some(which(HashSet::from([token.clone()]))) }
    }

    /// Drops a token from the cache if the service has changed it, may have changed it, or does not have it.
    pub(super) async fn drop_changed(
        &self,
        token: &AccessToken,
        result: Result<Token, Error>,
        timing: &Timing,
    ) -> Result<Token, Error> {
        let is_unchanged = |error: &Error| !error.is_ambiguous() && !error.is_decode() && !is_missing(error);
        if result.as_ref().is_err_and(is_unchanged) {
            return result;
        }
        let source = self.tokens.source();
        let changed = result.as_ref().ok();
        let is_gone = result.as_ref().is_err_and(is_missing);
        if (is_gone || changed.is_some())
            && source.ledger.remove(token)
            && let Some(changed) = changed
        {
            // The service may return it under another text, with another expiration time.
            source.ledger.add(changed, timing);
        }
        let tokens = [token].into_iter().chain(changed.map(Token::token)).cloned().collect();
        let which = if is_gone { Which::Ended(tokens) } else { Which::Changed(tokens) };
        self.tokens.cache().clear(which).await.and(result)
    }

    /// Drops a token from the cache if the service has deleted it, may have deleted it, or does not have it.
    pub(super) async fn drop_deleted(&self, token: &AccessToken, result: Result<(), Error>) -> Result<(), Error> {
        let is_gone = result.as_ref().map_or_else(is_missing, |()| true);
        if is_gone {
            self.tokens.source().ledger.remove(token);
        } else if result.as_ref().is_err_and(|error| !error.is_ambiguous() && !error.is_decode()) {
            return result;
        }
        result.and(self.tokens.cache().clear(Which::Ended(HashSet::from([token.clone()]))).await)
    }
}

/// A call that changes or deletes a token. Ends the token in the cache if it is dropped before the call is done.
pub(super) struct ChangeGuard<'a> {
    tokens: &'a Managed<Tokens>,
    which: Option<Which>,
}

impl ChangeGuard<'_> {
    pub(super) fn done(mut self) {
        self.which = None;
    }
}

impl Drop for ChangeGuard<'_> {
    fn drop(&mut self) {
        if let Some(which) = &self.which {
            self.tokens.cache().end(which);
        }
    }
}
