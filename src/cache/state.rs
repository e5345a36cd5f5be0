//! The state of a slot, and what it means at a moment. Nothing here waits, reads a clock, or sends.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::StatusCode;

use super::Fetched;
use crate::clock::Moment;
use crate::error::{Error, Kind};
use crate::store::{ManagedToken, Version, fnv_1a};
use crate::token::AccessToken;

/// The next step of a caller and its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There has been no token. Fetch one, and wait for it.
    Empty,
    /// Return the token.
    Fresh,
    /// Return the token, and fetch the next one meanwhile.
    RefreshSoon,
    /// The token expired or was rejected. Fetch another, and wait for it.
    Expired,
    /// Send nothing. Return the token if it is usable, otherwise the error.
    BackingOff,
}

/// The state of a slot. Each change replaces it as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Incremented when a token is published, withdrawn or cleared. It shows an abandoned exchange that it is out of date.
    pub(crate) revision: u64,
    /// The last token, even if it is no longer usable: it may still be refreshed.
    pub(crate) cached: Option<CachedToken>,
    pub(crate) failure: Option<Failure>,
    rejections: Option<Rejections>,
}

#[derive(Debug, Clone)]
pub(crate) struct CachedToken {
    pub(crate) token: ManagedToken,
    /// `None` if the token was rejected or withdrawn.
    pub(crate) validity: Option<Validity>,
    /// Whether it was borrowed from the slot of another key, not fetched for this one.
    pub(crate) is_borrowed: bool,
    pub(crate) saved: Saved,
}

/// Whether the store has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Saved {
    /// It has it, or had it. Also if there is no store.
    Yes,
    /// A call failed that may have put it in the place of the record with this version, or may still do so.
    Maybe(Option<Version>),
    /// The store was never asked to save it.
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// The monotonic time when the rest was computed, and the token's age then.
    computed_at: Duration,
    age: Duration,
    refresh_from: Moment,
    usable_until: Moment,
}

#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// In monotonic time, so that a correction of the system clock brings no attempt forward.
    retry_at: Duration,
    /// `retry_at` before it was shortened for the sake of a token that is about to expire.
    unshortened_retry_at: Duration,
    /// In monotonic time.
    failed_at: Duration,
    /// The number of failures in a row.
    count: usize,
}

/// Tokens that were rejected in quick succession. All times are monotonic.
#[derive(Debug, Clone, Copy)]
struct Rejections {
    /// The number of these tokens that were dropped.
    count: usize,
    last: Duration,
    /// The next rejected token is kept until then.
    keep_until: Duration,
}

/// After this long without a rejection, the next one counts as the first.
const REJECTION_MEMORY: Duration = Duration::from_secs(10 * 60);

/// The longest lifetime that a store record may claim. No service grants more than a year.
const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The furthest in the future that a stored token may have been obtained, because the clocks of two machines differ.
const SKEW: Duration = MINUTE;

pub(crate) fn classify(state: &State, now: &Moment) -> Phase {
    let validity = state.cached.as_ref().and_then(|cached| cached.validity.as_ref());
    match (validity, &state.failure) {
        (Some(validity), _) if now.is_before(&validity.refresh_from) => Phase::Fresh,
        (_, Some(failure)) if failure.is_backing_off(now) => Phase::BackingOff,
        (Some(validity), _) if now.is_before(&validity.usable_until) => Phase::RefreshSoon,
        _ if state.cached.is_some() => Phase::Expired,
        _ => Phase::Empty,
    }
}

impl CachedToken {
    pub(crate) fn access_token(&self) -> AccessToken {
        self.token.access_token.clone()
    }
}

impl State {
    /// Returns the token if callers may have it.
    pub(crate) fn usable(&self, now: &Moment) -> Option<&CachedToken> {
        self.cached.as_ref().filter(|cached| cached.validity.is_some_and(|validity| validity.is_usable(now)))
    }

