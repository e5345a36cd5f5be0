//! One exchange with the source, on a task of its own.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::state::{Failure, Held, Life, Phase, State, classify};
use super::{Cache, Fetched, Inner, LONGEST_ANSWER, LONGEST_LOCK, Slot, TokenSource};
use crate::clock::Moment;
use crate::error::{Error, Kind};
use crate::store::{AnyStore, StoreError, StoreLock, StoredToken};
use crate::{AccessToken, trace};

/// The right to change what a slot holds. There is one for each slot, and it is given back however the task ends: by its
/// own end, by a panic, or because its runtime is dropped.
pub(super) struct Flight<S: TokenSource> {
    cache: Cache<S>,
    slot: Arc<Slot<S::Key>>,
    turn: u64,
    /// Whether there was no token that could be handed out.
    awaited: bool,
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
enum Unobtained {
    /// It is about this key, as far as is known.
    Here(Error),
    /// It is about the account.
    Everywhere(Failure),
}

impl From<Error> for Unobtained {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

impl<S: TokenSource> Flight<S> {
    pub(super) fn board(cache: &Cache<S>, slot: &Arc<Slot<S::Key>>) -> Option<Self> {
        let turn = slot.begin()?;
        let awaited = slot.state.load().usable(&cache.0.clock.coarse()).is_none();
        Some(Self { cache: cache.clone(), slot: Arc::clone(slot), turn, awaited, error: None })
    }

    pub(super) async fn exchange(mut self) {
        if self.is_given_up() {
            return;
        }
        let state = self.slot.state.load_full();
        match classify(&state, &self.now()) {
            // Another exchange ended between the caller's look and its start.
            Phase::Fresh => {}
            Phase::BackingOff => self.error = state.failure.as_ref().map(|failure| failure.error.clone()),
            Phase::Empty | Phase::RefreshSoon | Phase::Expired => match self.obtain(&state).await {
                _ if self.is_given_up() => {}
                Ok(held) => drop(self.slot.state.rcu(|state| state.obtained(held.clone()))),
                Err(Unobtained::Here(error)) => {
                    self.fail(&error, |state, awaited, now| state.failed(&error, awaited, now))
                }
                Err(Unobtained::Everywhere(failure)) => {
                    self.fail(&failure.error, |state, _, _| state.paused(failure.clone()))
                }
            },
        }
    }

    /// Whether somebody has waited for it long enough, and another one may have begun.
    fn is_given_up(&self) -> bool {
        self.slot.turn.load(Ordering::Acquire) != self.turn
    }

    /// Whether what the slot holds now is such as that.
    pub(super) fn is_about(&self, which: impl Fn(Option<&AccessToken>) -> bool) -> bool {
        which(self.slot.state.load().token())
    }

    /// Drops what the slot holds, and what the store has of it.
    pub(super) async fn forget(self) -> Result<(), Error> {
        if self.is_given_up() {
            return Err(Error::new(Kind::Aborted));
        }
        self.slot.state.store(Arc::default());
        trace::cache::forgotten(&self.slot.key);
        let Some(store) = &self.cache.0.store else { return Ok(()) };
        let _lock = self.lock(&**store).await;
        in_time(store.remove(&self.slot.name)).await.map_err(Error::store)
    }

    /// A token: of another slot, from the store, or from the source.
    async fn obtain(&self, state: &State) -> Result<Held, Unobtained> {
        if let Some(lent) = self.borrow(state).await? {
            trace::cache::borrowed(&self.slot.key);
            return Ok(lent);
        }
        let held = state.held.as_ref().map(|held| &held.token);
        let Some(store) = self.cache.0.store.as_deref() else {
            return self.fetch(held).await;
        };
        // Without the lock first: who only reads need not wait for somebody else's exchange.
        if let Found::Good(held) = self.find(store, state).await {
            return Ok(held);
        }
        let _lock = self.lock(store).await;
        match self.find(store, state).await {
            Found::Good(held) => Ok(held),
            Found::Old(stored) => {
                // What is stored is ours or comes after it, unless ours could not be saved.
                let unsaved = held.filter(|_| state.held.as_ref().is_some_and(|held| !held.saved));
                self.fetch(unsaved.or(stored.as_ref()).or(held)).await
            }
        }
    }

    async fn fetch(&self, previous: Option<&StoredToken>) -> Result<Held, Unobtained> {
        let fetched = self.ask(previous).await?;
        if self.is_given_up() {
            // There may be a younger one by now, or all was to be forgotten.
            return Err(Error::new(Kind::Aborted).into());
        }
        let now = self.now();
        let life = Life::fetched(&fetched, &now);
        // Before anybody has the token: what it can be renewed with is lost otherwise, should this process end.
        let saved = self.save(&fetched.token).await;
        let held = Held { token: fetched.token, life: Some(life), own: true, saved };
        if life.is_usable(&now) {
            trace::cache::obtained(&self.slot.key, life.left(&now));
            return Ok(held);
        }
        self.slot.state.rcu(|state| state.obtained_too_late(held.clone()));
        Err(Error::decode("the token that came is already over; is the clock of this machine right?").into())
    }

