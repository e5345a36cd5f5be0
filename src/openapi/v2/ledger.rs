//! The ledger of the tokens that a client created, or may have created, for its cache. Each has a name of its own, by which the client finds
//! it in the account's list if the response was lost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Moment, Time};
use crate::openapi::ttl::Ttl;
use crate::runtime;
use crate::scope::ScopeSet;
use crate::token::AccessToken;

/// The longest time after the client gave a request up in which the service may create its token, or not list it yet.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// While the service fails to list the account's tokens, the client requests no other token for this long.
const MAX_WAIT: Duration = Duration::from_secs(10 * 60);

/// The requests for a token, by the name of the token.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_name: HashMap<String, Entry>,
    /// The number of entries at which the next [`sweep`](Self::sweep) is due.
    full: usize,
}

struct Entry {
    scopes: ScopeSet,
    /// When the token expires at the latest.
    end: Moment,
    state: State,
}

enum State {
    InFlight,
    /// The service may have created the token. The client gave the request up at this moment.
    GivenUp(Moment),
    Created(AccessToken),
}

impl Entry {
    fn given_up(&self) -> Option<&Moment> {
        match &self.state {
            State::GivenUp(moment) => Some(moment),
            State::InFlight | State::Created(_) => None,
        }
    }

    fn is(&self, token: &AccessToken) -> bool {
        matches!(&self.state, State::Created(known) if known == token)
    }
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request for a token before the client sends it.
    pub(super) fn begin<'a>(&'a self, name: &'a str, scopes: &ScopeSet, ttl: Ttl, time: &'a Time) -> InFlight<'a> {
        let sent = time.moment();
        let entry = Entry { scopes: scopes.clone(), end: sent.after(ttl.into()), state: State::InFlight };
        let mut entries = self.entries();
        if entries.by_name.len() >= entries.full {
            entries.sweep(&sent);
        }
        entries.by_name.insert(name.to_owned(), entry);
        InFlight { ledger: self, time, name, sent }
    }

    /// Records the token that a request created.
    pub(super) fn created(&self, name: &str, token: &AccessToken, end: Moment) {
        if let Some(entry) = self.entries().by_name.get_mut(name) {
            (entry.state, entry.end) = (State::Created(token.clone()), end);
        }
    }

    /// Records that the service changed a token of the ledger, perhaps to another text.
    pub(super) fn replaced(&self, old: &AccessToken, new: &AccessToken, end: Moment) {
        if let Some(entry) = self.entries().by_name.values_mut().find(|entry| entry.is(old)) {
            (entry.state, entry.end) = (State::Created(new.clone()), end);
        }
    }

    /// Removes a token that the service no longer has.
    pub(super) fn remove(&self, token: &AccessToken) {
        self.entries().by_name.retain(|_, entry| !entry.is(token));
    }

    /// Returns the names of the requests for these scopes that were given up.
    pub(super) fn given_up_for(&self, scopes: &ScopeSet, now: &Moment) -> Vec<String> {
        self.given_up(now, |entry| entry.scopes == *scopes)
    }

    /// Returns the names of all requests that were given up.
    pub(super) fn all_given_up(&self, now: &Moment) -> Vec<String> {
        self.given_up(now, |_| true)
    }

    fn given_up(&self, now: &Moment, is_meant: impl Fn(&Entry) -> bool) -> Vec<String> {
        let mut entries = self.entries();
        entries.sweep(now);
        let names = entries.by_name.iter().filter(|(_, entry)| entry.given_up().is_some() && is_meant(entry));
        names.map(|(name, _)| name.clone()).collect()
    }

    /// Returns whether a request for these scopes was given up, and each of them within the last [`MAX_WAIT`].
    pub(super) fn is_recent_for(&self, scopes: &ScopeSet, now: &Moment) -> bool {
        let entries = self.entries();
        let moments = entries.by_name.values().filter(|entry| entry.scopes == *scopes).filter_map(Entry::given_up);
        let mut moments = moments.peekable();
        moments.peek().is_some() && moments.all(|moment| now.monotonic < moment.after(MAX_WAIT).monotonic)
    }

    /// Removes the requests of these names that created no token: the service did not list one at this moment, long enough after the client
    /// gave them up.
    pub(super) fn remove_unlisted(&self, names: &[String], listed: &Moment) {
        let mut entries = self.entries();
        for name in names {
            let is_over = |entry: &Entry| {
                entry.given_up().is_some_and(|moment| moment.after(MAX_DELAY).monotonic <= listed.monotonic)
            };
            if entries.by_name.get(name).is_some_and(is_over) {
                entries.by_name.remove(name);
            }
        }
    }

    /// Returns the created tokens that have not expired.
    pub(super) fn unexpired(&self, now: &Moment) -> Vec<AccessToken> {
        let mut entries = self.entries();
        entries.sweep(now);
        let created = entries.by_name.values().filter_map(|entry| match &entry.state {
            State::Created(token) => Some(token.clone()),
            State::InFlight | State::GivenUp(_) => None,
        });
        created.collect()
    }
}

impl Entries {
    /// Drops what has expired by both clocks: one of them may have been set.
    fn sweep(&mut self, now: &Moment) {
        let is_over = |end: &Moment| end.now <= now.now && end.monotonic <= now.monotonic;
        self.by_name.retain(|_, entry| matches!(entry.state, State::InFlight) || !is_over(&entry.end));
        self.full = 2 * self.by_name.len().max(32);
    }
}

/// A request in flight. When it is dropped, even because its task was canceled, the request counts as given up.
pub(super) struct InFlight<'a> {
    ledger: &'a Ledger,
    time: &'a Time,
    name: &'a str,
    sent: Moment,
}

impl InFlight<'_> {
    /// Drops the request: the service did not create a token.
    pub(super) fn failed(self) {
        self.ledger.entries().by_name.remove(self.name);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // A clock of the program that panics in a destructor would abort the process.
        let now = runtime::caught(|| self.time.moment()).unwrap_or(self.sent);
        if let Some(entry) = self.ledger.entries().by_name.get_mut(self.name)
            && matches!(entry.state, State::InFlight)
        {
            entry.state = State::GivenUp(now);
        }
    }
}
