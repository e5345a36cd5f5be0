//! The store's part of an exchange: its record, its lock, the claim of a refresh token, and (in `save.rs`) the save.
//!
//! A refresh token works once, and a store may give it to several clients. A lock alone does not keep two of them from sending it: it may
//! end too early, and its holder may be stopped at any moment. So an exchange **claims** a refresh token before it sends it: it replaces
//! the record by one without the refresh token. Only one client succeeds in that.
//!
//! - A refresh token that is in a store, or may be, is sent after a claim only.
//! - A client that cannot tell whether its claim succeeded requests a token with the credentials.
//! - A claim is given back if the refresh token was not used.
//! - Nothing is ever removed because a call failed.

mod save;

use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::exchange::Exchange;
use super::slots::Claim;
use super::state::{CachedToken, Saved, State, Validity};
use super::{Ended, Inner, STORE_CALL_TIMEOUT, STORE_LOCK_TIMEOUT, TokenSource};
use crate::error::{Error, Kind};
use crate::runtime;
use crate::store::unique_text;
use crate::store::{
    ExpiringRefreshToken, Loaded, Locked, ManagedToken, Marks, Replaced, ReportingStore, StoreError, StoreLock, Version,
};
use crate::token::AccessToken;
use crate::trace;

/// How often an exchange claims a refresh token.
const MAX_CLAIMS: u32 = 3;

/// The most store calls of an exchange before it publishes a token, beside those that wait for the lock: a load before and after the lock,
/// [`MAX_CLAIMS`] with a load after each, and a look before the first attempt to save the token.
pub(super) const MAX_CALLS: u32 = 2 + 2 * MAX_CLAIMS + 2;

/// How often an exchange looks again after the record has changed. Another exchange changes it twice: by its claim, and by its save.
const MAX_CHANGES: usize = 16;

/// A claim that took longer to fail is not repeated: a caller may be waiting for the token.
const QUICK: Duration = Duration::from_millis(500);

/// What an exchange knows of the slot's record.
pub(super) enum StoreRecord {
    /// A token that callers may have.
    Usable(CachedToken),
    /// Nothing that callers may have, but perhaps a token that can be refreshed.
    Stale(Stale),
    /// The store could not be asked.
    Unknown(Error),
}

/// A record without a token that callers may have.
#[derive(Default)]
pub(super) struct Stale {
    version: Option<Version>,
    token: Option<ManagedToken>,
    /// The id of the record, if it is a claim of this slot, which still has its refresh token.
    own_claim: Option<String>,
    /// When another client claimed the refresh token.
    claimed_at: Option<SystemTime>,
    /// Why the record cannot be read.
    unreadable: Option<Error>,
}

impl StoreRecord {
    fn version(&self) -> Option<&Version> {
        match self {
            Self::Stale(stale) => stale.version.as_ref(),
            Self::Usable(_) | Self::Unknown(_) => None,
        }
    }
}

/// The record that an exchange will replace.
#[derive(Clone)]
pub(super) enum Base {
    /// The one that it has seen. `None` if there is none.
    Seen(Option<Version>),
    /// The store could not be asked.
    Unknown,
}

/// The token that an exchange passes to the source, and where the next one will be saved.
pub(super) struct Turn {
    pub(super) previous: Option<ManagedToken>,
    pub(super) base: Base,
    /// Whether `previous` is a usable token that the source was made with.
    pub(super) is_initial: bool,
    /// Whether the store's record has lost its refresh token to this exchange.
    is_claimed: bool,
    needs_claim: bool,
    /// The marks of the next token's record, once it is being saved.
    marks: Option<Marks>,
}

impl Turn {
    /// A turn of a cache without a store.
    pub(super) fn without_store<S: TokenSource>(
        cached: Option<ManagedToken>,
        source: &S,
        key: &S::Key,
        ended: &Ended<AccessToken>,
        now: SystemTime,
    ) -> Self {
        let initial = if cached.is_none() { source.initial(key) } else { None };
        let is_initial = initial.as_ref().is_some_and(|token| is_adoptable(token, ended, now));
        Self { is_initial, ..Self::new(cached.or(initial), Base::Unknown) }
    }

    fn new(previous: Option<ManagedToken>, base: Base) -> Self {
        Self { previous, base, is_initial: false, is_claimed: false, needs_claim: false, marks: None }
    }
}

