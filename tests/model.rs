//! A model check: loom runs each test once for every order of steps in which threads can publish and end tokens.
//!
//! The code under test is the cache's own `ended.rs`. The slots around it are the least that it needs.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../src/cache/ended.rs"]
#[allow(dead_code, unreachable_pub)]
mod ended;

mod sync {
    pub(super) use loom::sync::{Mutex, MutexGuard};
}

use std::sync::Arc;

use ended::{EndKind, Ended};
use loom::sync::{Mutex, RwLock};
use loom::thread;

type Token = &'static str;
const TOKEN: Token = "the token";

/// One slot of a cache: the token that callers get.
#[derive(Default)]
struct Slot(Mutex<Option<Token>>);

impl Slot {
    fn get(&self) -> Option<Token> {
        *self.0.lock().unwrap()
    }

    fn put(&self, token: Token) {
        *self.0.lock().unwrap() = Some(token);
    }

    fn take(&self) -> Option<Token> {
        self.0.lock().unwrap().take()
    }
}

struct Cache {
    slots: RwLock<Vec<Arc<Slot>>>,
    ended: Ended<Token>,
    /// The token in the store.
    stored: Mutex<Option<Token>>,
}

impl Cache {
    /// A cache with one slot, which has the token.
    fn new() -> Arc<Self> {
        let lender = Arc::new(Slot::default());
        lender.put(TOKEN);
        let stored = Mutex::new(Some(TOKEN));
        Arc::new(Self { slots: RwLock::new(vec![lender]), ended: Ended::new(), stored })
    }

    fn lender(&self) -> Arc<Slot> {
        Arc::clone(&self.slots.read().unwrap()[0])
    }

    fn add(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        self.slots.write().unwrap().push(Arc::clone(&slot));
        slot
    }

    fn all_slots(&self) -> Vec<Arc<Slot>> {
        self.slots.read().unwrap().clone()
    }

    /// A caller requests a new key, and another slot has a token that serves it.
    fn borrow(&self) {
        let (slot, began) = (self.add(), self.ended.last());
        let lender = self.lender();
        if lender.get().is_some() {
            self.ended.publish(began, || lender.get().map(|token| (token, token)), |token| slot.put(token));
        }
    }

    /// A caller requests a new key, and the store has a token.
    fn load(&self) {
        let (slot, began) = (self.add(), self.ended.last());
        let stored = *self.stored.lock().unwrap();
        if let Some(token) = stored.filter(|token| !self.ended.contains(token)) {
            self.ended.publish(began, || Some((token, token)), |token| slot.put(token));
        }
    }

    /// The token is deleted or rejected, for good.
    fn end(&self) {
        self.ended.end(EndKind::Final, [TOKEN], || self.all_slots(), |slot| slot.take());
        self.assert_not_returned();
    }

    /// The token is changed: the service still accepts it.
    fn change(&self) {
        self.ended.end(EndKind::Changed, [TOKEN], || self.all_slots(), |slot| slot.take());
        self.assert_not_returned();
    }

    /// All tokens are cleared.
    fn clear(&self) {
        self.ended.end(EndKind::Cleared, [], || self.all_slots(), |slot| slot.take());
        self.assert_not_returned();
    }

    /// The service returns the token to an exchange.
    fn fetch(&self) {
        let (slot, began) = (self.add(), self.ended.last());
        self.respond(&slot, began);
    }

    fn respond(&self, slot: &Slot, began: u64) {
        thread::yield_now();
        self.ended.reinstate(&TOKEN, began);
        self.ended.publish(began, || Some((TOKEN, TOKEN)), |token| slot.put(token));
    }

    fn assert_not_returned(&self) {
        assert!(self.all_slots().iter().all(|slot| slot.get().is_none()), "returned afterwards");
    }
}

fn check(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(run);
}

/// Runs the steps concurrently, in every order, and then checks that no slot has the token.
fn run_concurrently(steps: &'static [fn(&Cache)]) {
    check(|| {
        let cache = Cache::new();
        let threads: Vec<_> = steps
            .iter()
            .map(|step| {
                let cache = Arc::clone(&cache);
                thread::spawn(move || step(&cache))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        cache.assert_not_returned();
    });
}

#[test]
fn a_token_that_ends_while_it_is_borrowed_is_not_returned_afterwards() {
    run_concurrently(&[Cache::borrow, Cache::end]);
}

#[test]
fn a_token_that_changes_while_it_is_borrowed_is_not_returned_afterwards() {
    run_concurrently(&[Cache::borrow, Cache::change]);
}

#[test]
fn a_token_that_is_borrowed_during_clear_is_not_returned_afterwards() {
    run_concurrently(&[Cache::borrow, Cache::clear]);
}

#[test]
fn a_token_that_ends_while_it_is_loaded_is_not_returned_afterwards() {
    run_concurrently(&[Cache::load, Cache::end]);
}

#[test]
fn two_threads_that_end_a_token_leave_no_gap_for_a_third() {
    run_concurrently(&[Cache::borrow, Cache::end, Cache::clear]);
}

/// The service's response is on its way, and somebody deletes the token, which they found in the account's list.
#[test]
fn an_exchange_that_began_before_the_end_does_not_publish_the_token() {
    for end in [Cache::end as fn(&Cache), Cache::change, Cache::clear] {
        check(move || {
            let cache = Cache::new();
            let (slot, began) = (cache.add(), cache.ended.last());
            let answering = {
                let cache = Arc::clone(&cache);
                thread::spawn(move || cache.respond(&slot, began))
            };
            end(&cache);
            answering.join().unwrap();
            cache.assert_not_returned();
        });
    }
}

/// An exchange that begins after the end may return the token if the service does.
#[test]
fn an_exchange_that_began_after_the_end_may_publish_the_token() {
    check(|| {
        let cache = Cache::new();
        cache.end();
        let fetching = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || cache.fetch())
        };
        fetching.join().unwrap();
        assert!(cache.all_slots().iter().any(|slot| slot.get().is_some()));
    });
}

/// A former mistake: the slots were listed before the lock was taken. The model check finds it.
#[test]
#[should_panic = "returned afterwards"]
fn listing_slots_before_the_lock_misses_a_new_slot() {
    fn withdraw_early(cache: &Cache) {
        let slots = cache.all_slots();
        cache.ended.end(EndKind::Final, [], || slots, |slot| slot.take().filter(|_| false));
        cache.assert_not_returned();
    }
    run_concurrently(&[Cache::borrow, withdraw_early]);
}

/// A former mistake: a token was published as it was read, and not read again under the lock.
#[test]
#[should_panic = "returned afterwards"]
fn borrowing_without_reading_again_under_the_lock_brings_the_token_back() {
    fn borrow_blindly(cache: &Cache) {
        let (slot, began) = (cache.add(), cache.ended.last());
        if let Some(token) = cache.lender().get() {
            cache.ended.publish(began, || Some((token, token)), |token| slot.put(token));
        }
    }
    fn withdraw(cache: &Cache) {
        cache.ended.end(EndKind::Final, [], || cache.all_slots(), |slot| slot.take().filter(|_| false));
        cache.assert_not_returned();
    }
    run_concurrently(&[borrow_blindly, withdraw]);
}

/// A former mistake: the service's response undid the end, even if the exchange began before it.
#[test]
#[should_panic = "returned afterwards"]
fn a_response_that_undoes_a_later_end_brings_the_token_back() {
    fn fetch_blindly(cache: &Cache) {
        let slot = cache.add();
        thread::yield_now();
        cache.respond(&slot, cache.ended.last());
    }
    run_concurrently(&[fetch_blindly, Cache::end]);
}
