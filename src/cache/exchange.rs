//! One exchange with the source, on a task of its own.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::state::{Failure, Held, Phase, State, Validity, classify};
use super::{Cache, Fetched, Inner, LONGEST_ANSWER, LONGEST_LOCK, Slot, TokenSource};
use crate::clock::Moment;
use crate::error::Error;
use crate::store::{ReportingStore, StoreError, StoreLock, StoredToken};
use crate::token::AccessToken;
use crate::{runtime, trace};

/// The right to change what a slot holds. There is one for each slot, and it is given back however the task ends: by its
/// own end, by a panic, or because its runtime is dropped.
pub(super) struct Exchange<S: TokenSource> {
    cache: Cache<S>,
    slot: Arc<Slot<S::Key>>,
    generation: u64,
    /// What it knows of tokens that ended: those up to this one.
    began: u64,
    /// The revision of the slot's state when it began.
    revision: u64,
    /// Whether there was no token that could be handed out.
    has_waiters: bool,
    /// Whether it has brought a token: from then on nothing that goes wrong is a failure.
    has_published: bool,
    /// For those that wait.
    error: Option<Error>,
}

/// What a store had.
enum Found {
    Good(Held),
    /// Of use for a renewal at the most.
    Old(Option<StoredToken>),
}

/// Why there is no token.
enum FetchFailure {
    /// It is about this key, as far as is known.
    Key(Error),
    /// It is about the account.
    Account(Failure),
    /// The account's pause after an earlier failure is not over: nothing was sent.
    Paused(Failure),
}

impl From<Error> for FetchFailure {
    fn from(error: Error) -> Self {
        Self::Key(error)
    }
}

impl<S: TokenSource> Exchange<S> {
    pub(super) fn begin(cache: &Cache<S>, slot: &Arc<Slot<S::Key>>) -> Option<Self> {
        // Asked before it begins: a clock of the user's that panics leaves nothing begun.
        let (now, began) = (cache.0.time.moment(), cache.0.ended.last());
        let generation = slot.begin()?;
        let state = slot.state.load();
        Some(Self {
            cache: cache.clone(),
            slot: Arc::clone(slot),
            generation,
            began,
            revision: state.revision,
            has_waiters: state.usable(&now).is_none(),
            has_published: false,
            error: None,
        })
    }

    pub(super) async fn run(mut self) {
        if self.is_given_up() {
            return;
        }
        let state = self.slot.state.load_full();
        let now = self.now();
        match classify(&state, &now) {
            // Another exchange ended between the caller's look and its start.
            Phase::Fresh => {}
            Phase::BackingOff => self.error = state.failure.as_ref().map(|failure| failure.repeated(&now)),
            Phase::Empty | Phase::RefreshSoon | Phase::Expired => match self.obtain(&state).await {
                Ok(()) => {}
                Err(_) if self.is_given_up() => {}
                Err(FetchFailure::Key(error)) => {
                    self.fail(&error, |state, has_waiters, now| state.failed(&error, has_waiters, now))
                }
                Err(FetchFailure::Account(failure)) => {
                    self.fail(&failure.error, |state, _, now| state.paused(failure.clone(), now))
                }
                Err(FetchFailure::Paused(failure)) => {
                    self.fail(&failure.repeated(&self.now()), |state, _, now| state.paused(failure.clone(), now))
                }
            },
        }
    }

    /// Whether somebody has waited for it long enough, and another one may have begun.
    fn is_given_up(&self) -> bool {
        self.slot.generation.load(Ordering::Acquire) != self.generation
    }

    /// Drops what the slot holds: for caches without a store.
    pub(super) fn clear(&self) {
        trace::cache::cleared(&self.slot.key);
        self.slot.state.rcu(|state| state.cleared());
    }

    /// Drops what the slot holds, if it is so, and what the store has of it. `locks` is how long its lock is waited for, and
    /// then what is left of that.
    pub(super) async fn clear_stored(
        self,
        is_meant: impl FnOnce(&State) -> bool,
        locks: &mut Duration,
    ) -> Result<(), StoreError> {
        if !is_meant(&self.slot.state.load()) {
            return Ok(());
        }
        let Some(store) = &self.cache.0.store else {
            self.clear();
            return Ok(());
        };
        let asked = Instant::now();
        let _lock = self.lock(store, *locks).await;
        *locks = locks.saturating_sub(asked.elapsed());
        let removed = in_time(store.remove(&self.slot.name)).await;
        if removed.is_ok() {
            self.clear();
        } else {
            // What the store may have still is remembered, so that it is not taken again.
            self.slot.state.rcu(|state| state.withdrawn().forgiven());
        }
        removed
    }

