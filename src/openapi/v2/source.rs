//! Fetches the tokens for the cache: extends the one before, or creates one.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Request, StatusCode, Url};

use super::entries::{Entries, Identified};
use super::expand::{concrete, expand};
use super::generated::types;
use super::ledger::Ledger;
use super::operations::{Api, CREATE_TOKEN, Create, EXTEND_TOKEN, LIST_SCOPES, LIST_TOKENS, invalid, is_missing};
use super::options::{Options, Renewal};
use super::token::Token;
use crate::auth::managed::{Propagation, RequestRules};
use crate::cache::{Ended, Fetched, TokenSource, window};
use crate::clock::Moment;
use crate::error::{Error, Operation};
use crate::http::transport::Timing;
use crate::openapi::changes::Changeable;
use crate::openapi::credentials::Credentials;
use crate::openapi::ttl::Ttl;
use crate::openapi::{requests, sharing};
use crate::scope::{Scope, ScopePattern, ScopeSet};
use crate::secret::Secret;
use crate::store::{Scopes, StoredToken};
use crate::token::AccessToken;
use crate::trace;

/// A source that creates tokens, and remembers which ones it created.
pub(crate) struct Tokens {
    api: Api,
    email: String,
    pub(super) options: Options,
    pub(super) ledger: Ledger,
}

impl Tokens {
    pub(super) fn new(api: Api, credentials: &Credentials, options: Options) -> Self {
        Self { api, email: credentials.email.clone(), options, ledger: Ledger::default() }
    }

    pub(super) fn now(&self) -> Moment {
        self.api.transport.clock.moment()
    }

    /// Returns the scopes that a set stands for.
    pub(super) async fn expand(&self, scopes: &ScopeSet) -> Result<Vec<Scope>, Error> {
        match concrete(scopes) {
            Some(scopes) => Ok(scopes),
            None => {
                let catalog = self.api.list_scopes().await?;
                let expanded = expand(scopes, &catalog).map_err(|error| error.with_operation(LIST_SCOPES.operation))?;
                let set: ScopeSet = expanded.iter().cloned().map(ScopePattern::from).collect();
                trace::cache::expanded(scopes, set.len(), &set);
                Ok(expanded)
            }
        }
    }