    /// Returns the age of this token, if the slot holds it as valid.
    pub(crate) fn age_of(&self, token: &AccessToken, now: &Moment) -> Option<Duration> {
        let cached = self.cached.as_ref().filter(|cached| cached.token.access_token == *token)?;
        Some(cached.validity?.age(now))
    }

    pub(crate) fn obtained(&self, cached: CachedToken) -> Self {
        Self { cached: Some(cached), failure: None, ..self.next() }
    }

    /// Keeps a token that had expired on arrival, for its refresh token.
    pub(crate) fn obtained_expired(&self, cached: CachedToken) -> Self {
        Self { cached: Some(cached), ..self.next() }
    }

    /// Records whether the store has this token, if the slot still holds it.
    pub(crate) fn saved(&self, token: &AccessToken, saved: &Saved) -> Self {
        let is_meant = |cached: &CachedToken| !cached.is_borrowed && cached.token.access_token == *token;
        let record = |cached: CachedToken| match is_meant(&cached) {
            true => CachedToken { saved: saved.clone(), ..cached },
            false => cached,
        };
        Self { cached: self.cached.clone().map(record), ..self.clone() }
    }

    /// Makes the token unusable for callers and other slots.
    pub(crate) fn withdrawn(&self) -> Self {
        Self { cached: self.cached.clone().map(|cached| CachedToken { validity: None, ..cached }), ..self.next() }
    }

    /// Returns the state without its failures and rejections.
    pub(crate) fn without_failures(&self) -> Self {
        Self { failure: None, rejections: None, ..self.clone() }
    }

    /// Drops everything but the revision.
    pub(crate) fn cleared(&self) -> Self {
        Self { revision: self.revision + 1, ..Self::default() }
    }

    fn next(&self) -> Self {
        Self { revision: self.revision + 1, ..self.clone() }
    }

    pub(crate) fn access_token(&self) -> Option<&AccessToken> {
        self.cached.as_ref().map(|cached| &cached.token.access_token)
    }

    /// Records a failure of this key, and backs off. The token stays.
    ///
    /// `has_waiters`: the exchange began without a usable token. If it began with one that has expired since, and the
    /// failure is temporary, the callers that wait by now begin another exchange at once.
    pub(crate) fn failed(&self, error: &Error, has_waiters: bool, now: &Moment) -> Self {
        let failure = Failure::after(self.failure.as_ref(), error, now);
        match self.cached.as_ref().and_then(|cached| cached.validity) {
            Some(validity) if !has_waiters && !validity.is_usable(now) && !is_permanent(error) => {
                Self { failure: Some(failure.no_later_than(now.monotonic)), ..self.clone() }
            }
            _ => self.backing_off(failure, now),
        }
    }

    /// Backs off after a failure.
    ///
    /// A slot never backs off for longer than its token is usable, whatever the failure and its `Retry-After`. Another
    /// attempt follows at three quarters of the remaining time.
    pub(crate) fn backing_off(&self, failure: Failure, now: &Moment) -> Self {
        let left = self.usable(now).and_then(|cached| cached.validity).map(|validity| validity.left(now));
        let failure = match left {
            Some(left) => failure.no_later_than(now.monotonic.saturating_add(left / 4 * 3)),
            None => failure,
        };
        Self { failure: Some(failure), ..self.clone() }
    }

    /// Records that the service rejected the token, and drops it.
    ///
    /// If one token after the other is rejected, the cause is not the token. Each is then kept for longer than the one before: a
    /// new token may cost money and leave the old one behind in the account, and the old one may still serve other callers.
    pub(crate) fn rejected(&self, now: &Moment) -> Self {
        let now = now.monotonic;
        let mut state = self.clone();
        let recent = self.rejections.filter(|rejections| now.saturating_sub(rejections.last) < REJECTION_MEMORY);
        state.rejections = Some(match recent {
            Some(rejections) if now < rejections.keep_until => Rejections { last: now, ..rejections },
            recent => {
                let count = recent.map_or(0, |rejections| rejections.count) + 1;
                state.cached = state.cached.map(|cached| CachedToken { validity: None, ..cached });
                Rejections { count, last: now, keep_until: now.saturating_add(delay(count, SECOND, MINUTE * 5)) }
            }
        });
        state
    }