    /// Publishes a token: of another slot, from the store, or from the source.
    async fn obtain(&mut self, state: &State) -> Result<(), FetchFailure> {
        let (cache, slot, now) = (self.cache.clone(), Arc::clone(&self.slot), self.now());
        if let Some(lender) = self.lender(state).await?
            && self.publish(|| Some(cache.loan(&lender, &slot.key, &now)?.0))?
        {
            trace::cache::borrowed(&self.slot.key);
            return Ok(());
        }
        let held = state.held.as_ref().map(|held| &held.token);
        let Some(store) = &cache.0.store else {
            return self.fetch(state, held).await;
        };
        // Without the lock first: who only reads need not wait for somebody else's exchange.
        if let Found::Good(held) = self.find(store, state).await {
            return self.publish(|| Some(held)).map(drop);
        }
        let _lock = self.lock(store, LONGEST_LOCK).await;
        match self.find(store, state).await {
            Found::Good(held) => self.publish(|| Some(held)).map(drop),
            Found::Old(stored) => {
                // What is stored is ours or comes after it, unless ours could not be saved.
                let unsaved = held.filter(|_| state.held.as_ref().is_some_and(|held| !held.saved));
                self.fetch(state, unsaved.or(stored.as_ref()).or(held)).await
            }
        }
    }

    /// Fetches a token, publishes it, and saves it: with some services the one before has ended, and callers must not be given
    /// that while a store takes its time. The exchange ends when the store has answered.
    async fn fetch(&mut self, state: &State, previous: Option<&StoredToken>) -> Result<(), FetchFailure> {
        if self.cache.0.ended.is_cleared(self.began) {
            // What it would bring would be for nobody.
            return Ok(());
        }
        let fetched = self.ask(state, previous).await?;
        let now = self.now();
        let validity = Validity::fetched(&fetched, &now);
        let Fetched { mut token, operation, is_adopted, .. } = fetched;
        token.name = Some(self.slot.name.clone());
        if !is_adopted {
            self.cache.0.ended.given(&token.access_token, self.began);
        }
        let held = Held { token, validity: Some(validity), own: true, saved: self.cache.0.store.is_none() };
        if !validity.is_usable(&now) {
            if self.put(|state| state.obtained_too_late(held.clone())) {
                self.save(&held.token).await;
            }
            let error = Error::decode("the token that came has already expired; is the clock of this machine right?");
            return Err(error.with_operation(operation).into());
        }
        if self.publish(|| Some(held.clone()))? {
            trace::cache::obtained(&self.slot.key, validity.left(&now));
            self.save(&held.token).await;
        }
        Ok(())
    }

    /// Hands a token to all that wait, and to all that come. Returns whether it did: a token that was ended meanwhile is passed over, and
    /// who waits looks again.
    fn publish(&mut self, offer: impl FnOnce() -> Option<Held>) -> Result<bool, FetchFailure> {
        let offer = || offer().map(|held| (held.token.access_token.clone(), held));
        match self.cache.0.ended.publish(self.began, offer, |held| self.put(|state| state.obtained(held.clone()))) {
            None => Ok(false),
            Some(false) => Err(self.cache.aborted().into()),
            Some(true) => {
                self.has_published = true;
                self.slot.published();
                Ok(true)
            }
        }
    }

    /// Changes what the slot holds. An exchange that was given up may still do so, as what it brings cannot be had again, unless
    /// something newer was published since it began, or all was to be forgotten.
    fn put(&self, change: impl Fn(&State) -> State) -> bool {
        let may = |state: &State| !self.is_given_up() || state.revision == self.revision;
        let mut is_put = false;
        self.slot.state.rcu(|state| {
            is_put = may(state);
            if is_put { Arc::new(change(state)) } else { Arc::clone(state) }
        });
        is_put
    }

    /// Asks the source, unless it is too early for the whole account.
    async fn ask(&self, state: &State, previous: Option<&StoredToken>) -> Result<Fetched, FetchFailure> {
        let Inner { account, time, source, .. } = &*self.cache.0;
        let paused = state.failure.as_ref().filter(|_| state.usable(&self.now()).is_some());
        let admission = account.admit(time, source.longest(), paused).await.map_err(FetchFailure::Paused)?;
        if self.is_given_up() {
            return Err(self.cache.aborted().into());
        }
        trace::cache::fetching(&self.slot.key, previous.is_some());
        let result = source.fetch(&self.slot.key, previous, &self.cache.0.ended).await;
        let failure = account.learn(&admission, result.as_ref().err(), &self.now());
        match (result, failure) {
            (Ok(fetched), _) => Ok(fetched),
            (Err(_), Some(failure)) => Err(FetchFailure::Account(failure)),
            (Err(error), None) => Err(FetchFailure::Key(error)),
        }
    }