    /// Deletes a token that this client created. Returns whether it still existed.
    pub(super) async fn delete(&self, token: &AccessToken) -> Result<bool, Error> {
        let existed = match self.api.delete_token(token).await {
            Ok(()) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error),
        };
        self.ledger.remove(token);
        Ok(existed)
    }

    /// Extends the lifetime of a token. `None` if another one has to be created.
    async fn extend(&self, scopes: &ScopeSet, previous: &StoredToken) -> Result<Option<Fetched>, Error> {
        let ttl = self.options.ttl;
        let update = types::UpdateToken { ttl: Some(ttl), ..types::UpdateToken::default() };
        let (token, timing) = match self.api.update_token(&EXTEND_TOKEN, &previous.access_token, &update).await {
            Ok(extended) => extended,
            Err(error) if error.is_ambiguous() || create_would_fail(&error) => return Err(error),
            // The service no longer has the token, or does not extend it.
            Err(error) => {
                if is_missing(&error) {
                    self.ledger.remove(&previous.access_token);
                }
                // The service may ask for a pause before the next request.
                return if self.api.transport.wait_after(&error).await { Ok(None) } else { Err(error) };
            }
        };
        self.ledger.replaced(&previous.access_token, token.token(), end_of(&token, &timing));
        let granted = token.granted().or_else(|| Some(previous.scopes.as_ref()?.granted.clone())).unwrap_or_default();
        let fetched = fetched(&token, &timing, scopes, granted, ttl, EXTEND_TOKEN.operation);
        let left = fetched.token.expires_at.duration_since(timing.sent.now).unwrap_or_default();
        // That the lifetime counts from the change is not documented. If it does not, another token is due at once.
        let is_good = left > window(ttl.into()) && self.is_for(&fetched.token, scopes);
        let is_adopted = token.token() == &previous.access_token;
        Ok(is_good.then_some(Fetched { is_adopted, ..fetched }))
    }

    /// Returns a token that an earlier request created without a response, or creates one.
    ///
    /// `even_unsearched`: creates one even if the client cannot search the account's tokens.
    async fn find_or_create(
        &self,
        scopes: &ScopeSet,
        has_ended: impl Fn(&AccessToken) -> bool,
        even_unsearched: bool,
    ) -> Result<Fetched, Error> {
        let lost = self.ledger.given_up_for(scopes, &self.now());
        if !lost.is_empty() {
            match self.search(&lost).await {
                Ok(found) => {
                    if let Some(found) = found.into_iter().find_map(|(token, timing)| {
                        let fetched = self.found(&token, &timing, scopes)?;
                        (!has_ended(token.token())).then_some(fetched)
                    }) {
                        trace::cache::adopted(scopes);
                        return Ok(found);
                    }
                }
                Err(error) if !even_unsearched || create_would_fail(&error) => return Err(error),
                Err(error) if error.is_ambiguous() && self.ledger.is_recent_for(scopes, &self.now()) => {
                    return Err(error);
                }
                // A failed search does not keep the caller from a token.
                Err(error) => trace::cache::not_looked(scopes, &error),
            }
        }
        self.create(scopes).await
    }

    async fn create(&self, scopes: &ScopeSet) -> Result<Fetched, Error> {
        let requested = self.expand(scopes).await?;
        let (ttl, limits) = (self.options.ttl, self.options.limits.as_ref());
        let name = self.options.unique_name();
        let in_flight = self.ledger.begin(&name, scopes, ttl, &self.api.transport.clock);
        let create = Create { scopes: requested.clone(), ttl, name: Some(&name), limits };
        let (token, timing) = match self.api.create_token(create).await {
            Ok(created) => created,
            Err(error) => {
                if !may_have_created(&error) {
                    in_flight.failed();
                }
                return Err(error);
            }
        };
        self.ledger.created(&name, token.token(), end_of(&token, &timing));
        let requested: ScopeSet = requested.into_iter().map(ScopePattern::from).collect();
        let granted = token.granted().unwrap_or_else(|| requested.clone());
        let missing = requested.missing_from(&granted);
        if !missing.is_empty() {
            // No caller will use it. If this fails, `revoke_created` deletes it.
            let _ = self.delete(token.token()).await;
            return Err(Error::from_missing(missing).with_operation(CREATE_TOKEN.operation));
        }
        Ok(fetched(&token, &timing, scopes, granted, ttl, CREATE_TOKEN.operation))
    }

    /// Searches for the tokens of all requests that were given up, and enters them in the ledger.
    pub(super) async fn find_lost(&self) -> Result<(), Error> {
        let names = self.ledger.all_given_up(&self.now());
        if names.is_empty() { Ok(()) } else { self.search(&names).await.map(drop) }
    }

    /// Lists the account's tokens, and enters those with these names in the ledger. Keeps no other.
    async fn search(&self, names: &[String]) -> Result<Vec<(Token, Timing)>, Error> {
        let (api, began) = (self.api.clone(), self.now());
        let mut all = Entries::new(move |range| {
            let api = api.clone();
            async move { api.list_tokens(range).await.map(|(page, timing)| page.map(|token| Listed { token, timing })) }
        });
        let mut found = HashMap::new();
        while let Some(listed) = all.next().await {
            let Listed { token, timing } = listed?;
            if let Some(name) = names.iter().find(|name| token.name() == Some(name.as_str())) {
                self.ledger.created(name, token.token(), end_of(&token, &timing));
                found.insert(name.clone(), (token, timing));
            }
        }
        let missing: Vec<String> = names.iter().filter(|name| !found.contains_key(*name)).cloned().collect();
        self.ledger.remove_unlisted(&missing, &began);
        Ok(found.into_values().collect())
    }

    /// Returns a token that an earlier request created, if callers can still use it.
    fn found(&self, token: &Token, timing: &Timing, scopes: &ScopeSet) -> Option<Fetched> {
        // A token whose scopes the list does not name cannot be told apart from one that was granted less.
        let fetched = fetched(token, timing, scopes, token.granted()?, Ttl::MAX, LIST_TOKENS.operation);
        let left = fetched.token.expires_at.duration_since(timing.sent.now).unwrap_or_default();
        let is_good = left > window(self.options.ttl.into()) && self.is_for(&fetched.token, scopes);
        is_good.then_some(Fetched { is_adopted: true, ..fetched })
    }
}

/// A token of a page, with the times of the call that listed it.
struct Listed {
    token: Token,
    timing: Timing,
}

impl Identified for Listed {
    fn identity(&self) -> Secret {
        self.token.identity()
    }
}

/// Returns the record of a token. `longest`: the token counts as expired after this, whatever the service's clock says.
fn fetched(
    token: &Token,
    timing: &Timing,
    scopes: &ScopeSet,
    granted: ScopeSet,
    longest: Ttl,
    operation: Operation,
) -> Fetched {
    let latest = timing.sent.after(longest.into()).now;
    let token = StoredToken {
        access_token: token.token().clone(),
        obtained_at: timing.sent.now,
        expires_at: timing.here(token.expires_at()).min(latest),
        renewal: None,
        scopes: Some(Scopes { requested: scopes.clone(), granted }),
        name: None,
    };
    Fetched { token, sent: timing.sent, operation, is_adopted: false }
}

/// Returns when a token expires, by this machine's clocks.
pub(super) fn end_of(token: &Token, timing: &Timing) -> Moment {
    timing.sent.after(timing.here(token.expires_at()).duration_since(timing.sent.now).unwrap_or_default())
}

