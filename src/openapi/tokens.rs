//! Tokens that look after themselves.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;

use super::{Api, CREATE_TOKEN, Credentials, Oauth, Token, Ttl, invalid};
use crate::builder::Builder;
use crate::cache::{Fetched, Handle, TokenSource, window};
use crate::clock::Moment;
use crate::store::{Scopes, StoredToken};
use crate::transport::Stamp;
use crate::{AccessToken, Error, Scope, ScopePattern, ScopeSet, trace};

/// What can be said of the tokens that the client looks after.
pub struct Options {
    pub(super) scopes: Option<ScopeSet>,
    ttl: Ttl,
    reuse_existing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { scopes: None, ttl: Ttl::DAY, reuse_existing: false }
    }
}

/// What is said here is about the tokens that the client looks after.
impl Builder<Oauth> {
    /// What [`authorize`](Oauth::authorize) may ask tokens for. A request that these patterns do not cover is not authorized;
    /// for one that they cover, a token is asked for what the narrowest of them says.
    ///
    /// Without them a request to any host below `openapi.it`, `openapi.com` and `altravia.com` is authorized, with a token for
    /// the one scope that it needs. The vendor's other hosts are to be named here. An asterisk in place of the whole host
    /// names no host and stands for those three domains.
    #[must_use]
    pub fn scopes(mut self, scopes: ScopeSet) -> Self {
        self.options.scopes = Some(scopes);
        self
    }

    /// How long the tokens are to live. Default: one day.
    #[must_use]
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// Whether to look for a living token of the account that will do, before one is made. It takes `GET /token`, and with
    /// wildcards `GET /scopes` too. Default: no.
    #[must_use]
    pub fn reuse_existing(mut self, reuse: bool) -> Self {
        self.options.reuse_existing = reuse;
        self
    }
}

impl Oauth {
    /// A token that is good for all of these scopes now.
    ///
    /// The first call makes one, with the lifetime that the [builder](Builder::ttl) says. Later calls for the same scopes get
    /// the same one, at the cost of looking it up; so do calls for less, if the token was granted that. Some minutes before
    /// its end the next one is made in the background, while all calls go on with the token that is still good; nobody waits.
    ///
    /// All callers that have to wait, wait for the same request, and share its error. After a failure there is a pause before
    /// the next request, with the same error at once for those who ask meanwhile: a second or two, doubling to a minute or
    /// two; or five to ten minutes, doubling to an hour or two, if the service refused the credentials or the scopes. A caller that goes away takes
    /// nothing with it.
    ///
    /// Should the answer to the request for a token be lost, the account's tokens are looked through for it before another is
    /// made.
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
    /// # async fn run(oauth: gettone::openapi::Oauth, scopes: gettone::ScopeSet) -> Result<(), gettone::Error> {
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

    /// Waits until no token is being fetched. A program that is about to end should do so: an exchange that is cut off in the
    /// middle may leave a token behind that nobody knows.
    pub async fn settled(&self) {
        self.tokens.settled().await;
    }

    /// Drops all tokens that the client has asked for, from memory and from the store. At the service they live on:
    /// [`revoke_created`](Self::revoke_created) deletes those that this client made.
    ///
    /// # Errors
    ///
    /// [`is_store`](Error::is_store): the store failed; in memory there is nothing left.
    pub async fn forget(&self) -> Result<(), Error> {
        self.tokens.forget(|_| true).await
    }

    #[cfg(feature = "middleware")]
    pub(crate) fn cache(&self) -> &crate::cache::Cache<Tokens> {
        &self.tokens
    }

