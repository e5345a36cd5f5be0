//! The credit of an account, and what changed it.

use std::time::SystemTime;

use rust_decimal::Decimal;

use super::log::Log;
use super::unique_id;

pub(super) struct Wallet {
    credit: Option<Decimal>,
    pub(super) created_at: SystemTime,
    pub(super) updated_at: SystemTime,
    pub(super) transactions: Log<Transaction>,
}

/// A change of the credit.
pub(super) struct Transaction {
    pub(super) id: String,
    /// In euro, negative if it was spent.
    pub(super) amount: Decimal,
    pub(super) at: SystemTime,
    pub(super) description: String,
}

impl Wallet {
    /// Creates a wallet, without a credit record if `credit` is `None`.
    pub(super) fn new(credit: Option<Decimal>, now: SystemTime) -> Self {
        Self { credit, created_at: now, updated_at: now, transactions: Log::default() }
    }

    pub(super) fn credit(&self) -> Option<Decimal> {
        self.credit
    }

    /// Sets the credit. An increase is recorded as a recharge.
    pub(super) fn set(&mut self, credit: Option<Decimal>, now: SystemTime) {
        let added = credit.unwrap_or_default().saturating_sub(self.credit.unwrap_or_default());
        self.credit = credit;
        self.updated_at = now;
        if added > Decimal::ZERO {
            self.record(added, "Wallet recharge".to_owned(), now);
        }
    }

    /// Takes the price of a call of a host from the credit. If the credit is too low, does nothing and returns `false`.
    pub(super) fn pay(&mut self, price: Decimal, host: &str, now: SystemTime) -> bool {
        if price.is_zero() {
            return true;
        }
        let left = self.credit.and_then(|credit| credit.checked_sub(price)).filter(|left| !left.is_sign_negative());
        let Some(left) = left else { return false };
        self.credit = Some(left);
        self.updated_at = now;
        self.record(-price, format!("API usage - {host}"), now);
        true
    }

    fn record(&mut self, amount: Decimal, description: String, now: SystemTime) {
        // `txn_` and 23 digits, as in the vendor's examples.
        let id = format!("txn_{}", unique_id(now).get(1..).unwrap_or_default());
        self.transactions.push(Transaction { id, amount, at: now, description });
    }
}