    async fn save(&self, token: &StoredToken) {
        let Some(store) = &self.cache.0.store else { return };
        match in_time(store.save(&self.slot.name, token)).await {
            Ok(()) => drop(self.slot.state.rcu(|state| state.saved(&token.access_token))),
            Err(error) => {
                store.failed("save", error);
                // Rather nothing than the one before, which may be spent.
                if let Err(error) = in_time(store.remove(&self.slot.name)).await {
                    store.failed("remove", error);
                }
            }
        }
    }

    fn fail(&mut self, error: &Error, after: impl Fn(&State, bool, &Moment) -> State) {
        let now = self.now();
        let before = self.slot.state.rcu(|state| after(state, self.has_waiters, &now));
        trace::cache::failed(&self.slot.key, error, before.usable(&now).is_some());
        if self.has_waiters {
            self.error = Some(error.clone());
        }
    }

    /// The other slot whose token will do.
    ///
    /// Who has no token takes one that is good. Who lives on a loan that is near its end waits until the lender has renewed
    /// it. Who has a token of its own waits for nobody, so that no two ever wait for each other.
    async fn lender(&self, state: &State) -> Result<Option<Arc<Slot<S::Key>>>, Error> {
        let now = self.now();
        let needed = state.usable(&now).is_none();
        let mut renewable = None;
        for other in self.cache.lenders(&self.slot.key) {
            let loan = self.cache.loan(&other, &self.slot.key, &now);
            match loan.filter(|(held, _)| !self.cache.0.ended.contains(&held.token.access_token)) {
                Some((_, validity)) if needed || validity.is_fresh(&now) => return Ok(Some(other)),
                Some(_) => renewable = Some(other),
                None => {}
            }
        }
        let on_loan = state.held.as_ref().is_some_and(|held| !held.own);
        let Some(lender) = renewable.filter(|_| on_loan) else { return Ok(None) };
        let mut ended = lender.ended.subscribe();
        self.cache.start(&lender)?;
        let _ = self.cache.ended(&lender, &mut ended).await;
        let (state, now) = (lender.state.load_full(), self.now());
        match (self.cache.loan(&lender, &self.slot.key, &now), classify(&state, &now), &state.failure) {
            (Some((_, validity)), ..) if validity.is_fresh(&now) => Ok(Some(lender)),
            (_, Phase::BackingOff, Some(failure)) => Err(failure.repeated(&now)),
            _ => Ok(None),
        }
    }

    async fn find(&self, store: &ReportingStore, state: &State) -> Found {
        let Inner { source, ended, .. } = &*self.cache.0;
        let token = match in_time(store.load(&self.slot.name)).await {
            Ok(Some(token)) if token.is_named(&self.slot.name) && source.is_for(&token, &self.slot.key) => token,
            Ok(Some(_)) => {
                let name = &self.slot.name;
                let error = format!("the record under {name} is that of another token, and was passed over");
                store.failed("load", error.into());
                return Found::Old(None);
            }
            Ok(None) => return Found::Old(None),
            Err(error) => {
                store.failed("load", error);
                return Found::Old(None);
            }
        };
        let now = self.now();
        let needed = state.usable(&now).is_none();
        // The one that is held is over or about to be.
        let is_old = |token: &AccessToken| state.token() == Some(token) || ended.contains(token);
        let validity = Validity::stored(&token, &now).filter(|_| !is_old(&token.access_token));
        match validity.filter(|validity| validity.is_fresh(&now) || (needed && validity.is_usable(&now))) {
            Some(validity) => {
                trace::cache::loaded(&self.slot.key, validity.left(&now));
                Found::Good(Held { token, validity: Some(validity), own: true, saved: true })
            }
            None => Found::Old(Some(token)),
        }
    }

    async fn lock(&self, store: &ReportingStore, limit: Duration) -> Option<StoreLock> {
        let lock = within(limit, store.lock(&self.slot.name)).await;
        lock.map_err(|error| store.failed("lock", error)).ok()
    }

    fn now(&self) -> Moment {
        self.cache.0.time.moment()
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    within(LONGEST_ANSWER, asked).await
}

/// A store that does not answer is as good as one that fails.
async fn within<T>(limit: Duration, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let in_time = tokio::time::timeout(limit, asked).await;
    in_time.unwrap_or_else(|_| Err(Late(limit).into()))
}

/// A store that did not answer in time.
#[derive(Debug)]
pub(super) struct Late(Duration);

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer in {} s", self.0.as_secs())
    }
}

impl std::error::Error for Late {}

impl<S: TokenSource> Drop for Exchange<S> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.is_given_up() && !self.has_published {
            let error = self.cache.aborted();
            // The clock may be what panicked, and a panic here would end the process.
            let failed = |state: &State, has_waiters: bool, now: &Moment| state.failed(&error, has_waiters, now);
            if runtime::caught(|| self.fail(&error, failed)).is_err() && self.has_waiters {
                self.error = Some(error.clone());
            }
        }
        self.slot.end(self.generation, self.error.take());
    }
}
