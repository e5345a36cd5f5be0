//! What is known of a cached token, and what that means at a moment. Nothing here waits, asks what time it is, or sends.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::StatusCode;

use super::Fetched;
use crate::clock::Moment;
use crate::error::{Error, Kind};
use crate::store::{StoredToken, fnv_1a};
use crate::token::AccessToken;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There never was a token: fetch one, and wait for it.
    Empty,
    /// Hand the token out.
    Fresh,
    /// Hand the token out, and fetch the next one meanwhile.
    RefreshSoon,
    /// The token is over, or was refused: fetch another, and wait for it.
    Expired,
    /// It is too early for another try: hand out the token if it is good, and the error if not.
    BackingOff,
}

/// Replaced as a whole, never changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Grows whenever a token is published, withdrawn or cleared: what was asked for before that is out of date.
    pub(crate) revision: u64,
    /// The last token, whatever became of it: the next one may be had from it.
    pub(crate) cached: Option<CachedToken>,
    pub(crate) failure: Option<Failure>,
    rejections: Option<Rejections>,
}

#[derive(Debug, Clone)]
pub(crate) struct CachedToken {
    pub(crate) token: StoredToken,
    /// `None` for a token that was refused.
    pub(crate) validity: Option<Validity>,
    /// Whether it was fetched for this key, and not for another one that includes it.
    pub(crate) is_borrowed: bool,
    /// Whether it could be saved, if there is a store.
    pub(crate) is_saved: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// When the two ends were worked out, and how old the token was then.
    computed_at: Duration,
    age: Duration,
    refresh_from: Moment,
    usable_until: Moment,
}

#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// By the time that only moves forward: a correction of the clock is no reason to ask sooner.
    retry_at: Duration,
    /// When it would be, if no token were about to end.
    unshortened_retry_at: Duration,
    /// When it happened, by the same time.
    failed_at: Duration,
    /// How many in a row.
    count: usize,
}

/// Tokens that were refused, not long one after the other. By the time that only moves forward.
#[derive(Debug, Clone, Copy)]
struct Rejections {
    /// How many of them were dropped.
    count: usize,
    last: Duration,
    /// Until then the next one is kept.
    keep_until: Duration,
}

/// After so long without a refusal, the next one is not taken for more of the same.
const REJECTION_MEMORY: Duration = Duration::from_secs(10 * 60);

/// No service gives a token for longer than a year.
const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How far in the future a stored token may have been obtained, by clocks that do not quite agree.
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
    /// The token, if it can be handed out.
    pub(crate) fn usable(&self, now: &Moment) -> Option<&CachedToken> {
        self.cached.as_ref().filter(|cached| cached.validity.is_some_and(|validity| validity.is_usable(now)))
    }

    /// How old the token is, if it is this one and was not refused.
    pub(crate) fn age_of(&self, token: &AccessToken, now: &Moment) -> Option<Duration> {
        let cached = self.cached.as_ref().filter(|cached| cached.token.access_token == *token)?;
        Some(cached.validity?.age(now))
    }

    pub(crate) fn obtained(&self, cached: CachedToken) -> Self {
        Self { cached: Some(cached), failure: None, ..self.next() }
    }

    /// A token that is over already: of no use but for what it can be renewed with.
    pub(crate) fn obtained_expired(&self, cached: CachedToken) -> Self {
        Self { cached: Some(cached), ..self.next() }
    }

    /// The store kept this token, if it is the one that is cached.
    pub(crate) fn saved(&self, token: &AccessToken) -> Self {
        let saved = |cached: CachedToken| CachedToken {
            is_saved: cached.is_saved || cached.token.access_token == *token,
            ..cached
        };
        Self { cached: self.cached.clone().map(saved), ..self.clone() }
    }

    /// The token is not to be handed out or lent any more, whoever asks.
    pub(crate) fn withdrawn(&self) -> Self {
        Self { cached: self.cached.clone().map(|cached| CachedToken { validity: None, ..cached }), ..self.next() }
    }

    /// Returns the state without its failures and rejections.
    pub(crate) fn without_failures(&self) -> Self {
        Self { failure: None, rejections: None, ..self.clone() }
    }

    /// Nothing is known any more.
    pub(crate) fn cleared(&self) -> Self {
        Self { revision: self.revision + 1, ..Self::default() }
    }

    fn next(&self) -> Self {
        Self { revision: self.revision + 1, ..self.clone() }
    }

    pub(crate) fn access_token(&self) -> Option<&AccessToken> {
        self.cached.as_ref().map(|cached| &cached.token.access_token)
    }

    /// A failure displaces no token. The next attempt waits.
    ///
    /// `has_waiters`: the attempt began without a usable token. Where it began with one that has ended failed_at, and the failure may
    /// pass, the callers that wait by now make an attempt of their own.
    pub(crate) fn failed(&self, error: &Error, has_waiters: bool, now: &Moment) -> Self {
        let failure = Failure::after(self.failure.as_ref(), error, now);
        match self.cached.as_ref().and_then(|cached| cached.validity) {
            Some(validity) if !has_waiters && !validity.is_usable(now) && !is_permanent(error) => {
                Self { failure: Some(failure.no_later_than(now.monotonic)), ..self.clone() }
            }
            _ => self.backing_off(failure, now),
        }
    }

    /// No pause outlasts a token that is still good, whatever failed and whatever the service asks for: there is another attempt
    /// before the token ends, at three quarters of what is left of it.
    pub(crate) fn backing_off(&self, failure: Failure, now: &Moment) -> Self {
        let left = self.usable(now).and_then(|cached| cached.validity).map(|validity| validity.left(now));
        let failure = match left {
            Some(left) => failure.no_later_than(now.monotonic.saturating_add(left / 4 * 3)),
            None => failure,
        };
        Self { failure: Some(failure), ..self.clone() }
    }

    /// The token was refused where it was sent, and is dropped.
    ///
    /// If that happens again and again, it is not the token that is wrong. Then it is dropped less and less often: each new one
    /// may cost money, be left behind, and be good for those who share it.
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

    /// Whether there is nothing in it that anybody could miss.
    pub(crate) fn is_disposable(&self, now: &Moment) -> bool {
        let useful = self.cached.as_ref().is_some_and(|cached| cached.token.discard_after() > now.now);
        !useful && !matches!(classify(self, now), Phase::Fresh | Phase::RefreshSoon | Phase::BackingOff)
    }
}

