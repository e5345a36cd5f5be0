//! The tokens and calls of the accounts in an environment.

use std::collections::HashSet;
use std::time::SystemTime;

use super::account::Account;
use super::catalog::Catalog;
use super::settings::Settings;
use super::subscriptions::Subscription;
use super::usage::Usage;
use super::v2::{Logs, Tokens};
use super::wallet::Wallet;
use crate::emulator::api::Api;
use crate::emulator::clock::{from_unix, to_unix};
use crate::emulator::message::Request;
use crate::emulator::record::IssuedToken;
use crate::scope::Scope;
use crate::secret::Secret;

/// Production or the sandbox.
pub(super) struct Environment {
    pub(super) ledgers: Vec<Ledger>,
    pub(super) catalog: Catalog,
}

/// The tokens and calls of an account in one environment.
pub(super) struct Ledger {
    pub(super) email: String,
    pub(super) key: Secret,
    /// The tokens of version 1.
    pub(super) tokens: Vec<Token>,
    /// The tokens of version 2.
    pub(super) v2: Tokens,
    pub(super) usage: Usage,
    pub(super) logs: Logs,
    /// The scopes of all tokens of version 1 so far, each once.
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

    pub(super) fn issued(&self, api: Api, now: SystemTime) -> IssuedToken {
        IssuedToken {
            api,
            token: self.text.clone(),
            refresh_token: None,
            name: None,
            scopes: self.scopes.clone(),
            issued_at: self.issued_at,
            expires_at: from_unix(self.expire),
            is_valid: self.is_valid(now),
        }
    }
}

impl Environment {
    pub(super) fn new(settings: &Settings, is_sandbox: bool, now: SystemTime) -> Self {
        let catalog = Catalog::new(settings, is_sandbox);
        let ledger = |account: &Account| Ledger {
            email: account.email().to_owned(),
            key: if is_sandbox { account.sandbox_key().clone() } else { account.production_key().clone() },
            tokens: Vec::new(),
            v2: Tokens::default(),
            usage: Usage::new(Wallet::new(account.initial_credit(), now), Subscription::all(settings, &catalog, now)),
            logs: Logs::default(),
            granted: Vec::new(),
            known: HashSet::new(),
        };
        Self { ledgers: settings.accounts.iter().map(ledger).collect(), catalog }
    }
}

impl Ledger {
    /// Returns whether a request has this account's e-mail address and API key.
    pub(super) fn is_login(&self, request: &Request) -> bool {
        request.basic().is_some_and(|(email, key)| self.email == email && self.key == Secret::from(key))
    }

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
