//! Fetches the tokens for the cache: extends the one before, or creates one.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

use super::entries::{Entries, Identified};
use super::expand::{concrete, expand};
use super::generated::types;
use super::ledger::{Ledger, Lost};
use super::operations::{Api, CREATE_TOKEN, Create, EXTEND_TOKEN, LIST_TOKENS, invalid, is_missing};
use super::options::{Options, Renewal};
use super::token::Token;
use crate::cache::{Ended, Fetched, TokenSource, leeway, window};
use crate::clock::Moment;
use crate::error::{Error, Operation};
use crate::http::transport::{Call, Timing};
use crate::openapi::NO_SCOPES;
use crate::openapi::changes::{Changeable, delete};
use crate::openapi::creating::{create_would_fail, may_have_created};
use crate::openapi::credentials::Credentials;
use crate::openapi::requests::ForVendor;
use crate::openapi::sharing;
use crate::openapi::ttl::Ttl;
use crate::scope::{Scope, ScopePattern, ScopeSet};
#[cfg(feature = "seal")]
use crate::secret::Secret;
use crate::store::{ManagedToken, Scopes};
use crate::token::AccessToken;
use crate::trace;

/// A source that creates tokens, and remembers which ones it created.
pub(crate) struct Tokens {
    api: Api,
    credentials: Credentials,
    pub(super) options: Options,
    pub(super) ledger: Ledger,
}

impl Tokens {
    pub(super) fn new(api: Api, credentials: &Credentials, options: Options) -> Self {
        Self { api, credentials: credentials.clone(), options, ledger: Ledger::default() }
    }

    pub(super) fn now(&self) -> Moment {
        self.api.transport.clock.moment()
    }

    /// Returns the scopes that a set stands for. `call`: the one that they are for.
    pub(super) async fn expand(&self, call: &Call, scopes: &ScopeSet) -> Result<Vec<Scope>, Error> {
        match concrete(scopes) {
            Some(scopes) => Ok(scopes),
            None => {
                let catalog = self.api.list_scopes().await?;
                let expanded = expand(scopes, &catalog).map_err(|error| error.with_operation(call.operation))?;
                let set: ScopeSet = expanded.iter().cloned().map(ScopePattern::from).collect();
                trace::cache::expanded(scopes, set.len(), &set);
                Ok(expanded)
            }
        }
    }

    /// Extends the lifetime of a token. `None` if another one has to be created.
    async fn extend(&self, scopes: &ScopeSet, previous: &ManagedToken) -> Result<Option<Fetched>, Error> {
        let (ttl, now) = (self.options.ttl, self.now());
        let latest = now.after(self.api.transport.timeout).after(ttl.into());
        let extension = self.ledger.extend(&previous.access_token, latest, &now);
        // With its limits: that an update keeps them is not documented.
        let limits = self.options.limits.clone();
        let update = types::UpdateToken { ttl: Some(ttl), limits, ..types::UpdateToken::default() };
        let result = self.api.update_token(&EXTEND_TOKEN, &previous.access_token, &update).await;
        let (token, timing) = match result {
            Ok(extended) => extended,
            Err(error) => {
                let may_be_extended = error.is_ambiguous() || error.is_decode();
                if is_missing(&error) {
                    extension.missed(error.is_after_uncertain_attempt(), &self.now());
                } else if !may_be_extended {
                    extension.failed();
                }
                // The request did no harm, so the next attempt repeats it, as long as callers get the token meanwhile.
                let is_repeated = error.is_ambiguous() && !is_missing(&error) && self.is_returned(previous);
                let is_in_vain = create_would_fail(&error) && !error.is_ambiguous();
                // The service does not have the token, or does not extend it. It may ask for a pause before the next request.
                let is_another_due = !is_repeated && !is_in_vain && self.api.transport.wait_after(&error).await;
                return if is_another_due { Ok(None) } else { Err(error) };
            }
        };
        extension.done(token.token(), end_of(&token, &timing), &timing.sent);
        let granted = token.granted().or_else(|| Some(previous.scopes.as_ref()?.granted.clone())).unwrap_or_default();
        let fetched = fetched(&token, &timing, scopes, granted, ttl, EXTEND_TOKEN.operation);
        // That the lifetime counts from the change is not documented. If it does not, another token is due at once.
        let is_good = self.is_lasting(&fetched) && self.is_for(&fetched.token, scopes) && self.is_limited(&token);
        let is_adopted = token.token() == &previous.access_token;
        Ok(is_good.then_some(Fetched { is_adopted, ..fetched }))
    }

    /// Returns whether a token has the limits that the client requested, as far as the service says.
    fn is_limited(&self, token: &Token) -> bool {
        self.options.limits.as_ref().is_none_or(|limits| !limits.are_contradicted_by(token.limits()))
    }