    /// Deletes the tokens that this client, or a clone of it, has made to look after and that have not expired: at the service,
    /// in memory and in the store. What [`create_token`](Self::create_token) made is not among them. Gives the number of those
    /// that were deleted.
    ///
    /// # Errors
    ///
    /// The first error of all; the other tokens are deleted nevertheless, and those that were not are tried again by the next
    /// call.
    ///
    /// - [`is_store`](Error::is_store): the store failed.
    /// - [those of all operations](Self#errors)
    pub async fn revoke_created(&self) -> Result<usize, Error> {
        let source = self.tokens.source();
        let found = source.find_lost().await;
        let tokens: Vec<AccessToken> = source.created().iter().map(|(token, _)| token.clone()).collect();
        // First here, so that nobody is given what is about to be deleted; and once more, for what came meanwhile.
        let mut result = found;
        for _ in 0..2 {
            result = result.and(self.tokens.forget(|held| held.is_some_and(|held| tokens.contains(held))).await);
        }
        let mut deleted = 0;
        for token in &tokens {
            match source.delete(token).await {
                Ok(there) => deleted += usize::from(there),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| deleted)
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

/// Makes tokens, and knows which it made.
pub(crate) struct Tokens {
    api: Api,
    email: String,
    pub(super) options: Options,
    /// Those that have not expired, with their ends.
    created: Mutex<Vec<(AccessToken, Moment)>>,
    /// The same of those that somebody else looks after.
    made: Mutex<Vec<(AccessToken, Moment)>>,
    lost: Mutex<Vec<Lost>>,
}

/// A request for a token that nobody has heard of, or not yet.
#[derive(Clone)]
struct Lost {
    scopes: ScopeSet,
    sent: Moment,
    /// When it was given up; `None` while it is under way, or if the task that waited for it was stopped.
    given_up: Option<Moment>,
    /// Whether it was looked for already.
    looked: bool,
}

/// The service's clock is read to the second, when it makes a token and when it answers.
const TICKS: Duration = Duration::from_secs(3);

impl Lost {
    /// By either time: one of them may have been set since, or may have stood still.
    fn may_have_been_made(&self, at: SystemTime, now: &Moment) -> bool {
        let given_up = self.given_up.unwrap_or(*now);
        let not_after = |a: SystemTime, b: SystemTime| b.checked_add(TICKS).is_none_or(|b| a <= b);
        if not_after(self.sent.now, at) && not_after(at, given_up.now) {
            return true;
        }
        let Ok(ago) = now.now.duration_since(at) else { return false };
        let at = now.monotonic.saturating_sub(ago);
        self.sent.monotonic <= at.saturating_add(TICKS) && at <= given_up.monotonic.saturating_add(TICKS)
    }
}

impl Tokens {
    pub(super) fn new(api: Api, credentials: &Credentials, options: Options) -> Self {
        Self {
            api,
            email: credentials.email.clone(),
            options,
            created: Mutex::default(),
            made: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    fn created(&self) -> MutexGuard<'_, Vec<(AccessToken, Moment)>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> MutexGuard<'_, Vec<(AccessToken, Moment)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a token that somebody asked for to look after it himself: it is not one that was lost.
    pub(super) fn note(&self, token: &Token, stamp: &Stamp) {
        remember(&mut self.made(), token, stamp);
    }

    fn lost(&self) -> MutexGuard<'_, Vec<Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last one for these scopes.
    fn lost_for(&self, scopes: &ScopeSet) -> Option<Lost> {
        self.lost().iter().rfind(|lost| lost.scopes == *scopes).cloned()
    }

    fn remember(&self, token: &Token, stamp: &Stamp) {
        remember(&mut self.created(), token, stamp);
    }

    /// Looks for all tokens whose making was lost, so that they are known.
    async fn find_lost(&self) -> Result<(), Error> {
        let lost = self.lost().clone();
        for Lost { scopes, .. } in lost {
            self.look(&scopes, None).await?;
        }
        Ok(())
    }

    /// Deletes a token that was made here. Says whether it was still there.
    async fn delete(&self, token: &AccessToken) -> Result<bool, Error> {
        let there = match self.api.delete_token(token).await {
            Ok(()) => true,
            // The service's own "Missing Token", not the 404 of a gateway.
            Err(error) if error.is_not_found() && error.code().is_some() => false,
            Err(error) => return Err(error),
        };
        self.created().retain(|(known, _)| known != token);
        Ok(there)
    }

    async fn find_or_create(&self, scopes: &ScopeSet, previous: Option<&AccessToken>) -> Result<Fetched, Error> {
        let now = self.api.0.clock.coarse();
        self.lost().retain(|lost| !is_over(&lost.sent.after(self.options.ttl.into()), &now));
        if self.options.reuse_existing || self.lost_for(scopes).is_some_and(|lost| !lost.looked) {
            let found = match self.look(scopes, previous).await {
                Err(error) if may_pass(&error) => return Err(error),
                // What cannot be looked at keeps nobody from a token.
                Err(error) => {
                    trace::cache::not_looked(scopes, &error);
                    None
                }
                Ok(found) => found,
            };
            self.lost().iter_mut().filter(|lost| lost.scopes == *scopes).for_each(|lost| lost.looked = true);
            if let Some(found) = found {
                return Ok(found);
            }
        }
        // Known before it is sent: whoever stops this task stops it without a word.
        let sent = self.api.0.clock.coarse();
        self.lost().push(Lost { scopes: scopes.clone(), sent, given_up: None, looked: false });
        let result = self.create(scopes).await;
        let mut lost = self.lost();
        if let Some(place) = lost.iter().rposition(|lost| lost.scopes == *scopes && lost.sent == sent) {
            match &result {
                Err(error) if is_uncertain(error) => lost[place].given_up = Some(self.api.0.clock.coarse()),
                _ => drop(lost.remove(place)),
            }
        }
        drop(lost);
        result
    }

    async fn create(&self, scopes: &ScopeSet) -> Result<Fetched, Error> {
        let (token, stamp) = self.api.create_token(scopes, self.options.ttl).await?;
        self.remember(&token, &stamp);
        let granted: ScopeSet = token.scopes().iter().collect();
        let lacking = scopes.not_covered_by(&granted);
        if !lacking.is_empty() {
            // Nobody will use it. Should it not go away now, `revoke_created` still knows it.
            let _ = self.delete(token.token()).await;
            return Err(Error::lacking(lacking).with_operation(CREATE_TOKEN.operation));
        }
        // The service's clock is not needed for what was asked for here.
        let latest = stamp.sent.after(self.options.ttl.into()).now;
        Ok(fetched(&token, &stamp, scopes, latest))
    }

    /// A living token of the account that covers the scopes: one whose making was lost, or any, if that is wanted.
    async fn look(&self, scopes: &ScopeSet, previous: Option<&AccessToken>) -> Result<Option<Fetched>, Error> {
        let concrete = scopes.iter().find_map(|pattern| pattern.as_str().parse::<Scope>().ok());
        let (tokens, stamp) = self.api.list_tokens(concrete.as_ref()).await?;
        let lost = self.lost_for(scopes);
        let is_lost = |token: &Token| {
            let end = stamp.here(token.expires_at());
            let made = end.checked_sub(self.options.ttl.into()).unwrap_or(end);
            lost.as_ref().is_some_and(|lost| lost.may_have_been_made(made, &stamp.sent))
                && !self.created().iter().chain(&*self.made()).any(|(known, _)| known == token.token())
        };
        let lives = |token: &Token| {
            let left = stamp.here(token.expires_at()).duration_since(stamp.sent.now).unwrap_or_default();
            left > window(self.options.ttl.into())
        };
        let mut found: Vec<&Token> = tokens.iter().filter(|token| previous != Some(token.token())).collect();
        found.retain(|token| is_lost(token) || (self.options.reuse_existing && lives(token)));
        found.sort_by_key(|token| (is_lost(token), token.expires_at()));
        let wanted = match found.is_empty() {
            true => return Ok(None),
            false => self.expanded(scopes).await?,
        };
        let Some(wanted) = wanted else { return Ok(None) };
        // A lost one was granted what was asked for or less; one of several may be somebody else's, and is not ours to delete.
        let mut ours = found.iter().filter(|token| is_lost(token) && within(token, &wanted));
        if let (Some(token), None) = (ours.next(), ours.next()) {
            self.remember(token, &stamp);
            self.lost().retain(|lost| lost.scopes != *scopes);
        }
        let Some(token) = found.iter().rev().find(|token| covers(token, &wanted)) else { return Ok(None) };
        trace::cache::adopted(scopes);
        Ok(Some(fetched(token, &stamp, scopes, stamp.here(token.expires_at()))))
    }

    /// What the scopes come to, as a grant says it. `None` if one of them comes to nothing.
    async fn expanded(&self, scopes: &ScopeSet) -> Result<Option<ScopeSet>, Error> {
        if !scopes.iter().any(ScopePattern::has_wildcard) {
            return Ok(Some(scopes.clone()));
        }
        let catalogue = self.api.list_scopes().await?;
        let known = |pattern: &ScopePattern| !pattern.has_wildcard() || pattern.expand(&catalogue).next().is_some();
        let concrete = scopes.iter().filter(|pattern| !pattern.has_wildcard()).cloned();
        let expanded = scopes.expand(&catalogue).map(ScopePattern::from);
        Ok(scopes.iter().all(known).then(|| concrete.chain(expanded).collect()))
    }
}

fn remember(tokens: &mut Vec<(AccessToken, Moment)>, token: &Token, stamp: &Stamp) {
    tokens.retain(|(_, end)| !is_over(end, &stamp.sent));
    let left = stamp.here(token.expires_at()).duration_since(stamp.sent.now).unwrap_or_default();
    tokens.push((token.token().clone(), stamp.sent.after(left)));
}

/// Whether both times say so: one of them may have been set.
fn is_over(end: &Moment, now: &Moment) -> bool {
    end.now <= now.now && end.monotonic <= now.monotonic
}

/// Whether a token may have been made by a request that failed so.
fn is_uncertain(error: &Error) -> bool {
    error.operation() == Some(CREATE_TOKEN.operation.name) && (error.may_have_been_carried_out() || error.is_decode())
}

/// Whether it is about the service or the account, and not about what was asked. `POST /token` would fail alike.
fn may_pass(error: &Error) -> bool {
    error.is_transient() || error.is_unauthorized() || error.status() == Some(StatusCode::FORBIDDEN)
}

fn covers(token: &Token, wanted: &ScopeSet) -> bool {
    token.scopes().iter().collect::<ScopeSet>().includes(wanted)
}

fn within(token: &Token, wanted: &ScopeSet) -> bool {
    token.scopes().iter().all(|scope| wanted.covers(scope))
}

fn fetched(token: &Token, stamp: &Stamp, scopes: &ScopeSet, latest: SystemTime) -> Fetched {
    let granted = token.scopes().iter().collect();
    let token = StoredToken {
        access_token: token.token().clone(),
        obtained_at: stamp.sent.now,
        expires_at: stamp.here(token.expires_at()).min(latest),
        renewal: None,
        scopes: Some(Scopes { requested: scopes.clone(), granted }),
    };
    Fetched { token, sent: stamp.sent }
}

impl TokenSource for Tokens {
    type Key = ScopeSet;

    fn normal(&self, scopes: &ScopeSet) -> ScopeSet {
        ScopeSet::minimised(scopes.clone())
    }

    fn name(&self, scopes: &ScopeSet) -> String {
        // Quoted, so that no two accounts have the same.
        format!("openapi-oauth {:?} {:?} {scopes}", self.api.0.base_url, self.email)
    }

    async fn fetch(&self, scopes: &ScopeSet, previous: Option<&StoredToken>) -> Result<Fetched, Error> {
        if scopes.is_empty() {
            return Err(invalid(&CREATE_TOKEN, "no scopes"));
        }
        let previous = previous.map(StoredToken::access_token);
        let mut result = self.find_or_create(scopes, previous).await;
        if result.as_ref().is_err_and(is_uncertain) {
            // Once more: there is one to be found now, or there is none.
            result = self.find_or_create(scopes, previous).await;
        }
        result
    }

    fn is_broad(&self, scopes: &ScopeSet) -> bool {
        scopes.len() > 1 || scopes.iter().any(ScopePattern::has_wildcard)
    }

    /// A scope covers what lies below its path. Who serves them all serves the first.
    fn above(&self, scopes: &ScopeSet) -> Vec<ScopeSet> {
        let first = scopes.iter().next().and_then(|pattern| pattern.as_str().parse::<Scope>().ok());
        let shorter = |scope: &Scope| scope.as_str().rsplit_once('/').and_then(|(above, _)| above.parse().ok());
        std::iter::successors(first, shorter).map(ScopeSet::from).collect()
    }

    fn serves(&self, token: &StoredToken, scopes: &ScopeSet) -> bool {
        // What a wildcard comes to is not known, so who asks for one is served by who asked for it and got anything of it.
        let serves = |Scopes { requested, granted }: &Scopes, pattern: &ScopePattern| match pattern.has_wildcard() {
            true => requested.includes([pattern]) && granted.iter().any(|grant| pattern.includes(grant)),
            false => granted.includes([pattern]),
        };
        let known = token.scopes.as_ref().filter(|_| !scopes.is_empty());
        known.is_some_and(|known| scopes.iter().all(|pattern| serves(known, pattern)))
    }
}
