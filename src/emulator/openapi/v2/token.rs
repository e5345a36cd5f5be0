//! The tokens of an account.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::limits::Limits;
use crate::emulator::clock::{from_unix, rfc3339};
use crate::emulator::openapi::figures::Figures;
use crate::emulator::openapi::{ledger, number};
use crate::emulator::record::IssuedToken;
use crate::emulator::{api::Api, clock::to_unix};
use crate::secret::Secret;

pub(crate) struct Token {
    pub(crate) base: ledger::Token,
    pub(super) refresh: Secret,
    pub(super) name: Option<String>,
    pub(super) updated_at: SystemTime,
    /// The lifetime that was set last, in seconds.
    pub(super) lifetime: u64,
    pub(crate) limits: Limits,
    pub(crate) used: Figures,
}

/// Every token so far, the oldest first.
#[derive(Default)]
pub(crate) struct Tokens {
    tokens: Vec<Token>,
    /// The place of each token.
    places: HashMap<Secret, usize>,
}

impl Tokens {
    pub(super) fn add(&mut self, token: Token) {
        self.places.insert(token.base.text.clone(), self.tokens.len());
        self.tokens.push(token);
    }

    /// Returns a token, also one that is no longer valid.
    pub(super) fn find(&self, text: &str) -> Option<&Token> {
        self.tokens.get(*self.places.get(&Secret::from(text))?)
    }

    /// Returns a token, also one that is no longer valid.
    pub(crate) fn find_mut(&mut self, text: &str) -> Option<&mut Token> {
        self.tokens.get_mut(*self.places.get(&Secret::from(text))?)
    }

    pub(super) fn valid(&self, now: SystemTime) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(move |token| token.base.is_valid(now))
    }

    pub(crate) fn revoke_all(&mut self) {
        self.tokens.iter_mut().for_each(|token| token.base.is_deleted = true);
    }

    pub(crate) fn issued(&self, api: Api, now: SystemTime) -> impl Iterator<Item = IssuedToken> {
        self.tokens.iter().map(move |token| IssuedToken {
            refresh_token: Some(token.refresh.clone()),
            name: token.name.clone(),
            ..token.base.issued(api, now)
        })
    }
}

impl Token {
    /// Sets the lifetime, in seconds from now.
    pub(super) fn expire_after(&mut self, lifetime: u64, now: SystemTime) {
        self.lifetime = lifetime;
        self.base.expire = to_unix(now).saturating_add(lifetime);
    }

    /// Returns all fields. `offset` is how times end.
    pub(super) fn shown(&self, offset: &str) -> Map<String, Value> {
        let mut shown = self.shown_briefly(offset);
        shown.insert("updatedAt".to_owned(), rfc3339(self.updated_at, offset).into());
        shown.insert("scopes".to_owned(), json!(self.base.scopes));
        shown.insert("refreshToken".to_owned(), self.refresh.expose().into());
        shown.insert("limits".to_owned(), self.limits.shown());
        let used = &self.used;
        let stats = json!({
            "totalRequests": used.calls + used.errors,
            "walletRequests": used.paid,
            "subscriptionRequests": used.subscribed,
            "errorRequests": used.errors,
            "walletAmount": number(used.amount),
            "ip": used.addresses,
        });
        shown.insert("stats".to_owned(), stats);
        shown
    }

    /// Returns the few fields that users see after `POST`.
    pub(super) fn shown_briefly(&self, offset: &str) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("token".to_owned(), self.base.text.expose().into());
        shown.extend(self.name.clone().map(|name| ("name".to_owned(), name.into())));
        shown.insert("createdAt".to_owned(), rfc3339(self.base.issued_at, offset).into());
        shown.insert("expireAt".to_owned(), rfc3339(from_unix(self.base.expire), offset).into());
        shown
    }
}