/// Returns whether the request that failed with this error may have created a token.
fn may_have_created(error: &Error) -> bool {
    error.operation() == Some(CREATE_TOKEN.operation.name) && (error.is_ambiguous() || error.is_decode())
}

/// Returns whether an error is about the service or the account: `POST /tokens` would fail the same way.
fn create_would_fail(error: &Error) -> bool {
    error.is_transient() || error.is_unauthorized() || error.status() == Some(StatusCode::FORBIDDEN)
}

impl TokenSource for Tokens {
    type Key = ScopeSet;

    fn normalize(&self, scopes: &ScopeSet) -> ScopeSet {
        sharing::normal(scopes)
    }

    fn record_name(&self, scopes: &ScopeSet) -> String {
        // Quoted, so that no two accounts share a name. A token with limits is another token.
        let limits = self.options.limits.as_ref().and_then(|limits| serde_json::to_string(limits).ok());
        let limits = limits.map(|limits| format!(" limits {limits}")).unwrap_or_default();
        format!("openapi-oauth-v2 {:?} {:?}{limits} {scopes}", self.api.transport.base_url, self.email)
    }

    fn operation(&self) -> Operation {
        CREATE_TOKEN.operation
    }

    fn check(&self, scopes: &ScopeSet) -> Result<(), Error> {
        if scopes.is_empty() { Err(invalid(&CREATE_TOKEN, "the set of scopes is empty")) } else { Ok(()) }
    }

    fn is_for(&self, token: &StoredToken, scopes: &ScopeSet) -> bool {
        sharing::is_for(token, scopes)
    }

    async fn fetch(
        &self,
        scopes: &ScopeSet,
        previous: Option<&StoredToken>,
        ended: &Ended<AccessToken>,
    ) -> Result<Fetched, Error> {
        self.check(scopes)?;
        let now = self.now();
        let extendable = previous.filter(|token| {
            self.options.renewal() == Renewal::Extend
                && !ended.contains(&token.access_token)
                && now.now < token.expires_at
                && self.is_for(token, scopes)
        });
        if let Some(previous) = extendable
            && let Some(extended) = self.extend(scopes, previous).await?
        {
            return Ok(extended);
        }
        let has_ended =
            |token: &AccessToken| previous.map(StoredToken::access_token) == Some(token) || ended.contains(token);
        match self.find_or_create(scopes, has_ended, true).await {
            // Tries again: the search now finds the token, or shows that there is none. If it fails, the client creates no second one.
            Err(error) if may_have_created(&error) && self.api.transport.wait_after(&error).await => {
                self.find_or_create(scopes, has_ended, false).await
            }
            result => result,
        }
    }

    /// Allows for a `PATCH`, and for two rounds of a few pages of `GET /tokens`, `GET /scopes`, `POST /tokens` and `DELETE /tokens`, with a
    /// pause before each.
    fn max_duration(&self) -> Duration {
        let rests = self.api.transport.retry.longest_rest().saturating_mul(2);
        self.api.transport.timeout.saturating_mul(13).saturating_add(rests)
    }

    fn serves(&self, token: &StoredToken, scopes: &ScopeSet) -> bool {
        sharing::serves(token, scopes)
    }

    fn is_broad(&self, scopes: &ScopeSet) -> bool {
        sharing::is_broad(scopes)
    }

    fn lends_at(&self, scopes: &ScopeSet) -> Vec<u64> {
        sharing::lends_at(scopes)
    }

    fn borrows_at(&self, scopes: &ScopeSet) -> impl Iterator<Item = Vec<u64>> {
        sharing::borrows_at(scopes)
    }
}

impl Changeable for Tokens {
    type Token = Token;

    fn text(token: &Token) -> &AccessToken {
        token.token()
    }

    fn is_missing(error: &Error) -> bool {
        is_missing(error)
    }

    fn record(&self, token: &AccessToken, changed: Option<(&Token, &Timing)>) {
        match changed {
            Some((changed, timing)) => self.ledger.replaced(token, changed.token(), end_of(changed, timing)),
            None => self.ledger.remove(token),
        }
    }
}

impl RequestRules for Tokens {
    const ADD_A_HOST: &'static str = requests::ADD_A_HOST;

    fn is_recipient(&self, url: &Url) -> bool {
        requests::is_recipient(self.options.shared.scopes.as_ref(), url)
    }

    fn refuse(&self, url: &Url) -> Error {
        requests::refuse(url)
    }

    fn key_for(&self, request: &Request) -> Result<ScopeSet, Error> {
        requests::scopes_for(self.options.shared.scopes.as_ref(), request)
    }

    fn propagation(&self) -> Option<Propagation> {
        Some(requests::PROPAGATION)
    }
}
