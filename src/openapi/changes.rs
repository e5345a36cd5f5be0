//! Keeps the cache correct when a call changes or deletes tokens that the client may have cached.

use std::collections::HashSet;
use std::future::Future;

use crate::auth::managed::Managed;
use crate::cache::{TokenSource, Which};
use crate::error::Error;
use crate::http::transport::Timing;
use crate::token::AccessToken;

/// A source whose tokens calls can change and delete.
pub(super) trait Changeable: TokenSource {
    /// A token as the service describes it.
    type Token;

    fn text(token: &Self::Token) -> &AccessToken;

    /// Returns whether an error is the service's own, which says that it does not have the token.
    fn is_missing(error: &Error) -> bool;

    /// Records what became of a token. `None`: the service no longer has it.
    fn record(&self, token: &AccessToken, changed: Option<(&Self::Token, &Timing)>);

    /// Records that the service may have changed a token, its lifetime and its text.
    fn record_unsure(&self, token: &AccessToken) {
        let _ = token;
    }

    /// Searches for the tokens whose requests had no response, and remembers those that it finds.
    fn find_lost(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Returns the unexpired tokens that the client created for its cache.
    fn unexpired(&self) -> Vec<AccessToken>;

    /// Deletes a token at the service.
    fn delete_at_service(&self, token: &AccessToken) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Deletes a token that the client created. Returns whether it still existed.
pub(super) async fn delete<S: Changeable>(source: &S, token: &AccessToken) -> Result<bool, Error> {
    let existed = match source.delete_at_service(token).await {
        Ok(()) => true,
        Err(error) if S::is_missing(&error) => false,
        Err(error) => return Err(error),
    };
    source.record(token, None);
    Ok(existed)
}

/// Deletes the unexpired tokens that the client created for its cache. Returns how many it deleted.
pub(super) async fn revoke_created<S: Changeable>(tokens: &Managed<S>) -> Result<usize, Error> {
    // A request in flight may still create a token.
    tokens.wait_idle().await;
    let source = tokens.source();
    let found = source.find_lost().await;
    let created = source.unexpired();
    // Clears the cache first, so that no caller gets a token that is about to be deleted.
    let mut result = found.and(tokens.cache().clear(Which::Ended(created.iter().cloned().collect())).await);
    let mut deleted = 0;
    for token in &created {
        match delete(source, token).await {
            Ok(existed) => deleted += usize::from(existed),
            Err(error) => result = result.and(Err(error)),
        }
    }
    result.map(|()| deleted)
}

/// A call that changes or deletes a token. If it is dropped before the call is done, the client no longer returns the token.
pub(super) struct Change<'a, S: Changeable> {
    tokens: &'a Managed<S>,
    token: &'a AccessToken,
    which: fn(HashSet<AccessToken>) -> Which,
    /// Whether the token of the response is the same token, even under another text.
    is_same: bool,
    is_done: bool,
}

impl<'a, S: Changeable> Change<'a, S> {
    /// Begins a change to a token, which the service accepts afterwards.
    pub(super) fn begin(tokens: &'a Managed<S>, token: &'a AccessToken) -> Self {
        Self { tokens, token, which: Which::Changed, is_same: true, is_done: false }
    }

    /// Begins a call that ends a token.
    pub(super) fn ending(tokens: &'a Managed<S>, token: &'a AccessToken) -> Self {
        Self { tokens, token, which: Which::Ended, is_same: false, is_done: false }
    }

    /// Drops the token from the cache if the service has changed it, may have changed it, or does not have it.
    pub(super) async fn changed(mut self, result: Result<(S::Token, Timing), Error>) -> Result<S::Token, Error> {
        self.is_done = true;
        let error = result.as_ref().err();
        if error.is_some_and(is_without_effect::<S>) {
            return result.map(|(changed, _)| changed);
        }
        let is_gone = error.is_some_and(S::is_missing);
        let changed = result.as_ref().ok().map(|(changed, timing)| (changed, timing));
        if is_gone || changed.is_some() {
            self.tokens.source().record(self.token, changed);
        } else {
            self.tokens.source().record_unsure(self.token);
        }
        let which = if is_gone { Which::Ended } else { self.which };
        // The service may return it under another text. After a refresh, that is another token.
        let texts = [self.token].into_iter().chain(changed.map(|(changed, _)| S::text(changed)));
        let is_meant = |text: &&AccessToken| *text == self.token || self.is_same;
        let which = which(texts.filter(is_meant).cloned().collect());
        let cleared = self.tokens.cache().clear(which).await;
        cleared.and(result.map(|(changed, _)| changed))
    }

    /// Drops the token from the cache if the service has deleted it, may have deleted it, or does not have it.
    pub(super) async fn deleted(mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.is_done = true;
        if result.as_ref().is_err_and(is_without_effect::<S>) {
            return result;
        }
        if result.as_ref().map_or_else(S::is_missing, |()| true) {
            self.tokens.source().record(self.token, None);
        }
        result.and(self.tokens.cache().clear(Which::Ended(HashSet::from([self.token.clone()]))).await)
    }
}

/// Returns whether a call that failed like this left the token as it was.
fn is_without_effect<S: Changeable>(error: &Error) -> bool {
    !error.is_ambiguous() && !error.is_decode() && !S::is_missing(error)
}

impl<S: Changeable> Drop for Change<'_, S> {
    fn drop(&mut self) {
        if !self.is_done {
            self.tokens.source().record_unsure(self.token);
            self.tokens.cache().end(&(self.which)(HashSet::from([self.token.clone()])));
        }
    }
}
