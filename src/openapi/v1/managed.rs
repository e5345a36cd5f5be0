//! Tokens that look after themselves.

use std::collections::HashSet;
use std::fmt;

use super::source::Tokens;
use super::{Oauth, Token, Ttl, is_missing};
use crate::builder::Builder;
use crate::cache::{Cache, Handle, Which};
use crate::transport::Stamp;
use crate::{AccessToken, Error, ScopeSet};

/// What can be said of the tokens that the client looks after.
pub struct Options {
    pub(super) scopes: Option<ScopeSet>,
    pub(super) ttl: Ttl,
    pub(super) reuse_existing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { scopes: None, ttl: Ttl::DAY, reuse_existing: false }
    }
}

/// What is said here is about the tokens that the client looks after.
impl Builder<Oauth> {
    /// Sets what [`authorize`](Oauth::authorize) may request tokens for. For each request it picks one of these patterns:
    ///
    /// 1. A pattern counts if it stands for the host of the URL. `imprese.openapi.it` stands for that host alone;
    ///    `*.openapi.it` for the hosts below that domain, but not for the domain itself; `*` for `openapi.it`, `openapi.com`,
    ///    `altravia.com` and the hosts below them, and for no other host.
    /// 2. Of those, a pattern counts if it [covers](crate::ScopePattern::covers) the method and the path. If none is left, the
    ///    request is refused and no token is requested.
    /// 3. Of those, the narrowest is picked: first by host (one written out, then the longest domain behind `*.`, then `*`), then
    ///    by path (the longest, and `*` last), then by method (one written out before `*`).
    /// 4. A token is requested for that pattern and nothing else, unless [`token`](Oauth::token) has cached one that will do; that
    ///    one may be good for more. A token requested with `*` as the host goes to the three domains and no further.
    ///
    /// With `*:*/*` and `GET:example.com/a`, for example, `GET https://example.com/a` gets a token for `GET:example.com/a`, and
    /// `POST https://example.com/a` is refused.
    ///
    /// Without this setting, a request to `openapi.it`, `openapi.com`, `altravia.com` or a host below them gets a token for the one
    /// scope that it needs: its method, its host and the first segment of its path. Name the vendor's other hosts here, and
    /// endpoints of more than one segment, such as `POST:test.postontarget.com/fields/country`: a token for `…/fields` may not be
    /// granted, or not be good for them. An empty set is refused by [`build`](Self::build).
    ///
    /// The letter case of the host, a dot after it, the port and the user in the URL make no difference.
    #[must_use]
    pub fn scopes(mut self, scopes: ScopeSet) -> Self {
        self.options.scopes = Some(scopes);
        self
    }

    /// How long the tokens live at most. Default: one day.
    ///
    /// From 20 minutes on, each token lives up to a quarter less, and up to six hours less: a lifetime drawn by chance tells a token
    /// whose answer was lost from those of other programs. With a shorter lifetime, a token whose answer was lost is left behind.
    #[must_use]
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// Whether to look for a living token of the account that will do, before one is made. It takes `GET /token`, and with
    /// wildcards `GET /scopes` too. Default: no.
    ///
    /// A token that is found may be good for more than the scopes asked for, whatever it was made for.
    #[must_use]
    pub fn reuse_existing(mut self, reuse: bool) -> Self {
        self.options.reuse_existing = reuse;
        self
    }
}