    /// Returns whether the state can be dropped without a loss.
    pub(crate) fn is_disposable(&self, now: &Moment) -> bool {
        let useful = self.cached.as_ref().is_some_and(|cached| cached.token.discard_after() > now.now);
        !useful && !matches!(classify(self, now), Phase::Fresh | Phase::RefreshSoon | Phase::BackingOff)
    }
}

impl Failure {
    /// Returns the failure that follows another. The delay doubles with each failure of the same kind, permanent or
    /// temporary. A `Retry-After` extends it, up to an hour.
    pub(crate) fn after(before: Option<&Self>, error: &Error, now: &Moment) -> Self {
        let permanent = is_permanent(error);
        let alike = before.filter(|failure| is_permanent(&failure.error) == permanent);
        // An attempt that was brought forward for the sake of a token does not lengthen the next delay.
        let is_early = |failure: &Self| now.monotonic < failure.unshortened_retry_at;
        let count = alike.map_or(1, |failure| failure.count + usize::from(!is_early(failure)));
        let delay = if permanent { delay(count, MINUTE * 5, MINUTE * 60) } else { delay(count, SECOND, MINUTE) };
        let requested = error.retry_after().unwrap_or_default().min(MINUTE * 60);
        let retry_at = now.monotonic.saturating_add(delay.max(requested));
        Self { error: error.clone(), retry_at, unshortened_retry_at: retry_at, failed_at: now.monotonic, count }
    }

    fn no_later_than(self, latest: Duration) -> Self {
        Self { retry_at: self.retry_at.min(latest), ..self }
    }

    /// Returns whether both are the same failure, whatever their delays.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.failed_at, self.count) == (other.failed_at, other.count)
    }

    /// Returns the error for callers while the slot is backing off. It says that nothing was sent, and how long to
    /// wait.
    pub(crate) fn backing_off_error(&self, now: &Moment) -> Error {
        self.error.clone().backing_off(self.left(now))
    }

    /// Returns whether it is too early for another attempt.
    pub(crate) fn is_backing_off(&self, now: &Moment) -> bool {
        now.monotonic < self.retry_at
    }

    pub(crate) fn left(&self, now: &Moment) -> Duration {
        self.retry_at.saturating_sub(now.monotonic)
    }
}

impl Validity {
    /// Computes the validity of a token that has just arrived. Its refresh window is a part of the lifetime that remains, so
    /// no token arrives inside it.
    pub(crate) fn from_fetched(fetched: &Fetched, now: &Moment) -> Self {
        let Fetched { token, sent, .. } = fetched;
        let lifetime = token.expires_at.duration_since(sent.now).unwrap_or_default();
        // If the machine slept meanwhile, perhaps only one of the two clocks shows it.
        let age =
            now.monotonic.saturating_sub(sent.monotonic).max(now.now.duration_since(sent.now).unwrap_or_default());
        Self::new(token, lifetime, age, now)
    }

