//! What may happen, told in as few words as will do: which tokens were given out, which of them must do, and who waits.
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

/// What a step came to at the service.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests for a token: the operation, the status answered, and what went wrong on purpose.
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

    /// Refresh tokens that the service did not take, of its own accord.
    fn refused(&self) -> usize {
        self.asked.iter().filter(|(.., status, fault)| fault.is_none() && *status != Some(200)).count()
    }

    /// Whether the last request for a token was answered with one.
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

/// A token that the service made.
#[derive(Debug)]
struct Made {
    text: String,
    /// What it is good for.
    scopes: usize,
    /// The key that has it. One that was lost may be found for a key of less, which lends it to nobody.
    under: usize,
    /// Which client made it.
    maker: usize,
    /// Which has it, and when it was made by the clocks of that one.
    holder: usize,
    at: Now,
    /// How long it lives: less than the longest lifetime, by chance.
    life: i64,
    /// Whether its answer came, or it was found later.
    came: bool,
    /// Whether this client dropped it, for good.
    dropped: bool,
}

/// Failures in a row, of one key.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    lasting: bool,
    /// No request before, by the monotonic clock.
    quiet_until: i64,
}

impl Made {
    /// The earliest age at which the next one may be fetched, less two seconds for ends read off a clock that ticks.
    fn fresh_for(&self) -> i64 {
        self.life - (self.life / 10).min(10 * MINUTE) - 2000
    }
}

pub struct Model {
    ttl: i64,
    has_store: bool,
    tokens: Vec<Made>,
    /// Which client this is: 0, 1, and so on.
    client: usize,
    failures: HashMap<usize, Failures>,
    /// No request for any key before: the account was refused.
    refused_until: i64,
    /// Somebody may be told of an earlier failure until then.
    told_until: i64,
    /// Whether an answer may have been lost to this client.
    unsure: bool,
    /// For a key, the token that the store has; and the keys that this client was asked for.
    stored: HashMap<usize, String>,
    touched: Vec<usize>,
    last_refusal: Option<i64>,
    /// For the sum at the end.
    pub answers_lost: usize,
    pub given_up: usize,
    pub renewed: usize,
    /// Given, and then ended by the client's own refresh in the background.
    pub ended_by_refresh: usize,
}

/// A promise that was not kept.
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

    /// Whether a token that the client has is good for this, and so young that there is nothing to fetch.
    fn must_do(&self, token: &Made, key: usize, now: Now) -> bool {
        if !token.came || token.dropped || token.under & key != key {
            return false;
        }
        let aged = now.wall - token.at.wall;
        let here = token.holder == self.client
            && now.mono - token.at.mono < token.fresh_for()
            // A clock that was set back is not looked at but for an end.
            && aged < token.fresh_for();
        let stored = !self.touched.contains(&key)
            && self.has_store
            && self.stored.get(&key) == Some(&token.text)
            && (0..token.fresh_for()).contains(&aged);
        here || stored
    }

    /// After a call for a key. `given`: the token that it gave.
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
        // The bound: a call sends one request for a token, and only if none is fresh and no pause is on; beyond it one for each
        // fault that it met, and one for a refresh token that the service refused. Over a schedule that is: requests for a
        // token <= renewals due + faults + refusals.
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
            // A failure that another key was told of may be told once more.
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
                // What is asked for one key is kept under that key.
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
        // Of what is there already, the call was over before a refresh in the background took its time.
        let now = if is_new || found { after } else { before };
        let Some(token) = self.tokens.iter_mut().find(|token| token.text == text) else {
            return Err("a token that nobody made".to_owned());
        };
        hold!(token.scopes & key == key, "a token for something else");
        hold!(!token.dropped, "a token that was dropped is given again");
        if found {
            // In the list, which tells its end anew: read together with the date of the answer.
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
            // From the store, which knows the time of day alone.
            token.holder = client;
            token.at.mono = now.mono - (now.wall - token.at.wall).max(0);
        }
        // The service's ends are whole seconds.
        hold!(now.mono < token.at.mono + token.life + 1000, "over by the monotonic clock");
        hold!(now.wall < token.at.wall + token.life + 1000, "over by the time of day");
        if !self.touched.contains(&key) {
            self.touched.push(key);
        }
        Ok(())
    }

    /// After a failure nothing is sent for a while: a second and more, doubling to a minute, or five minutes and more,
    /// doubling to an hour. No pause outlasts a token that is good: there is another attempt at three quarters of what is left of it.
    fn pause(&mut self, key: usize, now: Now, seen: &Seen, given: Option<&str>) {
        let failed = match (seen.asked.last(), seen.lists.last()) {
            // The list was looked at last, and may have had the token.
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
        // By the last request: the one before may have been repeated within the call.
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

    /// Whether the client could not know that this token is dead at the service: its clock was set back since.
    pub fn is_excused(&self, text: &str, now: Now) -> bool {
        let token = self.tokens.iter().find(|token| token.text == text);
        token.is_some_and(|token| now.wall - now.service < token.at.wall - token.at.service)
    }

    pub fn invalidated(&mut self, text: &str, now: Now) {
        // Where one refusal follows the other, a token may be kept; how long is by chance.
        let surely = self.last_refusal.is_none_or(|last| now.mono - last >= 10 * MINUTE);
        self.last_refusal = Some(now.mono);
        for token in self.tokens.iter_mut().filter(|token| token.text == text) {
            token.dropped |= surely;
            // It must do for nobody any more.
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

    /// All that this client made is to be dead.
    pub fn revoked(&mut self, is_alive: impl Fn(&str) -> bool) -> Result<(), Broken> {
        // Of a short life too little can be taken to tell a token that was lost, and not found at once, from those of others.
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

    /// Some that this client made are deleted, and the others are tried again by the next call.
    pub fn half_revoked(&mut self) {
        self.failures.clear();
        self.last_refusal = None;
        self.stored.clear();
        for token in self.tokens.iter_mut().filter(|token| token.maker == self.client && token.came) {
            token.dropped = true;
        }
    }

    pub fn restarted(&mut self, is_alive: impl Fn(&str) -> bool) {
        // A new client knows nothing of what the old one made: these it cannot delete.
        self.given_up += self.tokens.iter().filter(|token| token.maker == self.client && is_alive(&token.text)).count();
        self.client += 1;
        self.failures.clear();
        self.touched.clear();
        self.refused_until = 0;
        (self.last_refusal, self.unsure, self.told_until) = (None, false, 0);
        // The store may have what was refused: a new client does not know.
        self.tokens.iter_mut().for_each(|token| token.dropped = false);
    }

    /// How many pairs of Keliweb may be alive: the one that is held, those that a fault cost, and those that were
    /// dropped.
    pub fn may_live(&self, faults: usize, dropped: usize) -> usize {
        1 + faults + dropped
    }
}