impl<S: TokenSource> Exchange<S> {
    /// Waits for the lock of the slot's record, unless the record has a usable token: then publishes that, and returns `None`.
    pub(super) async fn wait_for_lock(
        &mut self,
        store: &ReportingStore,
        state: &State,
    ) -> Result<Option<(Option<StoreLock>, StoreRecord)>, Error> {
        // First without the lock, so that a process that only reads does not wait for the exchange of another.
        let mut record = self.load_stored(store, state).await;
        // For all attempts together.
        let until = runtime::after(STORE_LOCK_TIMEOUT);
        for _ in 0..MAX_CHANGES {
            let left = until.saturating_duration_since(Instant::now());
            if let StoreRecord::Usable(cached) = record {
                return self.publish(|| Some(cached)).map(|_| None);
            }
            if left.is_zero() {
                break;
            }
            let is_unknown = matches!(record, StoreRecord::Unknown(_));
            let lock = match self.lock(store, record.version(), left).await {
                Some(Locked::Held(lock)) => Some(lock),
                Some(Locked::Changed) => {
                    record = self.load_stored(store, state).await;
                    if is_unknown && matches!(record, StoreRecord::Unknown(_)) {
                        return Ok(Some((None, record)));
                    }
                    continue;
                }
                None if is_unknown => return Ok(Some((None, record))),
                Some(Locked::Busy) | None => None,
            };
            record = self.load_stored(store, state).await;
            if let StoreRecord::Usable(cached) = record {
                let published = self.publish(|| Some(cached));
                release(lock).await;
                return published.map(|_| None);
            }
            return Ok(Some((lock, record)));
        }
        Ok(Some((None, record)))
    }

    /// Claims the refresh token of the record, if there is one. Returns the token to pass to the source, or `None` if the record has got
    /// a usable token meanwhile, which is published.
    pub(super) async fn take_turn(
        &mut self,
        store: &ReportingStore,
        state: &State,
        mut record: StoreRecord,
    ) -> Result<Option<Turn>, Error> {
        let (mut claims, mut error) = (0, None);
        let id = unique_text(self.cache.0.time.now());
        loop {
            if let StoreRecord::Usable(cached) = record {
                return self.publish(|| Some(cached)).map(|_| None);
            }
            let mut turn = self.plan(state, &record, &id)?;
            let (Some(token), Base::Seen(seen), true) = (&turn.previous, &turn.base, turn.needs_claim) else {
                return Ok(Some(turn));
            };
            if claims == MAX_CLAIMS {
                break;
            }
            let began = Instant::now();
            match self.claim(store, seen.as_ref(), token, &id).await {
                Ok(Replaced::Done(version)) => {
                    (turn.base, turn.is_claimed) = (Base::Seen(Some(version)), true);
                    return Ok(Some(turn));
                }
                Ok(Replaced::Conflict) => claims += 1,
                Err(failure) => {
                    error = Some(store.failed("claim", failure));
                    claims = if began.elapsed() < QUICK { claims + 1 } else { MAX_CLAIMS };
                }
            }
            // A claim whose answer was lost is found there.
            record = self.load_stored(store, state).await;
        }
        let error = error.unwrap_or_else(|| Error::store("claim", "the record changes again and again".into()));
        self.plan(state, &StoreRecord::Unknown(error), &id).map(Some)
    }

