//! A small model of a client and a service: which tokens exist, which of them a client must return, and when it must wait.
//!
//! All times are in milliseconds.

use std::collections::HashMap;

use gettone::emulator::{Fault, IssuedToken};

/// The three clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub mono: i64,
    pub wall: i64,
    pub service: i64,
}

/// What a step did at the service.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests for a token: the operation, the status, and the planned fault.
    pub asked: Vec<(&'static str, Option<u16>, Option<Fault>)>,
    /// Requests for the list of tokens.
    pub lists: Vec<Option<Fault>>,
    pub issued: Vec<IssuedToken>,
}

impl Seen {
    pub fn add(&mut self, operation: &'static str, status: Option<u16>, fault: Option<Fault>) {
        match operation {
            "list_tokens" => self.lists.push(fault),
            _ => self.asked.push((operation, status, fault)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.lists.is_empty()
    }

    pub fn faults(&self) -> usize {
        let asked = self.asked.iter().filter(|(.., fault)| fault.is_some()).count();
        asked + self.lists.iter().flatten().count()
    }

    /// Whether a refresh token was used.
    pub fn renewed(&self) -> bool {
        self.asked.iter().any(|(operation, ..)| *operation == "refresh")
    }

    /// Returns how many refresh tokens the service rejected without a planned fault.
    fn refused(&self) -> usize {
        self.asked.iter().filter(|(.., status, fault)| fault.is_none() && *status != Some(200)).count()
    }

    /// Whether the last request for a token succeeded.
    fn delivered(&self) -> bool {
        matches!(self.asked.last(), Some((_, Some(200), None)))
    }

    fn is_lasting(&self) -> bool {
        self.asked.iter().any(|(_, status, _)| *status == Some(401)) || self.lists.iter().any(is_refused)
    }
}

fn is_refused(fault: &Option<Fault>) -> bool {
    matches!(fault, Some(Fault::Status(401)))
}

/// A token that the service created.
#[derive(Debug)]
struct Made {
    text: String,
    /// What it is valid for.
    scopes: usize,
    /// The key that has it. A lost one may be found for a narrower key, which does not lend it.
    under: usize,
    /// Which client requested it.
    maker: usize,
    /// Which client has it, and when it was created by the clocks of that client.
    holder: usize,
    at: Now,
    /// Its lifetime: less than the longest one, by chance.
    life: i64,
    /// Whether its response arrived, or the client found it later.
    came: bool,
    /// Whether this client dropped it for good.
    dropped: bool,
}

/// Consecutive failures of one key.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    lasting: bool,
    /// No request before this, by the monotonic clock.
    quiet_until: i64,
}

impl Made {
    /// Returns the earliest age at which the client may request the next one, less two seconds for expiries in whole seconds.
    fn fresh_for(&self) -> i64 {
        self.life - (self.life / 10).min(10 * MINUTE) - 2000
    }
}

pub struct Model {
    ttl: i64,
    has_store: bool,
    tokens: Vec<Made>,
    /// The number of this client: 0, 1, and so on.
    client: usize,
    failures: HashMap<usize, Failures>,
    /// No request for any key before this: the account was rejected.
    refused_until: i64,
    /// Until when a call may return an earlier failure.
    told_until: i64,
    /// Whether a response may have been lost to this client.
    unsure: bool,
    /// The stored token of each key; and the keys that this client was asked for.
    stored: HashMap<usize, String>,
    touched: Vec<usize>,
    last_refusal: Option<i64>,
    /// Counted for the sum at the end.
    pub answers_lost: usize,
    pub given_up: usize,
    pub renewed: usize,
    /// Tokens that were returned, and then ended by the client's own refresh in the background.
    pub ended_by_refresh: usize,
}

/// A broken promise.
pub type Broken = String;

const MINUTE: i64 = 60_000;

macro_rules! hold {
    ($kept:expr, $($said:tt)+) => {
        if !$kept {
            return Err(format!($($said)+));
        }
    };
}

impl Model {
    pub fn new(ttl: i64, has_store: bool) -> Self {
        Self {
            ttl: ttl * 1000,
            has_store,
            tokens: Vec::new(),
            client: 0,
            failures: HashMap::new(),
            refused_until: 0,
            told_until: 0,
            unsure: false,
            stored: HashMap::new(),
            touched: Vec::new(),
            last_refusal: None,
            answers_lost: 0,
            given_up: 0,
            renewed: 0,
            ended_by_refresh: 0,
        }
    }

    /// Whether the client has a token for this that is too new to be refreshed.
    fn must_do(&self, token: &Made, key: usize, now: Now) -> bool {
        if !token.came || token.dropped || token.under & key != key {
            return false;
        }
        let aged = now.wall - token.at.wall;
        let here = token.holder == self.client
            && now.mono - token.at.mono < token.fresh_for()
            // A clock that was set back counts only for an expiry.
            && aged < token.fresh_for();
        let stored = !self.touched.contains(&key)
            && self.has_store
            && self.stored.get(&key) == Some(&token.text)
            && (0..token.fresh_for()).contains(&aged);
        here || stored
    }