impl Oauth {
    /// A token that is good for all of these scopes now.
    ///
    /// The first call makes one, with the lifetime that the [builder](Builder::ttl) sets. Later calls for the same scopes return
    /// the same one from memory. So do calls for fewer scopes, if the token was granted each of them by its name, or a wildcard that
    /// stands for them. (A token for `/fields` does not serve a call for `/fields/country`: the service may know both as scopes.) Some
    /// minutes before the token expires the client makes the next one in the background, while calls go on with the one that is still
    /// good; nobody waits.
    ///
    /// Callers without a token wait for the same request, and share its error. After a failure the client pauses: a second or two,
    /// doubling to a minute or two; or five to ten minutes, doubling to an hour or two, if the service refused the credentials or the
    /// scopes, or if its answer cannot be read. A call during the pause sends nothing and returns the error of the last attempt,
    /// which [says so](Error::is_backing_off) and tells the [time left](Error::retry_after). A pause ends before a token that is
    /// still good. A caller that goes away cancels nothing.
    ///
    /// The token is returned before the [store](Builder::store) has kept it: call [`wait_idle`](Self::wait_idle) before the program ends.
    ///
    /// If the answer to the request for a token is lost, the client searches the account's tokens for it before it makes another
    /// one. It takes only a token that is certainly its own, see [`revoke_created`](Self::revoke_created).
    ///
    /// Who has to wait may wait for minutes, if the service answers late: the [timeout](Builder::timeout) is that of each call,
    /// of which one is enough as a rule, and eight may be needed where answers are lost; and a store may have to be waited for.
    /// Put a limit of your own around it; what was begun goes on.
    ///
    /// # Errors
    ///
    /// - [`not_granted`](Error::not_granted): the service granted less than was asked for. The token was deleted again.
    /// - [`is_invalid_input`](Error::is_invalid_input): the set is empty, the service takes the scopes for invalid, or there is
    ///   no tokio runtime and no token that is good.
    /// - [those of all operations](Self#errors)
    pub async fn token(&self, scopes: &ScopeSet) -> Result<AccessToken, Error> {
        self.tokens.get(scopes).await
    }

