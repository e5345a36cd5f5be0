//! A model check: every order of steps in which threads can publish tokens and end them, with the locks that the cache uses.
//!
//! loom runs each test once for each order. The file under test is the cache's own; the slots around it are the least that it needs.

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

/// What a slot hands out.
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
    /// What a store has.
    stored: Mutex<Option<Token>>,
}

impl Cache {
    /// One slot, which has the token.
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

    /// A new key is asked for, and another slot has a token that will do.
    fn borrow(&self) {
        let (slot, began) = (self.add(), self.ended.last());
        let lender = self.lender();
        if lender.get().is_some() {
            self.ended.publish(began, || lender.get().map(|token| (token, token)), |token| slot.put(token));
        }
    }

    /// A new key is asked for, and the store has a token.
    fn load(&self) {
        let (slot, began) = (self.add(), self.ended.last());
        let stored = *self.stored.lock().unwrap();
        if let Some(token) = stored.filter(|token| !self.ended.contains(token)) {
            self.ended.publish(began, || Some((token, token)), |token| slot.put(token));
        }
    }

    /// The token is deleted or refused, and not to come back.
    fn end(&self) {
        self.ended.end(EndKind::Final, [TOKEN], || self.all_slots(), |slot| slot.take());
        self.assert_gone();
    }

    /// The token is changed, and lives on as another one.
    fn change(&self) {
        self.ended.end(EndKind::Changed, [TOKEN], || self.all_slots(), |slot| slot.take());
        self.assert_gone();
    }

    /// All is forgotten, whatever it is.
    fn forget(&self) {
        self.ended.end(EndKind::Cleared, [], || self.all_slots(), |slot| slot.take());
        self.assert_gone();
    }

    /// The service gives the token to an exchange.
    fn fetch(&self) {
        let (slot, began) = (self.add(), self.ended.last());
        self.answer(&slot, began);
    }

    fn answer(&self, slot: &Slot, began: u64) {
        thread::yield_now();
        self.ended.reinstate(&TOKEN, began);
        self.ended.publish(began, || Some((TOKEN, TOKEN)), |token| slot.put(token));
    }

    fn assert_gone(&self) {
        assert!(self.all_slots().iter().all(|slot| slot.get().is_none()), "handed out afterwards");
    }
}

fn check(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(run);
}

/// Runs these beside each other, in every order of their steps, and looks once more when they are done.
fn beside_each_other(steps: &'static [fn(&Cache)]) {
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
        cache.assert_gone();
    });
}

#[test]
fn a_token_that_is_lent_while_it_is_ended_is_not_handed_out_afterwards() {
    beside_each_other(&[Cache::borrow, Cache::end]);
}

#[test]
fn a_token_that_is_lent_while_it_is_changed_is_not_handed_out_afterwards() {
    beside_each_other(&[Cache::borrow, Cache::change]);
}

#[test]
fn a_token_that_is_lent_while_all_is_forgotten_is_not_handed_out_afterwards() {
    beside_each_other(&[Cache::borrow, Cache::forget]);
}

#[test]
fn a_token_that_is_loaded_while_it_is_ended_is_not_handed_out_afterwards() {
    beside_each_other(&[Cache::load, Cache::end]);
}

#[test]
fn two_that_end_a_token_do_not_let_a_third_have_it() {
    beside_each_other(&[Cache::borrow, Cache::end, Cache::forget]);
}

/// The answer of the service is on its way, and the token is deleted by somebody who found it in the account's list.
#[test]
fn what_an_exchange_brings_that_began_before_the_end_is_not_handed_out_afterwards() {
    for end in [Cache::end as fn(&Cache), Cache::change, Cache::forget] {
        check(move || {
            let cache = Cache::new();
            let (slot, began) = (cache.add(), cache.ended.last());
            let answering = {
                let cache = Arc::clone(&cache);
                thread::spawn(move || cache.answer(&slot, began))
            };
            end(&cache);
            answering.join().unwrap();
            cache.assert_gone();
        });
    }
}

/// One that begins afterwards has the token, if the service gives it again.
#[test]
fn what_an_exchange_brings_that_began_after_the_end_is_handed_out() {
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

/// As it was: the slots are listed before the lock is taken. The model check finds it.
#[test]
#[should_panic = "handed out afterwards"]
fn slots_that_are_listed_too_early_are_missed() {
    fn withdraw_early(cache: &Cache) {
        let slots = cache.all_slots();
        cache.ended.end(EndKind::Final, [], || slots, |slot| slot.take().filter(|_| false));
        cache.assert_gone();
    }
    beside_each_other(&[Cache::borrow, withdraw_early]);
}

/// As it was: a token is published as it was read, and nobody looks again.
#[test]
#[should_panic = "handed out afterwards"]
fn a_loan_that_is_not_looked_at_again_comes_back() {
    fn borrow_blindly(cache: &Cache) {
        let (slot, began) = (cache.add(), cache.ended.last());
        if let Some(token) = cache.lender().get() {
            cache.ended.publish(began, || Some((token, token)), |token| slot.put(token));
        }
    }
    fn withdraw(cache: &Cache) {
        cache.ended.end(EndKind::Final, [], || cache.all_slots(), |slot| slot.take().filter(|_| false));
        cache.assert_gone();
    }
    beside_each_other(&[borrow_blindly, withdraw]);
}

/// As it was: what the service gives takes the end back, whenever the exchange began.
#[test]
#[should_panic = "handed out afterwards"]
fn an_answer_that_takes_a_later_end_back_brings_the_token_again() {
    fn fetch_blindly(cache: &Cache) {
        let slot = cache.add();
        thread::yield_now();
        cache.answer(&slot, cache.ended.last());
    }
    beside_each_other(&[fetch_blindly, Cache::end]);
}
