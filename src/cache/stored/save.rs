//! Saves the token that an exchange has brought.

use std::future::pending;
use std::time::Duration;

use super::{Base, Stale, StoreRecord, Turn, with_call_timeout};
use crate::cache::TokenSource;
use crate::cache::exchange::Exchange;
use crate::cache::state::{CachedToken, Saved, State};
use crate::runtime;
use crate::store::{Marks, Replaced, ReportingStore, StoreError, Version};

/// The waits before an exchange tries again to save a token: a failover takes some two seconds, and others may wait for the lock.
const SAVE_PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(700), Duration::from_millis(1_500)];

/// The record where a token is being saved.
enum Look {
    /// That token.
    Own,
    /// A usable token of another client.
    Theirs(Box<CachedToken>),
    /// A record with a refresh token that this client has sent: an older one, after a failover.
    Spent(Option<Version>),
    /// Another record, or none.
    Other(Option<Version>),
}

impl<S: TokenSource> Exchange<S> {
    /// Saves a token over the record of the turn, unless it is saved already. If the store fails, looks whether it has the token, and tries
    /// again. Returns the token that callers get: another client's, if that has saved a usable one meanwhile.
    pub(in crate::cache) async fn save(&self, state: &State, turn: &mut Turn, cached: CachedToken) -> CachedToken {
        self.save_within(state, turn, cached, Some(&SAVE_PAUSES)).await
    }

    /// Tries once to save a token. Does not report a failure, as [`save`](Self::save) follows.
    pub(in crate::cache) async fn save_quickly(
        &self,
        state: &State,
        turn: &mut Turn,
        cached: CachedToken,
    ) -> CachedToken {
        self.save_within(state, turn, cached, None).await
    }

    async fn save_within(
        &self,
        state: &State,
        turn: &mut Turn,
        cached: CachedToken,
        pauses: Option<&[Duration]>,
    ) -> CachedToken {
        let Some(store) = self.cache.0.store.as_ref().filter(|_| cached.saved != Saved::Yes) else { return cached };
        let (name, marks) = (&self.slot.name, turn.marks.get_or_insert_with(|| self.new_marks()));
        let mut base = std::mem::replace(&mut turn.base, Base::Unknown);
        // The record that a call may have replaced, or may still replace.
        let mut doubtful = match &cached.saved {
            Saved::Maybe(seen) => Some(seen.clone()),
            Saved::Yes | Saved::No => None,
        };
        let is_fresh = || cached.validity.as_ref().is_some_and(|validity| validity.is_fresh(&self.now()));
        let mut left = pauses.unwrap_or_default().iter();
        let saved = loop {
            // After the first attempt, the current record decides.
            let look = match std::mem::replace(&mut base, Base::Unknown) {
                Base::Seen(seen) => Ok(Look::Other(seen)),
                Base::Unknown => self.look(store, state, marks).await,
            };
            let failure = match look {
                Ok(Look::Own) => break Saved::Yes,
                Ok(Look::Theirs(theirs)) => return *theirs,
                // The token may have been there, and another client may have claimed it. If there is no record, as before, it can only have
                // been claimed and lost since its refresh window began.
                Ok(Look::Other(seen))
                    if doubtful
                        .as_ref()
                        .is_some_and(|doubtful| *doubtful != seen || (seen.is_none() && !is_fresh())) =>
                {
                    let message = "the record has changed meanwhile; the client keeps its token in memory";
                    store.failed("save", message.into());
                    break Saved::Yes;
                }
                Ok(Look::Other(seen) | Look::Spent(seen)) => {
                    // Before the call: the task may be stopped at any moment after.
                    let maybe = Saved::Maybe(seen.clone());
                    self.slot.state.rcu(|state| state.saved(&cached.token.access_token, &maybe));
                    match with_call_timeout(store.replace(name, seen.as_ref(), &cached.token, marks)).await {
                        Ok(Replaced::Done(_)) => break Saved::Yes,
                        Ok(Replaced::Conflict) => None,
                        Err(error) => {
                            doubtful = Some(seen);
                            Some(("save", error))
                        }
                    }
                }
                Err(error) => Some(("load", error)),
            };
            match (left.next(), failure) {
                (Some(pause), Some(_)) => {
                    let _ = runtime::until(runtime::after(*pause), pending::<()>()).await;
                }
                (Some(_), None) => {}
                (None, failure) => {
                    let (action, error) =
                        failure.unwrap_or_else(|| ("save", "the record changes again and again".into()));
                    if pauses.is_some() {
                        store.failed(action, error);
                    }
                    break doubtful.map_or(Saved::No, Saved::Maybe);
                }
            }
        };
        if saved == Saved::Yes {
            self.slot.set_claim(None);
        }
        self.slot.state.rcu(|state| state.saved(&cached.token.access_token, &saved));
        CachedToken { saved, ..cached }
    }

    /// Looks what is in the place of a token that is being saved.
    async fn look(&self, store: &ReportingStore, state: &State, marks: &Marks) -> Result<Look, StoreError> {
        let Some(loaded) = with_call_timeout(store.load(&self.slot.name)).await? else { return Ok(Look::Other(None)) };
        if loaded.token.as_ref().is_ok_and(|(_, found)| found.id == marks.id) {
            return Ok(Look::Own);
        }
        let (version, source) = (loaded.version.clone(), &self.cache.0.source);
        Ok(match self.judge(store, state, loaded) {
            StoreRecord::Usable(theirs) => Look::Theirs(Box::new(theirs)),
            StoreRecord::Stale(Stale { token: Some(token), .. }) if source.has_sent(&self.slot.key, &token) => {
                Look::Spent(Some(version))
            }
            StoreRecord::Stale(_) | StoreRecord::Unknown(_) => Look::Other(Some(version)),
        })
    }
}