    /// Computes the validity of a stored token, by the system clock alone. Returns `None` if the token was obtained in the
    /// future.
    pub(crate) fn from_stored(token: &ManagedToken, now: &Moment) -> Option<Self> {
        // A record with a longer lifetime is wrong.
        let lifetime = token.expires_at.duration_since(token.obtained_at).unwrap_or_default().min(MAX_LIFETIME);
        let age = match now.now.duration_since(token.obtained_at) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() <= SKEW => Duration::ZERO,
            Err(_) => return None,
        };
        Some(Self::new(token, lifetime, age, now))
    }

    fn new(token: &ManagedToken, lifetime: Duration, age: Duration, now: &Moment) -> Self {
        // Spread, so that tokens obtained together are not refreshed together. By a hash of the token, so that all processes
        // that share a token look at their store at the same moment.
        let window = window(lifetime).mul_f64(0.75 + 0.25 * spread_of(&token.access_token));
        let at = |end: Duration| now.after(end.saturating_sub(age));
        Self {
            computed_at: now.monotonic,
            age,
            refresh_from: at(lifetime.saturating_sub(window)),
            usable_until: at(lifetime.saturating_sub(leeway(lifetime))),
        }
    }

    #[inline]
    pub(crate) fn is_fresh(&self, now: &Moment) -> bool {
        now.is_before(&self.refresh_from)
    }

    pub(crate) fn is_usable(&self, now: &Moment) -> bool {
        now.is_before(&self.usable_until)
    }

    pub(crate) fn age(&self, now: &Moment) -> Duration {
        self.age.saturating_add(now.monotonic.saturating_sub(self.computed_at))
    }

    pub(crate) fn left(&self, now: &Moment) -> Duration {
        self.usable_until.monotonic.saturating_sub(now.monotonic)
    }
}

/// Returns how long before its expiry a token may be refreshed.
pub(crate) fn window(lifetime: Duration) -> Duration {
    (lifetime / 10).min(Duration::from_secs(10 * 60)).max(2 * leeway(lifetime)).min(lifetime / 4 * 3)
}

/// Returns how long before its expiry a token is no longer returned. A request takes time, and services count in whole
/// seconds.
pub(crate) fn leeway(lifetime: Duration) -> Duration {
    (lifetime / 20).clamp(SECOND.min(lifetime / 2), Duration::from_secs(10))
}

