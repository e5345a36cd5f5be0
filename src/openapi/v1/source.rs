//! Where tokens come from: `POST /token`, or what is there already.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;

use super::lost::{Lost, is_uncertain};
use super::managed::Options;
use super::requests::is_vendors as stands_for_asterisk;
use super::{Api, CREATE_TOKEN, Credentials, Token, Ttl, invalid, is_missing};
use crate::cache::{Ended, Fetched, TokenSource};
use crate::clock::Moment;
use crate::error::Operation;
use crate::store::{Scopes, StoredToken};
use crate::transport::Stamp;
use crate::{AccessToken, Error, ScopePattern, ScopeSet, trace};

/// Makes tokens, and knows which it made.
pub(crate) struct Tokens {
    pub(super) api: Api,
    email: String,
    pub(super) options: Options,
    created: Mutex<Known>,
    pub(super) lost: Mutex<Vec<Lost>>,
}

impl Tokens {
    pub(super) fn new(api: Api, credentials: &Credentials, options: Options) -> Self {
        Self { api, email: credentials.email.clone(), options, created: Mutex::default(), lost: Mutex::default() }
    }

    fn created(&self) -> MutexGuard<'_, Known> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, token: &Token, stamp: &Stamp) {
        self.created().add(token, stamp);
    }

    pub(super) fn knows(&self, token: &AccessToken) -> bool {
        self.created().tokens.contains_key(token)
    }

    /// The tokens that were made here to look after, and that have not expired.
    pub(super) fn living(&self) -> Vec<AccessToken> {
        let mut created = self.created();
        created.sweep(&self.api.0.clock.coarse());
        created.tokens.keys().cloned().collect()
    }

    /// Forgets a token that is no more. Says whether it was one that was made here to look after.
    pub(super) fn strike_out(&self, token: &AccessToken) -> bool {
        self.created().tokens.remove(token).is_some()
    }

    /// Deletes a token that was made here. Says whether it was still there.
    pub(super) async fn delete(&self, token: &AccessToken) -> Result<bool, Error> {
        let there = match self.api.delete_token(token).await {
            Ok(()) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error),
        };
        self.strike_out(token);
        Ok(there)
    }

    /// `blindly`: also if the account's tokens cannot be looked through.
    async fn find_or_create(
        &self,
        scopes: &ScopeSet,
        is_over: impl Fn(&AccessToken) -> bool,
        blindly: bool,
    ) -> Result<Fetched, Error> {
        if self.options.reuse_existing || self.has_lost(scopes) {
            match self.look(scopes, is_over).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) if !blindly || may_pass(&error) => return Err(error),
                Err(error) if error.is_ambiguous() && self.awaits_lost(scopes) => {
                    return Err(error);
                }
                // What cannot be looked at keeps nobody from a token.
                Err(error) => trace::cache::not_looked(scopes, &error),
            }
        }
        let sending = self.sending(scopes);
        let result = self.create(scopes, sending.ttl()).await;
        match &result {
            Err(error) if is_uncertain(error) => {}
            _ => sending.heard(),
        }
        result
    }

    async fn create(&self, scopes: &ScopeSet, ttl: Ttl) -> Result<Fetched, Error> {
        let (token, stamp) = self.api.create_token(scopes, ttl).await?;
        self.remember(&token, &stamp);
        let lacking = scopes.missing_from(&granted(&token));
        if !lacking.is_empty() {
            // Nobody will use it. Should it not go away now, `revoke_created` still knows it.
            let _ = self.delete(token.token()).await;
            return Err(Error::lacking(lacking).with_operation(CREATE_TOKEN.operation));
        }
        // The service's clock is not needed for what was asked for here.
        let latest = stamp.sent.after(ttl.into()).now;
        Ok(Fetched { is_adopted: false, ..fetched(&token, &stamp, scopes, latest, CREATE_TOKEN.operation) })
    }
}

/// Tokens, with their ends. Those that have expired go away now and then.
#[derive(Default)]
struct Known {
    tokens: HashMap<AccessToken, Moment>,
    /// With so many it is time to look for them.
    full: usize,
}

