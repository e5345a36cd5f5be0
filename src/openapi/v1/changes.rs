//! Calls that change or delete tokens that the client may have cached.

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
    /// Guards a call that changes or deletes a token. If the call goes away without an answer, the token is not handed out any more.
    pub(super) fn unanswered(&self, which: fn(HashSet<AccessToken>) -> Which, token: &AccessToken) -> Unanswered<'_> {
        Unanswered { tokens: &self.tokens, which: Some(which(HashSet::from([token.clone()]))) }
    }

    /// A token that was changed is not what the cache knows of it, and neither is one that may have been. One that the service says it
    /// does not have is not handed out any more.
    pub(super) async fn drop_changed(
        &self,
        token: &AccessToken,
        result: Result<Token, Error>,
        timing: &Timing,
    ) -> Result<Token, Error> {
        let is_as_before = |error: &Error| !error.is_ambiguous() && !error.is_decode() && !is_missing(error);
        if result.as_ref().is_err_and(is_as_before) {
            return result;
        }
        let source = self.tokens.source();
        let changed = result.as_ref().ok();
        let is_gone = result.as_ref().is_err_and(is_missing);
        if (is_gone || changed.is_some())
            && source.ledger.remove(token)
            && let Some(changed) = changed
        {
            // It may have another name by now, and has another end.
            source.ledger.add(changed, timing);
        }
        let tokens = [token].into_iter().chain(changed.map(Token::token)).cloned().collect();
        let which = if is_gone { Which::Ended(tokens) } else { Which::Changed(tokens) };
        self.tokens.cache().clear(which).await.and(result)
    }

    /// A token that the service does not have, as it says, is not handed out any more, and neither is one that it may have deleted.
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

/// A call that changes or deletes a token, and was not answered yet.
pub(super) struct Unanswered<'a> {
    tokens: &'a Managed<Tokens>,
    which: Option<Which>,
}

impl Unanswered<'_> {
    pub(super) fn answered(mut self) {
        self.which = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(which) = &self.which {
            self.tokens.cache().end(which);
        }
    }
}