impl Failure {
    /// The wait doubles with each one of the same sort. It is longer if the service asks for that, by an hour at most.
    pub(crate) fn after(before: Option<&Self>, error: &Error, now: &Moment) -> Self {
        let permanent = is_permanent(error);
        let alike = before.filter(|failure| is_permanent(&failure.error) == permanent);
        // An attempt that was brought forward for a token's sake makes the pauses no longer.
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

    /// Whether it is the same failure, however long either pause is.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.failed_at, self.count) == (other.failed_at, other.count)
    }

    /// The error for callers that come during the pause: it says that nothing was sent, and counts down.
    pub(crate) fn backing_off_error(&self, now: &Moment) -> Error {
        self.error.clone().backing_off(self.left(now))
    }

    /// Whether it is too early for another try.
    pub(crate) fn is_backing_off(&self, now: &Moment) -> bool {
        now.monotonic < self.retry_at
    }

    pub(crate) fn left(&self, now: &Moment) -> Duration {
        self.retry_at.saturating_sub(now.monotonic)
    }
}

impl Validity {
    /// Of a token that has just come. The window for its refresh is a part of what is left of its lifetime, so that no token is
    /// in it from the beginning.
    pub(crate) fn from_fetched(fetched: &Fetched, now: &Moment) -> Self {
        let Fetched { token, sent, .. } = fetched;
        let lifetime = token.expires_at.duration_since(sent.now).unwrap_or_default();
        // A machine that fell asleep meanwhile shows it in one time or in both.
        let age =
            now.monotonic.saturating_sub(sent.monotonic).max(now.now.duration_since(sent.now).unwrap_or_default());
        Self::new(token, lifetime, age, now)
    }