    /// Checks a call for a key, which returned the token `given`.
    pub fn called(
        &mut self,
        key: usize,
        (before, after): (Now, Now),
        seen: &Seen,
        given: Option<&str>,
    ) -> Result<(), Broken> {
        let enough = self.tokens.iter().find(|token| self.must_do(token, key, before));
        hold!(enough.is_none() || seen.is_empty(), "asked though a fresh token is there: {seen:?}");
        let quiet = self.failures.get(&key).is_some_and(|failures| before.mono < failures.quiet_until);
        hold!(!quiet || seen.is_empty(), "asked in a pause: {:?} {seen:?}", self.failures.get(&key));
        hold!(before.mono >= self.refused_until || seen.is_empty(), "asked again for a refused account: {seen:?}");
        // The bound: a call sends one request for a token, if none is fresh and there is no pause; and one more for each fault and for
        // each rejected refresh token. Over a schedule: requests for a token <= renewals due + faults + rejections.
        let (faults, refused) = (seen.faults(), seen.refused());
        hold!(refused <= 1, "a refresh token that was refused is sent again: {seen:?}");
        hold!(seen.asked.len() <= 1 + faults + refused, "more requests than needed: {seen:?}");
        self.unsure |= seen.asked.iter().any(|(.., fault)| fault.is_some());
        hold!(seen.lists.is_empty() || self.unsure, "looked for a token that cannot be lost: {seen:?}");

        self.issue(after, seen);
        if seen.delivered() {
            self.failures.remove(&key);
            self.renewed += usize::from(!self.touched.is_empty());
        }
        match given {
            Some(text) => self.given(key, (before, after), seen, text)?,
            None => {
                hold!(
                    faults > 0 || (seen.is_empty() && after.mono < self.told_until),
                    "failed for no reason: {seen:?}"
                );
            }
        }
        if faults > 0 {
            // A failure that another key returned may be returned once more.
            let longest = if seen.is_lasting() { 4 * 60 * MINUTE } else { 4 * MINUTE };
            self.told_until = self.told_until.max(after.mono + longest);
        }
        self.pause(key, after, seen, given);
        Ok(())
    }

    fn issue(&mut self, now: Now, seen: &Seen) {
        let last = seen.issued.len();
        for (index, issued) in seen.issued.iter().enumerate() {
            let started = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_102_444_800);
            let service = match issued.issued_at.duration_since(started) {
                Ok(after) => i64::try_from(after.as_millis()).unwrap(),
                Err(before) => -i64::try_from(before.duration().as_millis()).unwrap(),
            };
            let ago = now.service - service;
            let came = seen.delivered() && index + 1 == last;
            self.answers_lost += usize::from(!came);
            let bit = |method: &str, bit| {
                if issued.scopes.iter().any(|it| it.as_str().starts_with(method)) { bit } else { 0 }
            };
            let scopes = if issued.scopes.is_empty() { 0b01 } else { bit("GET:", 0b01) | bit("POST:", 0b10) };
            let at = Now { mono: now.mono - ago, wall: now.wall - ago, service };
            let text = issued.token.expose().to_owned();
            if came {
                // A token is stored under the key that requested it.
                self.stored.insert(scopes, text.clone());
            }
            let (maker, holder) = (self.client, self.client);
            let life = issued.expires_at.duration_since(issued.issued_at).unwrap().as_secs();
            let life = i64::try_from(life).unwrap() * 1000;
            self.tokens.push(Made { text, scopes, under: scopes, maker, holder, at, life, came, dropped: false });
        }
    }

    fn given(&mut self, key: usize, (before, after): (Now, Now), seen: &Seen, text: &str) -> Result<(), Broken> {
        let client = self.client;
        let is_new = seen.issued.iter().any(|issued| issued.token.expose() == text);
        let found = !seen.delivered() && matches!(seen.lists.last(), Some(None));
        // With a cached token, the call returned before a refresh in the background moved the clock.
        let now = if is_new || found { after } else { before };
        let Some(token) = self.tokens.iter_mut().find(|token| token.text == text) else {
            return Err("a token that nobody made".to_owned());
        };
        hold!(token.scopes & key == key, "a token for something else");
        hold!(!token.dropped, "a token that was dropped is given again");
        if found {
            // In the list, which states its expiry anew: relative to the date of the response.
            let age = now.service - token.at.service;
            token.under = if token.came { token.under } else { key };
            token.at = Now { mono: now.mono - age, wall: now.wall - age, ..token.at };
            token.holder = client;
        }
        if !token.came {
            self.stored.insert(token.under, text.to_owned());
            token.came = true;
        }
        if token.holder != client {
            // From the store, which knows only the time of day.
            token.holder = client;
            token.at.mono = now.mono - (now.wall - token.at.wall).max(0);
        }
        // The service's expiries are whole seconds.
        hold!(now.mono < token.at.mono + token.life + 1000, "over by the monotonic clock");
        hold!(now.wall < token.at.wall + token.life + 1000, "over by the time of day");
        if !self.touched.contains(&key) {
            self.touched.push(key);
        }
        Ok(())
    }