    /// A handle for a set of scopes: [`get`](TokenHandle::get) is [`token`](Self::token) without the looking up.
    ///
    /// ```no_run
    /// # async fn run(oauth: gettone::openapi::v1::Oauth, scopes: gettone::ScopeSet) -> Result<(), gettone::Error> {
    /// let imprese = oauth.token_for(&scopes);
    /// let token = imprese.get().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token_for(&self, scopes: &ScopeSet) -> TokenHandle {
        TokenHandle(self.tokens.handle(scopes))
    }

    /// Drops this token wherever the client holds it, because a service refused it; never a newer one. The next call gets
    /// another. A token that was made some seconds ago may be refused and be good a little later.
    ///
    /// A store learns of it when the next token is saved.
    ///
    /// A token that is refused within a second after another one was dropped is kept, and the time doubles to five minutes, until
    /// ten minutes pass without a refusal: where one token after the other is refused, it is not the token that is wrong, and
    /// it may be good for other endpoints.
    pub fn invalidate(&self, token: &AccessToken) {
        self.tokens.invalidate(token);
    }

    /// Waits until no token is being fetched and the store has kept the last one. Call it before the program ends: an exchange that
    /// is cut off may leave a token behind that nobody knows, and a token that the store did not keep is not there for the next run.
    /// If exchanges are on a runtime that nobody drives any more, it waits for all of
    /// them together as long as one may take; outside a tokio runtime that has timers, without end.
    pub async fn wait_idle(&self) {
        self.tokens.wait_idle().await;
    }

    /// Drops all tokens that the client has asked for since it was built, from memory and from the store. What an earlier client left
    /// in the store stays there, and at the service they all live on: [`revoke_created`](Self::revoke_created) deletes those that
    /// this client made.
    ///
    /// # Errors
    ///
    /// Whatever it is, none of these tokens is handed out any more.
    ///
    /// - [`is_store`](Error::is_store): the store failed.
    /// - [`is_timeout`](Error::is_timeout): an exchange is under way on a runtime that nobody drives any more. It was given up; another
    ///   call comes through. All such exchanges together are waited for as long as one may take.
    pub async fn clear(&self) -> Result<(), Error> {
        self.tokens.clear(Which::All).await
    }

    #[cfg(feature = "middleware")]
    pub(crate) fn cache(&self) -> &Cache<Tokens> {
        &self.tokens
    }

    /// Deletes the tokens that this client, or a clone of it, has made to look after and that have not expired: at the service,
    /// in memory and in the store. What [`create_token`](Self::create_token) made is not among them. Gives the number of those
    /// that were deleted.
    ///
    /// If the answer to a request for a token was lost, the client searches the account's tokens for it. It deletes only a token
    /// that is certainly its own: one with nothing but the scopes that were asked for, and with the one end that the request
    /// can have made ([`Builder::ttl`] says why there is only one). A token that cannot be told from others is left behind until its
    /// end, and so is one that the service makes more than 15 seconds after the client gave up.
    ///
    /// # Errors
    ///
    /// The first error of all; the other tokens are deleted nevertheless, and those that were not are tried again by the next
    /// call.
    ///
    /// - [`is_store`](Error::is_store): the store failed.
    /// - [those of all operations](Self#errors)
    pub async fn revoke_created(&self) -> Result<usize, Error> {
        // What is under way may be about to bring one.
        self.tokens.wait_idle().await;
        let source = self.tokens.source();
        let found = source.find_lost().await;
        let tokens = source.living();
        // First here, so that nobody is given what is about to be deleted.
        let mut result = found.and(self.tokens.clear(Which::Ended(tokens.iter().cloned().collect())).await);
        let mut deleted = 0;
        for token in &tokens {
            match source.delete(token).await {
                Ok(there) => deleted += usize::from(there),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| deleted)
    }

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
        stamp: &Stamp,
    ) -> Result<Token, Error> {
        let is_as_before = |error: &Error| !error.is_ambiguous() && !error.is_decode() && !is_missing(error);
        if result.as_ref().is_err_and(is_as_before) {
            return result;
        }
        let source = self.tokens.source();
        let changed = result.as_ref().ok();
        let is_gone = result.as_ref().is_err_and(is_missing);
        if (is_gone || changed.is_some())
            && source.strike_out(token)
            && let Some(changed) = changed
        {
            // It may have another name by now, and has another end.
            source.remember(changed, stamp);
        }
        let tokens = [token].into_iter().chain(changed.map(Token::token)).cloned().collect();
        let which = if is_gone { Which::Ended(tokens) } else { Which::Changed(tokens) };
        self.tokens.clear(which).await.and(result)
    }

    /// A token that the service does not have, as it says, is not handed out any more, and neither is one that it may have deleted.
    pub(super) async fn drop_deleted(&self, token: &AccessToken, result: Result<(), Error>) -> Result<(), Error> {
        let is_gone = result.as_ref().map_or_else(is_missing, |()| true);
        if is_gone {
            self.tokens.source().strike_out(token);
        } else if result.as_ref().is_err_and(|error| !error.is_ambiguous() && !error.is_decode()) {
            return result;
        }
        result.and(self.tokens.clear(Which::Ended(HashSet::from([token.clone()]))).await)
    }
}

/// A call that changes or deletes a token, and was not answered yet.
pub(super) struct Unanswered<'a> {
    tokens: &'a Cache<Tokens>,
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
            self.tokens.end(which);
        }
    }
}

/// The tokens for one set of scopes, as of [`Oauth::token_for`]. Cheap to clone.
#[derive(Clone)]
pub struct TokenHandle(Handle<Tokens>);

impl TokenHandle {
    /// As [`Oauth::token`]. While the token is good it takes no lock and allocates nothing.
    ///
    /// # Errors
    ///
    /// As [`Oauth::token`].
    #[inline]
    pub async fn get(&self) -> Result<AccessToken, Error> {
        self.0.get().await
    }

    /// As [`Oauth::invalidate`].
    pub fn invalidate(&self, token: &AccessToken) {
        self.0.cache().invalidate(token);
    }
}

/// For what, and no token.
impl fmt::Debug for TokenHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenHandle").field(&format_args!("{}", self.0.key())).finish()
    }
}