    /// Returns whether callers still get a token that is about to expire.
    fn is_returned(&self, token: &ManagedToken) -> bool {
        let lifetime = token.expires_at.duration_since(token.obtained_at).unwrap_or_default();
        self.now().after(leeway(lifetime)).now < token.expires_at
    }

    /// Returns whether a token is not due to be renewed at once.
    fn is_lasting(&self, Fetched { token, sent, .. }: &Fetched) -> bool {
        token.expires_at.duration_since(sent.now).unwrap_or_default() > window(self.options.ttl.into())
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
            let (found, listed) = self.search(&lost).await;
            if let Some(found) = self.pick(found, scopes, has_ended).await {
                trace::cache::adopted(scopes);
                return Ok(found);
            }
            match listed {
                Ok(()) => {}
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

    /// Returns the token that lasts longest, of those that an earlier request created and that callers can use. Deletes the others, which
    /// nobody knows.
    async fn pick(
        &self,
        found: Vec<Found>,
        scopes: &ScopeSet,
        has_ended: impl Fn(&AccessToken) -> bool,
    ) -> Option<Fetched> {
        let mut best: Option<Fetched> = None;
        let mut others = Vec::new();
        for found in found {
            let text = found.token.token().clone();
            match self.usable(found, scopes).filter(|_| !has_ended(&text)) {
                Some(next) if best.as_ref().is_none_or(|best| next.token.expires_at > best.token.expires_at) => {
                    others.extend(best.replace(next).map(|before| before.token.access_token));
                }
                _ => others.push(text),
            }
        }
        for token in &others {
            // If this fails, `revoke_created` deletes them.
            if delete(self, token).await.is_err() {
                break;
            }
        }
        best
    }

    async fn create(&self, scopes: &ScopeSet) -> Result<Fetched, Error> {
        let requested = self.expand(&CREATE_TOKEN, scopes).await?;
        let (ttl, limits) = (self.options.ttl, self.options.limits.as_ref());
        let name = self.options.unique_name(self.now().now);
        let create = Create { scopes: requested.clone(), ttl, name: Some(&name), limits };
        let requested: ScopeSet = requested.into_iter().map(ScopePattern::from).collect();
        let in_flight = self.ledger.begin(&name, scopes, &requested, ttl, &self.api.transport.clock);
        let (token, timing) = match self.api.create_token(create).await {
            Ok(created) => created,
            Err(error) => {
                if !may_have_created(&error, CREATE_TOKEN.operation) {
                    in_flight.failed();
                }
                return Err(error);
            }
        };
        self.ledger.created(&name, token.token(), end_of(&token, &timing));
        if !self.is_limited(&token) {
            let _ = delete(self, token.token()).await;
            let error = Error::decode(
                "the service created a token with wider limits than requested; the client deletes it instead of using it",
            );
            return Err(error.with_operation(CREATE_TOKEN.operation));
        }
        let granted = token.granted().unwrap_or_else(|| requested.clone());
        let missing = requested.missing_from(&granted);
        if !missing.is_empty() {
            // No caller will use it. If this fails, `revoke_created` deletes it.
            let _ = delete(self, token.token()).await;
            return Err(Error::from_missing(missing).with_operation(CREATE_TOKEN.operation));
        }
        Ok(fetched(&token, &timing, scopes, granted, ttl, CREATE_TOKEN.operation))
    }

    /// Lists the account's tokens, and enters those with these names in the ledger. Keeps no other. Returns also whether it has seen the
    /// whole list.
    async fn search(&self, lost: &[Lost]) -> (Vec<Found>, Result<(), Error>) {
        let (api, began) = (self.api.clone(), self.now());
        let mut all = Entries::new(move |range| {
            let api = api.clone();
            async move { api.list_tokens(range).await.map(|(page, timing)| page.map(|token| Listed { token, timing })) }
        });
        let names: HashMap<&str, &Lost> = lost.iter().map(|lost| (lost.name.as_str(), lost)).collect();
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        while let Some(listed) = all.next().await {
            let Listed { token, timing } = match listed {
                Ok(listed) => listed,
                Err(error) => return (found, Err(error)),
            };
            if let Some(Lost { name, requested }) = token.name().and_then(|name| names.get(name).copied()) {
                self.ledger.listed(name, token.token(), end_of(&token, &timing), &timing.sent);
                seen.insert(name.as_str());
                found.push(Found { token, timing, requested: requested.clone() });
            }
        }
        // An entry that the client cannot read may be one of them.
        if all.unrecognized().is_empty() {
            self.ledger.remove_unlisted(names.into_keys().filter(|name| !seen.contains(name)), &began);
        }
        (found, Ok(()))
    }

    /// Returns a token that an earlier request created, if callers can still use it.
    fn usable(&self, Found { token, timing, requested }: Found, scopes: &ScopeSet) -> Option<Fetched> {
        // A token whose scopes the list does not name cannot be told apart from one that was granted less.
        let granted = token.granted().filter(|granted| requested.missing_from(granted).is_empty())?;
        let fetched = fetched(&token, &timing, scopes, granted, Ttl::MAX, LIST_TOKENS.operation);
        let is_good = self.is_lasting(&fetched) && self.is_limited(&token);
        is_good.then_some(Fetched { is_adopted: true, ..fetched })
    }
}

/// A token of the list that the client requested.
struct Found {
    token: Token,
    timing: Timing,
    /// The scopes that it was requested for.
    requested: ScopeSet,
}

/// A token of a page, with the times of the call that listed it.
struct Listed {
    token: Token,
    timing: Timing,
}

impl Identified for Listed {
    fn identity(&self) -> impl Hash {
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
    let token = ManagedToken {
        access_token: token.token().clone(),
        obtained_at: timing.sent.now,
        expires_at: timing.here(token.expires_at()).min(latest),
        renewal: None,
        scopes: Some(Scopes { requested: scopes.clone(), granted }),
    };
    Fetched { token, sent: timing.sent, operation, is_adopted: false }
}

/// Returns when a token expires, by this machine's clocks.
pub(super) fn end_of(token: &Token, timing: &Timing) -> Moment {
    timing.sent.after(timing.here(token.expires_at()).duration_since(timing.sent.now).unwrap_or_default())
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
        format!("openapi-oauth-v2 {:?} {:?}{limits} {scopes}", self.api.transport.base_url, self.credentials.email)
    }

    #[cfg(feature = "seal")]
    fn secrets(&self) -> Vec<Secret> {
        vec![self.credentials.api_key.clone()]
    }

    fn operation(&self) -> Operation {
        CREATE_TOKEN.operation
    }

    fn check(&self, scopes: &ScopeSet) -> Result<(), Error> {
        if scopes.is_empty() { Err(invalid(&CREATE_TOKEN, NO_SCOPES)) } else { Ok(()) }
    }

    fn is_for(&self, token: &ManagedToken, scopes: &ScopeSet) -> bool {
        sharing::is_for(token, scopes)
    }

    async fn fetch(
        &self,
        scopes: &ScopeSet,
        previous: Option<&ManagedToken>,
        ended: &Ended<AccessToken>,
    ) -> Result<Fetched, Error> {
        self.check(scopes)?;
        let now = self.now();
        let extendable = previous.filter(|token| {
            self.options.renewal() == Renewal::Extend
                // Nor one that a call of the program has changed: the client no longer knows what it is good for.
                && !ended.is_known(&token.access_token)
                && now.now < token.expires_at
                && self.is_for(token, scopes)
        });
        if let Some(previous) = extendable
            && let Some(extended) = self.extend(scopes, previous).await?
        {
            return Ok(extended);
        }
        let has_ended =
            |token: &AccessToken| previous.map(|token| &token.access_token) == Some(token) || ended.contains(token);
        match self.find_or_create(scopes, has_ended, true).await {
            // Tries again: the search now finds the token, or shows that there is none. If it fails, the client creates no second one.
            Err(error)
                if !self.ledger.given_up_for(scopes, &self.now()).is_empty()
                    && may_have_created(&error, CREATE_TOKEN.operation)
                    && self.api.transport.wait_after(&error).await =>
            {
                self.find_or_create(scopes, has_ended, false).await
            }
            result => result,
        }
    }

    /// Allows for a `PATCH`, and for two rounds of a few pages of `GET /tokens`, `GET /scopes`, `POST /tokens` and a few `DELETE /tokens`,
    /// with a pause before each.
    fn max_duration(&self) -> Duration {
        let rests = self.api.transport.retry.longest_rest().saturating_mul(2);
        self.api.transport.timeout.saturating_mul(15).saturating_add(rests)
    }

    fn serves(&self, token: &ManagedToken, scopes: &ScopeSet) -> bool {
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
            None => self.ledger.gone(token, &self.now()),
        }
    }

    fn record_unsure(&self, token: &AccessToken) {
        self.ledger.unsure(token);
    }

    async fn find_lost(&self) -> Result<(), Error> {
        let lost = self.ledger.unresolved(&self.now());
        if lost.is_empty() { Ok(()) } else { self.search(&lost).await.1 }
    }

    fn unexpired(&self) -> Vec<AccessToken> {
        self.ledger.unexpired(&self.now())
    }

    async fn delete_at_service(&self, token: &AccessToken) -> Result<(), Error> {
        self.api.delete_token(token).await
    }
}

impl ForVendor for Tokens {
    fn scopes(&self) -> Option<&ScopeSet> {
        self.options.shared.scopes.as_ref()
    }

    fn key_of(scopes: ScopeSet) -> ScopeSet {
        scopes
    }
}
