//! The ledger of the tokens that a client created or extended for its cache, or may have. Each that it created has a name of its own, by which
//! the client finds it in the account's list if a response was lost.

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

/// The tokens of the client, by the names that it gave them.
#[derive(Default)]
pub(super) struct Ledger(Mutex<NamedTokens>);

#[derive(Default)]
struct NamedTokens {
    by_name: HashMap<String, Entry>,
    /// The number of entries at which the next [`sweep`](Self::sweep) is due.
    full: usize,
}

struct Entry {
    /// The key of the cache.
    scopes: ScopeSet,
    /// The scopes that the request asked for. A wildcard of the key is expanded.
    requested: ScopeSet,
    /// When the token expires at the latest.
    end: Moment,
    state: State,
    /// Whether the service may have given the token another text without a response. It has the same name.
    is_unsure: bool,
    /// Whether the token has the name under which it is entered. `false` if the client does not know its name.
    is_named: bool,
}

enum State {
    InFlight,
    /// The service may have created the token. The client gave the request up at this moment.
    GivenUp(Moment),
    Created(AccessToken),
}

/// A token that the service may have created.
pub(super) struct Lost {
    pub(super) name: String,
    /// The scopes that the request asked for.
    pub(super) requested: ScopeSet,
}

impl Entry {
    /// Returns the entry of a token whose name the client does not know.
    fn unnamed(token: &AccessToken, end: Moment) -> Self {
        let (scopes, requested, state) = (ScopeSet::default(), ScopeSet::default(), State::Created(token.clone()));
        Self { scopes, requested, end, state, is_unsure: false, is_named: false }
    }

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
    fn entries(&self) -> MutexGuard<'_, NamedTokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request for a token before the client sends it.
    pub(super) fn begin<'a>(
        &'a self,
        name: &'a str,
        scopes: &ScopeSet,
        requested: &ScopeSet,
        ttl: Ttl,
        time: &'a Time,
    ) -> InFlight<'a> {
        let sent = time.moment();
        let (scopes, requested) = (scopes.clone(), requested.clone());
        let (end, state) = (sent.after(ttl.into()), State::InFlight);
        let entry = Entry { scopes, requested, end, state, is_unsure: false, is_named: true };
        self.entries().insert(name.to_owned(), entry, &sent);
        InFlight { ledger: self, time, name, sent, ttl }
    }

    /// Records the token that a request created.
    pub(super) fn created(&self, name: &str, token: &AccessToken, end: Moment) {
        if let Some(entry) = self.entries().by_name.get_mut(name) {
            (entry.state, entry.end) = (State::Created(token.clone()), end);
        }
    }

    /// Records a token that the account's list shows under a name. The list may show more than one, if something between the client and the
    /// service repeated the request.
    pub(super) fn listed(&self, name: &str, token: &AccessToken, end: Moment, now: &Moment) {
        let mut entries = self.entries();
        let Some(entry) = entries.by_name.get_mut(name) else { return };
        if !matches!(&entry.state, State::Created(known) if known != token && !entry.is_unsure) {
            (entry.state, entry.end, entry.is_unsure) = (State::Created(token.clone()), end, false);
        } else if !entries.by_name.values().any(|entry| entry.is(token)) {
            entries.insert_unnamed(Entry::unnamed(token, end), now);
        }
    }

    /// Records an extension before the client sends it. From then on, the client is responsible for the token, even if another process
    /// created it. `latest`: when the token expires at the latest.
    pub(super) fn extend<'a>(&'a self, token: &'a AccessToken, latest: Moment, now: &Moment) -> Extension<'a> {
        let mut entries = self.entries();
        let is_new = match entries.of(token) {
            Some(entry) => {
                let Moment { now, monotonic } = entry.end;
                entry.end = Moment { now: now.max(latest.now), monotonic: monotonic.max(latest.monotonic) };
                false
            }
            None => {
                entries.insert_unnamed(Entry::unnamed(token, latest), now);
                true
            }
        };
        Extension { ledger: self, token, is_new, is_over: false }
    }

    /// Records that the service changed a token of the ledger, perhaps to another text.
    pub(super) fn replaced(&self, old: &AccessToken, new: &AccessToken, end: Moment) {
        if let Some(entry) = self.entries().of(old) {
            (entry.state, entry.end) = (State::Created(new.clone()), end);
        }
    }

    /// Records that the service may have changed a token of the ledger, its lifetime and its text.
    pub(super) fn unsure(&self, token: &AccessToken) {
        if let Some(entry) = self.entries().of(token) {
            (entry.is_unsure, entry.end) = (true, entry.end.after(Ttl::MAX.into()));
        }
    }

    /// Removes a token that the service no longer has. It may have it under another text.
    pub(super) fn gone(&self, token: &AccessToken, now: &Moment) {
        self.entries().by_name.retain(|_, entry| {
            let is_searched = entry.is_unsure && entry.is_named;
            if entry.is(token) && is_searched {
                (entry.state, entry.is_unsure) = (State::GivenUp(*now), false);
            }
            !entry.is(token)
        });
    }

    /// Returns the requests for these scopes that were given up.
    pub(super) fn given_up_for(&self, scopes: &ScopeSet, now: &Moment) -> Vec<Lost> {
        self.lost(now, |entry| entry.scopes == *scopes && entry.given_up().is_some())
    }

    /// Returns the requests whose tokens the ledger does not know, or not for sure. One in flight may never end, on a runtime that nobody
    /// drives.
    pub(super) fn unresolved(&self, now: &Moment) -> Vec<Lost> {
        self.lost(now, |entry| entry.is_unsure || !matches!(entry.state, State::Created(_)))
    }

    fn lost(&self, now: &Moment, is_meant: impl Fn(&Entry) -> bool) -> Vec<Lost> {
        let mut entries = self.entries();
        entries.sweep(now);
        let lost = |(name, entry): (&String, &Entry)| Lost { name: name.clone(), requested: entry.requested.clone() };
        entries.by_name.iter().filter(|(_, entry)| entry.is_named && is_meant(entry)).map(lost).collect()
    }

    /// Returns whether a request for these scopes was given up, and each of them within the last [`MAX_WAIT`].
    pub(super) fn is_recent_for(&self, scopes: &ScopeSet, now: &Moment) -> bool {
        let entries = self.entries();
        let moments = entries.by_name.values().filter(|entry| entry.scopes == *scopes).filter_map(Entry::given_up);
        let mut moments = moments.peekable();
        moments.peek().is_some() && moments.all(|moment| now.monotonic < moment.after(MAX_WAIT).monotonic)
    }

    /// Removes the requests that created no token: the service did not list one at this moment, long enough after the client gave them up.
    pub(super) fn remove_unlisted<'a>(&self, names: impl IntoIterator<Item = &'a str>, listed: &Moment) {
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

    /// Returns the tokens that have not expired.
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

impl NamedTokens {
    /// Returns the entry of a token.
    fn of(&mut self, token: &AccessToken) -> Option<&mut Entry> {
        self.by_name.values_mut().find(|entry| entry.is(token))
    }

    fn insert_unnamed(&mut self, entry: Entry, now: &Moment) {
        self.insert(format!("{:032x}", fastrand::u128(..)), entry, now);
    }

    fn insert(&mut self, name: String, entry: Entry, now: &Moment) {
        if self.by_name.len() >= self.full {
            self.sweep(now);
        }
        self.by_name.insert(name, entry);
    }

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
    ttl: Ttl,
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
            entry.end = now.after(MAX_DELAY).after(self.ttl.into());
        }
    }
}