impl Known {
    fn add(&mut self, token: &Token, stamp: &Stamp) {
        if self.tokens.len() >= self.full {
            self.sweep(&stamp.sent);
        }
        let left = stamp.here(token.expires_at()).duration_since(stamp.sent.now).unwrap_or_default();
        self.tokens.insert(token.token().clone(), stamp.sent.after(left));
    }

    fn sweep(&mut self, now: &Moment) {
        self.tokens.retain(|_, end| !is_over(end, now));
        self.full = 2 * self.tokens.len().max(32);
    }
}

/// Whether both times say so: one of them may have been set.
pub(super) fn is_over(end: &Moment, now: &Moment) -> bool {
    end.now <= now.now && end.monotonic <= now.monotonic
}

/// Whether it is about the service or the account, and not about what was asked. `POST /token` would fail alike.
fn may_pass(error: &Error) -> bool {
    error.is_transient() || error.is_unauthorized() || error.status() == Some(StatusCode::FORBIDDEN)
}

/// What a token is good for.
pub(super) fn granted(token: &Token) -> ScopeSet {
    grants(token).collect()
}

/// What a token is good for, as it is listed. A service that repeats a pattern rather than what it comes to has granted it.
pub(super) fn grants(token: &Token) -> impl Iterator<Item = ScopePattern> {
    let patterns = token.scopes().unrecognized().iter().filter_map(|entry| entry.parse::<ScopePattern>().ok());
    token.scopes().iter().cloned().map(ScopePattern::from).chain(patterns)
}

pub(super) fn fetched(
    token: &Token,
    stamp: &Stamp,
    scopes: &ScopeSet,
    latest: SystemTime,
    operation: Operation,
) -> Fetched {
    let granted = granted(token);
    let token = StoredToken {
        access_token: token.token().clone(),
        obtained_at: stamp.sent.now,
        expires_at: stamp.here(token.expires_at()).min(latest),
        renewal: None,
        scopes: Some(Scopes { requested: scopes.clone(), granted }),
        name: None,
    };
    Fetched { token, sent: stamp.sent, operation, is_adopted: true }
}

impl TokenSource for Tokens {
    type Key = ScopeSet;

    /// What a wildcard comes to is not known, and neither is whether a token for a path is good for what lies below it. So a scope
    /// stays beside one that covers it: it is asked for by its name. Only a wildcard goes that another one stands for.
    fn normal(&self, scopes: &ScopeSet) -> ScopeSet {
        scopes.without_named_wildcards()
    }

    fn name(&self, scopes: &ScopeSet) -> String {
        // Quoted, so that no two accounts have the same.
        format!("openapi-oauth {:?} {:?} {scopes}", self.api.0.base_url, self.email)
    }

    fn operation(&self) -> Operation {
        CREATE_TOKEN.operation
    }

    fn check(&self, scopes: &ScopeSet) -> Result<(), Error> {
        if scopes.is_empty() { Err(invalid(&CREATE_TOKEN, "no scopes")) } else { Ok(()) }
    }

