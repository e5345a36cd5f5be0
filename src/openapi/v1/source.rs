//! Where the managed tokens come from: `POST /token`, or one that the account has already.

use std::time::Duration;

use reqwest::{Request, StatusCode, Url};

use super::grant::{covers, fetched, granted, within};
use super::ledger::Ledger;
use super::operations::{Api, CREATE_TOKEN, LIST_TOKENS, invalid, is_missing};
use super::options::Options;
use super::pending::Pending;
use super::reconcile::{AmbiguousCreate, Ends, Unaccounted, since_1970};
use super::token::Token;
#[cfg(feature = "middleware")]
use crate::auth::managed::Propagation;
use crate::auth::managed::RequestRules;
use crate::cache::{Ended, Fetched, TokenSource, window};
use crate::error::{Error, Operation};
use crate::openapi::credentials::Credentials;
use crate::openapi::ttl::Ttl;
use crate::openapi::{requests, sharing};
use crate::scope::{Scope, ScopePattern, ScopeSet};
use crate::store::StoredToken;
use crate::token::AccessToken;
use crate::trace;

/// How many tokens are looked at without giving other tasks a turn: about a millisecond.
const AT_ONCE: usize = 500;

/// Makes tokens, and knows which ones it made.
pub(crate) struct Tokens {
    api: Api,
    email: String,
    pub(super) options: Options,
    pub(super) ledger: Ledger,
    pending: Pending,
}

impl Tokens {
    pub(super) fn new(api: Api, credentials: &Credentials, options: Options) -> Self {
        let email = credentials.email.clone();
        Self { api, email, options, ledger: Ledger::default(), pending: Pending::default() }
    }

    /// Returns the tokens that were made here to manage, and that have not expired.
    pub(super) fn living(&self) -> Vec<AccessToken> {
        self.ledger.living(&self.api.transport.clock.moment())
    }

