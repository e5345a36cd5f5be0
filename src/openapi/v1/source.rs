//! Fetches the tokens for the cache: creates one, or adopts one that the account already has.

use std::time::Duration;

use super::grant::{covers, fetched, granted, within};
use super::ledger::Ledger;
use super::operations::{Api, CREATE_TOKEN, LIST_TOKENS, invalid, is_missing};
use super::options::Options;
use super::pending::Pending;
use super::reconcile::{AmbiguousCreate, Ends, UnknownTokens, since_1970};
use super::token::Token;
use crate::cache::{Ended, Fetched, TokenSource, window};
use crate::error::{Error, Operation};
use crate::http::transport::Timing;
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
use crate::store::ManagedToken;
use crate::token::AccessToken;
use crate::trace;

/// The number of tokens that the client examines before it yields to other tasks: about a millisecond's work.
const CHUNK: usize = 500;

/// A source that creates tokens, and remembers which ones it created.
pub(crate) struct Tokens {
    api: Api,
    credentials: Credentials,
    pub(super) options: Options,
    pub(super) ledger: Ledger,
    pending: Pending,
}

impl Tokens {
    pub(super) fn new(api: Api, credentials: &Credentials, options: Options) -> Self {
        let (ledger, pending) = (Ledger::default(), Pending::default());
        Self { api, credentials: credentials.clone(), options, ledger, pending }
    }

    /// Returns a token of the account, or creates one.
    ///
    /// `even_unsearched`: creates one even if the client cannot search the account's tokens.
    async fn find_or_create(
        &self,
        scopes: &ScopeSet,
        has_ended: impl Fn(&AccessToken) -> bool,
        even_unsearched: bool,
    ) -> Result<Fetched, Error> {
        let now = self.api.transport.clock.moment();
        if self.options.reuse_existing || self.pending.has_any_for(scopes, &now) {
            match self.reconcile(scopes, has_ended).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) if !even_unsearched || create_would_fail(&error) => return Err(error),
                Err(error)
                    if error.is_ambiguous()
                        && self.pending.is_recent_for(scopes, &self.api.transport.clock.moment()) =>
                {
                    return Err(error);
                }
                // A failed search does not keep the caller from a token.
                Err(error) => trace::cache::not_looked(scopes, &error),
            }
        }
        let in_flight = self.pending.begin(scopes, self.options.ttl, &self.api.transport.clock);
        let result = self.create(scopes, in_flight.ttl()).await;
        match &result {
            Err(error) if may_have_created(error, CREATE_TOKEN.operation) => {}
            _ => in_flight.answered(),
        }
        result
    }

    async fn create(&self, scopes: &ScopeSet, ttl: Ttl) -> Result<Fetched, Error> {
        let (token, timing) = self.api.create_token(scopes, ttl).await?;
        self.ledger.add(&token, &timing);
        let missing = scopes.missing_from(&granted(&token));
        if !missing.is_empty() {
            // No caller will use it. If this fails, `revoke_created` deletes it.
            let _ = delete(self, token.token()).await;
            return Err(Error::from_missing(missing).with_operation(CREATE_TOKEN.operation));
        }
        // The client knows the lifetime that it asked for, so the service's clock does not count.
        let latest = timing.sent.after(ttl.into()).now;
        Ok(Fetched { is_adopted: false, ..fetched(&token, &timing, scopes, latest, CREATE_TOKEN.operation) })
    }

    /// Returns an unexpired token of the account for the scopes: one of a lost response, or any with `reuse_existing`.
    pub(super) async fn reconcile(
        &self,
        scopes: &ScopeSet,
        has_ended: impl Fn(&AccessToken) -> bool,
    ) -> Result<Option<Fetched>, Error> {
        let concrete = scopes.iter().find_map(|pattern| pattern.as_str().parse::<Scope>().ok());
        let (tokens, timing) = self.api.list_tokens(concrete.as_ref()).await?;
        let lost = self.pending.given_up_for(scopes);
        let others: Vec<&Token> = tokens.iter().filter(|token| !has_ended(token.token())).collect();
        let wanted = if self.may_match(&lost, &others, &timing) { self.expanded(scopes).await? } else { None };
        let found = match &wanted {
            Some(wanted) => self.find_created(&lost, &others, scopes, wanted, &timing).await,
            None => Vec::new(),
        };
        // The numbers of both are sorted.
        let is_listed = |known: &AmbiguousCreate| {
            let was_searched = || lost.binary_search_by_key(&known.number, |lost| lost.number).is_ok();
            let was_found = found.binary_search_by_key(&known.number, |(number, _)| *number).is_ok();
            was_found || (known.is_settled(&timing) && was_searched())
        };
        self.pending.retain(|known| !is_listed(known));
        let Some(wanted) = &wanted else { return Ok(None) };
        let mut candidates: Vec<&Token> = Vec::new();
        if self.options.reuse_existing {
            candidates = others;
            candidates.sort_by_key(|token| token.expires_at());
        }
        candidates.extend(found.iter().map(|(_, token)| *token));
        let is_good = |token: &Token| self.is_fresh(token, &timing) && covers(token, wanted);
        let Some(token) = last(&candidates, is_good).await else { return Ok(None) };
        trace::cache::adopted(scopes);
        // Whatever the service's clock says, no token is valid for longer than the longest lifetime.
        let latest = timing.sent.after(Ttl::MAX.into()).now;
        Ok(Some(fetched(token, &timing, scopes, latest, LIST_TOKENS.operation)))
    }

    /// Returns whether a listed token is not due to be renewed at once.
    fn is_fresh(&self, token: &Token, timing: &Timing) -> bool {
        let left = timing.here(token.expires_at()).duration_since(timing.sent.now).unwrap_or_default();
        left > window(self.options.ttl.into())
    }

    /// Returns whether one of the listed tokens may be what the caller needs. If not, there is no need to expand wildcards.
    fn may_match(&self, lost: &[AmbiguousCreate], listed: &[&Token], timing: &Timing) -> bool {
        let unknown = listed.iter().filter(|token| !self.ledger.contains(token.token()));
        let unknown = Ends::of(unknown.map(|token| since_1970(token.expires_at())));
        let may_be_listed = |lost: &AmbiguousCreate| lost.ends(timing).iter().any(|ends| unknown.count(ends) > 0);
        lost.iter().any(may_be_listed)
            || (self.options.reuse_existing && listed.iter().any(|token| self.is_fresh(token, timing)))
    }

    /// Returns the listed tokens that lost requests created, each after the number of its request, and enters them in the ledger.
    async fn find_created<'a>(
        &self,
        lost: &[AmbiguousCreate],
        listed: &[&'a Token],
        scopes: &ScopeSet,
        wanted: &ScopeSet,
        timing: &Timing,
    ) -> Vec<(u64, &'a Token)> {
        // The token of a lost response was granted what the request asked for, or less.
        let mut fitting: Vec<&Token> = Vec::new();
        for some in listed.chunks(CHUNK) {
            fitting.extend(some.iter().filter(|token| within(token, scopes, wanted)));
            tokio::task::yield_now().await;
        }
        let unknown = UnknownTokens::new(fitting.into_iter().filter(|token| !self.ledger.contains(token.token())));
        let mut found = Vec::new();
        for one in lost {
            let Some(token) = one.claimed_by(&unknown, timing, self.options.ttl, lost.len()) else { continue };
            self.ledger.add(token, timing);
            found.push((one.number, token));
        }
        found
    }

    /// Returns the scopes as a grant lists them, expanded. `None` if one of them expands to nothing.
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