    fn is_for(&self, token: &StoredToken, scopes: &ScopeSet) -> bool {
        let lacks = |known: &Scopes| !scopes.missing_from(&known.granted).is_empty();
        token.scopes.as_ref().is_some_and(|known| known.requested == *scopes && !lacks(known))
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
            Err(error) if is_uncertain(&error) && self.api.0.rest_after(&error).await => {
                self.find_or_create(scopes, is_over, false).await
            }
            result => result,
        }
    }

    /// Twice: `GET /token`, `GET /scopes`, `POST /token` and `DELETE /token`, with a rest between.
    fn longest(&self) -> Duration {
        self.api.0.timeout.saturating_mul(8).saturating_add(self.api.0.retry.longest_rest())
    }

    fn is_broad(&self, scopes: &ScopeSet) -> bool {
        scopes.len() > 1 || scopes.iter().any(ScopePattern::has_wildcard)
    }

    /// A token is granted what was asked for, or what that comes to.
    fn lends_at(&self, scopes: &ScopeSet) -> Vec<u64> {
        scopes.iter().map(ScopePattern::place).collect()
    }

    fn borrows_at(&self, scopes: &ScopeSet) -> impl Iterator<Item = Vec<u64>> {
        scopes.iter().map(ScopePattern::places_above)
    }

    /// By its name, or by a wildcard that was asked for: whether a token for a path is good for what lies below it is not known.
    fn serves(&self, token: &StoredToken, scopes: &ScopeSet) -> bool {
        // What a wildcard comes to is not known, so who asks for one is served by who asked for it and got anything of it.
        let serves = |Scopes { requested, granted }: &Scopes, pattern: &ScopePattern| {
            let expanded = || requested.names([pattern]) && granted.iter().any(|grant| pattern.names(grant));
            granted.names([pattern]) || (pattern.has_wildcard() && expanded())
        };
        // To a host that `*` does not stand for, `authorize` sends a token for `*` neither when it is new nor when it is cached.
        let is_elsewhere = |pattern: &ScopePattern| pattern.host() != "*" && !stands_for_asterisk(pattern.host());
        let is_wide = |Scopes { requested, .. }: &Scopes| requested.iter().any(|pattern| pattern.host() == "*");
        let is_kept_back = |known: &Scopes| is_wide(known) && scopes.iter().any(is_elsewhere);
        let known = token.scopes.as_ref().filter(|known| !scopes.is_empty() && !is_kept_back(known));
        known.is_some_and(|known| scopes.iter().all(|pattern| serves(known, pattern)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;
    use crate::openapi::v1::Oauth;

    /// Whatever the service makes of what was asked for: a lender stands at the places where it is looked for.
    #[test]
    fn whoever_can_lend_a_token_is_found() {
        let oauth = Oauth::builder(Credentials::new("test@example.com", "key")).build().unwrap();
        let source = oauth.tokens.source();
        let (hosts, paths) = (["a.it", "b.a.it", "c.it", "*.it", "*.a.it", "*"], ["x", "x/y", "z", "*"]);
        let methods = ["GET", "POST", "*"];
        let mut catalogue: Vec<Scope> = Vec::new();
        for host in &hosts[..3] {
            for path in &paths[..3] {
                catalogue.extend(
                    methods[..2].iter().map(|method| format!("{method}:{host}/{path}").parse::<Scope>().unwrap()),
                );
            }
        }
        let mut rng = fastrand::Rng::with_seed(11);
        let mut set = || {
            let mut part = |parts: &[&'static str]| parts[rng.usize(..parts.len())];
            let count = part(&["1", "22", "333"]).len();
            ScopeSet::parse((0..count).map(|_| format!("{}:{}/{}", part(&methods), part(&hosts), part(&paths))))
                .unwrap()
        };
        let mut served = 0;
        for round in 0..20_000 {
            let (requested, wanted) = (source.normal(&set()), source.normal(&set()));
            // As they were asked for, as they come to, or both.
            let expanded = || requested.expand(&catalogue).map(ScopePattern::from);
            let granted: ScopeSet = match round % 3 {
                0 => requested.clone(),
                1 => expanded().collect(),
                _ => requested.iter().cloned().chain(expanded()).collect(),
            };
            let lent_at = source.lends_at(&requested);
            let token = StoredToken {
                access_token: AccessToken::new("t"),
                obtained_at: SystemTime::UNIX_EPOCH,
                expires_at: SystemTime::UNIX_EPOCH,
                renewal: None,
                name: None,
                scopes: Some(Scopes { requested: requested.clone(), granted }),
            };
            if source.serves(&token, &wanted) {
                let mut parts = source.borrows_at(&wanted);
                assert!(
                    parts.all(|places| places.iter().any(|place| lent_at.contains(place))),
                    "{requested} for {wanted}"
                );
                served += 1;
            }
        }
        assert!(served > 1_000, "{served}");
    }
}