/// An extension in flight. When it is dropped, even because its task was canceled, it may have been carried out.
pub(super) struct Extension<'a> {
    ledger: &'a Ledger,
    token: &'a AccessToken,
    /// Whether the ledger did not have the token before.
    is_new: bool,
    is_over: bool,
}

impl Extension<'_> {
    /// Records the token of the response, perhaps under another text.
    pub(super) fn done(mut self, token: &AccessToken, end: Moment, now: &Moment) {
        self.is_over = true;
        let mut entries = self.ledger.entries();
        match entries.of(self.token) {
            Some(entry) => (entry.state, entry.end) = (State::Created(token.clone()), end),
            // A call of the program has found meanwhile that the service no longer has the old text.
            None if token != self.token => entries.insert_unnamed(Entry::unnamed(token, end), now),
            None => {}
        }
    }

    /// Records that the service left the token as it was.
    pub(super) fn failed(mut self) {
        self.is_over = true;
        if self.is_new {
            self.ledger.entries().by_name.retain(|_, entry| !entry.is(self.token));
        }
    }

    /// Records that the service does not have the token, at least not under this text.
    pub(super) fn missed(mut self, may_be_renamed: bool, now: &Moment) {
        self.is_over = true;
        if may_be_renamed {
            self.ledger.unsure(self.token);
        }
        self.ledger.gone(self.token, now);
    }
}