    /// Asks the source, unless it is too early for the whole account.
    async fn ask(&self, previous: Option<&StoredToken>) -> Result<Fetched, Unobtained> {
        let Inner { account, clock, source, .. } = &*self.cache.0;
        let admission = account.admit(&**clock, source.longest()).await.map_err(Unobtained::Everywhere)?;
        if self.is_given_up() {
            return Err(Error::new(Kind::Aborted).into());
        }
        trace::cache::fetching(&self.slot.key, previous.is_some());
        let result = source.fetch(&self.slot.key, previous).await;
        let failure = account.learn(&admission, result.as_ref().err(), &self.now());
        match (result, failure) {
            (Ok(fetched), _) => Ok(fetched),
            (Err(_), Some(failure)) => Err(Unobtained::Everywhere(failure)),
            (Err(error), None) => Err(Unobtained::Here(error)),
        }
    }

    async fn save(&self, token: &StoredToken) -> bool {
        let Some(store) = &self.cache.0.store else { return true };
        let saved = in_time(store.save(&self.slot.name, token)).await;
        if let Err(error) = &saved {
            trace::cache::store_failed("save", &**error);
            // Rather nothing than the one before, which may be spent.
            let _ = in_time(store.remove(&self.slot.name)).await;
        }
        saved.is_ok()
    }

    fn fail(&mut self, error: &Error, after: impl Fn(&State, bool, &Moment) -> State) {
        let now = self.now();
        let before = self.slot.state.rcu(|state| after(state, self.awaited, &now));
        trace::cache::failed(&self.slot.key, error, before.usable(&now).is_some());
        if self.awaited {
            self.error = Some(error.clone());
        }
    }

    /// The token of another slot that will do.
    ///
    /// Who has no token takes one that is good. Who lives on a loan that is near its end waits until the lender has renewed
    /// it. Who has a token of its own waits for nobody, so that no two ever wait for each other.
    async fn borrow(&self, state: &State) -> Result<Option<Held>, Error> {
        let now = self.now();
        let needed = state.usable(&now).is_none();
        let mut renewable = None;
        for other in self.cache.lenders(&self.slot.key) {
            match self.loan(&other) {
                Some((held, life)) if needed || life.is_fresh(&now) => return Ok(Some(held)),
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
        match (self.loan(&lender), classify(&state, &now), &state.failure) {
            (Some((held, life)), ..) if life.is_fresh(&now) => Ok(Some(held)),
            (_, Phase::BackingOff, Some(failure)) => Err(failure.error.clone()),
            _ => Ok(None),
        }
    }

    /// What another slot could lend. Nobody lends what is lent.
    fn loan(&self, other: &Slot<S::Key>) -> Option<(Held, Life)> {
        let state = other.state.load();
        let held = state.usable(&self.now()).filter(|held| held.own)?;
        let serves = self.cache.0.source.serves(&held.token, &self.slot.key);
        serves.then(|| Some((Held { own: false, ..held.clone() }, held.life?)))?
    }

    async fn find(&self, store: &dyn AnyStore, state: &State) -> Found {
        let token = match in_time(store.load(&self.slot.name)).await {
            Ok(Some(token)) => token,
            Ok(None) => return Found::Old(None),
            Err(error) => {
                trace::cache::store_failed("load", &*error);
                return Found::Old(None);
            }
        };
        let now = self.now();
        let needed = state.usable(&now).is_none();
        // The one that is held is over, about to be, or was refused.
        let life = Life::stored(&token, &now).filter(|_| !state.holds(&token.access_token));
        match life.filter(|life| life.is_fresh(&now) || (needed && life.is_usable(&now))) {
            Some(life) => {
                trace::cache::loaded(&self.slot.key, life.left(&now));
                Found::Good(Held { token, life: Some(life), own: true, saved: true })
            }
            None => Found::Old(Some(token)),
        }
    }

    async fn lock(&self, store: &dyn AnyStore) -> Option<StoreLock> {
        let lock = within(LONGEST_LOCK, store.lock(&self.slot.name)).await;
        lock.inspect_err(|error| trace::cache::store_failed("lock", &**error)).ok()
    }

    fn now(&self) -> Moment {
        self.cache.0.clock.coarse()
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    within(LONGEST_ANSWER, asked).await
}

/// A store that does not answer is as good as one that fails.
async fn within<T>(limit: Duration, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let in_time = tokio::time::timeout(limit, asked).await;
    in_time.unwrap_or_else(|_| Err(format!("no answer in {} s", limit.as_secs()).into()))
}

impl<S: TokenSource> Drop for Flight<S> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.is_given_up() {
            let error = Error::new(Kind::Aborted);
            self.fail(&error, |state, awaited, now| state.failed(&error, awaited, now));
        }
        self.slot.end(self.turn, self.error.take());
    }
}