    /// Deletes a token that was made here. Says whether it was still there.
    pub(super) async fn delete(&self, token: &AccessToken) -> Result<bool, Error> {
        let there = match self.api.delete_token(token).await {
            Ok(()) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error),
        };
        self.ledger.remove(token);
        Ok(there)
    }

    /// `blindly`: also if the account's tokens cannot be looked through.
    async fn find_or_create(
        &self,
        scopes: &ScopeSet,
        is_over: impl Fn(&AccessToken) -> bool,
        blindly: bool,
    ) -> Result<Fetched, Error> {
        let now = self.api.transport.clock.moment();
        if self.options.reuse_existing || self.pending.has_any_for(scopes, &now) {
            match self.reconcile(scopes, is_over).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) if !blindly || may_pass(&error) => return Err(error),
                Err(error)
                    if error.is_ambiguous()
                        && self.pending.is_recent_for(scopes, &self.api.transport.clock.moment()) =>
                {
                    return Err(error);
                }
                // What cannot be looked at keeps nobody from a token.
                Err(error) => trace::cache::not_looked(scopes, &error),
            }
        }
        let in_flight = self.pending.begin(scopes, self.options.ttl, &self.api.transport.clock);
        let result = self.create(scopes, in_flight.ttl()).await;
        match &result {
            Err(error) if is_uncertain(error) => {}
            _ => in_flight.answered(),
        }
        result
    }

    async fn create(&self, scopes: &ScopeSet, ttl: Ttl) -> Result<Fetched, Error> {
        let (token, timing) = self.api.create_token(scopes, ttl).await?;
        self.ledger.add(&token, &timing);
        let missing = scopes.missing_from(&granted(&token));
        if !missing.is_empty() {
            // Nobody will use it. Should it not go away now, `revoke_created` still knows it.
            let _ = self.delete(token.token()).await;
            return Err(Error::from_missing(missing).with_operation(CREATE_TOKEN.operation));
        }
        // The service's clock is not needed for what was asked for here.
        let latest = timing.sent.after(ttl.into()).now;
        Ok(Fetched { is_adopted: false, ..fetched(&token, &timing, scopes, latest, CREATE_TOKEN.operation) })
    }

    /// Looks for all tokens whose making was lost, so that they are known.
    pub(super) async fn find_lost(&self) -> Result<(), Error> {
        let mut result = Ok(());
        for scopes in self.pending.scopes_given_up() {
            result = result.and(self.reconcile(&scopes, |_| false).await.map(drop));
        }
        result
    }

    /// A living token of the account that is good for the scopes: one that was made here and lost, or any, if that is wanted.
    pub(super) async fn reconcile(
        &self,
        scopes: &ScopeSet,
        is_over: impl Fn(&AccessToken) -> bool,
    ) -> Result<Option<Fetched>, Error> {
        let concrete = scopes.iter().find_map(|pattern| pattern.as_str().parse::<Scope>().ok());
        let (tokens, timing) = self.api.list_tokens(concrete.as_ref()).await?;
        let lost = self.pending.given_up_for(scopes);
        let longest = self.options.ttl;
        let lives = |token: &Token| {
            let left = timing.here(token.expires_at()).duration_since(timing.sent.now).unwrap_or_default();
            left > window(longest.into())
        };
        let others: Vec<&Token> = tokens.iter().filter(|token| !is_over(token.token())).collect();
        let unknown = || others.iter().copied().filter(|token| !self.ledger.contains(token.token()));
        let is_of_interest = {
            let unknown = Ends::of(unknown().map(|token| since_1970(token.expires_at())));
            let ends = |lost: &AmbiguousCreate| lost.ends(&timing).iter().any(|ends| unknown.count(ends) > 0);
            lost.iter().any(ends) || (self.options.reuse_existing && others.iter().any(|token| lives(token)))
        };
        let wanted = if is_of_interest { self.expanded(scopes).await? } else { None };
        let (mut found, mut good): (Vec<u64>, Vec<&Token>) = Default::default();
        if let Some(wanted) = &wanted {
            // A lost one was granted what was asked for or less.
            let mut fitting: Vec<&Token> = Vec::new();
            for some in others.chunks(AT_ONCE) {
                fitting.extend(some.iter().filter(|token| within(token, scopes, wanted)));
                tokio::task::yield_now().await;
            }
            let unknown = Unaccounted::new(fitting.into_iter().filter(|token| !self.ledger.contains(token.token())));
            for one in &lost {
                let Some(token) = one.claimed_by(&unknown, &timing, longest, lost.len()) else { continue };
                self.ledger.add(token, &timing);
                found.push(one.number);
                good.push(token);
            }
        }
        // The numbers of both are sorted.
        let is_listed = |known: &AmbiguousCreate| {
            let was_looked_for = || lost.binary_search_by_key(&known.number, |lost| lost.number).is_ok();
            found.binary_search(&known.number).is_ok() || (known.is_settled(&timing) && was_looked_for())
        };
        self.pending.retain(|known| !is_listed(known));
        let Some(wanted) = &wanted else { return Ok(None) };
        if self.options.reuse_existing {
            let mut all = others;
            all.sort_by_key(|token| token.expires_at());
            all.append(&mut good);
            good = all;
        }
        let mut best = None;
        for some in good.rchunks(AT_ONCE) {
            best = some.iter().rfind(|token| lives(token) && covers(token, wanted));
            if best.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let Some(token) = best else { return Ok(None) };
        trace::cache::adopted(scopes);
        // Whatever the service's clock says: no token lives longer than the longest that can be asked for.
        let latest = timing.sent.after(Ttl::MAX.into()).now;
        Ok(Some(fetched(token, &timing, scopes, latest, LIST_TOKENS.operation)))
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

/// Whether a token may have been made by a request that failed so.
pub(super) fn is_uncertain(error: &Error) -> bool {
    error.operation() == Some(CREATE_TOKEN.operation.name) && (error.is_ambiguous() || error.is_decode())
}

/// Whether it is about the service or the account, and not about what was asked. `POST /token` would fail alike.
fn may_pass(error: &Error) -> bool {
    error.is_transient() || error.is_unauthorized() || error.status() == Some(StatusCode::FORBIDDEN)
}

impl TokenSource for Tokens {
    type Key = ScopeSet;

    fn normal(&self, scopes: &ScopeSet) -> ScopeSet {
        sharing::normal(scopes)
    }

    fn name(&self, scopes: &ScopeSet) -> String {
        // Quoted, so that no two accounts have the same.
        format!("openapi-oauth {:?} {:?} {scopes}", self.api.transport.base_url, self.email)
    }

    fn operation(&self) -> Operation {
        CREATE_TOKEN.operation
    }

    fn check(&self, scopes: &ScopeSet) -> Result<(), Error> {
        if scopes.is_empty() { Err(invalid(&CREATE_TOKEN, "no scopes")) } else { Ok(()) }
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
        let previous = previous.map(StoredToken::access_token);
        let is_over = |token: &AccessToken| previous == Some(token) || ended.contains(token);
        match self.find_or_create(scopes, is_over, true).await {
            // Once more: there is one to be found now, or there is none. Who cannot tell makes no second one at once.
            Err(error) if is_uncertain(&error) && self.api.transport.rest_after(&error).await => {
                self.find_or_create(scopes, is_over, false).await
            }
            result => result,
        }
    }

    /// Twice: `GET /token`, `GET /scopes`, `POST /token` and `DELETE /token`, with a rest between.
    fn longest(&self) -> Duration {
        self.api.transport.timeout.saturating_mul(8).saturating_add(self.api.transport.retry.longest_rest())
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

impl RequestRules for Tokens {
    #[cfg(feature = "middleware")]
    const ADD_A_HOST: &'static str = "name the host with `Builder::scopes`";

    fn is_recipient(&self, url: &Url) -> bool {
        requests::is_recipient(self.options.scopes.as_ref(), url)
    }

    fn refuse(&self, url: &Url) -> Error {
        requests::refuse(url)
    }

    fn key_for(&self, request: &Request) -> Result<ScopeSet, Error> {
        requests::scopes_for(self.options.scopes.as_ref(), request)
    }

    /// Users saw a new token rejected for 4 to 10 seconds.
    #[cfg(feature = "middleware")]
    fn propagation(&self) -> Option<Propagation> {
        Some(Propagation { within: Duration::from_secs(15), phrase: "wrong token" })
    }
}