impl Drop for Extension<'_> {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(entry) = self.ledger.entries().of(self.token)
        {
            entry.is_unsure = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;

    fn count(ledger: &Ledger) -> usize {
        ledger.entries().by_name.len()
    }

    /// A server that creates and extends tokens for years does not grow.
    #[test]
    fn what_has_expired_is_dropped() {
        let clock = Arc::new(ManualClock::new(std::time::SystemTime::UNIX_EPOCH));
        let (ledger, time) = (Ledger::default(), Time::User(Arc::clone(&clock) as _));
        let (scopes, ttl) = (ScopeSet::parse(["GET:a.it/x"]).unwrap(), Ttl::seconds(60).unwrap());
        let mut most = 0;
        for number in 0..10_000 {
            let (name, token) = (format!("name-{number}"), AccessToken::new(format!("t{number}")));
            let in_flight = ledger.begin(&name, &scopes, &scopes, ttl, &time);
            let now = time.moment();
            match number % 4 {
                0 => drop(in_flight),
                1 => in_flight.failed(),
                2 => ledger.created(&name, &token, now.after(ttl.into())),
                // A token of another process, whose extension is lost.
                _ => drop(ledger.extend(&token, now.after(ttl.into()), &now)),
            }
            clock.advance(Duration::from_secs(1));
            most = most.max(count(&ledger));
        }
        assert!(most <= 300, "{most}");
        clock.advance(Duration::from_secs(100));
        assert!(ledger.unexpired(&time.moment()).is_empty() && ledger.unresolved(&time.moment()).is_empty());
        assert_eq!(count(&ledger), 0);
    }

    /// Callers and `revoke_created` may search at the same time.
    #[test]
    fn a_token_is_entered_once_however_often_it_is_found() {
        let clock = Arc::new(ManualClock::new(std::time::SystemTime::UNIX_EPOCH));
        let (ledger, time) = (Ledger::default(), Time::User(clock as _));
        let (scopes, now) = (ScopeSet::parse(["GET:a.it/x"]).unwrap(), time.moment());
        drop(ledger.begin("name", &scopes, &scopes, Ttl::DAY, &time));
        let end = now.after(Ttl::DAY.into());
        for token in ["one", "two", "one", "two", "two"] {
            ledger.listed("name", &token.into(), end, &now);
        }
        assert_eq!(ledger.unexpired(&now).len(), 2);
        assert!(ledger.given_up_for(&scopes, &now).is_empty());
        ["one", "two"].iter().for_each(|token| ledger.gone(&(*token).into(), &now));
        assert_eq!(count(&ledger), 0);
        // The request is known no longer, so nothing is entered under its name.
        ledger.listed("name", &"one".into(), end, &now);
        assert_eq!(count(&ledger), 0);
    }
}