/// Returns the last token that is good. Yields to other tasks now and then.
async fn last<'a>(tokens: &[&'a Token], is_good: impl Fn(&Token) -> bool) -> Option<&'a Token> {
    for some in tokens.rchunks(CHUNK) {
        if let Some(token) = some.iter().rfind(|token| is_good(token)) {
            return Some(token);
        }
        tokio::task::yield_now().await;
    }
    None
}

impl TokenSource for Tokens {
    type Key = ScopeSet;

    fn normalize(&self, scopes: &ScopeSet) -> ScopeSet {
        sharing::normal(scopes)
    }

    fn record_name(&self, scopes: &ScopeSet) -> String {
        // Quoted, so that no two accounts share a name.
        format!("openapi-oauth {:?} {:?} {scopes}", self.api.transport.base_url, self.credentials.email)
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
        let previous = previous.map(|token| &token.access_token);
        let has_ended = |token: &AccessToken| previous == Some(token) || ended.contains(token);
        match self.find_or_create(scopes, has_ended, true).await {
            // Tries again: the search now finds the token, or shows that there is none. If it fails, the client creates no second one.
            Err(error)
                if may_have_created(&error, CREATE_TOKEN.operation) && self.api.transport.wait_after(&error).await =>
            {
                self.find_or_create(scopes, has_ended, false).await
            }
            result => result,
        }
    }

    /// Allows for two rounds of `GET /token`, `GET /scopes`, `POST /token` and `DELETE /token`, with a pause between.
    fn max_duration(&self) -> Duration {
        self.api.transport.timeout.saturating_mul(8).saturating_add(self.api.transport.retry.longest_rest())
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
        if self.ledger.remove(token)
            && let Some((changed, timing)) = changed
        {
            // The service may return it under another text, with another expiration time.
            self.ledger.add(changed, timing);
        }
    }

    fn record_unsure(&self, token: &AccessToken) {
        self.ledger.unsure(token);
    }

    /// Searches for the tokens of all requests that were given up, and enters them in the ledger.
    async fn find_lost(&self) -> Result<(), Error> {
        let mut result = Ok(());
        for scopes in self.pending.scopes_given_up() {
            result = result.and(self.reconcile(&scopes, |_| false).await.map(drop));
        }
        result
    }

    fn unexpired(&self) -> Vec<AccessToken> {
        self.ledger.unexpired(&self.api.transport.clock.moment())
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
