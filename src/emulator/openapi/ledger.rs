//! The tokens and calls of the accounts in an environment.

use std::collections::HashSet;
use std::time::SystemTime;

use super::LOOPBACK;
use super::account::Account;
use super::settings::Settings;
use super::usage::Usage;
use crate::emulator::clock::to_unix;
use crate::scope::Scope;
use crate::secret::Secret;

/// Production or the sandbox.
pub(super) struct Environment {
    pub(super) ledgers: Vec<Ledger>,
    pub(super) catalog: Vec<Scope>,
}

/// The tokens and calls of an account in one environment.
pub(super) struct Ledger {
    pub(super) email: String,
    pub(super) key: Secret,
    pub(super) tokens: Vec<Token>,
    pub(super) usage: Usage,
    /// The scopes of all tokens so far, each once.
    granted: Vec<Scope>,
    /// The same scopes, to look one up.
    known: HashSet<Scope>,
}

pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) scopes: Vec<Scope>,
    pub(super) issued_at: SystemTime,
    pub(super) expire: u64,
    /// Whether the token can be changed and deleted.
    pub(super) is_single: bool,
    pub(super) is_deleted: bool,
}

impl Token {
    pub(super) fn is_valid(&self, now: SystemTime) -> bool {
        !self.is_deleted && self.expire > to_unix(now)
    }
}

impl Environment {
    pub(super) fn new(settings: &Settings, is_sandbox: bool) -> Self {
        let ledger = |account: &Account| Ledger {
            email: account.email().to_owned(),
            key: if is_sandbox { account.sandbox_key().clone() } else { account.production_key().clone() },
            tokens: Vec::new(),
            usage: Usage::new(account.initial_credit()),
            granted: Vec::new(),
            known: HashSet::new(),
        };
        let here = |scope: &Scope| {
            let is_everywhere = !is_sandbox || LOOPBACK.contains(&scope.host());
            if is_everywhere { scope.clone() } else { scope.sandbox().unwrap_or_else(|_| scope.clone()) }
        };
        Self {
            ledgers: settings.accounts.iter().map(ledger).collect(),
            catalog: settings.catalog.iter().map(here).collect(),
        }
    }
}

impl Ledger {
    pub(super) fn granted(&self) -> &[Scope] {
        &self.granted
    }

    pub(super) fn remember(&mut self, scopes: &[Scope]) {
        for scope in scopes {
            if self.known.insert(scope.clone()) {
                self.granted.push(scope.clone());
            }
        }
    }
}