    /// Of a token from a store, by the time of day alone. `None` if it was obtained in the future: then nothing can be said.
    pub(crate) fn from_stored(token: &StoredToken, now: &Moment) -> Option<Self> {
        // A record that says more is wrong.
        let lifetime = token.expires_at.duration_since(token.obtained_at).unwrap_or_default().min(MAX_LIFETIME);
        let age = match now.now.duration_since(token.obtained_at) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() <= SKEW => Duration::ZERO,
            Err(_) => return None,
        };
        Some(Self::new(token, lifetime, age, now))
    }

    fn new(token: &StoredToken, lifetime: Duration, age: Duration, now: &Moment) -> Self {
        // Spread, so that tokens that were obtained together are not refreshed together; but by the token, so that all
        // processes that share one look at their store at the same moment.
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

/// How long before its end a token is refreshed, at the most.
pub(crate) fn window(lifetime: Duration) -> Duration {
    (lifetime / 10).min(Duration::from_secs(10 * 60)).max(2 * leeway(lifetime)).min(lifetime / 4 * 3)
}

/// How long before its end a token is not handed out any more: a request takes its time too, and services tell their time in
/// whole seconds.
fn leeway(lifetime: Duration) -> Duration {
    (lifetime / 20).clamp(SECOND.min(lifetime / 2), Duration::from_secs(10))
}

/// A number from 0 to 1 that is the same for a token in every process.
fn spread_of(token: &AccessToken) -> f64 {
    // The high bits of the hash hardly depend on the last letters: one more round, as in MurmurHash3.
    let hash = fnv_1a(token.expose());
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Trying again soon would not help, and a customer's account may be locked for it, or a token be left behind each time.
fn is_permanent(error: &Error) -> bool {
    let refused = error.is_unauthorized() || error.is_invalid_grant() || error.is_invalid_input();
    let forbidden = error.status() == Some(StatusCode::FORBIDDEN);
    refused || forbidden || error.is_decode() || error.kind() == Kind::NotGranted
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The wait after so many failures: doubling, with as much again by chance at the most.
fn delay(count: usize, first: Duration, longest: Duration) -> Duration {
    let delays =
        ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times().with_jitter();
    // From some count on they are all the longest.
    delays.build().nth((count - 1).min(16)).unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::cache::tests::{HOUR, OPERATION, stored, wrong_password};

    fn fetched(token: StoredToken, sent: Moment) -> Fetched {
        Fetched { token, sent, operation: OPERATION, is_adopted: false }
    }

    #[test]
    fn each_state_is_one_of_five_phases() {
        use Phase::{BackingOff, Empty, Expired, Fresh, RefreshSoon};

        let start = Moment { now: SystemTime::UNIX_EPOCH + HOUR, monotonic: HOUR };
        let at = |minutes: u32| start.after(minutes * MINUTE);
        let validity = Validity::from_fetched(&fetched(stored("t", start.now, HOUR), start), &start);
        let cached = |validity| CachedToken {
            token: stored("t", start.now, HOUR),
            validity,
            is_borrowed: false,
            is_saved: true,
        };
        let with = |validity| State::default().obtained(cached(validity));
        let (empty, good, refused) = (State::default(), with(Some(validity)), with(None));
        let failed = |state: &State, minutes| state.failed(&wrong_password(), true, &at(minutes));
        for (name, state, now, expected) in [
            ("nothing", &empty, at(0), Empty),
            ("new", &good, at(0), Fresh),
            ("before the window", &good, at(53), Fresh),
            ("in the window", &good, at(56), RefreshSoon),
            ("ten seconds before the end", &good, at(60), Expired),
            ("long over", &good, at(600), Expired),
            ("refused", &refused, at(1), Expired),
            ("nothing, failed", &failed(&empty, 0), at(1), BackingOff),
            ("nothing, failed a while ago", &failed(&empty, 0), at(11), Empty),
            ("in the window, failed", &failed(&good, 56), at(57), BackingOff),
            ("failed, and over", &failed(&good, 56), at(61), Expired),
            ("failed a while ago, and over", &failed(&good, 56), at(67), Expired),
            ("refused, failed", &failed(&refused, 1), at(2), BackingOff),
            ("new, whatever failed", &failed(&good, 0), at(1), Fresh),
            ("the time of day back an hour", &good, Moment { now: at(0).now - HOUR, ..at(30) }, Fresh),
            ("the time of day back an hour, over", &good, Moment { now: at(0).now, ..at(60) }, Expired),
            ("slept an hour", &good, Moment { now: at(70).now, ..at(10) }, Expired),
        ] {
            assert_eq!(classify(state, &now), expected, "{name}");
        }
    }

    #[test]
    fn the_window_of_the_refresh_is_a_tenth_of_the_life_and_ten_minutes_at_the_most() {
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
                // Whoever has the token, however it was had, begins its refresh at the same moment.
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
    fn a_slot_is_dead_when_there_is_nothing_in_it_that_anybody_could_miss() {
        let start = Moment { now: SystemTime::UNIX_EPOCH + HOUR, monotonic: HOUR };
        let with = |renewable: bool| {
            let mut token = stored("t", start.now, HOUR);
            token.renewal = token.renewal.filter(|_| renewable);
            let validity = Validity::from_fetched(&fetched(token.clone(), start), &start);
            State::default().obtained(CachedToken {
                token,
                validity: Some(validity),
                is_borrowed: false,
                is_saved: true,
            })
        };
        let failed = State::default().failed(&wrong_password(), true, &start);
        for (name, state, hours, dead) in [
            ("nothing", State::default(), 0, true),
            ("a good token", with(false), 0, false),
            ("over", with(false), 2, true),
            ("over, and good for a renewal", with(true), 2, false),
            ("over for ten days", with(true), 241, true),
            ("backing off", failed.clone(), 0, false),
            ("failed a while ago", failed, 1, true),
        ] {
            assert_eq!(state.is_disposable(&start.after(hours * HOUR)), dead, "{name}");
        }
    }
}
