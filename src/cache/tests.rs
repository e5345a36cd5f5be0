//! One test for each promise of the cache. Time stands still, and who waits is counted, not waited for.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::state::{Held, Life};
use super::*;
use crate::RefreshToken;
use crate::clock::ManualClock;
use crate::store::{MemoryStore, Renewal, StoreError, TokenStore};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Tokens `a#1`, `a#2` and so on for the key `a`. A key that begins with `broad` is good for each that begins with `narrow`.
struct Source {
    clock: Arc<ManualClock>,
    fetches: AtomicUsize,
    /// An exchange needs a permit of its key to end; all have enough, unless there is nothing.
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    lifetime: Mutex<Duration>,
    longest: Mutex<Duration>,
    failure: Mutex<Option<Error>>,
    panics: AtomicBool,
    previous: Mutex<Vec<Option<StoredToken>>>,
}

impl TokenSource for Arc<Source> {
    type Key = String;

    fn normal(&self, key: &String) -> String {
        key.to_lowercase()
    }

    fn name(&self, key: &String) -> String {
        format!("name of {key}")
    }

    async fn fetch(&self, key: &String, previous: Option<&StoredToken>) -> Result<Fetched, Error> {
        let sent = self.clock.coarse();
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        self.previous.lock().unwrap().push(previous.cloned());
        let gate = self.gates.lock().unwrap().get(key).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        assert!(!self.panics.load(Ordering::SeqCst), "as was asked");
        if let Some(error) = self.failure.lock().unwrap().clone() {
            return Err(error);
        }
        let token = stored(&format!("{key}#{number}"), sent.now, *self.lifetime.lock().unwrap());
        Ok(Fetched { token, sent })
    }

    fn longest(&self) -> Duration {
        *self.longest.lock().unwrap()
    }

    fn is_broad(&self, key: &String) -> bool {
        key.starts_with("broad")
    }

    fn serves(&self, token: &StoredToken, key: &String) -> bool {
        token.access_token.expose().starts_with("broad") && key.starts_with("narrow")
    }
}

fn stored(token: &str, obtained_at: SystemTime, lifetime: Duration) -> StoredToken {
    let renewal =
        Renewal { refresh_token: RefreshToken::new(format!("r-{token}")), expires_at: obtained_at + 240 * HOUR };
    StoredToken {
        access_token: AccessToken::new(token),
        obtained_at,
        expires_at: obtained_at + lifetime,
        renewal: Some(renewal),
        scopes: None,
    }
}

struct House {
    clock: Arc<ManualClock>,
    source: Arc<Source>,
    cache: Cache<Arc<Source>>,
}

impl House {
    fn new() -> Self {
        Self::with_store(None)
    }