    /// Checks the pause after a failure: from a second, doubling to a minute, or from five minutes, doubling to an hour. No pause outlasts a
    /// valid token: there is another attempt after three quarters of the time it has left.
    fn pause(&mut self, key: usize, now: Now, seen: &Seen, given: Option<&str>) {
        let failed = match (seen.asked.last(), seen.lists.last()) {
            // The last request was the search, which may have found the token.
            (_, Some(None)) if !seen.delivered() => {
                self.failures.remove(&key);
                return;
            }
            (Some((.., Some(_))), _) | (_, Some(Some(_))) => !seen.delivered(),
            _ => false,
        };
        if !failed {
            return;
        }
        let last_is_list = seen.lists.last().is_some_and(is_refused);
        if last_is_list || matches!(seen.asked.last(), Some((_, Some(401), _))) {
            self.refused_until = now.mono + 5 * MINUTE - 1;
        }
        // The last request counts: an earlier one may have been retried within the call.
        let lasting = matches!(seen.asked.last(), Some((_, Some(401), _)));
        let before = self.failures.get(&key).filter(|failures| failures.lasting == lasting);
        let count = before.map_or(0, |failures| failures.count) + 1;
        let (first, longest) = if lasting { (5 * MINUTE, 60 * MINUTE) } else { (1000, MINUTE) };
        let mut wait = longest.min(first << (count - 1).min(16));
        if let Some(text) = given {
            let held = self.tokens.iter().find(|token| token.text == text).unwrap();
            let usable = held.life - (held.life / 20).min(10_000) - 1000;
            let ends = (held.at.mono + usable - now.mono).min(held.at.wall + usable - now.wall);
            wait = wait.min((ends / 4 * 3).max(0));
            self.refused_until = self.refused_until.min(now.mono + wait - 1);
        }
        self.failures.insert(key, Failures { count, lasting, quiet_until: now.mono + wait - 1 });
    }

    /// Whether the client could not know that this token has expired at the service, since its clock was set back.
    pub fn is_excused(&self, text: &str, now: Now) -> bool {
        let token = self.tokens.iter().find(|token| token.text == text);
        token.is_some_and(|token| now.wall - now.service < token.at.wall - token.at.service)
    }

    pub fn invalidated(&mut self, text: &str, now: Now) {
        // After consecutive rejections the client may keep a token for a random time.
        let surely = self.last_refusal.is_none_or(|last| now.mono - last >= 10 * MINUTE);
        self.last_refusal = Some(now.mono);
        for token in self.tokens.iter_mut().filter(|token| token.text == text) {
            token.dropped |= surely;
            // No key may get it any more.
            token.came &= surely;
        }
    }

    pub fn forgotten(&mut self) {
        self.failures.clear();
        self.refused_until = 0;
        self.last_refusal = None;
        self.stored.clear();
        let client = self.client;
        self.tokens.iter_mut().filter(|it| it.came && it.holder == client).for_each(|it| it.dropped = true);
    }

    /// Checks that all tokens that this client created are dead.
    pub fn revoked(&mut self, is_alive: impl Fn(&str) -> bool) -> Result<(), Broken> {
        // A short lifetime leaves too little room to tell a lost token from those of others.
        let may_stay = |token: &Made| !token.came && self.ttl < 24 * 60 * MINUTE;
        let of_this = self.tokens.iter().filter(|token| token.maker == self.client && !may_stay(token));
        let left = of_this.filter(|token| is_alive(&token.text)).count();
        hold!(left == 0, "{left} tokens live on after all were to be deleted");
        self.failures.clear();
        self.last_refusal = None;
        self.stored.clear();
        for token in self.tokens.iter_mut().filter(|token| token.maker == self.client) {
            token.dropped = true;
        }
        Ok(())
    }

    /// Notes that some tokens are deleted, and that the next call retries the others.
    pub fn half_revoked(&mut self) {
        self.failures.clear();
        self.last_refusal = None;
        self.stored.clear();
        for token in self.tokens.iter_mut().filter(|token| token.maker == self.client && token.came) {
            token.dropped = true;
        }
    }

    pub fn restarted(&mut self, is_alive: impl Fn(&str) -> bool) {
        // A new client does not know the tokens of the old one, so it cannot delete them.
        self.given_up += self.tokens.iter().filter(|token| token.maker == self.client && is_alive(&token.text)).count();
        self.client += 1;
        self.failures.clear();
        self.touched.clear();
        self.refused_until = 0;
        (self.last_refusal, self.unsure, self.told_until) = (None, false, 0);
        // The store may have a rejected token, which a new client does not know.
        self.tokens.iter_mut().for_each(|token| token.dropped = false);
    }

    /// Returns how many pairs of Keliweb may be alive: the cached one, those lost to a fault, and those dropped.
    pub fn may_live(&self, faults: usize, dropped: usize) -> usize {
        1 + faults + dropped
    }
}