    /// Chooses the token to refresh, and says whether it must be claimed. `id`: of the claims of this exchange.
    fn plan(&self, state: &State, record: &StoreRecord, id: &str) -> Result<Turn, Error> {
        let Inner { source, ended, .. } = &*self.cache.0;
        let (key, now) = (&self.slot.key, self.now().now);
        let needs_last_token = source.depends_on_last_token();
        let can_refresh = |token: &ManagedToken| {
            let is_unexpired = |renewal: &ExpiringRefreshToken| now < renewal.expires_at || needs_last_token;
            token.renewal.as_ref().is_some_and(is_unexpired) && !source.has_sent(key, token)
        };
        let cached = state.cached.as_ref();
        let own = |is_meant: &dyn Fn(&Saved) -> bool| cached.filter(|it| is_meant(&it.saved)).map(|it| &it.token);
        let unsaved = own(&|saved| *saved == Saved::No).filter(|token| can_refresh(token));
        let (stale, base) = match record {
            StoreRecord::Stale(stale) => (stale, Base::Seen(stale.version.clone())),
            StoreRecord::Usable(_) => return Ok(Turn::new(None, Base::Unknown)),
            // The store may have the refresh token, and somebody else may use it.
            StoreRecord::Unknown(error) => {
                return match unsaved {
                    Some(token) => Ok(Turn::new(Some(token.clone()), Base::Unknown)),
                    None if needs_last_token => Err(error.clone().with_operation(source.operation())),
                    None => Ok(Turn::new(cached.map(|cached| without_renewal(&cached.token)), Base::Unknown)),
                };
            }
        };
        let stored = stale.token.as_ref();
        if let Some(token) = stored.filter(|token| can_refresh(token)) {
            // The claim of an earlier exchange is claimed again: its attempt to give that back may still be carried out.
            let is_claimed = stale.own_claim.as_deref() == Some(id);
            return Ok(Turn { is_claimed, needs_claim: !is_claimed, ..Turn::new(Some(token.clone()), base) });
        }
        if let Some(token) = unsaved {
            return Ok(Turn::new(Some(token.clone()), base));
        }
        // The record is the one that the token was to replace. If the token is still to come there, the claim keeps it out. "No record"
        // does not tell: the token may have been there, been used by another client, and been lost.
        let doubtful = own(&|saved| matches!(saved, Saved::Maybe(Some(seen)) if Some(seen) == stale.version.as_ref()));
        // One that a store had and has lost may have been used by another client. So it is only sent if nothing else leads to a token.
        let is_gone = stored.is_none() && stale.unreadable.is_none();
        let lost = own(&|saved| *saved != Saved::No).filter(|_| needs_last_token && is_gone);
        if let Some(token) = doubtful.or(lost).filter(|token| can_refresh(token)) {
            return Ok(Turn { needs_claim: true, ..Turn::new(Some(token.clone()), base) });
        }
        if let Some(error) = stale.unreadable.as_ref().filter(|_| needs_last_token) {
            return Err(error.clone().with_operation(source.operation()));
        }
        // A claim is older than its request, and younger than its save. One from far ahead is that of a clock that was wrong.
        let longest = source.max_duration().saturating_mul(2).saturating_add(STORE_CALL_TIMEOUT);
        let is_recent = |at: &SystemTime| now.duration_since(*at).unwrap_or_else(|ahead| ahead.duration()) < longest;
        if let Some(claimed_at) = stale.claimed_at.filter(is_recent).filter(|_| needs_last_token) {
            let left = longest.saturating_sub(now.duration_since(claimed_at).unwrap_or_default());
            let message = format!(
                "cannot claim a token: another program has claimed it, and has not saved the next one yet, which it may do for another {} s",
                left.as_millis().div_ceil(1_000)
            );
            let error = Error::new(Kind::StoreUnavailable).with_message(message);
            return Err(error.with_operation(source.operation()));
        }
        let initial = source.initial(key).filter(|_| stored.is_none() && cached.is_none());
        if let Some(token) = initial {
            let is_initial = is_adoptable(&token, ended, now);
            let needs_claim = !is_initial && can_refresh(&token);
            return Ok(Turn { is_initial, needs_claim, ..Turn::new(Some(token), base) });
        }
        Ok(Turn::new(stored.or(cached.map(|cached| &cached.token)).map(without_renewal), base))
    }

    /// Replaces the record by one without the refresh token.
    async fn claim(
        &self,
        store: &ReportingStore,
        seen: Option<&Version>,
        token: &ManagedToken,
        id: &str,
    ) -> Result<Replaced, StoreError> {
        // Before the call: the task may be stopped at any moment after.
        self.slot.set_claim(Some(Claim { id: id.to_owned(), token: token.clone() }));
        let claimed_at = Some(self.cache.0.time.now());
        let marks = Marks { id: Some(id.to_owned()), claimed_at, ..self.new_marks() };
        with_call_timeout(store.replace(&self.slot.name, seen, token, &marks)).await
    }

    /// Gives a claim back, if its refresh token was not used. If that fails, the slot still knows the claim.
    pub(super) async fn give_back(&self, store: &ReportingStore, turn: &Turn) {
        let (Some(token), Base::Seen(seen), true) = (&turn.previous, &turn.base, turn.is_claimed) else { return };
        // Another exchange of this slot may have taken the claim over.
        if self.is_abandoned() || self.cache.0.source.has_sent(&self.slot.key, token) {
            return;
        }
        match with_call_timeout(store.replace(&self.slot.name, seen.as_ref(), token, &self.new_marks())).await {
            // Given back, or another client took this one for dead.
            Ok(Replaced::Done(_) | Replaced::Conflict) => self.slot.set_claim(None),
            Err(error) => drop(store.failed("save", error)),
        }
    }

    fn new_marks(&self) -> Marks {
        let now = self.cache.0.time.now();
        let keep_until = self.cache.0.source.record_life().and_then(|life| now.checked_add(life));
        Marks { id: Some(unique_text(now)), claimed_at: None, name: Some(self.slot.name.clone()), keep_until }
    }

    /// Loads the slot's record, and judges whether its token is usable.
    pub(super) async fn load_stored(&self, store: &ReportingStore, state: &State) -> StoreRecord {
        match with_call_timeout(store.load(&self.slot.name)).await {
            Ok(Some(loaded)) => self.judge(store, state, loaded),
            Ok(None) => StoreRecord::Stale(Stale::default()),
            Err(error) => StoreRecord::Unknown(store.failed("load", error)),
        }
    }