    fn with_store(store: Option<Arc<dyn AnyStore>>) -> Self {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + 1_000_000 * HOUR));
        let source = Arc::new(Source {
            clock: Arc::clone(&clock),
            fetches: AtomicUsize::new(0),
            gates: Mutex::default(),
            lifetime: Mutex::new(HOUR),
            longest: Mutex::new(5 * MINUTE),
            failure: Mutex::default(),
            panics: AtomicBool::new(false),
            previous: Mutex::default(),
        });
        let cache = Cache::new(Arc::clone(&source), store, Arc::clone(&clock) as _);
        Self { clock, source, cache }
    }

    async fn get(&self, key: &str) -> String {
        self.cache.get(&key.to_owned()).await.unwrap().expose().to_owned()
    }

    /// The token, if it is there without waiting.
    fn at_once(&self, key: &str) -> Option<String> {
        let key = key.to_owned();
        match at_once(self.cache.get(&key)) {
            Poll::Ready(token) => Some(token.unwrap().expose().to_owned()),
            Poll::Pending => None,
        }
    }

    async fn error(&self, key: &str) -> Error {
        self.cache.get(&key.to_owned()).await.unwrap_err()
    }

    fn fetches(&self) -> usize {
        self.source.fetches.load(Ordering::SeqCst)
    }

    /// From now on exchanges for a key do not end, until they are let through.
    fn close(&self, key: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.source.gates.lock().unwrap().insert(key.to_owned(), Arc::clone(&gate));
        gate
    }

    fn fail(&self, error: Error) {
        *self.source.failure.lock().unwrap() = Some(error);
    }

    fn recover(&self) {
        *self.source.failure.lock().unwrap() = None;
    }

    fn live(&self, lifetime: Duration) {
        *self.source.lifetime.lock().unwrap() = lifetime;
    }

    fn slot(&self, key: &str) -> Arc<Slot<String>> {
        self.cache.slot(&key.to_owned())
    }

    /// Until so many callers wait for a key.
    async fn waiting(&self, key: &str, callers: usize) {
        let slot = self.slot(key);
        while slot.ended.receiver_count() != callers {
            tokio::task::yield_now().await;
        }
    }

    /// Until no exchange is under way for a key.
    async fn idle(&self, key: &str) {
        let slot = self.slot(key);
        while slot.busy.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    fn callers(&self, key: &str, number: usize) -> JoinSet<Result<AccessToken, Error>> {
        (0..number)
            .map(|_| {
                let (cache, key) = (self.cache.clone(), key.to_owned());
                async move { cache.get(&key).await }
            })
            .collect()
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn unavailable() -> Error {
    Error::new(Kind::Unavailable)
}

fn wrong_password() -> Error {
    Error::new(Kind::InvalidGrant { credentials: true })
}

#[tokio::test]
async fn a_token_is_fetched_once_and_handed_out_until_it_is_near_its_end() {
    let house = House::new();
    assert_eq!(house.get("a").await, "a#1");
    for _ in 0..100 {
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    }
    house.clock.advance(53 * MINUTE);
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    house.idle("a").await;
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn keys_that_mean_the_same_have_one_token_and_others_have_their_own() {
    let house = House::new();
    assert_eq!(house.get("a").await, "a#1");
    assert_eq!(house.get("A").await, "a#1");
    assert_eq!(house.get("b").await, "b#2");
    assert_eq!(house.cache.all().len(), 2);
}

#[tokio::test]
async fn a_slow_key_never_blocks_another() {
    let house = House::new();
    let gate = house.close("slow");
    let mut slow = house.callers("slow", 1);
    house.waiting("slow", 1).await;
    assert_eq!(house.get("quick").await, "quick#2");
    assert_eq!(house.at_once("quick").as_deref(), Some("quick#2"));
    gate.add_permits(1);
    assert_eq!(slow.join_next().await.unwrap().unwrap().unwrap().expose(), "slow#1");
}

#[tokio::test]
async fn a_hit_through_a_handle_needs_no_lock() {
    let house = House::new();
    let handle = house.cache.handle(&"a".to_owned());
    handle.get().await.unwrap();
    let _locked = house.cache.0.slots.write().unwrap();
    assert!(at_once(handle.get()).is_ready());
}

#[tokio::test]
async fn nobody_waits_for_a_refresh_while_a_token_is_valid() {
    let house = House::new();
    house.get("a").await;
    let gate = house.close("a");
    house.clock.advance(55 * MINUTE + 30 * SECOND);
    for _ in 0..16 {
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    }
    while house.fetches() < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..16 {
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    }
    gate.add_permits(1);
    house.idle("a").await;
    assert_eq!(house.at_once("a").as_deref(), Some("a#2"));
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn a_thousand_callers_wait_for_one_fetch() {
    let house = House::new();
    let gate = house.close("a");
    let callers = house.callers("a", 1000);
    house.waiting("a", 1000).await;
    gate.add_permits(1);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn a_thousand_callers_share_one_failure_and_nothing_sticks() {
    let house = House::new();
    let gate = house.close("a");
    house.fail(unavailable().with_message("down"));
    let callers = house.callers("a", 1000);
    house.waiting("a", 1000).await;
    gate.add_permits(1000);
    for token in callers.join_all().await {
        assert_eq!(token.unwrap_err().to_string(), unavailable().with_message("down").to_string());
    }
    assert_eq!(house.fetches(), 1);
    // While it is too early, everybody gets the same error at once.
    assert_eq!(house.error("a").await.to_string(), unavailable().with_message("down").to_string());
    assert_eq!(house.fetches(), 1);
    house.recover();
    house.clock.advance(2 * SECOND);
    assert_eq!(house.get("a").await, "a#2");
}

#[tokio::test]
async fn a_failure_is_for_those_that_waited_also_when_they_wake_late() {
    let house = House::new();
    house.fail(unavailable());
    let (cache, key) = (house.cache.clone(), "a".to_owned());
    let mut callers: Vec<_> = (0..10).map(|_| Box::pin(cache.get(&key))).collect();
    let mut look = || -> Vec<_> {
        let mut context = Context::from_waker(Waker::noop());
        callers.iter_mut().map(|caller| caller.as_mut().poll(&mut context)).collect()
    };
    assert!(look().iter().all(Poll::is_pending));
    house.idle("a").await;
    // None of them has looked yet; the wait after the failure is over when they do.
    house.clock.advance(HOUR);
    assert!(look().iter().all(|looked| matches!(looked, Poll::Ready(Err(_)))));
    house.idle("a").await;
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn the_waits_after_failures_double_to_a_minute() {
    let house = House::new();
    house.fail(unavailable());
    let mut bounds = (SECOND, 2 * SECOND);
    for fetches in 1..=12 {
        house.error("a").await;
        assert_eq!(house.fetches(), fetches);
        house.clock.advance(bounds.0 - Duration::from_millis(1));
        house.error("a").await;
        assert_eq!(house.fetches(), fetches, "too early after failure {fetches}");
        house.clock.advance(bounds.1 - bounds.0 + Duration::from_millis(1));
        bounds = ((bounds.0 * 2).min(MINUTE), (bounds.1 * 2).min(2 * MINUTE));
    }
}

#[tokio::test]
async fn a_refused_password_is_not_sent_again_for_five_minutes_and_then_less_and_less() {
    let house = House::new();
    house.fail(wrong_password());
    assert!(house.error("a").await.is_invalid_grant());
    for wait in [5, 10, 20, 40, 60, 60] {
        let fetches = house.fetches();
        house.clock.advance(wait * MINUTE - SECOND);
        for _ in 0..100 {
            assert!(house.error("a").await.is_invalid_grant());
        }
        assert_eq!(house.fetches(), fetches);
        house.clock.advance(wait * MINUTE + SECOND);
        house.error("a").await;
        assert_eq!(house.fetches(), fetches + 1);
    }
}

#[tokio::test]
async fn what_the_service_asks_to_wait_is_waited() {
    let house = House::new();
    house.fail(Error::new(Kind::RateLimited).with_retry_after(Some(HOUR)));
    house.error("a").await;
    house.clock.advance(HOUR - SECOND);
    house.error("a").await;
    assert_eq!(house.fetches(), 1);
    house.clock.advance(SECOND);
    house.error("a").await;
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn what_concerns_the_account_holds_for_all_keys() {
    for (error, wait) in
        [(Error::new(Kind::RateLimited).with_retry_after(Some(HOUR)), HOUR), (wrong_password(), 5 * MINUTE)]
    {
        let house = House::new();
        house.get("good").await;
        house.fail(error);
        let told = house.error("a").await.to_string();
        house.clock.advance(wait - SECOND);
        for key in ["a", "b", "c"] {
            assert_eq!(house.error(key).await.to_string(), told);
        }
        assert_eq!(house.fetches(), 2);
        // One key tries, and the others wait for what comes of it.
        house.clock.advance(5 * MINUTE + SECOND);
        let gate = house.close("b");
        let b = house.callers("b", 1);
        while house.fetches() < 3 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = ["a", "c", "d"].map(|key| house.callers(key, 10)).into();
        for key in ["a", "c", "d"] {
            house.waiting(key, 10).await;
        }
        gate.add_permits(1);
        for callers in others.into_iter().chain([b]) {
            assert!(
                callers
                    .join_all()
                    .await
                    .iter()
                    .all(|token| token.as_ref().is_err_and(|error| error.to_string() == told))
            );
        }
        assert_eq!(house.fetches(), 3);
        // Until it goes well.
        house.recover();
        house.clock.advance(HOUR);
        for key in ["a", "c", "d"] {
            house.get(key).await;
        }
        assert_eq!(house.fetches(), 6);
    }
}

#[tokio::test]
async fn of_those_that_were_refused_together_only_one_counts() {
    let house = House::new();
    house.fail(wrong_password());
    let gates = ["a", "b", "c"].map(|key| house.close(key));
    let callers = ["a", "b", "c"].map(|key| house.callers(key, 1));
    while house.fetches() < 3 {
        tokio::task::yield_now().await;
    }
    gates.iter().for_each(|gate| gate.add_permits(9));
    for callers in callers {
        assert!(callers.join_all().await[0].is_err());
    }
    house.recover();
    house.clock.advance(10 * MINUTE);
    for key in ["a", "b", "c"] {
        house.get(key).await;
    }
}

#[tokio::test]
async fn a_try_that_did_not_come_through_is_no_reason_for_all_to_try() {
    let house = House::new();
    house.fail(wrong_password());
    house.error("a").await;
    house.clock.advance(10 * MINUTE);
    house.fail(unavailable());
    house.error("a").await;
    house.error("b").await;
    assert_eq!(house.fetches(), 2);
    // What is refused to one key is no matter of the others.
    house.clock.advance(2 * SECOND);
    house.fail(Error::new(Kind::Rejected));
    house.error("a").await;
    house.error("b").await;
    house.error("c").await;
    assert_eq!(house.fetches(), 5);
}

#[tokio::test]
async fn a_failed_refresh_never_displaces_a_valid_token_and_tries_back_off() {
    let house = House::new();
    house.get("a").await;
    house.fail(unavailable());
    house.clock.advance(55 * MINUTE + 30 * SECOND);
    // The token is handed out for another 4 minutes and 20 seconds.
    for _ in 0..259 {
        assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
        house.idle("a").await;
        house.clock.advance(SECOND);
    }
    let tries = house.fetches() - 1;
    assert!((6..=11).contains(&tries), "{tries} tries");
    // At its end it is tried at once, by somebody who waits for it.
    house.clock.advance(2 * SECOND);
    assert!(house.error("a").await.is_transient());
    assert_eq!(house.fetches(), tries + 2);
    house.recover();
    house.clock.advance(2 * MINUTE);
    assert!(house.get("a").await.starts_with("a#"));
}

#[tokio::test]
async fn who_waits_for_a_refresh_that_began_without_him_is_not_given_its_failure() {
    let house = House::new();
    house.get("a").await;
    let gate = house.close("a");
    house.fail(unavailable());
    house.clock.advance(56 * MINUTE);
    house.at_once("a");
    while house.fetches() < 2 {
        tokio::task::yield_now().await;
    }
    // Nobody has driven it on until the token is over.
    house.clock.advance(10 * MINUTE);
    let callers = house.callers("a", 50);
    house.waiting("a", 50).await;
    gate.add_permits(1);
    while house.fetches() < 3 {
        tokio::task::yield_now().await;
    }
    house.recover();
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(house.fetches(), 3);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let house = House::new();
    let gate = house.close("a");
    {
        let key = "a".to_owned();
        let mut first: Pin<Box<dyn Future<Output = _>>> = Box::pin(house.cache.get(&key));
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let callers = house.callers("a", 49);
    house.waiting("a", 49).await;
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(house.fetches(), 1);
}

#[tokio::test]
async fn an_exchange_ends_and_is_kept_when_all_callers_are_gone() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    let gate = house.close("a");
    let mut callers = house.callers("a", 5);
    house.waiting("a", 5).await;
    callers.shutdown().await;
    gate.add_permits(1);
    house.idle("a").await;
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    let kept = TokenStore::load(&store, "name of a").await.unwrap().unwrap();
    assert_eq!(kept.renewal.unwrap().refresh_token.expose(), "r-a#1");
}

#[tokio::test]
async fn a_token_that_has_just_come_is_not_in_the_window_of_its_refresh() {
    let house = House::new();
    for lifetime in [SECOND, 5 * SECOND, MINUTE, HOUR, 24 * HOUR, 365 * 24 * HOUR] {
        house.live(lifetime);
        let key = format!("{lifetime:?}");
        house.get(&key).await;
        let fetches = house.fetches();
        for _ in 0..1000 {
            house.at_once(&key).unwrap();
        }
        house.idle(&key).await;
        assert_eq!(house.fetches(), fetches, "{lifetime:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_over_when_it_comes_is_an_error_and_no_busy_loop() {
    let house = House::new();
    house.live(Duration::ZERO);
    for second in 0..3600 {
        let error = house.error("a").await;
        assert!(error.is_decode() && error.to_string().contains("already over"), "{error}");
        house.clock.advance(SECOND);
        assert!(house.fetches() <= 1 + second / 300, "less and less, as after any failure");
    }
    house.clock.advance(2 * HOUR);
    // What it can be renewed with is not lost.
    house.live(HOUR);
    house.clock.advance(11 * MINUTE);
    house.get("a").await;
    let previous = house.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), format!("a#{}", house.fetches() - 1));
}

#[tokio::test]
async fn invalidating_drops_that_token_and_never_a_newer_one() {
    let house = House::new();
    house.get("a").await;
    let old = AccessToken::new("a#1");
    house.cache.invalidate(&AccessToken::new("something else"));
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    house.cache.invalidate(&old);
    assert_eq!(house.get("a").await, "a#2");
    // Fifty callers that had the old one say so late.
    for _ in 0..50 {
        house.cache.invalidate(&old);
    }
    assert_eq!(house.at_once("a").as_deref(), Some("a#2"));
    assert_eq!(house.fetches(), 2);
    assert_eq!(house.source.previous.lock().unwrap()[1].as_ref().unwrap().access_token, old);
}

#[tokio::test]
async fn where_one_token_after_the_other_is_refused_they_are_dropped_less_and_less() {
    let house = House::new();
    // Each second somebody is refused, for an hour.
    for second in 0..3600 {
        let token = AccessToken::new(house.get("a").await);
        // Those that are not refused go on with what there is.
        assert_eq!(house.at_once("a").as_deref(), Some(token.expose()), "after {second} s");
        house.cache.invalidate(&token);
        house.clock.advance(SECOND);
    }
    let fetches = house.fetches();
    assert!((12..=24).contains(&fetches), "{fetches} tokens in an hour");
    // Ten minutes without: a refusal is believed again.
    house.clock.advance(11 * MINUTE);
    let token = AccessToken::new(house.get("a").await);
    house.cache.invalidate(&token);
    assert_ne!(house.get("a").await, token.expose());
}

#[tokio::test]
async fn a_token_that_was_dropped_is_not_refused_again_by_those_who_are_late() {
    let house = House::new();
    for token in ["a#1", "a#2", "a#3"] {
        assert_eq!(house.get("a").await, token);
        for _ in 0..50 {
            house.cache.invalidate(&AccessToken::new(token));
        }
        // Longer than any token was kept for the second or the third time.
        house.clock.advance(9 * SECOND);
    }
    assert_eq!(house.get("a").await, "a#4");
}

#[tokio::test]
async fn the_life_counts_from_before_the_request() {
    let house = House::new();
    let gate = house.close("a");
    let callers = house.callers("a", 1);
    house.waiting("a", 1).await;
    house.clock.advance(50 * MINUTE);
    gate.add_permits(1);
    assert!(callers.join_all().await[0].is_ok());
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    house.clock.advance(10 * MINUTE);
    assert_eq!(house.at_once("a"), None);
}

#[tokio::test]
async fn a_clock_that_jumps_causes_no_storm_and_no_token_that_is_known_to_be_over() {
    for (jump, name) in [(-1.0, "an hour back"), (1.0, "an hour on")] {
        let house = House::new();
        house.get("a").await;
        let jumped = |now: SystemTime| if jump < 0.0 { now - HOUR } else { now + HOUR };
        house.clock.set(jumped(house.clock.now()));
        for _ in 0..100 {
            house.get("a").await;
            house.idle("a").await;
        }
        // A token that seems to be over is fetched once more, and that is all.
        assert_eq!(house.fetches(), if jump < 0.0 { 1 } else { 2 }, "{name}");
        let token = house.get("a").await;
        house.clock.advance(HOUR);
        assert_ne!(house.get("a").await, token, "{name}: the hour is over whatever the time of day says");
    }
}

#[tokio::test]
async fn a_machine_that_slept_does_not_hand_out_what_ended_meanwhile() {
    let house = House::new();
    house.get("a").await;
    // The time that moves forward stood still.
    house.clock.set(house.clock.now() + 8 * HOUR);
    assert_eq!(house.at_once("a"), None);
    assert_eq!(house.get("a").await, "a#2");
    for _ in 0..100 {
        assert_eq!(house.get("a").await, "a#2");
    }
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn a_machine_that_slept_during_the_exchange_counts_it_in() {
    let house = House::new();
    let gate = house.close("a");
    let callers = house.callers("a", 1);
    house.waiting("a", 1).await;
    house.clock.set(house.clock.now() + 2 * HOUR);
    gate.add_permits(1);
    assert!(callers.join_all().await[0].as_ref().unwrap_err().to_string().contains("already over"));
}

#[tokio::test]
async fn no_task_is_left_when_nothing_is_to_be_done() {
    let house = House::new();
    house.get("a").await;
    house.clock.advance(HOUR);
    house.get("a").await;
    house.idle("a").await;
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_panic_in_the_exchange_is_an_error_and_the_next_try_is_free() {
    let house = House::new();
    house.source.panics.store(true, Ordering::SeqCst);
    let error = house.error("a").await;
    assert!(error.is_transient() && error.to_string().contains("was stopped"), "{error}");
    house.error("a").await;
    assert_eq!(house.fetches(), 1, "it backs off as after any failure");
    house.source.panics.store(false, Ordering::SeqCst);
    house.clock.advance(2 * SECOND);
    assert_eq!(house.get("a").await, "a#2");
}

#[test]
fn a_runtime_that_is_dropped_amid_an_exchange_leaves_nothing_locked() {
    let house = House::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let gate = house.close("a");
    first.block_on(async {
        house.at_once("a");
        while house.fetches() < 1 {
            tokio::task::yield_now().await;
        }
    });
    // Somebody waits for it on another runtime.
    let callers = second.block_on(async {
        let callers = house.callers("a", 10);
        house.waiting("a", 10).await;
        callers
    });
    drop(first);
    gate.add_permits(10);
    assert!(second.block_on(callers.join_all()).iter().all(Result::is_ok));
    assert_eq!(house.fetches(), 2);
}

#[test]
fn a_runtime_that_ended_is_an_error_and_no_endless_loop() {
    let house = House::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    // All of it, and not merely begun: a timer that is polled meanwhile panics.
    drop(runtime);
    let _inside = handle.enter();
    let key = "a".to_owned();
    let mut future = pin!(house.cache.get(&key));
    let result = loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break result;
        }
    };
    assert!(result.unwrap_err().is_transient());
    assert_eq!(house.fetches(), 0);
}

#[test]
fn without_a_runtime_a_good_token_is_handed_out_and_a_missing_one_is_an_error() {
    let house = House::new();
    let key = "a".to_owned();
    let Poll::Ready(Err(error)) = at_once(house.cache.get(&key)) else { panic!("an error at once") };
    assert!(error.is_invalid_input() && error.to_string().contains("no tokio runtime"), "{error}");
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(house.get("a"));
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    // Also where a refresh would begin.
    house.clock.advance(57 * MINUTE);
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
}

#[test]
fn a_runtime_of_one_thread_that_runs_for_each_call_alone_is_served() {
    let house = House::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..24 * 60 {
        runtime.block_on(house.get("a"));
        house.clock.advance(MINUTE);
    }
    assert!((24..=27).contains(&house.fetches()), "{} in a day", house.fetches());
}

#[tokio::test]
async fn forgetting_leaves_nothing_behind() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    house.get("a").await;
    house.cache.forget(|_| true).await.unwrap();
    assert_eq!(TokenStore::load(&store, "name of a").await.unwrap(), None);
    assert_eq!(house.get("a").await, "a#2");
    assert_eq!(house.source.previous.lock().unwrap()[1], None);
    // Also what is known of failures: it is tried at once.
    house.fail(wrong_password());
    house.cache.forget(|_| true).await.unwrap();
    house.error("a").await;
    house.recover();
    house.cache.forget(|_| true).await.unwrap();
    assert_eq!(house.get("a").await, "a#4");
    assert_eq!(house.get("b").await, "b#5");
}

#[tokio::test]
async fn forgetting_waits_for_the_exchange_that_is_under_way() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    let gate = house.close("a");
    let callers = house.callers("a", 1);
    house.waiting("a", 1).await;
    let cache = house.cache.clone();
    let forgetting = tokio::spawn(async move { cache.forget(|_| true).await });
    house.waiting("a", 2).await;
    gate.add_permits(1);
    forgetting.await.unwrap().unwrap();
    drop(callers.join_all().await);
    // Who asked before has the token, or another one that came after; what was forgotten is gone.
    let kept = TokenStore::load(&store, "name of a").await.unwrap();
    assert!(kept.is_none_or(|token| token.access_token.expose() != "a#1"));
}

#[tokio::test]
async fn a_token_is_stored_before_it_is_handed_out() {
    let store = Slow(MemoryStore::new(), Arc::new(Semaphore::new(0)));
    let house = House::with_store(Some(Arc::new(store.clone())));
    let mut callers = house.callers("a", 10);
    house.waiting("a", 10).await;
    while house.fetches() < 1 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(callers.try_join_next().is_none());
    }
    store.1.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(TokenStore::load(&store.0, "name of a").await.unwrap().unwrap().access_token.expose(), "a#1");
}

/// Takes its time to save.
#[derive(Debug, Clone)]
struct Slow(MemoryStore, Arc<Semaphore>);

impl TokenStore for Slow {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        TokenStore::load(&self.0, name).await
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        self.1.acquire().await?.forget();
        TokenStore::save(&self.0, name, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        TokenStore::remove(&self.0, name).await
    }
}

#[tokio::test]
async fn two_clients_of_one_store_fetch_once_and_go_on_with_what_the_other_has() {
    // Shared by an `Arc` of its own, as somebody may have it.
    let store = Arc::new(MemoryStore::new());
    let one = House::with_store(Some(Arc::new(store.clone())));
    let other = House {
        cache: Cache::new(Arc::clone(&one.source), Some(Arc::new(store.clone())), Arc::clone(&one.clock) as _),
        clock: Arc::clone(&one.clock),
        source: Arc::clone(&one.source),
    };
    let gate = one.close("a");
    let (of_one, of_other) = (one.callers("a", 10), other.callers("a", 10));
    one.waiting("a", 10).await;
    other.waiting("a", 10).await;
    gate.add_permits(2);
    for token in of_one.join_all().await.into_iter().chain(of_other.join_all().await) {
        assert_eq!(token.unwrap().expose(), "a#1");
    }
    assert_eq!(one.fetches(), 1);
    // One of them refreshes; the other takes it from the store.
    gate.add_permits(2);
    one.clock.advance(57 * MINUTE);
    one.get("a").await;
    one.idle("a").await;
    assert_eq!(one.fetches(), 2);
    other.get("a").await;
    other.idle("a").await;
    assert_eq!((one.get("a").await, other.get("a").await), ("a#2".to_owned(), "a#2".to_owned()));
    assert_eq!(one.fetches(), 2);
    // What one was refused, it does not take from the store again; what the other made of it, it does.
    one.cache.invalidate(&AccessToken::new("a#2"));
    assert_eq!(one.get("a").await, "a#3");
    other.cache.invalidate(&AccessToken::new("a#2"));
    assert_eq!(other.get("a").await, "a#3");
    assert_eq!(one.fetches(), 3);
}

#[tokio::test]
async fn a_new_process_goes_on_with_what_is_stored() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    let now = house.clock.now();
    let keep = async |age: Duration| {
        TokenStore::save(&store, "name of a", &stored("kept", now - age, HOUR)).await.unwrap();
        House {
            cache: Cache::new(Arc::clone(&house.source), Some(Arc::new(store.clone())), Arc::clone(&house.clock) as _),
            clock: Arc::clone(&house.clock),
            source: Arc::clone(&house.source),
        }
    };
    // Good: no request.
    let young = keep(10 * MINUTE).await;
    assert_eq!((young.get("a").await.as_str(), young.fetches()), ("kept", 0));
    // Near its end: handed out, and refreshed meanwhile.
    let old = keep(57 * MINUTE).await;
    assert_eq!(old.get("a").await, "kept");
    old.get("a").await;
    old.idle("a").await;
    assert_eq!((old.get("a").await.as_str(), old.fetches()), ("a#1", 1));
    // Over: renewed.
    let over = keep(2 * HOUR).await;
    assert_eq!(over.get("a").await, "a#2");
    let previous = house.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.renewal.unwrap().refresh_token.expose(), "r-kept");
}

#[tokio::test]
async fn a_stored_token_from_the_future_is_not_trusted() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    let now = house.clock.now();
    TokenStore::save(&store, "name of a", &stored("future", now + 30 * MINUTE, HOUR)).await.unwrap();
    assert_eq!(house.get("a").await, "a#1");
    // Clocks that do not quite agree are another thing; but no token lives longer than its lifetime.
    TokenStore::save(&store, "name of b", &stored("skewed", now + 30 * SECOND, HOUR)).await.unwrap();
    assert_eq!(house.get("b").await, "skewed");
    house.clock.advance(HOUR);
    assert_ne!(house.get("b").await, "skewed");
}

/// Fails at everything, or only at saving.
#[derive(Debug, Default)]
struct Broken;

impl TokenStore for Broken {
    async fn load(&self, _: &str) -> Result<Option<StoredToken>, StoreError> {
        Err("no disk".into())
    }

    async fn save(&self, _: &str, _: &StoredToken) -> Result<(), StoreError> {
        Err("no disk".into())
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        Err("no disk".into())
    }

    async fn lock(&self, _: &str) -> Result<crate::store::StoreLock, StoreError> {
        Err("no disk".into())
    }
}

#[tokio::test]
async fn a_broken_store_costs_nobody_a_token() {
    let house = House::with_store(Some(Arc::new(Broken)));
    assert_eq!(house.get("a").await, "a#1");
    assert_eq!(house.at_once("a").as_deref(), Some("a#1"));
    house.clock.advance(2 * HOUR);
    assert_eq!(house.get("a").await, "a#2");
    assert_eq!(house.source.previous.lock().unwrap()[1].as_ref().unwrap().access_token.expose(), "a#1");
    let error = house.cache.forget(|_| true).await.unwrap_err();
    assert!(error.is_store() && error.to_string().contains("no disk"), "{error}");
    assert_eq!(house.get("a").await, "a#3", "in memory it was forgotten");
}

#[tokio::test]
async fn a_broader_token_serves_a_narrower_request() {
    let house = House::new();
    assert_eq!(house.get("broad").await, "broad#1");
    assert_eq!(house.get("narrow").await, "broad#1");
    assert_eq!(house.get("other").await, "other#2");
    // It ends where it ends, and is dropped where it is dropped.
    house.cache.invalidate(&AccessToken::new("broad#1"));
    assert_eq!(house.get("narrow").await, "narrow#3");
    assert_eq!(house.get("broad").await, "broad#4");
}

#[tokio::test]
async fn who_lives_on_a_loan_waits_for_the_lender_and_both_make_one_request() {
    for first in ["narrow", "broad"] {
        let house = House::new();
        house.get("broad").await;
        house.get("narrow").await;
        house.clock.advance(57 * MINUTE);
        for key in [first, "narrow", "broad", "narrow"] {
            assert_eq!(house.at_once(key).as_deref(), Some("broad#1"));
        }
        house.idle("narrow").await;
        house.idle("broad").await;
        assert_eq!((house.get("narrow").await.as_str(), house.get("broad").await.as_str()), ("broad#2", "broad#2"));
        assert_eq!(house.fetches(), 2);
    }
}

#[tokio::test]
async fn who_has_a_token_of_his_own_borrows_but_never_waits() {
    let house = House::new();
    assert_eq!(house.get("narrow").await, "narrow#1");
    house.clock.advance(30 * MINUTE);
    assert_eq!(house.get("broad").await, "broad#2");
    house.clock.advance(27 * MINUTE);
    house.get("narrow").await;
    house.idle("narrow").await;
    assert_eq!(house.get("narrow").await, "broad#2");
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn a_lender_that_fails_is_a_failure_of_both_and_neither_makes_it_worse() {
    let house = House::new();
    house.get("broad").await;
    house.get("narrow").await;
    house.fail(unavailable());
    house.clock.advance(57 * MINUTE);
    for _ in 0..10 {
        house.get("narrow").await;
        house.idle("narrow").await;
        house.get("broad").await;
        house.idle("broad").await;
    }
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn slots_that_nobody_can_miss_go_away() {
    let house = House::new();
    let kept = house.cache.handle(&"kept".to_owned());
    kept.get().await.unwrap();
    for number in 0..1000 {
        house.get(&format!("k{number}")).await;
        // Also what it could be renewed with is over after ten days.
        house.clock.advance(24 * HOUR);
    }
    let slots = house.cache.all().len();
    assert!(slots < 100, "{slots} of 1001 slots are left");
    assert!(house.cache.all().iter().any(|slot| slot.key == "kept"));
    let (given, normal) = {
        let slots = house.cache.0.slots.read().unwrap();
        (slots.given.len(), slots.normal.len())
    };
    assert!(given <= 2 * normal + 32, "{given} names for {normal} slots");
}

#[test]
fn each_state_is_one_of_five_phases() {
    use Phase::{BackingOff, Empty, Expired, Fresh, RefreshSoon};

    let start = Moment { now: SystemTime::UNIX_EPOCH + HOUR, monotonic: HOUR };
    let at = |minutes: u32| start.after(minutes * MINUTE);
    let life = Life::fetched(&Fetched { token: stored("t", start.now, HOUR), sent: start }, &start);
    let held = |life| Held { token: stored("t", start.now, HOUR), life, own: true, saved: true };
    let with = |life| State::default().obtained(held(life));
    let (empty, good, refused) = (State::default(), with(Some(life)), with(None));
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
        ("failed, and over", &failed(&good, 56), at(61), BackingOff),
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
        let fetched = Fetched { token: stored("t", start.now, lifetime), sent: start };
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100 {
            let life = Life::fetched(&fetched, &start);
            let at = |milliseconds| start.after(Duration::from_millis(milliseconds));
            assert!(life.is_fresh(&at(first - 1)) && !life.is_fresh(&at(last + 1)), "{lifetime:?} {life:?}");
            assert!(life.is_usable(&at(unusable - 1)) && !life.is_usable(&at(unusable)), "{lifetime:?} {life:?}");
            seen.insert(format!("{life:?}"));
        }
        assert!(seen.len() > 50, "it is spread");
    }
}

/// Never answers.
#[derive(Debug)]
struct Silent;

impl TokenStore for Silent {
    async fn load(&self, _: &str) -> Result<Option<StoredToken>, StoreError> {
        std::future::pending().await
    }

    async fn save(&self, _: &str, _: &StoredToken) -> Result<(), StoreError> {
        std::future::pending().await
    }

    async fn remove(&self, _: &str) -> Result<(), StoreError> {
        std::future::pending().await
    }
}

/// The runtime's time goes on by itself where everybody waits for it.
#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_costs_nobody_a_token() {
    let house = House::with_store(Some(Arc::new(Silent)));
    assert_eq!(house.get("a").await, "a#1");
    assert!(house.cache.forget(|_| true).await.unwrap_err().is_store());
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_nobody_drives_is_an_error_for_those_who_wait() {
    let house = House::new();
    let _never = house.close("a");
    let key = "a".to_owned();
    let error = house.cache.get(&key).await.unwrap_err();
    assert!(error.is_timeout() && error.is_transient(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_nobody_drives_holds_up_neither_the_end_nor_the_forgetting() {
    let house = House::new();
    house.get("a").await;
    let _never = house.close("a");
    house.clock.advance(57 * MINUTE);
    house.at_once("a");
    while house.fetches() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(HOUR, house.cache.settled()).await.unwrap();
    let error = tokio::time::timeout(HOUR, house.cache.forget(|_| true)).await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(house.at_once("a"), None, "in memory there is nothing left");
    // Nor those who live on a loan.
    let house = House::new();
    house.get("broad").await;
    house.get("narrow").await;
    let _never = house.close("broad");
    house.clock.advance(57 * MINUTE);
    let mut ended = house.slot("narrow").ended.subscribe();
    house.at_once("narrow");
    tokio::time::timeout(2 * HOUR, ended.changed()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_takes_as_long_as_it_may_is_waited_for() {
    let house = House::new();
    *house.source.longest.lock().unwrap() = 2 * HOUR;
    let gate = house.close("a");
    let callers = house.callers("a", 3);
    house.waiting("a", 3).await;
    tokio::time::advance(HOUR).await;
    tokio::task::yield_now().await;
    gate.add_permits(1);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn what_is_waited_for_is_an_hour_at_the_most() {
    let house = House::new();
    house.fail(Error::new(Kind::RateLimited).with_retry_after(Some(Duration::MAX)));
    house.error("a").await;
    house.recover();
    house.clock.advance(HOUR);
    assert_eq!(house.get("a").await, "a#2");
}

#[tokio::test]
async fn a_lender_in_its_last_minutes_is_tried_again_when_its_token_ends() {
    for _ in 0..20 {
        let house = House::new();
        house.get("broad").await;
        house.get("narrow").await;
        house.fail(unavailable());
        house.clock.advance(59 * MINUTE + 49 * SECOND);
        house.get("narrow").await;
        house.idle("narrow").await;
        house.recover();
        house.clock.advance(2 * SECOND);
        house.get("broad").await;
    }
}

#[tokio::test]
async fn what_could_not_be_saved_leaves_nothing_old_in_the_store() {
    let store = ReadOnly(MemoryStore::new());
    let house = House::with_store(Some(Arc::new(store.clone())));
    let old = stored("old", house.clock.now() - 2 * HOUR, HOUR);
    TokenStore::save(&store.0, "name of a", &old).await.unwrap();
    assert_eq!(house.get("a").await, "a#1");
    assert_eq!(TokenStore::load(&store.0, "name of a").await.unwrap(), None);
    // What it can be renewed with is in memory alone.
    house.clock.advance(2 * HOUR);
    house.get("a").await;
    let previous = house.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), "a#1");
}

/// Takes nothing new.
#[derive(Debug, Clone)]
struct ReadOnly(MemoryStore);

impl TokenStore for ReadOnly {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        TokenStore::load(&self.0, name).await
    }

    async fn save(&self, _: &str, _: &StoredToken) -> Result<(), StoreError> {
        Err("full".into())
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        TokenStore::remove(&self.0, name).await
    }
}

#[tokio::test]
async fn what_the_store_has_counts_also_after_the_time_of_day_was_corrected() {
    let store = MemoryStore::new();
    let house = House::with_store(Some(Arc::new(store.clone())));
    house.get("a").await;
    // Three hours back; another process has renewed the token since.
    house.clock.set(house.clock.now() - 3 * HOUR);
    let newer = stored("newer", house.clock.now() - 2 * HOUR, HOUR);
    TokenStore::save(&store, "name of a", &newer).await.unwrap();
    house.clock.advance(HOUR);
    house.get("a").await;
    let previous = house.source.previous.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(previous.access_token.expose(), "newer");
}

#[tokio::test]
async fn settled_is_when_no_exchange_is_under_way() {
    let house = House::new();
    house.get("a").await;
    let gate = house.close("a");
    house.clock.advance(57 * MINUTE);
    house.at_once("a");
    let cache = house.cache.clone();
    let settled = tokio::spawn(async move { cache.settled().await });
    house.waiting("a", 1).await;
    assert!(!settled.is_finished());
    gate.add_permits(1);
    settled.await.unwrap();
    assert_eq!((house.at_once("a").as_deref(), house.fetches()), (Some("a#2"), 2));
}

#[tokio::test]
async fn what_would_fail_again_waits_longer_than_what_may_pass() {
    let forbidden = Error::new(Kind::Refused).with_status(reqwest::StatusCode::FORBIDDEN);
    let down = Error::new(Kind::Refused).with_status(reqwest::StatusCode::INTERNAL_SERVER_ERROR);
    for (error, lasting) in [
        (Error::new(Kind::Unauthorized), true),
        (wrong_password(), true),
        (Error::new(Kind::InvalidGrant { credentials: false }), true),
        (Error::new(Kind::Rejected), true),
        (Error::lacking(crate::ScopeSet::default()), true),
        (Error::decode("odd"), true),
        (forbidden, true),
        (down, false),
        (unavailable(), false),
        (Error::new(Kind::Timeout), false),
        (Error::new(Kind::Connect { timeout: false }), false),
        (Error::new(Kind::Interrupted), false),
        (Error::new(Kind::NotFound), false),
    ] {
        let house = House::new();
        house.fail(error.clone());
        house.error("a").await;
        house.clock.advance(5 * MINUTE - SECOND);
        house.error("a").await;
        assert_eq!(house.fetches(), if lasting { 1 } else { 2 }, "{error:?}");
    }
}

#[tokio::test]
async fn a_success_ends_the_row_of_failures_and_the_last_error_is_what_is_said() {
    let house = House::new();
    for number in 1..=6 {
        house.fail(unavailable().with_message(format!("failure {number}")));
        assert!(house.error("a").await.to_string().ends_with(&format!("failure {number}")));
        house.clock.advance(2 * MINUTE);
    }
    house.recover();
    house.get("a").await;
    house.clock.advance(2 * HOUR);
    house.fail(unavailable());
    house.error("a").await;
    house.recover();
    house.clock.advance(2 * SECOND);
    house.get("a").await;
}

#[tokio::test]
async fn ten_minutes_without_a_refusal_are_forgiven() {
    let house = House::new();
    let refuse = async || {
        let token = house.get("a").await;
        house.cache.invalidate(&AccessToken::new(token.clone()));
        house.get("a").await != token
    };
    for _ in 0..3600 {
        refuse().await;
        house.clock.advance(SECOND);
    }
    house.clock.advance(9 * MINUTE + 50 * SECOND);
    refuse().await;
    assert!(!refuse().await, "not yet");
    house.clock.advance(10 * MINUTE);
    assert!(refuse().await);
    house.clock.advance(3 * SECOND);
    assert!(refuse().await, "the row begins anew");
}

#[tokio::test]
async fn a_wait_that_the_service_asks_for_does_not_end_with_the_token() {
    let house = House::new();
    house.get("a").await;
    house.clock.advance(56 * MINUTE);
    house.fail(Error::new(Kind::RateLimited).with_retry_after(Some(30 * MINUTE)));
    house.at_once("a");
    house.idle("a").await;
    house.clock.advance(10 * MINUTE);
    assert!(house.error("a").await.is_rate_limited());
    assert_eq!(house.fetches(), 2);
}

#[tokio::test]
async fn only_what_is_meant_is_forgotten() {
    let house = House::new();
    house.get("a").await;
    house.get("b").await;
    let a = AccessToken::new("a#1");
    house.cache.forget(|token| token == Some(&a)).await.unwrap();
    assert_eq!(house.at_once("b").as_deref(), Some("b#2"));
    assert_eq!(house.get("a").await, "a#3");
}

#[test]
fn a_slot_is_dead_when_there_is_nothing_in_it_that_anybody_could_miss() {
    let start = Moment { now: SystemTime::UNIX_EPOCH + HOUR, monotonic: HOUR };
    let with = |renewable: bool| {
        let mut token = stored("t", start.now, HOUR);
        token.renewal = token.renewal.filter(|_| renewable);
        let life = Life::fetched(&Fetched { token: token.clone(), sent: start }, &start);
        State::default().obtained(Held { token, life: Some(life), own: true, saved: true })
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
        assert_eq!(state.is_dead(&start.after(hours * HOUR)), dead, "{name}");
    }
}