/// Returns a number from 0 to 1, the same for a token in every process.
fn spread_of(token: &AccessToken) -> f64 {
    // The high bits of the hash hardly depend on the last characters. One more round mixes them, as in MurmurHash3.
    let hash = fnv_1a(token.expose());
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Returns whether a retry would only fail again. Retries might also lock the account, or leave a token behind each time.
fn is_permanent(error: &Error) -> bool {
    let rejected = error.is_unauthorized() || error.is_invalid_grant() || error.is_invalid_input();
    let forbidden = error.status() == Some(StatusCode::FORBIDDEN);
    rejected || forbidden || error.is_decode() || error.kind() == Kind::NotGranted
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Returns the delay after this many failures. It doubles up to `longest`, and random jitter adds as much again at most.
fn delay(count: usize, first: Duration, longest: Duration) -> Duration {
    let delays =
        ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times().with_jitter();
    // Beyond this count, every delay is the longest.
    delays.build().nth((count - 1).min(16)).unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::cache::tests::{HOUR, OPERATION, stored, wrong_password};

    fn fetched(token: ManagedToken, sent: Moment) -> Fetched {
        Fetched { token, sent, operation: OPERATION, is_adopted: false }
    }

    #[test]
    fn each_state_is_in_one_of_five_phases() {
        use Phase::{BackingOff, Empty, Expired, Fresh, RefreshSoon};

        let start = Moment { now: SystemTime::UNIX_EPOCH + HOUR, monotonic: HOUR };
        let at = |minutes: u32| start.after(minutes * MINUTE);
        let validity = Validity::from_fetched(&fetched(stored("t", start.now, HOUR), start), &start);
        let cached = |validity| CachedToken {
            token: stored("t", start.now, HOUR),
            validity,
            is_borrowed: false,
            saved: Saved::Yes,
        };
        let with = |validity| State::default().obtained(cached(validity));
        let (empty, usable, rejected) = (State::default(), with(Some(validity)), with(None));
        let failed = |state: &State, minutes| state.failed(&wrong_password(), true, &at(minutes));
        for (name, state, now, expected) in [
            ("nothing", &empty, at(0), Empty),
            ("new", &usable, at(0), Fresh),
            ("before the window", &usable, at(53), Fresh),
            ("in the window", &usable, at(56), RefreshSoon),
            ("ten seconds before the end", &usable, at(60), Expired),
            ("long expired", &usable, at(600), Expired),
            ("rejected", &rejected, at(1), Expired),
            ("nothing, failed", &failed(&empty, 0), at(1), BackingOff),
            ("nothing, failed a while ago", &failed(&empty, 0), at(11), Empty),
            ("in the window, failed", &failed(&usable, 56), at(57), BackingOff),
            ("failed, and expired", &failed(&usable, 56), at(61), Expired),
            ("failed a while ago, and expired", &failed(&usable, 56), at(67), Expired),
            ("rejected, failed", &failed(&rejected, 1), at(2), BackingOff),
            ("new, whatever failed", &failed(&usable, 0), at(1), Fresh),
            ("the time of day back an hour", &usable, Moment { now: at(0).now - HOUR, ..at(30) }, Fresh),
            ("the time of day back an hour, expired", &usable, Moment { now: at(0).now, ..at(60) }, Expired),
            ("slept an hour", &usable, Moment { now: at(70).now, ..at(10) }, Expired),
        ] {
            assert_eq!(classify(state, &now), expected, "{name}");
        }
    }

    #[test]
    fn the_refresh_window_is_a_tenth_of_the_lifetime_and_at_most_ten_minutes() {
        let start = Moment { now: SystemTime::UNIX_EPOCH + HOUR, monotonic: HOUR };
        for (lifetime, first, last, unusable) in [
            (60 * SECOND, 54_000, 55_500, 57_000),
            (HOUR, 54 * 60_000, 3_330_000, 3_590_000),
            (24 * HOUR, 85_800_000, 85_950_000, 86_390_000),
            (365 * 24 * HOUR, 31_535_400_000, 31_535_550_000, 31_535_990_000),
        ] {
            let mut seen = std::collections::HashSet::new();
            for number in 0..100 {
                let token = stored(&format!("t#{number}"), start.now, lifetime);
                let validity = Validity::from_fetched(&fetched(token.clone(), start), &start);
                // Every process computes the same refresh window for a token.
                assert_eq!(Validity::from_stored(&token, &start), Some(validity));
                let at = |milliseconds| start.after(Duration::from_millis(milliseconds));
                assert!(
                    validity.is_fresh(&at(first - 1)) && !validity.is_fresh(&at(last + 1)),
                    "{lifetime:?} {validity:?}"
                );
                assert!(
                    validity.is_usable(&at(unusable - 1)) && !validity.is_usable(&at(unusable)),
                    "{lifetime:?} {validity:?}"
                );
                seen.insert(format!("{validity:?}"));
            }
            assert!(seen.len() > 90, "it is spread: {} of 100", seen.len());
        }
    }

    #[test]
    fn a_slot_is_disposable_when_nobody_would_miss_its_state() {
        let start = Moment { now: SystemTime::UNIX_EPOCH + HOUR, monotonic: HOUR };
        let with = |renewable: bool| {
            let mut token = stored("t", start.now, HOUR);
            token.renewal = token.renewal.filter(|_| renewable);
            let validity = Validity::from_fetched(&fetched(token.clone(), start), &start);
            State::default().obtained(CachedToken {
                token,
                validity: Some(validity),
                is_borrowed: false,
                saved: Saved::Yes,
            })
        };
        let failed = State::default().failed(&wrong_password(), true, &start);
        for (name, state, hours, dead) in [
            ("nothing", State::default(), 0, true),
            ("a usable token", with(false), 0, false),
            ("expired", with(false), 2, true),
            ("expired, with a refresh token", with(true), 2, false),
            ("expired, and its refresh token too", with(true), 241, true),
            ("backing off", failed.clone(), 0, false),
            ("failed a while ago", failed, 1, true),
        ] {
            assert_eq!(state.is_disposable(&start.after(hours * HOUR)), dead, "{name}");
        }
    }
}