    fn judge(&self, store: &ReportingStore, state: &State, Loaded { token, version }: Loaded) -> StoreRecord {
        let Inner { source, ended, .. } = &*self.cache.0;
        let stale = Stale { version: Some(version), ..Stale::default() };
        let name = &self.slot.name;
        let is_for = |token: &ManagedToken| source.is_for(token, &self.slot.key);
        let read = token.and_then(|read| match is_for(&read.0) {
            true => Ok(read),
            false => Err(format!("the record under {name} has a token for something else; it is ignored").into()),
        });
        let (token, marks) = match read {
            Ok(read) => read,
            Err(error) => return StoreRecord::Stale(Stale { unreadable: Some(store.failed("load", error)), ..stale }),
        };
        if marks.claimed_at.is_some() {
            // Its refresh is under way, or was, and ends the access token.
            let own = self.slot.claim().filter(|claim| Some(&claim.id) == marks.id.as_ref());
            let claimed_at = marks.claimed_at.filter(|_| own.is_none());
            let (token, own_claim) = own.map_or((token, None), |claim| (claim.token, Some(claim.id)));
            return StoreRecord::Stale(Stale { token: Some(token), own_claim, claimed_at, ..stale });
        }
        let now = self.now();
        let is_needed = state.usable(&now).is_none();
        // The slot's own token is in its refresh window, expired, or rejected. Unless another process has extended it.
        let is_own = |cached: &CachedToken| {
            cached.token.access_token == token.access_token && token.expires_at <= cached.token.expires_at
        };
        let is_old = state.cached.as_ref().is_some_and(is_own) || ended.contains(&token.access_token);
        let validity = Validity::from_stored(&token, &now).filter(|_| !is_old);
        match validity.filter(|validity| validity.is_fresh(&now) || (is_needed && validity.is_usable(&now))) {
            Some(validity) => {
                trace::cache::loaded(&self.slot.key, validity.left(&now));
                let (validity, saved) = (Some(validity), Saved::Yes);
                StoreRecord::Usable(CachedToken { token, validity, is_borrowed: false, saved })
            }
            None => StoreRecord::Stale(Stale { token: Some(token), ..stale }),
        }
    }

    /// Takes the lock of the slot's record. Reports a failure.
    pub(super) async fn lock(&self, store: &ReportingStore, seen: Option<&Version>, limit: Duration) -> Option<Locked> {
        let lock = with_timeout(limit, store.lock(&self.slot.name, seen)).await;
        lock.map_err(|error| store.failed("lock", error)).ok()
    }

    /// Removes the slot's record, while no other exchange is between its claim and its save.
    pub(super) async fn remove_stored(&self, store: &ReportingStore, limit: Duration) -> Result<(), StoreError> {
        let (until, mut changes) = (Instant::now() + limit, 0);
        let lock = loop {
            let seen = match with_call_timeout(store.load(&self.slot.name)).await {
                Ok(loaded) => loaded.map(|loaded| loaded.version),
                // Whatever is there is to go.
                Err(_) => break None,
            };
            let left = until.saturating_duration_since(Instant::now());
            match self.lock(store, seen.as_ref(), left).await {
                Some(Locked::Held(lock)) => break Some(lock),
                Some(Locked::Changed) if changes < MAX_CHANGES && !left.is_zero() => changes += 1,
                Some(Locked::Changed | Locked::Busy) | None => break None,
            }
        };
        let removed = with_call_timeout(store.remove(&self.slot.name)).await;
        release(lock).await;
        removed
    }
}

/// Releases a lock, and waits until it is released, but not for ever.
pub(super) async fn release(lock: Option<StoreLock>) {
    if let Some(lock) = lock {
        let _ = runtime::until(runtime::after(STORE_CALL_TIMEOUT), lock.release()).await;
    }
}

/// Returns whether a token that the source was made with can be used as it is.
fn is_adoptable(token: &ManagedToken, ended: &Ended<AccessToken>, now: SystemTime) -> bool {
    now < token.expires_at && !ended.contains(&token.access_token)
}

fn without_renewal(token: &ManagedToken) -> ManagedToken {
    ManagedToken { renewal: None, ..token.clone() }
}

async fn with_call_timeout<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    with_timeout(STORE_CALL_TIMEOUT, call).await
}

/// Waits for a store call. A store that does not finish in time counts as failed.
async fn with_timeout<T>(limit: Duration, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(StoreTimeout(limit).into()))
}

/// The error for a store call that did not finish in time.
#[derive(Debug)]
pub(super) struct StoreTimeout(Duration);

impl fmt::Display for StoreTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no response in {} s", self.0.as_secs())
    }
}

impl std::error::Error for StoreTimeout {}
