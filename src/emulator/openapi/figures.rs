//! What calls add up to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rust_decimal::Decimal;

/// The most addresses that are told apart.
const MAX_ADDRESSES: usize = 1_000;

/// What pays for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    /// Nothing: the call is free.
    Free,
    /// A subscription.
    Subscription,
    /// The credit: this much, in euro.
    Wallet(Decimal),
}

/// The sums of some calls.
#[derive(Default, Clone)]
pub(super) struct Figures {
    /// The calls that were accepted.
    pub(super) calls: u64,
    /// Those of them that the credit paid for.
    pub(super) paid: u64,
    /// Those of them that a subscription paid for.
    pub(super) subscribed: u64,
    /// The calls that failed.
    pub(super) errors: u64,
    /// What the credit paid.
    pub(super) amount: Decimal,
    /// The callers' addresses.
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Figures {
    /// Adds an accepted call.
    pub(super) fn add(&mut self, charge: Charge, address: IpAddr) {
        self.calls += 1;
        match charge {
            Charge::Free => {}
            Charge::Subscription => self.subscribed += 1,
            Charge::Wallet(price) => {
                self.paid += 1;
                self.amount = self.amount.saturating_add(price);
            }
        }
        self.see(address);
    }

    /// Adds a failed call.
    pub(super) fn fail(&mut self, address: IpAddr) {
        self.errors += 1;
        self.see(address);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.paid += other.paid;
        self.subscribed += other.subscribed;
        self.errors += other.errors;
        self.amount = self.amount.saturating_add(other.amount);
        other.addresses.iter().for_each(|address| self.see(*address));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls + self.errors == 0
    }

    fn see(&mut self, address: IpAddr) {
        if self.addresses.len() < MAX_ADDRESSES {
            self.addresses.insert(address);
        }
    }
}
