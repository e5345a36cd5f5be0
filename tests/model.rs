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

use ended::Ended;
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

    fn all(&self) -> Vec<Arc<Slot>> {
        self.slots.read().unwrap().clone()
    }

    /// A new key is asked for, and another slot has a token that will do.
    fn borrow(&self) {
        let slot = self.add();
        let lender = self.lender();
        if lender.get().is_some() {
            self.ended.publish(|| lender.get().map(|token| (token, token)), |token| slot.put(token));
        }
    }

    /// A new key is asked for, and the store has a token.
    fn load(&self) {
        let slot = self.add();
        let stored = *self.stored.lock().unwrap();
        if let Some(token) = stored.filter(|token| !self.ended.contains(token)) {
            self.ended.publish(|| Some((token, token)), |token| slot.put(token));
        }
    }

    /// The token is deleted or refused, and not to come back.
    fn end(&self) {
        self.ended.end([TOKEN], || self.all(), |slot| slot.take());
        self.assert_gone();
    }

    /// The token is withdrawn from the slots and lives on.
    fn withdraw(&self) {
        let mut withdraw = |slot: Arc<Slot>| {
            slot.take();
            None
        };
        self.ended.end([], || self.all(), &mut withdraw);
        self.assert_gone();
    }

    fn assert_gone(&self) {
        assert!(self.all().iter().all(|slot| slot.get().is_none()), "handed out afterwards");
    }
}

/// Runs these beside each other, in every order of their steps, and looks once more when they are done.
fn beside_each_other(steps: &'static [fn(&Cache)]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
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
fn a_token_that_is_lent_while_it_is_withdrawn_is_not_handed_out_afterwards() {
    beside_each_other(&[Cache::borrow, Cache::withdraw]);
}

#[test]
fn a_token_that_is_loaded_while_it_is_ended_is_not_handed_out_afterwards() {
    beside_each_other(&[Cache::load, Cache::end]);
}

#[test]
fn two_that_end_a_token_do_not_let_a_third_have_it() {
    beside_each_other(&[Cache::borrow, Cache::end, Cache::withdraw]);
}

/// As it was: the slots are listed before the lock is taken. The model check finds it.
#[test]
#[should_panic = "handed out afterwards"]
fn slots_that_are_listed_too_early_are_missed() {
    fn withdraw_late(cache: &Cache) {
        let slots = cache.all();
        cache.ended.end([], || slots, |slot| slot.take().filter(|_| false));
        cache.assert_gone();
    }
    beside_each_other(&[Cache::borrow, withdraw_late]);
}

/// As it was: a token is published as it was read, and nobody looks again.
#[test]
#[should_panic = "handed out afterwards"]
fn a_loan_that_is_not_looked_at_again_comes_back() {
    fn borrow_blindly(cache: &Cache) {
        let slot = cache.add();
        if let Some(token) = cache.lender().get() {
            cache.ended.publish(|| Some((token, token)), |token| slot.put(token));
        }
    }
    beside_each_other(&[borrow_blindly, Cache::withdraw]);
}
