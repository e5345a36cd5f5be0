//! One exchange with the source, on a task of its own.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::state::{Failure, Held, Life, Phase, State, classify};
use super::{Cache, Fetched, Inner, LONGEST_ANSWER, LONGEST_LOCK, Slot, TokenSource};
use crate::clock::Moment;
use crate::error::Error;
use crate::store::{ReportingStore, StoreError, StoreLock, StoredToken};
use crate::{AccessToken, trace};

/// The right to change what a slot holds. There is one for each slot, and it is given back however the task ends: by its
/// own end, by a panic, or because its runtime is dropped.
pub(super) struct Flight<S: TokenSource> {
    cache: Cache<S>,
    slot: Arc<Slot<S::Key>>,
    turn: u64,
    /// The generation of the slot's state when it began.
    generation: u64,
    /// Whether there was no token that could be handed out.
    awaited: bool,
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
enum Unobtained {
    /// It is about this key, as far as is known.
    Here(Error),
    /// It is about the account.
    Everywhere(Failure),
    /// The account's pause after an earlier failure is not over: nothing was sent.
    Paused(Failure),
}

impl From<Error> for Unobtained {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

impl<S: TokenSource> Flight<S> {
    pub(super) fn board(cache: &Cache<S>, slot: &Arc<Slot<S::Key>>) -> Option<Self> {
        let turn = slot.begin()?;
        let state = slot.state.load();
        Some(Self {
            cache: cache.clone(),
            slot: Arc::clone(slot),
            turn,
            generation: state.generation,
            awaited: state.usable(&cache.0.clock.coarse()).is_none(),
            has_published: false,
            error: None,
        })
    }

    pub(super) async fn exchange(mut self) {
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
                Err(Unobtained::Here(error)) => {
                    self.fail(&error, |state, awaited, now| state.failed(&error, awaited, now))
                }
                Err(Unobtained::Everywhere(failure)) => {
                    self.fail(&failure.error, |state, _, now| state.paused(failure.clone(), now))
                }
                Err(Unobtained::Paused(failure)) => {
                    self.fail(&failure.repeated(&self.now()), |state, _, now| state.paused(failure.clone(), now))
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
            return Err(self.cache.aborted());
        }
        self.slot.state.rcu(|state| state.cleared());
        trace::cache::forgotten(&self.slot.key);
        let Some(store) = &self.cache.0.store else { return Ok(()) };
        let _lock = self.lock(store).await;
        in_time(store.remove(&self.slot.name)).await.map_err(Error::store)
    }

    /// Publishes a token: of another slot, from the store, or from the source.
    async fn obtain(&mut self, state: &State) -> Result<(), Unobtained> {
        if let Some(lent) = self.borrow(state).await? {
            trace::cache::borrowed(&self.slot.key);
            return self.publish(&lent);
        }
        let held = state.held.as_ref().map(|held| &held.token);
        let cache = self.cache.clone();
        let Some(store) = &cache.0.store else {
            return self.fetch(state, held).await;
        };
        // Without the lock first: who only reads need not wait for somebody else's exchange.
        if let Found::Good(held) = self.find(store, state).await {
            return self.publish(&held);
        }
        let _lock = self.lock(store).await;
        match self.find(store, state).await {
            Found::Good(held) => self.publish(&held),
            Found::Old(stored) => {
                // What is stored is ours or comes after it, unless ours could not be saved.
                let unsaved = held.filter(|_| state.held.as_ref().is_some_and(|held| !held.saved));
                self.fetch(state, unsaved.or(stored.as_ref()).or(held)).await
            }
        }
    }

    /// Fetches a token, publishes it, and saves it: with some services the one before has ended, and callers must not be given
    /// that while a store takes its time. The exchange ends when the store has answered.
    async fn fetch(&mut self, state: &State, previous: Option<&StoredToken>) -> Result<(), Unobtained> {
        let fetched = self.ask(state, previous).await?;
        let now = self.now();
        let life = Life::fetched(&fetched, &now);
        let Fetched { token, operation, .. } = fetched;
        let held = Held { token, life: Some(life), own: true, saved: self.cache.0.store.is_none() };
        if !life.is_usable(&now) {
            if self.put(|state| state.obtained_too_late(held.clone())) {
                self.save(&held.token).await;
            }
            let error = Error::decode("the token that came has already expired; is the clock of this machine right?");
            return Err(error.with_operation(operation).into());
        }
        trace::cache::obtained(&self.slot.key, life.left(&now));
        self.publish(&held)?;
        self.save(&held.token).await;
        Ok(())
    }

    /// Hands a token to all that wait, and to all that come.
    fn publish(&mut self, held: &Held) -> Result<(), Unobtained> {
        if !self.put(|state| state.obtained(held.clone())) {
            return Err(self.cache.aborted().into());
        }
        self.has_published = true;
        self.slot.published();
        Ok(())
    }

    /// Changes what the slot holds. An exchange that was given up may still do so, as what it brings cannot be had again, unless
    /// something newer was published since it began, or all was to be forgotten.
    fn put(&self, change: impl Fn(&State) -> State) -> bool {
        let may = |state: &State| !self.is_given_up() || state.generation == self.generation;
        let mut is_put = false;
        self.slot.state.rcu(|state| {
            is_put = may(state);
            if is_put { Arc::new(change(state)) } else { Arc::clone(state) }
        });
        is_put
    }

    /// Asks the source, unless it is too early for the whole account.
    async fn ask(&self, state: &State, previous: Option<&StoredToken>) -> Result<Fetched, Unobtained> {
        let Inner { account, clock, source, .. } = &*self.cache.0;
        let paused = state.failure.as_ref().filter(|_| state.usable(&self.now()).is_some());
        let admission = account.admit(&**clock, source.longest(), paused).await.map_err(Unobtained::Paused)?;
        if self.is_given_up() {
            return Err(self.cache.aborted().into());
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
            (_, Phase::BackingOff, Some(failure)) => Err(failure.repeated(&now)),
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

    async fn find(&self, store: &ReportingStore, state: &State) -> Found {
        let token = match in_time(store.load(&self.slot.name)).await {
            Ok(Some(token)) => token,
            Ok(None) => return Found::Old(None),
            Err(error) => {
                store.failed("load", error);
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

    async fn lock(&self, store: &ReportingStore) -> Option<StoreLock> {
        let lock = within(LONGEST_LOCK, store.lock(&self.slot.name)).await;
        lock.map_err(|error| store.failed("lock", error)).ok()
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
        if std::thread::panicking() && !self.is_given_up() && !self.has_published {
            let error = self.cache.aborted();
            self.fail(&error, |state, awaited, now| state.failed(&error, awaited, now));
        }
        self.slot.end(self.turn, self.error.take());
    }
}
